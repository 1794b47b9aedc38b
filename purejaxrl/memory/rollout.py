"""The memory of an on-policy algorithm: the last rollout, and nothing before it."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from purejaxrl.types import Array, Key, Transition


@dataclasses.dataclass(frozen=True)
class LastRollout:
    """Feeds an update the rollout ``[T, B]`` that was collected just before it, in order."""

    warmup_steps: int = 0

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

    def sample(self, memory: Transition, key: Key, count: Array | int) -> Transition:
        """The whole rollout; nothing is drawn."""
        del key, count
        return memory
