"""Bandits: Sutton & Barto's (2018, section 2.3) Gaussian testbed, and bsuite's eleven fixed rewards."""

from __future__ import annotations

import dataclasses
from typing import cast

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.knob_checks import array_knob, check_count, check_number, check_seed, known_zero
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, InvalidInput, Key


@with_knobs("values", "noise")
class Bandit:
    """Pull one of several arms: the reward is its value and Gaussian noise; every step is an episode.

    Observation: 0, always. Action: the arm. State: none, ().

    To have many problems side by side, as in the testbed of 2000, vmap over ``values``::

        problems = Bandit(values=jax.random.normal(key, (2000, 10)))

    Args:
        values: ``[arms]``, the mean reward of each; several rows of them are several problems.
        noise: the rewards' standard deviation, at least 0.
        arms: static, how many; None for as many as there are values, or 10.
        max_episode_steps: static; episodes end by themselves, so that None does no harm.
        values_seed: the values are drawn from it with a mean of 0 and a standard deviation of 1, where
            none are given; None is 0.

    Raises:
        InvalidInput: a value outside of what is said above (what jax traces is not looked at); values
            together with a seed for them, or more or fewer of them than arms.
    """

    values: Array | np.ndarray | None = None
    noise: float | Array = 1.0
    arms: int | None = None
    max_episode_steps: int | None = None
    values_seed: dataclasses.InitVar[int | None] = None

    def __post_init__(self, values_seed: int | None) -> None:
        check_number("noise", self.noise, 0)
        check_max_episode_steps(self.max_episode_steps)
        check_seed("values_seed", values_seed)
        if self.values is not None and values_seed is not None:
            raise InvalidInput("values must be None where values_seed is to make them")
        values = None if self.values is None else array_knob("values", self.values)
        if self.arms is None:
            object.__setattr__(self, "arms", 10 if values is None else (1, *values.shape)[-1])
        check_count("arms", self.arms, 1)
        if values is None:
            generator = np.random.default_rng(0 if values_seed is None else values_seed)
            values = generator.standard_normal(self.size)
        object.__setattr__(self, "values", array_knob("values", values, (self.size,)))

    @property
    def size(self) -> int:
        """What fixes a shape: the number of arms."""
        return cast("int", self.arms)

    @property
    def observation_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(1)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(self.size)

    @property
    def best_value(self) -> Array:
        """The value of the best arm; of each problem's, where there are several."""
        return jnp.max(jnp.asarray(self.values), axis=-1)

    def regret(self, action: Array) -> Array:
        """What pulling an arm loses on average, against the best one."""
        return self.best_value - jnp.asarray(self.values)[action]

    def reset(self, key: Key) -> tuple[tuple[()], Array]:
        del key  # nothing is to begin
        return (), jnp.int32(0)

    def step(self, key: Key, state: tuple[()], action: Array) -> tuple[tuple[()], Array, Array, Array]:
        reward = jnp.asarray(self.values)[action].astype(jnp.float32)
        if not known_zero(self.noise):
            reward += self.noise * jax.random.normal(key, dtype=jnp.float32)
        return state, jnp.int32(0), reward, jnp.bool_(True)


def bsuite_bandit(
    mapping_seed: int | None = 0,
    arms: int = 11,
    noise: float | Array = 0.0,
    max_episode_steps: int | None = None,
) -> Bandit:
    """Bsuite's bandit (Osband et al. 2020): rewards from 0 to 1 in equal steps, on arms in a random order.

    Args:
        mapping_seed: the order is drawn from it as bsuite draws it; its experiment has 0 to 19. None is 0.
        arms: how many, at least 1.
        noise: the rewards' standard deviation; 0, but for bsuite's bandit_noise.
        max_episode_steps: as for :class:`Bandit`.

    Raises:
        InvalidInput: a value outside of what is said above.
    """
    check_seed("mapping_seed", mapping_seed)
    check_count("arms", arms, 1)
    bandit = Bandit(noise=noise, arms=arms, max_episode_steps=max_episode_steps)
    generator = np.random.RandomState(0 if mapping_seed is None else mapping_seed)
    order = generator.choice(range(arms), size=arms, replace=False)
    return dataclasses.replace(bandit, values=np.linspace(0, 1, arms)[order].astype(np.float32))
