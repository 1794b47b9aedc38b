"""A time limit is not an end: what the agents learn of a task that is cut off, and of its mortal twin.

Every step of either earns 1, every episode has two steps, and nothing that is observed tells them apart.

Cut off, the task would have gone on for ever, and its value is V = 1 + γV, so 1 / (1 − γ): 2 with γ = ½.

Ended by the same clock, its value depends on a time that cannot be seen. One-step errors vanish on average
where V = ½ (1 + γV) + ½ · 1, so at V = 1 / (1 − γ/2) = 4/3. With λ = 1 the value is instead the mean of the
two returns, 1 + γ and 1: 5/4. Treating truncation as termination would give the first task one of these.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Clock

from purejaxrl import actor_critic, networks
from purejaxrl.agents import a2c, a3c, ddpg, dqn, ppo, reinforce, trpo
from purejaxrl.environments import vectorise
from purejaxrl.training.loop import Loop
from purejaxrl.training.settings import Settings
from purejaxrl.types import Array, Key

NUM_SEEDS = 3
FOREVER, ONE_STEP, RETURNS = 2.0, 4 / 3, 5 / 4  # further apart than the tolerances
SETTINGS = Settings(total_steps=8_192, num_envs=8, rollout_length=2, num_epochs=1, evaluation_episodes=0)
REPLAY: dict[str, Any] = {"buffer_capacity": 1024, "batch_size": 128, "warmup_steps": 256, "hidden_sizes": ()}
OBSERVATION = jnp.ones((1, 1))


def dqn_value(state: dqn.State) -> Array:
    return dqn.action_values(state, state.params, OBSERVATION)


def policy_s_value(state: Any) -> Array:
    return actor_critic.look(state.network, state.params, (), OBSERVATION)[2]


def value_alone(state: Any) -> Array:
    return networks.apply(state.value_network, state.value_params, OBSERVATION)


def ddpg_value(state: ddpg.State) -> Array:
    """Of actions all over the range; the critic is linear."""
    action = jnp.linspace(-1.0, 1.0, 5)[:, None]
    return ddpg.action_value(state, state.critic_params, jnp.ones((5, 1)), action)


CASES: dict[str, tuple[Any, Any, Any, float]] = {
    "dqn": (
        dqn,
        dqn.Config(learning_rate=0.02, discount=0.5, epsilon_end=1.0, tau=1.0, target_period=10, **REPLAY),
        dqn_value,
        ONE_STEP,
    ),
    "a2c": (
        a2c,
        a2c.Config(learning_rate=0.02, discount=0.5, gae_lambda=1.0, optimiser="adam", hidden_sizes=()),
        policy_s_value,
        RETURNS,
    ),
    "a2c, one step": (
        a2c,
        a2c.Config(learning_rate=0.02, discount=0.5, gae_lambda=0.0, optimiser="adam", hidden_sizes=()),
        policy_s_value,
        ONE_STEP,
    ),
    "ppo": (
        ppo,
        ppo.Config(learning_rate=0.02, discount=0.5, gae_lambda=1.0, hidden_sizes=(), minibatches=1),
        policy_s_value,
        RETURNS,
    ),
    "a3c": (
        a3c,
        a3c.Config(
            learning_rate=0.02, discount=0.5, gae_lambda=1.0, optimiser="adam", hidden_sizes=(), workers=2
        ),
        lambda state: policy_s_value(state.shared),
        RETURNS,
    ),
    "trpo": (
        trpo,
        trpo.Config(
            value_learning_rate=0.02, discount=0.5, gae_lambda=1.0, hidden_sizes=(), passes=4, minibatches=1
        ),
        value_alone,
        RETURNS,
    ),
    "reinforce, td_value": (
        reinforce,
        reinforce.Config(value_learning_rate=0.02, discount=0.5, baseline="td_value", hidden_sizes=()),
        value_alone,
        ONE_STEP,
    ),
    "ddpg": (
        ddpg,
        ddpg.Config(
            critic_learning_rate=0.02, discount=0.5, tau=0.1, noise_start=1.0, noise_end=1.0, **REPLAY
        ),
        ddpg_value,
        ONE_STEP,
    ),
}


@functools.cache
def learnt_values(name: str) -> np.ndarray:
    """``[seed, mortal, …]``, in one compiled program."""
    agent, config, value, _ = CASES[name]

    def train(seed_and_mortal: tuple[Key, Array]) -> Array:
        key, mortal = seed_and_mortal
        environment = vectorise(Clock(mortal, continuous=agent is ddpg), SETTINGS.num_envs)
        runner, _ = Loop(agent, config, environment, SETTINGS).train(key)
        return value(runner.agent)

    keys = jax.random.split(jax.random.key(0), (NUM_SEEDS, 2))
    mortal = jnp.broadcast_to(jnp.array([False, True]), keys.shape)
    values = jax.jit(lambda *x: jax.lax.map(train, x))(keys.reshape(-1), mortal.reshape(-1))
    return np.asarray(values).reshape(NUM_SEEDS, 2, -1)


@pytest.mark.parametrize("name", CASES)
def test_cut_off_is_worth_what_would_have_come(name: str) -> None:
    np.testing.assert_allclose(learnt_values(name)[:, 0], FOREVER, atol=0.02)


@pytest.mark.parametrize("name", CASES)
def test_ended_is_worth_what_came(name: str) -> None:
    np.testing.assert_allclose(learnt_values(name)[:, 1], CASES[name][-1], atol=0.06)
