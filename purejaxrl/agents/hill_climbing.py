"""Hill climbing with adaptive noise: the best policy so far, and steps away from it that grow or shrink.

Where a step finds something as good the next ones are longer, which crosses plateaus, and where none does
they are shorter, which climbs to the top.

Source: Rechenberg (1973), "Evolutionsstrategie", whose rule is that a fifth of all steps should succeed.
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

    noise: float = 0.1
    """The deviation of a step at first."""
    widening: float = 1.5
    """What the deviation is multiplied with where something as good as the best was found, at least 1."""
    narrowing: float = 0.9
    """What it is multiplied with where nothing was, at most 1."""
    least_noise: float = 1e-3
    """The least deviation."""
    most_noise: float = 2.0
    """The largest."""
    population: int = static(8)
    """Policies that act side by side, each a step from the best; num_envs is a multiple of it."""
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
    params: PyTree  # the best policy so far
    best: Array  # what it returned
    noise: Array  # the deviation of the steps that are tried now
    population: PyTree  # [N, …], that act next
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
        params_key, config, "Hill climbing", observation_space, action_space
    )
    config = checks.as_leaves(config)
    # The first population is all of one policy, which so is measured before anything is better.
    del noise_key
    return State(
        config=config,
        network=network,
        params=params,
        best=jnp.float32(-jnp.inf),
        noise=jnp.asarray(config.noise),
        population=jax.tree.map(lambda leaf: jnp.stack([leaf] * config.population), params),
        key=key,
        step=jnp.int32(0),
        info=dict.fromkeys(("fitness", "best_fitness", "noise"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "noise", "least_noise", "most_noise", exclusive=True)
    checks.finite(config, "noise", "least_noise", "most_noise", "widening")
    checks.within(config, 0, 1, "narrowing", exclusive=True)
    checks.within(config, 1, jnp.inf, "widening")
    checks.whole(config, 1, "population")
    checks.in_order(config, "least_noise", "most_noise")
    populations.check_policy(config)


memory, act, greedy = populations.memory, populations.act, populations.greedy


@jax.jit
def update(state: State, returns: Array) -> State:
    """Goes to the best member if it returned at least as much as the best so far, and tries further steps.

    Args:
        state: a search, whose population the returns are of.
        returns: ``[B]``, of the environments, the first B / N being the first member's.
    """
    config = state.config
    fitness = populations.fitness(returns, config.population)
    better = jnp.max(fitness) >= state.best
    found = populations.best(state.population, fitness)
    params = jax.tree.map(lambda new, old: jnp.where(better, new, old), found, state.params)
    factor = jnp.where(better, config.widening, config.narrowing)
    noise = jnp.where(
        state.step == 0, state.noise, jnp.clip(state.noise * factor, config.least_noise, config.most_noise)
    )
    noise_key, key = jax.random.split(state.key)
    steps = populations.noise(noise_key, params, config.population)
    return dataclasses.replace(
        state,
        params=params,
        best=jnp.maximum(state.best, jnp.max(fitness)),
        noise=noise,
        population=jax.tree.map(lambda centre, leaf: centre + noise * leaf, params, steps),
        key=key,
        step=state.step + 1,
        info={"fitness": jnp.mean(fitness), "best_fitness": jnp.max(fitness), "noise": noise},
    )
