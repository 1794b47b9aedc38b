"""A genetic algorithm: elites live on, and the children of the fittest are crossed and mutated.

Source: Such et al. (2017), "Deep neuroevolution: genetic algorithms are a competitive alternative for
training deep neural networks", algorithm 1, with the crossover of Holland (1975).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl import checks, networks, populations
from purejaxrl.checks import static
from purejaxrl.types import Array, Key, PyTree


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static."""

    noise: float = 0.05
    """The deviation of a mutation in every parameter."""
    crossover: float = 0.5
    """Probability that a child takes a parameter from its second parent."""
    first_noise: float = 0.5
    """The deviation of every parameter in the first population."""
    population: int = static(64)
    """Policies that act side by side; num_envs is a multiple of it."""
    parents: int = static(16)
    """The fittest, each as likely to be a child's parent."""
    elites: int = static(2)
    """The fittest of all, which live on as they are."""
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
    params: PyTree  # the fittest of the last population
    population: PyTree  # [N, …], that act next, elites first
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
        params_key, config, "The genetic algorithm", observation_space, action_space
    )
    config = checks.as_leaves(config)
    noise = populations.noise(noise_key, params, config.population)
    return State(
        config=config,
        network=network,
        params=params,
        population=jax.tree.map(lambda centre, leaf: centre + config.first_noise * leaf, params, noise),
        key=key,
        step=jnp.int32(0),
        info=dict.fromkeys(("fitness", "best_fitness"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "noise", "first_noise")
    checks.finite(config, "noise", "first_noise")
    checks.within(config, 0, 1, "crossover")
    checks.whole(config, 2, "population")
    checks.whole(config, 1, "parents")
    checks.whole(config, 0, "elites")
    populations.check_parents(config, "parents", "elites")
    populations.check_policy(config)


memory, act, greedy = populations.memory, populations.act, populations.greedy


@jax.jit
def update(state: State, returns: Array) -> State:
    """The next generation.

    Args:
        state: a search, whose population the returns are of.
        returns: ``[B]``, of the environments, the first B / N being the first member's.
    """
    config = state.config
    fitness = populations.fitness(returns, config.population)
    parents = populations.fittest(state.population, fitness, config.parents)
    number = config.population - config.elites
    pair_key, cross_key, noise_key, key = jax.random.split(state.key, 4)
    first, second = jax.random.randint(pair_key, (2, number), 0, config.parents)
    noise = populations.noise(noise_key, state.params, number)
    taken = populations.chances(cross_key, state.params, number)

    def child(pool: Array, chance: Array, noise: Array) -> Array:
        crossed = jnp.where(chance < config.crossover, pool[second], pool[first])
        return crossed + config.noise * noise

    children = jax.tree.map(child, parents, taken, noise)
    elites = populations.fittest(state.population, fitness, config.elites)
    return dataclasses.replace(
        state,
        params=populations.best(state.population, fitness),
        population=jax.tree.map(lambda old, new: jnp.concatenate([old, new]), elites, children),
        key=key,
        step=state.step + 1,
        info={"fitness": jnp.mean(fitness), "best_fitness": jnp.max(fitness)},
    )
