"""The search that taught an AIBO to run: each parameter up, down or as it is, by chance (deck 3).

Source: Kohl & Stone (2004), "Policy gradient reinforcement learning for fast quadrupedal locomotion",
figure 3.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import optax
from flax import struct

from purejaxrl import checks, networks, populations
from purejaxrl.checks import static
from purejaxrl.types import Array, Key, PyTree


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static."""

    epsilon: float = 0.1
    """ε, how far a parameter is moved up or down."""
    step_size: float = 0.5
    """η, the length of a step in the space of all parameters."""
    population: int = static(16)
    """t, the perturbed policies that act side by side; num_envs is a multiple of it."""
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
    params: PyTree  # π, of the policy that is moved
    signs: PyTree  # [t, …], where each of the perturbed policies went: +1, 0 or -1
    population: PyTree  # [t, …], those policies, R_1 to R_t
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
        params_key, config, "The gait search", observation_space, action_space
    )
    config = checks.as_leaves(config)
    signs = populations.signs(noise_key, params, config.population)
    return State(
        config=config,
        network=network,
        params=params,
        signs=signs,
        population=perturbed(config, params, signs),
        key=key,
        step=jnp.int32(0),
        info=dict.fromkeys(("fitness", "best_fitness"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "step_size")
    checks.within(config, 0, jnp.inf, "epsilon", exclusive=True)
    checks.finite(config, "epsilon", "step_size")
    checks.whole(config, 2, "population")
    populations.check_policy(config)


memory, act, greedy = populations.memory, populations.act, populations.greedy


@jax.jit
def update(state: State, returns: Array) -> State:
    """One step of length η along the adjustment, and the next perturbed policies.

    Args:
        state: a search, whose population the returns are of.
        returns: ``[B]``, of the environments, the first B / N being the first member's.
    """
    config = state.config
    score = populations.fitness(returns, config.population)
    adjustment = jax.tree.map(lambda signs: adjust(signs, score), state.signs)
    length = optax.tree.norm(adjustment)
    scale = config.step_size / jnp.where(length > 0, length, 1.0)
    params = jax.tree.map(lambda centre, each: centre + scale * each, state.params, adjustment)
    sign_key, key = jax.random.split(state.key)
    signs = populations.signs(sign_key, params, config.population)
    return dataclasses.replace(
        state,
        params=params,
        signs=signs,
        population=perturbed(config, params, signs),
        key=key,
        step=state.step + 1,
        info={"fitness": jnp.mean(score), "best_fitness": jnp.max(score)},
    )


def adjust(signs: Array, score: Array) -> Array:
    """A of every parameter: 0 where it did best as it was, else Avg₊ − Avg₋.

    Where none of the policies went up, or none went down, nothing is known, and A is 0.

    Args:
        signs: ``[t, …]``, +1, 0 or -1 for each policy and parameter.
        score: ``[t]``, of the policies.
    """

    def average(sign: int) -> tuple[Array, Array]:
        went = signs == sign
        number = jnp.sum(went, axis=0)
        each = score.reshape(-1, *[1] * (signs.ndim - 1))
        return jnp.sum(jnp.where(went, each, 0.0), axis=0) / jnp.maximum(number, 1), number

    (up, ups), (still, stills), (down, downs) = (average(sign) for sign in (1, 0, -1))
    stay = (stills > 0) & (still > up) & (still > down)
    return jnp.where(stay | (ups == 0) | (downs == 0), 0.0, up - down)


def perturbed(config: Config, params: PyTree, signs: PyTree) -> PyTree:
    """The policies that are tried."""
    return jax.tree.map(lambda centre, sign: centre + config.epsilon * sign, params, signs)
