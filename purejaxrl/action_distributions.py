"""Policies as distributions over actions, and the heads that make them of features.

Every distribution is a pytree. ``log_probability(action)``, ``entropy()`` and ``divergence(other)``, the
Kullback-Leibler divergence from itself to another of its kind, are of ONE observation, for the caller to
vmap; ``sample(key)`` and ``greedy()``, what is done without exploring, take leading axes as they come, so
that one key draws for all of them.
Those over a bounded Box have its bounds as leaves, and their densities are those of the action itself: they
integrate to 1 over the Box.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, Protocol, get_args

import chex
import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.scipy.special import betaln, digamma

from purejaxrl import checks, losses, networks
from purejaxrl.types import Array, InvalidInput, Key

PolicyName = Literal["auto", "categorical", "gaussian", "state_gaussian", "tanh_gaussian", "beta"]

# Within this of a bound, as a fraction of the range, float32 tells no actions apart.
MARGIN = 2.0**-23
# Deviations beyond which a float32 policy is a constant or a coin.
LOG_DEVIATIONS = (-10.0, 4.0)


@struct.dataclass
class Categorical:
    """One of A actions."""

    logits: Array  # [A]

    def sample(self, key: Key) -> Array:
        return jax.random.categorical(key, self.logits)

    def log_probability(self, action: Array) -> Array:
        return losses.log_probability(self.logits, action)

    def entropy(self) -> Array:
        return losses.entropy(self.logits)

    def greedy(self) -> Array:
        return jnp.argmax(self.logits, axis=-1)

    def divergence(self, other: Categorical) -> Array:
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        return jnp.sum(jnp.exp(log_p) * (log_p - log_q))


@struct.dataclass
class Gaussian:
    """N actions ``[N]``, each normal and independent of the others."""

    mean: Array  # [N]
    log_deviation: Array  # [N]

    def sample(self, key: Key) -> Array:
        return self.mean + jnp.exp(self.log_deviation) * jax.random.normal(key, self.mean.shape)

    def log_probability(self, action: Array) -> Array:
        chex.assert_equal_shape([action, self.mean])
        standard = (action - self.mean) * jnp.exp(-self.log_deviation)
        return -jnp.sum(0.5 * jnp.square(standard) + self.log_deviation + 0.5 * math.log(2 * math.pi))

    def entropy(self) -> Array:
        return jnp.sum(self.log_deviation + 0.5 * math.log(2 * math.pi * math.e))

    def greedy(self) -> Array:
        return self.mean

    def divergence(self, other: Gaussian) -> Array:
        ratio = jnp.exp(2 * (self.log_deviation - other.log_deviation))
        shift = jnp.square((self.mean - other.mean) * jnp.exp(-other.log_deviation))
        return 0.5 * jnp.sum(ratio + shift - 1 - jnp.log(ratio))


@struct.dataclass
class TanhGaussian:
    """N actions ``[N]`` in a Box: a Gaussian's, through tanh (Haarnoja et al. 2018, appendix C).

    Without exploring it does what the Gaussian's mean is taken to, its median.
    """

    base: Gaussian
    low: Array  # [N]
    high: Array  # [N]

    def sample(self, key: Key) -> Array:
        return self.from_line(self.base.sample(key))

    def log_probability(self, action: Array) -> Array:
        u = jnp.arctanh(centred(action, self.low, self.high))
        return self.base.log_probability(u) - jnp.sum(self.log_slope(u))

    def entropy(self) -> Array:
        """The Gaussian's entropy and the mean of the slope's logarithm, by the trapezoid rule.

        The rule has 65 points over ±8 deviations: for a smooth function of a normal variable its error
        falls exponentially (below 1e-5 for deviations up to 3, and 1e-2 at 10).
        """
        z = jnp.linspace(-8.0, 8.0, 65)
        weight = jnp.exp(-0.5 * jnp.square(z))
        weight /= jnp.sum(weight)
        u = self.base.mean + jnp.exp(self.base.log_deviation) * z[:, None]
        return self.base.entropy() + jnp.sum(weight @ self.log_slope(u))

    def greedy(self) -> Array:
        return self.from_line(self.base.mean)

    def divergence(self, other: TanhGaussian) -> Array:
        """That of the Gaussians: a map that can be undone changes no divergence."""
        return self.base.divergence(other.base)

    def from_line(self, u: Array) -> Array:
        return spread_out(0.5 + 0.5 * jnp.tanh(u), self.low, self.high)

    def log_slope(self, u: Array) -> Array:
        """The logarithm of the action's derivative by ``u`` ``[…, N]``: log(½ range) + log(1 − tanh² u)."""
        return jnp.log(0.5 * (self.high - self.low)) + 2 * (math.log(2) - u - jax.nn.softplus(-2 * u))


@struct.dataclass
class Beta:
    """N actions ``[N]`` in a Box, each with a Beta distribution over its range (Chou et al. 2017)."""

    alpha: Array  # [N], above 1 for a single hump
    beta: Array  # [N]
    low: Array  # [N]
    high: Array  # [N]

    def sample(self, key: Key) -> Array:
        return spread_out(jax.random.beta(key, self.alpha, self.beta), self.low, self.high)

    def log_probability(self, action: Array) -> Array:
        x = 0.5 + 0.5 * centred(action, self.low, self.high)
        logarithms = (self.alpha - 1) * jnp.log(x) + (self.beta - 1) * jnp.log1p(-x)
        return jnp.sum(logarithms - betaln(self.alpha, self.beta) - jnp.log(self.high - self.low))

    def entropy(self) -> Array:
        alpha, beta = self.alpha, self.beta
        inside = (alpha - 1) * digamma(alpha) + (beta - 1) * digamma(beta)
        inside -= (alpha + beta - 2) * digamma(alpha + beta)
        return jnp.sum(betaln(alpha, beta) - inside + jnp.log(self.high - self.low))

    def greedy(self) -> Array:
        """The mean, since the top of a wide hump may well lie at a bound."""
        return spread_out(self.alpha / (self.alpha + self.beta), self.low, self.high)

    def divergence(self, other: Beta) -> Array:
        alpha, beta = self.alpha, self.beta
        both = digamma(alpha + beta)
        terms = (alpha - other.alpha) * (digamma(alpha) - both) + (beta - other.beta) * (digamma(beta) - both)
        return jnp.sum(betaln(other.alpha, other.beta) - betaln(alpha, beta) + terms)


class Distribution(Protocol):
    """What all of them offer."""

    def sample(self, key: Key) -> Array: ...

    def log_probability(self, action: Array) -> Array: ...

    def entropy(self) -> Array: ...

    def greedy(self) -> Array: ...

    def divergence(self, other: Any) -> Array: ...


def centred(action: Array, low: Array, high: Array) -> Array:
    """Where in its range an action lies, in (-1, 1): what is at a bound lies a margin inside."""
    chex.assert_equal_shape([action, low])
    place = (2 * action - low - high) / (high - low)
    return jnp.clip(place, -1 + MARGIN, 1 - MARGIN)


def spread_out(x: Array, low: Array, high: Array) -> Array:
    """From [0, 1] to the range of each action."""
    return jnp.clip(low + (high - low) * x, low, high)


class Head(Protocol):
    """What makes a distribution of features, with a layer named ``policy`` in the module that calls."""

    def __call__(
        self, module: nn.Module, features: Array, kernel_init: networks.Initialiser
    ) -> Distribution: ...

    def example(self) -> Distribution:
        """A distribution such as it makes; its numbers do not matter."""
        ...


@dataclasses.dataclass(frozen=True)
class CategoricalHead:
    """Logits of ``num_actions`` actions."""

    num_actions: int

    def __call__(self, module: nn.Module, features: Array, kernel_init: networks.Initialiser) -> Categorical:
        del module
        return Categorical(networks.dense(features, self.num_actions, kernel_init, "policy"))

    def example(self) -> Categorical:
        return Categorical(jnp.zeros(self.num_actions))


@dataclasses.dataclass(frozen=True)
class GaussianHead:
    """Means, and deviations that are parameters of their own or, with ``of_state``, outputs as the means are.

    Args:
        size: how many actions there are.
        of_state: whether the deviations depend on the observation.
        log_deviation: the logarithm of the first deviations.
        low: of each action; with ``high``, what tanh takes the actions to. None for no bounds.
        high: of each action.
    """

    size: int
    of_state: bool = False
    log_deviation: float = 0.0
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None

    def __call__(
        self, module: nn.Module, features: Array, kernel_init: networks.Initialiser
    ) -> Gaussian | TanhGaussian:
        mean = networks.dense(features, self.size, kernel_init, "policy")
        if self.of_state:
            log_deviation = self.log_deviation + networks.dense(
                features, self.size, kernel_init, "log_deviation"
            )
        else:
            first = nn.initializers.constant(self.log_deviation)
            log_deviation = module.param("log_deviation", first, (self.size,))
        return self.squash(Gaussian(mean, jnp.clip(log_deviation, *LOG_DEVIATIONS)))

    def squash(self, gaussian: Gaussian) -> Gaussian | TanhGaussian:
        """Takes the actions to their bounds, if there are any."""
        if self.low is None or self.high is None:
            return gaussian
        return TanhGaussian(gaussian, jnp.array(self.low), jnp.array(self.high))

    def example(self) -> Gaussian | TanhGaussian:
        return self.squash(Gaussian(jnp.zeros(self.size), jnp.zeros(self.size)))


@dataclasses.dataclass(frozen=True)
class BetaHead:
    """Both parameters of each action's Beta distribution, 1 and more: 1 + softplus."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __call__(self, module: nn.Module, features: Array, kernel_init: networks.Initialiser) -> Beta:
        del module
        outputs = 1 + jax.nn.softplus(networks.dense(features, 2 * len(self.low), kernel_init, "policy"))
        alpha, beta = jnp.split(outputs, 2)
        return Beta(alpha, beta, jnp.array(self.low), jnp.array(self.high))

    def example(self) -> Beta:
        one = jnp.ones(len(self.low))
        return Beta(one, one, jnp.array(self.low), jnp.array(self.high))


def make_head(name: PolicyName, algorithm: str, action_space: gymnasium.Space[Any]) -> Head:
    """The head of that name for an action space.

    Args:
        name: ``categorical`` for Discrete spaces; ``gaussian`` (deviations that do not depend on the
            observation), ``state_gaussian`` (that do), ``tanh_gaussian`` and ``beta`` (over the bounds) for
            Boxes; ``auto`` is the first of these that suits.
        algorithm: what to call the one that asks, in errors.
        action_space: what the actions are.

    Raises:
        InvalidInput: there is none of that name, or it does not suit the space.
    """
    if name not in get_args(PolicyName):
        raise InvalidInput(f"policy must be one of {', '.join(get_args(PolicyName))}, not {name!r}")
    continuous = isinstance(action_space, gymnasium.spaces.Box)
    if name == "categorical" or (name == "auto" and not continuous):
        return CategoricalHead(checks.discrete(f"{algorithm} with a categorical policy", action_space))
    if name in ("auto", "gaussian", "state_gaussian"):
        if not isinstance(action_space, gymnasium.spaces.Box) or len(action_space.shape) != 1:
            raise InvalidInput(
                f"{algorithm} with a Gaussian policy needs a Box of one axis to act in, not {action_space}"
            )
        return GaussianHead(action_space.shape[0], of_state=name == "state_gaussian")
    box = checks.bounded_box(f"{algorithm} with policy={name!r}", action_space)
    low, high = (tuple(np.asarray(bound, float).tolist()) for bound in (box.low, box.high))
    if name == "beta":
        return BetaHead(low, high)
    return GaussianHead(len(low), of_state=True, low=low, high=high)
