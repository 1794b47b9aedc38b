"""Training: the one loop, its seeds, and the host's side of a run."""

from purejaxrl.training.experiment import Experiment, Programs, programs, train
from purejaxrl.training.loop import Loop, Runner
from purejaxrl.training.record import read_metrics
from purejaxrl.training.run import Progress, Result, run
from purejaxrl.training.settings import Settings
from purejaxrl.types import Metrics

__all__ = [
    "Experiment",
    "Loop",
    "Metrics",
    "Programs",
    "Progress",
    "Result",
    "Runner",
    "Settings",
    "programs",
    "read_metrics",
    "run",
    "train",
]
