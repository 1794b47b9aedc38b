"""A2C and PPO, with a memory and without, at the settings of rl-baselines3-zoo."""

from __future__ import annotations

from typing import Any

from purejaxrl.agents import a2c, ppo
from purejaxrl.training import Experiment, Settings
from studies.base import Figure, Published, Study
from studies.running import Measure, Trained
from studies.value_based.zoos import EPISODES, MEASURE

SEEDS = 8
"""The published figures are of one run."""


def zoo(
    name: str,
    what: str,
    task: str,
    agent: Any,
    config: Any,
    settings: Settings,
    value: float,
    spread: float,
    options: tuple[str, ...] = (),
    note: str = "",
) -> Study:
    """A study whose published figure is one trained agent's, of greedy episodes."""
    return Study(
        name=f"{name}-zoo-{task.partition('-')[0].removesuffix('NoVel').lower()}",
        what=f"{what}, {task}, {settings.total_steps // 1000}k steps",
        run=Trained(
            Experiment(agent, config, task, settings, options, num_seeds=SEEDS),
            {"greedy": Measure("evaluation_return"), "training": Measure("episode_return")},
        ),
        figures={
            "greedy": Figure(
                f"return, {settings.evaluation_episodes} greedy episodes after the run",
                Published(value, spread, EPISODES, rule="at least"),
            ),
            "training": Figure("return, training episodes of the last epoch"),
        },
        source=f"rl-baselines3-zoo, hyperparams/{name.replace('-', '_')}.yml and benchmark.md",
        measure=MEASURE,
        note=note,
        cost="minutes",
    )


def normalised(discount: float) -> tuple[str, ...]:
    """Options by which observations and rewards are normalised."""
    return ("normalise_observation=True", "normalise_reward=True", f"reward_discount={discount}")


A2C_CONFIG = a2c.Config(initialiser="orthogonal")
SDE = (
    "the source explores by noise that depends on the state and is kept for four steps, here by a number that"
    " is drawn at each"
)
RECURRENT: dict[str, Any] = {
    "hidden_sizes": (),
    "activation": "relu",
    "initialiser": "pytorch",
    "cell": "lstm",
    "cell_size": 64,
    "head_sizes": (64,),
}
"""A cell each for policy and value, and a layer after it."""
RECURRENT_NOTE = "the weights of the cells begin as flax's, not as PyTorch's"

STUDIES: tuple[Study, ...] = (
    zoo(
        "a2c",
        "A2C",
        "CartPole-v1",
        a2c,
        A2C_CONFIG,
        Settings(total_steps=500_000, num_envs=8, rollout_length=5, num_epochs=20, evaluation_episodes=20),
        500.0,
        0.0,
    ),
    zoo(
        "a2c",
        "A2C",
        "Acrobot-v1",
        a2c,
        A2C_CONFIG,
        Settings(total_steps=500_000, num_envs=16, rollout_length=5, num_epochs=25, evaluation_episodes=20),
        -83.353,
        17.2,
        normalised(0.99),
    ),
    zoo(
        "ppo",
        "PPO",
        "Pendulum-v1",
        ppo,
        ppo.Config(
            learning_rate=1e-3,
            discount=0.9,
            value_coefficient=1.0,
            entropy_coefficient=0.0,
            passes=10,
            minibatches=64,
        ),
        Settings(
            total_steps=102_400, num_envs=4, rollout_length=1_024, num_epochs=5, evaluation_episodes=100
        ),
        -172.225,
        104.2,
        note=SDE,
    ),
    zoo(
        "ppo-lstm",
        "Recurrent PPO",
        "CartPoleNoVel-v1",
        ppo,
        ppo.Config(
            learning_rate=1e-3,
            learning_rate_steps=391,
            discount=0.98,
            gae_lambda=0.8,
            clip_steps=391,
            value_coefficient=1.0,
            entropy_coefficient=0.0,
            passes=20,
            minibatches=1,
            **RECURRENT,
        ),
        Settings(total_steps=100_096, num_envs=8, rollout_length=32, num_epochs=17, evaluation_episodes=20),
        500.0,
        0.0,
        normalised(0.98),
        RECURRENT_NOTE,
    ),
    zoo(
        "ppo-lstm",
        "Recurrent PPO",
        "PendulumNoVel-v1",
        ppo,
        ppo.Config(
            learning_rate=1e-3,
            discount=0.9,
            value_coefficient=1.0,
            entropy_coefficient=0.0,
            passes=10,
            minibatches=32,
            **RECURRENT,
        ),
        Settings(total_steps=102_400, num_envs=32, rollout_length=128, num_epochs=5, evaluation_episodes=100),
        -217.9,
        140.1,
        normalised(0.9),
        f"{SDE}; rollouts are of 128 steps of 32 environments, each of which makes a minibatch, where the"
        f" source has 1 024 steps of 4 environments in minibatches of 128; {RECURRENT_NOTE}",
    ),
)
