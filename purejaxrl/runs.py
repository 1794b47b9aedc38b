"""``python -m purejaxrl runs``: to look at runs, to evaluate and compare them, and to go on with them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.console import Console

from purejaxrl import analysis, command_line, console, training
from purejaxrl.analysis import reports
from purejaxrl.training import Keeping, sweeps
from purejaxrl.training.policies import evaluate, load_policies
from purejaxrl.training.reading import Run, find_runs, read_run, resolve
from purejaxrl.training.rebuild import experiment_from
from purejaxrl.types import InvalidInput

RunName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclasses.dataclass(frozen=True)
class List:
    """Lists the runs under a folder, oldest first, with state, best and last return. The default."""

    folder: tyro.conf.Positional[Path] = Path("runs")
    """Where to look, in folders of folders too."""

    def __call__(self, out: Console) -> int:
        runs = sorted((read_run(folder) for folder in find_runs(self.folder)), key=lambda run: run.started)
        if not runs:
            out.print(f"there is no run under {self.folder}")
            return 0
        out.print(reports.list_table(runs, self.folder))
        for run in runs:
            for problem in run.problems:
                out.print(f"{run.folder}: {problem}")
        return 0


@dataclasses.dataclass(frozen=True)
class Show:
    """Prints all that a run's folder tells: config, keys, versions, events, checkpoints, metrics, curve."""

    run: RunName
    """The run's folder, or its name under runs/."""

    def __call__(self, out: Console) -> int:
        run = read_run(resolve(self.run))
        for part in reports.sections(run):
            out.print(part)
        out.print()
        picture = run.folder / "curve.png"
        metrics = run.folder / "metrics.jsonl"
        old = not picture.exists() or picture.stat().st_mtime < metrics.stat().st_mtime
        if run.description and run.kind and len(run.points) == 1 and old:
            try:
                analysis.plot_learning_curve(run.curves, picture, title(run))
            except OSError as error:
                out.print(f"{picture} could not be written: {error.strerror}")
        for path in (picture, run.folder / "sweep.png"):
            if path.exists():
                out.print(f"picture: {path}")
        return 0


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Plays the greedy policy of every seed of a run, in any environment that has the run's spaces."""

    run: RunName
    """The run's folder, or its name under runs/."""
    environment: str | None = None
    """One of our own, envpool:ID or gymnasium:ID; None takes the run's."""
    environment_options: tuple[str, ...] = ()
    """Knobs of the environment, each as name=value, such as rows=8."""
    episodes: int = 100
    """Episodes of each seed: the first of each of so many environments."""
    steps: int | None = None
    """Steps after which an episode is given up; None takes the environment's limit, or 1000."""
    checkpoint: Literal["last", "best"] | int = "last"
    """Which checkpoint: the last, that of the highest mean return, or that of an epoch."""
    seed: int = 0
    """Root of the episodes' randomness."""

    def __call__(self, out: Console) -> int:
        folder = resolve(self.run)
        command_line.use_devices("all", None, max(read_run(folder).num_members, 1))
        policies = load_policies(folder, self.checkpoint)
        played = evaluate(
            policies,
            self.environment,
            self.environment_options,
            episodes=self.episodes,
            steps=self.steps,
            seed=self.seed,
        )
        experiment = policies.experiment
        out.print(
            f"{folder}, checkpoint {policies.epoch}: greedy policies in"
            f" {' '.join((self.environment or experiment.environment, *self.environment_options))},"
            f" {self.episodes} episodes a seed\n"
        )
        labels = [sweeps.label(point) for point in experiment.points]
        out.print(reports.evaluation_table(played, policies.alive, labels))
        return 0


@dataclasses.dataclass(frozen=True)
class Compare:
    """Draws the curves of several runs over each other, and prints their last returns."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN [RUN ...]")]
    """Folders of runs, or their names under runs/. Of a sweep every point has a curve."""
    output: Path = Path("compare.png")
    """The picture, a PNG or an SVG; one that is there is written over."""

    def __call__(self, out: Console) -> int:
        if self.output.suffix not in (".png", ".svg"):
            raise InvalidInput(f"the picture {self.output} must end in .png or .svg")
        if not self.runs:
            raise InvalidInput("name one run or more to compare")
        runs = [read_run(resolve(name)) for name in dict.fromkeys(self.runs)]
        for run in runs:
            if not run.curves or not run.description:
                raise InvalidInput(f"{run.folder} holds no epoch: {'; '.join(run.problems) or run.state}")
        curves = {label: part for run in runs for label, part in curves_of(run).items()}
        environments = {run.description["environment"] for run in runs}
        try:
            analysis.plot_comparison(curves, self.output, " and ".join(sorted(environments)))
        except OSError as error:
            raise InvalidInput(f"the picture {self.output} cannot be written: {error.strerror}") from error
        out.print(reports.comparison_table(curves))
        out.print(f"picture: {self.output}")
        return 0


@dataclasses.dataclass(frozen=True)
class Resume:
    """Goes on with a run from its last checkpoint, or makes it longer. All it takes is in its folder."""

    run: RunName
    """The run's folder, or its name under runs/."""
    total_steps: int | None = None
    """Environment steps of each seed in all, if there are to be more; None goes with the number of epochs."""
    num_epochs: int | None = None
    """Epochs in all, if there are to be more, of the length that they have; None goes with the steps."""
    devices: int | Literal["all"] = "all"
    """Devices to share the seeds among. On a CPU each core is one."""
    threads: int | None = None
    """Threads that XLA has for the operations of a program; as in the scripts."""
    keeping: Annotated[Keeping, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Keeping)
    """What the run leaves besides its metrics. Recorded actions of simulators go on to be recorded."""

    def __call__(self, out: Console) -> int:
        folder = resolve(self.run)
        run = read_run(folder)
        if not run.description:
            raise InvalidInput(f"{folder}: {'; '.join(run.problems) or 'experiment.json: there is none'}")
        experiment = experiment_from(run.description)
        asked = self.devices if experiment.devices is None else experiment.devices
        command_line.use_devices(asked, self.threads, experiment.num_members)
        command_line.use_cache(None)
        settings = longer(experiment, self.total_steps, self.num_epochs)
        devices = None if asked == "all" else asked
        experiment = dataclasses.replace(experiment, settings=settings, devices=devices)
        exact = self.keeping.exact_resume or (folder / "actions").is_dir()
        keeping = dataclasses.replace(self.keeping, exact_resume=exact)
        progress = Console(stderr=True, soft_wrap=True)
        with command_line.stopped_by_signals():
            result = console.run_with_progress(experiment, folder, progress, keeping, resume=True)
        out.print(console.summary(experiment, result))
        return command_line.EXIT[result.ended]


Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Show, tyro.conf.subcommand("show")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
)
COMMANDS = ("list", "show", "evaluate", "compare", "resume")
USAGE = """\
usage: python -m purejaxrl runs                      lists the runs under runs/
       python -m purejaxrl runs show RUN             all that a run's folder tells
       python -m purejaxrl runs evaluate RUN         its policies, in its environment or another
       python -m purejaxrl runs compare RUN RUN...   their curves in one picture
       python -m purejaxrl runs resume RUN           goes on with it, or makes it longer
       python -m purejaxrl runs COMMAND --help       what else there is to say"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``python -m purejaxrl`` and returns the process's exit code.

    Args:
        arguments: of the command line, ``runs`` first; None takes the process's.

    Returns:
        0; 2 where something given cannot work and 1 where the running program failed, each after one
        line that says what; 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] != ["runs"]:
        plain_console().print(USAGE)
        return 0 if arguments[:1] in (["--help"], ["-h"]) else 2
    words = arguments[1:]
    # Without a word, or with a folder in its place, runs are listed.
    if not words or (words[0] not in COMMANDS and Path(words[0]).is_dir()):
        words = ["list", *words]
    given: Any = tyro.cli(
        Command,  # type: ignore[arg-type]
        args=words,
        prog="python -m purejaxrl runs",
        description="Looks at runs, evaluates and compares them, and goes on with them.",
    )
    return command_line.exit_code(lambda: given(plain_console()))


def plain_console() -> Console:
    """Where results go. To a pipe or a file lines are as long as they are, so that each run has one."""
    out = Console(markup=False, highlight=False)
    return out if out.is_terminal else Console(markup=False, highlight=False, width=1000)


def longer(experiment: training.Experiment[Any], total_steps: int | None, num_epochs: int | None) -> Any:
    """The settings of a run that is to have more steps or epochs; of two that go together one will do."""
    loop = experiment.loop()  # of the first point, which may have a warm-up of its own
    settings, warmup_steps = loop.settings, loop.warmup_steps
    epoch = settings.iterations_per_epoch(warmup_steps) * settings.rollout_size
    warmup = settings.warmup_iterations(warmup_steps) * settings.rollout_size
    if total_steps is None and num_epochs is not None:
        total_steps = warmup + num_epochs * epoch
    if num_epochs is None and total_steps is not None:
        num_epochs, rest = divmod(total_steps - warmup, epoch)
        if rest or num_epochs < 1:
            nearest = warmup + max(1, round((total_steps - warmup) / epoch)) * epoch
            raise InvalidInput(
                f"total_steps less {warmup} steps of warm-up must be a multiple of the run's epochs of"
                f" {epoch} steps; {total_steps} is not, {nearest} is"
            )
    return dataclasses.replace(
        settings,
        total_steps=settings.total_steps if total_steps is None else total_steps,
        num_epochs=settings.num_epochs if num_epochs is None else num_epochs,
    )


def curves_of(run: Run) -> dict[str, dict[str, np.ndarray]]:
    """The curves of each point of a run by a label, returns of members that had died left out."""
    alive = run.curves["alive"] == 1
    curves = {
        name: np.where(alive, values, np.nan) if name in ("evaluation_return", "episode_return") else values
        for name, values in run.curves.items()
    }
    labels = [sweeps.label(tuple(point.items())) for point in run.points]
    seeds = len(alive) // len(labels)
    return {
        f"{run.folder}: {label}" if label else str(run.folder): {
            name: values[i * seeds : (i + 1) * seeds] for name, values in curves.items()
        }
        for i, label in enumerate(labels)
    }


def title(run: Run) -> str:
    """What was run, for a picture."""
    return f"{run.agent.upper()} on {run.description['environment']}"
