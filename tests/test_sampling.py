"""Draws: in range, uniform, and the same inside of jit and out."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from purejaxrl.sampling import shuffled, uniform_index


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100, 999])
def test_uniform_index_is_uniform(size: int) -> None:
    drawn = np.asarray(uniform_index(jax.random.key(size), (300 * size,), size))
    assert drawn.dtype == np.int32
    assert drawn.min() == 0
    assert drawn.max() == size - 1
    if size > 1:
        assert scipy.stats.chisquare(np.bincount(drawn, minlength=size)).pvalue > 1e-3


@pytest.mark.parametrize("size", [1_000_000, 3 * 2**28, 2**31 - 1])
def test_uniform_index_of_a_large_size(size: int) -> None:
    # 3 · 2**28 goes into 2**32 five and a third times: the worst that a remainder does at a size that
    # a buffer may have is to favour the first third of it by 6 to 5, which the docstring states.
    drawn = np.asarray(uniform_index(jax.random.key(0), (20_000,), size)).astype(float)
    assert drawn.min() >= 0
    assert drawn.max() < size
    frequency = np.histogram(drawn, bins=3, range=(0, size))[0] / len(drawn)
    np.testing.assert_allclose(frequency, 1 / 3, rtol=0.02 + size / 2**32)


def test_uniform_index_takes_a_traced_size_and_any_shape() -> None:
    draw = jax.jit(lambda key, size: uniform_index(key, (50, 4), size))
    for size in (1, 5, 12):
        drawn = draw(jax.random.key(3), jnp.int32(size))
        np.testing.assert_array_equal(drawn, uniform_index(jax.random.key(3), (50, 4), size))
        assert set(np.unique(drawn)) == set(range(size))


def test_uniform_index_differs_from_key_to_key() -> None:
    one, other = (uniform_index(jax.random.key(seed), (100,), 1000) for seed in (0, 1))
    assert np.mean(np.asarray(one) == np.asarray(other)) < 0.05


def test_uniform_index_under_vmap_is_what_each_key_draws_alone() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda key: uniform_index(key, (8,), 13))(jax.random.clone(keys))
    for i in range(3):
        np.testing.assert_array_equal(together[i], uniform_index(keys[i], (8,), 13))


@pytest.mark.parametrize("size", [1, 2, 3, 512, 1000, 2**16, 2**16 + 1])
def test_what_is_shuffled_is_all_of_it(size: int) -> None:
    drawn = np.asarray(jax.jit(shuffled, static_argnums=1)(jax.random.key(size), size))
    assert drawn.dtype == np.int32
    np.testing.assert_array_equal(np.sort(drawn), np.arange(size))
    if size > 3:
        assert np.mean(drawn == np.arange(size)) < 0.1


@pytest.mark.parametrize("size", [2, 4])
def test_every_order_is_as_likely(size: int) -> None:
    keys = jax.random.split(jax.random.key(0), 24_000)
    orders = np.asarray(jax.vmap(shuffled, in_axes=(0, None))(keys, size))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == np.prod(np.arange(1, size + 1))
    assert scipy.stats.chisquare(counts).pvalue > 1e-3
