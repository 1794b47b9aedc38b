"""DeepSea: a treasure that random moves all but never reach (Osband et al. 2019, 2020), as bsuite has it."""

from __future__ import annotations

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.exact import Outcomes, draw
from purejaxrl.environments.knob_checks import (
    array_knob,
    check_count,
    check_number,
    check_seed,
    check_whole_knob,
)
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, InvalidInput, Key

BSUITE_MAPPING_SEED = 42  # of every DeepSea in bsuite's own experiments


@with_knobs("move_cost", "mapping")
class DeepSea:
    """Sink through ``size`` rows, a column to the left or right in each; a treasure lies at the bottom right.

    Which of the two actions goes to the right is fixed for each cell, and is not told. A step to the
    right costs ``move_cost / size``, and one more of them at the bottom right pays 1: only whoever
    goes right all the way, against what every step costs, ever sees it. An episode has ``size`` steps.

    Observation ``[size, size]``: a 1 where the diver is, among zeros; after the last step only zeros.
    State: the number of the diver's cell, row by row from the top left. Action: 0 or 1.

    Args:
        move_cost: what going right all the way costs.
        mapping: ``[size, size]``, the action that goes right in each cell. It stays from episode to
            episode; like the other knob it is data, and may differ under ``vmap``.
        size: static, at least 1.
        stochastic: static; whether a move to the right fails, and leads straight down, with
            probability 1 / size, and the two corners of the bottom row pay Gaussian noise on top.
        max_episode_steps: static; episodes end by themselves, so that None does no harm.
        mapping_seed: the mapping is drawn from it, where none is given, as bsuite draws its own: the
            same number gives the same sea. None is 42, which bsuite's experiments have.
        randomise_actions: if not, and no mapping is given, action 1 goes right everywhere.

    Raises:
        InvalidInput: a value outside of what is said above (what jax traces is not looked at); a
            mapping together with what it would be made from.
    """

    move_cost: float | Array = 0.01
    mapping: Array | np.ndarray | None = None
    size: int = 10
    stochastic: bool = False
    max_episode_steps: int | None = None
    mapping_seed: dataclasses.InitVar[int | None] = None
    randomise_actions: dataclasses.InitVar[bool] = True

    def __post_init__(self, mapping_seed: int | None, randomise_actions: bool) -> None:
        check_number("move_cost", self.move_cost)
        check_count("size", self.size, 1)
        check_max_episode_steps(self.max_episode_steps)
        for name, value in (("stochastic", self.stochastic), ("randomise_actions", randomise_actions)):
            if not isinstance(value, bool):
                raise InvalidInput(f"{name} must be True or False, not {value!r}")
        check_seed("mapping_seed", mapping_seed)
        if self.mapping is None:
            seed = BSUITE_MAPPING_SEED if mapping_seed is None else mapping_seed
            ones = np.ones((self.size, self.size), np.int32)
            mapping = draw_mapping(seed, self.size) if randomise_actions else ones
        elif mapping_seed is not None or not randomise_actions:
            raise InvalidInput("mapping must be None where mapping_seed or randomise_actions is to make one")
        else:
            mapping = array_knob("mapping", self.mapping, (self.size, self.size), np.int32)
            check_whole_knob("mapping", mapping, 0, 1)
        object.__setattr__(self, "mapping", mapping)

    @property
    def num_states(self) -> int:
        return self.size * self.size

    @property
    def start(self) -> int:
        """The state in which episodes begin."""
        return 0

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(0.0, 1.0, (self.size, self.size), np.float32)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(2)

    @property
    def diver_return(self) -> float | Array:
        """The expected return of going right all the way: without chance, the best there is."""
        arrives = (1 - 1 / self.size) ** (self.size - 1) if self.stochastic else 1.0
        return arrives - self.move_cost

    def reset(self, key: Key) -> tuple[Array, Array]:
        del key  # all episodes begin in the same place
        state = jnp.int32(0)
        return state, self.observe(state)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        successor_key, noise_key = jax.random.split(key) if self.stochastic else (key, key)
        successor, reward, terminated = draw(successor_key, self.outcomes(state, action))
        if self.stochastic:
            row, column = state // self.size, state % self.size
            corner = (row == self.size - 1) & ((column == 0) | (column == self.size - 1))
            reward += jnp.where(corner, jax.random.normal(noise_key, dtype=jnp.float32), 0.0)
        return successor, self.observe(successor), reward, terminated

    def outcomes(self, state: Array, action: Array) -> Outcomes:
        """All that an action may lead to, with the mean of a noisy reward."""
        row, column = state // self.size, state % self.size
        right = action == jnp.asarray(self.mapping)[row, column]
        treasure = right & (column == self.size - 1)
        cost = self.move_cost / self.size
        if self.stochastic:
            drift = jnp.where(right, jnp.array([1, 0]), -1)
            probability = jnp.array([1 - 1 / self.size, 1 / self.size])
        else:
            drift, probability = jnp.where(right, 1, -1)[None], jnp.ones(1)
        reward = jnp.where(treasure, 1 - cost, jnp.where(right, -cost, 0.0))
        return Outcomes(
            probability=probability,
            state=(row + 1) * self.size + jnp.clip(column + drift, 0, self.size - 1),
            reward=jnp.broadcast_to(reward, drift.shape),
            terminated=jnp.broadcast_to(row == self.size - 1, drift.shape),
        )

    def observe(self, state: Array) -> Array:
        """The observation of a state; below the last row there is nothing to see."""
        cells = jnp.arange(self.num_states).reshape(self.size, self.size)
        return (cells == state).astype(jnp.float32)


def draw_mapping(seed: int, size: int) -> np.ndarray:
    """The actions ``[size, size]`` that go right, each 0 or 1 as likely, by bsuite's generator."""
    return np.random.RandomState(seed).binomial(1, 0.5, (size, size)).astype(np.int32)
