"""Deep reinforcement learning as pure functions, in JAX."""

from purejaxrl.environments import make
from purejaxrl.types import InvalidInput, Metrics, TimeStep, Transition

__all__ = ["InvalidInput", "Metrics", "TimeStep", "Transition", "make"]
