"""The vocabulary of the library: what moves between environments, memories and agents.

Leading axes are written in brackets. A rollout of ``T`` steps of ``B`` environments has every
array with leading axes ``[T, B]``; a replayed batch has ``[B]``; the mathematics in
:mod:`purejaxrl.losses` sees one transition, or one trajectory ``[T]``, and no batch axis at all.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

Array = jax.Array
Key = jax.Array  # a typed key, as made by ``jax.random.key``
PyTree = Any


class InvalidInput(ValueError):
    """What the user gave cannot work. The message names what was given and what is accepted."""


@struct.dataclass
class Transition:
    """One step of experience.

    ``terminated`` means that the task ended in ``next_observation``: nothing is to be earned from
    there on, so a bootstrap stops. ``truncated`` means that somebody stopped watching (a time
    limit): the bootstrap goes on. Both may be set at once, and then the task has ended.
    ``next_observation`` is the true successor of ``action``, never the first observation of the
    following episode.
    """

    observation: PyTree
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_observation: PyTree
    extras: PyTree = ()  # what the agent recorded as it acted, such as a log-probability

    @property
    def ended(self) -> Array:
        """Whether the episode is over, for either reason; the flags may be numbers."""
        return jnp.asarray(self.terminated + self.truncated, bool)


@struct.dataclass
class Sample:
    """Transitions that were not drawn uniformly, and what it takes to make up for that.

    The importance weight of a row is ``probability ** -β``, over the largest in the batch (Schaul et
    al. 2016, section 3.4).
    """

    transition: Transition
    index: Array  # [batch], int32, the memory's name for the row, by which it is told of its priority
    probability: Array  # [batch], of the row over that of a uniform draw: 1 where all are as likely


@struct.dataclass
class EpisodeStatistics:
    """The episode that the last step belonged to, that step included.

    Where the step was the episode's last (``TimeStep.finished``) these are the finished episode's
    return (undiscounted sum of rewards) and length (steps); elsewhere they are running.
    """

    episode_return: Array
    episode_length: Array


@struct.dataclass
class TimeStep:
    """What a batch of environments answers to an action, every array with leading axis ``[B]``.

    ``observation`` is what to act on next: where an episode has just ended it is the first
    observation of a new one, while ``next_observation`` still is the old one's last.
    """

    observation: PyTree
    reward: Array
    terminated: Array
    truncated: Array
    next_observation: PyTree
    episode: EpisodeStatistics
    finished: Array  # whether ``episode`` is: where ``ended``, unless a life was taken for an episode

    @property
    def ended(self) -> Array:
        """Whether the step was the last that the learner is to see of its episode, for either reason."""
        return self.terminated | self.truncated

    def transition(self, observation: PyTree, action: Array, extras: PyTree = ()) -> Transition:
        """The experience of having taken ``action`` in ``observation``, which this step answers."""
        return Transition(
            observation=observation,
            action=action,
            reward=self.reward,
            terminated=self.terminated,
            truncated=self.truncated,
            next_observation=self.next_observation,
            extras=extras,
        )


@struct.dataclass
class Metrics:
    """Scalars over one epoch of one seed, reduced on the device.

    ``episode_return`` and ``episode_length`` are means over the ``episodes`` that ended during
    the epoch (NaN where none did); ``evaluation_return`` and ``evaluation_length`` are means over
    the greedy policy's evaluation episodes (``evaluation_episodes`` of them ended); ``update``
    holds means over the epoch of the agent's own figures: losses, gradient norms, TD errors.

    ``nonfinite_iteration`` is the run's first iteration in this epoch after which something was NaN
    or infinite, and ``nonfinite_quantity`` what that was, a place in
    :func:`purejaxrl.training.loop.quantities`; both are -1 where nothing was.
    """

    environment_steps: Array
    updates: Array
    episodes: Array
    episode_return: Array
    episode_length: Array
    evaluation_episodes: Array
    evaluation_return: Array
    evaluation_length: Array
    nonfinite_iteration: Array
    nonfinite_quantity: Array
    update: dict[str, Array]
