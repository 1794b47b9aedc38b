"""Pendulum-v1: a rod to be swung up and held by a motor too weak to lift it, as gymnasium has it."""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

GRAVITY = 10.0
MASS = 1.0  # kilograms
LENGTH = 1.0  # metres
MAX_TORQUE = 2.0  # newton metres
MAX_VELOCITY = 8.0  # radians a second
TIME_STEP = 0.05  # seconds


@with_knobs()
class Pendulum:
    """Reward -(angle² + 0.1 · velocity² + 0.001 · torque²) of where the step began; never terminates.

    Observation ``[3]``: cosine and sine of the angle from upright, and the angular velocity in
    radians a second. State ``[2]``: the angle in radians, and the velocity.
    Action ``[1]``: the torque in newton metres, clipped to ±2.

    Raises:
        InvalidInput: ``max_episode_steps`` is neither None nor a positive whole number.
    """

    max_episode_steps: int | None = 200

    def __post_init__(self) -> None:
        check_max_episode_steps(self.max_episode_steps)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        bound = np.array([1, 1, MAX_VELOCITY], np.float32)
        return gymnasium.spaces.Box(-bound, bound, dtype=np.float32)

    @property
    def action_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(-MAX_TORQUE, MAX_TORQUE, (1,), np.float32)

    def reset(self, key: Key) -> tuple[Array, Array]:
        bound = jnp.array([np.pi, 1.0], jnp.float32)
        state = jax.random.uniform(key, (2,), jnp.float32, minval=-bound, maxval=bound)
        return state, observe(state)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        del key  # the dynamics are deterministic
        angle, velocity = state
        angle = angle - 2 * np.pi * jnp.round(angle / (2 * np.pi))  # the nearest way to upright
        torque = jnp.clip(action[0], -MAX_TORQUE, MAX_TORQUE)
        cost = jnp.square(angle) + 0.1 * jnp.square(velocity) + 0.001 * jnp.square(torque)
        # A rod that turns about its end: its moment of inertia is MASS · LENGTH² / 3.
        acceleration = 1.5 * GRAVITY / LENGTH * jnp.sin(angle) + 3.0 / (MASS * LENGTH**2) * torque
        velocity = jnp.clip(velocity + TIME_STEP * acceleration, -MAX_VELOCITY, MAX_VELOCITY)
        state = jnp.stack([angle + TIME_STEP * velocity, velocity])
        return state, observe(state), -cost.astype(jnp.float32), jnp.zeros((), bool)


def observe(state: Array) -> Array:
    """The observation ``[3]`` of a state ``[2]``."""
    return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])
