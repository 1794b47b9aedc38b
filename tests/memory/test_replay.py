"""Memories return what was written: whole rows, none unwritten, none overwritten, all equally often."""

from __future__ import annotations

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from memory_cases import EXAMPLE, rollout, serials

from purejaxrl.memory import LastRollout, Replay
from purejaxrl.types import InvalidInput

# Rollouts of T steps of B environments into a buffer of so many transitions; (3, 2, 6) has one slot.
SIZES = [(1, 1, 7), (1, 4, 12), (3, 2, 6), (5, 2, 30), (4, 3, 36), (2, 8, 32)]


@pytest.mark.parametrize(("length", "num_envs", "capacity"), SIZES)
def test_samples_are_of_the_last_rows_written_at_every_fill_level(
    length: int, num_envs: int, capacity: int
) -> None:
    size = length * num_envs
    replay = Replay(capacity=capacity, batch_size=40 * capacity, warmup_steps=0)
    memory = replay.init(EXAMPLE, length, num_envs)
    add, sample = jax.jit(replay.add), jax.jit(replay.sample)
    for count in range(1, 2 * (capacity // size) + 3):  # to two whole turns of the ring and a bit
        memory = add(memory, rollout(count - 1, length, num_envs), count - 1)
        drawn = serials(sample(memory, jax.random.fold_in(jax.random.key(0), count), count), num_envs)
        newest = count * size
        stored = np.arange(max(1, newest - capacity + 1), newest + 1)
        # Nothing but what is stored, and all of it: 40 draws a row miss one with a chance of e**-40.
        np.testing.assert_array_equal(np.unique(drawn), stored)
        frequency = np.bincount(drawn - stored[0], minlength=len(stored))
        if len(stored) > 1:
            assert scipy.stats.chisquare(frequency).pvalue > 1e-4, f"{count} rollouts: {frequency}"


def test_samples_outside_of_jit_are_those_inside() -> None:
    replay = Replay(capacity=12, batch_size=64, warmup_steps=0)
    memory = replay.init(EXAMPLE, 2, 3)
    for count in range(3):
        memory = replay.add(memory, rollout(count, 2, 3), count)
    eager = replay.sample(memory, jax.random.key(1), 3)
    compiled = jax.jit(replay.sample)(memory, jax.random.key(1), 3)
    jax.tree.map(np.testing.assert_array_equal, eager, compiled)
    assert set(serials(eager, 3)) == set(range(7, 19))


def test_seeds_have_buffers_of_their_own_under_vmap() -> None:
    replay = Replay(capacity=12, batch_size=200, warmup_steps=0)
    empty = replay.init(EXAMPLE, 2, 2)
    memory = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), empty)
    for count in range(4):
        rollouts = [rollout(count, 2, 2, offset=1 + 1000 * seed) for seed in range(3)]
        memory = jax.vmap(replay.add, in_axes=(0, 0, None))(
            memory, jax.tree.map(lambda *leaves: np.stack(leaves), *rollouts), count
        )
    keys = jax.random.split(jax.random.key(2), 3)
    sampled = jax.vmap(replay.sample, in_axes=(0, 0, None))(memory, keys, 4)
    for seed in range(3):
        drawn = serials(jax.tree.map(lambda leaf, seed=seed: leaf[seed], sampled), 2)
        assert set(drawn - 1000 * seed) == set(range(5, 17))


def test_types_are_kept() -> None:
    replay = Replay(capacity=4, batch_size=2, warmup_steps=0)
    memory = replay.init(EXAMPLE, 1, 2)
    memory = replay.add(memory, rollout(0, 1, 2), 0)
    sampled = replay.sample(memory, jax.random.key(0), 1)
    assert jax.tree.map(lambda leaf: leaf.dtype, sampled) == jax.tree.map(lambda leaf: leaf.dtype, EXAMPLE)
    assert jax.tree.map(lambda leaf: leaf.shape[1:], sampled) == jax.tree.map(np.shape, EXAMPLE)


@pytest.mark.parametrize(
    ("length", "num_envs", "capacity"), [(1, 3, 10), (7, 1, 10), (4, 4, 15), (1, 11, 10), (5, 2, 101)]
)
def test_rollouts_that_do_not_divide_the_buffer_are_refused(
    length: int, num_envs: int, capacity: int
) -> None:
    replay = Replay(capacity=capacity, batch_size=1, warmup_steps=0)
    with pytest.raises(InvalidInput) as caught:
        replay.init(EXAMPLE, length, num_envs)
    message = str(caught.value)
    assert "\n" not in message
    assert f"buffer of {capacity} transitions" in message
    assert f"{length} steps × {num_envs} environments = {length * num_envs}" in message
    suggested = re.search(r"such as (\d+)$", message)
    assert suggested is not None
    Replay(int(suggested[1]), batch_size=1, warmup_steps=0).init(EXAMPLE, length, num_envs)


@pytest.mark.parametrize("count", [0, np.int32(0), jnp.int32(0), -1])
def test_an_empty_buffer_is_not_sampled(count: Any) -> None:
    replay = Replay(capacity=4, batch_size=1, warmup_steps=0)
    memory = replay.init(EXAMPLE, 1, 2)
    with pytest.raises(InvalidInput, match="empty replay buffer"):
        replay.sample(memory, jax.random.key(0), count)


def test_the_last_rollout_is_returned_whole_and_in_order() -> None:
    last = LastRollout()
    memory = last.init(EXAMPLE, 4, 3)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), memory)
    add, sample = jax.jit(last.add), jax.jit(last.sample)
    for index in range(3):
        given = rollout(index, 4, 3)
        memory = add(memory, given, index)
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), memory) == shapes
        returned = sample(memory, jax.random.fold_in(jax.random.key(0), index), index + 1)
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(returned), given)
