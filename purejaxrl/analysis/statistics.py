"""Statistics over seeds."""

from __future__ import annotations

import numpy as np


def bootstrap_interval(
    values: np.ndarray, confidence: float = 0.95, resamples: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """A percentile bootstrap interval of the mean over the first axis, which is the seeds'.

    Args:
        values: ``[num_seeds, …]``; NaNs are left out, and where there is nothing else both ends are NaN.
        confidence: the share of intervals that hold the true mean.
        resamples: how often the seeds are drawn anew. The draws are fixed: the same values give the
            same interval.

    Returns:
        The lower and the upper end, ``[…]``. With a single seed there is no spread to speak of, and
        both are its value.

    Source: Efron (1979), "Bootstrap methods: another look at the jackknife".
    """
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]

    def interval(column: np.ndarray) -> np.ndarray:
        present = column[~np.isnan(column)]
        if not len(present):
            return np.full(2, np.nan)
        drawn = np.random.default_rng(0).integers(len(present), size=(resamples, len(present)))
        return np.quantile(present[drawn].mean(axis=1), tails)

    low, high = np.apply_along_axis(interval, 0, np.asarray(values, np.float64))
    return low, high
