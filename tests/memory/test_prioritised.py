"""Prioritised replay draws what it was told, as often as it was told, and adds up without drift."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from memory_cases import EXAMPLE, Model, rollout, transitions

from purejaxrl.memory import Prioritised, PrioritisedReplay, Replay, sum_tree
from purejaxrl.types import Sample, Transition

pytestmark = pytest.mark.as_released


def masses_by_serial(memory: PrioritisedReplay, state: Any, model: Model) -> dict[int, float]:
    """What the leaves say of each row that may be drawn, by the serial number of its first step."""
    leaves = np.asarray(state.tree[0])
    num_envs, slots, length = state.transitions.reward.shape
    stored = np.asarray(state.transitions.observation["serial"]).reshape(num_envs, slots * length)
    found = {}
    for env in range(num_envs):
        for end, mass in enumerate(leaves[env]):
            if mass > 0:
                assert end < slots * length, "a leaf that is no row has a mass"
                found[int(stored[env, (end - memory.n_step + 1) % (slots * length)])] = float(mass)
    return found


def check_sums(tree: sum_tree.Tree) -> None:
    """Every node of every level is the sum of the leaves under it, to rounding."""
    leaves = np.asarray(tree[0], np.float64)
    assert np.isfinite(leaves).all()
    assert (leaves >= 0).all()
    for depth, level in enumerate(tree[1:], 1):
        width = sum_tree.RADIX**depth
        padded = np.pad(leaves, ((0, 0), (0, -leaves.shape[1] % width)))
        exact = padded.reshape(len(leaves), -1, width).sum(-1)
        np.testing.assert_allclose(level[:, : exact.shape[1]], exact, rtol=1e-6)
        assert not np.any(level[:, exact.shape[1] :])


@pytest.mark.parametrize(
    ("length", "num_envs", "capacity", "n"),
    [(3, 2, 18, 1), (1, 1, 5, 5), (4, 3, 120, 3), (3, 1, 6, 6), (2, 2, 40, 6), (1, 20, 140, 3)],
)
def test_masses_and_samples_are_the_model_s(length: int, num_envs: int, capacity: int, n: int) -> None:
    memory = PrioritisedReplay(capacity, 64, 0, n_step=n)
    assert isinstance(memory, Prioritised)
    assert not isinstance(Replay(capacity, 64, 0), Prioritised)
    state = memory.init(EXAMPLE, length, num_envs)
    add, revise = jax.jit(memory.add), jax.jit(memory.revise)
    sample = jax.jit(jax.vmap(memory.sample, in_axes=(None, 0, None)))
    model = Model(capacity, length, num_envs, n)
    expected: dict[int, float] = {}
    largest = 1.0
    random = np.random.default_rng(0)
    for count in range(1, 3 * capacity // (length * num_envs) + 4):
        state = add(state, rollout(count - 1, length, num_envs), count - 1)
        model.add()
        expected = {serial: expected.get(serial, largest) for serial in model.starts()}
        assert masses_by_serial(memory, state, model) == expected
        check_sums(state.tree)
        if not expected:
            continue
        keys = jax.random.split(jax.random.fold_in(jax.random.key(1), count), 2)
        batches = jax.device_get(sample(state, keys, count))
        serials = batches.transition.observation["serial"].astype(int)
        assert batches.index.dtype == np.int32
        for update in range(2):
            row: Transition = jax.tree.map(lambda leaf, update=update: leaf[update], batches.transition)
            of_model = transitions(serials[update], num_envs) if n == 1 else model.n_steps(serials[update])
            jax.tree.map(np.testing.assert_array_equal, row, of_model)
        chance = np.vectorize(expected.get)(serials) * len(expected) / sum(expected.values())
        np.testing.assert_allclose(batches.probability, chance, rtol=1e-5)
        # 64 rows of a small buffer twice over: many are drawn in both, or twice in one of them.
        priorities = (random.exponential(size=serials.shape) * 2).astype(np.float32)
        state = revise(state, batches, priorities)
        for update in range(2):
            for serial in set(serials[update]):
                expected[serial] = float(priorities[update][serials[update] == serial].max())
        largest = max(largest, float(priorities.max()))
        assert masses_by_serial(memory, state, model) == expected
        check_sums(state.tree)


def test_a_hand_worked_tree() -> None:
    # Rows 1 … 20 of one environment weigh as much as their numbers: 136 are in the first node of 16.
    tree = sum_tree.write(sum_tree.empty(1, 20), [(0, jnp.arange(1.0, 21.0)[None])])
    assert [level.shape for level in tree] == [(1, 32), (1, 16)]
    assert tree[1][0, :3].tolist() == [136, 74, 0]
    tree = sum_tree.write(tree, [(15, jnp.zeros((1, 3)))])  # 16, 17 and 18, across the nodes
    assert tree[1][0, :3].tolist() == [120, 39, 0]
    rows = jnp.array([[0, 19, 19], [19, 1, 1]])
    tree = sum_tree.scatter(tree, jnp.zeros((2, 3), jnp.int32), rows, jnp.array([[5.0, 9, 8], [3, 2, 4]]))
    assert tree[0][0, [0, 1, 19]].tolist() == [5, 4, 3]
    assert tree[1][0, :3].tolist() == [126, 22, 0]


def test_each_row_comes_from_a_part_of_the_total_of_its_own() -> None:
    masses = np.random.default_rng(3).exponential(size=(3, 50)).astype(np.float32)
    tree = sum_tree.write(sum_tree.empty(3, 50), [(0, jnp.asarray(masses))])
    env, row, mass, total = jax.device_get(
        jax.jit(lambda key: sum_tree.draw(tree, key, 40))(jax.random.key(0))
    )
    np.testing.assert_array_equal(mass, masses[env, row])
    end = np.cumsum(masses, dtype=np.float64).reshape(3, 50)[env, row]
    part = total / 40
    low = part * np.arange(40)
    assert total == pytest.approx(masses.sum())
    assert (end > low * (1 - 1e-6)).all()
    assert (end - mass < (low + part) * (1 + 1e-6)).all()


@pytest.mark.parametrize("bits", [0, 2**32 - 1, None])
def test_a_row_without_mass_is_never_drawn(bits: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """However rounding falls: points at the ends of their ranges, and masses that swallow each other."""
    if bits is not None:
        monkeypatch.setattr(jax.random, "bits", lambda key, shape, dtype: jnp.full(shape, bits, dtype))
    random = np.random.default_rng(0)
    draw = jax.jit(jax.vmap(lambda tree, key: sum_tree.draw(tree, key, 7), in_axes=(0, 0)))
    masses = 10.0 ** random.uniform(-30, 30, size=(2000, 2, 300))
    masses[::2] = random.uniform(0.1, 1, size=(1000, 2, 300))
    masses *= random.random((2000, 2, 300)) < random.choice([0.01, 0.1, 0.9], (2000, 1, 1))
    masses[:, 0, 17] = 1e-30  # or else there might be none
    masses = masses.astype(np.float32)
    trees = jax.vmap(lambda mass: sum_tree.write(sum_tree.empty(2, 300), [(0, mass)]))(jnp.asarray(masses))
    env, row, mass, total = jax.device_get(draw(trees, jax.random.split(jax.random.key(0), 2000)))
    assert row.max() < 300
    assert env.max() < 2
    np.testing.assert_array_equal(mass, masses[np.arange(2000)[:, None], env, row])
    assert (mass > 0).all()
    np.testing.assert_allclose(total, masses.sum((1, 2), dtype=np.float64), rtol=1e-6)


def million(batch: int) -> tuple[PrioritisedReplay, Any, int]:
    """A memory of 4 × 1000 rows after a million revised priorities, made while experience goes on."""
    memory = PrioritisedReplay(4000, batch, 0, n_step=3)
    state = memory.init(EXAMPLE, 2, 4)
    iterations = -(-1_000_000 // (2 * batch))

    def iterate(state: Any, count: jax.Array) -> tuple[Any, None]:
        key = jax.random.fold_in(jax.random.key(7), count)
        sample_key, size_key = jax.random.split(key)
        # Fields do not matter here, only that there are rows.
        state = memory.add(state, jax.tree.map(jnp.asarray, rollout(0, 2, 4)), count)
        batches = jax.vmap(memory.sample, in_axes=(None, 0, None))(
            state, jax.random.split(sample_key), count + 1
        )
        priorities = 0.2 + jax.random.exponential(size_key, (2, batch)) ** 2
        return memory.revise(state, batches, priorities), None

    state = memory.add(state, rollout(0, 2, 4), 0)
    state, _ = jax.jit(lambda state: jax.lax.scan(iterate, state, 1 + jnp.arange(iterations)))(state)
    return memory, state, iterations + 1


def test_draws_are_in_proportion_after_a_million_updates() -> None:
    memory, state, count = million(128)
    check_sums(state.tree)
    masses = np.asarray(state.tree[0], np.float64)[:, :1000]
    assert np.count_nonzero(masses) == 4 * 998  # of the newest, two of each environment wait

    def many(memory: PrioritisedReplay, key: jax.Array, number: int) -> tuple[np.ndarray, ...]:
        """Environments and last positions of so many batches, and their probabilities."""

        def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            sample = memory.sample(state, key, count)
            return sample.index, sample.probability

        keys = jax.random.split(key, number)
        index, probability = jax.jit(lambda keys: jax.lax.map(draw, keys, batch_size=1000))(keys)
        env, start = np.divmod(index, 1000)
        return env, (start + 2) % 1000, np.asarray(probability)

    # One at a time, so that draws are independent and their counts multinomial.
    env, end, probability = many(dataclasses.replace(memory, batch_size=1), jax.random.key(8), 400_000)
    drawn = np.zeros_like(masses)
    np.add.at(drawn, (env, end), 1)
    exact = masses / masses.sum()
    assert not drawn[masses == 0].any()
    rows = masses > 0
    assert (exact[rows] * drawn.sum()).min() >= 5
    p = scipy.stats.chisquare(drawn[rows], exact[rows] * drawn.sum()).pvalue
    assert 1e-4 < p < 1 - 1e-4
    np.testing.assert_allclose(probability, exact[env, end] * 4 * 998, rtol=1e-5)

    # What is weighted by 1 / probability has the mean that it has over rows drawn uniformly.
    env, end, probability = many(memory, jax.random.key(9), 2000)
    number = np.sqrt(masses)
    uniform = number[rows].mean()
    weighted = (number[env, end] / probability).mean(axis=1)
    error = weighted.std() / np.sqrt(len(weighted))
    assert abs(weighted.mean() - uniform) < 4 * error
    assert error < 0.001 * uniform
    assert number[env, end].mean() > 1.2 * uniform


def test_a_mass_that_is_no_number_is_that_of_a_new_row() -> None:
    memory = PrioritisedReplay(8, 8, 0)
    state = memory.add(memory.init(EXAMPLE, 8, 1), rollout(0, 8, 1), 0)
    add, revise = jax.jit(memory.add), jax.jit(memory.revise)
    index = jnp.arange(8, dtype=jnp.int32)[None]
    batches = Sample(transition=(), index=index, probability=jnp.ones((1, 8)))  # pyright: ignore[reportArgumentType]
    state = revise(state, batches, jnp.array([[3.0, 2.5, 2, 2, 2, 2, 2, 2]]))
    given = jnp.array([[jnp.nan, jnp.inf, -jnp.inf, -1.0, 0.0, 0.5, 1e38, 1e-38]])
    revised = revise(state, batches, given)
    np.testing.assert_allclose(revised.tree[0][0, :8], [3, 3, 3, 1e-30, 1e-30, 0.5, 1e30, 1e-30])
    check_sums(revised.tree)
    assert revised.largest.tolist() == pytest.approx([1e30])
    # Where nothing is known of any row they are drawn alike, and so they are if all are given 0.
    for value in (jnp.nan, 0.0):
        level = revise(state, batches, jnp.full((1, 8), value))
        sampled = jax.jit(memory.sample)(level, jax.random.key(0), 1)
        np.testing.assert_allclose(sampled.probability, 1, rtol=1e-6)
        assert sorted(sampled.index.tolist()) == list(range(8))  # one from each of eight equal parts
        added = add(level, rollout(1, 8, 1), 1)
        np.testing.assert_array_equal(added.tree[0][0, :8], 3)


def test_seeds_under_vmap_are_those_alone() -> None:
    memory = PrioritisedReplay(24, 8, 0, n_step=2)

    def run(key: jax.Array) -> Any:
        def iterate(state: Any, count: jax.Array) -> tuple[Any, jax.Array]:
            state = memory.add(state, jax.tree.map(jnp.asarray, rollout(0, 2, 3)), count)
            sampled = memory.sample(state, jax.random.fold_in(key, count), count + 1)
            batches = jax.tree.map(lambda leaf: leaf[None], sampled)
            priorities = 1.0 + (batches.index * 7 % 5)
            return memory.revise(state, batches, priorities), sampled.index

        return jax.lax.scan(iterate, memory.init(EXAMPLE, 2, 3), jnp.arange(9))

    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.jit(jax.vmap(run))(keys)
    alone = jax.jit(lambda keys: jax.lax.map(run, keys))(keys)
    jax.tree.map(np.testing.assert_array_equal, together, alone)
    assert len({row.tobytes() for row in np.asarray(together[1])}) == 3


@pytest.mark.parametrize("seeds", [None, 3])
def test_nothing_is_copied_whatever_the_capacity(seeds: int | None) -> None:
    """An iteration of a scan writes to the arrays it was given: it has no room for others."""
    memory = PrioritisedReplay(2**18, 8, 0, n_step=3)

    def run(state: Any, key: jax.Array) -> Any:
        def iterate(state: Any, count: jax.Array) -> tuple[Any, None]:
            state = memory.add(state, jax.tree.map(jnp.asarray, rollout(0, 2, 2)), count)
            keys = jax.random.split(jax.random.fold_in(key, count))
            batches = jax.vmap(memory.sample, in_axes=(None, 0, None))(state, keys, count + 1)
            return memory.revise(state, batches, jnp.abs(batches.transition.reward[..., 0])), None

        return jax.lax.scan(iterate, state, 5 + jnp.arange(10))[0]

    state = jax.eval_shape(lambda: memory.init(EXAMPLE, 2, 2))
    key = jax.eval_shape(lambda: jax.random.key(0))
    if seeds:
        state, key = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((seeds, *leaf.shape), leaf.dtype), (state, key)
        )
        run = jax.vmap(run)
    analysis = jax.jit(run, donate_argnums=0).lower(state, key).compile().memory_analysis()
    assert analysis is not None
    smallest = 2**18 * (seeds or 1)  # bytes of an array of flags
    assert analysis.temp_size_in_bytes < smallest / 2
