"""Environments of which a part is hidden, so that it takes a memory to see all of their state."""

from __future__ import annotations

from typing import Any

import gymnasium
import jax.numpy as jnp

from purejaxrl.environments.base import Environment
from purejaxrl.environments.cartpole import CartPole
from purejaxrl.environments.pendulum import Pendulum
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, InvalidInput, Key


@with_knobs("environment")
class Masked:
    """An environment of whose observation ``[n]`` only some numbers are shown; all else is its own.

    Args:
        environment: a single environment with a Box of one axis for observations; its knobs are
            leaves here, too.
        indices: static, the places of the numbers that are shown, in the order in which they are.

    Raises:
        InvalidInput: an environment with other observations; indices that are none of their places, or
            none at all, or some twice.
    """

    environment: Any
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        space = self.environment.observation_space
        if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
            raise InvalidInput(f"environment must have observations in a Box of one axis, not in {space}")
        whole = isinstance(self.indices, tuple) and all(type(index) is int for index in self.indices)
        if not (whole and self.indices and set(self.indices) <= set(range(space.shape[0]))):
            raise InvalidInput(
                f"indices must be a tuple of numbers from 0 to {space.shape[0] - 1}, not {self.indices!r}"
            )
        if len(set(self.indices)) < len(self.indices):
            raise InvalidInput(f"indices must differ from each other, not {self.indices!r}")

    @property
    def max_episode_steps(self) -> int | None:
        return self.environment.max_episode_steps

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        space, shown = self.environment.observation_space, list(self.indices)
        return gymnasium.spaces.Box(space.low[shown], space.high[shown], dtype=space.dtype)

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        return self.environment.action_space

    def reset(self, key: Key) -> tuple[Any, Array]:
        state, observation = self.environment.reset(key)
        return state, self.show(observation)

    def step(self, key: Key, state: Any, action: Array) -> tuple[Any, Array, Array, Array]:
        state, observation, reward, terminated = self.environment.step(key, state, action)
        return state, self.show(observation), reward, terminated

    def show(self, observation: Array) -> Array:
        """The part of an observation that is shown."""
        return observation[jnp.array(self.indices)]


def cartpole_without_velocities(**options: Any) -> Environment[Any]:
    """CartPole-v1 of which only the position and the angle are shown.

    rl-baselines3-zoo shows zeros in the places of what it hides, which says the same.
    """
    return Masked(CartPole(**options), (0, 2))


def pendulum_without_velocity(**options: Any) -> Environment[Any]:
    """Pendulum-v1 of which only the cosine and the sine of the angle are shown."""
    return Masked(Pendulum(**options), (0, 1))
