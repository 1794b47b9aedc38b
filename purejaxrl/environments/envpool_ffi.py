"""EnvPool through XLA's foreign function interface: no Python in a step, and fewer promises.

The face and the dynamics are those of the callback, but EnvPool's XLA functions have the address
of their pool built in. Hence, unlike with ``backend="callback"``:

* The pool is made when ``reset`` and ``step`` are traced, and it stays for the rest of the
  process, since a compiled program may call it at any time.
* The seeds are EnvPool's own of the option ``seed``, not drawn from the key that ``reset`` is
  given. Running the same program again in a process goes on where it stopped; it does not repeat.
* ``vmap`` over seeds folds them into one pool. ``lax.map`` over seeds has one pool for all of them,
  which serves only where each seed runs from reset to end; otherwise PoolError is raised when a
  seed's next episode ends. ``shard_map`` is refused. Linux on the CPU only.

A step in which no episode ends is some tens of microseconds cheaper; one in which some do calls
Python to reset them. So it is for cheap simulators only, and not for experiments.
"""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.environments.base import begin_episodes
from purejaxrl.environments.host import (
    action_for,
    call_host,
    channels_last,
    draw_seeds,
    finish,
    fold,
    observations_of,
    rows_of,
)
from purejaxrl.environments.pools import PoolError, check_range
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, EpisodeStatistics, InvalidInput, Key, TimeStep

_KEPT: list[Any] = []  # a program whose pool has been collected segfaults, so none is


class Lease:
    """The pools of one trace of ``reset``, by their number of simulators; equal to itself only."""

    def __init__(self, recipe: Any, seed: int) -> None:
        self.recipe, self.seed = recipe, seed
        self.pools: dict[int, Any] = {}
        self.functions: dict[int, Any] = {}
        self.serials: dict[int, int] = {}

    def pool(self, size: int) -> Any:
        if size not in self.pools:
            self.pools[size] = self.recipe.open(seeds_of(self.seed, size))
            with jax.enable_x64(True):  # else it writes its float64 into arrays of float32
                self.functions[size] = self.pools[size].pool.xla()
            _KEPT.append((self.pools[size], self.functions[size]))
        return self.pools[size]

    def begin(self, seeds: np.ndarray) -> tuple[np.ndarray, ...]:
        """Resets a pool. Returns its handle and the reset's serial number a row, and observations."""
        size = len(seeds)
        pool = self.pool(size)
        self.serials[size] = self.serials.get(size, 0) + 1
        handle = np.broadcast_to(np.asarray(self.functions[size][0]), (size, 8))
        return handle, np.full(size, self.serials[size], np.int32), pool.reset()

    def renew(
        self, handle: np.ndarray, serial: np.ndarray, ended: np.ndarray, last: np.ndarray, action: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """Resets the simulators that have ended. Returns the handle and the observations."""
        if (serial != self.serials[len(serial)]).any():
            raise PoolError("backend='ffi' has one pool a program, and another seed has reset this one")
        observation, pool = last.copy(), self.pools[len(serial)]
        observation[ended] = pool.renew(pool.rows[ended], action[ended].astype(pool.action_dtype))
        return handle, observation


def seeds_of(seed: int, size: int) -> np.ndarray:
    """EnvPool's seeds of a pool, int32 ``[N]``; a larger pool's begin with a smaller one's."""
    return np.random.default_rng(seed).integers(0, 2**31 - 1, size, np.int32)


@struct.dataclass
class FfiState:
    """EnvPool's handle ``[B, 8]`` and the reset's number ``[B]``, the same in all rows; episodes ``[B]``."""

    handle: Array
    serial: Array
    episode: EpisodeStatistics
    lease: Any = struct.field(pytree_node=False)


@with_knobs()
class FfiEnvironment:
    """``num_envs`` simulators of EnvPool, called by XLA itself; see :func:`.envpool_bridge.make`."""

    recipe: Any
    num_envs: int
    seed: int = 0

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        return self.recipe.describe().observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        return self.recipe.describe().action_space

    @property
    def max_episode_steps(self) -> int | None:
        return self.recipe.describe().max_episode_steps

    def reset(self, key: Key) -> tuple[FfiState, Array]:
        """Begins an episode in every environment; ``key`` is not used, see this module.

        Raises:
            InvalidInput: not on a CPU, or under ``shard_map``.
        """
        _check_placement()
        description, lease = self.recipe.describe(), Lease(self.recipe, self.seed)

        def begin(seeds: Array) -> tuple[Array, ...]:
            lease.pool(seeds.shape[0])  # now: making it calls JAX, which the running program must not
            numbers = (rows_of(seeds, (8,), np.uint8), rows_of(seeds, (), np.int32))
            return call_host(lease.begin, (*numbers, observations_of(seeds, description)), seeds)

        # The numbers stand for the key: whatever axes it is mapped over, the pool is.
        handle, serial, observation = fold(begin)(draw_seeds(key, self.num_envs))
        state = FfiState(handle=handle, serial=serial, episode=begin_episodes(self.num_envs), lease=lease)
        return state, channels_last(observation, description)

    def step(self, key: Key, state: FfiState, action: Array) -> tuple[FfiState, TimeStep]:
        """Steps the simulators with ``action`` ``[B, …]``; ``key`` is not used, they have their own.

        Raises:
            InvalidInput: the action's shape or type is not the action space's; not on a CPU, or
                under ``shard_map``; at run time, as ``jax.errors.JaxRuntimeError``, where a discrete
                action is out of its range.
        """
        del key
        _check_placement()
        description, lease = self.recipe.describe(), state.lease

        def step_pool(handle: Array, serial: Array, action: Array) -> tuple[Array, ...]:
            size = handle.shape[0]
            pool = lease.pool(size)
            _, receive, send, _ = lease.functions[size]
            action = self._check_range(action)
            with jax.enable_x64(True):
                token, (last, reward, terminated, truncated, info) = receive(
                    send(handle[0], action.astype(pool.action_dtype))
                )
                shape = observations_of(action, description)
                last = last.reshape(shape.shape).astype(shape.dtype)
            ended = terminated | truncated
            score, over = (
                (info["reward"], (info["terminated"] != 0) | truncated) if pool.games else (reward, ended)
            )

            def renew(*arguments: Array) -> tuple[Array, ...]:
                return call_host(lease.renew, (rows_of(action, (8,), np.uint8), shape), *arguments)

            def go_on(handle: Array, serial: Array, ended: Array, last: Array, action: Array) -> Any:
                return handle, last

            handle = jnp.broadcast_to(token, handle.shape)
            handle, observation = jax.lax.cond(
                jnp.any(ended), renew, go_on, handle, serial, ended, last, action
            )
            return handle, observation, last, reward, score, terminated, truncated, over

        handle, *outcome = fold(step_pool)(state.handle, state.serial, action_for(self, action))
        timestep, episode = finish(state.episode, description, *outcome)
        return FfiState(handle=handle, serial=state.serial, episode=episode, lease=lease), timestep

    def _check_range(self, action: Array) -> Array:
        space = self.action_space
        if not isinstance(space, gymnasium.spaces.Discrete):
            return action

        def refuse(action: Array) -> Array:
            def check(action: np.ndarray) -> tuple[np.ndarray]:
                check_range(self.recipe, action)
                return (action,)

            return call_host(check, (rows_of(action, (), action.dtype),), action)[0]

        wrong = (action < space.start) | (action >= space.start + space.n)
        return jax.lax.cond(jnp.any(wrong), refuse, lambda action: action, action)


def _check_placement() -> None:
    if sys.platform != "linux" or jax.default_backend() != "cpu":
        where = f"{sys.platform} with {jax.default_backend()}"
        raise InvalidInput(f"backend='ffi' runs on Linux on the CPU, not on {where}: use backend='callback'")
    if jax.sharding.get_abstract_mesh().manual_axes:
        raise InvalidInput(
            "backend='ffi' has one pool a program and cannot be sharded: use backend='callback'"
        )
