"""Each agent learns: fixed keys, four seeds, and bars that a broken update misses.

Small networks and short runs; the published settings, with their results, are in the README.
The same keys give the same bits on one machine; on another, other roundings may lead elsewhere,
and so the bars are far below what is reached.
"""

import numpy as np
import pytest

from purejaxrl.agents import a2c, ddpg, dqn
from purejaxrl.training import Experiment, Settings, train

pytestmark = [pytest.mark.slow, pytest.mark.optimised]


def test_dqn_learns_catch():
    config = dqn.Config(
        learning_rate=1e-3,
        epsilon_steps=5_000,
        hidden_sizes=(64,),
        batch_size=64,
        buffer_capacity=5_000,
        warmup_steps=500,
    )
    settings = Settings(total_steps=500 + 12_000, num_envs=4, num_epochs=4, evaluation_episodes=20)
    _, metrics = train(Experiment(dqn, config, "Catch", settings, num_seeds=4))
    returns = np.asarray(metrics.evaluation_return)
    print(returns)
    assert returns[:, 0].mean() < 0  # before the first update; random play has −0.6
    assert (returns[:, -1] > 0.9).all()  # 1 is perfect


def test_a2c_learns_cartpole():
    settings = Settings(total_steps=60_000, num_envs=8, rollout_length=5, num_epochs=6)
    _, metrics = train(Experiment(a2c, a2c.Config(), "CartPole-v1", settings, num_seeds=4))
    returns = np.asarray(metrics.evaluation_return)
    print(returns)
    assert returns[:, 0].max() < 50
    assert returns[:, 1:].max(axis=1).min() > 300  # every seed has balanced for 300 steps of 500
    assert returns[:, 3:].mean() > 150


def test_ddpg_learns_pendulum():
    config = ddpg.Config(hidden_sizes=(64, 64), batch_size=64, warmup_steps=1_000, buffer_capacity=20_000)
    settings = Settings(total_steps=11_000, num_envs=1, num_epochs=5)
    _, metrics = train(Experiment(ddpg, config, "Pendulum-v1", settings, num_seeds=4))
    returns = np.asarray(metrics.evaluation_return)
    print(returns)
    assert returns[:, 0].mean() < -800  # an untrained policy
    assert (returns[:, 3:].max(axis=1) > -250).all()  # it swings up and balances
    assert returns[:, -1].mean() > -300
