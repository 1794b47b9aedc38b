"""Pools of simulators in this process, and the tickets by which a compiled program names them.

Everything here runs on the host, most of it from inside a running program: numpy only, because a
call of JAX from a callback can wait for the very program that called it. :mod:`.host` has the
other side.

A simulator cannot be saved, but it is a function of its seed and of the actions it was given. So
a pool may keep these (:class:`Log`), and :func:`replay` makes its simulators anew, in another
process or in pools of another size.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np

from purejaxrl.types import InvalidInput

PROCESS, SERIAL, ROW, TURN = range(4)  # the columns of a ticket
BETWEEN_REPORTS = 256  # steps of a replay


class PoolError(RuntimeError):
    """A state names a simulator that is gone, or that has moved on."""


class Outcome(NamedTuple):
    """What a step did to ``n`` simulators; arrays ``[n, …]``.

    ``score`` is the reward that counts towards the episode's return and ``over`` says that this
    episode has ended. They differ from ``reward`` and from the flags where the agent is to learn
    from something else than the game: clipped rewards, or lives taken for episodes.
    """

    observation: np.ndarray
    next_observation: np.ndarray
    reward: np.ndarray
    score: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    over: np.ndarray


class Pool(Protocol):
    """Simulators on the host. Called from inside a running program: numpy only, no JAX."""

    def reset(self) -> np.ndarray:
        """Begins the first episodes and returns their observations ``[N, …]``."""
        ...

    def step(self, rows: np.ndarray | None, action: np.ndarray) -> Outcome:
        """Steps the simulators ``rows`` ``[n]`` (None: all), and resets those that have ended."""
        ...

    def close(self) -> None: ...


class Description(NamedTuple):
    """What is known of an environment before a simulator is made."""

    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    max_episode_steps: int | None
    channels_first: bool = False  # the pool's images are [C, H, W], the environment's [H, W, C]


class Recipe(Protocol):
    """How to make a pool: frozen, hashable and compared by value."""

    @property
    def name(self) -> str: ...

    def describe(self) -> Description: ...

    def open(self, seeds: np.ndarray) -> Pool:
        """Makes one simulator for each of ``seeds`` (int32 ``[N]``, none negative)."""
        ...


class Options(dict[str, Any]):
    """Keyword arguments as a static field: compared by value, and hashed by their names.

    Values may thus be lists or dictionaries, as the makers of simulators like to have them.
    """

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self))


class Record(NamedTuple):
    """What simulators were made of and told to do: with their state's shape, all it takes to replay them.

    ``seeds`` are int32 ``[…, B]``, ``actions`` ``[T, …, B, *action_shape]`` of a small dtype that
    holds them exactly.
    """

    seeds: np.ndarray
    actions: np.ndarray


def concatenate(records: Sequence[Record]) -> Record:
    """Joins records of the same simulators, taken one after another, into one.

    Raises:
        InvalidInput: there are none, or they are not of the same simulators.
    """
    if not records:
        raise InvalidInput("there are no records to concatenate")
    seeds = records[0].seeds
    if any(not np.array_equal(seeds, record.seeds) for record in records):
        raise InvalidInput("the records are of different simulators: their seeds differ")
    return Record(seeds=seeds, actions=np.concatenate([record.actions for record in records]))


class Log:
    """The seeds of a pool, and the actions of each of its simulators since they were last taken."""

    def __init__(self, recipe: Recipe, seeds: np.ndarray, turn: int) -> None:
        space = recipe.describe().action_space
        assert space.shape is not None  # it is a Box or Discrete
        self.seeds, self.shape, self.dtype = seeds.copy(), space.shape, compact(space)
        self.exact = not np.issubdtype(self.dtype, np.floating)
        self.turns = np.full(len(seeds), turn, np.int32)  # at the last take
        self.steps: list[tuple[np.ndarray | None, np.ndarray]] = []  # rows (None: all), actions

    def add(self, rows: np.ndarray | None, action: np.ndarray) -> None:
        # The simulator of a Box is given what the action is as its own type, float64 if need be.
        dtype = self.dtype if self.exact else np.result_type(self.dtype, action.dtype)
        self.steps.append((rows, action.astype(dtype)))  # a copy: the program reuses its memory

    def take(self, rows: np.ndarray, length: int) -> np.ndarray:
        """Gives up the ``length`` actions that each of ``rows`` ``[n]`` has: ``[length, n, …]``."""
        self.turns[rows] += length
        if len(rows) == len(self.seeds) and self.steps and all(who is None for who, _ in self.steps):
            actions, self.steps = np.stack([action for _, action in self.steps]), []
            return actions[:, rows]  # the common case
        place, done = np.full(len(self.seeds), -1), np.zeros(len(rows), int)
        place[rows] = np.arange(len(rows))
        dtype = np.result_type(self.dtype, *{action.dtype for _, action in self.steps})
        actions, kept = np.empty((length, len(rows), *self.shape), dtype), []
        for who, action in self.steps:
            who = np.arange(len(self.seeds)) if who is None else who
            chosen = place[who] >= 0
            to = place[who[chosen]]
            actions[done[to], to] = action[chosen]
            done[to] += 1
            if not chosen.all():
                kept.append((who[~chosen], action[~chosen]))
        self.steps = kept
        return actions


def compact(space: gymnasium.Space[Any]) -> np.dtype:
    """The dtype in which actions are recorded: the smallest that holds all of a Discrete space."""
    if isinstance(space, gymnasium.spaces.Discrete):
        low, high = int(space.start), int(space.start + space.n - 1)
        return np.min_scalar_type(high if low >= 0 else min(low, -high - 1))
    assert space.dtype is not None
    return space.dtype


class Entry:
    """A pool in the registry, with the tickets that would step it next, and its log if it has one."""

    def __init__(self, recipe: Recipe, pool: Pool, ticket: np.ndarray, log: Log | None = None) -> None:
        self.recipe, self.pool, self.ticket, self.log = recipe, pool, ticket, log
        self.lock = threading.Lock()

    def step(self, rows: np.ndarray | None, action: np.ndarray) -> Outcome:
        """Steps ``rows`` (None: all); the caller holds the lock and has checked the tickets."""
        outcome = self.pool.step(rows, action)
        self.ticket[slice(None) if rows is None else rows, TURN] += 1
        if self.log is not None:
            self.log.add(rows, action)
        return outcome


class Registry:
    """The pools of this process, least recently used first."""

    def __init__(self) -> None:
        self.limit = 128
        self.pid = os.getpid()
        self.process = secrets.randbelow(2**31 - 1) + 1
        self.serials = itertools.count(1)
        self.entries: OrderedDict[int, Entry] = OrderedDict()
        self.lock = threading.Lock()

    def open(
        self, recipe: Recipe, seeds: np.ndarray, recording: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Makes a pool. Returns the tickets ``[N, 4]`` and the first observations ``[N, …]``."""
        pool = recipe.open(seeds)
        observation = pool.reset()
        return self.admit(recipe, pool, seeds, recording), observation

    def admit(
        self, recipe: Recipe, pool: Pool, seeds: np.ndarray, recording: bool, turn: int = 0
    ) -> np.ndarray:
        """Keeps a pool that has taken ``turn`` steps. Returns its tickets ``[N, 4]``."""
        serial = next(self.serials)
        ticket = np.empty((len(seeds), 4), np.int32)
        ticket[:, PROCESS], ticket[:, SERIAL], ticket[:, TURN] = self.process, serial, turn
        ticket[:, ROW] = np.arange(len(seeds))
        log = Log(recipe, seeds, turn) if recording else None
        with self.lock:
            self.entries[serial] = Entry(recipe, pool, ticket.copy(), log)
        self.shrink(self.limit)
        return ticket

    def step(self, recipe: Recipe, ticket: np.ndarray, action: np.ndarray) -> tuple[np.ndarray, ...]:
        """Steps the simulators that the tickets ``[n, 4]`` name. Returns new tickets and an Outcome."""
        check_range(recipe, action)
        entry = self.find(recipe, ticket[0])
        with entry.lock:
            if np.array_equal(ticket, entry.ticket):  # all of one pool, in order: the common case
                outcome = entry.step(None, action)
                return entry.ticket.copy(), *outcome
        results: list[np.ndarray] = []
        for serial in np.unique(ticket[:, SERIAL]):
            chosen = np.flatnonzero(ticket[:, SERIAL] == serial)
            entry, rows = self.find(recipe, ticket[chosen[0]]), ticket[chosen, ROW]
            with entry.lock:
                _check_turns(entry, ticket[chosen])
                outcome = entry.step(rows, action[chosen])
                parts = (entry.ticket[rows], *outcome)
            if not results:
                results = [np.empty((len(ticket), *part.shape[1:]), part.dtype) for part in parts]
            for result, part in zip(results, parts, strict=True):
                result[chosen] = part
        return tuple(results)

    def take(self, ticket: np.ndarray) -> Record:
        """The seeds ``[n]`` and the actions ``[T, n, …]``, since they were last taken, of the tickets.

        All or nothing: where it raises, no action is forgotten.
        """
        parts: list[tuple[np.ndarray, np.ndarray, Log]] = []  # places among the tickets, rows, log
        lengths = np.empty(len(ticket), int)
        with contextlib.ExitStack() as locks:
            for serial in np.unique(ticket[:, SERIAL]):
                chosen = np.flatnonzero(ticket[:, SERIAL] == serial)
                entry, rows = self.find(None, ticket[chosen[0]]), ticket[chosen, ROW]
                locks.enter_context(entry.lock)
                _check_turns(entry, ticket[chosen])
                if entry.log is None:
                    raise PoolError(
                        "the simulators of this environment's state are not recorded: reset and step"
                        " purejaxrl.environments.recording(environment) instead"
                    )
                lengths[chosen] = ticket[chosen, TURN] - entry.log.turns[rows]
                parts.append((chosen, rows, entry.log))
            if (lengths != lengths[0]).any():
                raise PoolError(
                    f"simulators of one state have taken from {lengths.min()} to {lengths.max()} steps since"
                    " their actions were last taken: take those that are stepped together"
                )
            taken = [log.take(rows, int(lengths[0])) for _, rows, log in parts]
        seeds = np.empty(len(ticket), np.int32)
        dtype = np.result_type(*{actions.dtype for actions in taken})
        together = np.empty((int(lengths[0]), len(ticket), *taken[0].shape[2:]), dtype)
        for (chosen, rows, log), actions in zip(parts, taken, strict=True):
            seeds[chosen], together[:, chosen] = log.seeds[rows], actions
        return Record(seeds=seeds, actions=together)

    def find(self, recipe: Recipe | None, ticket: np.ndarray) -> Entry:
        if ticket[PROCESS] != self.process or os.getpid() != self.pid:
            raise PoolError(
                "the environment's state was made in another process, or restored from a checkpoint;"
                " simulators cannot be saved: begin new episodes with env.reset(key), or make them"
                " anew with purejaxrl.environments.host.replay where their actions were recorded"
            )
        serial = int(ticket[SERIAL])
        with self.lock:
            entry = self.entries.get(serial)
            if entry is not None:
                self.entries.move_to_end(serial)
        if entry is None:
            raise PoolError(
                f"pool {serial} of this environment's state has been released, by release or"
                f" close_pools or because only the {self.limit} pools used last are kept"
                " (set_pool_limit): begin new episodes with env.reset(key)"
            )
        if recipe is not None and entry.recipe != recipe:
            raise PoolError(f"the state belongs to {entry.recipe}, not to {recipe}")
        return entry

    def release(self, ticket: np.ndarray) -> tuple[np.ndarray]:
        """Gives up the simulators named; a pool is closed when none of its simulators is left."""
        for serial in np.unique(ticket[ticket[:, PROCESS] == self.process, SERIAL]):
            entry = self.entries.get(int(serial))
            if entry is not None:
                entry.ticket[ticket[ticket[:, SERIAL] == serial, ROW], TURN] = -1
                if (entry.ticket[:, TURN] == -1).all():
                    with self.lock:
                        self.entries.pop(int(serial), None)
                    self.close(entry)
        return (np.ones(len(ticket), bool),)

    def shrink(self, limit: int) -> None:
        while True:
            with self.lock:
                if len(self.entries) <= limit:
                    return
                _, entry = self.entries.popitem(last=False)
            self.close(entry)

    def close(self, entry: Entry) -> None:
        with entry.lock:  # a step in another thread ends first
            entry.pool.close()


REGISTRY = Registry()


def replay(
    recipe: Recipe,
    record: Record,
    number: int,
    recording: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Makes simulators from their seeds ``[N]`` and plays all their actions ``[T, N, …]``.

    Args:
        recipe: what they are.
        record: all that they did since they were made.
        number: of pools, each of which gets as many of them, in their order.
        recording: whether the pools record what is done from now on.
        report: is told the steps played, out of how many, now and then and at the end.

    Returns:
        Their tickets ``[N, 4]``.
    """
    seeds, actions = np.split(record.seeds, number), np.split(record.actions, number, axis=1)
    total = len(record.actions)
    pools: list[Pool] = []
    try:
        for part in seeds:
            pools.append(recipe.open(part))
            pools[-1].reset()
        # EnvPool's pools play at the same time, as they do on the devices of a mesh.
        with ThreadPoolExecutor(min(number, os.cpu_count() or 1)) as threads:
            for start in range(0, total, BETWEEN_REPORTS):
                stop = min(start + BETWEEN_REPORTS, total)
                list(threads.map(_play, pools, [part[start:stop] for part in actions]))
                if report is not None:
                    report(stop, total)
    except BaseException:
        for pool in pools:
            pool.close()
        raise
    tickets = [
        REGISTRY.admit(recipe, pool, part, recording, total) for pool, part in zip(pools, seeds, strict=True)
    ]
    return np.concatenate(tickets)


def _play(pool: Pool, actions: np.ndarray) -> None:
    for action in actions:
        pool.step(None, action)


def check_range(recipe: Recipe, action: np.ndarray) -> None:
    # EnvPool takes any integer for an Atari action, and plays something.
    space = recipe.describe().action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        low, high = int(space.start), int(space.start + space.n - 1)
        if action.min() < low or action.max() > high:
            wrong = action[(action < low) | (action > high)][0]
            raise InvalidInput(f"{recipe.name} takes actions from {low} to {high}, not {wrong}")


def _check_turns(entry: Entry, ticket: np.ndarray) -> None:
    rows = ticket[:, ROW]
    if len(np.unique(rows)) != len(rows):
        raise PoolError(
            "one environment state is stepped more than once in a batch, as vmap does where it maps"
            " the action and not the state: a simulator cannot be copied, reset one for each"
        )
    wrong = np.flatnonzero(ticket[:, TURN] != entry.ticket[rows, TURN])
    if len(wrong):
        taken, claimed = entry.ticket[rows[wrong[0]], TURN], ticket[wrong[0], TURN]
        if taken < 0:
            raise PoolError("this environment's simulator has been released: begin with env.reset(key)")
        raise PoolError(
            f"an old environment state is stepped: its simulator has taken {taken} steps, the state"
            f" is the one after {claimed}; a simulator cannot go back, step each state once only"
        )


def close_pools() -> None:
    """Lets all simulators of this process go. Programs that still step them raise PoolError."""
    REGISTRY.shrink(0)


def set_pool_limit(limit: int) -> None:
    """Keeps at most ``limit`` pools, those used last; 128 unless told.

    A run needs one for each reset that it still steps: one for all the seeds of a ``vmap``, one
    a seed with ``lax.map``, and as many again for evaluation unless that is released.

    Raises:
        InvalidInput: ``limit`` is below 1.
    """
    if limit < 1:
        raise InvalidInput(f"the limit of pools must be at least 1, not {limit!r}")
    REGISTRY.limit = limit
    REGISTRY.shrink(limit)


def reserve_pools(number: int) -> None:
    """Keeps at least ``number`` pools, where the limit is lower."""
    REGISTRY.limit = max(REGISTRY.limit, number)


def device_space(space: gymnasium.Space[Any], what: str) -> gymnasium.Space[Any]:
    """The space as seen from the device, where nothing has 64 bits.

    Raises:
        InvalidInput: the space is neither Box nor Discrete, ``what`` being its name in the message.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return space
    if isinstance(space, gymnasium.spaces.Box):
        narrow = {"float64": np.float32, "float16": np.float32, "int64": np.int32, "uint64": np.uint32}
        dtype = np.dtype(narrow.get(space.dtype.name, space.dtype))
        if dtype == space.dtype:
            return space
        with np.errstate(over="ignore"):  # the largest float64 stands for infinity
            low, high = space.low.astype(dtype), space.high.astype(dtype)
        return gymnasium.spaces.Box(low, high, dtype=dtype.type)
    raise InvalidInput(f"{what} is {type(space).__name__}; only Box and Discrete are supported")
