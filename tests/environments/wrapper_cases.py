"""What tests of wrappers share: an environment whose every number is known, and runs of it."""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

import purejaxrl.environments as environments
from purejaxrl.environments import vectorise
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

ALL: dict[str, Any] = {
    "action_repeat": 2,
    "sticky_actions": 0.3,
    "clip_reward": "sign",
    "normalise_reward": True,
    "reward_discount": 0.9,
    "normalise_observation": True,
    "observation_limit": 5.0,
    "flicker": 0.2,
    "frame_stack": 3,
    "stack_actions": True,
}


STEPS = 30
HASTE: Any = {"xla_backend_optimization_level": 0}  # programs that run for an instant, and are many
Box = gymnasium.spaces.Box


@with_knobs("length")
class Tale:
    """Shows which episode this is (a number by chance), its steps so far, and the action of the last one.

    It pays ten times the steps so far and the action, and terminates after ``length`` steps.
    """

    length: int | Array = 3
    max_episode_steps: int | None = None
    view: str = "vector"
    number: type = np.float32

    @property
    def observation_space(self) -> Any:
        shape = {"vector": (3,), "board": (3, 1), "image": (1, 3, 2)}[self.view]
        return Box(0, 200, shape, self.number)

    @property
    def action_space(self) -> Any:
        return gymnasium.spaces.Discrete(5)

    def show(self, state: Array) -> Array:
        if self.view == "image":
            return jnp.stack([state, 2 * state], axis=-1)[None].astype(self.number)
        return state.reshape(self.observation_space.shape).astype(self.number)

    def reset(self, key: Key) -> tuple[Array, Array]:
        state = jnp.array([jax.random.randint(key, (), 20, 90), 0, 0])
        return state, self.show(state)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        state = jnp.array([state[0], state[1] + 1, action])
        return state, self.show(state), 10.0 * state[1] + action, state[1] >= self.length


def episodes(environment: Any, key: Key, actions: Array) -> Any:
    reset_key, key = jax.random.split(key)
    state, observation = environment.reset(reset_key)

    def step(state: Any, given: Any) -> Any:
        return environment.step(jax.random.fold_in(key, given[0]), state, given[1])

    return observation, jax.lax.scan(step, state, (jnp.arange(len(actions)), actions))[1]


run_episodes = jax.jit(episodes, compiler_options=HASTE)


def play(environment: Any, actions: np.ndarray) -> tuple[np.ndarray, Any]:
    """First observations ``[B, …]`` and the time steps ``[T, B]`` of actions ``[T, B]``."""
    return jax.device_get(run_episodes(environment, jax.random.key(0), jnp.asarray(actions)))


def some_actions(num_envs: int, steps: int = STEPS, below: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, below, (steps, num_envs))


def wrapped(tale: Tale, num_envs: int = 2, **given: Any) -> Any:
    return environments.wrap(vectorise(tale, num_envs), **given)


def scaled(batch: np.ndarray, seen: list[np.ndarray]) -> np.ndarray:
    return (batch - np.mean(seen, 0)) / np.sqrt(np.var(seen, 0) + 1e-8)
