"""Sweeps: which values did best, as a table and as a picture."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from purejaxrl.analysis.figures import blank_figure
from purejaxrl.analysis.statistics import bootstrap_interval
from purejaxrl.training.sweeps import short_names, text
from purejaxrl.types import InvalidInput

MISSING = "–"


def sweep_table(points: Sequence[Mapping[str, Any]], returns: np.ndarray) -> str:
    """A table of a sweep's points, best mean first, with a column for each hyperparameter that varies.

    After them come the mean over seeds ± their standard deviation, the 95 % bootstrap interval of the
    mean, and how many seeds there are to take it of: a mean over few survivors says little.

    Args:
        points: each point's values by name; a name that a point lacks is shown as a dash.
        returns: ``[points, seeds]``; what is not finite is a seed that died.

    Raises:
        InvalidInput: there is no point or no seed, or ``returns`` has another number of points.
    """
    outcome = _outcome(points, returns)
    names = _varying(points)
    digits = _digits(outcome.values)
    mean, deviation, low, high = (
        _column([f"{number:.{digits}f}" for number in numbers])
        for numbers in (outcome.mean, outcome.deviation, outcome.low, outcome.high)
    )
    rows = [[*short_names(names), "return", "95 % interval", "seeds", ""]]
    for index in np.argsort(-np.nan_to_num(outcome.mean, nan=-np.inf), kind="stable"):
        values = [text(points[index].get(name, MISSING)) for name in names]
        figures = [f"{mean[index]} ± {deviation[index]}", f"[{low[index]}, {high[index]}]"]
        if not outcome.alive[index]:
            figures = [MISSING, MISSING]
        seeds = f"{outcome.alive[index]}/{outcome.values.shape[1]}"
        rows.append([*values, *figures, seeds, "best" if outcome.best[index] else ""])
    columns = [_column(column) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def plot_sweep(points: Sequence[Mapping[str, Any]], returns: np.ndarray, path: Path, title: str) -> None:
    """Draws return against what was swept.

    Where one number varies: mean over seeds with its 95 % bootstrap interval, every seed a faint dot.
    Where several things do, a panel for each, with the means of all points in it. The best point is
    marked. Numbers above 0 that span more than a decade have a logarithmic axis; what is no number is a
    category.

    Args:
        points: each point's values by name.
        returns: ``[points, seeds]``; what is not finite is a seed that died.
        path: where to write; the ending chooses PNG or SVG.
        title: above the picture.

    Raises:
        InvalidInput: there is no point or no seed, or ``returns`` has another number of points.
    """
    outcome = _outcome(points, returns)
    if not any(points):
        points = [{"": "defaults"}] * len(points)
    names = _varying(points) or list(dict.fromkeys(name for point in points for name in point))
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    width = 6.2 if columns == 1 else 3.0
    figure = blank_figure(0.8 + width * columns, 4.4 if rows == 1 else 1 + 2.8 * rows)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    for panel, name, shown in zip(panels.flat, names, short_names(names), strict=False):
        axis = _axis([point.get(name, MISSING) for point in points])
        _draw(panel, axis, outcome, alone=len(names) == 1)
        _finish(panel, axis, shown, width)
    for panel in panels[:, 0]:
        panel.set_ylabel("episode return")
    number = outcome.values.shape[1]
    figure.suptitle(f"{title}: mean of {number} seeds, 95 % bootstrap interval", fontsize=10)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    figure.savefig(path, dpi=150)


@dataclasses.dataclass(frozen=True)
class _Outcome:
    """Returns ``[points, seeds]``, NaN where a seed died, and what they come to at each point."""

    values: np.ndarray
    alive: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def best(self) -> np.ndarray:
        """Whether a point is the first that has the highest mean ``[points]``; none if every seed died."""
        best = np.zeros(len(self.mean), bool)
        if np.any(self.alive):
            best[np.nanargmax(self.mean)] = True
        return best


def _outcome(points: Sequence[Mapping[str, Any]], returns: np.ndarray) -> _Outcome:
    returns = np.asarray(returns, np.float64)
    if returns.ndim != 2 or 0 in returns.shape or len(points) != len(returns):
        raise InvalidInput(
            f"returns must be [points, seeds], with one row or more for {len(points)} points, not of shape"
            f" {returns.shape}"
        )
    values = np.where(np.isfinite(returns), returns, np.nan)
    low, high = bootstrap_interval(values.T)
    alive = np.isfinite(values).sum(axis=1)
    mean = np.array([np.nanmean(row) if count else np.nan for row, count in zip(values, alive, strict=True)])
    deviation = np.array(
        [np.nanstd(row) if count else np.nan for row, count in zip(values, alive, strict=True)]
    )
    return _Outcome(values, alive, mean, deviation, low, high)


def _varying(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names whose value is not the same at every point, in the order in which they appear."""
    names = dict.fromkeys(name for point in points for name in point)
    return [name for name in names if len(_distinct([point.get(name, MISSING) for point in points])) > 1]


def _distinct(values: Sequence[Any]) -> list[Any]:
    """Each value once, in order; True is not 1, though they compare equal."""
    found: list[Any] = []
    for value in values:
        if not any(_same(value, other) for other in found):
            found.append(value)
    return found


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _digits(values: np.ndarray) -> int:
    """Digits after the point: two, and more where every return is below 1."""
    largest = np.max(np.abs(values), initial=0.0, where=np.isfinite(values))
    return 2 if largest == 0 else min(max(2, 2 - math.floor(math.log10(largest))), 12)


def _column(cells: Sequence[str]) -> list[str]:
    """Cells of one width, flush right."""
    width = max(len(cell) for cell in cells)
    return [cell.rjust(width) for cell in cells]


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Where a panel has its points."""

    positions: np.ndarray
    """Of each point, with those of one value beside each other."""
    numeric: bool
    logarithmic: bool
    ticks: dict[float, str]
    """Positions to name; empty leaves it to matplotlib."""

    def crowded(self, width: float) -> bool:
        """Whether the ticks' names would run into each other along so many inches."""
        places = np.array(list(self.ticks))
        places = np.log10(places) if self.logarithmic else places
        if len(places) < 2:
            return False
        gap = np.min(np.diff(places)) / (places[-1] - places[0] + (0 if self.numeric else 1.2))
        letter = 0.09  # inches of one, at the ticks' size
        return bool(letter * (max(map(len, self.ticks.values())) + 1) > 0.9 * width * gap)


def _axis(values: Sequence[Any]) -> _Axis:
    """An axis for one hyperparameter's value at each point."""
    numeric = all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool) and math.isfinite(value)
        for value in values
    )
    distinct = sorted(set(values)) if numeric else _distinct(values)
    places = np.array(distinct, np.float64) if numeric else np.arange(len(distinct), dtype=np.float64)
    logarithmic = numeric and places[0] > 0 and places[-1] >= 10 * places[0]
    scaled = np.log10(places) if logarithmic else places
    gap = float(np.min(np.diff(scaled))) if len(scaled) > 1 else 1.0
    which = np.array([next(i for i, one in enumerate(distinct) if _same(one, value)) for value in values])
    positions = scaled[which]
    for index in range(len(distinct)):
        here = which == index
        if np.sum(here) > 1:
            positions[here] += gap * np.linspace(-0.25, 0.25, np.sum(here))
    # A few values that stand apart are ticks of their own: a reader wants to know what was tried.
    apart = len(distinct) <= 6 and gap * 12 >= scaled[-1] - scaled[0]
    ticks = dict(zip(places.tolist(), map(text, distinct), strict=True)) if apart or not numeric else {}
    return _Axis(10**positions if logarithmic else positions, numeric, logarithmic, ticks)


def _draw(panel: Any, axis: _Axis, outcome: _Outcome, alone: bool) -> None:
    """Adds the points' means and intervals and, where there is one panel alone, every seed."""
    order = np.argsort(axis.positions, kind="stable")
    order = order[outcome.alive[order] > 0]
    x, mean = axis.positions, outcome.mean
    if alone:
        seeds = outcome.values.shape[1]
        panel.scatter(
            np.repeat(x, seeds),
            outcome.values.ravel(),
            s=14,
            color="tab:blue",
            alpha=0.25,
            linewidth=0,
            label="a seed",
        )
        if axis.numeric:
            panel.plot(x[order], mean[order], color="tab:blue", linewidth=1.2, alpha=0.6)
    for chosen, colour, label in (
        (order[~outcome.best[order]], "tab:blue", "mean and interval"),
        (order[outcome.best[order]], "tab:orange", "best mean"),
    ):
        if not len(chosen):
            continue
        errors = np.abs([mean[chosen] - outcome.low[chosen], outcome.high[chosen] - mean[chosen]])
        panel.errorbar(
            x[chosen],
            mean[chosen],
            errors,
            color=colour,
            linestyle="",
            marker="o",
            markersize=4.5,
            elinewidth=1.3,
            capsize=2.5,
            label=label,
            zorder=3,
        )
    died = outcome.alive < outcome.values.shape[1]
    if np.any(died):
        floor = panel.get_xaxis_transform()  # at the foot, whatever the returns
        panel.plot(
            x[died],
            np.full(np.sum(died), 0.025),
            "x",
            color="tab:red",
            markersize=5,
            transform=floor,
            label="seeds died",
        )


def _finish(panel: Any, axis: _Axis, name: str, width: float) -> None:
    """Adds the axis of a hyperparameter to a panel of so many inches."""
    panel.set_xlabel(name)
    panel.grid(alpha=0.3)
    if axis.logarithmic:
        panel.set_xscale("log")
    if axis.ticks:
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if axis.crowded(width) else {}
        panel.set_xticks(list(axis.ticks), list(axis.ticks.values()), **turned)
        panel.set_xticks([], minor=True)
    if not axis.numeric:
        panel.set_xlim(-0.6, len(axis.ticks) - 0.4)
