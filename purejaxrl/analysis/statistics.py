"""Statistics over seeds."""

from __future__ import annotations

import numpy as np
import scipy.stats


def bootstrap_interval(
    values: np.ndarray, confidence: float = 0.95, resamples: int = 2000
) -> tuple[np.ndarray, np.ndarray]:
    """A percentile bootstrap interval of the mean over the first axis, which is the seeds'.

    Args:
        values: ``[num_seeds, …]``; NaNs are left out.
        confidence: the share of intervals that hold the true mean.
        resamples: how often the seeds are drawn anew. The draws are fixed: the same values give the
            same interval.

    Returns:
        The lower and the upper end, ``[…]``. With a single seed there is no spread to speak of, and
        both are its value.

    Source: Efron (1979), "Bootstrap methods: another look at the jackknife".
    """
    values = np.asarray(values, np.float64)
    if len(values) == 1:
        return values[0], values[0]
    interval = scipy.stats.bootstrap(
        (values,),
        np.nanmean,
        axis=0,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return interval.low, interval.high
