"""Experience replay (Lin 1992): a ring of the last transitions, sampled uniformly."""

from __future__ import annotations

import dataclasses

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from purejaxrl.sampling import uniform_index
from purejaxrl.types import Array, InvalidInput, Key, Transition


@dataclasses.dataclass(frozen=True)
class Replay:
    """A ring buffer of ``capacity`` transitions, sampled ``batch_size`` at a time.

    Its state is a Transition of arrays ``[B, slots, T, …]``, a slot for each rollout that fits. The
    environments' axis is the first, so that it may be sharded over devices when all of the buffer is
    looked up as one list. A transition is stored whole, its true successor beside it, so that no row
    can be paired with the first observation of the following episode or with a row that the ring has
    overwritten since.

    Sampling is uniform with replacement: without, it would cost a permutation of the buffer.
    """

    capacity: int
    batch_size: int
    warmup_steps: int

    def warmup(self, rollout_length: int, num_envs: int) -> int:
        del rollout_length, num_envs
        return self.warmup_steps

    @property
    def environment_axis(self) -> int:
        return 0

    def init(self, transition: Transition, rollout_length: int, num_envs: int) -> Transition:
        """Raises InvalidInput where rollouts do not divide the buffer, or a batch is empty."""
        rows = rollout_length * num_envs
        if self.capacity < rows or self.capacity % rows:
            nearest = max(rows, round(self.capacity / rows) * rows)
            raise InvalidInput(
                f"a replay buffer of {self.capacity} transitions cannot be filled by rollouts of"
                f" {rollout_length} steps × {num_envs} environments = {rows} transitions; its capacity"
                f" must be a multiple of {rows}, such as {nearest}"
            )
        slots = self.capacity // rows
        return jax.tree.map(
            lambda leaf: jnp.zeros(
                (num_envs, slots, rollout_length, *jnp.shape(leaf)), jnp.result_type(leaf)
            ),
            transition,
        )

    def add(self, memory: Transition, rollout: Transition, count: Array | int) -> Transition:
        """Writes the rollout ``[T, B]`` over the oldest one."""
        slots = memory.reward.shape[1]

        def write(stored: Array, new: Array) -> Array:
            new = new.swapaxes(0, 1).astype(stored.dtype)
            return jax.lax.dynamic_update_index_in_dim(stored, new, count % slots, axis=1)

        return jax.tree.map(write, memory, rollout)

    def sample(self, memory: Transition, key: Key, count: Array | int) -> Transition:
        """A batch ``[batch_size]`` of the transitions stored.

        Raises:
            InvalidInput: nothing has been stored (where ``count`` is known outside of jit).
        """
        if not isinstance(count, jax.core.Tracer) and np.asarray(count) < 1:
            raise InvalidInput("cannot sample from an empty replay buffer; add at least one rollout first")
        num_envs, slots, length = memory.reward.shape
        rows = length * num_envs
        index = uniform_index(key, (self.batch_size,), jnp.minimum(count, slots) * rows)
        slot, step, env = index // rows, index % rows // num_envs, index % num_envs
        # Behind a barrier, or XLA would work this out again for each array that is looked up.
        place = jax.lax.optimization_barrier((env * slots + slot) * length + step)
        return jax.tree.map(lambda stored: stored.reshape(-1, *stored.shape[3:])[place], memory)
