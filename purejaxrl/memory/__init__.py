"""Memories: what an update is fed. The last rollout, or a sample of the past."""

from purejaxrl.memory.base import Episodic, Memory, Prioritised
from purejaxrl.memory.prioritised import PrioritisedReplay
from purejaxrl.memory.replay import Replay, SequenceReplay
from purejaxrl.memory.rollout import EpisodeReturns, FirstEpisodes, LastRollout, Window, in_first_episode

__all__ = [
    "EpisodeReturns",
    "Episodic",
    "FirstEpisodes",
    "LastRollout",
    "Memory",
    "Prioritised",
    "PrioritisedReplay",
    "Replay",
    "SequenceReplay",
    "Window",
    "in_first_episode",
]
