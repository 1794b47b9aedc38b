"""Does memory stay flat, and is nothing compiled again, however long a run goes on?

Trains with checkpoints at every epoch for so many minutes, and fits a line to the memory of the
process and to that of JAX's arrays, the first fifth left out. Leaves soak.json and soak.png.
"""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import jax
import numpy as np
import tyro
from rich.console import Console

from purejaxrl import training
from purejaxrl.agents import a2c, dqn
from purejaxrl.analysis.figures import blank_figure
from purejaxrl.command_line import use_devices
from purejaxrl.training import Experiment, Keeping, Settings
from purejaxrl.training.seeds import is_key


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What to run, and for how long."""

    minutes: float = 15.0
    """How long to measure, compilation apart."""
    environment: str = "CartPole-v1"
    """Where: one of our own for DQN and its buffer; envpool:ID for A2C and its simulators."""
    num_seeds: int = 4
    """Seeds in the program."""
    checkpoint_every: int = 1
    """Epochs from one checkpoint to the next; 0 writes none."""
    output: Path = Path("runs/soak")
    """The folder of the run."""


def memory() -> tuple[float, float]:
    """Megabytes that are resident in this process, and those of JAX's live arrays."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    arrays = sum(array.nbytes for array in jax.live_arrays() if not array.is_deleted() and not is_key(array))
    return pages * 4096 / 2**20, arrays / 2**20


def experiment_of(given: Arguments) -> Experiment:
    """A run of far more epochs than there will be time for, of a second or less each."""
    if given.environment.startswith("envpool:"):
        settings = Settings(total_steps=10**9, num_envs=8, rollout_length=5, num_epochs=10**9 // 4000)
        return Experiment(a2c, a2c.Config(), given.environment, settings, num_seeds=given.num_seeds)
    settings = Settings(total_steps=2 * 10**9, rollout_length=10, num_epochs=(2 * 10**9 - 10_000) // 5_000)
    return Experiment(dqn, dqn.Config(), given.environment, settings, num_seeds=given.num_seeds)


def main() -> None:
    """Runs, measures, and says what the slopes are."""
    given = tyro.cli(Arguments, description=__doc__)
    console = Console()
    use_devices("all", None, given.num_seeds)
    samples: list[tuple[float, float, float]] = []
    compiled: list[float] = []
    begun = 0.0

    def count(event: str, duration_secs: float, **_: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(time.perf_counter())

    jax.monitoring.register_event_duration_secs_listener(count)

    def report(progress: training.Progress) -> None:
        nonlocal begun
        if progress.stage != "train" or progress.epoch < 2:
            begun = time.perf_counter()
            return
        seconds = time.perf_counter() - begun
        if len(samples) < seconds:  # one a second
            samples.append((seconds, *memory()))
            status.update(
                f"{seconds / 60:.1f} of {given.minutes:g} minutes, epoch {progress.epoch},"
                f" {progress.session_steps / max(progress.seconds, 1e-9):,.0f} steps/s,"
                f" {samples[-1][1]:.0f} MB, {max(given.minutes - seconds / 60, 0):.1f} minutes left"
            )
        if seconds > 60 * given.minutes:
            raise KeyboardInterrupt

    with console.status("compile") as status:
        result = training.run(
            experiment_of(given), given.output, report, keeping=Keeping(given.checkpoint_every)
        )

    seconds, resident, arrays = np.array(samples).T
    later = seconds > seconds[-1] / 5
    outcome = {
        "environment": given.environment,
        "minutes": seconds[-1] / 60,
        "environment_steps": result.environment_steps,
        "compilations_while_training": sum(moment > begun for moment in compiled),
        "resident_mb": [resident[later][0], resident[-1]],
        "resident_mb_per_hour": float(np.polyfit(seconds[later], resident[later], 1)[0] * 3600),
        "arrays_mb": [arrays[later][0], arrays[-1]],
        "arrays_mb_per_hour": float(np.polyfit(seconds[later], arrays[later], 1)[0] * 3600),
    }
    (result.folder / "soak.json").write_text(json.dumps(outcome, indent=2) + "\n")
    plot(seconds / 60, resident, arrays, result.folder / "soak.png")
    console.print_json(data=outcome)


def plot(minutes: np.ndarray, resident: np.ndarray, arrays: np.ndarray, path: Path) -> None:
    """Draws both memories against time."""
    figure = blank_figure(7, 4.2)
    axes = figure.add_subplot()
    axes.plot(minutes, resident, label="resident in the process")
    axes.plot(minutes, arrays, label="JAX's arrays")
    axes.set_xlabel("minutes")
    axes.set_ylabel("MB")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
