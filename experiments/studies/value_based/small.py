"""Tasks of bsuite: what DQN loses in a bandit, and a sea too deep for it."""

from __future__ import annotations

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp

import purejaxrl
from purejaxrl.agents import dqn
from purejaxrl.environments import vectorise
from purejaxrl.environments.bandit import Bandit
from purejaxrl.training import Loop, Settings
from purejaxrl.training.loop import Runner, Tally
from purejaxrl.types import Array, Key, PyTree
from studies.base import Figure, Published, Study
from studies.running import Simulated

ARMS = 11
PULLS = Settings(total_steps=10_000, rollout_length=4, num_epochs=9, evaluation_episodes=0)


def pull(config: dqn.Config, epsilon: float, settings: Settings, key: Key) -> tuple[dict[str, Array], PyTree]:
    """What a run in bsuite's bandit loses a pull, on average: its arms are shuffled by the run's key.

    Arms are drawn evenly until the first update; from then on one is with the probability ``epsilon``.
    """
    shuffle_key, run_key = jax.random.split(key)
    rewards = jax.random.permutation(shuffle_key, jnp.linspace(0.0, 1.0, ARMS))
    even = dataclasses.replace(config, epsilon_start=1.0, epsilon_end=1.0)
    loop = Loop(dqn, even, vectorise(Bandit(rewards, noise=0.0, arms=ARMS), 1), settings)  # type: ignore[arg-type]
    runner, warmup = loop.begin(run_key)
    rate = jnp.float32(epsilon)
    greedier = dataclasses.replace(runner.agent.config, epsilon_start=rate, epsilon_end=rate)
    agent = dataclasses.replace(runner.agent, config=greedier)
    runner, epochs = loop.epochs(dataclasses.replace(runner, agent=agent))
    paid = warmup.episodes * warmup.episode_return + jnp.sum(epochs.episodes * epochs.episode_return)
    figures = {"regret": 1 - paid / settings.total_steps, "late": 1 - epochs.episode_return[-1]}
    return figures, runner.agent.params


BANDIT_CONFIG = dqn.Config(
    learning_rate=7e-4,
    discount=0.99,
    target_period=10_000,
    hidden_sizes=(64, 64),
    batch_size=32,
    buffer_capacity=10_000,
    warmup_steps=1_000,
)


def bandit(
    name: str,
    what: str,
    config: dqn.Config,
    epsilon: float,
    value: float,
    cost: Literal["seconds", "minutes"],
    note: str = "",
) -> Study:
    """A learner in bsuite's bandit of 11 arms, for 10 000 episodes of one step."""
    return Study(
        name=f"{name}-bsuite-bandit",
        what=f"{what}, bsuite's bandit, {PULLS.total_steps // 1000}k episodes",
        run=Simulated(
            functools.partial(pull, config, epsilon, PULLS),
            {"environment": "BsuiteBandit", "config": config, "epsilon": epsilon, "settings": PULLS},
            num_seeds=20,
            seeds="auto",
        ),
        figures={
            "regret": Figure(
                "regret an episode, all episodes",
                Published(value, 0.0032, "read as the standard deviation of 20 runs"),
                digits=4,
                better="lower",
            ),
            "late": Figure("regret an episode, the last 1 000", digits=4, better="lower"),
        },
        source="LorenJAnderson/bsuite-applications, at Stable-Baselines 3's defaults but for its"
        " model_configs.py",
        measure="mean over 20 orders of the arms, the even draws of the first 1 000 episodes included",
        note=f"the arms' order is drawn from each run's key, not by bsuite's generator{note}",
        cost=cost,
    )


SEA = 20
DIVES = 10_000
SEA_CONFIG = dqn.Config(
    learning_rate=1e-3,
    discount=0.99,
    epsilon_start=0.05,
    epsilon_end=0.05,
    target_period=4,
    hidden_sizes=(64, 64),
    initialiser="lecun",
    batch_size=32,
    buffer_capacity=10_000,
    warmup_steps=100,
)


def dive(episodes: int, key: Key, size: int = SEA) -> tuple[dict[str, Array], PyTree]:
    """How many of a run's episodes reach the treasure, those of the warm-up apart."""
    settings = Settings(total_steps=episodes * size, num_epochs=1, evaluation_episodes=0)
    loop = Loop(dqn, SEA_CONFIG, purejaxrl.make("DeepSea", size=size), settings)  # type: ignore[arg-type]

    def look(runner: Runner, tally: Tally) -> Array:
        del runner
        return tally.episode_return > 0  # what is paid besides is a cost

    runner, found = loop.trace(key, episodes * size - SEA_CONFIG.warmup_steps, look)
    treasures = jnp.sum(found)
    figures = {"treasures": treasures.astype(jnp.float32), "bad": 1 - treasures / episodes}
    return figures, runner.agent.params


STUDIES: tuple[Study, ...] = (
    bandit(
        "dqn",
        "DQN",
        dataclasses.replace(BANDIT_CONFIG, loss="huber", max_gradient_norm=10.0),
        0.05,
        0.0763,
        "seconds",
    ),
    bandit(
        "qrdqn",
        "QR-DQN",
        dataclasses.replace(BANDIT_CONFIG, distribution="quantile", atoms=200, optimiser_epsilon=0.01 / 32),
        0.01,
        0.0606,
        "minutes",
        "; of the two QR-DQNs there this is taken for the one at its defaults, with ε = 0.01: with the"
        " other's 0.05 the even draws and ε alone would cost 0.0725",
    ),
    Study(
        name="dqn-bsuite-deepsea",
        what=f"DQN, DeepSea of {SEA} rows, {DIVES // 1000}k episodes",
        run=Simulated(
            functools.partial(dive, DIVES),
            {"environment": "DeepSea", "size": SEA, "config": SEA_CONFIG, "episodes": DIVES},
            num_seeds=8,
            seeds="auto",
        ),
        figures={
            "treasures": Figure("episodes that reach the treasure", Published(0.0, rule="at most")),
            "bad": Figure("share of the episodes that do not", digits=4, better="lower"),
        },
        source="bsuite, its default DQN (baselines/jax/dqn) and its experiment deep_sea, of which below 0.9"
        " of bad episodes would be solved",
        measure="published: unsolved; read as no treasure at all",
        note="equal actions are not drawn at random, and half the square of the error is minimised",
        cost="minutes",
    ),
)
