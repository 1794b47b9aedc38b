"""What a study may run: an experiment, a function of a key over many seeds, or a plain computation."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from purejaxrl import checks, training
from purejaxrl.console import run_with_progress
from purejaxrl.training import Experiment, Keeping, provenance
from purejaxrl.training import seeds as seeds_
from purejaxrl.training.checkpoints import digest_members, join_digests
from purejaxrl.training.record import describe, differences, read_json
from purejaxrl.types import Array, InvalidInput, Key, PyTree
from studies.base import Figure, Outcome

SPENT = "study.json"
"""In a run's folder: how long its sessions took."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number of each seed, out of a run's metrics ``[num_seeds, 1 + num_epochs]``."""

    metric: Literal["evaluation_return", "evaluation_length", "episode_return", "episode_length"]
    """Of the greedy policy after an epoch, or of the training episodes that ended in it."""
    epochs: int = 1
    """The mean over the episodes of so many of the last epochs; 0 is all but the warm-up."""

    def check(self, num_epochs: int) -> None:
        """Raises InvalidInput where a run of so many epochs does not have it."""
        checks.one_of(
            self, "metric", ("evaluation_return", "evaluation_length", "episode_return", "episode_length")
        )
        checks.whole(self, 0, "epochs")
        if self.epochs > num_epochs:
            raise InvalidInput(f"epochs must be at most the run's {num_epochs}, not {self.epochs}")

    def of(self, metrics: Mapping[str, np.ndarray]) -> np.ndarray:
        """The number of each seed ``[num_seeds]``; NaN where no episode ended, or the seed died."""
        last = slice(-self.epochs if self.epochs else 1, None)
        values = metrics[self.metric][:, last]
        counted = "evaluation_episodes" if self.metric.startswith("evaluation") else "episodes"
        weights = np.where(np.isfinite(values), metrics[counted][:, last], 0.0)
        there = weights.sum(axis=1) > 0
        found = np.sum(np.where(weights > 0, values, 0.0) * weights, axis=1)
        found = found / np.where(there, weights.sum(axis=1), 1.0)
        return np.where(there & (metrics["alive"][:, -1] == 1), found, np.nan)


@dataclasses.dataclass(frozen=True)
class Trained:
    """An experiment, and what to take of its metrics."""

    experiment: Experiment[Any]
    measures: Mapping[str, Measure]
    checkpoint_every: int = 0
    """Epochs between checkpoints, from which a run that was interrupted goes on, with the same bits; 0 has
    none, and begins anew."""

    def describe(self) -> dict[str, Any]:
        experiment = self.experiment
        return {
            "kind": "experiment",
            "agent": experiment.agent.__name__,
            "environment": experiment.environment,
            "environment_options": list(experiment.environment_options),
            "config": checks.numbers(experiment.config),
            "settings": checks.numbers(experiment.settings),
            "seed": experiment.seed,
            "num_seeds": experiment.num_seeds,
            "measures": {name: checks.numbers(measure) for name, measure in self.measures.items()},
        }

    def defaults(self) -> dict[str, Any]:
        return {
            "config": defaults_of(self.experiment.config),
            "settings": defaults_of(self.experiment.settings),
            # Results say it that were made when a measure could be of the best epoch; none ever was.
            "measures": {name: {"statistic": "mean"} for name in self.measures},
        }

    def check(self, figures: Mapping[str, Figure]) -> None:
        same_names(figures, self.measures)
        if self.experiment.shard != "seeds":
            raise InvalidInput("a study's devices share seeds: its numbers then do not depend on how many")
        checks.whole(self, 0, "checkpoint_every")
        if len(self.experiment.points) > 1:
            raise InvalidInput(f"a study is of one point, not of {len(self.experiment.points)}")
        for measure in self.measures.values():
            measure.check(self.experiment.settings.num_epochs)
        training.programs(self.experiment)

    def run(self, name: str) -> Outcome:
        console = Console(stderr=True, soft_wrap=True)
        keeping = Keeping(checkpoint_every=self.checkpoint_every, keep=1)
        folder = self.unfinished(name) if self.checkpoint_every else None
        before = 0.0 if folder is None else spent(folder)
        if folder is None:
            folder = free_folder(name)
        else:
            console.print(f"{name}: going on with {folder}")
        result = run_with_progress(
            self.experiment, folder, console, keeping, resume=folder.is_dir(), prefix=f"{name}: "
        )
        seconds = before + result.run_seconds
        (folder / SPENT).write_text(json.dumps({"run_seconds": seconds}) + "\n")
        if result.interrupted:
            raise KeyboardInterrupt
        metrics = training.read_metrics(result.folder)
        agent = result.runners.agent
        return Outcome(
            values={name: measure.of(metrics) for name, measure in self.measures.items()},
            digest=digest(getattr(agent, "params", agent)),
            conditions=conditions(
                seeds_.resolve(self.experiment.seeds),
                self.experiment.environment,
                self.experiment.num_seeds,
            ),
            compile_seconds=result.compile_seconds,
            run_seconds=seconds,
        )

    def unfinished(self, name: str) -> Path | None:
        """The folder of the study's last run, if that was interrupted and was of the study as it is."""
        for last in sorted(Path("runs").glob(f"study-{name}-[0-9][0-9][0-9]"))[-1:]:
            recorded = read_json(last / "experiment.json")
            ended = (read_json(last / "summary.json") or {}).get("ended")
            if recorded is not None and ended != "done":
                given = describe(self.experiment, training.programs(self.experiment))
                recorded = {key: value for key, value in recorded.items() if key in given}
                return None if differences(recorded, given) else last
        return None


def defaults_of(value: Any) -> dict[str, Any]:
    """What the fields of a Config, or of settings, are where nothing is said; of what has no fields, none."""
    if not dataclasses.is_dataclass(value):
        return {}
    given = {field.name: field.default for field in dataclasses.fields(value)}
    return {
        name: checks.plain(default) for name, default in given.items() if default is not dataclasses.MISSING
    }


def free_folder(name: str) -> Path:
    """The next free folder for a run of a study, under ``runs/`` as those of every script."""
    numbered = (Path("runs") / f"study-{name}-{number:03d}" for number in itertools.count(1))
    return next(folder for folder in numbered if not folder.exists())


def spent(folder: Path) -> float:
    """Seconds that the sessions of a run so far have taken, as far as they could say."""
    return float((read_json(folder / SPENT) or {}).get("run_seconds", 0.0))


Simulation = Callable[[Key], tuple[dict[str, Array], PyTree]]
"""Of a seed's key: figures, a scalar each, and the final parameters."""


@dataclasses.dataclass(frozen=True)
class Simulated:
    """A pure function of a key, over seeds i with the keys ``fold_in(key(seed), i)``."""

    function: Simulation
    settings: Mapping[str, Any]
    """What the function was made with: it stands beside the results."""
    num_seeds: int
    seed: int = 0
    seeds: seeds_.Seeds = "vmap"
    """How seeds run side by side; see :mod:`purejaxrl.training.seeds`."""
    seeds_per_call: int | None = None
    """Seeds in one compiled call, after each of which the progress is shown; None takes all."""

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "simulation",
            "function": name_of(self.function),
            "settings": {name: checks.plain(value) for name, value in self.settings.items()},
            "seed": self.seed,
            "num_seeds": self.num_seeds,
            "seeds_per_call": self.seeds_per_call,
        }

    def defaults(self) -> dict[str, Any]:
        return {"settings": {name: defaults_of(value) for name, value in self.settings.items()}}

    def check(self, figures: Mapping[str, Figure]) -> None:
        seeds_.resolve(self.seeds)
        if self.seeds_per_call is not None:
            checks.whole(self, 1, "seeds_per_call")
        seeds_.keys(self.seed, self.num_seeds)
        found, _ = jax.eval_shape(self.function, jax.random.key(0))
        same_names(figures, found)
        for name, value in found.items():
            if value.shape != ():
                raise InvalidInput(
                    f"figure {name!r} must be one number of a seed, not of shape {value.shape}"
                )

    def run(self, name: str) -> Outcome:
        keys = seeds_.keys(self.seed, self.num_seeds)
        number = min(self.seeds_per_call or self.num_seeds, self.num_seeds)
        mode = seeds_.resolve(self.seeds)
        # Vmapped seeds round by how many are side by side, and so stay on one device, on any machine.
        mesh = seeds_.mesh(min(jax.local_device_count(), number) if mode == "map" else 1)
        program = jax.jit(seeds_.over_seeds(self.function, seeds=mode, mesh=mesh))
        # Calls are of one size, so that one program serves all; what pads the last is dropped.
        rows = [
            np.minimum(start + np.arange(number), self.num_seeds - 1)
            for start in range(0, self.num_seeds, number)
        ]
        placed = [seeds_.place(seeds_.pad(keys[row], mesh), mesh) for row in rows]
        parts = []
        with Line(name, self.num_seeds, "seeds") as line:
            start = time.perf_counter()
            compiled = program.lower(placed[0]).compile()
            begun = time.perf_counter()
            line.begin()
            for some in placed:
                parts.append(jax.device_get(seeds_.first(compiled(some), number)))
                line.show(min(len(parts) * number, self.num_seeds))
            run_seconds = time.perf_counter() - begun
        figures, params = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: self.num_seeds], *parts)
        return Outcome(
            values={name: np.asarray(value, np.float64) for name, value in figures.items()},
            digest=digest(params),
            conditions=conditions(mode, num_seeds=self.num_seeds),
            compile_seconds=begun - start,
            run_seconds=run_seconds,
        )


@dataclasses.dataclass(frozen=True)
class Exact:
    """A computation in which nothing is random: one value for each figure."""

    function: Callable[[], tuple[dict[str, Any], PyTree]]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "computation",
            "function": name_of(self.function),
            "settings": {name: checks.plain(value) for name, value in self.settings.items()},
        }

    def defaults(self) -> dict[str, Any]:
        return {}

    def check(self, figures: Mapping[str, Figure]) -> None:
        del figures  # known once it has been computed

    def run(self, name: str) -> Outcome:
        with Line(name, 1, "computations") as line:
            begun = time.perf_counter()
            line.begin()
            figures, params = self.function()
            line.show(1)
            run_seconds = time.perf_counter() - begun
        stacked = jax.tree.map(lambda leaf: np.asarray(leaf)[None], params)
        return Outcome(
            values={name: np.asarray(value, np.float64).reshape(1) for name, value in figures.items()},
            digest=digest(stacked),
            conditions=conditions("none"),
            compile_seconds=0.0,
            run_seconds=run_seconds,
        )


def digest(params: PyTree) -> str:
    """SHA-256 over path, type, shape and bytes of every leaf ``[num_seeds, …]`` of the parameters.

    What is in double precision is rounded to single, as far as other processors' last digits agree.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    if not leaves:
        return hashlib.sha256(b"").hexdigest()
    named = {jax.tree_util.keystr(path): jnp.asarray(leaf) for path, leaf in leaves}
    return join_digests(digest_members(named, len(leaves[0][1])))


def conditions(seeds: str, environment: str = "", num_seeds: int = 1) -> dict[str, Any]:
    """On what, besides the study itself, a digest depends.

    Seeds have the bits that they have alone as far as XLA rounds alike in programs of one, two and more of
    them to a device. It does not where Acrobot's sines are: so the number of devices is a condition.
    """
    return {
        "seeds": seeds,
        "platform": jax.default_backend(),
        "devices": min(jax.local_device_count(), num_seeds),
        "processor": processor("model name"),
        "processor_version": processor("cpu family", "model", "stepping"),
        "decisive_versions": provenance.decisive_versions(environment),
    }


def processor(*names: str) -> str:
    """The processor's kind, and what the system says of it.

    XLA compiles for its instructions, and sums round accordingly.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    said = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))
    return ", ".join(dict.fromkeys([platform.machine(), *(said[name] for name in names if name in said)]))


def same_names(figures: Mapping[str, Any], measured: Mapping[str, Any]) -> None:
    """Raises InvalidInput where not exactly the figures are measured."""
    if set(figures) != set(measured):
        raise InvalidInput(
            f"the figures {', '.join(sorted(figures))} are declared, and {', '.join(sorted(measured))} are"
            " measured"
        )


def name_of(function: Callable[..., Any]) -> str:
    """Where a function is defined; of a partial one, what it is a part of."""
    while isinstance(function, functools.partial):
        function = function.func
    return f"{function.__module__}.{function.__qualname__}"


class Line:
    """A line of progress over so many calls: their rate and the time left once the first is done."""

    def __init__(self, name: str, total: int, unit: str) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[rate]}  {task.fields[left]}"),
            TimeElapsedColumn(),
        )
        self.bar = Progress(*columns, console=Console(stderr=True))
        self.task = self.bar.add_task(f"{name}: compile", total=None, rate="", left="")
        self.name, self.total, self.unit = name, total, unit
        self.begun = 0.0

    def __enter__(self) -> Line:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def begin(self) -> None:
        """The first call is about to be made."""
        self.begun = time.perf_counter()
        self.bar.update(self.task, description=self.name, total=self.total)

    def show(self, done: int) -> None:
        """So many of the total are done."""
        seconds = time.perf_counter() - self.begun
        rate, left = done / seconds, seconds / done * (self.total - done)
        self.bar.update(
            self.task, completed=done, rate=f"{rate:,.3g} {self.unit}/s", left=f"{left:.0f} s left"
        )
