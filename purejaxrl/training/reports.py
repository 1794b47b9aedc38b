"""What a run is told to keep, and what it tells: how far it is, what went wrong, what came of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Literal

import numpy as np

from purejaxrl import checks
from purejaxrl.training import trackers
from purejaxrl.types import Metrics, PyTree

Ended = Literal["done", "interrupted", "stopped"]


@dataclasses.dataclass(frozen=True)
class Keeping:
    """What a run leaves besides its metrics, and what it does when something goes wrong.

    None of it changes a number of the run.
    """

    checkpoint_every: int = 1
    """Epochs from one checkpoint to the next; the warm-up and the last epoch have one besides. 0 writes
    none."""
    keep: int = 2
    """How many of the last checkpoints stay; the best one stays besides."""
    on_nan: Literal["continue", "stop"] = "continue"
    """What to do when a seed turns NaN or infinite: continue with the others, or stop the run."""
    exact_resume: bool = False
    """Record what simulators on the host (EnvPool, gymnasium) are told, and play it to new ones on
    resumption, so that they too go on where they stopped. Without it they begin new episodes."""
    accept_versions: bool = False
    """Go on with a run of other versions of the libraries; equal bits are then no promise."""
    track: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Write metrics to these besides; both come with purejaxrl[tracking]."""

    def check(self) -> None:
        """Raises InvalidInput where a field is out of range."""
        checks.whole(self, 0, "checkpoint_every")
        checks.whole(self, 1, "keep")
        checks.one_of(self, "on_nan", ("continue", "stop"))
        for name in self.track:
            trackers.check(name)


@dataclasses.dataclass(frozen=True)
class Offence:
    """When something of a member first was NaN or infinite."""

    point: int
    seed: int
    iteration: int  # of the run, warm-up included, from 0
    quantity: str

    def __str__(self) -> str:
        point = f" of point {self.point}" if self.point else ""
        return f"seed {self.seed}{point} is not finite since iteration {self.iteration}: {self.quantity}"


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a run is."""

    stage: str  # "compile", "resume", "replay 12%", "warm-up" or "train"
    epoch: int  # epochs done
    num_epochs: int
    environment_steps: int  # of all members, so far
    seconds: float  # since this session's first step
    seconds_at_epoch: float  # the same, when the last epoch ended
    session_steps: int  # of all members, since this session's first step
    session_epochs: int
    alive: int  # members whose numbers are finite
    metrics: Metrics | None  # [members], of the last epoch
    message: str | None = None  # something to be told once


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a run."""

    folder: Path
    runners: PyTree  # of every member at the end; None where it was interrupted, or had ended unsaved
    metrics: Metrics | None  # [members], of the last epoch; all of them are in the folder
    compile_seconds: float
    run_seconds: float
    environment_steps: int  # of all members, those of earlier sessions included
    session_steps: int  # of all members, of this session
    ended: Ended  # interrupted by Ctrl-C or a signal, stopped by on_nan
    alive: np.ndarray  # [members], whose numbers are finite
    digest: str | None  # of the final state, as its checkpoint has it

    @property
    def interrupted(self) -> bool:
        """Whether it ended before its last epoch."""
        return self.ended != "done"

    @property
    def steps_per_second(self) -> float:
        """Environment steps of all members a second, compilation apart, evaluation included."""
        return self.session_steps / max(self.run_seconds, 1e-9)


def mean_return(metrics: Metrics, alive: np.ndarray | None = None) -> float:
    """The mean over members of the greedy policy's return, or of training's where none was evaluated."""
    for values in (np.asarray(metrics.evaluation_return), np.asarray(metrics.episode_return)):
        values = values if alive is None else values[alive]
        if not np.all(np.isnan(values)):
            return float(np.nanmean(values))
    return math.nan
