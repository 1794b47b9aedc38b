"""Aggregates over runs and tasks, against values worked out by hand; against rliable in test_rliable.py."""

from __future__ import annotations

import numpy as np
import pytest

from purejaxrl import analysis
from purejaxrl.types import InvalidInput

RANDOM = np.random.default_rng(5)
SCORES = RANDOM.normal(size=(11, 6)) + RANDOM.normal(size=6)
OTHERS = RANDOM.normal(size=(7, 6)) - 0.2


def test_interquartile_mean_by_hand() -> None:
    # Of eight, the two lowest and the two highest go; of seven, one of each, a quarter being rounded down.
    assert analysis.interquartile_mean(np.array([100, 1, 2, 3, -50, 4, 5, 0.0])) == (1 + 2 + 3 + 4) / 4
    assert analysis.interquartile_mean(np.array([9, 8, 7, 1, 2, 3, 4.0])) == (8 + 7 + 2 + 3 + 4) / 5
    assert analysis.interquartile_mean(np.array([2.0, 4.0, 9.0])) == 5  # none go
    # Runs and tasks together: the second task's scores are the highest half.
    assert (
        analysis.interquartile_mean(np.array([[0, 10], [2, 20], [4, 30], [6, 40.0]])) == (4 + 6 + 10 + 20) / 4
    )


def test_median_mean_and_gap_by_hand() -> None:
    scores = np.array([[0.0, 0.2, 3.0], [1.0, 0.4, 5.0]])  # means over runs: 0.5, 0.3 and 4
    assert analysis.median_score(scores) == 0.5
    assert analysis.mean_score(scores) == pytest.approx(4.8 / 3)
    assert analysis.optimality_gap(scores) == pytest.approx(1 - (0 + 0.2 + 1 + 1 + 0.4 + 1) / 6)
    assert analysis.optimality_gap(scores, optimum=5.0) == pytest.approx(5 - 9.6 / 6)


def test_strata_narrow_the_interval() -> None:
    # Two tasks far apart, with runs alike: there is no spread within a task, and so none at all.
    scores = np.array([[0.0, 100.0]] * 4)
    assert analysis.stratified_interval(scores) == (50, 50)


def test_one_task_has_the_bootstrap_interval() -> None:
    for column in SCORES.T:
        expected = tuple(map(float, analysis.bootstrap_interval(column)))
        assert analysis.stratified_interval(column) == expected
        assert analysis.stratified_interval(column[:, None]) == expected
    assert analysis.stratified_interval(SCORES) == analysis.stratified_interval(SCORES)


def test_probability_of_improvement_by_hand() -> None:
    # Pairs (1, 0), (1, 2), (2, 0), (2, 2): won, lost, won, tied.
    assert analysis.probability_of_improvement(np.array([1.0, 2.0]), np.array([0.0, 2.0])) == 2.5 / 4
    first = np.array([[1.0, 5.0], [2.0, 5.0]])
    second = np.array([[0.0, 5.0], [2.0, 6.0], [2.0, 7.0]])
    # The first task: 1 + 0 + 0, then 1 + ½ + ½, of 6; the second: two ties of 6.
    assert analysis.probability_of_improvement(first, second) == pytest.approx((3 / 6 + 1 / 6) / 2)
    assert analysis.probability_of_improvement(second, first) == pytest.approx(1 - (3 / 6 + 1 / 6) / 2)


def test_improvement_interval_by_hand() -> None:
    # A run that always wins against two that differ: won or lost by which is drawn, (½)² for either end.
    first, second = np.array([1.0]), np.array([0.0, 2.0])
    assert analysis.improvement_interval(first, second) == (0, 1)
    assert analysis.improvement_interval(first, second, confidence=0.4) == (0.5, 0.5)
    assert analysis.improvement_interval(second + 5, second) == (1, 1)


def test_profile_by_hand() -> None:
    scores, thresholds = np.array([[0.0, 1.0], [2.0, 2.0]]), np.array([-1.0, 0.0, 1.0, 1.5, 2.0])
    share, low, high = analysis.performance_profile(scores, thresholds)
    np.testing.assert_array_equal(share, [1, 0.75, 0.5, 0.5, 0])
    np.testing.assert_array_equal(low, [1, 0.5, 0, 0, 0])
    np.testing.assert_array_equal(high, [1, 1, 1, 1, 0])


def test_what_is_missing_or_misshapen_is_told() -> None:
    with pytest.raises(InvalidInput, match="1 of 3 scores are NaN"):
        analysis.stratified_interval(np.array([1.0, np.nan, 2.0]))
    with pytest.raises(InvalidInput, match=r"\[num_runs, num_tasks\].*\(0, 1\)"):
        analysis.interquartile_mean(np.zeros(0))
    with pytest.raises(InvalidInput, match=r"not of shape \(2, 3, 4\)"):
        analysis.performance_profile(np.zeros((2, 3, 4)), np.zeros(1))
    with pytest.raises(InvalidInput, match="the first has 6, the second 2"):
        analysis.probability_of_improvement(SCORES, OTHERS[:, :2])
