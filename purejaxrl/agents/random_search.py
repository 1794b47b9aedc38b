"""Augmented random search: steps along random directions, by what both ways of each return.

Source: Mania, Guy & Recht (2018), "Simple random search of static linear policies is competitive for
reinforcement learning", algorithm 2. Its V2 normalises observations, which ``normalise_observation=True``
among an environment's options does.
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
from purejaxrl.types import Array, InvalidInput, Key, PyTree


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static."""

    learning_rate: float = 0.02
    """α, the step size."""
    noise: float = 0.03
    """ν, how far along a direction policies are tried."""
    population: int = static(16)
    """Policies that act side by side, two for each direction; num_envs is a multiple of it."""
    best_directions: int = static(8)
    """Of the directions, those whose better way returned most, which make the step."""
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
    population: PyTree  # [N, …], the first half of it along the directions, the second against them
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
        params_key, config, "Random search", observation_space, action_space
    )
    config = checks.as_leaves(config)
    return State(
        config=config,
        network=network,
        params=params,
        population=both_ways(config, params, noise_key),
        key=key,
        step=jnp.int32(0),
        info=dict.fromkeys(("fitness", "best_fitness"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "learning_rate")
    checks.within(config, 0, jnp.inf, "noise", exclusive=True)
    checks.finite(config, "learning_rate", "noise")
    checks.whole(config, 2, "population")
    checks.whole(config, 1, "best_directions")
    if config.population % 2:
        raise InvalidInput(f"population must be even, two for each direction, not {config.population}")
    if config.best_directions > config.population // 2:
        raise InvalidInput(
            f"best_directions must be at most the {config.population // 2} directions of a population of"
            f" {config.population}, not {config.best_directions}"
        )
    populations.check_policy(config)


memory, act, greedy = populations.memory, populations.act, populations.greedy


@jax.jit
def update(state: State, returns: Array) -> State:
    """One step along the best directions, by the differences of what their two ways returned.

    It is divided by the deviation of the returns that it is made of.

    Args:
        state: a search, whose population the returns are of.
        returns: ``[B]``, of the environments, the first B / N being the first member's.
    """
    config = state.config
    fitness = populations.fitness(returns, config.population)
    forth, back = jnp.split(fitness, 2)
    _, best = jax.lax.top_k(jnp.maximum(forth, back), config.best_directions)
    deviation = jnp.std(jnp.concatenate([forth[best], back[best]]))
    difference = (forth[best] - back[best]) / jnp.where(deviation > 0, deviation, 1.0)

    def move(centre: Array, members: Array) -> Array:
        directions = (members[best] - centre) / config.noise
        step = jnp.tensordot(difference, directions, axes=1)
        return centre + config.learning_rate / config.best_directions * step

    params = jax.tree.map(move, state.params, state.population)
    noise_key, key = jax.random.split(state.key)
    return dataclasses.replace(
        state,
        params=params,
        population=both_ways(config, params, noise_key),
        key=key,
        step=state.step + 1,
        info={"fitness": jnp.mean(fitness), "best_fitness": jnp.max(fitness)},
    )


def both_ways(config: Config, params: PyTree, key: Key) -> PyTree:
    """A population ``[N, …]``: along fresh directions, then against them."""
    noise = populations.noise(key, params, config.population // 2)
    return jax.tree.map(
        lambda centre, leaf: centre + config.noise * jnp.concatenate([leaf, -leaf]), params, noise
    )
