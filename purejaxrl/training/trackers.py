"""Writers of metrics to TensorBoard and to wandb, beside the run's own metrics.jsonl.

Both come with ``pip install purejaxrl[tracking]``, and neither is imported before it is opened.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from purejaxrl.types import InvalidInput

Name = Literal["tensorboard", "wandb"]

# Each seed is a file and a dozen charts of its own; beyond so many, nobody looks at one.
SHOWN = 100


class Tracker(Protocol):
    """Something that metrics are written to."""

    def write(self, epoch: int, rows: list[dict[str, Any]]) -> None:
        """Writes one epoch.

        Args:
            epoch: its number.
            rows: one flat row for each seed (of each point of a sweep): ``seed``, perhaps ``point``,
                ``environment_steps``, and the metrics; what is None or no finite number is left out.
        """
        ...

    def close(self) -> None:
        """Writes what is left and lets go of files and processes; further calls do nothing."""
        ...


def open_tracker(name: Name, folder: Path, description: dict[str, Any]) -> Tracker:
    """Opens a tracker in the folder of a run. One that was written to before is gone on with.

    Args:
        name: ``tensorboard`` writes below ``folder/tensorboard``, a subfolder for each seed and one for the
            mean over seeds; ``wandb`` writes one run below ``folder/wandb``, offline unless the environment
            variable ``WANDB_MODE`` says otherwise, to be uploaded by ``wandb sync``.
        folder: the run's, which exists.
        description: what was run, as JSON can hold it.

    Raises:
        InvalidInput: the name is another, the package is not installed, or wandb is asked to be online and
            cannot be.
    """
    check(name)
    trackers = {"tensorboard": TensorBoard, "wandb": Wandb}
    try:
        return trackers[name](folder, description)
    except ImportError as error:
        raise InvalidInput(
            f"to track with {name}, install what it takes: pip install purejaxrl[tracking] ({error})"
        ) from error


def check(name: str) -> None:
    """Raises InvalidInput where there is no such tracker, or its package is not installed."""
    packages = {"tensorboard": "tensorboardX", "wandb": "wandb"}
    if name not in packages:
        raise InvalidInput(f"a tracker is one of {', '.join(packages)}, not {name!r}")
    if importlib.util.find_spec(packages[name]) is None:
        raise InvalidInput(
            f"to track with {name}, install what it takes: pip install purejaxrl[tracking]"
            f" (there is no {packages[name]})"
        )


class TensorBoard:
    """Event files: ``seed-00`` and so on, and ``mean`` over the seeds that have a value.

    Of a sweep each is below ``point-00`` and so on. The step is the environment steps of a seed.
    """

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        # Not SummaryWriter, which has a queue and threads for each file: here a write comes once an epoch,
        # and is in the file when it returns.
        from tensorboardX import event_file_writer, proto, summary

        self._events, self._proto, self._summary = event_file_writer, proto, summary
        self._folder = folder / "tensorboard"
        self._description = json.dumps(description, indent=2)
        self._writers: dict[str, Any] = {}

    def write(self, epoch: int, rows: list[dict[str, Any]]) -> None:
        """Writes one epoch; see :class:`Tracker`."""
        del epoch
        for name, step, values in _series(rows):
            if name.rpartition("/")[2] != "std":
                writer = self._writer(name, step)
                writer.write_event(
                    self._event(
                        step=step,
                        summary=self._proto.summary_pb2.Summary(
                            value=[
                                self._proto.summary_pb2.Summary.Value(tag=tag, simple_value=value)
                                for tag, value in values.items()
                            ]
                        ),
                    )
                )
                writer.flush()

    def close(self) -> None:
        """Closes the files."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _writer(self, name: str, step: int) -> Any:
        if name not in self._writers:
            folder = self._folder / name
            resumed = folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            # The name of a file is its second; a run may be gone on with sooner.
            writer = self._events.EventsWriter(str(folder / "events"), f".{time.time_ns()}")
            self._writers[name] = writer
            if resumed:
                # TensorBoard forgets what an earlier session wrote from this step on.
                start = self._proto.event_pb2.SessionLog(status=self._proto.event_pb2.SessionLog.START)
                writer.write_event(self._event(step=step, session_log=start))
            elif name.rpartition("/")[2] == "mean":
                text = f"```\n{self._description}\n```"
                writer.write_event(self._event(summary=self._summary.text("experiment", text)))
        return self._writers[name]

    def _event(self, **content: Any) -> Any:
        return self._proto.event_pb2.Event(wall_time=time.time(), **content)


class Wandb:
    """A wandb run: ``mean/…`` and ``std/…`` over the seeds that have a value, ``seed-00/…`` and so on.

    Of a sweep each is below ``point-00`` and so on. The step is the environment steps of a seed.
    """

    def __init__(self, folder: Path, description: dict[str, Any]) -> None:
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        if mode == "offline":
            # Reports about wandb itself are sent even then, unless this is set before it is imported.
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        try:
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT", "purejaxrl"),
                name=folder.resolve().name,
                id=_run_id(folder),
                resume="allow",
                reinit="create_new",  # somebody's own run in this process is left alone
                dir=folder,
                mode=mode,
                config=description,
                # The terminal belongs to the progress of the run.
                settings=wandb.Settings(console="off", silent=mode != "online"),
            )
        except wandb.Error as error:
            raise InvalidInput(
                f"wandb could not begin a run with WANDB_MODE={mode}; offline takes no account: {error}"
            ) from error

    def write(self, epoch: int, rows: list[dict[str, Any]]) -> None:
        """Writes one epoch; see :class:`Tracker`."""
        if self._run is None:
            return
        series = list(_series(rows))
        step = max((step for _, step, _ in series), default=0)
        values = {f"{name}/{tag}": value for name, _, one in series for tag, value in one.items()}
        self._run.log({"epoch": epoch, "environment_steps": step} | values, step=step)

    def close(self) -> None:
        """Ends the run."""
        run, self._run = self._run, None
        if run is not None:
            run.finish()


def _run_id(folder: Path) -> str:
    """The id of a folder's wandb run: the folder's name, and a token kept in it.

    Folders of one name are many (``runs/dqn-cartpole-v1-001`` on every machine), and must not become one
    run at wandb's.
    """
    file = folder / "wandb" / "purejaxrl-run-id"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        name = "".join(letter if letter.isalnum() else "-" for letter in folder.resolve().name)
        file.write_text(f"{name[-100:]}-{secrets.token_hex(4)}")
    return file.read_text()


def _series(rows: list[dict[str, Any]]) -> Iterator[tuple[str, int, dict[str, float]]]:
    """Each seed's and each point's curve: its name, its environment steps, its finite metrics by name."""
    points: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        points.setdefault(row.get("point", 0), []).append(row)
    shown = 0
    for point, members in list(points.items())[:SHOWN]:
        prefix = f"point-{point:02d}/" if len(points) > 1 else ""
        columns: dict[str, list[float]] = {}
        for row in members:
            values = _finite(row)
            for tag, value in values.items():
                columns.setdefault(tag, []).append(value)
            if shown < SHOWN:
                yield f"{prefix}seed-{row['seed']:02d}", int(row["environment_steps"]), values
                shown += 1
        step = max(int(row["environment_steps"]) for row in members)
        yield f"{prefix}mean", step, {tag: float(np.mean(column)) for tag, column in columns.items()}
        yield f"{prefix}std", step, {tag: float(np.std(column)) for tag, column in columns.items()}


def _finite(row: dict[str, Any]) -> dict[str, float]:
    """A row's metrics that are finite numbers."""
    return {
        name: float(value)
        for name, value in row.items()
        if name not in ("epoch", "point", "seed", "environment_steps")
        and isinstance(value, int | float | np.number)
        and math.isfinite(value)
    }
