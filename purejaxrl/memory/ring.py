"""The ring of the last transitions that every replay memory keeps, and what is looked up in it.

A ring is a Transition of arrays ``[B, slots, T, …]``: environment, slot of a rollout, step in the
rollout. Within an environment slots × T positions follow each other in the order of time, and the
newest one is followed by the oldest: windows of several steps must not reach over that seam.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from purejaxrl.sampling import uniform_index
from purejaxrl.types import Array, InvalidInput, Key, Transition


def empty(
    capacity: int, steps: int, transition: Transition, rollout_length: int, num_envs: int
) -> Transition:
    """A ring of ``capacity`` transitions such as ``transition``, to be read ``steps`` at a time.

    Raises:
        InvalidInput: rollouts do not divide it, or an environment's part of it is below ``steps``.
    """
    rows = rollout_length * num_envs
    if capacity < rows or capacity % rows:
        nearest = max(rows, round(capacity / rows) * rows)
        raise InvalidInput(
            f"a replay buffer of {capacity} transitions cannot be filled by rollouts of"
            f" {rollout_length} steps × {num_envs} environments = {rows} transitions; its capacity"
            f" must be a multiple of {rows}, such as {nearest}"
        )
    slots = capacity // rows
    if slots * rollout_length < steps:
        least = -(-steps // rollout_length) * rows
        raise InvalidInput(
            f"a replay buffer of {capacity} transitions holds {slots * rollout_length} steps of each of"
            f" {num_envs} environments, but {steps} in a row are to be sampled; its capacity must be at"
            f" least {least}"
        )
    return jax.tree.map(
        lambda leaf: jnp.zeros((num_envs, slots, rollout_length, *jnp.shape(leaf)), jnp.result_type(leaf)),
        transition,
    )


def check_number(name: str, value: int, least: int) -> None:
    """Raises InvalidInput where a size of a memory is no whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InvalidInput(f"{name} must be a whole number of at least {least}, not {value!r}")


def warmup(warmup_steps: int, steps: int, name: str, rollout_length: int, num_envs: int) -> int:
    """Environment steps before the first update, which is made after one rollout more than these.

    Raises InvalidInput where ``warmup_steps``, or the ``steps`` of a window, which go by ``name``, are no
    numbers.
    """
    check_number("warmup_steps", warmup_steps, 0)
    check_number(name, steps, 1)
    return max(warmup_steps, (-(-steps // rollout_length) - 1) * rollout_length * num_envs)


def write(ring: Transition, rollout: Transition, count: Array | int) -> Transition:
    """Writes the rollout ``[T, B]`` over the oldest one, after ``count`` others."""
    slots = ring.reward.shape[1]

    def replace(stored: Array, new: Array) -> Array:
        new = new.swapaxes(0, 1).astype(stored.dtype)
        return jax.lax.dynamic_update_index_in_dim(stored, new, count % slots, axis=1)

    return jax.tree.map(replace, ring, rollout)


def cut(ring: Transition, count: Array | int) -> Transition:
    """Cuts off the last of ``count`` rollouts after its last step: see :meth:`.base.Memory.cut`."""
    last = (slice(None), (count - 1) % ring.reward.shape[1], -1)
    truncated = ring.truncated.at[last].set(ring.truncated[last] | ~ring.terminated[last])
    return dataclasses.replace(ring, truncated=truncated)


def check_filled(ring: Transition, count: Array | int, steps: int) -> None:
    """Raises InvalidInput where ``count`` rollouts, if known outside of jit, are less than ``steps``."""
    if isinstance(count, jax.core.Tracer):
        return
    if np.asarray(count) < 1:
        raise InvalidInput("cannot sample from an empty replay buffer; add at least one rollout first")
    length = ring.reward.shape[2]
    if np.asarray(count) * length < steps:
        raise InvalidInput(
            f"cannot sample {steps} steps in a row from a replay buffer of {count} rollouts of {length}"
            f" steps; add at least {-(-steps // length)} first"
        )


def number_of_starts(ring: Transition, count: Array | int, steps: int) -> Array:
    """How many positions of an environment are followed by the rest of a window of ``steps``."""
    _, slots, length = ring.reward.shape
    return jnp.minimum(count, slots) * length - (steps - 1)


def draw_starts(
    key: Key, batch_size: int, ring: Transition, count: Array | int, steps: int
) -> tuple[Array, Array]:
    """Environments and positions ``[batch_size]`` that windows of ``steps`` begin with, all as likely."""
    num_envs, slots, length = ring.reward.shape
    index = uniform_index(key, (batch_size,), number_of_starts(ring, count, steps) * num_envs)
    oldest = jnp.where(count > slots, count % slots, 0) * length
    age = index // num_envs  # steps since the oldest of the environment: the newest begin no window
    return jax.lax.optimization_barrier((index % num_envs, (oldest + age) % (slots * length)))


def rows(ring: Transition, env: Array, position: Array) -> Array:
    """Rows of the whole ring, seen as one list, of positions in the rings of environments."""
    _, slots, length = ring.reward.shape
    return env * (slots * length) + position % (slots * length)


def take(stored: Array, row: Array) -> Array:
    """The rows ``[…]`` of an array of a ring."""
    return stored.reshape(-1, *stored.shape[3:])[row]


def one_step(ring: Transition, row: Array) -> Transition:
    """The transitions ``[batch]`` of rows ``[batch]``."""
    return jax.tree.map(lambda stored: take(stored, row), ring)


def several_steps(ring: Transition, env: Array, position: Array, steps: int) -> Transition:
    """What ``steps`` steps lead to: see :class:`purejaxrl.memory.Replay`.

    ``env`` and ``position`` ``[batch]`` are of the first step. Rewards and flags are looked up for all
    of the steps, ``[batch, steps]``, the rest for one.
    """
    window = rows(ring, env[:, None], position[:, None] + jnp.arange(steps))
    reward, terminated, truncated = (
        take(stored, window) for stored in (ring.reward, ring.terminated, ring.truncated)
    )
    ended = (terminated | truncated).astype(jnp.int32)
    counts = jnp.cumsum(ended, axis=1) - ended == 0  # no step before has ended the episode
    last = rows(ring, env, position + jnp.sum(counts, axis=1) - 1)
    first, last = jax.lax.optimization_barrier((window[:, 0], last))
    return Transition(
        observation=jax.tree.map(lambda stored: take(stored, first), ring.observation),
        action=take(ring.action, first),
        reward=jnp.where(counts, reward, 0),
        terminated=terminated & counts,
        truncated=truncated & counts,
        next_observation=jax.tree.map(lambda stored: take(stored, last), ring.next_observation),
        extras=jax.tree.map(lambda stored: take(stored, first), ring.extras),
    )
