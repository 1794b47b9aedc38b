"""One run spread over devices: the environments shared, the gradients averaged, the numbers the same."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from training_cases import EXPERIMENTS, assert_close, assert_same_bits, leaves, variant

from purejaxrl import training
from purejaxrl.training import Experiment, Settings
from purejaxrl.types import InvalidInput

DEVICES = 4  # each waits for the others, and they share two cores where this is tested
NUM_ENVS = 8
UPDATES = 4
# Devices add up in another order. DDPG feeds the difference back through its actions.
TOLERANCE = 1e-4


def experiment(name: str, **changes: Any) -> Experiment[Any]:
    """A few updates with eight environments, whose memory is of those sizes that divide."""
    base = EXPERIMENTS[name]
    config = base.config
    warmup = 0
    if name != "a2c":
        warmup = 2 * NUM_ENVS
        config = dataclasses.replace(config, buffer_capacity=8 * NUM_ENVS, warmup_steps=warmup)
    settings = Settings(
        total_steps=warmup + UPDATES * NUM_ENVS * 2,
        num_envs=NUM_ENVS,
        rollout_length=2,
        num_epochs=2,
        evaluation_episodes=8,
        evaluation_steps=20,
    )
    return dataclasses.replace(
        base, config=config, settings=settings, num_seeds=2, devices=DEVICES, shard="environments", **changes
    )


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a2c", "vmap"),
        ("dqn", "vmap"),
        pytest.param("rainbow", "vmap", marks=pytest.mark.slow),
        pytest.param("ddpg", "vmap", marks=pytest.mark.slow),
        pytest.param("dqn", "map", marks=pytest.mark.slow),
    ],
)
def test_spread_over_devices_a_run_is_what_it_is_on_one(name: str, mode: Any) -> None:
    spread = leaves(*training.train(experiment(name, seeds=mode)))
    one = leaves(*training.train(dataclasses.replace(experiment(name, seeds=mode), devices=1)))
    assert spread["[0].agent.step"].tolist() == [UPDATES] * 2
    assert_close(spread, one, TOLERANCE)


@pytest.mark.parametrize("name", ["a2c", "dqn", pytest.param("ddpg", marks=pytest.mark.slow)])
def test_environments_are_shared_and_gradients_added_up(name: str) -> None:
    made = training.programs(experiment(name, seeds="vmap"))
    runners, _ = made.begin(made.members)
    _, shardings = made.runners()
    assert runners.observation.addressable_shards[0].data.shape[1] == NUM_ENVS // DEVICES
    reward = runners.memory.reward
    axis = 1 + made.loop.memory.environment_axis
    assert reward.addressable_shards[0].data.shape[axis] == NUM_ENVS // DEVICES
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(runners.agent))
    compiled = made.epoch.lower(runners, jnp.int32(0)).compile()
    program = compiled.as_text()
    assert "all-reduce" in program
    assert not re.findall(r"= \S+ (all-gather|all-to-all|collective-permute)\(", program)
    after, _ = made.epoch(runners, jnp.int32(0))
    assert reward.is_deleted(), "the memory of the runners is taken over"
    placed = zip(jax.tree.leaves(after), jax.tree.leaves(shardings), strict=True)
    assert all(leaf.sharding.is_equivalent_to(place, leaf.ndim) for leaf, place in placed)


def test_a_spread_run_resumes(tmp_path: Path) -> None:
    def stop(progress: training.Progress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    whole = training.run(experiment("dqn"), tmp_path / "whole")
    training.run(experiment("dqn"), tmp_path / "run", stop)
    resumed = training.run(experiment("dqn"), tmp_path / "run", resume=True)
    assert resumed.digest == whole.digest
    assert whole.metrics is not None
    assert resumed.metrics is not None
    assert_same_bits(leaves(resumed.runners, resumed.metrics), leaves(whole.runners, whole.metrics))
    with pytest.raises(InvalidInput, match="shard: 'environments of 4' in the run, 'environments of 2' now"):
        training.run(dataclasses.replace(experiment("dqn"), devices=2), tmp_path / "run", resume=True)


def test_what_cannot_be_spread() -> None:
    settings = dataclasses.replace(EXPERIMENTS["a2c"].settings, num_envs=12, total_steps=2400)
    odd = variant("a2c", settings=settings, devices=8, shard="environments")
    with pytest.raises(InvalidInput, match=r"^num_envs must be a multiple of the 8 devices .*, not 12$"):
        training.programs(odd)
    host = variant("a2c, EnvPool", devices=4, shard="environments")
    with pytest.raises(InvalidInput, match=r"^only environments written in JAX can be spread"):
        training.programs(host)
    with pytest.raises(InvalidInput, match=r"^shard must be one of seeds, environments, not 'parameters'$"):
        training.programs(variant("a2c", shard="parameters"))
