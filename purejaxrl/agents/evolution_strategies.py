"""Evolution strategies: a gradient of the return of perturbed policies (Salimans et al. 2017).

A population of policies is drawn around one, acts for an episode or more each, and moves it towards
those that earned most. No gradient of a network is taken, and none of a reward is needed.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import optax
from flax import struct

from purejaxrl import checks, losses, networks, populations
from purejaxrl.checks import static
from purejaxrl.optimisers import OptimiserName, descend, make_optimiser
from purejaxrl.types import Array, InvalidInput, Key, PyTree


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static."""

    learning_rate: float = 0.01
    """Step size of the optimiser at the first update."""
    learning_rate_decay: float = 1.0
    """What it is multiplied with at each update, in (0, 1]."""
    least_learning_rate: float = 0.0
    """What it does not fall below."""
    noise: float = 0.05
    """σ, the deviation of a perturbation in every parameter, in the first population."""
    noise_decay: float = 1.0
    """What it is multiplied with at each update, in (0, 1]."""
    least_noise: float = 1e-3
    """What it does not fall below."""
    weight_decay: float = 0.0
    """Weight of half the parameters' squares in what is descended."""
    optimiser_momentum: float = 0.9
    """β₁, the decay of Adam's and RAdam's running mean of gradients; the others ignore it."""
    population: int = static(64)
    """Policies that act side by side; num_envs is a multiple of it."""
    antithetic: bool = static(True)
    """Whether each perturbation is tried with both signs."""
    shaping: Literal["ranks", "standard", "none"] = static("ranks")
    """What stands for returns: their ranks, from -½ to ½; their distance from the mean, in deviations; or
    themselves."""
    optimiser: OptimiserName = static("adam")
    """Which optimiser takes the step."""
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
    params: PyTree  # of the policy that is moved
    population: PyTree  # [N, …], of those around it that act next
    optimiser_state: PyTree
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
        params_key, config, "Evolution strategies", observation_space, action_space
    )
    config = checks.as_leaves(config)
    return State(
        config=config,
        network=network,
        params=params,
        population=perturbed(config, params, noise_key, jnp.int32(0)),
        optimiser_state=optimiser(config, jnp.int32(0)).init(params),
        key=key,
        step=jnp.int32(0),
        info=dict.fromkeys(("fitness", "best_fitness", "gradient_norm"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "learning_rate", "least_learning_rate", "weight_decay")
    checks.within(config, 0, jnp.inf, "noise", "least_noise", exclusive=True)
    checks.finite(config, "learning_rate", "least_learning_rate", "weight_decay", "noise", "least_noise")
    checks.within(config, 0, 1, "learning_rate_decay", "noise_decay", exclusive=True)
    checks.within(config, 0, 1 - 1e-6, "optimiser_momentum")
    checks.whole(config, 2, "population")
    checks.one_of(config, "shaping", ("ranks", "standard", "none"))
    checks.one_of(config, "optimiser", get_args(OptimiserName))
    if config.antithetic and config.population % 2:
        raise InvalidInput(f"population must be even where it is antithetic, not {config.population}")
    populations.check_policy(config)


memory, act, greedy = populations.memory, populations.act, populations.greedy


@jax.jit
def update(state: State, returns: Array) -> State:
    """One step of the optimiser towards those that earned most.

    Args:
        state: a search, whose population the returns are of.
        returns: ``[B]``, of the environments, the first B / N being the first member's.

    Source: Salimans et al. (2017), "Evolution strategies as a scalable alternative to reinforcement
    learning", algorithm 1 and section 2.1.
    """
    config, sigma = state.config, deviation(state.config, state.step)
    fitness = populations.fitness(returns, config.population)
    weights = populations.shape(fitness, config.shaping)
    noise = jax.tree.map(lambda member, centre: (member - centre) / sigma, state.population, state.params)
    # The estimate is the mean of weight × ε / σ; its negative is descended.
    scale = -1 / (config.population * sigma)
    gradients = jax.tree.map(
        lambda summed, centre: scale * summed + config.weight_decay * centre,
        populations.weighted_sum(weights, noise),
        state.params,
    )
    params, optimiser_state, norm = descend(
        optimiser(config, state.step), state.optimiser_state, state.params, gradients
    )
    noise_key, key = jax.random.split(state.key)
    step = state.step + 1
    return dataclasses.replace(
        state,
        params=params,
        population=perturbed(config, params, noise_key, step),
        optimiser_state=optimiser_state,
        key=key,
        step=step,
        info={"fitness": jnp.mean(fitness), "best_fitness": jnp.max(fitness), "gradient_norm": norm},
    )


def perturbed(config: Config, params: PyTree, key: Key, step: Array) -> PyTree:
    """A population ``[N, …]`` around a policy; antithetic ones are the first half mirrored."""
    sigma = deviation(config, step)
    noise = populations.noise(key, params, config.population // (1 + config.antithetic))
    if config.antithetic:
        noise = jax.tree.map(lambda leaf: jnp.concatenate([leaf, -leaf]), noise)
    return jax.tree.map(lambda centre, leaf: centre + sigma * leaf, params, noise)


def deviation(config: Config, step: Array) -> Array:
    """σ of the population that acts ``step`` updates into a search."""
    return losses.exponential_schedule(step, config.noise, config.noise_decay, config.least_noise)


def optimiser(config: Config, step: Array) -> optax.GradientTransformation:
    """The optimiser that a Config names, ``step`` updates into a search."""
    rate = losses.exponential_schedule(
        step, config.learning_rate, config.learning_rate_decay, config.least_learning_rate
    )
    return make_optimiser(config.optimiser, rate, gradient_decay=config.optimiser_momentum)
