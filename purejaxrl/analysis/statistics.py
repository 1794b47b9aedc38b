"""Statistics over seeds, and over the tasks that an algorithm was run on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from purejaxrl.types import InvalidInput


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
    tails = _tails(confidence)

    def interval(column: np.ndarray) -> np.ndarray:
        present = column[~np.isnan(column)]
        if not len(present):
            return np.full(2, np.nan)
        drawn = np.random.default_rng(0).integers(len(present), size=(resamples, len(present)))
        return np.quantile(present[drawn].mean(axis=1), tails)

    low, high = np.apply_along_axis(interval, 0, np.asarray(values, np.float64))
    return low, high


Statistic = Callable[[np.ndarray], np.ndarray]
"""Of scores ``[…, num_runs, num_tasks]`` one number each, ``[…]``."""


def mean_score(scores: np.ndarray) -> np.ndarray:
    """The mean over runs and tasks of scores ``[…, num_runs, num_tasks]``; ``[num_runs]`` is one task."""
    return _scores(scores).mean(axis=(-2, -1))


def median_score(scores: np.ndarray) -> np.ndarray:
    """The median over tasks of the mean over runs of scores ``[…, num_runs, num_tasks]``."""
    return np.median(_scores(scores).mean(axis=-2), axis=-1)


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean of scores ``[…, num_runs, num_tasks]`` without the lowest and the highest quarter.

    Runs and tasks are taken together. It is not moved by a few outliers, as the mean is, and does not
    ignore almost everything, as the median does. A quarter that is no whole number is rounded down.

    Source: Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical
    precipice", section 4.3.
    """
    scores = _scores(scores)
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    return flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)


def optimality_gap(scores: np.ndarray, optimum: float = 1.0) -> np.ndarray:
    """How far scores ``[…, num_runs, num_tasks]`` fall short of ``optimum`` on average, none above it."""
    return optimum - np.minimum(_scores(scores), optimum).mean(axis=(-2, -1))


def stratified_interval(
    scores: np.ndarray, statistic: Statistic = mean_score, confidence: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """A percentile bootstrap interval of a statistic, the runs drawn anew within each task.

    Args:
        scores: ``[num_runs, num_tasks]``, all finite; ``[num_runs]`` is one task, and the interval of
            the mean then is :func:`bootstrap_interval`'s.
        statistic: what the interval is of.
        confidence: the share of intervals that hold the true value.
        resamples: how often the runs are drawn. The draws are fixed: the same scores give the same
            interval.

    Raises:
        InvalidInput: the scores have another shape, or one is missing.

    Source: Agarwal et al. (2021), section 4.1.
    """
    scores = _scores(scores, ndim=2)
    drawn = _draws(np.random.default_rng(0), scores.shape, resamples)
    values = statistic(np.take_along_axis(scores[None], drawn, axis=1))
    low, high = np.quantile(values, _tails(confidence))
    return float(low), float(high)


def probability_of_improvement(first: np.ndarray, second: np.ndarray) -> float:
    """How likely a run of the first algorithm is to score higher than one of the second; ties are halves.

    It is the Mann-Whitney statistic of each task over its pairs of runs, averaged over tasks.

    Args:
        first: scores ``[num_runs, num_tasks]``, or ``[num_runs]`` of one task.
        second: the other's, with its own number of runs, on the same tasks.

    Raises:
        InvalidInput: the shapes do not fit, or a score is missing.

    Source: Agarwal et al. (2021), section 4.3; Mann & Whitney (1947).
    """
    return float(_wins(first, second).mean())


def improvement_interval(
    first: np.ndarray, second: np.ndarray, confidence: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """The stratified bootstrap interval of :func:`probability_of_improvement`, for the same arguments.

    The runs of either algorithm are drawn anew, independently, within each task.
    """
    wins = _wins(first, second)
    generator = np.random.default_rng(0)
    total = np.zeros(resamples)
    for task in wins:
        # How often each run was drawn says all of a draw; no pair is compared twice.
        times = [
            np.apply_along_axis(
                np.bincount, 1, generator.integers(number, size=(resamples, number)), minlength=number
            )
            for number in task.shape
        ]
        total += np.sum((times[0] @ task) * times[1], axis=1) / task.size
    low, high = np.quantile(total / len(wins), _tails(confidence))
    return float(low), float(high)


def performance_profile(
    scores: np.ndarray, thresholds: np.ndarray, confidence: float = 0.95, resamples: int = 2000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The share of runs that score more than each threshold, with a stratified bootstrap band.

    Args:
        scores: ``[num_runs, num_tasks]``, all finite; ``[num_runs]`` is one task.
        thresholds: ``[thresholds]``.
        confidence: of the band, at each threshold by itself.
        resamples: as in :func:`stratified_interval`.

    Returns:
        The share, and the lower and the upper end of its interval, each ``[thresholds]``.

    Raises:
        InvalidInput: the scores have another shape, or one is missing.

    Source: Agarwal et al. (2021), section 4.2, run-score distributions.
    """
    scores = _scores(scores, ndim=2)
    drawn = _draws(np.random.default_rng(0), scores.shape, resamples)
    resampled = np.sort(np.take_along_axis(scores[None], drawn, axis=1).reshape(resamples, -1), axis=1)
    thresholds = np.asarray(thresholds, np.float64)
    below = np.stack([np.searchsorted(row, thresholds, side="right") for row in resampled])
    low, high = np.quantile(1 - below / scores.size, _tails(confidence), axis=0)
    share = np.mean(scores[..., None] > thresholds, axis=(0, 1))
    return share, low, high


def _scores(scores: np.ndarray, ndim: int | None = None) -> np.ndarray:
    """Scores ``[…, num_runs, num_tasks]`` as they were given, or as ``[num_runs, 1]``."""
    scores = np.asarray(scores, np.float64)
    scores = scores[:, None] if scores.ndim == 1 else scores
    if scores.ndim < 2 or 0 in scores.shape or ndim not in (None, scores.ndim):
        raise InvalidInput(
            f"scores must be [num_runs, num_tasks], one or more of each, not of shape {scores.shape}"
        )
    if not np.all(np.isfinite(scores)):
        raise InvalidInput(f"{np.sum(~np.isfinite(scores))} of {scores.size} scores are NaN or infinite")
    return scores


def _draws(generator: np.random.Generator, shape: tuple[int, ...], resamples: int) -> np.ndarray:
    """For each task which runs are drawn, ``[resamples, num_runs, num_tasks]``."""
    return generator.integers(shape[0], size=(resamples, *shape))


def _tails(confidence: float) -> list[float]:
    return [(1 - confidence) / 2, (1 + confidence) / 2]


def _wins(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether a run of the first beats one of the second, 1, ½ or 0: ``[num_tasks, runs, runs]``."""
    first, second = _scores(first, ndim=2), _scores(second, ndim=2)
    if first.shape[1] != second.shape[1]:
        raise InvalidInput(
            f"both must have the same tasks; the first has {first.shape[1]}, the second {second.shape[1]}"
        )
    difference = first.T[:, :, None] - second.T[:, None, :]
    return 0.5 * (np.sign(difference) + 1.0)
