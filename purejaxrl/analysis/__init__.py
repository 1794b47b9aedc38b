"""Analysis: statistics over seeds, tables and pictures."""

from purejaxrl.analysis.curves import plot_comparison, plot_learning_curve
from purejaxrl.analysis.statistics import bootstrap_interval
from purejaxrl.analysis.sweeps import plot_sweep, sweep_table

__all__ = ["bootstrap_interval", "plot_comparison", "plot_learning_curve", "plot_sweep", "sweep_table"]
