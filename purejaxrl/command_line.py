"""The command line that every script in experiments/ shares."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.util
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Generic, Literal, TypeVar

import jax
import tyro
from rich.console import Console

from purejaxrl import environments, presets
from purejaxrl.console import run_with_progress, summary, sweep_summary, title_of
from purejaxrl.training import (
    Experiment,
    Keeping,
    Settings,
    StorageError,
    processes,
    read_metrics,
    split,
    sweeps,
)
from purejaxrl.training.experiment import parse_options
from purejaxrl.training.record import make_folder
from purejaxrl.training.seeds import Seeds
from purejaxrl.types import InvalidInput

C = TypeVar("C")
EXIT = {"done": 0, "stopped": 3, "interrupted": 130}


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
    sweep: tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """Values to try, as in --sweep config.learning-rate 1e-4 3e-4 1e-3, or a range to draw from, as in
    --sweep config.learning-rate log-uniform 1e-5 1e-2 (or uniform). A name is config.X, a setting such as
    num-envs, or environment-options.X. Several sweeps make a grid. Values that are data run in one program,
    those that fix shapes in a program for each shape."""
    samples: int = 16
    """How often the ranges of a sweep are drawn, all of them together."""
    devices: int | Literal["all"] = "all"
    """Devices to share the seeds among, of this process if it is one of several. On a CPU each core is one,
    and more than there are cores can be asked for."""
    shard: Literal["seeds", "environments"] = "seeds"
    """What the devices share: seeds, each of which is on one, or the environments of every seed, whose
    gradients are then averaged over the devices. The latter is for one large run."""
    threads: int | None = None
    """Threads that XLA has for the operations of a program; None takes 1 where every core has seeds of its
    own, and else XLA's default. 1 also suits a single seed of a small network."""
    output: Path | None = None
    """The folder to make; None takes the next free one under runs/."""
    resume: bool = False
    """Go on with the run in --output if there is one, from its last checkpoint, and else begin it."""
    distributed: bool = False
    """This process is one of several, on one host or many, that share one run; JAX finds the others where
    SLURM, Kubernetes, Open MPI or a cloud TPU started them, or is told by the three options below."""
    coordinator: str | None = None
    """Address HOST:PORT of the first of several processes."""
    num_processes: int | None = None
    """How many processes there are."""
    process_id: int | None = None
    """Which of them this is, from 0."""
    compilation_cache: Path | None = None
    """Where compiled programs are kept from one start to the next; None takes purejaxrl/ in the user's
    cache folder. A folder named none keeps nothing."""
    keeping: Annotated[Keeping, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Keeping)


def main(
    agent: ModuleType,
    environment: str,
    preset: str,
    *,
    num_seeds: int = 16,
    environment_options: tuple[str, ...] = (),
    arguments: Sequence[str] | None = None,
    **settings: Any,
) -> int:
    """Runs an experiment from the command line and returns the process's exit code.

    Args:
        agent: a module of :mod:`purejaxrl.agents`.
        environment: its name, unless the command line gives another.
        preset: the name of the defaults in :mod:`purejaxrl.presets`, likewise.
        num_seeds: how many seeds, likewise.
        environment_options: of that environment, each name=value, unless the command line gives others.
        arguments: of the command line; None takes the process's.
        settings: what to change in the preset's Settings.

    Returns:
        0; 2 where something given cannot work and 1 where the running program failed, each after one
        line that says what; 130 after Ctrl-C or SIGTERM; 3 where a seed went wrong and on_nan stops.
    """
    words = sys.argv[1:] if arguments is None else arguments

    def command() -> int:
        given = parse(agent, environment, preset, num_seeds, settings, words, environment_options)
        points = sweeps.points(given.sweep, given.config, given.settings, given.samples, given.seed)
        shared = given.num_seeds * len(points) if given.shard == "seeds" else given.settings.num_envs
        use_devices(given.devices, given.threads, shared)
        use_cache(given.compilation_cache)
        join_processes(given)
        experiment = Experiment(
            agent=agent,
            config=given.config,
            environment=given.environment,
            settings=given.settings,
            environment_options=given.environment_options,
            points=points,
            num_seeds=given.num_seeds,
            seed=given.seed,
            seeds=given.seeds,
            shard=given.shard,
            devices=None if given.devices == "all" or given.distributed else given.devices,
        )
        with stopped_by_signals():
            return EXIT[run_groups(split(experiment), experiment.name, given)]

    return exit_code(command)


def run_groups(experiments: Sequence[Experiment[Any]], name: str, given: Arguments[Any]) -> str:
    """Runs one program, or those of a sweep over shapes, and says what came of it.

    Returns how that ended, a key of :data:`EXIT`. Of several processes the first speaks for all.
    """
    first = jax.process_index() == 0
    out = Console(soft_wrap=True)
    progress = Console(stderr=True, soft_wrap=True, quiet=not first)
    if len(experiments) == 1:
        (experiment,) = experiments
        result = run_with_progress(experiment, given.output, progress, given.keeping, given.resume)
        if first:
            out.print(summary(experiment, result), markup=False, highlight=False)
        return result.ended
    if given.output is None and jax.process_count() > 1:
        raise InvalidInput("several processes share one folder that all of them see: give it as output")
    folder = given.output
    if folder is None or not (given.resume and folder.is_dir()):
        folder = processes.by_first(lambda: make_folder(given.output, f"{name}-sweep")) or given.output
    assert folder is not None
    ended = "done"
    for number, experiment in enumerate(experiments, start=1):
        result = run_with_progress(
            experiment,
            folder / f"group-{number}",
            progress,
            given.keeping,
            given.resume,
            prefix=f"group {number} of {len(experiments)}: ",
        )
        if first:
            out.print(summary(experiment, result), markup=False, highlight=False)
        if result.ended == "interrupted":
            return result.ended
        ended = result.ended if result.ended != "done" else ended
    if first:
        curves = [read_metrics(folder / f"group-{number + 1}") for number in range(len(experiments))]
        points = tuple(point for experiment in experiments for point in experiment.points)
        table = sweep_summary(points, curves, folder, title_of(experiments[0]))
        out.print(f"{folder}: {ended}\n{table}", markup=False, highlight=False)
    return ended


def stopped_by_signals() -> contextlib.AbstractContextManager[None]:
    """Makes SIGTERM, by which clusters announce the end, the same as Ctrl-C for the length of a block."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    return processes.handled(interrupt, signal.SIGTERM)


def exit_code(command: Callable[[], int]) -> int:
    """What a command returns, or what its failure makes of it, after one line that says what failed."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # else orbax tells of each step it takes
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False)
    try:
        return command()
    except InvalidInput as error:
        console.print(f"error: {error}")
        return 2
    except (jax.errors.JaxRuntimeError, StorageError) as error:  # a simulator failed, memory or disk is full
        console.print(f"error: {str(error).partition(chr(10))[0]}")
        return 1
    except KeyboardInterrupt:  # before a run had begun, or after it had ended
        return EXIT["interrupted"]


def parse(
    agent: ModuleType,
    environment: str,
    preset: str,
    num_seeds: int,
    settings: dict[str, Any],
    arguments: Sequence[str],
    environment_options: tuple[str, ...] = (),
) -> Arguments[Any]:
    """Reads the command line. A preset and an environment given there change the other defaults."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--preset", default=preset)
    first.add_argument("--environment", default=environment)
    first.add_argument("--environment-options", "--environment_options", nargs="*")
    try:
        chosen, _ = first.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise InvalidInput(str(error)) from error
    options = environment_options if chosen.environment == environment else ()
    if chosen.environment_options is not None:
        options = tuple(chosen.environment_options)
    space = environments.make(chosen.environment, **parse_options(options)).observation_space
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
            environment_options=options,
            num_seeds=num_seeds,
        ),
        description=f"{plain(agent.__doc__ or '').strip()}\n\nPreset {chosen.preset}: {defaults.source}. "
        f"Others: {', '.join(presets.PRESETS[agent.__name__.rpartition('.')[2]])}.",
    )


def plain(text: str) -> str:
    """A docstring without the markup of documentation: the names of roles, and the ticks around code."""
    return re.sub(r"(?::[\w:]+:)?(`+)[~.]*(.+?)\1", r"\2", text)


def use_devices(devices: int | Literal["all"], threads: int | None, num_members: int) -> None:
    """Makes XLA devices of a CPU's cores, as many as have seeds to run; JAX must not have started yet."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if devices != "all" and devices < 1:
        raise InvalidInput(f"devices must be a whole number of at least 1, or all, not {devices}")
    if threads is not None and threads < 1:
        raise InvalidInput(f"threads must be a whole number of at least 1, not {threads}")
    number = min(available, num_members) if devices == "all" else devices
    jax.config.update("jax_num_cpu_devices", max(1, number))
    # Small networks lose more by handing operations from thread to thread than they gain, and where
    # each core has a device there is no core left to hand them to. XLA reads this as it starts; an
    # accelerator, if there is one, has yet to be found, and its compiler is to keep its threads.
    accelerator = any(importlib.util.find_spec(plugin) for plugin in ("jax_plugins", "libtpu"))
    if threads is not None or (1 < number >= available and not accelerator):
        os.environ["NPROC"] = str(threads or 1)


def use_cache(folder: Path | None) -> None:
    """Keeps compiled programs from one process to the next."""
    if folder is None:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(root) / "purejaxrl" / "xla"
    if folder.name != "none":
        jax.config.update("jax_compilation_cache_dir", str(folder))


def join_processes(given: Arguments[Any]) -> None:
    """Makes this process one of several, if that is asked for."""
    told = {
        "coordinator_address": given.coordinator,
        "num_processes": given.num_processes,
        "process_id": given.process_id,
    }
    if not given.distributed:
        if any(value is not None for value in told.values()):
            raise InvalidInput("coordinator, num_processes and process_id go with --distributed")
        return
    try:
        jax.distributed.initialize(**told)
    except (ValueError, RuntimeError) as error:
        raise InvalidInput(f"the processes cannot be joined: {error}") from error
