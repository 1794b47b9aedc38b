"""Finite environments whose every outcome is known: their tables, and exact values of policies.

A finite environment lists, for a state and an action, all that may happen (:class:`Outcomes`), and
its step draws from that list (:func:`draw`): tables and simulation cannot disagree. What is exact
is computed with numpy in double precision; it is what a learner's values are to be held against.

``P`` ``[S, A, S]`` is the probability of going on into a state and ``R`` ``[S, A]`` the expected
reward. What is missing in ``P`` from a sum of 1 is the probability that the episode ends there.
"""

from __future__ import annotations

from typing import Protocol

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.types import Array, InvalidInput, Key

SETTLED = 1e-12  # relative change of values below which a sweep of value iteration is the last
MAX_SWEEPS = 1_000_000


@struct.dataclass
class Outcomes:
    """All that one action in one state may lead to, every array ``[K]``."""

    probability: Array
    state: Array
    reward: Array
    terminated: Array


class FiniteEnvironment(Protocol):
    """An environment with states ``0 … num_states - 1``, and actions of a Discrete space."""

    @property
    def num_states(self) -> int: ...

    @property
    def action_space(self) -> gymnasium.spaces.Discrete: ...

    def outcomes(self, state: Array, action: Array) -> Outcomes:
        """All that ``action`` may lead to in ``state``; their number ``K`` is the same everywhere."""
        ...


def draw(key: Key, outcomes: Outcomes) -> tuple[Array, Array, Array]:
    """One of the outcomes, as likely as it is: its state, its reward and whether it terminates."""
    if len(outcomes.probability) == 1:
        index = jnp.int32(0)
    else:
        # Nothing but the last outcome lies beyond the last of these sums, be they rounded or not.
        sums = jnp.cumsum(outcomes.probability)[:-1]
        index = jnp.sum(jax.random.uniform(key, dtype=sums.dtype) >= sums)
    reward = outcomes.reward[index].astype(jnp.float32)
    return outcomes.state[index].astype(jnp.int32), reward, outcomes.terminated[index]


def tables(environment: FiniteEnvironment) -> tuple[np.ndarray, np.ndarray]:
    """``P`` ``[S, A, S]`` and ``R`` ``[S, A]`` of an environment, from its own lists of outcomes.

    States in which no episode can stand, such as a goal, have rows, too, which mean nothing.
    """
    states, actions = environment.num_states, int(environment.action_space.n)
    with jax.enable_x64(True):
        every_action = jax.vmap(environment.outcomes, in_axes=(None, 0))
        every_state = jax.jit(jax.vmap(every_action, in_axes=(0, None)))
        outcomes = jax.device_get(every_state(jnp.arange(states, dtype=np.int32), jnp.arange(actions)))
    P, R = np.zeros((states, actions, states)), np.sum(outcomes.probability * outcomes.reward, axis=2)
    # An outcome that terminates may give a state that is none, such as one below the last row.
    state = np.clip(outcomes.state, 0, states - 1)
    place = np.arange(states)[:, None, None], np.arange(actions)[None, :, None], state
    np.add.at(P, place, outcomes.probability * ~outcomes.terminated)
    return P, R


def action_values(P: np.ndarray, R: np.ndarray, values: np.ndarray, discount: float = 1.0) -> np.ndarray:
    """The values ``[S, A]`` of actions after which the values of states are ``values`` ``[S]``."""
    return R + discount * (P @ values)


def greedy_policy(values: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
    """Probabilities ``[S, A]`` of the best action, and with ``epsilon`` of any, from its values ``[S, A]``.

    Actions that are equally good (to nine digits) share its probability equally.
    """
    largest = np.max(values, axis=1, keepdims=True)
    best = values >= largest - 1e-9 * np.maximum(np.abs(largest), 1.0)
    return epsilon / values.shape[1] + (1 - epsilon) * best / np.sum(best, axis=1, keepdims=True)


def policy_values(P: np.ndarray, R: np.ndarray, policy: np.ndarray, discount: float = 1.0) -> np.ndarray:
    """The values ``[S]`` of a policy that gives actions the probabilities ``policy`` ``[S, A]``.

    The solution of Bellman's equations (Sutton & Barto 2018, eq. 4.4), which are linear.

    Raises:
        InvalidInput: without discounting, from some state the policy never ends: it has no value.
    """
    moves = np.einsum("sa,sat->st", policy, P)
    if discount >= 1 and not np.all(_ends(moves)):
        raise InvalidInput(f"from states {np.flatnonzero(~_ends(moves))} the policy never ends: discount it")
    return np.linalg.solve(np.eye(len(moves)) - discount * moves, np.sum(policy * R, axis=1))


def optimal_values(P: np.ndarray, R: np.ndarray, discount: float = 1.0, epsilon: float = 0.0) -> np.ndarray:
    """The values ``[S]`` of the best policy, by value iteration (Sutton & Barto 2018, eq. 4.10).

    With ``epsilon``, of the best among those that take a uniformly random action with at least that
    probability (section 5.4), which need not be the one that is greedy on the optimal values.

    Raises:
        InvalidInput: values that do not settle, as where nothing ends and nothing is discounted.
    """
    values = np.zeros(len(R))
    for _ in range(MAX_SWEEPS):
        of_actions = action_values(P, R, values, discount)
        new = (1 - epsilon) * np.max(of_actions, axis=1) + epsilon * np.mean(of_actions, axis=1)
        change, values = np.max(np.abs(new - values)), new
        if change <= SETTLED * max(1.0, float(np.max(np.abs(values)))):
            return values
    raise InvalidInput(f"values change by {change:.1e} after {MAX_SWEEPS} sweeps: is there a way to the end?")


def _ends(moves: np.ndarray) -> np.ndarray:
    """From which states ``[S]`` a chain with transitions ``moves`` ``[S, S]`` can end."""
    ends = np.sum(moves, axis=1) < 1 - 1e-9
    for _ in range(len(moves)):
        ends = ends | np.any((moves > 0) & ends, axis=1)
    return ends
