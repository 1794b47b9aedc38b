"""Learning curves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from purejaxrl.analysis.statistics import bootstrap_interval


def plot_learning_curve(metrics: Mapping[str, np.ndarray], path: Path, title: str) -> None:
    """Draws return against environment steps: mean over seeds, 95 % bootstrap band, every seed faint.

    Args:
        metrics: arrays ``[num_seeds, epochs]``, as :func:`purejaxrl.training.read_metrics` gives them.
        path: where to write; the ending chooses PNG or SVG.
        title: above the picture.
    """
    # Figures are made without pyplot: no display is touched and no global state is left behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = np.nanmax(metrics["environment_steps"], axis=0)
    curves = {"evaluation_return": "greedy evaluation", "episode_return": "training episodes"}
    for (name, label), colour in zip(curves.items(), ("tab:blue", "tab:orange"), strict=True):
        values = metrics[name]
        if np.all(np.isnan(values)):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an epoch in which no episode ended is a gap
            mean = np.nanmean(values, axis=0)
            low, high = bootstrap_interval(values)
        axes.plot(steps, values.T, color=colour, alpha=0.12, linewidth=0.7)
        axes.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.plot(steps, mean, color=colour, linewidth=1.8, label=label)
    axes.set_xlabel("environment steps of a seed")
    axes.set_ylabel("episode return")
    axes.set_title(f"{title}: mean of {len(metrics['seed'])} seeds, 95 % bootstrap band", fontsize=10)
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend(loc="best", fontsize=9)
    figure.savefig(path, dpi=150)
