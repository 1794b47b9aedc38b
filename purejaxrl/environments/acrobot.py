"""Acrobot-v1: two links that hang from a joint and swing up (Sutton 1996), as gymnasium has it."""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

GRAVITY = 9.8
MASS = 1.0  # of each link, in kilograms
LENGTH = 1.0  # of the first link, in metres
CENTRE = 0.5  # of mass, in metres along each link
INERTIA = 1.0  # of each link about its centre of mass
TORQUE = 1.0  # newton metres on the joint between the links: action 0 negative, 1 none, 2 positive
TIME_STEP = 0.2  # seconds
MAX_VELOCITY = (4 * np.pi, 9 * np.pi)  # radians a second, of the first joint and of the second
HEIGHT = 1.0  # metres above the fixed joint that the tip has to pass


@with_knobs()
class Acrobot:
    """Reward -1 a step until the tip is a link's length above the fixed joint; the last step pays 0.

    Observation ``[6]``: cosine and sine of the first joint's angle (from hanging straight down),
    cosine and sine of the second's (from the line of the first link), and both angular velocities
    in radians a second. State ``[4]``: the two angles within ±π and the two velocities.
    Action: 0, 1 or 2 for a torque of -1, 0 or 1 newton metres between the links.

    Raises:
        InvalidInput: ``max_episode_steps`` is neither None nor a positive whole number.
    """

    max_episode_steps: int | None = 500

    def __post_init__(self) -> None:
        check_max_episode_steps(self.max_episode_steps)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        bound = np.array([1, 1, 1, 1, *MAX_VELOCITY], np.float32)
        return gymnasium.spaces.Box(-bound, bound, dtype=np.float32)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(3)

    def reset(self, key: Key) -> tuple[Array, Array]:
        state = jax.random.uniform(key, (4,), jnp.float32, minval=-0.1, maxval=0.1)
        return state, observe(state)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        del key  # the dynamics are deterministic
        torque = TORQUE * (action - 1)
        # One step of the classical fourth-order Runge–Kutta method.
        k1 = derivative(state, torque)
        k2 = derivative(state + TIME_STEP / 2 * k1, torque)
        k3 = derivative(state + TIME_STEP / 2 * k2, torque)
        k4 = derivative(state + TIME_STEP * k3, torque)
        angle1, angle2, velocity1, velocity2 = state + TIME_STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        state = jnp.stack(
            [
                angle1 - 2 * np.pi * jnp.round(angle1 / (2 * np.pi)),
                angle2 - 2 * np.pi * jnp.round(angle2 / (2 * np.pi)),
                jnp.clip(velocity1, -MAX_VELOCITY[0], MAX_VELOCITY[0]),
                jnp.clip(velocity2, -MAX_VELOCITY[1], MAX_VELOCITY[1]),
            ]
        )
        terminated = -jnp.cos(state[0]) - jnp.cos(state[0] + state[1]) > HEIGHT
        return state, observe(state), terminated.astype(jnp.float32) - 1.0, terminated


def observe(state: Array) -> Array:
    """The observation ``[6]`` of a state ``[4]``."""
    (cos1, cos2), (sin1, sin2) = jnp.cos(state[:2]), jnp.sin(state[:2])
    return jnp.stack([cos1, sin1, cos2, sin2, state[2], state[3]])


def derivative(state: Array, torque: Array) -> Array:
    """The time derivative of a state ``[4]`` under a torque between the links.

    The equations are those of Sutton & Barto (1998, section 11.3), in their letters: they have the
    centrifugal term of the first link in the second's acceleration, which Sutton (1996) leaves out.
    """
    angle1, angle2, velocity1, velocity2 = state
    cos, sin = jnp.cos(angle2), jnp.sin(angle2)
    coupling = MASS * LENGTH * CENTRE
    d1 = MASS * CENTRE**2 + MASS * (LENGTH**2 + CENTRE**2) + 2 * coupling * cos + 2 * INERTIA
    d2 = MASS * CENTRE**2 + coupling * cos + INERTIA
    phi2 = MASS * CENTRE * GRAVITY * jnp.sin(angle1 + angle2)
    phi1 = (
        phi2
        + MASS * (CENTRE + LENGTH) * GRAVITY * jnp.sin(angle1)
        - coupling * velocity2 * (velocity2 + 2 * velocity1) * sin
    )
    acceleration2 = (torque + d2 / d1 * phi1 - coupling * jnp.square(velocity1) * sin - phi2) / (
        MASS * CENTRE**2 + INERTIA - jnp.square(d2) / d1
    )
    acceleration1 = -(d2 * acceleration2 + phi1) / d1
    return jnp.stack([velocity1, velocity2, acceleration1, acceleration2])
