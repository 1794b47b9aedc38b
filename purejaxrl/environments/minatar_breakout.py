"""MinAtar's Breakout: a paddle, a ball, and three rows of bricks (Young & Tian 2019)."""

from __future__ import annotations

import gymnasium
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl.environments import minatar
from purejaxrl.environments.minatar import LEFT, RIGHT, SIZE
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

MINIMAL = (minatar.NO_OP, LEFT, RIGHT)
TOP, BRICK_ROWS = 1, 3  # the first row of bricks, and how many there are
FLOOR = SIZE - 1  # the paddle's row
FIRST_ROW, FIRST_PADDLE = 3, 4


@struct.dataclass
class BreakoutState:
    """Where a game stands."""

    row: Array  # of the ball, from the top
    column: Array
    last_row: Array  # where the ball was a step ago
    last_column: Array
    down: Array  # whether the ball moves down, else up
    right: Array  # whether it moves to the right, else to the left
    paddle: Array  # its column
    bricks: Array  # [3, 10], those that still stand
    struck: Array  # whether the last step's move was into a brick; if so, the next one breaks none
    action: Array  # the last one carried out, of minatar.ACTIONS


@with_knobs("sticky_action_probability")
class Breakout:
    """Bounce the ball off the paddle into the bricks: reward 1 for each, and the game ends if it gets by.

    The ball moves a row and a column a step. It bounces off walls, ceiling, bricks and paddle; off the
    paddle's edge it goes back to where it came from. In the step after one into a brick it does no harm:
    the next brick in its way it flies through.
    Once none is left, the wall is built anew as the ball comes down to the paddle's row.
    A game begins with the ball in row 3 (from 0), on its way down from the left or the right wall.

    Observation int8 ``[10, 10, 4]`` of zeros and ones: the paddle, the ball, where the ball was a step
    ago, the bricks. Action: of the full set 0 no-op, 1 left, 2 up, 3 right, 4 down, 5 fire; of the
    minimal one 0 no-op, 1 left, 2 right.

    Args:
        sticky_action_probability: with which a step carries out the last step's action instead of its own.
            A game begins as if after a no-op; in the authors' package, after the last game's last action.
        actions: static, the ``"full"`` set that all games of MinAtar share, or the ``"minimal"`` one.
        max_episode_steps: static; the authors set no limit.

    Raises:
        InvalidInput: an argument that is not what is said above.
    """

    sticky_action_probability: float | Array = 0.1
    actions: minatar.ActionSet = "full"
    max_episode_steps: int | None = None

    def __post_init__(self) -> None:
        minatar.check_options(self)

    @property
    def observation_space(self) -> gymnasium.spaces.MultiBinary:
        return minatar.observation_space(4)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return minatar.action_space(self.actions, MINIMAL)

    def reset(self, key: Key) -> tuple[BreakoutState, Array]:
        state = self.begin(jax.random.bernoulli(key))
        return state, self.observe(state)

    def step(
        self, key: Key, state: BreakoutState, action: Array
    ) -> tuple[BreakoutState, Array, Array, Array]:
        sticks = jax.random.uniform(key) < self.sticky_action_probability
        action = minatar.full_action(self.actions, MINIMAL, action)
        state, reward, terminated = self.transition(jnp.where(sticks, state.action, action), state)
        return state, self.observe(state), reward, terminated

    def begin(self, from_right: Array) -> BreakoutState:
        """The state in which a game begins, with the ball at the left or the right wall."""
        row, column = jnp.int32(FIRST_ROW), jnp.where(from_right, SIZE - 1, 0).astype(jnp.int32)
        return BreakoutState(
            row=row,
            column=column,
            last_row=row,
            last_column=column,
            down=jnp.bool_(True),
            right=~from_right,
            paddle=jnp.int32(FIRST_PADDLE),
            bricks=jnp.ones((BRICK_ROWS, SIZE), bool),
            struck=jnp.bool_(False),
            action=jnp.int32(minatar.NO_OP),
        )

    def transition(self, action: Array, state: BreakoutState) -> tuple[BreakoutState, Array, Array]:
        """What an action, of :data:`.minatar.ACTIONS`, does: the state, the reward and ``terminated``."""
        action = jnp.asarray(action, jnp.int32)
        paddle = jnp.clip(state.paddle + (action == RIGHT) - (action == LEFT), 0, FLOOR).astype(jnp.int32)
        column = state.column + jnp.where(state.right, 1, -1)
        right = jnp.where(column < 0, True, jnp.where(column > FLOOR, False, state.right))
        column = jnp.clip(column, 0, FLOOR)
        row = state.row + jnp.where(state.down, 1, -1)

        ceiling = row < 0
        target = minatar.cell(row, column)[TOP : TOP + BRICK_ROWS] & state.bricks
        brick = jnp.any(target)
        breaks = brick & ~state.struck
        bricks = state.bricks & ~(target & breaks)
        floor = (row == FLOOR) & ~brick
        bricks |= floor & ~jnp.any(bricks)
        # Where the ball comes from counts first: from above the paddle it bounces as off a floor, while
        # one that would come down on it from beside turns back the way it came.
        above = floor & (state.column == paddle)
        edge = floor & ~above & (column == paddle)

        state = BreakoutState(
            row=jnp.where(ceiling, 0, jnp.where(breaks | above | edge, state.row, row)),
            column=column,
            last_row=state.row,
            last_column=state.column,
            down=jnp.where(ceiling | breaks | above | edge, ~state.down, state.down),
            right=right ^ edge,
            paddle=paddle,
            bricks=bricks,
            struck=brick,
            action=action,
        )
        return state, breaks.astype(jnp.float32), floor & ~above & ~edge

    def observe(self, state: BreakoutState) -> Array:
        walls = [(TOP, FLOOR - TOP - BRICK_ROWS + 1), (0, 0)]
        return minatar.picture(
            minatar.cell(jnp.int32(FLOOR), state.paddle),
            minatar.cell(state.row, state.column),
            minatar.cell(state.last_row, state.last_column),
            jnp.pad(state.bricks, walls),
        )
