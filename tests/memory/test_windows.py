"""Memories of several steps beside a slow model: a list of everything that was ever stored."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from memory_cases import EXAMPLE, Model, rollout, serials, transitions

from purejaxrl.memory import LastRollout, PrioritisedReplay, Replay, SequenceReplay, Window
from purejaxrl.types import InvalidInput, Transition

# T steps of B environments into a buffer of so many transitions, read n at a time. Some n are longer
# than a rollout, than two, as long as the ring, and as long as all but a step of it.
SIZES = [
    (1, 1, 7, 3),
    (1, 1, 4, 4),
    (1, 3, 18, 5),
    (3, 2, 18, 2),
    (4, 3, 36, 4),
    (2, 2, 20, 5),
    (3, 1, 6, 6),
    (3, 2, 24, 11),
]
SIZE_NAMES = ("length", "num_envs", "capacity", "n")


def draws(memory: Any, length: int, num_envs: int, rollouts: int) -> Any:
    """What a memory gives after each of so many rollouts, from the first that it can be sampled at."""
    state = memory.init(EXAMPLE, length, num_envs)
    add, sample = jax.jit(memory.add), jax.jit(memory.sample)
    model = Model(memory.capacity, length, num_envs, getattr(memory, "n_step", 0) or memory.length)
    for count in range(1, rollouts + 1):
        state = add(state, rollout(count - 1, length, num_envs), count - 1)
        model.add()
        key = jax.random.fold_in(jax.random.key(5), count)
        if model.starts():
            yield model, jax.device_get(sample(state, key, count))
        else:
            with pytest.raises(InvalidInput, match="steps in a row"):
                memory.sample(state, key, count)


@pytest.mark.parametrize(SIZE_NAMES, SIZES)
def test_n_step_samples_are_the_model_s(length: int, num_envs: int, capacity: int, n: int) -> None:
    memory = Replay(capacity, 40 * capacity, 0, n_step=n)
    for model, sampled in draws(memory, length, num_envs, 2 * capacity // (length * num_envs) + 3):
        first = sampled.observation["serial"].astype(int)
        starts = np.array(model.starts())
        np.testing.assert_array_equal(np.unique(first), np.sort(starts))  # none else, and none left out
        if len(starts) > 1:
            assert scipy.stats.chisquare(np.unique(first, return_counts=True)[1]).pvalue > 1e-5
        jax.tree.map(np.testing.assert_array_equal, sampled, model.n_steps(first))


def test_the_end_of_an_episode_ends_what_counts() -> None:
    # One environment's serials 1 … 10: 3 terminates and 8 is truncated; the reward of s is 2s + 1.
    memory = Replay(capacity=10, batch_size=200, warmup_steps=0, n_step=4)
    state = memory.add(memory.init(EXAMPLE, 10, 1), rollout(0, 10, 1), 0)
    sampled = jax.device_get(jax.jit(memory.sample)(state, jax.random.key(0), 1))
    expected = {  # rewards, the successor, which step is terminal, which is truncated
        1: ([3, 5, 7, 0], -3, 2, None),
        2: ([5, 7, 0, 0], -3, 1, None),
        3: ([7, 0, 0, 0], -3, 0, None),
        4: ([9, 11, 13, 15], 8, None, None),
        5: ([11, 13, 15, 17], -8, None, 3),
        6: ([13, 15, 17, 0], -8, None, 2),
        7: ([15, 17, 0, 0], -8, None, 1),
    }
    rows = {int(serial): row for row, serial in enumerate(sampled.observation["serial"])}
    assert set(rows) == set(expected)
    for serial, (reward, successor, terminal, truncated) in expected.items():
        row = jax.tree.map(lambda leaf, serial=serial: leaf[rows[serial]], sampled)
        assert row.reward.tolist() == reward
        assert row.next_observation["serial"] == successor
        assert row.terminated.tolist() == [step == terminal for step in range(4)]
        assert row.truncated.tolist() == [step == truncated for step in range(4)]
        assert row.action == serial * 7 % 11
        assert row.extras["log_probability"] == -serial / 2


def test_a_step_that_ends_both_ways_keeps_both_flags() -> None:
    memory = Replay(capacity=3, batch_size=8, warmup_steps=0, n_step=2)
    both = dataclasses.replace(
        transitions(np.array([[1], [2], [4]]), 1),
        terminated=np.array([[True], [False], [False]]),
        truncated=np.array([[True], [True], [False]]),
    )
    sampled = memory.sample(memory.add(memory.init(EXAMPLE, 3, 1), both, 0), jax.random.key(0), 1)
    for serial, reward, flags in zip(
        sampled.observation["serial"],
        sampled.reward.tolist(),
        np.stack([sampled.terminated, sampled.truncated], 1).tolist(),
        strict=True,
    ):
        assert reward == ([3, 0] if serial == 1 else [5, 0])
        assert flags == ([[True, False], [True, False]] if serial == 1 else [[False, False], [True, False]])


@pytest.mark.parametrize(SIZE_NAMES, SIZES)
def test_sequences_are_the_model_s(length: int, num_envs: int, capacity: int, n: int) -> None:
    memory = SequenceReplay(capacity, 40 * capacity, 0, length=n)
    for model, sampled in draws(memory, length, num_envs, 2 * capacity // (length * num_envs) + 3):
        found = serials(sampled, num_envs)  # looks at every field
        assert found.shape == (40 * capacity, n)
        np.testing.assert_array_equal(found, found[:, :1] + num_envs * np.arange(n))
        np.testing.assert_array_equal(np.unique(found[:, 0]), np.sort(model.starts()))
        if len(model.starts()) > 1:
            assert scipy.stats.chisquare(np.unique(found[:, 0], return_counts=True)[1]).pvalue > 1e-5


@pytest.mark.parametrize(("extra", "length"), [(0, 3), (2, 3), (3, 3), (7, 3), (4, 1)])
def test_a_window_is_the_last_steps_in_order(extra: int, length: int) -> None:
    memory = Window(extra)
    state = memory.init(EXAMPLE, length, 2)
    shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state)
    add, sample = jax.jit(memory.add), jax.jit(memory.sample)
    rollouts = memory.warmup(length, 2) / (length * 2)
    assert (rollouts + 1) * length >= extra + length > rollouts * length
    for count in range(1, 7 + extra):
        state = add(state, rollout(count - 1, length, 2), count - 1)
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == shapes
        if count > rollouts:
            found = serials(jax.device_get(sample(state, jax.random.key(0), count)), 2)
            newest = count * length * 2
            expected = 1 + np.arange(newest).reshape(-1, 2)[-(extra + length) :]
            np.testing.assert_array_equal(found, expected)
        else:
            with pytest.raises(InvalidInput, match=rf"{extra + length} steps after {count} rollouts"):
                memory.sample(state, jax.random.key(0), count)


def test_a_window_without_extra_steps_is_the_last_rollout() -> None:
    given = rollout(3, 4, 2)
    window = Window(0).add(Window(0).init(EXAMPLE, 4, 2), given, 0)
    last = LastRollout().add(LastRollout().init(EXAMPLE, 4, 2), given, 0)
    jax.tree.map(np.testing.assert_array_equal, window, last)
    assert Window(0).warmup(4, 2) == LastRollout().warmup(4, 2) == 0


@pytest.mark.parametrize("n", [1, 2, 4, 5, 8, 9])
@pytest.mark.parametrize("warmup_steps", [0, 7, 100])
def test_warm_up_leaves_a_window_of_each_environment(n: int, warmup_steps: int) -> None:
    length, num_envs = 4, 3
    for memory in (
        Replay(48, 1, warmup_steps, n),
        PrioritisedReplay(48, 1, warmup_steps, n),
        SequenceReplay(48, 1, warmup_steps, n),
    ):
        steps = memory.warmup(length, num_envs)
        iterations = -(-steps // (length * num_envs))
        assert steps >= warmup_steps
        assert (iterations + 1) * length >= n  # the first update follows one more rollout
        if warmup_steps == 0:
            assert iterations * length < n  # and no more than it takes


def filled(memory: Any, rollouts: int) -> Any:
    """The memory's state after so many rollouts of 2 steps of 2 environments, the last of them cut off."""
    state = memory.init(EXAMPLE, 2, 2)
    for count in range(rollouts):
        state = memory.add(state, rollout(count, 2, 2), count)
    return memory.cut(state, rollouts)


@pytest.mark.parametrize("rollouts", [3, 7])  # the last slot of the ring, and the first once it is full
@pytest.mark.parametrize("prioritised", [False, True])
def test_n_steps_do_not_reach_over_a_cut(prioritised: bool, rollouts: int) -> None:
    memory: Any = (PrioritisedReplay if prioritised else Replay)(12, 300, 0, n_step=3)
    state = memory.add(filled(memory, rollouts), rollout(rollouts, 2, 2), rollouts)
    sampled = jax.device_get(memory.sample(state, jax.random.key(0), rollouts + 1))
    sampled = sampled.transition if prioritised else sampled
    first = sampled.observation["serial"].astype(int)
    seam = 4 * rollouts  # the last step of the second environment before the cut; the first's is seam - 1
    before, over = np.isin(first, [seam - 1, seam]), np.isin(first, [seam - 3, seam - 2])
    assert before.any()
    assert over.any()
    np.testing.assert_array_equal(sampled.reward[before] != 0, [[True, False, False]] * before.sum())
    np.testing.assert_array_equal(np.any((sampled.terminated | sampled.truncated)[over], axis=1), True)
    np.testing.assert_array_equal(sampled.reward[over, 2], 0)
    # Elsewhere nothing has changed.
    whole = Model(12, 2, 2, 3, rollouts + 1).n_steps(first)
    np.testing.assert_array_equal(sampled.reward[~before & ~over], whole.reward[~before & ~over])


def test_sequences_and_windows_see_a_cut() -> None:
    for memory in (SequenceReplay(12, 50, 0, 4), Window(2)):
        state = memory.add(filled(memory, 3), rollout(3, 2, 2), 3)
        sampled = jax.device_get(memory.sample(state, jax.random.key(0), 4))
        serial = sampled.observation["serial"].astype(int)
        expected = transitions(serial, 2)
        cut = np.isin(serial, [11, 12])  # of which 11 and 12 end nothing by themselves
        assert cut.any()
        np.testing.assert_array_equal(sampled.truncated, expected.truncated | cut)
        np.testing.assert_array_equal(sampled.terminated, expected.terminated)
    rollouts = LastRollout()
    state = rollout(0, 2, 2)
    assert rollouts.cut(state, 1) is state


def test_a_step_that_terminated_is_not_cut_off() -> None:
    memory = Replay(12, 1, 0)
    state = memory.add(memory.init(EXAMPLE, 1, 2), rollout(1, 1, 2), 0)  # serials 3, which ends, and 4
    state = memory.cut(state, 1)
    np.testing.assert_array_equal(state.terminated[:, 0, 0], [True, False])
    np.testing.assert_array_equal(state.truncated[:, 0, 0], [False, True])


@pytest.mark.parametrize("build", [
    lambda n: Replay(24, 1, 0, n_step=n),
    lambda n: PrioritisedReplay(24, 1, 0, n_step=n),
    lambda n: SequenceReplay(24, 1, 0, length=n),
])  # fmt: skip
def test_what_cannot_be_is_refused(build: Any) -> None:
    with pytest.raises(InvalidInput, match=r"12 steps of each of 2 environments, but 13 in a row.* 26$"):
        build(13).init(EXAMPLE, 1, 2)
    with pytest.raises(InvalidInput, match=r"must be a multiple of 10"):
        build(2).init(EXAMPLE, 5, 2)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(InvalidInput, match="must be a whole number of at least 1"):
            build(wrong).init(EXAMPLE, 1, 2)
        with pytest.raises(InvalidInput, match="must be a whole number of at least 1"):
            build(wrong).warmup(1, 2)
    memory = build(5)
    state = memory.init(EXAMPLE, 2, 2)
    with pytest.raises(InvalidInput, match="empty replay buffer"):
        memory.sample(state, jax.random.key(0), 0)
    with pytest.raises(InvalidInput, match=r"cannot sample 5 steps in a row from .* 2 rollouts of 2 steps"):
        memory.sample(state, jax.random.key(0), 2)
    with pytest.raises(InvalidInput, match="extra must be"):
        Window(-1).init(EXAMPLE, 2, 2)
    with pytest.raises(InvalidInput, match="rollout_length must be at least 3 here, not 2"):
        Window(1, shortest=3).init(EXAMPLE, 2, 2)


def test_seeds_have_windows_of_their_own_under_vmap() -> None:
    memory = Replay(capacity=12, batch_size=100, warmup_steps=0, n_step=2)
    state = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), memory.init(EXAMPLE, 2, 2))
    for count in range(4):
        rollouts = [rollout(count, 2, 2, offset=1 + 1000 * seed) for seed in range(3)]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *rollouts)
        state = jax.vmap(memory.add, in_axes=(0, 0, None))(state, stacked, count)
    keys = jax.random.split(jax.random.key(2), 3)
    sampled = jax.device_get(jax.vmap(memory.sample, in_axes=(0, 0, None))(state, keys, 4))
    for seed in range(3):
        mine: Transition = jax.tree.map(lambda leaf, seed=seed: leaf[seed], sampled)
        first = mine.observation["serial"].astype(int)
        assert set(first - 1000 * seed) == set(range(5, 15))
        jax.tree.map(np.testing.assert_array_equal, mine, Model(12, 2, 2, 2).n_steps(first))
