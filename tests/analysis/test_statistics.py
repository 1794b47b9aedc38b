"""Intervals, against values worked out by hand and against scipy."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.stats

from purejaxrl.analysis import bootstrap_interval


def test_two_seeds_by_hand() -> None:
    # Means of two draws out of {0, 1}: 0 and 1 a quarter of the time each, and else a half.
    assert bootstrap_interval(np.array([0.0, 1.0])) == (0.0, 1.0)
    assert bootstrap_interval(np.array([0.0, 1.0]), confidence=0.4) == (0.5, 0.5)


def test_three_seeds_by_hand() -> None:
    # Means of three draws out of {0, 0, 3} count the threes: P(0) = 8/27, P(≤ 1) = 20/27, P(≤ 2) = 26/27.
    values = np.array([0.0, 0.0, 3.0])
    assert bootstrap_interval(values, confidence=0.95) == (0.0, 3.0)
    assert bootstrap_interval(values, confidence=0.85, resamples=20_000) == (0.0, 2.0)
    assert bootstrap_interval(values, confidence=0.35, resamples=20_000) == (1.0, 1.0)


def test_many_seeds_against_scipy_and_the_normal_approximation() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, (40, 3))
    low, high = bootstrap_interval(values, resamples=10_000)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    np.testing.assert_allclose(low, expected.low, atol=0.03)
    np.testing.assert_allclose(high, expected.high, atol=0.03)
    error = 1.96 * values.std(axis=0) / np.sqrt(40)
    np.testing.assert_allclose(low, values.mean(axis=0) - error, atol=0.08)
    np.testing.assert_allclose(high, values.mean(axis=0) + error, atol=0.08)


def test_an_interval_is_the_same_every_time_and_that_of_each_column() -> None:
    values = np.random.default_rng(0).normal(size=(8, 2, 5))
    low, high = bootstrap_interval(values)
    assert low.shape == high.shape == (2, 5)
    again = bootstrap_interval(values)
    np.testing.assert_array_equal(low, again[0])
    np.testing.assert_array_equal(high, again[1])
    assert bootstrap_interval(values[:, 1, 3]) == (low[1, 3], high[1, 3])


def test_a_single_seed_has_no_spread() -> None:
    low, high = bootstrap_interval(np.array([[3.0, np.nan, 5.0]]))
    np.testing.assert_array_equal(low, [3, np.nan, 5])
    np.testing.assert_array_equal(high, [3, np.nan, 5])


@pytest.mark.parametrize("values", [[7.0] * 5, [7.0, np.nan, np.nan]])
def test_seeds_that_agree_have_no_spread(values: list[float]) -> None:
    assert bootstrap_interval(np.array(values)) == (7.0, 7.0)


def test_what_is_missing_is_left_out() -> None:
    values = np.array([[1.0, np.nan, np.nan], [2.0, 2.0, np.nan], [4.0, 4.0, np.nan], [8.0, np.nan, np.nan]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        low, high = bootstrap_interval(values)
    whole, pair = bootstrap_interval(values[:, 0]), bootstrap_interval(np.array([2.0, 4.0]))
    np.testing.assert_array_equal(low, [whole[0], pair[0], np.nan])
    np.testing.assert_array_equal(high, [whole[1], pair[1], np.nan])
    assert (pair[0], pair[1]) == (2.0, 4.0)


def test_a_wider_confidence_is_a_wider_interval() -> None:
    values = np.random.default_rng(3).normal(size=20)
    widths = [np.diff(bootstrap_interval(values, confidence))[0] for confidence in (0.5, 0.8, 0.95, 0.99)]
    assert widths == sorted(widths)
    assert widths[0] > 0
