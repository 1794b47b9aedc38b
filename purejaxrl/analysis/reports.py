"""What runs come to, as tables and sections for a terminal."""

from __future__ import annotations

import collections
import datetime
import itertools
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from purejaxrl.analysis.curves import RETURNS
from purejaxrl.analysis.statistics import bootstrap_interval
from purejaxrl.analysis.sweeps import sweep_table
from purejaxrl.analysis.text import NOTHING, duration, number, quantity, ranges, text_curve
from purejaxrl.training.policies import Episodes
from purejaxrl.training.reading import Run

COLOURS = {
    "running": "cyan",
    "done": "green",
    "interrupted": "yellow",
    "stopped": "yellow",
    "killed": "red",
    "failed": "red",
    "damaged": "red",
}


def list_table(runs: Sequence[Run], root: Path) -> RenderableType:
    """A row for each run, named by its path under ``root``."""
    table = plain_table(
        ("run", "state", "agent", "environment"), ("epochs", "steps", "seeds", "best", "last", "age")
    )
    now = datetime.datetime.now(datetime.UTC)
    for run in runs:
        settings = run.description.get("settings", {})
        trained = "*" if run.kind == "episode_return" else ""
        table.add_row(
            str(run.folder.relative_to(root)) if run.folder != root else str(root),
            Text(run.state, COLOURS.get(run.state, "")),
            run.agent or NOTHING,
            run.description.get("environment", NOTHING),
            f"{NOTHING if run.epochs is None else run.epochs}/{settings.get('num_epochs', NOTHING)}",
            quantity(run.steps[-1]) if len(run.steps) else NOTHING,
            f"{np.sum(run.alive)}/{len(run.alive)}"
            if run.curves
            else f"{NOTHING}/{run.num_members or NOTHING}",
            number(run.best) + trained,
            number(run.last) + trained,
            duration((now - run.started).total_seconds()),
        )
    legend = "steps of a seed, seeds alive, returns: mean over those; * of training episodes, none evaluated"
    return Group(table, Text(legend, "dim"))


def sections(run: Run) -> Iterator[RenderableType]:
    """All that there is to say of a run, part by part under headings."""
    yield Text(str(run.folder), "bold")
    parts: dict[str, Callable[[], RenderableType | None]] = {
        "": lambda: head(run),
        "what is wrong": lambda: "\n".join(run.problems),
        "config and settings": lambda: values(run),
        "sweep": lambda: sweep(run),
        "seeds": lambda: seeds(run),
        "versions": lambda: versions(run),
        "events": lambda: events(run),
        "checkpoints": lambda: checkpoints(run),
        "metrics of the last epoch": lambda: last_metrics(run),
        "return": lambda: curve(run),
    }
    for heading, part in parts.items():
        try:
            content = part()
        except Exception as error:  # whatever a damaged record brings about
            content = f"cannot be told: {type(error).__name__}: {error}"
        if content:
            if heading:
                yield Text(f"\n{heading}", "bold")
            indented = Text(textwrap.indent(content, "  ")) if isinstance(content, str) else None
            yield indented or Padding(content, (0, 0, 0, 2), expand=False)


def head(run: Run) -> RenderableType:
    """What was run, and how far it is."""
    table = Table.grid(padding=(0, 2))
    description, session = run.description, run.description.get("session") or {}
    table.add_row("state", Text(run.state, COLOURS.get(run.state, "")))
    if description:
        options = " ".join(map(str, description.get("environment_options", [])))
        total = description["settings"]["num_epochs"]
        table.add_row("agent", str(description["agent"]))
        table.add_row("environment", f"{description['environment']} {options}".rstrip())
        table.add_row("epochs", f"{NOTHING if run.epochs is None else run.epochs} of {total}")
        table.add_row("devices", counted(description.get("devices") or []))
    age = duration((datetime.datetime.now(datetime.UTC) - run.started).total_seconds())
    table.add_row(
        "begun", f"{run.started:%Y-%m-%d %H:%M:%S %z}, {age} ago, on {session.get('host', NOTHING)}"
    )
    if session.get("command"):
        table.add_row("command", " ".join(map(str, session["command"])))
    if run.summary.get("run_seconds") is not None:
        speed = run.summary.get("environment_steps_per_second") or math.nan
        table.add_row(
            "last session",
            f"compile {run.summary.get('compile_seconds', math.nan):.1f} s, run"
            f" {run.summary['run_seconds']:.1f} s, {speed:,.0f} environment steps a second",
        )
    if run.summary.get("digest"):
        table.add_row("digest", str(run.summary["digest"]))
    return table


def values(run: Run) -> RenderableType | None:
    """Config and settings beside each other."""
    groups = [list(run.description.get(name, {}).items()) for name in ("config", "settings")]
    if not any(groups):
        return None
    table = Table.grid(padding=(0, 3, 0, 0))
    for left, right in itertools.zip_longest(*groups, fillvalue=("", "")):
        table.add_row(left[0], written(left[1]), right[0], written(right[1]))
    return table


def sweep(run: Run) -> str | None:
    """The points of a sweep, best first."""
    if len(run.points) == 1 or not run.curves:
        return None
    return sweep_table(run.points, run.returns[:, -1].reshape(len(run.points), -1))


def seeds(run: Run) -> RenderableType | None:
    """The seeds, with the keys they begin from."""
    if not run.description:
        return None
    keys = run.description.get("keys") or []
    kind, mode = run.description.get("key_type"), run.description.get("seeds")
    lines = [
        f"{run.description['num_seeds']} seeds, {mode}; seed i has the {kind} key"
        f" fold_in(key({run.description.get('seed')}), i), which is"
    ]
    cells = [f"{i}: {','.join(f'{word:08x}' for word in np.ravel(key))}" for i, key in enumerate(keys)]
    shown = cells if len(cells) <= 16 else [*cells[:8], "…", *cells[-4:]]
    lines += ["   ".join(shown[i : i + 3]) for i in range(0, len(shown), 3)]
    alive = run.alive
    if len(alive) and not alive.all():
        dead = np.flatnonzero(~alive).tolist()
        of = " (counted through the points)" if len(run.points) > 1 else ""
        lines.append(f"NaN or infinite: {len(dead)} of {len(alive)}, members {ranges(dead)}{of}")
    return "\n".join(lines)


def versions(run: Run) -> str | None:
    """What it was run with."""
    session = run.description.get("session")
    if not session:
        return None
    packages = {"python": session.get("python"), **session.get("versions", {})}
    named = [f"{name} {version}" for name, version in packages.items()]
    lines = [", ".join(named[i : i + 5]) for i in range(0, len(named), 5)]
    for name, label in (("git", "source"), ("git_here", "where it was started")):
        state = session.get(name)
        if state:
            clean = "clean" if state.get("clean") else "with uncommitted changes"
            lines.append(f"git, {label}: {state.get('commit')}, {clean}")
    return "\n".join(lines)


def events(run: Run) -> RenderableType | None:
    """The log: starts, resumptions, seeds gone wrong, ends."""
    if not run.events:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    for event in run.events[-50:]:
        session = event.get("session") or {}
        told = [event.get("message"), event.get("reason")]
        if session:
            devices = event.get("devices", [])
            told.append(f"{session.get('time', '')} on {session.get('host')}, {len(devices)} devices")
        epoch = f"epoch {event['epoch']}" if "epoch" in event else ""
        table.add_row(str(event.get("event")), epoch, "; ".join(str(each) for each in told if each))
    return table


def checkpoints(run: Run) -> str | None:
    """Epochs that have a checkpoint, with what is known of each."""
    there = run.checkpoints
    if not there:
        return None
    best = run.best_checkpoint
    marks = {there[-1]: ["last"]}
    if best is not None:
        marks[best] = [*marks.get(best, []), "best"]
    lines = []
    for epoch in there:
        mean = run.mean_returns[epoch] if epoch < len(run.mean_returns) else math.nan
        lines.append(f"epoch {epoch}, mean return {number(mean)} {' '.join(marks.get(epoch, []))}".rstrip())
    return "\n".join(lines)


def last_metrics(run: Run) -> RenderableType | None:
    """Every metric of the last epoch, over the living seeds."""
    if not run.curves:
        return None
    apart = ("epoch", "point", "seed", "alive", "members_alive", "new_episodes", "nonfinite_iteration")
    table = plain_table(("",), ("mean", "± std", "lowest", "highest"))
    for name, column in run.curves.items():
        last = column[run.alive, -1]
        last = last[np.isfinite(last)]
        if name not in apart and len(last):
            figures = (np.mean(last), np.std(last), np.min(last), np.max(last))
            table.add_row(name, *(number(float(figure)) for figure in figures))
    return table


def curve(run: Run) -> str | None:
    """The mean return over the run."""
    if not run.kind:
        return None
    heading = f"{RETURNS[run.kind]}, mean over living seeds: best {number(run.best)}, last {number(run.last)}"
    return f"{heading}\n{text_curve(run.steps, run.mean_returns)}"


def evaluation_table(played: Episodes, alive: np.ndarray, labels: Sequence[str]) -> RenderableType:
    """A row for each seed, and their mean with its interval; with points, for each point.

    Args:
        played: the episodes of every member.
        alive: ``[members]``, whose numbers are finite; others do not count in the means.
        labels: of the points; a single empty one where nothing was swept.
    """
    columns = ("finished", "return", "± std", "lowest", "highest", "length")
    table = plain_table(("point", "seed") if labels != [""] else ("seed",), columns)
    seeds = len(alive) // len(labels)
    lines = []
    for member in range(len(alive)):
        point, seed = divmod(member, seeds)
        finished = played.finished[member]
        returns, lengths = played.returns[member][finished], played.lengths[member][finished]
        figures = [math.nan] * 5
        if len(returns):
            figures = [returns.mean(), returns.std(), returns.min(), returns.max(), lengths.mean()]
        first = [labels[point]] if labels != [""] else []
        name = str(seed) if alive[member] else f"{seed}, not finite"
        table.add_row(*first, name, f"{finished.sum()}/{len(finished)}", *(number(float(f)) for f in figures))
    for point, label in enumerate(labels):
        rows = slice(point * seeds, (point + 1) * seeds)
        means = means_of(played, alive)[rows]
        prefix = f"{label}: " if label else ""
        lines.append(prefix + mean_line(means))
    return Group(table, "", *lines)


def means_of(played: Episodes, alive: np.ndarray) -> np.ndarray:
    """The mean return of each member ``[members]``, NaN where it is dead or finished no episode."""
    number_of = played.finished.sum(axis=1)
    totals = np.where(played.finished, played.returns, 0.0).sum(axis=1)
    there = (number_of > 0) & alive
    return np.where(there, totals / np.maximum(number_of, 1), np.nan)


def mean_line(means: np.ndarray) -> str:
    """The mean over seeds, with its spread and its interval, in words."""
    there = means[np.isfinite(means)]
    if not len(there):
        return "no seed finished an episode"
    low, high = bootstrap_interval(there)
    return (
        f"mean {number(there.mean())} ± {number(there.std())} over {len(there)} seeds,"
        f" 95 % interval of the mean [{number(float(low))}, {number(float(high))}]"
    )


def comparison_table(curves: Mapping[str, Mapping[str, np.ndarray]]) -> RenderableType:
    """The last returns of several runs; the labels and curves that the picture has."""
    evaluated = any(np.any(np.isfinite(metrics["evaluation_return"])) for metrics in curves.values())
    name = "evaluation_return" if evaluated else "episode_return"
    table = plain_table(("run",), ("steps", "seeds", "last return", "95 % interval"))
    for label, metrics in curves.items():
        last = metrics[name][:, -1]
        there = last[np.isfinite(last)]
        figures = [NOTHING, NOTHING]
        if len(there):
            low, high = bootstrap_interval(there)
            figures = [
                f"{number(there.mean())} ± {number(there.std())}",
                f"[{number(float(low))}, {number(float(high))}]",
            ]
        steps = quantity(float(np.nanmax(metrics["environment_steps"])))
        table.add_row(label, steps, f"{len(there)}/{len(last)}", *figures)
    return Group(table, Text(f"returns: {RETURNS[name]}, mean ± standard deviation over seeds", "dim"))


def plain_table(left: Sequence[str], right: Sequence[str]) -> Table:
    """A table without rules: columns of words, then columns of numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def counted(names: Sequence[Any]) -> str:
    """Equal names counted: 2 × cpu."""
    counts = collections.Counter(map(str, names))
    return ", ".join(f"{count} × {name}" for name, count in counts.items()) or NOTHING


def written(value: Any) -> str:
    """A value of a record in full."""
    return ", ".join(map(written, value)) if isinstance(value, list) else str(value)
