"""What a run leaves on disk: a folder of its own, never written over.

::

    experiment.json   what is run: config, settings, points, keys, versions, device
    metrics.jsonl     a line for each member and epoch, written as the epoch ends
    events.jsonl      a line for each start, resumption, member gone wrong, and end
    checkpoints/      the last few states and the best
    actions/          what simulators on the host were told, for an exact resumption
    summary.json      how it ended
    curve.png         mean over seeds with a 95 % bootstrap band

A process that is killed at any moment leaves a folder that can be gone on with.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from purejaxrl import checks
from purejaxrl.environments import pools
from purejaxrl.training import provenance, seeds
from purejaxrl.training.experiment import Experiment, Programs
from purejaxrl.types import InvalidInput, Metrics

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: two processes on one folder then go unnoticed
    fcntl = None


class StorageError(RuntimeError):
    """A run's folder could not be written to or read."""


class Record:
    """The folder of one run, open for writing, and locked against other processes.

    Of several processes that share a run one writes (``writes``); for the others every method does
    nothing.
    """

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self.folder, self.writes = folder, writes
        self._metrics: Any = None
        if writes:
            self._lock = lock(folder)
            self._metrics = (folder / "metrics.jsonl").open("a")

    @classmethod
    def create(cls, output: Path | None, name: str) -> Record:
        """Makes a new folder: ``output``, or the next free number of ``name`` under ``runs/``.

        Raises:
            InvalidInput: the folder exists already, or cannot be made or written to.
        """
        folder = make_folder(output, name)
        with _named(folder):
            return cls(folder)

    @classmethod
    def reopen(cls, folder: Path) -> Record:
        """Opens the folder of a run that has begun.

        Raises:
            InvalidInput: another process is at it, it cannot be written to, or what is in it is no run.
        """
        with _named(folder):
            names = {path.name for path in folder.iterdir()}
            if names and not names & {".lock", "metrics.jsonl", "experiment.json", "events.jsonl"}:
                raise InvalidInput(f"{folder} holds no run to resume, and is not empty")
            return cls(folder)

    def write_experiment(
        self, description: dict[str, Any], programs: Programs, session: dict[str, Any]
    ) -> None:
        """Writes what it takes to repeat the run."""
        keys = jax.random.key_data(seeds.keys(description["seed"], description["num_seeds"]))
        devices = [device.device_kind for device in programs.mesh.devices.flat]
        self._write(
            "experiment.json",
            description
            | {
                "keys": np.asarray(keys).tolist(),
                "devices": devices,
                "session": session,
            },
        )

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Writes how long a run is to be that has been made longer."""
        recorded = read_json(self.folder / "experiment.json")
        if recorded is not None and recorded["settings"] != settings:
            self._write("experiment.json", recorded | {"settings": settings})

    def write_metrics(self, rows: list[dict[str, Any]]) -> None:
        """Appends a line for each row.

        Raises:
            StorageError: the disk is full, say. What was written of the rows is cut off on resumption.
        """
        if self.writes:
            with _stored(self.folder / "metrics.jsonl"):
                self._metrics.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
                self._metrics.flush()
                os.fsync(self._metrics.fileno())

    def cut_metrics(self, epoch: int | None) -> None:
        """Drops the lines after those of an epoch, or all of them, and whatever was half written."""
        if self.writes:
            path = self.folder / "metrics.jsonl"
            kept = [row for row in read_lines(path) if epoch is not None and row["epoch"] <= epoch]
            self._metrics.close()
            with _stored(path):
                self._replace("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in kept))
                self._metrics = path.open("a")

    def log(self, event: str, **details: Any) -> None:
        """Appends a line to the log. What goes wrong in doing so is let be: the run matters more."""
        if self.writes:
            line = json.dumps({"event": event, **details}, allow_nan=False, default=str)
            with contextlib.suppress(OSError), (self.folder / "events.jsonl").open("a+b") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(end - 1, 0))
                torn = file.read() not in (b"", b"\n")  # by a full disk: the next line is one of its own
                file.write(b"\n" * torn + line.encode() + b"\n")

    def write_actions(self, epoch: int, actions: pools.Record) -> None:
        """Writes what simulators were told in an epoch, and the seeds they began with."""
        if self.writes:
            folder = self.folder / "actions"
            with _stored(folder):
                folder.mkdir(exist_ok=True)
                partial = folder / ".partial.npz"
                with partial.open("wb") as file:
                    np.savez_compressed(file, **actions._asdict())
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(folder / f"{epoch:06d}.npz")

    def read_actions(self, epoch: int) -> list[pools.Record]:
        """What simulators were told in all epochs up to one.

        Raises:
            InvalidInput: they were not recorded from the beginning.
            StorageError: a file of them is damaged.
        """
        parts = []
        for number in range(epoch + 1):
            path = self.folder / "actions" / f"{number:06d}.npz"
            if not path.exists():
                raise InvalidInput(
                    f"{self.folder} has no record of what its simulators were told in epoch {number}:"
                    " an exact resumption takes a run that was begun with it (--exact-resume), and every"
                    " resumption since; without it the run goes on with new episodes"
                )
            try:
                with np.load(path) as file:
                    parts.append(pools.Record(file["seeds"], file["actions"]))
            except Exception as error:  # whatever a damaged file makes its reader say
                raise StorageError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
        return parts

    def forget_actions(self) -> None:
        """Drops the record of actions, where it no longer leads to the simulators' state."""
        if self.writes:
            shutil.rmtree(self.folder / "actions", ignore_errors=True)

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes how the run ended."""
        self._write("summary.json", summary)

    def remove_summary(self) -> None:
        """A run that is gone on with has not ended."""
        if self.writes:
            (self.folder / "summary.json").unlink(missing_ok=True)

    def close(self) -> None:
        if self.writes:
            with contextlib.suppress(OSError):  # a full disk, and rows that could not be written
                self._metrics.close()
            if self._lock is not None:
                self._lock.close()

    def _write(self, name: str, content: dict[str, Any]) -> None:
        if self.writes:
            with _stored(self.folder / name):
                self._replace(name, json.dumps(content, indent=2, default=str) + "\n")

    def _replace(self, name: str, text: str) -> None:
        # Written beside and moved into place, so that a reader finds the whole file or none.
        partial = self.folder / f".{name}.partial"
        try:
            with partial.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.folder / name)
        finally:
            partial.unlink(missing_ok=True)


def make_folder(output: Path | None, name: str) -> Path:
    """Makes a new folder: ``output``, or the next free number of ``name`` under ``runs/``.

    Raises:
        InvalidInput: the folder exists already, or cannot be made.
    """
    folder = output if output is not None else next(_free(Path("runs"), name))
    with _named(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                if output is not None:
                    raise InvalidInput(
                        f"the output folder {folder} exists already; a run is never written over"
                    ) from None
                folder = next(_free(Path("runs"), name))


def describe(experiment: Experiment[Any], programs: Programs) -> dict[str, Any]:
    """An experiment as plain values: all that decides on its numbers, and on nothing but them."""
    return {
        "agent": experiment.agent.__name__,
        "environment": experiment.environment,
        "environment_options": list(experiment.environment_options),
        "config": checks.numbers(experiment.config),
        "settings": checks.numbers(experiment.settings),
        "points": [{name: checks.plain(value) for name, value in point} for point in experiment.points],
        "seed": experiment.seed,
        "num_seeds": experiment.num_seeds,
        "seeds": programs.seeds,
        # Seeds have the same bits on any devices; environments shared among them round by their number.
        "shard": experiment.shard
        + (f" of {programs.mesh.size}" if experiment.shard == "environments" else ""),
        "key_type": str(jax.random.key_impl(programs.members.key)),
        "decisive_versions": provenance.decisive_versions(experiment.environment),
    }


def differences(recorded: dict[str, Any], given: dict[str, Any], accept_versions: bool = False) -> list[str]:
    """What of an experiment's description is not as recorded, each in words.

    How long a run is to be may differ; see :func:`check_same`.
    """
    a, b = _flatten(recorded), _flatten(given)
    free = ("settings.total_steps", "settings.num_epochs")
    return [
        f"{name}: {a.get(name, 'nothing')!r} in the run, {b.get(name, 'nothing')!r} now"
        for name in [*b, *(name for name in a if name not in b)]
        if a.get(name, ...) != b.get(name, ...)
        and name not in free
        and not (accept_versions and name.startswith("decisive_versions."))
    ]


def check_same(folder: Path, recorded: dict[str, Any], given: dict[str, Any], accept_versions: bool) -> None:
    """Raises InvalidInput, with all that differs, where a run is not the one that was begun."""
    recorded = {name: value for name, value in recorded.items() if name in given}
    different = differences(recorded, given, accept_versions)
    if different:
        hint = ""
        if all(one.startswith("decisive_versions.") for one in different):
            hint = (
                "; accept_versions (--accept-versions) goes on all the same, without a promise of equal bits"
            )
        raise InvalidInput(f"{folder} holds another run: {'; '.join(different)}{hint}")


def rows_of(
    metrics: Metrics, epoch: int, num_seeds: int, alive: np.ndarray, new_episodes: int = 0
) -> list[dict[str, Any]]:
    """Metrics ``[members]`` of one epoch as a flat row for each; what is not finite is None.

    Args:
        metrics: the members', a point's seeds next to each other.
        epoch: of the run, the warm-up being 0.
        num_seeds: of each point.
        alive: ``[members]``, whose numbers have all been finite so far.
        new_episodes: environments whose episodes were cut off as the run was resumed.
    """
    apart = ("update", "nonfinite_iteration", "nonfinite_quantity")
    flat = {name: value for name, value in vars(metrics).items() if name not in apart}
    when = np.asarray(metrics.nonfinite_iteration)
    flat["nonfinite_iteration"] = np.where(when < 0, np.nan, when)
    flat |= {f"update/{name}": value for name, value in metrics.update.items()}
    columns = {name: np.asarray(value).tolist() for name, value in flat.items()}
    return [
        {
            "epoch": epoch,
            "point": member // num_seeds,
            "seed": member % num_seeds,
            **dict(zip(columns, (value if math.isfinite(value) else None for value in row), strict=True)),
            "alive": bool(alive[member]),
            "members_alive": int(alive.sum()),
            "new_episodes": new_episodes,
        }
        for member, row in enumerate(zip(*columns.values(), strict=True))
    ]


def read_metrics(folder: Path) -> dict[str, np.ndarray]:
    """The metrics of a run as arrays ``[members, epochs so far]``, NaN where there was nothing.

    Members are the seeds; in a sweep the seeds of the first point, then those of the next.
    """
    rows = read_lines(folder / "metrics.jsonl")
    if not rows:
        raise InvalidInput(f"{folder / 'metrics.jsonl'} holds no epoch yet")
    num_seeds = max(row["seed"] for row in rows) + 1
    members = num_seeds * (max(row["point"] for row in rows) + 1)
    shape = (members, max(row["epoch"] for row in rows) + 1)
    columns = {name: np.full(shape, np.nan) for name in rows[0]}
    for row in rows:
        for name, value in row.items():
            member = row["point"] * num_seeds + row["seed"]
            columns[name][member, row["epoch"]] = math.nan if value is None else value
    return columns


def read_json(path: Path) -> dict[str, Any] | None:
    """A file of one JSON object; None where there is none.

    Raises:
        StorageError: it holds something else.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}") from error


def lock(folder: Path) -> Any:
    """Takes a folder for this process until what is returned is closed, or the process ends.

    Raises:
        InvalidInput: another process has it.
    """
    if fcntl is None:
        return None
    file = (folder / ".lock").open("a")
    for _ in range(10):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:  # for a moment, perhaps, by a process that only looks (in_use)
            time.sleep(0.05)
    file.close()
    raise InvalidInput(f"{folder} is in use: another process is running it")


def in_use(folder: Path) -> bool:
    """Whether a process is at a run's folder."""
    if fcntl is None or not (folder / ".lock").exists():
        return False
    with (folder / ".lock").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON objects; a last one that was half written is left out."""
    text = path.read_text(errors="replace") if path.exists() else ""
    rows = []
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            with contextlib.suppress(json.JSONDecodeError):
                row = json.loads(line)
                if isinstance(row, dict):
                    rows.append(row)
    return rows


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, item in value.items():
        flat |= _flatten(item, f"{prefix}.{name}" if prefix else name)
    return flat


def _free(parent: Path, name: str) -> Iterator[Path]:
    number = 1
    while True:
        folder = parent / f"{name}-{number:03d}"
        if not os.path.lexists(folder):
            yield folder
        number += 1


@contextlib.contextmanager
def _named(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}"
        raise InvalidInput(f"the output folder {folder} cannot be written: {reason}") from error


@contextlib.contextmanager
def _stored(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error.strerror or error}") from error
