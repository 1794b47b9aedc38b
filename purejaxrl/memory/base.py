"""The face of a memory: what stands between collecting experience and learning from it."""

from __future__ import annotations

from typing import Protocol, TypeVar, runtime_checkable

from purejaxrl.types import Array, Key, PyTree, Transition

M = TypeVar("M")


class Memory(Protocol[M]):
    """Pure functions over a memory's state; itself static, compared by value.

    ``count`` is the number of rollouts stored so far, a scalar that the caller keeps. It is not
    part of the state because the state of many seeds is batched and the counter must not be: a
    write at an unbatched index stays in place, a write at a batched one becomes a scatter.
    """

    def warmup(self, rollout_length: int, num_envs: int) -> int:
        """Environment steps to store before the first update, where rollouts are of such a size."""
        ...

    @property
    def environment_axis(self) -> int:
        """The axis of its arrays, and of what is sampled, that is to be sharded over devices.

        In its state the environments'; in a batch what stands for them.
        """
        ...

    def init(self, transition: Transition, rollout_length: int, num_envs: int) -> M:
        """An empty memory for rollouts ``[rollout_length, num_envs]`` of such transitions.

        ``transition`` is an example without leading axes; only its shapes and types matter.
        """
        ...

    def add(self, memory: M, rollout: Transition, count: Array | int) -> M:
        """Stores a rollout ``[T, B]`` after the ``count`` rollouts before it."""
        ...

    def cut(self, memory: M, count: Array | int) -> M:
        """The same with the last of ``count`` rollouts cut off after its last step.

        The loop asks for it where the next rollout does not go on from there: what is learnt from several
        steps in a row must not reach over that seam.
        """
        ...

    def sample(self, memory: M, key: Key, count: Array | int) -> PyTree:
        """What an update is fed, out of the ``count`` rollouts stored."""
        ...


@runtime_checkable
class Episodic(Protocol):
    """What a memory has besides if what it feeds an update is of episodes that begin with the rollout.

    The loop then begins new episodes before each rollout: of those that were under way nothing more is seen.
    """

    @property
    def begins_episodes(self) -> bool:
        """True."""
        ...


@runtime_checkable
class Prioritised(Protocol[M]):
    """What a memory has besides if it is told what an update made of its batches.

    The agent's state has the field ``priority`` then, ``[batch_size]``, of its last update's batch.
    """

    def revise(self, memory: M, batches: PyTree, priorities: Array) -> M:
        """Gives the transitions of batches ``[U, …]``, as sampled, the priorities ``[U, batch_size]``."""
        ...
