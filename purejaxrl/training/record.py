"""What a run leaves on disk: a folder of its own, never written over.

::

    experiment.json   what was run: config, settings, keys, versions, device
    metrics.jsonl     a line for each seed and epoch, written as the epoch ends
    summary.json      how it ended
    curve.png         mean over seeds with a 95 % bootstrap band
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np

from purejaxrl import checks
from purejaxrl.training.experiment import Experiment, Programs
from purejaxrl.types import InvalidInput, Metrics

PACKAGES = ("purejaxrl", "jax", "jaxlib", "flax", "optax", "chex", "gymnasium", "envpool", "numpy")


class Record:
    """The folder of one run, open for writing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._metrics: TextIO = (folder / "metrics.jsonl").open("x")

    @classmethod
    def create(cls, output: Path | None, name: str) -> Record:
        """Makes a new folder: ``output``, or the next free number of ``name`` under ``runs/``.

        Raises:
            InvalidInput: the folder exists already, or cannot be made or written to.
        """
        folder = output if output is not None else next(_free(Path("runs"), name))
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            while True:
                try:
                    folder.mkdir()
                    return cls(folder)
                except FileExistsError:
                    if output is not None:
                        raise InvalidInput(
                            f"the output folder {folder} exists already; a run is never written over"
                        ) from None
                    folder = next(_free(Path("runs"), name))
        except OSError as error:
            reason = f"{error.strerror}: {error.filename}"
            raise InvalidInput(f"the output folder {folder} cannot be written: {reason}") from error

    def write_experiment(self, experiment: Experiment[Any], programs: Programs) -> None:
        """Writes what it takes to repeat the run."""
        keys = jax.random.key_data(programs.keys)[: experiment.num_seeds]
        self._write(
            "experiment.json",
            {
                "agent": experiment.agent.__name__,
                "environment": experiment.environment,
                "environment_options": list(experiment.environment_options),
                "config": checks.numbers(experiment.config),
                "settings": checks.numbers(experiment.settings),
                "seed": experiment.seed,
                "num_seeds": experiment.num_seeds,
                "keys": np.asarray(keys).tolist(),
                "key_type": str(jax.random.key_impl(programs.keys)),
                "seeds": programs.seeds,
                "devices": [device.device_kind for device in programs.mesh.devices.flat],
                "python": platform.python_version(),
                "versions": _versions(),
            },
        )

    def write_metrics(self, metrics: Metrics, epoch: int) -> None:
        """Appends a line for each seed's Metrics ``[num_seeds]`` of one epoch, all or none of them."""
        rows = [
            json.dumps({"epoch": epoch, "seed": seed, **row}, allow_nan=False) + "\n"
            for seed, row in enumerate(rows_of(metrics))
        ]
        self._metrics.write("".join(rows))
        self._metrics.flush()
        os.fsync(self._metrics.fileno())

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes how the run ended."""
        self._write("summary.json", summary)

    def close(self) -> None:
        self._metrics.close()

    def _write(self, name: str, content: dict[str, Any]) -> None:
        # Written beside and moved into place, so that a reader finds the whole file or none.
        partial = self.folder / f".{name}.partial"
        partial.write_text(json.dumps(content, indent=2) + "\n")
        partial.replace(self.folder / name)


def rows_of(metrics: Metrics) -> list[dict[str, Any]]:
    """Metrics ``[num_seeds]`` as one flat row for each seed; what is not finite is None."""
    flat = {name: value for name, value in vars(metrics).items() if name != "update"}
    flat |= {f"update/{name}": value for name, value in metrics.update.items()}
    columns = {name: np.asarray(value).tolist() for name, value in flat.items()}
    return [
        dict(zip(columns, (value if math.isfinite(value) else None for value in row), strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def read_metrics(folder: Path) -> dict[str, np.ndarray]:
    """The metrics of a run as arrays ``[num_seeds, epochs so far]``, NaN where there was nothing."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    if not rows:
        raise InvalidInput(f"{folder / 'metrics.jsonl'} holds no epoch yet")
    shape = (max(row["seed"] for row in rows) + 1, max(row["epoch"] for row in rows) + 1)
    columns = {name: np.full(shape, np.nan) for name in rows[0]}
    for row in rows:
        for name, value in row.items():
            columns[name][row["seed"], row["epoch"]] = math.nan if value is None else value
    return columns


def _free(parent: Path, name: str) -> Iterator[Path]:
    number = 1
    while True:
        folder = parent / f"{name}-{number:03d}"
        if not os.path.lexists(folder):
            yield folder
        number += 1


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
