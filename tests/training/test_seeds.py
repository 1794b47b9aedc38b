"""Seeds: each is its own, and is the same alone and among many, on any number of devices."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training_cases import (
    EXPERIMENTS,
    Leaves,
    alone,
    assert_close,
    assert_same_bits,
    leaves,
    trained,
    variant,
)

from purejaxrl import environments, training
from purejaxrl.training import Experiment, Loop, loop
from purejaxrl.training import seeds as seeds_
from purejaxrl.types import InvalidInput

pytestmark = pytest.mark.as_released

GRID = [(8, 1), (8, 2), (16, 4)]
ODD = (11, 8)  # five rows of padding; for an environment in JAX and for simulators on the host
SIZES = {  # 8 seeds on 2 devices, or 3, are among the epoch-by-epoch runs below
    "dqn": [*GRID, ODD],
    "a2c": [(16, 4)],
    "ddpg": [(16, 4)],
    "a2c, EnvPool": [(8, 2), ODD],
    "ddpg, EnvPool": [(8, 2)],
}
ALONE_AND_AMONG = [(name, *size) for name, sizes in SIZES.items() for size in sizes]
# What vmap's batched products may come to, on every float of the Runner and of the Metrics: after 100
# updates of DQN (measured: 1e-7) and of A2C (1e-6), after 40 of DDPG (3e-7). Whole numbers are equal.
# It is no bound on longer runs: DDPG's measured 1e-5 after 180 updates and 2e-4 after 200, where Adam
# divided a gradient of nearly nothing by its size.
TOLERANCE = {"dqn": 1e-5, "a2c": 1e-5, "ddpg": 1e-4, "a2c, EnvPool": 1e-5, "ddpg, EnvPool": 1e-4}


@pytest.mark.parametrize(("name", "num_seeds", "devices"), ALONE_AND_AMONG)
def test_mapped_seeds_have_the_bits_they_have_alone(name: str, num_seeds: int, devices: int) -> None:
    among = trained(variant(name, num_seeds=num_seeds, devices=devices))
    assert len(among["[0].key"]) == num_seeds
    assert_same_bits(among, alone(name))


@pytest.mark.parametrize("name", TOLERANCE)
def test_vmapped_seeds_are_close_to_what_they_are_alone(name: str) -> None:
    among = trained(variant(name, seeds="vmap", num_seeds=8, devices=2))
    assert len(among["[0].key"]) == 8
    assert_close(among, alone(name), TOLERANCE[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "num_seeds", "devices"),
    [("dqn", 8, 1), ("dqn", 16, 4), ("ddpg", 16, 4), ("a2c, EnvPool", 16, 4)],
)
def test_vmapped_seeds_are_close_on_every_number_of_devices(name: str, num_seeds: int, devices: int) -> None:
    among = trained(variant(name, seeds="vmap", num_seeds=num_seeds, devices=devices))
    assert_close(among, alone(name), TOLERANCE[name])


def run(experiment: Experiment[Any], folder: Path) -> Leaves:
    """What an epoch-by-epoch run comes to, in the shape of one call's outcome."""
    epochs: dict[int, Any] = {}
    result = training.run(
        experiment, folder, lambda progress: epochs.update({progress.epoch: progress.metrics})
    )
    metrics = jax.tree.map(lambda *each: np.stack(each, axis=1), *epochs.values())
    return leaves(result.runners, metrics)


# With 3 seeds on 2 devices there is a fourth to drop.
@pytest.mark.parametrize(
    ("name", "num_seeds"),
    [("dqn", 8), ("a2c", 3), ("ddpg", 8), pytest.param("a2c, EnvPool", 3, marks=pytest.mark.slow)],
)
def test_epoch_by_epoch_gives_the_bits_of_one_call_where_seeds_are_mapped(
    name: str, num_seeds: int, tmp_path: Path
) -> None:
    among = run(variant(name, num_seeds=num_seeds, devices=2), tmp_path / "run")
    assert {len(leaf) for leaf in among.values()} == {num_seeds}
    assert_same_bits(among, alone(name))


@pytest.mark.parametrize("name", ["dqn", "ddpg", "a2c, EnvPool", pytest.param("a2c", marks=pytest.mark.slow)])
def test_epoch_by_epoch_gives_the_bits_of_one_call_where_seeds_are_vmapped(name: str, tmp_path: Path) -> None:
    experiment = variant(name, seeds="vmap", num_seeds=8, devices=2)
    assert_same_bits(run(experiment, tmp_path / "run"), trained(experiment))


@pytest.mark.parametrize("name", ["dqn", pytest.param("ddpg, EnvPool", marks=pytest.mark.slow)])
def test_one_call_drops_what_it_padded_and_gives_the_same_bits_twice(name: str) -> None:
    experiment = variant(name, num_seeds=3, devices=2)
    outcomes = [leaves(*training.train(experiment)) for _ in range(1 if name == "dqn" else 2)]
    for outcome in outcomes:  # each of a program of its own, as is what it is held against
        assert {len(leaf) for leaf in outcome.values()} == {3}
        assert_same_bits(outcome, alone(name))


@pytest.mark.parametrize(
    "name",
    ["dqn", *(pytest.param(name, marks=pytest.mark.slow) for name in ("a2c", "ddpg", "a2c, EnvPool"))],
)
def test_training_is_the_same_with_evaluation_and_without(name: str) -> None:
    """Two greedy episodes at each evaluation against none: only the evaluation's figures differ."""
    given, without = alone(name), alone(name, evaluation_episodes=0)
    figures = [path for path in given if "[1].evaluation_" in path]
    assert len(figures) == 3
    assert_same_bits(*({k: v for k, v in each.items() if k not in figures} for each in (given, without)))
    # A policy that outlasts the steps allowed finishes none; no seed does so every time.
    assert np.all(given["[1].evaluation_episodes"].max(axis=1) > 0)
    assert np.all(without["[1].evaluation_episodes"] == 0)
    assert np.all(np.isnan(without["[1].evaluation_return"]))


@pytest.mark.parametrize("name", ["dqn", "a2c", "ddpg"])
def test_seeds_differ_pairwise(name: str) -> None:
    """Of 16 seeds, each pair: initial parameters, first observations, first actions, keys."""
    experiment = EXPERIMENTS[name]
    settings = dataclasses.replace(experiment.settings, evaluation_episodes=0)
    one = dataclasses.replace(experiment, settings=settings).loop()

    def begin(key: jax.Array) -> dict[str, Any]:
        runner, _ = one.begin(key)
        after, _ = one.collect(runner, loop.empty_tally(runner.agent), jnp.int32(one.warmup_iterations))
        agent = runner.agent
        return {
            "params": agent.actor_params if name == "ddpg" else agent.params,
            "critic": agent.critic_params if name == "ddpg" else (),
            "observations": after.memory.observation,
            "actions": after.memory.action,
            "rewards, where they are not always 1": after.memory.reward if name == "ddpg" else (),
            "keys": [
                jax.random.key_data(k)
                for k in (runner.key, runner.update_key, runner.evaluation_key, runner.episode_key)
            ],
        }

    begun = jax.device_get(jax.jit(jax.vmap(begin))(seeds_.keys(0, 16)))
    for what, tree in begun.items():
        if not jax.tree.leaves(tree):
            continue
        rows = np.concatenate([leaf.reshape(16, -1) for leaf in jax.tree.leaves(tree)], axis=1)
        for i, j in itertools.combinations(range(16), 2):
            assert not np.array_equal(rows[i], rows[j]), f"{what} of seeds {i} and {j} are the same"
    keys = np.concatenate([np.stack(begun["keys"]).reshape(-1, 2)])
    assert len(np.unique(keys, axis=0)) == 4 * 16, "two streams of random numbers have one key"


def test_another_root_gives_other_seeds() -> None:
    keys = [jax.random.key_data(seeds_.keys(root, 8)) for root in (0, 1, 2**32 - 1)]
    assert len(np.unique(np.concatenate(keys), axis=0)) == 24


@pytest.mark.parametrize("num_seeds", [1, 2, 5, 16])
def test_the_key_of_a_seed_does_not_depend_on_their_number(num_seeds: int) -> None:
    keys = seeds_.keys(7, num_seeds)
    assert keys.shape == (num_seeds,)
    assert jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
    for i in range(num_seeds):
        expected = jax.random.key_data(jax.random.fold_in(jax.random.key(7), i))
        np.testing.assert_array_equal(jax.random.key_data(keys[i]), expected)


@pytest.mark.parametrize("num_seeds", [0, -1, True, 2.0, "8", None])
def test_numbers_of_seeds_that_cannot_be(num_seeds: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^num_seeds must be a whole number of at least 1, not "):
        seeds_.keys(0, num_seeds)


@pytest.mark.parametrize("root", [-1, 0.5, 2**32, False, None])
def test_roots_that_cannot_be(root: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^seed must be .* not |^seed must be below 2\*\*32, not "):
        seeds_.keys(root, 2)


@pytest.mark.parametrize("devices", [0, 9, -1])
def test_numbers_of_devices_that_cannot_be(devices: int) -> None:
    with pytest.raises(InvalidInput, match=rf"^devices must lie in \[1, 8\] on this machine, not {devices}$"):
        training.programs(variant("a2c", devices=devices))


def test_devices_by_default_are_all_that_have_a_seed() -> None:
    for num_seeds, expected in ((1, 1), (3, 3), (16, 8)):
        made = training.programs(variant("a2c", num_seeds=num_seeds, devices=None))
        assert made.mesh.size == expected
        assert len(made.members.key.sharding.device_set) == expected


def test_seeds_resolve_by_platform() -> None:
    assert seeds_.resolve("auto") == ("map" if jax.default_backend() == "cpu" else "vmap")
    assert seeds_.resolve("map") == "map"
    assert seeds_.resolve("vmap") == "vmap"
    with pytest.raises(InvalidInput, match=r"^seeds must be one of auto, vmap, map, not 'pmap'$"):
        seeds_.resolve("pmap")  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_over_seeds_lifts_a_function_and_shares_what_is_shared(mode: Any) -> None:
    lifted = jax.jit(seeds_.over_seeds(lambda x, y: {"sum": x + y, "y": y}, mode, seeds_.mesh(4)))
    per_seed = jnp.arange(24.0).reshape(8, 3)
    outcome = lifted(per_seed, jnp.float32(10))
    np.testing.assert_array_equal(outcome["sum"], per_seed + 10)
    np.testing.assert_array_equal(outcome["y"], np.full(8, 10))
    assert len(outcome["sum"].sharding.device_set) == 4


def test_hyperparameters_of_a_loop_may_differ_from_seed_to_seed() -> None:
    """Config's numbers are leaves: a sweep is a vmap over them, and at one value it is the plain run."""
    settings = training.Settings(total_steps=40, num_envs=2, num_epochs=1, evaluation_episodes=0)
    base = variant("a2c", settings=settings)
    environment = environments.make("CartPole-v1", num_envs=2)

    def train(learning_rate: jax.Array) -> Any:
        config = base.config.replace(learning_rate=learning_rate)
        runner, _ = Loop(base.agent, config, environment, base.settings).train(jax.random.key(0))  # type: ignore[arg-type]
        return runner.agent.params

    still, slow, fast = (
        jax.tree.map(lambda leaf, i=i: leaf[i], jax.jit(jax.vmap(train))(jnp.array([0.0, 1e-4, 1e-2])))
        for i in range(3)
    )
    first, _ = jax.jit(base.loop().begin)(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, still, first.agent.params)
    distance = [
        sum(float(jnp.abs(a - b).sum()) for a, b in zip(*map(jax.tree.leaves, (moved, still)), strict=True))
        for moved in (slow, fast)
    ]
    assert 0 < 10 * distance[0] < distance[1]
