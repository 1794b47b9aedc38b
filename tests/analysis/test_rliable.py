"""Aggregates over runs and tasks, against rliable (Agarwal et al. 2021)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from purejaxrl import analysis

library = pytest.importorskip("rliable.library", reason="no wheels for this Python")
metrics = pytest.importorskip("rliable.metrics")

RANDOM = np.random.default_rng(5)
SCORES = RANDOM.normal(size=(11, 6)) + RANDOM.normal(size=6)
OTHERS = RANDOM.normal(size=(7, 6)) - 0.2
RESAMPLES = 4000


def test_aggregates_are_rliables() -> None:
    for ours, theirs in (
        (analysis.mean_score, metrics.aggregate_mean),
        (analysis.median_score, metrics.aggregate_median),
        (analysis.interquartile_mean, metrics.aggregate_iqm),
        (analysis.optimality_gap, metrics.aggregate_optimality_gap),
    ):
        for scores in (SCORES, OTHERS, SCORES[:1], SCORES[:, :1]):
            assert ours(scores) == pytest.approx(theirs(scores), rel=1e-12)
        batch = np.stack([SCORES, SCORES[::-1] ** 2])
        np.testing.assert_allclose(ours(batch), [ours(one) for one in batch], rtol=1e-12)


def intervals(function: Any, *scores: np.ndarray) -> np.ndarray:
    """rliable's stratified bootstrap interval of a function, ``[2, …]``."""
    given: Any = scores[0] if len(scores) == 1 else scores
    _, found = library.get_interval_estimates(
        {"all": given}, function, reps=RESAMPLES, random_state=np.random.RandomState(0)
    )
    return found["all"]


def test_stratified_intervals_are_rliables() -> None:
    ours = (analysis.mean_score, analysis.median_score, analysis.interquartile_mean)
    theirs = intervals(
        lambda scores: np.array(
            [metrics.aggregate_mean(scores), metrics.aggregate_median(scores), metrics.aggregate_iqm(scores)]
        ),
        SCORES,
    )
    for statistic, expected in zip(ours, theirs.T, strict=True):
        found = analysis.stratified_interval(SCORES, statistic, resamples=RESAMPLES)
        # Monte Carlo: the ends of 20 such intervals lay within 0.025 of each other; they are 0.4 to 0.6 wide.
        np.testing.assert_allclose(found, expected, atol=0.03)


def test_probability_of_improvement_is_rliables() -> None:
    first, second = np.round(SCORES), np.round(OTHERS)  # with ties
    for pair in ((SCORES, OTHERS), (first, second)):
        expected = metrics.probability_of_improvement(*pair)
        assert analysis.probability_of_improvement(*pair) == pytest.approx(expected, rel=1e-12)
    theirs = intervals(lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), SCORES, OTHERS)
    found = analysis.improvement_interval(SCORES, OTHERS, resamples=RESAMPLES)
    np.testing.assert_allclose(found, theirs[:, 0], atol=0.015)


def test_profiles_are_rliables() -> None:
    thresholds = np.linspace(-2, 2, 9)
    expected, bands = library.create_performance_profile(
        {"all": SCORES}, thresholds, reps=RESAMPLES, confidence_interval_size=0.95
    )
    share, low, high = analysis.performance_profile(SCORES, thresholds, resamples=RESAMPLES)
    np.testing.assert_allclose(share, expected["all"], rtol=1e-12)
    np.testing.assert_allclose([low, high], bands["all"], atol=0.0304)  # two of 66 runs
