"""CartPole-v1: a pole balanced on a cart (Barto, Sutton & Anderson 1983), as gymnasium has it."""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

GRAVITY = 9.8
CART_MASS = 1.0
POLE_MASS = 0.1
TOTAL_MASS = CART_MASS + POLE_MASS
HALF_LENGTH = 0.5  # of the pole, in metres
FORCE = 10.0  # newtons, to the left (action 0) or to the right (action 1)
TIME_STEP = 0.02  # seconds
MAX_ANGLE = 12 * 2 * np.pi / 360  # radians from the vertical
MAX_POSITION = 2.4  # metres from the centre


@with_knobs()
class CartPole:
    """Reward 1 a step until the pole leans past 12 degrees or the cart leaves ±2.4 metres.

    Observation ``[4]``: position (metres), velocity, angle (radians from the vertical, clockwise) and
    angular velocity; it is the state, too. Action: 0 pushes to the left, 1 to the right.

    Raises:
        InvalidInput: ``max_episode_steps`` is neither None nor a positive whole number.
    """

    max_episode_steps: int | None = 500

    def __post_init__(self) -> None:
        check_max_episode_steps(self.max_episode_steps)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        bound = np.array([2 * MAX_POSITION, np.inf, 2 * MAX_ANGLE, np.inf], np.float32)
        return gymnasium.spaces.Box(-bound, bound, dtype=np.float32)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(2)

    def reset(self, key: Key) -> tuple[Array, Array]:
        state = jax.random.uniform(key, (4,), jnp.float32, minval=-0.05, maxval=0.05)
        return state, state

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        del key  # the dynamics are deterministic
        position, velocity, angle, angular_velocity = state
        force = jnp.where(action == 1, FORCE, -FORCE)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        # Florian (2007), "Correct equations for the dynamics of the cart-pole system", without friction.
        push = (force + POLE_MASS * HALF_LENGTH * jnp.square(angular_velocity) * sin) / TOTAL_MASS
        angular_acceleration = (GRAVITY * sin - cos * push) / (
            HALF_LENGTH * (4.0 / 3.0 - POLE_MASS * jnp.square(cos) / TOTAL_MASS)
        )
        acceleration = push - POLE_MASS * HALF_LENGTH * angular_acceleration * cos / TOTAL_MASS
        state = jnp.stack(  # explicit Euler, positions first, as gymnasium integrates
            [
                position + TIME_STEP * velocity,
                velocity + TIME_STEP * acceleration,
                angle + TIME_STEP * angular_velocity,
                angular_velocity + TIME_STEP * angular_acceleration,
            ]
        )
        terminated = (jnp.abs(state[0]) > MAX_POSITION) | (jnp.abs(state[2]) > MAX_ANGLE)
        return state, state, jnp.float32(1.0), terminated
