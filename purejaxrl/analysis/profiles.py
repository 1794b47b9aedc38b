"""Pictures that compare algorithms over tasks: performance profiles and probabilities of improvement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from purejaxrl.analysis.curves import _colours
from purejaxrl.analysis.figures import blank_figure
from purejaxrl.analysis.statistics import (
    improvement_interval,
    performance_profile,
    probability_of_improvement,
)
from purejaxrl.types import InvalidInput


def plot_profiles(
    scores: Mapping[str, np.ndarray], path: Path, title: str, thresholds: np.ndarray | None = None
) -> None:
    """Draws for each algorithm the share of runs that score more than a threshold, over the threshold.

    One that lies above another everywhere is better, whatever one asks for; where they cross, it depends.
    The bands are pointwise 95 % stratified bootstrap intervals.

    Args:
        scores: for each label ``[num_runs, num_tasks]``; tasks count alike, so that their scores
            should have been brought to one scale.
        path: where to write; the ending chooses PNG or SVG.
        title: above the picture.
        thresholds: in order; None takes 101 from the lowest score to the highest.

    Raises:
        InvalidInput: there is no algorithm, or a score is missing.
    """
    if not scores:
        raise InvalidInput("a performance profile needs one algorithm or more, not none")
    if thresholds is None:
        lowest, highest = (choose([choose(one) for one in scores.values()]) for choose in (np.min, np.max))
        thresholds = np.linspace(lowest, highest, 101)
    thresholds = np.asarray(thresholds, np.float64)
    figure = blank_figure(7, 4.2)
    axes = figure.add_subplot()
    for (label, values), colour in zip(scores.items(), _colours(len(scores)), strict=True):
        share, low, high = performance_profile(values, thresholds)
        axes.fill_between(thresholds, low, high, color=colour, alpha=0.2, linewidth=0, step="post")
        axes.step(thresholds, share, where="post", color=colour, linewidth=1.8, label=label)
    axes.set_xlabel("score")
    axes.set_ylabel("share of runs that score more")
    axes.set_ylim(-0.02, 1.02)
    axes.set_title(f"{title}: run-score distributions, pointwise 95 % bootstrap bands", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=9)
    figure.savefig(path, dpi=150)


def plot_improvement(scores: Mapping[str, np.ndarray], baseline: str, path: Path, title: str) -> None:
    """Draws how likely a run of each algorithm is to score higher than one of a baseline.

    With 95 % stratified bootstrap intervals; one that holds ½ says nothing either way.

    Args:
        scores: for each label ``[num_runs, num_tasks]``, of the same tasks.
        baseline: the label to compare with.
        path: where to write; the ending chooses PNG or SVG.
        title: above the picture.

    Raises:
        InvalidInput: there is nothing beside the baseline, or the scores do not fit together.
    """
    others = [label for label in scores if label != baseline]
    if baseline not in scores or not others:
        raise InvalidInput(
            f"scores must have the baseline {baseline!r} and one label or more beside it, not"
            f" {', '.join(scores) or 'none'}"
        )
    figure = blank_figure(7, 1.4 + 0.35 * len(others))
    axes = figure.add_subplot()
    for row, (label, colour) in enumerate(zip(others, _colours(len(others)), strict=True)):
        low, high = improvement_interval(scores[label], scores[baseline])
        axes.barh(row, high - low, left=low, height=0.6, color=colour, alpha=0.5)
        middle = probability_of_improvement(scores[label], scores[baseline])
        axes.plot([middle, middle], [row - 0.3, row + 0.3], color=colour, linewidth=2)
    axes.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(others)), others)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"probability of a higher score than {baseline}")
    axes.set_title(f"{title}: probability of improvement, 95 % bootstrap intervals", fontsize=10)
    axes.grid(alpha=0.3, axis="x")
    figure.savefig(path, dpi=150)
