"""Analysis: statistics over seeds and tasks, tables and pictures."""

from purejaxrl.analysis.curves import plot_comparison, plot_learning_curve
from purejaxrl.analysis.profiles import plot_improvement, plot_profiles
from purejaxrl.analysis.statistics import (
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    mean_score,
    median_score,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)
from purejaxrl.analysis.sweeps import plot_sweep, sweep_table

__all__ = [
    "bootstrap_interval",
    "improvement_interval",
    "interquartile_mean",
    "mean_score",
    "median_score",
    "optimality_gap",
    "performance_profile",
    "plot_comparison",
    "plot_improvement",
    "plot_learning_curve",
    "plot_profiles",
    "plot_sweep",
    "probability_of_improvement",
    "stratified_interval",
    "sweep_table",
]
