"""Finite differences: a policy is tried with each of its parameters moved a little (deck 3).

As many policies act as there are parameters, and so these should be few.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
from flax import struct
from jax.flatten_util import ravel_pytree

from purejaxrl import checks, networks, populations
from purejaxrl.checks import static
from purejaxrl.types import Array, InvalidInput, Key, PyTree


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static."""

    learning_rate: float = 0.1
    """Step size along the gradient."""
    epsilon: float = 0.1
    """How far a parameter is moved."""
    central: bool = static(False)
    """Whether parameters are moved both ways, or forth alone and compared with the policy as it is."""
    sample_actions: bool = static(False)
    """Whether members draw their actions from their policies, or do what these do without exploring, as the
    policy that is kept always does."""
    hidden_sizes: tuple[int, ...] = static(())
    """Units of the fully connected layers of an MLP; convolutional torsos have those of their papers."""
    activation: networks.ActivationName = static("tanh")
    """Nonlinearity of an MLP; convolutional torsos have ReLU."""
    torso: networks.TorsoName = static("auto")
    """What reads the observation; auto chooses by its shape."""
    initialiser: networks.InitialiserName = static("xavier")
    """How weights begin."""
    network: nn.Module | None = static(None)
    """A network of your own: one observation to a distribution of actions; None builds one."""


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    network: nn.Module = struct.field(pytree_node=False)
    params: PyTree  # of the policy that is moved
    population: PyTree  # [1 + n, …], the policy and one for each parameter; or [2n, …], forth, then back
    key: Key
    step: Array  # updates made
    info: dict[str, Array]  # figures of the last update


def init(
    key: Key, config: Config, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
) -> State:
    """A fresh search.

    Raises:
        InvalidInput: the spaces suit no policy, a hyperparameter is out of its range, or the network does
            not suit.
    """
    check(config)
    params_key, noise_key, key = jax.random.split(key, 3)
    network, params = populations.make_policy(
        params_key, config, "Finite differences", observation_space, action_space
    )
    config = checks.as_leaves(config)
    del noise_key
    check_size(config, params)
    return State(
        config=config,
        network=network,
        params=params,
        population=moved(config, params),
        key=key,
        step=jnp.int32(0),
        info=dict.fromkeys(("fitness", "best_fitness", "gradient_norm"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "learning_rate")
    checks.within(config, 0, jnp.inf, "epsilon", exclusive=True)
    checks.finite(config, "learning_rate", "epsilon")
    populations.check_policy(config)


MOST_PARAMETERS = 4096
"""As many policies as this, of as many parameters, take 64 MB."""


def check_size(config: Config, params: PyTree) -> None:
    """Raises InvalidInput where a policy has too many parameters to move each by itself."""
    number = sum(leaf.size for leaf in jax.tree.leaves(params))
    if number > MOST_PARAMETERS:
        raise InvalidInput(
            f"finite differences move every parameter by itself, {MOST_PARAMETERS} at most, and the network"
            f" has {number}; make hidden_sizes smaller than {config.hidden_sizes}"
        )


memory, act, greedy = populations.memory, populations.act, populations.greedy


@jax.jit
def update(state: State, returns: Array) -> State:
    """One step along the differences that the parameters make, each divided by how far it was moved.

    Args:
        state: a search, whose population the returns are of.
        returns: ``[B]``, of the environments, the first B / N being the first member's.

    Source: deck 3, "Computing gradients by finite differences".
    """
    config = state.config
    flat, restore = ravel_pytree(state.params)
    fitness = populations.fitness(returns, populations.size(state.population))
    if config.central:
        gradient = (fitness[: len(flat)] - fitness[len(flat) :]) / (2 * config.epsilon)
    else:
        gradient = (fitness[1:] - fitness[0]) / config.epsilon
    params = restore(flat + config.learning_rate * gradient)
    return dataclasses.replace(
        state,
        params=params,
        population=moved(config, params),
        step=state.step + 1,
        info={
            "fitness": jnp.mean(fitness),
            "best_fitness": jnp.max(fitness),
            "gradient_norm": jnp.linalg.norm(gradient),
        },
    )


def moved(config: Config, params: PyTree) -> PyTree:
    """The policies that are tried."""
    flat, restore = ravel_pytree(params)
    steps = config.epsilon * jnp.eye(len(flat))
    tried = jnp.concatenate([steps, -steps] if config.central else [jnp.zeros((1, len(flat))), steps])
    return jax.vmap(restore)(flat + tried)
