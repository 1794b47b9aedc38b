"""What MinAtar's games have in common (Young & Tian 2019, arXiv:1903.03176): a board, and actions that stick.

The games are written from the paper and from how the authors' package behaves, with which they
agree step by step, given the same random draws.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import gymnasium
import jax.numpy as jnp

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.knob_checks import check_choice, check_number
from purejaxrl.types import Array

SIZE = 10  # rows and columns of the board
ACTIONS = ("no-op", "left", "up", "right", "down", "fire")
NO_OP, LEFT, UP, RIGHT, DOWN, _ = range(len(ACTIONS))
ActionSet = Literal["full", "minimal"]


def check_options(game: Any) -> None:
    """Raises InvalidInput where one of the options that all games have is not what it may be."""
    check_choice("actions", game.actions, get_args(ActionSet))
    check_max_episode_steps(game.max_episode_steps)
    check_number("sticky_action_probability", game.sticky_action_probability, 0, 1)


def action_space(actions: ActionSet, minimal: tuple[int, ...]) -> gymnasium.spaces.Discrete:
    """The six of :data:`ACTIONS`, or those that do something in the game."""
    return gymnasium.spaces.Discrete(len(ACTIONS) if actions == "full" else len(minimal))


def observation_space(channels: int) -> gymnasium.spaces.MultiBinary:
    return gymnasium.spaces.MultiBinary((SIZE, SIZE, channels))


def full_action(actions: ActionSet, minimal: tuple[int, ...], action: Array) -> Array:
    """The place in :data:`ACTIONS` of an action of the game's set."""
    return action if actions == "full" else jnp.asarray(minimal, jnp.int32)[action]


def cell(row: Array, column: Array) -> Array:
    """A board ``[10, 10]`` that is true in one cell, or nowhere where that lies outside."""
    place = jnp.arange(SIZE)
    return (place == row)[:, None] & (place == column)


def picture(*channels: Array) -> Array:
    """Boards ``[10, 10]`` as an observation ``[10, 10, C]``."""
    return jnp.stack(channels, axis=-1).astype(jnp.int8)
