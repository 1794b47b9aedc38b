"""MountainCar-v0 and MountainCarContinuous-v0: a car too weak for its hill (Moore 1990), as in gymnasium."""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

GRAVITY = 0.0025
FORCE = 0.001  # of the car with three actions
POWER = 0.0015  # of the car with a continuous action, at full throttle
MIN_POSITION = -1.2
MAX_POSITION = 0.6
MAX_VELOCITY = 0.07  # a step
GOAL = 0.5  # of the car with three actions
CONTINUOUS_GOAL = 0.45


@with_knobs()
class MountainCar:
    """Reward -1 a step until the car is at the goal, position 0.5, and not rolling back.

    Observation ``[2]``: position and velocity (a step); it is the state, too.
    Action: 0 drives to the left, 1 coasts, 2 drives to the right.

    Raises:
        InvalidInput: ``max_episode_steps`` is neither None nor a positive whole number.
    """

    max_episode_steps: int | None = 200

    def __post_init__(self) -> None:
        check_max_episode_steps(self.max_episode_steps)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return road()

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(3)

    def reset(self, key: Key) -> tuple[Array, Array]:
        return park(key)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        del key  # the dynamics are deterministic
        state = roll(state, FORCE * (action - 1))
        terminated = (state[0] >= GOAL) & (state[1] >= 0)
        return state, state, jnp.float32(-1.0), terminated


@with_knobs()
class MountainCarContinuous:
    """Reward 100 at the goal, position 0.45 without rolling back, less 0.1 · action² every step.

    Observation ``[2]``: position and velocity (a step); it is the state, too.
    Action ``[1]``: the throttle, from -1 (to the left) to 1. One beyond them drives no harder, but
    is paid for in full.

    Raises:
        InvalidInput: ``max_episode_steps`` is neither None nor a positive whole number.
    """

    max_episode_steps: int | None = 999

    def __post_init__(self) -> None:
        check_max_episode_steps(self.max_episode_steps)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return road()

    @property
    def action_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, key: Key) -> tuple[Array, Array]:
        return park(key)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        del key  # the dynamics are deterministic
        throttle = action[0]
        state = roll(state, POWER * jnp.clip(throttle, -1.0, 1.0))
        terminated = (state[0] >= CONTINUOUS_GOAL) & (state[1] >= 0)
        reward = 100.0 * terminated.astype(jnp.float32) - 0.1 * jnp.square(throttle)
        return state, state, reward, terminated


def road() -> gymnasium.spaces.Box:
    """The space of positions and velocities."""
    low = np.array([MIN_POSITION, -MAX_VELOCITY], np.float32)
    high = np.array([MAX_POSITION, MAX_VELOCITY], np.float32)
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


def park(key: Key) -> tuple[Array, Array]:
    """A car at rest near the bottom of the valley: its state ``[2]``, which is its observation."""
    position = jax.random.uniform(key, (), jnp.float32, minval=-0.6, maxval=-0.4)
    state = jnp.stack([position, jnp.zeros_like(position)])
    return state, state


def roll(state: Array, push: Array) -> Array:
    """Moves a car ``[2]`` by one step (Sutton & Barto 2018, example 10.1) on a road with two walls.

    The wall on the left takes the car's velocity. The one on the right only stops it: it lies
    beyond both goals, so that a car that hits it has arrived.
    """
    position, velocity = state
    velocity = jnp.clip(velocity + push - GRAVITY * jnp.cos(3 * position), -MAX_VELOCITY, MAX_VELOCITY)
    position = jnp.clip(position + velocity, MIN_POSITION, MAX_POSITION)
    velocity = jnp.where((position <= MIN_POSITION) & (velocity < 0), 0.0, velocity)
    return jnp.stack([position, velocity])
