"""The cross-entropy method: policies are drawn from a Gaussian that is fitted to the best of them.

Source: Rubinstein (1999), "The cross-entropy method for combinatorial and continuous optimization"; with the
extra noise of Szita & Lőrincz (2006), "Learning Tetris using the noisy cross-entropy method".
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl import checks, losses, networks, populations
from purejaxrl.checks import static
from purejaxrl.types import Array, Key, PyTree


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static."""

    noise: float = 0.5
    """The deviation of every parameter at first."""
    extra_noise: float = 0.1
    """What is added to every fitted deviation, at first, so that the search does not stop too soon."""
    extra_noise_steps: float = 50
    """Updates over which that falls to 0, linearly."""
    population: int = static(64)
    """Policies that act side by side; num_envs is a multiple of it."""
    elites: int = static(8)
    """Of those, the best, which the Gaussian is fitted to."""
    sample_actions: bool = static(False)
    """Whether members draw their actions from their policies, or do what these do without exploring, as the
    policy that is kept always does."""
    hidden_sizes: tuple[int, ...] = static((64, 64))
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
    params: PyTree  # the Gaussian's mean
    deviation: PyTree  # and its deviation in every parameter
    population: PyTree  # [N, …], drawn from it, to act next
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
        params_key, config, "The cross-entropy method", observation_space, action_space
    )
    config = checks.as_leaves(config)
    deviation = jax.tree.map(lambda leaf: jnp.full_like(leaf, config.noise), params)
    return State(
        config=config,
        network=network,
        params=params,
        deviation=deviation,
        population=drawn(config, params, deviation, noise_key),
        key=key,
        step=jnp.int32(0),
        info=dict.fromkeys(("fitness", "best_fitness", "deviation"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "noise", exclusive=True)
    checks.within(config, 0, jnp.inf, "extra_noise", "extra_noise_steps")
    checks.finite(config, "noise", "extra_noise")
    checks.whole(config, 2, "population", "elites")
    populations.check_parents(config, "elites")
    populations.check_policy(config)


memory, act, greedy = populations.memory, populations.act, populations.greedy


@jax.jit
def update(state: State, returns: Array) -> State:
    """Fits the Gaussian to the elites, and draws the next population.

    Args:
        state: a search, whose population the returns are of.
        returns: ``[B]``, of the environments, the first B / N being the first member's.
    """
    config = state.config
    fitness = populations.fitness(returns, config.population)
    elites = populations.fittest(state.population, fitness, config.elites)
    params = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), elites)
    extra = losses.linear_schedule(state.step, config.extra_noise, 0.0, config.extra_noise_steps)
    deviation = jax.tree.map(lambda leaf: jnp.std(leaf, axis=0) + extra, elites)
    noise_key, key = jax.random.split(state.key)
    number = sum(leaf.size for leaf in jax.tree.leaves(deviation))
    return dataclasses.replace(
        state,
        params=params,
        deviation=deviation,
        population=drawn(config, params, deviation, noise_key),
        key=key,
        step=state.step + 1,
        info={
            "fitness": jnp.mean(fitness),
            "best_fitness": jnp.max(fitness),
            "deviation": sum(jnp.sum(leaf) for leaf in jax.tree.leaves(deviation)) / number,
        },
    )


def drawn(config: Config, mean: PyTree, deviation: PyTree, key: Key) -> PyTree:
    """A population ``[N, …]`` from the Gaussian."""
    noise = populations.noise(key, mean, config.population)
    return jax.tree.map(lambda centre, scale, leaf: centre + scale * leaf, mean, deviation, noise)
