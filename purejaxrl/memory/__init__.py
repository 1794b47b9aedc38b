"""Memories: what an update is fed. The last rollout, or a sample of the past."""

from purejaxrl.memory.base import Memory, Prioritised
from purejaxrl.memory.replay import Replay
from purejaxrl.memory.rollout import LastRollout

__all__ = ["LastRollout", "Memory", "Prioritised", "Replay"]
