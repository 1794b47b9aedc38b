"""MinAtar's boards and Atari's images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import gymnasium
import jax.numpy as jnp

from purejaxrl import presets
from purejaxrl.agents import dqn
from purejaxrl.networks import XAVIER, Initialiser, NatureCNN
from purejaxrl.training import Experiment, Settings
from purejaxrl.types import Array, Key
from purejaxrl.value_networks import QNetwork
from studies.base import Figure, Published, Study
from studies.running import Measure, Trained

MINATAR_NOTE = (
    "4 seeds, where the source has 30: a departure, since they take more than an hour of one core with"
    " replay, and the interval is the wider for it; the source tells of step sizes that were swept, so"
    " that its curves may be of others than its code's, which is the one here; the source's code gives"
    " RMSProp a momentum of 0.95 since its pull request 37 (November 2024), and had none when its curves were"
    " made, nor has ours; with it the same seeds came to 5.93 with replay and 2.93 without in Breakout, and"
    " to 0.69 and 1.83 in Asterix"
)
REPLAY_NOTE = (
    "the source's first 5 000 frames are uniformly random, and ε falls from there; here it falls from the"
    " first; batches are drawn with replacement"
)
MINATAR_CONFIG = presets.dqn_minatar(gymnasium.spaces.MultiBinary((10, 10, 4))).config


def minatar(game: str, with_replay: float, without_replay: float) -> tuple[Study, Study]:
    """DQN with replay, and with the latest transition alone."""
    alone = dataclasses.replace(MINATAR_CONFIG, batch_size=1, buffer_capacity=1, warmup_steps=0)
    return (
        minatar_study(game, "dqn", "DQN", MINATAR_CONFIG, 199, with_replay),
        minatar_study(game, "dqn-no-replay", "DQN without replay", alone, 200, without_replay),
    )


def minatar_study(
    game: str, name: str, what: str, config: dqn.Config, num_epochs: int, value: float
) -> Study:
    """A million frames of a game, in epochs of 5 000."""
    settings = Settings(total_steps=1_000_000, num_epochs=num_epochs, evaluation_episodes=0)
    return Study(
        name=f"{name}-minatar-{game.lower()}",
        what=f"{what}, MinAtar {game}, 1M frames",
        run=Trained(
            Experiment(dqn, config, f"MinAtar-{game}", settings, num_seeds=4),
            {"training": Measure("episode_return", 2)},
            checkpoint_every=20,
        ),
        figures={
            "training": Figure(
                "return, training episodes of the last 10k frames",
                Published(value, 0.5, "what reading it off the figure leaves uncertain"),
            )
        },
        source="Young & Tian (2019), figure at 1M frames, and MinAtar's examples/dqn.py",
        measure="published: about the last 100 training episodes, ε = 0.1 included, averaged over 30 runs;"
        " read off the figure",
        note=MINATAR_NOTE if config.buffer_capacity == 1 else f"{MINATAR_NOTE}; {REPLAY_NOTE}",
        cost="hours",
    )


ATARI_SETTINGS = Settings(total_steps=500_000, rollout_length=4, num_epochs=48, evaluation_episodes=0)
ATARI_OPTIONS = (
    "repeat_action_probability=0.25",
    "noop_max=1",
    "use_fire_reset=False",
    "reward_clip=True",
)
ATARI_CONFIG = dqn.Config(
    discount=0.99,
    epsilon_start=1.0,
    epsilon_end=0.01,
    epsilon_steps=250_000,
    target_period=2_000,
    batch_size=32,
    buffer_capacity=500_000,
    warmup_steps=20_000,
)
"""What dopamine's agents have in common; a million transitions are not met with in so short a run."""
PRIORITISED = dataclasses.replace(
    ATARI_CONFIG,
    n_step=3,
    prioritised=True,
    priority_exponent=0.5,
    priority_offset=1e-10,
)
ATARI_NOTE = (
    "not run: it takes a day or more on two cores, and 28 GB of memory for the replay of each seed; three"
    " seeds are declared, where the source has five, which is a departure; the source counts ε's fall from"
    " the first update on"
)
BREAKOUT_ACTIONS = 4
HAT_NOTE = "TensorFlow's Adam adds its ε before it corrects for the start, which is more in the first updates"


def dopamine_start(key: Key, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
    """How the source's weights begin, but for DQN's: uniform in ± √(√3 / inputs); biases are 0."""
    return nn.initializers.variance_scaling(3**-0.5, "fan_in", "uniform")(key, tuple(shape), dtype)


def padded(kernel_init: Initialiser, atoms: int | None) -> QNetwork:
    """The source's network, whose convolutions are padded: 7 744 features, where the paper's has 3 136."""
    torso = NatureCNN(kernel_init, padding="SAME")
    return QNetwork(torso, BREAKOUT_ACTIONS, kernel_init, atoms)


def atari(
    name: str,
    what: str,
    config: dqn.Config,
    value: float,
    spread: float,
    label: str,
    note: str = "",
    start: Initialiser = dopamine_start,
) -> Study:
    """One of dopamine's agents in Breakout with sticky actions, for 2M frames: its second iteration.

    ``label`` is what the source's data call it, which have some agents twice.
    """
    atoms = None if config.distribution == "none" else config.atoms
    config = dataclasses.replace(config, network=padded(start, atoms))
    return Study(
        name=f"{name}-dopamine-breakout",
        what=f"{what}, Atari Breakout, 2M frames",
        run=Trained(
            Experiment(dqn, config, "envpool:Breakout-v5", ATARI_SETTINGS, ATARI_OPTIONS, num_seeds=3),
            {"training": Measure("episode_return", 25)},
            checkpoint_every=4,
        ),
        figures={
            "training": Figure(
                "return, training episodes of the second 1M frames",
                Published(value, spread, "read as the standard deviation of 5 runs"),
            )
        },
        source="dopamine, its gin files and baselines/atari",
        measure="published: the mean of an iteration of 1M frames, over 5 runs",
        note=f"{ATARI_NOTE}; the figure is of what the source's data call {label}{note}",
        cost="days",
    )


STUDIES: tuple[Study, ...] = (
    *minatar("Breakout", 9.1, 3.8),
    *minatar("Asterix", 7.1, 4.7),
    atari(
        "dqn",
        "DQN",
        dataclasses.replace(
            ATARI_CONFIG,
            learning_rate=6.25e-5,
            optimiser_epsilon=0.75e-4,  # of ½ δ², whose gradient is half of that of the source's δ²
        ),
        6.52,
        0.11,
        "DQN (Adam + MSE in JAX)",
        start=XAVIER,
    ),
    atari(
        "c51",
        "C51",
        dataclasses.replace(
            ATARI_CONFIG,
            learning_rate=2.5e-4,
            optimiser_epsilon=3.125e-4,
            distribution="categorical",
        ),
        2.91,
        0.16,
        "C51, of TensorFlow",
        f"; {HAT_NOTE}",
    ),
    atari(
        "rainbow",
        "Rainbow (prioritised C51 of 3 steps)",
        dataclasses.replace(
            PRIORITISED,
            learning_rate=6.25e-5,
            optimiser_epsilon=1.5e-4,
            importance_start=0.5,
            importance_end=0.5,
            distribution="categorical",
        ),
        4.52,
        0.39,
        "Rainbow",
        "; neither double, dueling nor noisy, as there; priorities are divergences, in the source roots of"
        f" cross entropies; {HAT_NOTE}",
    ),
    atari(
        "qrdqn",
        "QR-DQN of 3 steps, prioritised",
        dataclasses.replace(
            PRIORITISED,
            learning_rate=5e-5,
            optimiser_epsilon=3.125e-4,
            # The source's weights are in the loss that it logs, and not in the one that it descends.
            importance_start=0.0,
            importance_end=0.0,
            distribution="quantile",
            atoms=200,
        ),
        18.73,
        0.56,
        "Quantile (JAX)",
    ),
)
