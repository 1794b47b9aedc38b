"""Problems whose answers are known, each asking for one faculty, for discrete and continuous actions.

All are one Environment with other knobs, so that one compiled program trains an agent on every probe.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.types import Array, Key

LOW, HIGH = -1.0, 3.0  # of a continuous action: neither symmetric nor of length 2


@struct.dataclass
class Probe:
    """``steps`` steps, and at the last a reward that depends on as much as is asked for.

    The observation is ``(x, t)``: ``x`` is drawn at reset, ``-spread`` or ``spread``, and ``t`` counts
    steps. With ``u`` for the action, ±½ for a discrete one and from -1 to 1 for a continuous one, the
    last reward is ``constant + signal · x − weight · (u − aim − coupling · x)²``.
    """

    constant: Array | float = 0.0
    signal: Array | float = 0.0
    weight: Array | float = 0.0
    aim: Array | float = 0.0
    coupling: Array | float = 0.0
    spread: Array | float = 0.0
    steps: Array | int = 1
    continuous: bool = struct.field(pytree_node=False, default=False)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        if self.continuous:
            return gymnasium.spaces.Box(LOW, HIGH, (1,), np.float32)
        return gymnasium.spaces.Discrete(2)

    @property
    def max_episode_steps(self) -> None:
        return None

    def reset(self, key: Key) -> tuple[Array, Array]:
        x = self.spread * jax.random.rademacher(key, (), jnp.float32)
        state = jnp.stack([x, jnp.zeros_like(x)])
        return state, state

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        del key
        x, t = state
        u = (2 * action[0] - LOW - HIGH) / (HIGH - LOW) if self.continuous else action - 0.5
        last = t + 1 >= self.steps
        missed = jnp.square(u - self.aim - self.coupling * x)
        reward = jnp.where(last, self.constant + self.signal * x - self.weight * missed, 0.0)
        state = jnp.stack([x, t + 1])
        return state, state, reward, last


@struct.dataclass
class Clock:
    """Reward 1 a step until ``max_episode_steps``, by which time the task ends too where it is ``mortal``.

    The observation is always the same: nobody can tell what time it is.
    """

    mortal: Array | bool
    max_episode_steps: int = struct.field(pytree_node=False, default=2)
    continuous: bool = struct.field(pytree_node=False, default=False)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        if self.continuous:
            return gymnasium.spaces.Box(LOW, HIGH, (1,), np.float32)
        return gymnasium.spaces.Discrete(2)

    def reset(self, key: Key) -> tuple[Array, Array]:
        del key
        return jnp.int32(0), jnp.ones(1)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        del key, action
        state = state + 1
        return state, jnp.ones(1), jnp.float32(1.0), self.mortal & (state >= self.max_episode_steps)


@struct.dataclass
class Beginnings:
    """Reward 1 for action 1 in an episode's first step, and for action 0 in all others.

    The observation is always 1. Episodes end by chance, each step as likely as not, and at the third:
    who does not know whether an episode has just begun is right half of the time.
    """

    max_episode_steps: int | None = struct.field(pytree_node=False, default=3)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(2)

    def reset(self, key: Key) -> tuple[Array, Array]:
        del key
        return jnp.int32(0), jnp.ones(1)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        right = action == (state == 0)
        return state + 1, jnp.ones(1), jnp.where(right, 1.0, 0.0), jax.random.bernoulli(key)
