"""PPO at CleanRL's settings for classic control."""

from __future__ import annotations

from purejaxrl.agents import ppo
from purejaxrl.training import Experiment, Settings
from studies.base import Figure, Published, Study
from studies.running import Measure, Trained

SEEDS = 8
"""The published figures are of three."""
UPDATES = 976
CONFIG = ppo.Config(learning_rate_steps=UPDATES, value_clip=0.2)
SETTINGS = Settings(
    total_steps=UPDATES * 512, num_envs=4, rollout_length=128, num_epochs=16, evaluation_episodes=10
)


def cleanrl(task: str, epochs: int, value: float, spread: float) -> Study:
    """A study whose figure is of the last training episodes, in so many epochs of 31 232 steps."""
    return Study(
        name=f"ppo-cleanrl-{task.partition('-')[0].lower()}",
        what=f"PPO, {task}, {SETTINGS.total_steps // 1000}k steps",
        run=Trained(
            Experiment(ppo, CONFIG, task, SETTINGS, num_seeds=SEEDS),
            {"training": Measure("episode_return", epochs), "greedy": Measure("evaluation_return")},
        ),
        figures={
            "training": Figure(
                f"return, training episodes of the last {epochs * SETTINGS.total_steps // 16_000}k steps",
                Published(value, spread, "standard deviation of 3 seeds"),
            ),
            "greedy": Figure("return, 10 greedy episodes after the run"),
        },
        source="CleanRL, cleanrl/ppo.py and docs/benchmark/ppo.md",
        measure="published: training episodes at the end, actions drawn; mean and deviation of 3 seeds",
        note="the source bootstraps at no time limit, here the value of the last observation does",
        cost="minutes",
    )


STUDIES: tuple[Study, ...] = (
    cleanrl("CartPole-v1", 2, 490.04, 6.12),
    cleanrl("Acrobot-v1", 1, -86.36, 1.32),
    cleanrl("MountainCar-v0", 1, -200.00, 0.00),
)
