"""Small experiments that the tests of this folder share, and what they came to, worked out once."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from purejaxrl import training
from purejaxrl.agents import a2c, ddpg, dqn, drqn
from purejaxrl.training import Experiment, Runner, Settings
from purejaxrl.training import seeds as seeds_
from purejaxrl.types import Metrics

DQN = Experiment(
    dqn,
    dqn.Config(  # the ring goes round, the target is copied, and ε decays to its end
        hidden_sizes=(16,),
        batch_size=32,
        buffer_capacity=400,
        warmup_steps=200,
        epsilon_steps=500,
        target_period=10,
    ),
    "CartPole-v1",
    Settings(total_steps=1000, num_envs=2, rollout_length=4, num_epochs=4, evaluation_episodes=2),
    seeds="map",
)
RAINBOW = Experiment(  # and all else that an update may draw or remember
    dqn,
    dataclasses.replace(
        DQN.config,
        double=True,
        dueling=True,
        n_step=3,
        prioritised=True,
        noisy=True,
        distribution="categorical",
        atoms=11,
        munchausen=True,
        dropout="both",
        normalisation="layer",  # a bias before a batch's has no gradient but rounding, which Adam scales up
    ),
    "CartPole-v1",
    DQN.settings,
    seeds="map",
)
A2C = Experiment(
    a2c,
    a2c.Config(hidden_sizes=(16,)),
    "CartPole-v1",
    Settings(total_steps=2000, num_envs=4, rollout_length=5, num_epochs=4, evaluation_episodes=2),
    seeds="map",
)
DDPG = Experiment(
    ddpg,
    ddpg.Config(hidden_sizes=(16, 16), batch_size=32, buffer_capacity=220, warmup_steps=200),
    "Pendulum-v1",
    Settings(total_steps=240, num_envs=2, updates_per_iteration=2, num_epochs=4, evaluation_episodes=2),
    seeds="map",
)
DRQN = Experiment(  # something is remembered wherever a run is stopped: an episode is always under way
    drqn,
    drqn.Config(
        hidden_sizes=(),
        cell_size=8,
        burn_in=1,
        length=3,
        batch_size=8,
        buffer_capacity=400,
        warmup_steps=200,
        epsilon_steps=500,
        target_period=10,
    ),
    "CartPole-v1",
    DQN.settings,
    seeds="map",
)
EXPERIMENTS: dict[str, Experiment[Any]] = {
    "dqn": DQN,  # 100 updates
    "rainbow": RAINBOW,  # 100 updates
    "drqn": DRQN,  # 100 updates
    "a2c": A2C,  # 100 updates
    "ddpg": DDPG,  # 40 updates
    "a2c, EnvPool": dataclasses.replace(  # 50 updates
        A2C,
        environment="envpool:CartPole-v1",
        environment_options=("num_threads=1",),
        settings=dataclasses.replace(A2C.settings, total_steps=1000, num_epochs=2, evaluation_steps=200),
    ),
    "ddpg, EnvPool": dataclasses.replace(  # 40 updates
        DDPG,
        environment="envpool:Pendulum-v1",
        environment_options=("num_threads=1",),
        settings=dataclasses.replace(DDPG.settings, num_epochs=1),
    ),
}

Leaves = dict[str, np.ndarray]


def variant(name: str, **changes: Any) -> Experiment[Any]:
    """An experiment of :data:`EXPERIMENTS` with some of its fields changed."""
    return dataclasses.replace(EXPERIMENTS[name], **changes)


def leaves(runners: Runner, metrics: Metrics) -> Leaves:
    """Every leaf of an outcome by its path, keys as the numbers in them, the seed's axis first.

    Two are left out: the ticket of an environment on the host, which names a pool of this process,
    and nothing else of it.
    """
    flat, _ = jax.tree_util.tree_flatten_with_path((runners, metrics))
    named = {jax.tree_util.keystr(path): leaf for path, leaf in flat}
    return {
        name: np.asarray(seeds_.unwrap(leaf))
        for name, leaf in named.items()
        if not name.endswith("environment_state.ticket")
    }


@functools.cache
def trained(experiment: Experiment[Any]) -> Leaves:
    """What one jitted ``train`` of an experiment comes to."""
    return leaves(*training.train(experiment))


@functools.cache
def alone(name: str, evaluation_episodes: int | None = None) -> Leaves:
    """Seeds 0 to 15 of an experiment, each run alone by a program of one seed on one device."""
    experiment = variant(name, num_seeds=1, devices=1)
    if evaluation_episodes is not None:
        experiment = dataclasses.replace(
            experiment,
            settings=dataclasses.replace(experiment.settings, evaluation_episodes=evaluation_episodes),
        )
    made = training.programs(experiment)

    def outcome(seed: int) -> Leaves:
        keys = seeds_.keys(experiment.seed, 16)
        member = dataclasses.replace(made.members, key=keys[seed : seed + 1])
        return leaves(*made.train(seeds_.place(member, made.mesh)))

    outcomes = [outcome(seed) for seed in range(16)]
    assert_same_bits(outcome(0), outcomes[0])  # the same program twice, with other seeds between
    return {path: np.concatenate([one[path] for one in outcomes]) for path in outcomes[0]}


def assert_same_bits(actual: Leaves, expected: Leaves) -> None:
    """Every leaf of ``actual`` is, bit for bit, that of the first seeds of ``expected``."""
    assert actual.keys() == expected.keys()
    different = [
        path
        for path, leaf in actual.items()
        if leaf.dtype != expected[path].dtype or leaf.tobytes() != expected[path][: len(leaf)].tobytes()
    ]
    assert not different, f"{len(different)} of {len(actual)} leaves differ: {different[:8]}"


def assert_close(actual: Leaves, expected: Leaves, tolerance: float) -> None:
    """As :func:`assert_same_bits`, but floats may differ by ``tolerance``, relative to 1 or their size."""
    assert actual.keys() == expected.keys()
    for path, leaf in actual.items():
        reference = expected[path][: len(leaf)]
        if leaf.dtype.kind == "f":
            np.testing.assert_allclose(leaf, reference, rtol=tolerance, atol=tolerance, err_msg=path)
        else:
            np.testing.assert_array_equal(leaf, reference, err_msg=path)
