"""Memories: what an update is fed. The last rollout, or a sample of the past."""

from purejaxrl.memory.base import Memory, Prioritised
from purejaxrl.memory.prioritised import PrioritisedReplay
from purejaxrl.memory.replay import Replay, SequenceReplay
from purejaxrl.memory.rollout import LastRollout, Window

__all__ = [
    "LastRollout",
    "Memory",
    "Prioritised",
    "PrioritisedReplay",
    "Replay",
    "SequenceReplay",
    "Window",
]
