"""Experience replay (Lin 1992): a ring of the last transitions, sampled uniformly."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from purejaxrl.memory import ring
from purejaxrl.sampling import uniform_index
from purejaxrl.types import Array, Key, Transition


@dataclasses.dataclass(frozen=True)
class Replay:
    """A ring buffer of ``capacity`` transitions, sampled ``batch_size`` at a time.

    Its state is a Transition of arrays ``[B, slots, T, …]``, a slot for each rollout that fits. The
    environments' axis is the first, so that it may be sharded over devices when all of the buffer is
    looked up as one list. A transition is stored whole, its true successor beside it, so that no row
    can be paired with the first observation of the following episode or with a row that the ring has
    overwritten since.

    With ``n_step`` above 1 a sample is what n steps led to (Sutton & Barto 2018, section 7.1):
    ``reward``, ``terminated`` and ``truncated`` are ``[batch, n]``, of the n steps that begin with the
    one drawn; ``observation``, ``action`` and ``extras`` are that first step's; ``next_observation`` is
    the successor of the last step that counts, which is the first that ended an episode, for either
    reason, or else the n-th. Of steps after that, rewards are 0 and flags are False. The newest n - 1
    steps of an environment are not drawn yet: what follows them has still to come.

    Sampling is uniform with replacement: without, it would cost a permutation of the buffer.
    """

    capacity: int
    batch_size: int
    warmup_steps: int
    n_step: int = 1

    def warmup(self, rollout_length: int, num_envs: int) -> int:
        """``warmup_steps``, or more where n steps take more."""
        return ring.warmup(self.warmup_steps, self.n_step, "n_step", rollout_length, num_envs)

    @property
    def environment_axis(self) -> int:
        return 0

    def init(self, transition: Transition, rollout_length: int, num_envs: int) -> Transition:
        """Raises InvalidInput where rollouts do not divide the buffer, or n steps do not fit."""
        ring.check_number("n_step", self.n_step, 1)
        return ring.empty(self.capacity, self.n_step, transition, rollout_length, num_envs)

    def add(self, memory: Transition, rollout: Transition, count: Array | int) -> Transition:
        """Writes the rollout ``[T, B]`` over the oldest one."""
        return ring.write(memory, rollout, count)

    def cut(self, memory: Transition, count: Array | int) -> Transition:
        """The newest steps are the last of their episodes, of which none then reads on."""
        return ring.cut(memory, count)

    def sample(self, memory: Transition, key: Key, count: Array | int) -> Transition:
        """A batch ``[batch_size]`` of the transitions stored.

        Raises:
            InvalidInput: nothing, or less than n steps, has been stored (where ``count`` is known
                outside of jit).
        """
        ring.check_filled(memory, count, self.n_step)
        if self.n_step > 1:
            env, position = ring.draw_starts(key, self.batch_size, memory, count, self.n_step)
            return ring.several_steps(memory, env, position, self.n_step)
        num_envs, slots, length = memory.reward.shape
        rows = length * num_envs
        index = uniform_index(key, (self.batch_size,), jnp.minimum(count, slots) * rows)
        slot, step, env = index // rows, index % rows // num_envs, index % num_envs
        # Behind a barrier, or XLA would work this out again for each array that is looked up.
        place = jax.lax.optimization_barrier((env * slots + slot) * length + step)
        return ring.one_step(memory, place)


@dataclasses.dataclass(frozen=True)
class SequenceReplay:
    """A ring buffer of ``capacity`` transitions, sampled as ``batch_size`` runs of ``length`` steps.

    Batches are whole transitions ``[batch, length]``, each row the consecutive steps of one
    environment; all that are stored are drawn as often. A row may reach over the ends of episodes,
    which its flags tell. For recurrent networks, whose carry is stored in ``extras`` as they act and
    warmed up on the first steps of a row (Kapturowski et al. 2019, section 3).
    """

    capacity: int
    batch_size: int
    warmup_steps: int
    length: int

    def warmup(self, rollout_length: int, num_envs: int) -> int:
        """``warmup_steps``, or more where a row takes more."""
        return ring.warmup(self.warmup_steps, self.length, "length", rollout_length, num_envs)

    @property
    def environment_axis(self) -> int:
        return 0

    def init(self, transition: Transition, rollout_length: int, num_envs: int) -> Transition:
        """Raises InvalidInput where rollouts do not divide the buffer, or a row does not fit."""
        ring.check_number("length", self.length, 1)
        return ring.empty(self.capacity, self.length, transition, rollout_length, num_envs)

    def add(self, memory: Transition, rollout: Transition, count: Array | int) -> Transition:
        """Writes the rollout ``[T, B]`` over the oldest one."""
        return ring.write(memory, rollout, count)

    def cut(self, memory: Transition, count: Array | int) -> Transition:
        """The newest steps are the last of their episodes, of which none then reads on."""
        return ring.cut(memory, count)

    def sample(self, memory: Transition, key: Key, count: Array | int) -> Transition:
        """A batch ``[batch_size, length]`` of the transitions stored.

        Raises:
            InvalidInput: less than ``length`` steps have been stored (where ``count`` is known
                outside of jit).
        """
        ring.check_filled(memory, count, self.length)
        env, position = ring.draw_starts(key, self.batch_size, memory, count, self.length)
        row = ring.rows(memory, env[:, None], position[:, None] + jnp.arange(self.length))
        return ring.one_step(memory, jax.lax.optimization_barrier(row))
