"""Double DQN with prioritised replay at SLM-Lab's settings."""

from __future__ import annotations

import flax.linen as nn

from purejaxrl.agents import dqn
from purejaxrl.networks import INITIALISERS, MLP
from purejaxrl.training import Experiment, Settings
from purejaxrl.value_networks import QNetwork
from studies.base import Figure, Published, Study
from studies.running import Measure, Trained

SEEDS = 8
"""The published figures are of four runs."""
SHARED = dqn.Config(
    loss="huber",
    double=True,
    prioritised=True,
    priority_exponent=0.6,
    priority_offset=1e-4,
    importance_start=0.0,
    importance_end=0.0,
    buffer_capacity=50_000,
    warmup_steps=32,
)
"""What both tasks have in common; the source's replay is prioritised without weights."""
SHARED_NOTE = (
    "of the 4 updates after 4 steps the source makes two on each of two batches, here each has its own; a new"
    " transition has a fixed high priority there, here the largest so far"
)


def slm(task: str, config: dqn.Config, settings: Settings, value: float, spec: str, note: str = "") -> Study:
    """A study of four environments with four updates after each of their steps."""
    return Study(
        name=f"ddqn-slm-{task.partition('-')[0].lower()}",
        what=f"Double DQN, prioritised, {task}, {settings.total_steps // 1000}k steps",
        run=Trained(
            Experiment(dqn, config, task, settings, num_seeds=SEEDS),
            {"training": Measure("episode_return", 5), "greedy": Measure("evaluation_return")},
        ),
        figures={
            "training": Figure("return, training episodes of the last 50k steps", Published(value)),
            "greedy": Figure("return, 10 greedy episodes after the run"),
        },
        source="SLM-Lab, docs/BENCHMARKS.md and its specs",
        measure="published: training returns, exploration included, each 500 frames and averaged over the"
        " last 100 of these figures, which is read as the last 50k frames; 4 sessions, no spread printed",
        note=f"spec {spec}; {SHARED_NOTE}{note}",
        cost="minutes",
    )


STUDIES: tuple[Study, ...] = (
    slm(
        "CartPole-v1",
        SHARED.replace(  # type: ignore[attr-defined]
            learning_rate=3e-4,
            discount=0.995,
            exploration="boltzmann",
            temperature_start=1.0,
            temperature_end=0.08,
            temperature_steps=12_000,
            target_period=75,
            max_gradient_norm=0.55,
            batch_size=64,
            network=QNetwork(MLP((256, 128), nn.selu, INITIALISERS["pytorch"]), 2, INITIALISERS["pytorch"]),
        ),
        Settings(
            total_steps=200_032, num_envs=4, updates_per_iteration=4, num_epochs=20, evaluation_episodes=10
        ),
        451.51,
        "ddqn_per_boltzmann_cartpole_arc",
        "; its batches have the latest transitions in them, and its weights decay by 0.01 of the step"
        " size (AdamW)",
    ),
    slm(
        "Acrobot-v1",
        SHARED.replace(  # type: ignore[attr-defined]
            learning_rate=5e-4,
            discount=0.99,
            epsilon_start=1.0,
            epsilon_end=0.01,
            epsilon_steps=10_000,
            target_period=100,
            max_gradient_norm=1.0,
            batch_size=32,
            hidden_sizes=(128, 128),
        ),
        Settings(
            total_steps=300_032, num_envs=4, updates_per_iteration=4, num_epochs=30, evaluation_episodes=10
        ),
        -83.92,
        "ddqn_per_acrobot_arc",
    ),
)
