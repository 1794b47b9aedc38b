"""CliffWalking: the shortest way leads along a cliff (Sutton & Barto 2018, example 6.6), as in gymnasium."""

from __future__ import annotations

import gymnasium
import jax.numpy as jnp
import numpy as np

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.exact import Outcomes, draw
from purejaxrl.environments.knob_checks import check_count, check_number, known_zero
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # rows and columns that each action moves by


@with_knobs("slip", "fall_reward")
class CliffWalking:
    """Walk from the bottom left to the bottom right; all that lies between them is the cliff.

    Reward -1 a step; a step into the cliff pays ``fall_reward`` and leads back to the start, and the
    episode goes on. It ends at the goal.

    Observation: the cell's number, row by row from the top left; it is the state, too.
    Action: 0 moves up, 1 right, 2 down, 3 left; into a wall it moves nowhere.

    Args:
        slip: probability with which a move goes to either side of where it was meant to go, half to
            each; gymnasium's slippery cliff has 2/3.
        fall_reward: the reward of a step into the cliff.
        rows: static, at least 2.
        columns: static, at least 3.
        max_episode_steps: static; None as in gymnasium, though not every policy comes to an end.

    Raises:
        InvalidInput: a value outside of what is said above (what jax traces is not looked at).
    """

    slip: float | Array = 0.0
    fall_reward: float | Array = -100.0
    rows: int = 4
    columns: int = 12
    max_episode_steps: int | None = None

    def __post_init__(self) -> None:
        check_number("slip", self.slip, 0, 1)
        check_number("fall_reward", self.fall_reward)
        check_count("rows", self.rows, 2)
        check_count("columns", self.columns, 3)
        check_max_episode_steps(self.max_episode_steps)

    @property
    def num_states(self) -> int:
        return self.rows * self.columns

    @property
    def observation_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(self.num_states)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(4)

    @property
    def start(self) -> int:
        """The state in which episodes begin; the last state is the goal."""
        return self.num_states - self.columns

    def reset(self, key: Key) -> tuple[Array, Array]:
        del key  # all episodes begin in the same place
        state = jnp.int32(self.start)
        return state, state

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        state, reward, terminated = draw(key, self.outcomes(state, action))
        return state, state, reward, terminated

    def outcomes(self, state: Array, action: Array) -> Outcomes:
        if known_zero(self.slip):
            turns, probability = np.array([0]), jnp.ones(1)
        else:
            turns = np.array([0, 1, -1])
            probability = jnp.array([1 - self.slip, self.slip / 2, self.slip / 2])
        row_move, column_move = jnp.asarray(MOVES)[(action + turns) % 4].T
        row = jnp.clip(state // self.columns + row_move, 0, self.rows - 1)
        column = jnp.clip(state % self.columns + column_move, 0, self.columns - 1)
        bottom = row == self.rows - 1
        fell = bottom & (column > 0) & (column < self.columns - 1)
        return Outcomes(
            probability=probability,
            state=jnp.where(fell, self.start, row * self.columns + column),
            reward=jnp.where(fell, self.fall_reward, -1.0),
            terminated=bottom & (column == self.columns - 1),
        )
