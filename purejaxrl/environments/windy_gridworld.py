"""WindyGridworld: a crosswind blows upward through the middle (Sutton & Barto 2018, example 6.5)."""

from __future__ import annotations

from typing import Literal

import gymnasium
import jax.numpy as jnp
import numpy as np

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.exact import Outcomes, draw
from purejaxrl.environments.knob_checks import check_choice, check_number, known_zero
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

ROWS, COLUMNS = 7, 10
WIND = np.array([0, 0, 0, 1, 1, 1, 2, 2, 1, 0])  # cells upward, of a move that begins in the column
START, GOAL = 3 * COLUMNS, 3 * COLUMNS + 7
# Rows and columns: up, right, down, left; the same between them, clockwise from up and right; staying.
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1), (-1, 1), (1, 1), (1, -1), (-1, -1), (0, 0)])


@with_knobs("gust")
class WindyGridworld:
    """Reward -1 a step on the way to the goal, through wind that carries every move upward.

    Observation: the cell's number, row by row from the top left of 7 by 10; it is the state, too.
    Action: 0 moves up, 1 right, 2 down, 3 left; with more than four moves 4 to 7 are up and right,
    down and right, down and left, up and left; 8 stays. The walls hold whatever wind and move make.

    Args:
        gust: probability with which the wind, where there is any, is a cell stronger or weaker than
            usual, half for each; 2/3 is exercise 6.10's.
        moves: static; 4, 8 (king's moves, exercise 6.9), or 9, staying put among them.
        max_episode_steps: static; None as in the book, though not every policy comes to an end.

    Raises:
        InvalidInput: a value outside of what is said above (what jax traces is not looked at).
    """

    gust: float | Array = 0.0
    moves: Literal[4, 8, 9] = 4
    max_episode_steps: int | None = None

    def __post_init__(self) -> None:
        check_number("gust", self.gust, 0, 1)
        check_choice("moves", self.moves, (4, 8, 9))
        check_max_episode_steps(self.max_episode_steps)

    @property
    def num_states(self) -> int:
        return ROWS * COLUMNS

    @property
    def start(self) -> int:
        """The state in which episodes begin."""
        return START

    @property
    def observation_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(self.num_states)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(self.moves)

    def reset(self, key: Key) -> tuple[Array, Array]:
        del key  # all episodes begin in the same place
        state = jnp.int32(START)
        return state, state

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        state, reward, terminated = draw(key, self.outcomes(state, action))
        return state, state, reward, terminated

    def outcomes(self, state: Array, action: Array) -> Outcomes:
        row, column = state // COLUMNS, state % COLUMNS
        row_move, column_move = jnp.asarray(MOVES)[action]
        wind = jnp.asarray(WIND)[column]
        if known_zero(self.gust):
            change, probability = np.array([0]), jnp.ones(1)
        else:
            change = jnp.where(wind > 0, np.array([0, 1, -1]), 0)
            probability = jnp.array([1 - self.gust, self.gust / 2, self.gust / 2])
        row = jnp.clip(row + row_move - wind - change, 0, ROWS - 1)
        cell = row * COLUMNS + jnp.clip(column + column_move, 0, COLUMNS - 1)
        return Outcomes(
            probability=probability, state=cell, reward=jnp.full(cell.shape, -1.0), terminated=cell == GOAL
        )
