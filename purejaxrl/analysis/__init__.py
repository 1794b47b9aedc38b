"""Analysis: statistics over seeds, and pictures."""

from purejaxrl.analysis.curves import plot_learning_curve
from purejaxrl.analysis.statistics import bootstrap_interval

__all__ = ["bootstrap_interval", "plot_learning_curve"]
