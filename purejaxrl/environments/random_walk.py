"""Walks along a line: RandomWalk, for prediction, and ShortCorridor, for policies that must be stochastic."""

from __future__ import annotations

from typing import Literal

import gymnasium
import jax.numpy as jnp
import numpy as np

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.exact import Outcomes, draw
from purejaxrl.environments.knob_checks import check_choice, check_count, check_number
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, InvalidInput, Key


@with_knobs("left_reward", "right_reward")
class RandomWalk:
    """From the middle of a row of states, a step left or right, until the walk leaves it at either end.

    With one action the walk is drawn, both ways being as likely: a Markov reward process, in which
    whoever learns to act learns to predict. The defaults are Sutton & Barto's (2018) example 6.2;
    example 7.1 is ``RandomWalk(states=19, left_reward=-1.0)``.

    Observation: the state's number, from 0 on the left. Having left the row it is still that of the
    state at its end: the outside is no state. Action: the only one; of two, 0 goes left and 1 right.

    Args:
        left_reward: the reward for leaving on the left; other steps but the right one's pay 0.
        right_reward: the reward for leaving on the right.
        states: static, how many; an odd number, so that there is a middle.
        actions: static; 1, or 2 to walk as one wishes.
        max_episode_steps: static.

    Raises:
        InvalidInput: a value outside of what is said above (what jax traces is not looked at).
    """

    left_reward: float | Array = 0.0
    right_reward: float | Array = 1.0
    states: int = 5
    actions: Literal[1, 2] = 1
    max_episode_steps: int | None = None

    def __post_init__(self) -> None:
        check_number("left_reward", self.left_reward)
        check_number("right_reward", self.right_reward)
        check_count("states", self.states, 1)
        if self.states % 2 == 0:
            raise InvalidInput(
                f"states must be an odd number, not {self.states}: the walk begins in the middle"
            )
        check_choice("actions", self.actions, (1, 2))
        check_max_episode_steps(self.max_episode_steps)

    @property
    def num_states(self) -> int:
        return self.states

    @property
    def start(self) -> int:
        """The state in which episodes begin."""
        return self.states // 2

    @property
    def observation_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(self.states)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(self.actions)

    @property
    def true_values(self) -> Array:
        """The values ``[states]`` of walking both ways alike, without discounting: a straight line."""
        to_the_right = jnp.arange(1, self.states + 1) / (self.states + 1)  # the chance of leaving there
        return self.left_reward + (self.right_reward - self.left_reward) * to_the_right

    def reset(self, key: Key) -> tuple[Array, Array]:
        del key  # all episodes begin in the middle
        state = jnp.int32(self.start)
        return state, state

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        state, reward, terminated = draw(key, self.outcomes(state, action))
        return state, state, reward, terminated

    def outcomes(self, state: Array, action: Array) -> Outcomes:
        ways = jnp.array([-1, 1]) if self.actions == 1 else 2 * jnp.atleast_1d(action) - 1
        place = state + ways
        left, right = place < 0, place >= self.states
        return Outcomes(
            probability=jnp.full(len(ways), 1 / len(ways)),
            state=jnp.clip(place, 0, self.states - 1),
            reward=jnp.where(left, self.left_reward, jnp.where(right, self.right_reward, 0.0)),
            terminated=left | right,
        )


@with_knobs()
class ShortCorridor:
    """Three states that look the same, of which the second turns the actions round (example 13.1).

    Reward -1 a step, until the right end is passed. A policy that sees no difference between them
    can only choose how often to go right, and the best one does neither always nor never.

    Observation: 0, always. State: 0, 1 or 2, from the left, where the wall is and episodes begin.
    Action: 0 goes left and 1 right, in state 1 the other way about.

    Args:
        max_episode_steps: static; None as in the book, though a deterministic policy never ends.

    Raises:
        InvalidInput: ``max_episode_steps`` is neither None nor a positive whole number.
    """

    max_episode_steps: int | None = None

    def __post_init__(self) -> None:
        check_max_episode_steps(self.max_episode_steps)

    @property
    def num_states(self) -> int:
        return 3

    @property
    def start(self) -> int:
        """The state in which episodes begin."""
        return 0

    @property
    def observation_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(1)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(2)

    def value(self, right: float | Array | np.ndarray) -> float | Array | np.ndarray:
        """The start's value under a policy that goes right with probability ``right``, between 0 and 1.

        With it the three Bellman equations are v0 = -1 + p v1 + (1 - p) v0, v1 = -1 + p v0 + (1 - p) v2
        and v2 = -1 + (1 - p) v1. The best is -6 - 4 √2 = -11.66, for p = 2 - √2 = 0.59.
        """
        return -2 * (2 - right) / (right * (1 - right))

    def reset(self, key: Key) -> tuple[Array, Array]:
        del key  # all episodes begin at the left end
        return jnp.int32(0), jnp.int32(0)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        state, reward, terminated = draw(key, self.outcomes(state, action))
        return state, jnp.int32(0), reward, terminated

    def outcomes(self, state: Array, action: Array) -> Outcomes:
        way = jnp.where(state == 1, 1 - 2 * action, 2 * action - 1)
        place = jnp.maximum(state + way, 0)[None]
        return Outcomes(
            probability=jnp.ones(1),
            state=jnp.minimum(place, 2),
            reward=jnp.full(1, -1.0),
            terminated=place == 3,
        )
