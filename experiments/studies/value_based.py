"""Deep value-based methods."""

from __future__ import annotations

from typing import Any

from purejaxrl.agents import dqn
from purejaxrl.training import Experiment, Settings
from studies.base import Figure, Published, Study
from studies.running import Measure, Trained

CLEANRL_SETTINGS = Settings(
    total_steps=500_000, num_envs=1, rollout_length=10, num_epochs=50, evaluation_episodes=10
)


def cleanrl(task: str, name: str, config: Any, agent: Any, published: Published, source: str) -> Study:
    """A study at CleanRL's settings for classic control: 500k steps, an update of 128 every 10.

    Its figure is of the last training episodes, exploration included. Epochs of 9 800 steps make about a
    hundred episodes of five epochs in CartPole, of one in Acrobot, of two in MountainCar.
    """
    epochs = {"CartPole-v1": 5, "Acrobot-v1": 1, "MountainCar-v0": 2}[task]
    return Study(
        name=f"{name}-cleanrl-{task.partition('-')[0].lower()}",
        what=f"{name.upper()}, {task}, 500k steps",
        run=Trained(
            Experiment(agent, config, task, CLEANRL_SETTINGS, num_seeds=16),
            {"training": Measure("episode_return", epochs), "greedy": Measure("evaluation_return")},
        ),
        figures={
            "training": Figure("return, about the last 100 training episodes", published),
            "greedy": Figure("return, 10 greedy episodes after the run"),
        },
        source=source,
        measure="published: training episodes at the end, with ε = .05; mean ± deviation of 3 seeds",
        cost="minutes",
    )


DQN_CLEANRL = "CleanRL, cleanrl/dqn_jax.py and docs/rl-algorithms/dqn.md"


def zoo(
    task: str, config: dqn.Config, settings: Settings, published: Published, published_steps: str, note: str
) -> Study:
    """A study at the settings of rl-baselines3-zoo for DQN, whose figure is one run's: a threshold."""
    return Study(
        name=f"dqn-zoo-{task.partition('-')[0].lower()}",
        what=f"DQN, {task}, {published_steps} steps",
        run=Trained(
            Experiment(dqn, config, task, settings, num_seeds=16),
            {"greedy": Measure("evaluation_return"), "training": Measure("episode_return")},
        ),
        figures={
            "greedy": Figure("return, 20 greedy episodes after the run", published),
            "training": Figure("return, training episodes of the last epoch"),
        },
        source="rl-baselines3-zoo, hyperparams/dqn.yml and benchmark.md",
        measure=(
            "published: greedy episodes of one trained agent over 150k steps; ± is their standard deviation,"
            " which says nothing of other runs, so that the figure is taken for a threshold"
        ),
        note=note,
        cost="minutes",
    )


STUDIES: tuple[Study, ...] = (
    *(
        cleanrl(task, "dqn", dqn.Config(), dqn, Published(value, spread, runs=3), DQN_CLEANRL)
        for task, value, spread in (
            ("CartPole-v1", 498.38, 2.29),
            ("Acrobot-v1", -88.89, 1.56),
            ("MountainCar-v0", -188.90, 11.78),
        )
    ),
    zoo(
        "CartPole-v1",
        dqn.Config(
            learning_rate=2.3e-3,
            epsilon_end=0.04,
            epsilon_steps=8_000,
            target_period=128,
            max_gradient_norm=10.0,
            loss="huber",
            hidden_sizes=(256, 256),
            batch_size=64,
            buffer_capacity=50_176,
            warmup_steps=1_024,
        ),
        Settings(
            total_steps=50_176,
            rollout_length=256,
            updates_per_iteration=128,
            num_epochs=16,
            evaluation_episodes=20,
        ),
        Published(500.0, 0.0, rule="at least"),
        "50k",
        "the source acts uniformly at random for its first 1 000 steps, here ε falls from the first step; 256"
        " steps a rollout make it 50 176 steps, as in the source; the source's copies of the target every 10"
        " steps all fall between two rounds of 128 updates, so that one copy a round is the same; its buffer"
        " of 100 000 is never full",
    ),
    zoo(
        "Acrobot-v1",
        dqn.Config(
            learning_rate=6.3e-4,
            epsilon_end=0.1,
            epsilon_steps=12_000,
            target_period=250,
            max_gradient_norm=10.0,
            loss="huber",
            hidden_sizes=(256, 256),
            batch_size=128,
            buffer_capacity=50_000,
            warmup_steps=0,
        ),
        Settings(
            total_steps=100_000,
            rollout_length=4,
            updates_per_iteration=4,
            num_epochs=20,
            evaluation_episodes=20,
        ),
        Published(-76.639, 11.8, rule="at least"),
        "100k",
        "",
    ),
    zoo(
        "MountainCar-v0",
        dqn.Config(
            learning_rate=4e-3,
            discount=0.98,
            epsilon_end=0.07,
            epsilon_steps=24_000,
            target_period=300,
            max_gradient_norm=10.0,
            loss="huber",
            hidden_sizes=(256, 256),
            batch_size=128,
            buffer_capacity=10_000,
            warmup_steps=1_000,
        ),
        Settings(
            total_steps=120_000,
            rollout_length=16,
            updates_per_iteration=8,
            num_epochs=37,
            evaluation_episodes=20,
        ),
        Published(-100.849, 9.9, rule="at least"),
        "120k",
        "the source acts uniformly at random for its first 1 000 steps, here ε falls from the first step",
    ),
)
