"""Networks that are tables, and batches made by hand: what the tests of the agents' mathematics share.

Observations number the rows, so that every parameter is a value, a preference or an action, and every
gradient can be worked out on paper. Nothing here is random.
"""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl.action_distributions import Categorical
from purejaxrl.agents import a2c, a3c, ddpg, dqn, drqn, ppo, pqn, q_learning, reinforce, trpo
from purejaxrl.types import Array, Sample, Transition

NUM_ROWS = 8  # observations 0 … 7
OBSERVATIONS = gymnasium.spaces.Discrete(NUM_ROWS)
TWO_ACTIONS = gymnasium.spaces.Discrete(2)
PLUS_MINUS_TWO = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)

zeros = nn.initializers.zeros


class ValueTable(nn.Module):
    """Action values: ``q[observation]``."""

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        return self.param("q", zeros, (NUM_ROWS, 2))[observation]


class DistributionTable(nn.Module):
    """What describes the return of each action: ``q[observation]``, ``[2, atoms]``."""

    atoms: int

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        return self.param("q", zeros, (NUM_ROWS, 2, self.atoms))[observation]


class QuantileTable(nn.Module):
    """Quantiles on a straight line: ``q[observation] + slope[observation] · tau``, ``[2, N]``."""

    @nn.compact
    def __call__(self, observation: Array, tau: Array) -> Array:
        q, slope = (self.param(name, zeros, (NUM_ROWS, 2)) for name in ("q", "slope"))
        return q[observation][:, None] + slope[observation][:, None] * tau


class PolicyTable(nn.Module):
    """Policy and value: ``logits[observation]``, ``v[observation]``."""

    @nn.compact
    def __call__(self, observation: Array) -> tuple[Categorical, Array]:
        logits = self.param("logits", zeros, (NUM_ROWS, 2))
        return Categorical(logits[observation]), self.param("v", zeros, (NUM_ROWS,))[observation]


class LogitTable(nn.Module):
    """A policy alone: ``logits[observation]``."""

    @nn.compact
    def __call__(self, observation: Array) -> Categorical:
        return Categorical(self.param("logits", zeros, (NUM_ROWS, 2))[observation])


class StateValueTable(nn.Module):
    """A value alone: ``v[observation]``."""

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        return self.param("v", zeros, (NUM_ROWS,))[observation]


class ActorTable(nn.Module):
    """The action in [-1, 1]: ``mu[observation]``."""

    size: int = 1

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        return self.param("mu", zeros, (NUM_ROWS, self.size))[observation]


class CriticTable(nn.Module):
    """A value that is linear in the action: ``b[observation] + w[observation] · action``."""

    size: int = 1

    @nn.compact
    def __call__(self, observation: Array, action: Array) -> Array:
        w, b = self.param("w", zeros, (NUM_ROWS, self.size)), self.param("b", zeros, (NUM_ROWS,))
        return b[observation] + jnp.dot(w[observation], action)


def rows(*given: Any) -> Array:
    """A table of float32 whose first rows are given and whose others are 0."""
    first = np.asarray(given, np.float32)
    return jnp.asarray(
        np.concatenate([first, np.zeros((NUM_ROWS - len(first), *first.shape[1:]))]), jnp.float32
    )


def tree(**tables: Array) -> dict[str, dict[str, Array]]:
    """Tables by name, as the parameters of a network."""
    return {"params": tables}


# --- DQN ---------------------------------------------------------------------------------------

DQN_BATCH = Transition(
    observation=jnp.array([0, 0, 1, 1]),
    action=jnp.array([0, 1, 0, 1]),
    reward=jnp.array([1.0, 1.0, 0.0, 9.0]),
    terminated=jnp.array([False, True, False, True]),
    truncated=jnp.array([False, False, True, True]),
    next_observation=jnp.array([1, 2, 1, 2]),
)


def dqn_state(**config: Any) -> dqn.State:
    """Values and target values that differ, so that taking one for the other shows."""
    given = dqn.Config(**({"discount": 0.5, "learning_rate": 0.1, "network": ValueTable()} | config))
    state = dqn.init(jax.random.key(0), given, OBSERVATIONS, TWO_ACTIONS)
    return dataclasses.replace(
        state,
        params=tree(q=rows([2.0, 0.5], [6.0, 9.0], [-50.0, -70.0])),
        target_params=tree(q=rows([-9.0, -9.0], [2.0, 6.0], [100.0, 300.0])),
    )


# Three steps each, that go on, end, are cut off and both; what comes after an end is another episode's.
WINDOWS = Transition(
    observation=jnp.array([0, 0, 1, 1, 0, 1]),
    action=jnp.array([0, 1, 0, 1, 0, 1]),
    reward=jnp.array([[1.0, 2, 4], [1, 2, 99], [1, 2, 99], [8, 99, 99], [0, 0, 4], [0, 0, 4]]),
    terminated=jnp.array([[0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 1], [0, 0, 0]], bool),
    truncated=jnp.array([[0, 0, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]], bool),
    next_observation=jnp.array([1, 2, 1, 1, 2, 1]),
)
CHANCES = jnp.array([1.0, 3.0, 0.2, 1.5, 1.0, 0.7])


def sample(transition: Transition, chances: Any) -> Sample:
    """Transitions that were drawn with chances."""
    chances = jnp.asarray(chances, jnp.float32)
    return Sample(transition, index=jnp.arange(len(chances)), probability=chances)


def rainbow_state(**config: Any) -> dqn.State:
    """All that goes together in an update, and draws nothing for each transition of its own."""
    given: dict[str, Any] = {
        "double": True,
        "dueling": True,
        "n_step": 3,
        "prioritised": True,
        "noisy": True,
        "distribution": "categorical",
        "atoms": 5,
        "munchausen": True,
        "normalisation": "layer",
        "hidden_sizes": (4,),
        "batch_size": 6,
    }
    return dqn.init(jax.random.key(0), dqn.Config(**(given | config)), OBSERVATIONS, TWO_ACTIONS)


# --- A2C ---------------------------------------------------------------------------------------

# Two environments, three steps each: the first walks through rows 0 to 3, the second through 4 to 7.
A2C_VALUES = [1.0, 2.0, 4.0, 8.0, 2.0, 4.0, 6.0, 8.0]
ROLLOUT = Transition(
    observation=jnp.array([[0, 4], [1, 5], [2, 6]]),
    action=jnp.array([[0, 1], [1, 0], [0, 1]]),
    reward=jnp.array([[1.0, 2.0], [2.0, 3.0], [3.0, 1.0]]),
    terminated=jnp.zeros((3, 2), bool),
    truncated=jnp.zeros((3, 2), bool),
    next_observation=jnp.array([[1, 5], [2, 6], [3, 7]]),
)
# RMSProp that is stochastic gradient descent of step size 1: the mean of squares stays 0, and 1 is added.
SGD: dict[str, Any] = {
    "learning_rate": 1.0,
    "optimiser_decay": 1.0,
    "optimiser_epsilon": 1.0,
    "max_gradient_norm": None,
}


def a2c_state(**config: Any) -> a2c.State:
    """A uniform policy, values as above."""
    given = a2c.Config(**({"discount": 0.5, "network": PolicyTable()} | SGD | config))
    state = a2c.init(jax.random.key(0), given, OBSERVATIONS, TWO_ACTIONS)
    return dataclasses.replace(state, params=tree(logits=rows([0.0, 0.0]), v=rows(*A2C_VALUES)))


def ppo_state(**config: Any) -> ppo.State:
    """The same, learnt twice, as a whole."""
    given: dict[str, Any] = {"discount": 0.5, "network": PolicyTable(), "passes": 2, "minibatches": 1}
    state = ppo.init(jax.random.key(0), ppo.Config(**(given | config)), OBSERVATIONS, TWO_ACTIONS)
    return dataclasses.replace(state, params=tree(logits=rows([0.0, 0.0]), v=rows(*A2C_VALUES)))


def a3c_state(**config: Any) -> a3c.State:
    """Two workers, with an environment each, and copies that differ."""
    given: dict[str, Any] = {"discount": 0.5, "network": PolicyTable(), "workers": 2} | SGD
    state = a3c.init(jax.random.key(0), a3c.Config(**(given | config)), OBSERVATIONS, TWO_ACTIONS)
    local = tree(logits=jnp.zeros((2, NUM_ROWS, 2)), v=jnp.stack([rows(*A2C_VALUES), rows(3.0, 1.0)]))
    return dataclasses.replace(state, local=local)


def trpo_state(**config: Any) -> trpo.State:
    """A uniform policy, and a value that learns rollouts as a whole."""
    given: dict[str, Any] = {"discount": 0.5, "minibatches": 1} | TABLES_APART
    return trpo.init(jax.random.key(0), trpo.Config(**(given | config)), OBSERVATIONS, TWO_ACTIONS)


def reinforce_state(**config: Any) -> reinforce.State:
    """A uniform policy, and a value that is its baseline."""
    given: dict[str, Any] = {"discount": 0.5} | TABLES_APART
    return reinforce.init(jax.random.key(0), reinforce.Config(**(given | config)), OBSERVATIONS, TWO_ACTIONS)


TABLES_APART: dict[str, Any] = {"network": LogitTable(), "value_network": StateValueTable()}


# --- DDPG --------------------------------------------------------------------------------------

DDPG_BATCH = Transition(
    observation=jnp.array([0, 1, 0, 1]),
    action=jnp.array([[1.0], [-2.0], [0.0], [2.0]]),  # in [-2, 2]; the critic sees 0.5, -1, 0, 1
    reward=jnp.array([1.0, 2.0, 0.0, 1.0]),
    terminated=jnp.array([False, True, False, True]),
    truncated=jnp.array([False, False, True, True]),
    next_observation=jnp.array([1, 2, 1, 2]),
)


def ddpg_state(action_space: gymnasium.spaces.Box = PLUS_MINUS_TWO, **config: Any) -> ddpg.State:
    """Networks and target networks that differ, so that taking one for the other shows."""
    size = action_space.shape[0]
    defaults = {
        "discount": 0.5,
        "tau": 0.25,
        "critic_learning_rate": 0.1,
        "actor_learning_rate": 0.2,
        "actor": ActorTable(size),
        "critic": CriticTable(size),
    }
    state = ddpg.init(jax.random.key(0), ddpg.Config(**(defaults | config)), OBSERVATIONS, action_space)
    ones = np.ones(size)
    return dataclasses.replace(
        state,
        actor_params=tree(mu=rows(0.5 * ones, 0.25 * ones)),
        critic_params=tree(w=rows(2 * ones, ones, -30 * ones), b=rows(1.0, 2.0, -40.0)),
        target_actor_params=tree(mu=rows(ones, -0.5 * ones, ones)),
        target_critic_params=tree(w=rows(-7 * ones, 4 * ones, 100 * ones), b=rows(-7.0, 3.0, 100.0)),
    )


# --- Q-learning and PQN --------------------------------------------------------------------------


def q_learning_state(**config: Any) -> q_learning.State:
    """Values as those of DQN's, in a table."""
    given: dict[str, Any] = {"discount": 0.5} | config
    state = q_learning.init(jax.random.key(0), q_learning.Config(**given), OBSERVATIONS, TWO_ACTIONS)
    return dataclasses.replace(state, params=tree(q=rows([2.0, 0.5], [6.0, 9.0])))


def pqn_state(**config: Any) -> pqn.State:
    """The same; a rollout is learnt twice, as a whole."""
    given: dict[str, Any] = {"discount": 0.5, "passes": 2, "minibatches": 1, "network": ValueTable()}
    state = pqn.init(jax.random.key(0), pqn.Config(**(given | config)), OBSERVATIONS, TWO_ACTIONS)
    return dataclasses.replace(state, params=tree(q=rows([2.0, 0.5], [6.0, 9.0])))


# --- DRQN --------------------------------------------------------------------------------------

DRQN_BATCH = Transition(  # two sequences of the default length, 12, with ends of either kind
    observation=jnp.arange(24).reshape(2, 12) % NUM_ROWS,
    action=jnp.arange(24).reshape(2, 12) % 3 % 2,
    reward=jnp.arange(24.0).reshape(2, 12) % 5,
    terminated=jnp.zeros((2, 12), bool).at[0, 2].set(True).at[1, 8].set(True),
    truncated=jnp.zeros((2, 12), bool).at[0, 9].set(True).at[1, 3].set(True),
    next_observation=(jnp.arange(24).reshape(2, 12) + 1) % NUM_ROWS,
)


class Fading(nn.Module):
    """Remembers a number, ``c ← k c + observation`` (of several the mean); action values are ``w c``."""

    num_actions: int = 2
    beginning: float = 0.0

    @nn.compact
    def __call__(self, carry: Array, observation: Array) -> tuple[Array, Array]:
        k = self.param("k", nn.initializers.constant(0.5), ())
        w = self.param("w", nn.initializers.normal(), (self.num_actions,))
        carry = k * carry + jnp.mean(observation)
        return carry, w * carry

    def initial_carry(self) -> Array:
        return jnp.full(1, self.beginning)


def drqn_state(**config: Any) -> drqn.State:
    """A fading memory, and a target network with another."""
    given: dict[str, Any] = {"discount": 0.5, "network": Fading()} | config
    state = drqn.init(jax.random.key(0), drqn.Config(**given), OBSERVATIONS, TWO_ACTIONS)
    target = tree(k=jnp.float32(0.25), w=jnp.array([-1.0, 0.5]))
    return dataclasses.replace(state, target_params=target)


CASES: dict[str, tuple[ModuleType, Any, Any]] = {
    "dqn": (dqn, dqn_state, DQN_BATCH),
    "rainbow": (dqn, rainbow_state, sample(WINDOWS, CHANCES)),
    "a2c": (a2c, a2c_state, ROLLOUT),
    "a3c": (a3c, a3c_state, ROLLOUT),
    "ppo": (ppo, ppo_state, ROLLOUT),
    "trpo": (trpo, trpo_state, ROLLOUT),
    "reinforce": (reinforce, reinforce_state, ROLLOUT),
    "ddpg": (ddpg, ddpg_state, DDPG_BATCH),
    "q_learning": (q_learning, q_learning_state, ROLLOUT),
    "pqn": (pqn, pqn_state, ROLLOUT),
    "drqn": (drqn, drqn_state, DRQN_BATCH),
}
ON_POLICY = (
    "a2c",
    "a3c",
    "ppo",
    "trpo",
    "reinforce",
    "q_learning",
    "pqn",
)  # fed rollouts [T, B], the others batches [B]
