"""The memories of on-policy algorithms: the last rollout, with what came before it, or as returns."""

from __future__ import annotations

import dataclasses

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from purejaxrl.memory import ring
from purejaxrl.types import Array, InvalidInput, Key, Transition


@dataclasses.dataclass(frozen=True)
class LastRollout:
    """Feeds an update the rollout ``[T, B]`` that was collected just before it, in order."""

    warmup_steps: int = 0
    once: bool = False
    """Whether an update is of the policy that acted, so that a second one of the same rollout is not."""

    def warmup(self, rollout_length: int, num_envs: int) -> int:
        del rollout_length, num_envs
        return self.warmup_steps

    @property
    def environment_axis(self) -> int:
        return 1

    def init(self, transition: Transition, rollout_length: int, num_envs: int) -> Transition:
        """Room for one rollout."""
        return jax.tree.map(
            lambda leaf: jnp.zeros((rollout_length, num_envs, *jnp.shape(leaf)), jnp.result_type(leaf)),
            transition,
        )

    def add(self, memory: Transition, rollout: Transition, count: Array | int) -> Transition:
        """Forgets the rollout before."""
        del memory, count
        return rollout

    def cut(self, memory: Transition, count: Array | int) -> Transition:
        """As it is: the next rollout takes its place before anything is learnt."""
        del count
        return memory

    def sample(self, memory: Transition, key: Key, count: Array | int) -> Transition:
        """The whole rollout; nothing is drawn."""
        del key, count
        return memory


def in_first_episode(rollout: Transition) -> Array:
    """``[T, B]``, whether no step before has ended the episode that an environment began the rollout with."""
    ended = rollout.ended.astype(jnp.int32)
    return jnp.cumsum(ended, axis=0) - ended == 0


@dataclasses.dataclass(frozen=True)
class FirstEpisodes(LastRollout):
    """Feeds an update a rollout ``[T, B]`` that began with an episode in every environment.

    What comes after those episodes in the rollout is of others, which it cuts off at its end.
    """

    @property
    def begins_episodes(self) -> bool:
        return True


@dataclasses.dataclass(frozen=True)
class EpisodeReturns:
    """Feeds an update the return ``[B]`` of the episode that each environment began with the last rollout.

    It is the sum of rewards until the episode ended for either reason, or else the rollout did: a rollout
    should be as long as an episode can be. What comes after the episode in the rollout is not looked at.
    """

    def warmup(self, rollout_length: int, num_envs: int) -> int:
        """None: the first rollout is the first population's."""
        del rollout_length, num_envs
        return 0

    @property
    def environment_axis(self) -> int:
        return 0

    @property
    def begins_episodes(self) -> bool:
        return True

    def init(self, transition: Transition, rollout_length: int, num_envs: int) -> Array:
        """A return for each environment."""
        del transition, rollout_length
        return jnp.zeros(num_envs)

    def add(self, memory: Array, rollout: Transition, count: Array | int) -> Array:
        """Adds up the first episodes' rewards."""
        del memory, count
        return jnp.sum(jnp.where(in_first_episode(rollout), rollout.reward, 0.0), axis=0)

    def cut(self, memory: Array, count: Array | int) -> Array:
        """As they are: the next rollout begins new episodes by itself."""
        del count
        return memory

    def sample(self, memory: Array, key: Key, count: Array | int) -> Array:
        """The returns; nothing is drawn."""
        del key, count
        return memory


@dataclasses.dataclass(frozen=True)
class Window:
    """Feeds an update the last ``extra + T`` steps ``[extra + T, B]``, in order.

    What learns from the ``extra`` steps that follow one, such as n-step SARSA, learns the first T
    steps, and the last ``extra`` are what follows them: so each step is learnt once, ``extra`` steps
    after it was taken.
    """

    extra: int
    shortest: int = 1
    """Rollouts of fewer steps are refused."""

    def warmup(self, rollout_length: int, num_envs: int) -> int:
        """As many rollouts as fill the extra steps."""
        ring.check_number("extra", self.extra, 0)
        return -(-self.extra // rollout_length) * rollout_length * num_envs

    @property
    def environment_axis(self) -> int:
        return 1

    def init(self, transition: Transition, rollout_length: int, num_envs: int) -> Transition:
        """Room for a rollout and the extra steps. Raises InvalidInput where either cannot be."""
        ring.check_number("extra", self.extra, 0)
        if rollout_length < self.shortest:
            raise InvalidInput(
                f"rollout_length must be at least {self.shortest} here, not {rollout_length}: what is learnt"
                " reaches over the steps of a rollout"
            )
        return LastRollout().init(transition, self.extra + rollout_length, num_envs)

    def add(self, memory: Transition, rollout: Transition, count: Array | int) -> Transition:
        """Forgets the oldest steps, as many as are new."""
        del count
        length = rollout.reward.shape[0]
        return jax.tree.map(
            lambda stored, new: jnp.concatenate([stored[length:], new.astype(stored.dtype)]), memory, rollout
        )

    def cut(self, memory: Transition, count: Array | int) -> Transition:
        """Its last step is the last of an episode; none is where nothing has been stored."""
        del count
        cut_off = memory.truncated.at[-1].set(memory.truncated[-1] | ~memory.terminated[-1])
        return dataclasses.replace(memory, truncated=cut_off)

    def sample(self, memory: Transition, key: Key, count: Array | int) -> Transition:
        """All of it; nothing is drawn.

        Raises:
            InvalidInput: less than that has been stored (where ``count`` is known outside of jit).
        """
        del key
        kept = memory.reward.shape[0]
        length = kept - self.extra
        if not isinstance(count, jax.core.Tracer) and np.asarray(count) * length < kept:
            raise InvalidInput(
                f"cannot give {kept} steps after {count} rollouts of {length}; add at least"
                f" {-(-kept // length)} first"
            )
        return memory
