"""Learning curves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from purejaxrl.analysis.figures import blank_figure
from purejaxrl.analysis.statistics import bootstrap_interval
from purejaxrl.types import InvalidInput

RETURNS = {"evaluation_return": "greedy evaluation", "episode_return": "training episodes"}
LEGEND_ROWS = 22  # of a legend beside the curves


def plot_learning_curve(metrics: Mapping[str, np.ndarray], path: Path, title: str) -> None:
    """Draws return against environment steps: mean over seeds, 95 % bootstrap band, every seed faint.

    Args:
        metrics: arrays ``[num_seeds, epochs]``, as :func:`purejaxrl.training.read_metrics` gives them.
        path: where to write; the ending chooses PNG or SVG.
        title: above the picture.
    """
    figure = blank_figure(7, 4.2)
    axes = figure.add_subplot()
    for (name, label), colour in zip(RETURNS.items(), ("tab:blue", "tab:orange"), strict=True):
        if measured(metrics, name):
            axes.plot(steps_of(metrics), metrics[name].T, color=colour, alpha=0.12, linewidth=0.7)
            _draw(axes, metrics, name, colour, label)
    title = f"{title}: mean of {len(metrics['environment_steps'])} seeds, 95 % bootstrap band"
    _finish(axes, title, "episode return")
    figure.savefig(path, dpi=150)


def plot_comparison(curves: Mapping[str, Mapping[str, np.ndarray]], path: Path, title: str) -> None:
    """Draws the returns of several runs over each other: mean over seeds and 95 % bootstrap band.

    The returns are the greedy policy's, or training's where no run was evaluated; a run that has none of
    them is named without a curve.

    Args:
        curves: for each label a run's arrays ``[num_seeds, epochs]``, as
            :func:`purejaxrl.training.read_metrics` gives them. Runs may differ in both.
        path: where to write; the ending chooses PNG or SVG.
        title: above the picture.

    Raises:
        InvalidInput: there is no run.
    """
    if not curves:
        raise InvalidInput("a comparison needs one run or more, not none")
    evaluated = any(measured(metrics, "evaluation_return") for metrics in curves.values())
    name = "evaluation_return" if evaluated else "episode_return"
    beside = _legend_inches(list(curves))
    figure = blank_figure(7 + beside, 4.2)
    axes = figure.add_subplot()
    for (label, metrics), colour in zip(curves.items(), _colours(len(curves)), strict=True):
        if measured(metrics, name):
            _draw(axes, metrics, name, colour, label, band=0.08 if beside else 0.18)
        else:
            axes.plot([], [], color=colour, label=f"{label} (no values)")
    counts = sorted({len(metrics["environment_steps"]) for metrics in curves.values()})
    seeds = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    title = f"{title}: mean of {seeds} seeds, 95 % bootstrap band"
    _finish(axes, title, f"episode return, {RETURNS[name]}", legend_beside=beside > 0)
    figure.savefig(path, dpi=150)


def measured(metrics: Mapping[str, np.ndarray], name: str) -> bool:
    """Whether a run has any value of a metric."""
    return name in metrics and not np.all(np.isnan(metrics[name]))


def steps_of(metrics: Mapping[str, np.ndarray]) -> np.ndarray:
    """The environment steps ``[epochs]`` of each seed at the end of each epoch."""
    return np.nanmax(metrics["environment_steps"], axis=0)


def _draw(
    axes: Any, metrics: Mapping[str, np.ndarray], name: str, colour: Any, label: str, band: float = 0.25
) -> None:
    """Adds the mean over seeds of a metric ``[num_seeds, epochs]`` and its interval."""
    values, steps = metrics[name], steps_of(metrics)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an epoch in which no episode ended is a gap
        mean = np.nanmean(values, axis=0)
        low, high = bootstrap_interval(values)
    axes.fill_between(steps, low, high, color=colour, alpha=band, linewidth=0)
    # One epoch makes no line.
    marker = "o" if np.isfinite(mean).sum() == 1 else ""
    axes.plot(steps, mean, color=colour, linewidth=1.8, label=label, marker=marker)


def _finish(axes: Any, title: str, y_label: str, legend_beside: bool = False) -> None:
    """Adds what is around the curves."""
    from matplotlib.ticker import EngFormatter

    axes.set_xlabel("environment steps of a seed")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_ylabel(y_label)
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    if legend_beside:
        columns = -(-len(axes.get_legend_handles_labels()[1]) // LEGEND_ROWS)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, ncols=columns, borderaxespad=0)
    elif axes.lines:
        axes.legend(loc="best", fontsize=9)


def _legend_inches(labels: list[str]) -> float:
    """The room for a legend beside the curves, which more than eight entries would cover; or 0."""
    if len(labels) <= 8:
        return 0.0
    return -(-len(labels) // LEGEND_ROWS) * (0.6 + 0.07 * max(map(len, labels)))


def _colours(number: int) -> list[Any]:
    """Colours to tell curves apart by, or, of more than ten, in the order of the curves."""
    from matplotlib import colormaps

    if number <= 10:
        return [f"C{index}" for index in range(number)]
    return list(colormaps["turbo"](np.linspace(0.05, 0.95, number)))
