"""Every action carried out several times, up to an episode's end: within an environment, not around a batch.

A batch begins the next episode in the step in which one ends, and further repeats would act in it.
So environments in JAX are wrapped one by one, and simulators on the host are stepped that often in
their pool.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.environments.base import Vectorised
from purejaxrl.environments.host import HostEnvironment
from purejaxrl.environments.knob_checks import check_count
from purejaxrl.environments.pools import Description, Outcome, Pool, Recipe
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, InvalidInput, Key, PyTree


def repeat_actions(environment: Any, repeats: int) -> Any:
    """A batch of environments whose every step is ``repeats`` of before, or fewer where an episode ends.

    Rewards are added up. Episode lengths and ``max_episode_steps`` count the new steps, and a time limit
    is met after as many of the old ones as it was before.

    Raises:
        InvalidInput: ``repeats`` is not a whole number of at least 1; a batch that is wrapped
            already, or of ``backend="ffi"``.
    """
    if isinstance(environment, Vectorised):
        return environment.replace(  # type: ignore[attr-defined]
            environment=RepeatedActions(environment.environment, repeats)
        )
    if isinstance(environment, HostEnvironment):
        return environment.replace(recipe=RepeatRecipe(environment.recipe, repeats))  # type: ignore[attr-defined]
    raise InvalidInput(
        "action_repeat goes into environments in JAX and simulators with backend='callback', before any"
        f" other wrapper, and not into {type(environment).__name__}; EnvPool has frame_skip"
    )


def in_repeats(steps: int | None, repeats: int) -> int | None:
    """How many steps of ``repeats`` reach a limit of so many single ones."""
    return None if steps is None else -(-steps // repeats)


@struct.dataclass
class RepeatState:
    """The state of :class:`RepeatedActions`: how many single steps the episode has had."""

    inner: Any
    time: Array


@with_knobs("environment")
class RepeatedActions:
    """One environment in JAX that carries out each action ``repeats`` times; see :func:`repeat_actions`."""

    environment: Any
    repeats: int

    def __post_init__(self) -> None:
        check_count("repeats", self.repeats, 1)

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        return self.environment.observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        return self.environment.action_space

    @property
    def max_episode_steps(self) -> int | None:
        return in_repeats(self.environment.max_episode_steps, self.repeats)

    def reset(self, key: Key) -> tuple[RepeatState, PyTree]:
        inner, observation = self.environment.reset(key)
        return RepeatState(inner=inner, time=jnp.int32(0)), observation

    def cut_off(self, state: RepeatState) -> Array:
        """Not where an episode ends by itself in the step that could have met the limit."""
        return state.time >= self.environment.max_episode_steps

    def step(self, key: Key, state: RepeatState, action: Array) -> tuple[RepeatState, PyTree, Array, Array]:
        limit = self.environment.max_episode_steps
        first_key = jax.random.fold_in(key, 0)
        inner, observation, reward, terminated = self.environment.step(first_key, state.inner, action)
        state = RepeatState(inner=inner, time=state.time + 1)

        def again(carry: Any, number: Array) -> tuple[Any, None]:
            state, _, reward, terminated = carry
            own_key = jax.random.fold_in(key, number)
            inner, seen, more, ends = self.environment.step(own_key, state.inner, action)
            then = (RepeatState(inner, state.time + 1), seen, reward + more, ends)
            over = terminated if limit is None else terminated | (state.time >= limit)
            return jax.tree.map(lambda old, new: jnp.where(over, old, new), carry, then), None

        carry = (state, observation, reward, terminated)
        return jax.lax.scan(again, carry, jnp.arange(1, self.repeats))[0]


@dataclasses.dataclass(frozen=True)
class RepeatRecipe:
    """Simulators on the host that carry out each action ``repeats`` times."""

    recipe: Recipe
    repeats: int

    def __post_init__(self) -> None:
        check_count("repeats", self.repeats, 1)

    @property
    def name(self) -> str:
        return self.recipe.name

    def describe(self) -> Description:
        description = self.recipe.describe()
        return description._replace(max_episode_steps=in_repeats(description.max_episode_steps, self.repeats))

    def open(self, seeds: np.ndarray) -> RepeatPool:
        return RepeatPool(self.recipe.open(seeds), self.repeats)


class RepeatPool:
    """A pool that is stepped several times, without those whose episode has ended meanwhile."""

    def __init__(self, pool: Pool, repeats: int) -> None:
        self.pool, self.repeats = pool, repeats

    def reset(self) -> np.ndarray:
        return self.pool.reset()

    def step(self, rows: np.ndarray | None, action: np.ndarray) -> Outcome:
        rows = np.arange(len(action), dtype=np.int32) if rows is None else rows
        outcome = Outcome(*(np.array(part) for part in self.pool.step(rows, action)))
        for _ in range(self.repeats - 1):
            going = np.flatnonzero(~(outcome.terminated | outcome.truncated))
            if not len(going):
                break
            then = self.pool.step(rows[going], action[going])
            for name, old, new in zip(Outcome._fields, outcome, then, strict=True):
                old[going] = old[going] + new if name in ("reward", "score") else new
        return outcome

    def close(self) -> None:
        self.pool.close()
