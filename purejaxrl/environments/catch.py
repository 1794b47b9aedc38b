"""Catch: a paddle under falling balls (Mnih et al. 2014), as bsuite has it, with knobs for its difficulty."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, cast, get_args

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.knob_checks import check_choice, check_number, check_size, known_zero
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key

View = Literal["pixels", "vector"]


@struct.dataclass
class CatchState:
    """Where an episode stands; the balls' heights follow from ``time``."""

    time: Array  # steps since the episode began
    paddle: Array  # its column
    ball_column: Array  # [max_balls]


@with_knobs("rows", "columns", "speed", "balls", "noise")
class Catch:
    """Move the paddle under every ball before it reaches the bottom row, where the paddle is.

    Ball i enters the top row, in a random column, i · (columns - 1) steps into the episode: the
    time that the paddle takes from wall to wall, so that whoever catches the lowest ball first can
    catch them all (the first one, too, as long as it falls for columns // 2 steps or more).
    A ball falls ``speed`` rows a step. It pays 1 / balls if the paddle is in its column in the step
    in which it reaches the bottom row, and -1 / balls if not, so that returns lie in [-1, 1] at
    every difficulty. The episode ends with the last ball's landing.
    The defaults are bsuite's Catch (Osband et al. 2020).

    Action: 0 moves the paddle a column to the left, 1 leaves it, 2 moves it to the right.

    Observation: ``"pixels"`` is a board ``[max_rows, max_columns]`` of zeros with a 1 for the paddle
    and for each ball; a smaller board occupies its first rows and columns, and what lies outside stays 0.
    ``"vector"`` is ``[1 + 3 * max_balls]``: the paddle's column, then of each ball its row, its
    column, and whether it is on the board; from 0 (top, left) to 1 (bottom, right), and 0 for a ball
    that is not on the board. Only the vector tells fractions of a row, where ``speed`` is no whole number.

    The five knobs are data: they may be swept, or differ under ``vmap``, within the static sizes.
    To train across difficulties, stack environments that share those sizes::

        stack = [Catch(rows=rows, max_rows=10) for rows in (5, 8, 10)]
        environments = jax.tree.map(lambda *knobs: jnp.stack(knobs), *stack)

    Args:
        rows: height of the board, at least 2.
        columns: width of the board, at least 1.
        speed: rows that a ball falls in a step, above 0; fractions are fine.
        balls: how many fall in an episode, at least 1.
        noise: probability with which each pixel of the board is flipped, from 0 to 1; for vectors
            the standard deviation of Gaussian noise on each number, at least 0. At 0 there is none.
        max_rows: static, the height of the largest board; None for ``rows``.
        max_columns: static, the width of the largest board; None for ``columns``.
        max_balls: static, the largest number of balls; None for ``balls``.
        observation: static, ``"pixels"`` or ``"vector"``.
        max_episode_steps: static; episodes end by themselves, so that None does no harm.

    Raises:
        InvalidInput: a value outside of what is said above, where it is known (what is traced by
            jax is not looked at); a traced ``rows``, ``columns`` or ``balls`` without its ``max_``.
    """

    rows: int | Array = 10
    columns: int | Array = 5
    speed: float | Array = 1
    balls: int | Array = 1
    noise: float | Array = 0.0
    max_rows: int | None = None
    max_columns: int | None = None
    max_balls: int | None = None
    observation: View = "pixels"
    max_episode_steps: int | None = None

    def __post_init__(self) -> None:
        check_max_episode_steps(self.max_episode_steps)
        check_choice("observation", self.observation, get_args(View))
        for name, least in (("rows", 2), ("columns", 1), ("balls", 1)):
            size = check_size(name, getattr(self, name), least, getattr(self, f"max_{name}"))
            object.__setattr__(self, f"max_{name}", size)
        check_number("speed", self.speed, above=0)
        check_number("noise", self.noise, 0, 1 if self.observation == "pixels" else np.inf)

    def replace(self, **changes: Any) -> Catch:
        """A copy with some fields changed, and checked like a new one."""
        return dataclasses.replace(self, **changes)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """What fixes shapes: the largest numbers of rows, columns and balls."""
        return cast("tuple[int, int, int]", (self.max_rows, self.max_columns, self.max_balls))

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        max_rows, max_columns, max_balls = self.sizes
        if self.observation == "pixels":
            return gymnasium.spaces.Box(0.0, 1.0, (max_rows, max_columns), np.float32)
        return gymnasium.spaces.Box(-np.inf, np.inf, (1 + 3 * max_balls,), np.float32)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(3)

    def reset(self, key: Key) -> tuple[CatchState, Array]:
        column_key, noise_key = jax.random.split(key)
        state = CatchState(
            time=jnp.zeros((), jnp.int32),
            paddle=jnp.asarray(self.columns // 2, jnp.int32),
            ball_column=jax.random.randint(column_key, self.sizes[2:], 0, self.columns, jnp.int32),
        )
        return state, self.observe(noise_key, state)

    def step(self, key: Key, state: CatchState, action: Array) -> tuple[CatchState, Array, Array, Array]:
        paddle = jnp.clip(state.paddle + action - 1, 0, self.columns - 1).astype(jnp.int32)
        state = state.replace(time=state.time + 1, paddle=paddle)  # pyright: ignore[reportAttributeAccessIssue]
        bottom = self.rows - 1
        landed = self.fallen(state.time) >= bottom
        lands = landed & (self.fallen(state.time - 1) < bottom) & self.in_play()
        payment = jnp.where(state.ball_column == paddle, 1.0, -1.0) / self.balls
        reward = jnp.sum(payment, where=lands).astype(jnp.float32)
        return state, self.observe(key, state), reward, jnp.all(landed | ~self.in_play())

    def in_play(self) -> Array:
        """Which of ``max_balls`` the episode has."""
        return jnp.arange(self.sizes[2]) < self.balls

    def fallen(self, time: Array) -> Array:
        """Rows ``[max_balls]`` that the balls have fallen by ``time``, below 0 for those still to come."""
        delay = jnp.maximum(self.columns - 1, 1) * jnp.arange(self.sizes[2])
        return jnp.asarray(self.speed, jnp.float32) * (time - delay)

    def observe(self, key: Key, state: CatchState) -> Array:
        """The observation of a state, with noise; a ball is seen until the step in which it lands."""
        bottom = self.rows - 1
        row = jnp.minimum(self.fallen(state.time), bottom)
        visible = (row >= 0) & (self.fallen(state.time - 1) < bottom) & self.in_play()
        if self.observation == "pixels":
            return self.pixels(key, state, row, visible)
        return self.vector(key, state, row, visible)

    def pixels(self, key: Key, state: CatchState, row: Array, visible: Array) -> Array:
        max_rows, max_columns, _ = self.sizes
        rows, columns = jnp.arange(max_rows), jnp.arange(max_columns)
        in_row = (jnp.floor(row)[:, None] == rows) & visible[:, None]
        in_column = state.ball_column[:, None] == columns
        board = jnp.any(in_row[:, :, None] & in_column[:, None, :], axis=0)
        board |= jnp.outer(rows == self.rows - 1, columns == state.paddle)
        if not known_zero(self.noise):
            flip = jax.random.uniform(key, board.shape, jnp.float32) < self.noise
            board ^= flip & jnp.outer(rows < self.rows, columns < self.columns)
        return board.astype(jnp.float32)

    def vector(self, key: Key, state: CatchState, row: Array, visible: Array) -> Array:
        width = jnp.maximum(self.columns - 1, 1)
        ball = jnp.stack([row / (self.rows - 1), state.ball_column / width, jnp.ones_like(row)], axis=1)
        ball = jnp.where(visible[:, None], ball, 0.0)
        vector = jnp.concatenate([(state.paddle / width)[None], ball.ravel()]).astype(jnp.float32)
        if not known_zero(self.noise):
            used = jnp.concatenate([jnp.ones(1, bool), jnp.repeat(self.in_play(), 3)])
            vector += jnp.where(used, self.noise * jax.random.normal(key, vector.shape, jnp.float32), 0.0)
        return vector
