"""Environments of EnvPool (Weng et al. 2022), behind the face of an environment in JAX; see :mod:`.host`.

EnvPool steps batches of simulators in C++: Atari, MuJoCo, dm_control, Box2D, classic control and
more. Where its ways differ from this library's, they are reconciled here:

* float64 observations and actions (MuJoCo) are float32 on this side.
* Images that have their channels first, as Atari's stacks ``(4, 84, 84)``, have them last:
  ``(84, 84, 4)``, uint8, as the networks want them.
* An environment is reset in the step in which it ends. EnvPool would spend the next step on it.
* Discrete actions out of range raise; EnvPool takes any number for an Atari action.
* Seeds come from the key that ``reset`` is given.

Where an episode both fails and meets the time limit in the same step, EnvPool reports that it was
truncated, and not that it terminated; that cannot be told from here.

Atari is as in NoFrameskip-v4 unless told otherwise: 4 frames stacked, every 4th kept, up to 30
no-ops to begin with, no sticky actions (``repeat_action_probability``), a limit of 27000 steps,
no life taken for an episode (``episodic_life``), no reward clipped (``reward_clip``). With the
last two, rewards and flags are what the agent is to learn from, while the episode statistics go
on counting whole games and the game's own rewards: at a life's end, where ``terminated`` is set,
they are those of the game so far.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np

from purejaxrl.environments.base import (
    VectorEnvironment,
    check_max_episode_steps,
    check_num_envs,
    unknown_environment,
)
from purejaxrl.environments.envpool_ffi import FfiEnvironment
from purejaxrl.environments.host import HostEnvironment
from purejaxrl.environments.pools import Description, Options, Outcome, device_space
from purejaxrl.types import InvalidInput

BACKENDS = ("callback", "ffi")
OURS = ("num_envs", "batch_size", "seed", "env_seed", "gym_reset_return_info", "max_num_players")
CHEAP = ("envpool.classic_control", "envpool.toy_text")  # a step costs less than waking a thread
NO_LIMIT = 2**31 - 1


def make(
    name: str, num_envs: int = 1, *, backend: str = "callback", num_threads: int | None = None, **options: Any
) -> VectorEnvironment[Any]:
    """Makes a batch of ``num_envs`` environments of EnvPool; no simulator is made before ``reset``.

    Args:
        name: an id of ``envpool.list_all_envs()``.
        num_envs: how many are stepped together.
        backend: how a program calls EnvPool, see :mod:`.host` and :mod:`.envpool_ffi`.
        num_threads: that step the simulators of a pool; by default 1 for classic control and toy
            text, where more cost more, and else EnvPool's default, one a core at most.
        options: EnvPool's own, such as ``max_episode_steps``, ``frame_skip`` or ``reward_clip``;
            for ``backend="ffi"`` also ``seed``.

    Raises:
        InvalidInput: EnvPool is not installed, an unknown id, option or backend, or a space of
            observations or actions that is neither Box nor Discrete.
    """
    check_num_envs(num_envs)
    if backend not in BACKENDS:
        raise InvalidInput(f"backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
    if num_threads is not None and (not isinstance(num_threads, int) or num_threads < 1):
        raise InvalidInput(f"num_threads must be a whole number of at least 1, not {num_threads!r}")
    seed = options.pop("seed", 0) if backend == "ffi" else 0
    recipe = EnvPoolRecipe(name=name, options=Options(options), num_threads=num_threads)
    recipe.describe()
    if backend == "ffi":
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidInput(f"seed must be a whole number of at least 0, not {seed!r}")
        if sys.platform != "linux":
            raise InvalidInput(f"backend='ffi' runs on Linux only, not on {sys.platform}: use 'callback'")
        return FfiEnvironment(recipe=recipe, num_envs=num_envs, seed=seed)
    return HostEnvironment(recipe=recipe, num_envs=num_envs)


@dataclasses.dataclass(frozen=True)
class EnvPoolRecipe:
    """What EnvPool is to be asked for."""

    name: str
    options: Options
    num_threads: int | None = None

    def describe(self) -> Description:
        return _describe(self)

    def open(self, seeds: np.ndarray) -> EnvPoolPool:
        return EnvPoolPool(self, seeds)


class EnvPoolPool:
    """A pool of EnvPool; rows come back in the order in which they were asked for."""

    def __init__(self, recipe: EnvPoolRecipe, seeds: np.ndarray) -> None:
        self.pool = _envpool().make_gymnasium(
            recipe.name,
            num_envs=len(seeds),
            seed=[int(seed) for seed in seeds],
            num_threads=_num_threads(recipe),
            **recipe.options,
        )
        self.rows = np.arange(len(seeds), dtype=np.int32)
        with _quiet():
            self.shape = self.pool.observation_space.shape
        self.action_dtype = list(self.pool.spec.action_array_spec.values())[-1].dtype  # Discrete: int32
        self.games = _is_atari(recipe.name)

    def reset(self) -> np.ndarray:
        return self.pool.reset(self.rows)[0].reshape((-1, *self.shape))

    def renew(self, rows: np.ndarray, action: np.ndarray) -> np.ndarray:
        """Begins new episodes where the last have ended. ``action`` is of no account."""
        # By EnvPool's own way, a further step. Its reset would always begin a new game, and where
        # a life is taken for an episode, no game would be played beyond its first life.
        return self.pool.step(action, rows)[0].reshape((-1, *self.shape))

    def step(self, rows: np.ndarray | None, action: np.ndarray) -> Outcome:
        rows, action = self.rows if rows is None else rows, action.astype(self.action_dtype)
        last, reward, terminated, truncated, info = self.pool.step(action, rows)
        last = last.reshape((-1, *self.shape))
        ended = terminated | truncated
        observation = last
        if ended.any():
            observation = last.copy()
            observation[ended] = self.renew(rows[ended], action[ended])
        if self.games:  # a life's end, or a clipped reward, is not the game's
            score, over = info["reward"], (info["terminated"] != 0) | truncated
        else:
            score, over = reward, ended
        return Outcome(observation, last, reward, score, terminated, truncated, over)

    def close(self) -> None:
        del self.pool  # its threads end with it


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """EnvPool hands gymnasium's spaces bounds of float64, which warn that they become float32."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precision lowered by casting.*")
        yield


def _envpool() -> Any:
    try:
        with _quiet():
            import envpool  # 740 MB with its assets, so only where it is used
    except ImportError as error:
        raise InvalidInput(
            "EnvPool is not installed: pip install envpool; it has wheels for Linux (x86-64 and arm64),"
            " macOS (arm64) and Windows"
        ) from error
    return envpool


def _module(name: str) -> str:
    from envpool.registration import registry

    return registry.specs[name][0]


def _is_atari(name: str) -> bool:
    return _module(name) == "envpool.atari"


def _num_threads(recipe: EnvPoolRecipe) -> int:
    if recipe.num_threads is not None:
        return recipe.num_threads
    return 1 if _module(recipe.name) in CHEAP else 0


@functools.lru_cache(maxsize=256)
def _describe(recipe: EnvPoolRecipe) -> Description:
    envpool = _envpool()
    if recipe.name not in envpool.list_all_envs():
        raise unknown_environment(recipe.name, envpool.list_all_envs(), "environments of EnvPool")
    spec = _spec(recipe)
    with _quiet():
        space = device_space(_widen(spec.observation_space), f"the observation space of {recipe.name}")
        action_space = device_space(spec.action_space, f"the action space of {recipe.name}")
    if spec.config.max_num_players > 1:
        raise InvalidInput(f"{recipe.name} has {spec.config.max_num_players} players; only one is supported")
    channels_first = False
    if isinstance(space, gymnasium.spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3:
        low, high = np.moveaxis(space.low, 0, -1), np.moveaxis(space.high, 0, -1)
        if low.shape[2] < low.shape[1]:  # nobody says which axis is the channels': the short one
            space, channels_first = gymnasium.spaces.Box(low, high, dtype=np.uint8), True
    limit = spec.config.max_episode_steps
    return Description(
        observation_space=space,
        action_space=action_space,
        max_episode_steps=int(limit) if 0 < limit < NO_LIMIT else None,
        channels_first=channels_first,
    )


def _spec(recipe: EnvPoolRecipe) -> Any:
    """EnvPool's specification of an environment, or InvalidInput where the options are not its."""
    envpool = _envpool()
    ours = [option for option in recipe.options if option in OURS]
    if ours:
        raise InvalidInput(f"{ours[0]} is not an option here: num_envs and the key of reset decide on it")
    try:
        default = envpool.make_spec(recipe.name).config
    except (ImportError, RuntimeError, ValueError) as error:  # a system library or a scenario is missing
        raise InvalidInput(f"EnvPool cannot make {recipe.name}: {_reason(error)}") from error
    for option in recipe.options:
        if option not in default._fields:
            accepted = ", ".join(name for name in default._fields if name not in (*OURS, "num_threads"))
            raise InvalidInput(f"{recipe.name} has no option {option!r}; it has {accepted}")
    if "max_episode_steps" in recipe.options:  # of 0 or less EnvPool cuts off every step
        check_max_episode_steps(recipe.options["max_episode_steps"])
    try:
        return envpool.make_spec(recipe.name, **recipe.options)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        defaults = {option: getattr(default, option) for option in recipe.options}
        # A TypeError here lists the C++ constructor's arguments, by type and without their names.
        reason = "" if isinstance(error, TypeError) else f" ({_reason(error)})"
        raise InvalidInput(
            f"{recipe.name} does not take {dict(recipe.options)!r}{reason}; the defaults are {defaults!r}"
        ) from error


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _widen(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """Bounds that were never set as what they mean: EnvPool has C++'s least *positive* float there."""
    if not isinstance(space, gymnasium.spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        return space
    low = np.where(space.low == np.finfo(space.dtype).tiny, -np.inf, space.low)
    high = np.where(space.high == np.finfo(space.dtype).max, np.inf, space.high)
    return gymnasium.spaces.Box(low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype.type)
