"""Runs as their folders tell of them, whole or damaged. Nothing here writes, or starts a device."""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from purejaxrl.training.checkpoints import FOLDER
from purejaxrl.training.record import in_use, read_json, read_lines, read_metrics
from purejaxrl.types import InvalidInput

T = TypeVar("T")

State = Literal["running", "done", "interrupted", "stopped", "failed", "killed", "empty", "damaged"]
RETURNS = ("evaluation_return", "episode_return")


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's folder, read. What could not be read is empty, and ``problems`` say why."""

    folder: Path
    state: State
    description: dict[str, Any]  # experiment.json
    curves: dict[str, np.ndarray]  # [members, epochs], of the epochs that all members have
    events: list[dict[str, Any]]
    summary: dict[str, Any]
    problems: tuple[str, ...]

    @property
    def agent(self) -> str:
        """The algorithm's short name."""
        return str(self.description.get("agent", "")).rpartition(".")[2]

    @property
    def points(self) -> list[dict[str, Any]]:
        """What each point of a sweep changes; one that changes nothing where nothing is swept."""
        return self.description.get("points") or [{}]

    @property
    def num_members(self) -> int:
        """Seeds of all points."""
        return len(self.points) * int(self.description.get("num_seeds", 0))

    @property
    def started(self) -> datetime.datetime:
        """When it was begun."""
        try:
            return datetime.datetime.fromisoformat(self.description["session"]["time"]).astimezone()
        except (KeyError, TypeError, ValueError):
            when = self.folder.stat().st_mtime if self.folder.exists() else 0.0
            return datetime.datetime.fromtimestamp(when).astimezone()

    @property
    def epochs(self) -> int | None:
        """How many are done; None where not even the warm-up is."""
        return self.curves["epoch"].shape[1] - 1 if self.curves else None

    @property
    def steps(self) -> np.ndarray:
        """Environment steps of a seed at the end of each epoch ``[epochs]``, the warm-up's first."""
        return np.nanmax(self.curves["environment_steps"], axis=0) if self.curves else np.zeros(0)

    @property
    def alive(self) -> np.ndarray:
        """Which members' numbers are finite ``[members]``, as of the last epoch."""
        return self.curves["alive"][:, -1] == 1 if self.curves else np.zeros(0, bool)

    @property
    def kind(self) -> str:
        """The name of the returns that tell of this run: the greedy policy's where there are any."""
        return next((name for name in RETURNS if np.any(np.isfinite(self.curves.get(name, np.nan)))), "")

    @property
    def returns(self) -> np.ndarray:
        """Those returns ``[members, epochs]``, NaN where a member had died."""
        if not self.kind:
            return np.full((self.num_members, len(self.steps)), np.nan)
        return np.where(self.curves["alive"] == 1, self.curves[self.kind], np.nan)

    @property
    def mean_returns(self) -> np.ndarray:
        """Their means over the living members ``[epochs]``, NaN where there is nothing to average."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return np.nanmean(self.returns, axis=0) if len(self.steps) else np.zeros(0)

    @property
    def best(self) -> float:
        """The highest of the means."""
        finite = self.mean_returns[np.isfinite(self.mean_returns)]
        return float(np.max(finite)) if len(finite) else math.nan

    @property
    def last(self) -> float:
        """The mean of the last epoch."""
        return float(self.mean_returns[-1]) if len(self.steps) else math.nan

    @property
    def checkpoints(self) -> list[int]:
        """Epochs that have a checkpoint, in order."""
        folder = self.folder / FOLDER
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return sorted(int(name) for name in names if name.isdecimal())

    @property
    def best_checkpoint(self) -> int | None:
        """That of the epoch with the highest mean return; None where there is none."""
        means = dict(enumerate(self.mean_returns))
        scored = [epoch for epoch in self.checkpoints if math.isfinite(means.get(epoch, math.nan))]
        return max(scored, key=lambda epoch: (means[epoch], epoch), default=None)


def find_runs(root: Path) -> list[Path]:
    """Folders of runs under ``root``, itself included, in the order of their names.

    Raises:
        InvalidInput: there is no such folder.
    """
    if not root.is_dir():
        raise InvalidInput(f"there is no folder {root}")
    found = []
    for folder, inner, files in os.walk(root):
        if {"experiment.json", "metrics.jsonl"} & set(files):
            found.append(Path(folder))
            inner.clear()  # what a run keeps is no run
        inner.sort()
    return found


def read_run(folder: Path) -> Run:
    """Reads a run's folder; whatever is wrong with it ends up in ``problems``."""
    problems: list[str] = []

    def read(name: str, function: Callable[[], T], otherwise: T) -> T:
        try:
            return function()
        except Exception as error:  # whatever a damaged file makes its reader say
            reason = str(error).partition("\n")[0].removeprefix(f"{folder / name} is damaged: ")
            problems.append(f"{name}: {'there is no ' if isinstance(error, KeyError) else ''}{reason}")
            return otherwise

    def read_object(name: str) -> dict[str, Any]:
        content = read_json(folder / name)
        if content is not None and not isinstance(content, dict):
            raise ValueError("this is no JSON object")
        return content or {}

    def read_curves() -> dict[str, np.ndarray]:
        there = bool(read_lines(folder / "metrics.jsonl"))
        return whole_epochs(read_metrics(folder), description) if there else {}

    running = read(".lock", lambda: in_use(folder), False)
    description = read("experiment.json", lambda: check_description(read_object("experiment.json")), {})
    summary = read("summary.json", lambda: read_object("summary.json"), {})
    events = read("events.jsonl", lambda: read_lines(folder / "events.jsonl"), [])
    curves = read("metrics.jsonl", read_curves, {})
    if not description and not problems and curves:
        problems.append("experiment.json: there is none")
    if not (folder / "metrics.jsonl").exists():
        problems.append("metrics.jsonl: there is none")
    state: State = "killed"
    if running:
        state = "running"
    elif problems:
        state = "damaged"
    elif not curves:
        state = "empty"
    elif summary:
        state = summary.get("ended", "done")
    elif events and events[-1].get("event") == "failed":
        state = "failed"
    return Run(folder, state, description, curves, events, summary, tuple(problems))


def check_description(description: dict[str, Any]) -> dict[str, Any]:
    """The same, once it is seen to have what is looked at here; ValueError where it has not."""
    kinds = {
        "agent": str,
        "environment": str,
        "config": dict,
        "settings": dict,
        "points": list,
        "num_seeds": int,
    }
    for name, kind in kinds.items() if description else ():
        if not isinstance(description.get(name), kind):
            raise ValueError(f"{name} is not there, or is no {kind.__name__}")
    for name in ("total_steps", "num_epochs") if description else ():
        if not isinstance(description["settings"].get(name), int):
            raise ValueError(f"settings.{name} is not there, or is no int")
    return description


def whole_epochs(curves: dict[str, np.ndarray], description: dict[str, Any]) -> dict[str, np.ndarray]:
    """Curves without a last epoch that was only half written; ValueError where more is missing."""
    missing = [name for name in ("epoch", "environment_steps", "alive", *RETURNS) if name not in curves]
    if missing:
        raise ValueError(f"rows lack {', '.join(missing)}")
    there = np.isfinite(curves["epoch"])
    whole = there.shape[1] if there[:, -1].all() else there.shape[1] - 1
    members = description["num_seeds"] * len(description["points"]) if description else len(there)
    if whole and (not there[:, :whole].all() or len(there) != members):
        raise ValueError(f"rows of some of the {members} members are missing")
    return {name: values[:, :whole] for name, values in curves.items()} if whole else {}


def resolve(name: str, root: Path = Path("runs")) -> Path:
    """The folder of a run that is named by its path, or by its name under ``root``.

    Raises:
        InvalidInput: there is no run of that name; the message has those that there are.
    """
    for folder in (Path(name), root / name):
        if any((folder / file).exists() for file in ("experiment.json", "metrics.jsonl")):
            return folder
    for folder in (Path(name), root / name):
        inside = find_runs(folder) if folder.is_dir() else []
        if inside:
            raise InvalidInput(f"{folder} holds several runs, name one of them: {_names(inside)}")
    known = [folder.relative_to(root) for folder in find_runs(root)] if root.is_dir() else []
    raise InvalidInput(f"there is no run {name}" + (f"; {root} has {_names(known)}" if known else ""))


def _names(folders: list[Path]) -> str:
    names = [str(folder) for folder in folders]
    return ", ".join(names if len(names) <= 8 else [*names[:4], "…", *names[-3:]])
