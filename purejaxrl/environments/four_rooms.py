"""FourRooms: rooms joined by four hallways, and moves that may fail (Sutton, Precup & Singh 1999)."""

from __future__ import annotations

from typing import Literal

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.exact import Outcomes, draw
from purejaxrl.environments.knob_checks import check_choice, check_number, check_whole_knob, known_zero
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

PLAN = """
#############
#     #     #
#     #     #
#           #
#     #     #
#     #     #
## ####     #
#     ### ###
#     #     #
#     #     #
#           #
#     #     #
#############
"""
WALLS = np.array([[place == "#" for place in row] for row in PLAN.split("\n")[1:-1]])
CELLS = np.argwhere(~WALLS)  # [104, 2], rows and columns of the cells that one may stand on
NUM_CELLS = len(CELLS)
NUMBERS = np.full(WALLS.shape, -1)  # of the cells, row by row from the top left
NUMBERS[~WALLS] = np.arange(NUM_CELLS)
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
HALLWAYS = tuple(
    int(NUMBERS[place]) for place in ((3, 6), (6, 2), (7, 9), (10, 6))
)  # top, west, east, bottom


def _neighbours() -> np.ndarray:
    """The cells ``[104, 4]`` that moves lead to; into a wall they lead nowhere."""
    there = NUMBERS[tuple((CELLS[:, None] + MOVES).transpose(2, 0, 1))]
    return np.where(there < 0, np.arange(NUM_CELLS)[:, None], there)


NEIGHBOURS = _neighbours()


@with_knobs("goal", "slip")
class FourRooms:
    """Reward 1 at the goal, which ends the episode, and 0 elsewhere; from any other cell.

    Action: 0 moves up, 1 right, 2 down, 3 left. A move fails with probability ``slip`` and goes one
    of the three other ways instead, each being as likely. Into a wall it leads nowhere.

    Observation: ``"cell"`` is the number, from 0 to 103, of the cell that one stands on, row by row
    from the top left; it is the state, too, and says nothing about the goal. ``"pixels"`` is an image
    ``[13, 13, 3]`` of zeros and ones: the walls, the goal, and where one stands.

    Args:
        goal: the number of the goal's cell, ``HALLWAYS`` being those of the hallways; 62, the eastern
            one, is where Bacon, Harb & Precup (2017) put it, and a limit of 1000 steps is theirs.
        slip: probability with which a move fails.
        observation: static, ``"cell"`` or ``"pixels"``.
        max_episode_steps: static.

    Raises:
        InvalidInput: a value outside of what is said above (what jax traces is not looked at).
    """

    goal: int | Array = 62
    slip: float | Array = 1 / 3
    observation: Literal["cell", "pixels"] = "cell"
    max_episode_steps: int | None = 1000

    def __post_init__(self) -> None:
        check_whole_knob("goal", self.goal, 0, NUM_CELLS - 1)
        check_number("slip", self.slip, 0, 1)
        check_choice("observation", self.observation, ("cell", "pixels"))
        check_max_episode_steps(self.max_episode_steps)

    @property
    def num_states(self) -> int:
        return NUM_CELLS

    @property
    def observation_space(self) -> gymnasium.spaces.Discrete | gymnasium.spaces.Box:
        if self.observation == "pixels":
            return gymnasium.spaces.Box(0.0, 1.0, (*WALLS.shape, 3), np.float32)
        return gymnasium.spaces.Discrete(NUM_CELLS)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(4)

    def reset(self, key: Key) -> tuple[Array, Array]:
        state = jax.random.randint(key, (), 0, NUM_CELLS - 1, jnp.int32)
        state += state >= self.goal  # one of all the others
        return state, self.observe(state)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        state, reward, terminated = draw(key, self.outcomes(state, action))
        return state, self.observe(state), reward, terminated

    def outcomes(self, state: Array, action: Array) -> Outcomes:
        if known_zero(self.slip):
            turns, probability = np.array([0]), jnp.ones(1)
        else:
            turns, third = np.array([0, 1, 2, 3]), self.slip / 3
            probability = jnp.array([1 - self.slip, third, third, third])
        cell = jnp.asarray(NEIGHBOURS)[state, (action + turns) % 4]
        arrived = cell == self.goal
        return Outcomes(probability=probability, state=cell, reward=arrived.astype(float), terminated=arrived)

    def observe(self, state: Array) -> Array:
        """The observation of a state."""
        if self.observation == "cell":
            return state
        numbers = jnp.asarray(NUMBERS)
        layers = [jnp.asarray(WALLS), numbers == self.goal, numbers == state]
        return jnp.stack(layers, axis=-1).astype(jnp.float32)
