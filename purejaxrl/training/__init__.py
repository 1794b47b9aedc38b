"""Training: the one loop, its seeds, and the host's side of a run."""

from purejaxrl.training.experiment import Experiment, Member, Programs, programs, split, train
from purejaxrl.training.loop import Loop, Runner
from purejaxrl.training.record import StorageError, read_metrics
from purejaxrl.training.reports import Keeping, Offence, Progress, Result, mean_return
from purejaxrl.training.run import run
from purejaxrl.training.settings import Settings
from purejaxrl.training.sweeps import Point
from purejaxrl.types import Metrics

__all__ = [
    "Experiment",
    "Keeping",
    "Loop",
    "Member",
    "Metrics",
    "Offence",
    "Point",
    "Programs",
    "Progress",
    "Result",
    "Runner",
    "Settings",
    "StorageError",
    "mean_return",
    "programs",
    "read_metrics",
    "run",
    "split",
    "train",
]
