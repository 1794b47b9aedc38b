"""Environments of gymnasium, behind the face of an environment in JAX; see :mod:`.host`.

They are plain Python, stepped one after another: for what nobody else has, not for speed.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import gymnasium
import numpy as np

from purejaxrl.environments.base import VectorEnvironment, check_num_envs, unknown_environment
from purejaxrl.environments.host import HostEnvironment
from purejaxrl.environments.pools import Description, Options, Outcome, device_space
from purejaxrl.types import InvalidInput


def make(
    name: str, num_envs: int = 1, *, backend: str = "callback", num_threads: int = 1, **options: Any
) -> VectorEnvironment[Any]:
    """Makes a batch of ``num_envs`` environments of gymnasium.

    Args:
        name: an id registered with gymnasium, or ``"module:ID"`` to import the module first.
        num_envs: how many are stepped together.
        backend: ``"callback"``; there is no other.
        num_threads: 1; they share Python's one interpreter.
        options: for ``gymnasium.make``, such as ``max_episode_steps``.

    Raises:
        InvalidInput: an unknown id or option, a missing dependency of the environment, or a space
            of observations or actions that is neither Box nor Discrete.
    """
    check_num_envs(num_envs)
    if backend != "callback":
        raise InvalidInput(f"gymnasium environments have the backend 'callback' only, not {backend!r}")
    if num_threads != 1:
        raise InvalidInput(f"gymnasium environments are stepped in 1 thread, not {num_threads!r}")
    recipe = GymnasiumRecipe(name=name, options=Options(options))
    recipe.describe()
    return HostEnvironment(recipe=recipe, num_envs=num_envs)


@dataclasses.dataclass(frozen=True)
class GymnasiumRecipe:
    """What ``gymnasium.make`` is to be given."""

    name: str
    options: Options

    def describe(self) -> Description:
        return _describe(self)

    def open(self, seeds: np.ndarray) -> GymnasiumPool:
        return GymnasiumPool(self, seeds)


class GymnasiumPool:
    """Environments of gymnasium in a list.

    Not its SyncVectorEnv, which is such a list, too, but can step it as a whole only.
    """

    def __init__(self, recipe: GymnasiumRecipe, seeds: np.ndarray) -> None:
        space = recipe.describe().observation_space
        self.dtype, self.seeds = space.dtype, seeds
        self.members = [_make(recipe) for _ in seeds]
        self.discrete = isinstance(recipe.describe().action_space, gymnasium.spaces.Discrete)
        self.action_dtype = self.members[0].action_space.dtype

    def reset(self) -> np.ndarray:
        first = [env.reset(seed=int(seed))[0] for env, seed in zip(self.members, self.seeds, strict=True)]
        return np.stack(first).astype(self.dtype)

    def step(self, rows: np.ndarray | None, action: np.ndarray) -> Outcome:
        members = self.members if rows is None else [self.members[row] for row in rows]
        actions = action.tolist() if self.discrete else action.astype(self.action_dtype)
        steps = [env.step(one)[:4] for env, one in zip(members, actions, strict=True)]
        last, reward, terminated, truncated = (
            np.asarray(column, dtype)
            for column, dtype in zip(
                zip(*steps, strict=True), (self.dtype, np.float32, bool, bool), strict=True
            )
        )
        ended = terminated | truncated
        observation = last
        if ended.any():
            observation = last.copy()
            for row in np.flatnonzero(ended):
                observation[row] = members[row].reset()[0]
        return Outcome(observation, last, reward, reward, terminated, truncated, ended)

    def close(self) -> None:
        for env in self.members:
            env.close()


@functools.lru_cache(maxsize=256)
def _describe(recipe: GymnasiumRecipe) -> Description:
    env = _make(recipe)
    limit = None if env.spec is None else env.spec.max_episode_steps
    try:
        return Description(
            observation_space=device_space(env.observation_space, f"the observation space of {recipe.name}"),
            action_space=device_space(env.action_space, f"the action space of {recipe.name}"),
            max_episode_steps=None if limit is None or limit < 1 else int(limit),
        )
    finally:
        env.close()


def _make(recipe: GymnasiumRecipe) -> gymnasium.Env[Any, Any]:
    try:
        return gymnasium.make(recipe.name, disable_env_checker=True, **recipe.options)
    except gymnasium.error.UnregisteredEnv as error:
        known = list(gymnasium.registry)
        raise unknown_environment(recipe.name, known, "environments of gymnasium") from error
    except (gymnasium.error.Error, ImportError) as error:
        raise InvalidInput(f"gymnasium cannot make {recipe.name}: {error}") from error
    except (TypeError, ValueError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidInput(f"{recipe.name} does not take {dict(recipe.options)!r}: {reason}") from error
