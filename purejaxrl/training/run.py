"""The host's side of a run: compile once, then an epoch at a time with its metrics on disk."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl.training import seeds as seeds_
from purejaxrl.training.experiment import Experiment, programs
from purejaxrl.training.record import Record
from purejaxrl.types import Metrics, PyTree


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is."""

    stage: str  # "compile", "warm-up" or "train"
    epoch: int  # epochs done
    num_epochs: int
    environment_steps: int  # of all seeds, so far
    seconds: float  # since the first step
    seconds_at_epoch: float  # the same, when the last epoch ended
    metrics: Metrics | None  # [num_seeds], of the last epoch


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a run."""

    folder: Path
    runners: PyTree  # of every seed at the end; None where the run was interrupted
    metrics: list[Metrics]  # [num_seeds] each; the warm-up's first
    compile_seconds: float
    run_seconds: float
    environment_steps: int  # of all seeds
    interrupted: bool

    @property
    def steps_per_second(self) -> float:
        """Environment steps of all seeds a second, compilation apart, evaluation included."""
        return self.environment_steps / max(self.run_seconds, 1e-9)


def run(
    experiment: Experiment[Any],
    output: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Result:
    """Runs an experiment epoch by epoch and records it; gives the bits that ``train`` gives.

    An interrupt (Ctrl-C) ends the run after its last whole epoch, whose metrics are on disk.

    Args:
        experiment: what to run.
        output: the folder to make; None takes the next free one under ``runs/``.
        report: called at the start of every stage, several times a second while the device is busy
            and after every epoch.

    Raises:
        InvalidInput: the experiment or the folder cannot work; nothing has been compiled.
    """
    made = programs(experiment)
    record = Record.create(output, experiment.name)
    num_epochs, num_seeds = experiment.settings.num_epochs, experiment.num_seeds
    begun: float | None = None
    stage, epochs, runners = "compile", [], None
    compile_seconds = seconds_at_epoch = 0.0

    def tell() -> None:
        report(
            Progress(
                stage=stage,
                epoch=max(len(epochs) - 1, 0),
                num_epochs=num_epochs,
                environment_steps=int(epochs[-1].environment_steps[0]) * num_seeds if epochs else 0,
                seconds=elapsed(),
                seconds_at_epoch=seconds_at_epoch,
                metrics=epochs[-1] if epochs else None,
            )
        )

    def elapsed() -> float:
        return time.perf_counter() - begun if begun is not None else 0.0

    def finish(outcome: tuple[PyTree, Metrics]) -> PyTree:
        nonlocal seconds_at_epoch
        # Waiting in Python, not in the device's queue, so that an interrupt is heard at once.
        while not all(leaf.is_ready() for leaf in jax.tree.leaves(outcome[1])):
            tell()
            time.sleep(0.02)
        metrics = jax.device_get(seeds_.first(outcome[1], num_seeds))
        record.write_metrics(metrics, epoch=len(epochs))
        epochs.append(metrics)
        seconds_at_epoch = elapsed()
        tell()
        return outcome[0]

    try:
        record.write_experiment(experiment, made)
        tell()
        start = time.perf_counter()
        begin = made.begin.lower(made.keys).compile()
        shapes = jax.eval_shape(made.begin, made.keys)[0]
        shardings = jax.tree.map(lambda _: made.keys.sharding, shapes)
        arguments = jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
            shapes,
            shardings,
        )
        epoch = made.epoch.lower(arguments, jnp.int32(0)).compile()
        compile_seconds = time.perf_counter() - start
        stage, begun = "warm-up", time.perf_counter()
        runners = finish(begin(made.keys))
        stage = "train"
        for index in range(num_epochs):
            runners = finish(epoch(runners, jnp.int32(index)))
        interrupted = False
    except KeyboardInterrupt:
        interrupted = True
    finally:
        record.close()
    run_seconds = elapsed()
    result = Result(
        folder=record.folder,
        runners=None if interrupted else seeds_.first(runners, num_seeds),
        metrics=epochs,
        compile_seconds=compile_seconds,
        run_seconds=run_seconds,
        environment_steps=int(epochs[-1].environment_steps[0]) * num_seeds if epochs else 0,
        interrupted=interrupted,
    )
    record.write_summary(
        {
            "interrupted": interrupted,
            "epochs": max(len(epochs) - 1, 0),
            "compile_seconds": compile_seconds,
            "run_seconds": run_seconds,
            "environment_steps": result.environment_steps,
            "environment_steps_per_second": result.steps_per_second,
        }
    )
    return result
