"""Simulators that live on the host, behind the face of an environment in JAX.

``reset`` makes a pool of simulators when the program runs, from seeds drawn from its key, and so
a program that resets and steps is a pure function of that key: run again, it gives the same bits.
The environment's state holds no simulator. It holds a *ticket* for each: which pool, which row of
it, how many steps taken. Tickets thread the calls to the host, so that they can be neither
reordered nor elided, and they are checked at each call:

* a state from another process, such as one restored from a checkpoint, or one whose pool has been
  released, raises :class:`PoolError`: a pool cannot be saved, begin new episodes instead, or see
  below;
* so does stepping an old state, or one state twice: a simulator cannot go back.

Errors of a running program reach its caller as ``jax.errors.JaxRuntimeError``, whose text has the
message.

Under ``vmap`` the mapped axes are folded into the environment axis: all seeds share one pool and
one call to the host a step. Since a ticket names a single simulator, a state that was made under
``vmap`` may later be indexed, reordered, mapped with ``lax.map`` or sharded, and the reverse.

An environment whose ``recording`` is set can be resumed elsewhere: its pools keep the actions they
are given, :func:`take_record` takes them to be saved with the state, and :func:`replay` makes the
simulators of a saved state anew and plays the actions again. The simulators must be functions of
their seeds and actions, as those of EnvPool and gymnasium are. It costs a copy of the actions a
step, and to resume takes as long as the simulators took.

Pools are the one thing in this library that is global to the process, because a compiled program
has no other place to keep them. Each belongs to one run of ``reset`` alone. The process keeps the
128 that were used last (:func:`set_pool_limit`); :func:`release` lets those of a state go at
once, also inside ``jit``, and :func:`close_pools` lets all of them go. Do not fork while a pool
lives: EnvPool's threads do not survive it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.experimental import io_callback

from purejaxrl.environments.base import begin_episodes, check_action, extend_episodes, select
from purejaxrl.environments.pools import (
    REGISTRY,
    TURN,
    Description,
    PoolError,
    Record,
    check_range,
    close_pools,
    concatenate,
    reserve_pools,
    set_pool_limit,
)
from purejaxrl.environments.pools import replay as replay_pools
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, EpisodeStatistics, InvalidInput, Key, PyTree, TimeStep

try:  # not a settled part of JAX: without it io_callback does the same, at 50 µs a call instead of 5
    from jax.experimental.buffer_callback import buffer_callback
except ImportError:  # pragma: no cover
    buffer_callback = None

__all__ = [
    "HostEnvironment",
    "HostState",
    "PoolError",
    "Record",
    "close_pools",
    "concatenate",
    "holds_pool",
    "release",
    "replay",
    "reserve_pools",
    "set_pool_limit",
    "take_record",
]


@struct.dataclass
class HostState:
    """The state of :class:`HostEnvironment`: a ticket ``[B, 4]`` and the running episodes ``[B]``."""

    ticket: Array
    episode: EpisodeStatistics


@with_knobs()
class HostEnvironment:
    """``num_envs`` simulators on the host, as :class:`~purejaxrl.environments.base.VectorEnvironment`.

    It has no leaves and is compared by value: two made alike share compiled programs, never pools.
    """

    recipe: Any  # a pools.Recipe
    num_envs: int
    recording: bool = False  # whether pools keep their actions

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        return self.recipe.describe().observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        return self.recipe.describe().action_space

    @property
    def max_episode_steps(self) -> int | None:
        return self.recipe.describe().max_episode_steps

    def reset(self, key: Key) -> tuple[HostState, Array]:
        """Makes a pool, seeded from ``key``. Returns the state and first observations ``[B, …]``."""
        description = self.recipe.describe()

        def open_pool(seeds: Array) -> tuple[Array, ...]:
            result = (rows_of(seeds, (4,), np.int32), observations_of(seeds, description))
            return call_host(
                lambda numbers: REGISTRY.open(self.recipe, numbers, self.recording), result, seeds
            )

        ticket, observation = fold(open_pool)(draw_seeds(key, self.num_envs))
        state = HostState(ticket=ticket, episode=begin_episodes(self.num_envs))
        return state, channels_last(observation, description)

    def step(self, key: Key, state: HostState, action: Array) -> tuple[HostState, TimeStep]:
        """Steps the simulators with ``action`` ``[B, …]``; ``key`` is not used, they have their own.

        Raises:
            InvalidInput: the action's shape or type is not the action space's; at run time, as
                ``jax.errors.JaxRuntimeError``, where a discrete action is out of its range.
        """
        del key
        description = self.recipe.describe()

        def step_pool(ticket: Array, action: Array) -> tuple[Array, ...]:
            observation = observations_of(ticket, description)
            number, flag = rows_of(ticket, (), np.float32), rows_of(ticket, (), bool)
            outcome = (observation, observation, number, number, flag, flag, flag)
            result = (rows_of(ticket, (4,), np.int32), *outcome)
            return call_host(lambda *host: REGISTRY.step(self.recipe, *host), result, ticket, action)

        ticket, *outcome = fold(step_pool)(state.ticket, action_for(self, action))
        timestep, episode = finish(state.episode, description, *outcome)
        return HostState(ticket=ticket, episode=episode), timestep


def release(state: PyTree) -> None:
    """Lets the simulators go whose tickets ``state`` (any pytree) holds; the rest of it is let be.

    Works inside ``jit`` and ``vmap``, where it happens once ``state`` is computed: call it on the
    last state of an evaluation, say. A pool goes when none of its simulators is left. Without it,
    a pool stays until it is among the 128 used last no more.
    """

    def release_rows(ticket: Array) -> tuple[Array, ...]:
        return call_host(REGISTRY.release, (rows_of(ticket, (), bool),), ticket)

    for held in _held(state):
        fold(release_rows)(held.ticket)


def holds_pool(state: PyTree) -> bool:
    """Whether ``state`` holds tickets of simulators, so that to resume it elsewhere takes a Record."""
    return bool(_held(state))


def take_record(state: PyTree) -> Record | None:
    """Takes what the simulators of ``state`` were told to do since this was last taken.

    The pools forget it, so that their memory stays flat: it is the caller's to save. What
    :func:`replay` needs is all records of a state's life, joined by :func:`concatenate`. Not for use
    inside ``jit``.

    Args:
        state: any pytree with one environment state in it, as it is now, with any leading axes.

    Returns:
        Seeds ``[…, B]`` and actions ``[T, …, B, *action_shape]``, in the order of the state's
        tickets; None where it has no ticket.

    Raises:
        PoolError: the simulators are gone, have moved on or are not recorded, or they have not all
            taken as many steps. Nothing is taken.
        InvalidInput: several environment states.
    """
    ticket = _ticket(state)
    if ticket is None:
        return None
    record = REGISTRY.take(ticket.reshape(-1, 4))
    steps, _, *shape = record.actions.shape
    return Record(
        seeds=record.seeds.reshape(ticket.shape[:-1]),
        actions=record.actions.reshape(steps, *ticket.shape[:-1], *shape),
    )


def replay(
    environment: HostEnvironment,
    state: PyTree,
    record: Record,
    pools: int,
    report: Callable[[int, int], None] | None = None,
) -> PyTree:
    """Makes the simulators of a saved state anew, and has them do again what they did.

    Args:
        environment: what they are; if its ``recording`` is set, they are recorded from here on.
        state: any pytree with one environment state in it, as it was when ``record`` was taken last.
        record: all that its simulators did since they were made.
        pools: how many to make; each has as many of the state's simulators, in their order. Best is
            what the program that goes on would have made: with ``lax.map`` one a seed, with ``vmap``
            one a device.
        report: is told the steps played, out of how many, now and then and at the end.

    Returns:
        ``state`` with new tickets, on the devices of the old ones, and otherwise as it was.

    Raises:
        InvalidInput: arguments that do not fit each other, or more pools than are kept
            (:func:`set_pool_limit`).
    """
    if not isinstance(environment, HostEnvironment):
        raise InvalidInput(f"only the simulators of a HostEnvironment are replayed, not {environment!r}")
    old = _ticket(state)
    if old is None:
        raise InvalidInput("the state has no simulators to replay")
    _check_record(environment, old, record)
    size = old[..., 0].size
    if isinstance(pools, bool) or not isinstance(pools, int) or pools < 1 or size % pools:
        raise InvalidInput(f"{size} simulators cannot be split into {pools!r} pools of equal size")
    if pools > REGISTRY.limit:
        raise InvalidInput(f"{pools} pools are needed, and {REGISTRY.limit} are kept: see set_pool_limit")
    flat = Record(
        seeds=record.seeds.reshape(size),
        actions=record.actions.reshape(len(record.actions), size, *record.actions.shape[old.ndim :]),
    )
    new = replay_pools(environment.recipe, flat, pools, environment.recording, report).reshape(old.shape)

    def renew(node: Any) -> Any:
        if not isinstance(node, HostState):
            return node
        ticket = jax.device_put(new, node.ticket.sharding) if isinstance(node.ticket, jax.Array) else new
        return node.replace(ticket=ticket)  # type: ignore[attr-defined]

    return jax.tree.map(renew, state, is_leaf=lambda node: isinstance(node, HostState))


def _check_record(environment: HostEnvironment, ticket: np.ndarray, record: Record) -> None:
    seeds, actions = record
    shape = (*ticket.shape[:-1], *(environment.action_space.shape or ()))
    if seeds.shape != ticket.shape[:-1] or actions.shape[1:] != shape:
        raise InvalidInput(
            f"the record has seeds {seeds.shape} and actions {actions.shape}, and the state takes"
            f" {ticket.shape[:-1]} and {('T', *shape)}"
        )
    turns = ticket[..., TURN]
    if (turns != len(actions)).any():
        raise InvalidInput(
            f"the record has {len(actions)} steps, and the state is the one after {turns.max()}:"
            " it takes all that were recorded since the simulators were made, and no more"
        )
    if len(actions):
        check_range(environment.recipe, actions)


def _held(state: PyTree) -> list[HostState]:
    leaves = jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, HostState))
    return [leaf for leaf in leaves if isinstance(leaf, HostState)]


def _ticket(state: PyTree) -> np.ndarray | None:
    """The concrete tickets ``[…, 4]`` of the only environment state there is, or None."""
    held = _held(state)
    if len(held) > 1:
        raise InvalidInput(f"{len(held)} environment states are given; a record is of one")
    return np.asarray(held[0].ticket) if held else None


def draw_seeds(key: Key, num_envs: int) -> Array:
    """Seeds of simulators, int32 ``[B]``, none negative."""
    return jax.random.randint(key, (num_envs,), 0, 2**31 - 1, jnp.int32)


def action_for(environment: Any, action: Array) -> Array:
    """A batch of actions as a simulator is given it; InvalidInput where it is none of its."""
    action = check_action(environment.recipe.name, environment, action)
    return jax.lax.stop_gradient(action)  # a simulator has none, and a callback raises if asked


def finish(
    episode: EpisodeStatistics,
    description: Description,
    observation: Array,
    next_observation: Array,
    reward: Array,
    score: Array,
    terminated: Array,
    truncated: Array,
    over: Array,
) -> tuple[TimeStep, EpisodeStatistics]:
    """Makes an outcome a TimeStep. Returns it and the episodes that run after it."""
    episode = extend_episodes(episode, score)
    timestep = TimeStep(
        observation=channels_last(observation, description),
        reward=reward,
        terminated=terminated,
        truncated=truncated,
        next_observation=channels_last(next_observation, description),
        episode=episode,
        finished=over,
    )
    return timestep, select(over, begin_episodes(over.shape[0]), episode)


def rows_of(like: Array, shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    """The type of a result with as many rows as ``like``."""
    return jax.ShapeDtypeStruct((like.shape[0], *shape), jax.dtypes.canonicalize_dtype(dtype))


def observations_of(like: Array, description: Description) -> jax.ShapeDtypeStruct:
    """The type of the observations that simulators return for the rows of ``like``."""
    shape, dtype = description.observation_space.shape, description.observation_space.dtype
    assert shape is not None  # it is a Box or Discrete
    return rows_of(like, (shape[-1], *shape[:-1]) if description.channels_first else shape, dtype)


def channels_last(observation: Array, description: Description) -> Array:
    """Images as the observation space has them."""
    # Here and not on the host: 40 µs instead of 1.2 ms for 64 stacks of Atari frames.
    return jnp.moveaxis(observation, 1, -1) if description.channels_first else observation


def fold(function: Callable[..., tuple[Array, ...]]) -> Callable[..., tuple[Array, ...]]:
    """Makes ``vmap`` of ``function`` a single call of it, with the axes folded into the first one.

    Every argument and result of ``function`` must have that axis first. Arguments that are not
    mapped are repeated.
    """
    folded = jax.custom_batching.custom_vmap(function)

    @folded.def_vmap
    def rule(axis_size: int, in_batched: list[bool], *arguments: Array) -> tuple[Any, Any]:
        flat = []
        for argument, batched in zip(arguments, in_batched, strict=True):
            if not batched:
                argument = jnp.broadcast_to(argument, (axis_size, *argument.shape))
            flat.append(argument.reshape((-1, *argument.shape[2:])))
        results = tuple(result.reshape((axis_size, -1, *result.shape[1:])) for result in folded(*flat))
        return results, tuple(True for _ in results)

    return folded


def call_host(
    function: Callable[..., tuple[np.ndarray, ...]],
    result: tuple[jax.ShapeDtypeStruct, ...],
    *arguments: Array,
) -> tuple[Array, ...]:
    """Calls ``function`` of numpy arrays when the program runs; casts what it returns to ``result``."""

    def call(*host: Any) -> tuple[np.ndarray, ...]:
        values = function(*(np.asarray(argument) for argument in host))
        for value, expected in zip(values, result, strict=True):
            if value.shape != expected.shape:
                raise PoolError(f"simulators returned an array {value.shape} instead of {expected.shape}")
        return values

    def portable(*arguments: Array) -> tuple[Array, ...]:
        def callback(*host: Any) -> tuple[np.ndarray, ...]:
            values = zip(call(*host), result, strict=True)
            return tuple(np.asarray(value, expected.dtype) for value, expected in values)

        return io_callback(callback, result, *arguments)

    def in_place(*arguments: Array) -> tuple[Array, ...]:
        def callback(_: Any, out: Any, *host: Any) -> None:
            for buffer, value in zip(out, call(*host), strict=True):
                np.asarray(buffer)[...] = value

        assert buffer_callback is not None
        results: Any = buffer_callback(callback, result, has_side_effect=True)(*arguments)
        return results

    if buffer_callback is None:
        return portable(*arguments)
    return jax.lax.platform_dependent(*arguments, cpu=in_place, default=portable)
