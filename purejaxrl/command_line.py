"""The command line that every script in experiments/ shares."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Generic, TypeVar

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from purejaxrl import analysis, environments, presets, training
from purejaxrl.training import Experiment, Settings
from purejaxrl.training.experiment import parse_options
from purejaxrl.training.seeds import Seeds
from purejaxrl.types import InvalidInput

C = TypeVar("C")


@dataclasses.dataclass(frozen=True)
class Arguments(Generic[C]):
    """Trains many seeds of an agent in one compiled program and leaves the results in a folder."""

    config: C
    """The algorithm's hyperparameters."""
    settings: Annotated[Settings, tyro.conf.arg(name="")]
    """How much of everything."""
    preset: str
    """Where the defaults come from."""
    environment: str
    """Where to learn: one of our own, envpool:ID or gymnasium:ID."""
    environment_options: tuple[str, ...] = ()
    """Knobs of the environment, each as name=value, such as rows=8."""
    num_seeds: int = 16
    """Independent runs in one compiled program."""
    seed: int = 0
    """Root of every random number: seed i draws from fold_in(key(seed), i)."""
    seeds: Seeds = "auto"
    """vmap steps the seeds together; map takes one after another, each with the bits it has alone; auto is
    map on a CPU and vmap elsewhere."""
    cores: int | None = None
    """CPU cores to share the seeds among, each an XLA device; None takes all. No effect on an accelerator."""
    threads: int | None = None
    """Threads that XLA has for the operations of a program; None takes 1 where every core has seeds of its
    own, and else XLA's default. 1 also suits a single seed of a small network."""
    output: Path | None = None
    """The folder to make; None takes the next free one under runs/."""


def main(
    agent: ModuleType,
    environment: str,
    preset: str,
    *,
    num_seeds: int = 16,
    arguments: Sequence[str] | None = None,
    **settings: Any,
) -> int:
    """Runs an experiment from the command line and returns the process's exit code.

    Args:
        agent: a module of :mod:`purejaxrl.agents`.
        environment: its name, unless the command line gives another.
        preset: the name of the defaults in :mod:`purejaxrl.presets`, likewise.
        num_seeds: how many seeds, likewise.
        arguments: of the command line; None takes the process's.
        settings: what to change in the preset's Settings.

    Returns:
        0; 2 where something given cannot work and 1 where the running program failed, each after one
        line that says what; 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    console = Console(stderr=True, soft_wrap=True)
    try:
        given = parse(agent, environment, preset, num_seeds, settings, arguments)
        use_cores(given.cores, given.threads, given.num_seeds)
        experiment = Experiment(
            agent=agent,
            config=given.config,
            environment=given.environment,
            settings=given.settings,
            environment_options=given.environment_options,
            num_seeds=given.num_seeds,
            seed=given.seed,
            seeds=given.seeds,
        )
        result = run_with_progress(experiment, given.output, console)
    except InvalidInput as error:
        console.print(f"error: {error}", markup=False, highlight=False)
        return 2
    except jax.errors.JaxRuntimeError as error:  # a simulator failed, or memory ran out
        console.print(f"error: {str(error).partition(chr(10))[0]}", markup=False, highlight=False)
        return 1
    Console(soft_wrap=True).print(summary(experiment, result), markup=False, highlight=False)
    return 130 if result.interrupted else 0


def parse(
    agent: ModuleType,
    environment: str,
    preset: str,
    num_seeds: int,
    settings: dict[str, Any],
    arguments: Sequence[str],
) -> Arguments[Any]:
    """Reads the command line. A preset and an environment given there change the other defaults."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--preset", default=preset)
    first.add_argument("--environment", default=environment)
    first.add_argument("--environment-options", "--environment_options", nargs="*", default=[])
    try:
        chosen, _ = first.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InvalidInput(str(error)) from error
    space = environments.make(
        chosen.environment, **parse_options(tuple(chosen.environment_options))
    ).observation_space
    defaults = presets.get(agent.__name__.rpartition(".")[2], chosen.preset, space)
    if chosen.preset == preset:
        defaults = dataclasses.replace(defaults, settings=dataclasses.replace(defaults.settings, **settings))
    return tyro.cli(
        Arguments[agent.Config],
        args=arguments,
        default=Arguments(
            config=defaults.config,
            settings=defaults.settings,
            preset=chosen.preset,
            environment=chosen.environment,
            num_seeds=num_seeds,
        ),
        description=f"{(agent.__doc__ or '').strip()}\n\nPreset {chosen.preset}: {defaults.source}. "
        f"Others: {', '.join(presets.PRESETS[agent.__name__.rpartition('.')[2]])}.",
    )


def use_cores(cores: int | None, threads: int | None, num_seeds: int) -> None:
    """Makes an XLA device of each CPU core that has seeds to run; JAX must not have started yet."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if cores is not None and not 1 <= cores <= available:
        raise InvalidInput(f"cores must lie in [1, {available}] on this machine, not {cores}")
    if threads is not None and threads < 1:
        raise InvalidInput(f"threads must be a whole number of at least 1, not {threads}")
    devices = max(1, min(cores or available, num_seeds))
    jax.config.update("jax_num_cpu_devices", devices)
    # Small networks lose more by handing operations from thread to thread than they gain, and where
    # each core has a device there is no core left to hand them to. XLA reads this as it starts; an
    # accelerator, if there is one, has yet to be found, and its compiler is to keep its threads.
    accelerator = any(importlib.util.find_spec(plugin) for plugin in ("jax_plugins", "libtpu"))
    if threads is not None or (devices > 1 and devices == available and not accelerator):
        os.environ["NPROC"] = str(threads or 1)


def run_with_progress(experiment: Experiment[Any], output: Path | None, console: Console) -> training.Result:
    """Runs an experiment under a line of progress: rate, time left, mean return over seeds."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn(
            "{task.percentage:>3.0f}%  {task.fields[rate]}  {task.fields[left]}  {task.fields[score]}"
        ),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=console)
    task = bar.add_task("compile", total=experiment.settings.num_epochs, rate="", left="", score="")

    def report(progress: training.Progress) -> None:
        bar.start()  # no earlier: where something given cannot work, that is all there is to read
        fields: dict[str, Any] = {"description": progress.stage, "completed": progress.epoch}
        if progress.metrics is not None and progress.seconds > 0:
            fields["score"] = f"return {mean_return(progress.metrics):.1f}"
        if progress.epoch:
            per_epoch = progress.seconds_at_epoch / progress.epoch
            left = max(per_epoch * progress.num_epochs - progress.seconds, 0.0)
            fields["rate"] = f"{progress.environment_steps / progress.seconds_at_epoch:,.0f} steps/s"
            fields["left"] = f"{left:.0f} s left"
        bar.update(task, **fields)

    try:
        return training.run(experiment, output, report)
    finally:
        if bar.live.is_started:
            bar.stop()


def mean_return(metrics: training.Metrics) -> float:
    """The mean over seeds of the greedy policy's return, or of training's where none was evaluated."""
    for values in (metrics.evaluation_return, metrics.episode_return):
        if not np.all(np.isnan(values)):
            return float(np.nanmean(values))
    return float("nan")


def summary(experiment: Experiment[Any], result: training.Result) -> str:
    """What a run came to, in a few lines."""
    lines = [f"{result.folder}: {'interrupted' if result.interrupted else 'done'}"]
    if result.metrics:
        curves = training.read_metrics(result.folder)
        title = f"{experiment.agent.__name__.rpartition('.')[2].upper()} on {experiment.environment}"
        analysis.plot_learning_curve(curves, result.folder / "curve.png", title)
        for name, label in (
            ("evaluation_return", "greedy evaluation"),
            ("episode_return", "training episodes"),
        ):
            last = curves[name][:, -1]
            if not np.all(np.isnan(last)):
                low, high = analysis.bootstrap_interval(last)
                lines.append(
                    f"  return, {label:18} {np.nanmean(last):9.2f} ± {np.nanstd(last):.2f} over"
                    f" {experiment.num_seeds} seeds, 95 % interval of the mean [{low:.2f}, {high:.2f}]"
                )
    lines += [
        f"  compile {result.compile_seconds:.1f} s",
        f"  run     {result.run_seconds:.1f} s",
        f"  speed   {result.steps_per_second:,.0f} environment steps a second, all seeds together",
    ]
    return "\n".join(lines)
