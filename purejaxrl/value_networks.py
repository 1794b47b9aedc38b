"""What action values are made of: tables, linear features, and networks with one or many outputs.

As in :mod:`purejaxrl.networks` modules see ONE observation, and compare by value. A network gives
action values ``[A]``, or, with ``atoms``, ``[A, atoms]`` numbers that describe the distribution of each
action's return.

Random numbers are asked for by name, and where they are not given the network is deterministic:
``noise`` for :class:`~purejaxrl.networks.NoisyDense`, ``dropout`` for dropped features.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, Literal

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl.networks import (
    LECUN,
    MLP,
    ZEROS,
    Initialiser,
    Normalisation,
    OneHot,
    as_float,
    dense,
    normalise,
)
from purejaxrl.types import Array, InvalidInput

Architecture = Literal["shared", "separate", "state_action"]
Features = Literal["one_hot", "tile_coding", "polynomial"]
STREAM_SIZES = (64,)
"""Hidden layers of each dueling stream where none are named. With none at all dueling would be another way to
write the same linear heads."""


class Table(nn.Module):
    """A number for each of ``num_rows`` observations, counted from ``start``, and each action: ``[A]``.

    Under gradient descent at a rate α this is the tabular rule, q ← q + α δ.
    """

    num_rows: int
    num_actions: int
    start: int = 0
    initial_value: float = 0.0

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        fill = nn.initializers.constant(self.initial_value)
        return self.param("q", fill, (self.num_rows, self.num_actions))[observation - self.start]


class TileCoding(nn.Module):
    """Binary features of a vector in a box: one tile of each of several grids, laid askew.

    Grid ``k`` is shifted by ``k (1, 3, 5, …) / tilings`` of a tile, so that ``tilings`` should share no
    factor with these odd numbers: a power of two never does. Observations outside of the box are
    taken for ones on its edge. As many features are 1 as there are tilings: divide the step size by that.

    Args:
        low: the box's lower corner, ``[D]``.
        high: its upper corner.
        tilings: how many grids.
        tiles: how many tiles a grid has along each side of the box.

    Source: Sutton & Barto (2018), section 9.5.4.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    tilings: int = 8
    tiles: int = 8

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        dimensions = len(self.low)
        place = (jnp.clip(observation.reshape(-1), low, high) - low) / (high - low) * self.tiles
        askew = np.arange(self.tilings)[:, None] * (2 * np.arange(dimensions) + 1) / self.tilings % 1
        side = self.tiles + 1  # a shifted grid reaches over the edge
        tile = jnp.minimum(jnp.floor(place + askew.astype(np.float32)).astype(jnp.int32), side - 1)
        index = jnp.sum(tile * side ** np.arange(dimensions), axis=1)
        return jax.nn.one_hot(index, side**dimensions).reshape(-1)


class Polynomial(nn.Module):
    """All products of powers up to ``order`` of a vector's elements, each scaled from its range to [-1, 1].

    Source: Sutton & Barto (2018), eq. 9.17.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    order: int = 3

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        x = 2 * (observation.reshape(-1) - low) / (high - low) - 1
        powers = jnp.stack([x**power for power in range(self.order + 1)])
        exponents = np.array(list(itertools.product(range(self.order + 1), repeat=len(self.low))))
        return jnp.prod(powers[exponents, np.arange(len(self.low))], axis=1)


class Flat(nn.Module):
    """The observation itself, as a vector of floats."""

    @nn.compact
    def __call__(self, observation: Array) -> Array:
        return as_float(observation).reshape(-1)


class QNetwork(nn.Module):
    """Action values ``[A]`` of an observation, or ``[A, atoms]``: state in, all actions out.

    Args:
        torso: from an observation to features.
        num_actions: how many actions there are.
        kernel_init: how the weights of the heads start.
        atoms: numbers that describe an action's return; None for its mean alone.
        dueling: whether a value and advantages are learnt in streams of their own and added, the
            advantages' mean over the ACTIONS taken off (Wang et al. 2016, eq. 9). Each stream has hidden
            layers of its own there: without ``stream_sizes`` this is a linear head, written as two.
        stream_sizes: hidden layers, with ReLU, between the features and each head.
        normalisation: of what those hidden layers give to their ReLU.
        noisy: the scale of the noise of the heads' layers; None for plain ones.
        embedding: cosines that a quantile's fraction is embedded in; None for a network without
            fractions. With it the network is given fractions τ ``[N]`` and gives ``[A, N]``
            quantiles (Dabney et al. 2018, "Implicit quantile networks", eqs. 4-5).
        use_bias: whether the heads have biases.
    """

    torso: nn.Module
    num_actions: int
    kernel_init: Initialiser = LECUN
    atoms: int | None = None
    dueling: bool = False
    stream_sizes: tuple[int, ...] = ()
    normalisation: Normalisation = "none"
    noisy: float | None = None
    embedding: int | None = None
    use_bias: bool = True

    @nn.compact
    def __call__(self, observation: Array, tau: Array | None = None, dropout_rate: Any = None) -> Array:
        features = drop(self, self.torso(observation), dropout_rate)
        if self.embedding is not None:
            if tau is None:
                raise InvalidInput("an implicit quantile network needs fractions tau")
            cosines = jnp.cos(jnp.pi * jnp.arange(self.embedding) * tau[:, None])
            embedded = dense(cosines, features.shape[-1], self.kernel_init, "embedding", self.noisy)
            features = features * nn.relu(embedded)  # [N, F]
        advantage = self.head(
            features, "advantage" if self.dueling else "values", self.num_actions, dropout_rate
        )
        if self.dueling:
            value = self.head(features, "value", 1, dropout_rate)
            axis = -1 if self.atoms is None else -2
            advantage = value + advantage - jnp.mean(advantage, axis=axis, keepdims=True)
        return advantage if self.embedding is None else advantage.T

    def head(self, x: Array, name: str, rows: int, dropout_rate: Any) -> Array:
        """``[…, rows]``, or ``[…, rows, atoms]``, out of features ``[…, F]``."""
        for i, width in enumerate(self.stream_sizes):
            x = dense(x, width, self.kernel_init, f"{name}_{i}", self.noisy)
            x = drop(self, nn.relu(normalise(self, x, self.normalisation)), dropout_rate)
        outputs = rows * (self.atoms or 1)
        x = dense(x, outputs, self.kernel_init, name, self.noisy, self.use_bias)
        return x if self.atoms is None else x.reshape(*x.shape[:-1], rows, self.atoms)


class SeparateQNetworks(nn.Module):
    """A network for each action, which share nothing (Lin 1993, "Reinforcement learning for robots").

    ``network`` is a QNetwork of one action; each action's has parameters of its own.
    """

    network: nn.Module
    num_actions: int

    @nn.compact
    def __call__(self, observation: Array, *more: Any) -> Array:
        each = nn.vmap(
            _call,
            in_axes=None,  # type: ignore[arg-type]
            axis_size=self.num_actions,
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True, "noise": True, "dropout": True},
        )
        return each(self.network, observation, *more)[:, 0]


def _call(module: nn.Module, *inputs: Any) -> Any:
    return module(*inputs)


class StateActionQNetwork(nn.Module):
    """A network of observation and action with one value out, asked once for each action.

    ``network`` is a QNetwork of one action, which reads the flattened observation with the action appended,
    one-hot.
    """

    network: nn.Module
    num_actions: int

    @nn.compact
    def __call__(self, observation: Array, *more: Any) -> Array:
        flat = as_float(observation).reshape(-1)
        actions = jnp.eye(self.num_actions)
        inputs = jnp.concatenate([jnp.broadcast_to(flat, (self.num_actions, flat.size)), actions], axis=1)
        each = nn.vmap(
            _call,
            in_axes=(0, *[None] * len(more)),  # type: ignore[arg-type]
            variable_axes={"params": None, "batch_stats": None},
            split_rngs={"params": False, "noise": False, "dropout": False},
        )
        return each(self.network, inputs, *more)[:, 0]


def check_network(
    network: nn.Module,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    collections: tuple[str, ...] = ("params",),
) -> None:
    """Checks what a network of one's own makes of one observation, without computing anything.

    Args:
        network: that is to be asked.
        inputs: examples of what it is given, in order, each by what that is called.
        outputs: pytrees of arrays, or of ``jax.ShapeDtypeStruct``, such as it has to give; likewise.
        collections: of variables that it may have.

    Raises:
        InvalidInput: it is none, cannot be asked so, has other variables or no parameters, or gives something
            else.
    """
    if not isinstance(network, nn.Module):
        raise InvalidInput(f"network must be a flax module, not {network!r}")
    name, values = type(network).__name__, tuple(inputs.values())
    asked = ", ".join(f"{called} {_described(value)}" for called, value in inputs.items())
    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        _, variables = jax.eval_shape(network.init_with_output, key, *values)
        given = jax.eval_shape(network.apply, variables, *values)
    except InvalidInput:
        raise
    except Exception as error:  # whatever a network raises that was made for something else
        reason = str(error).partition("\n")[0]
        raise InvalidInput(
            f"network {name} cannot be given {asked}: {type(error).__name__}: {reason}"
        ) from error
    others = set(variables) - set(collections)
    if others:
        raise InvalidInput(
            f"network {name} has variables {', '.join(sorted(others))}; here it may have"
            f" {' and '.join(collections)} alone"
        )
    found = given if len(outputs) > 1 and isinstance(given, tuple) else (given,)
    if [_described(each) for each in found] != [_described(each) for each in outputs.values()]:
        needed = " and ".join(f"{called} {_described(each)}" for called, each in outputs.items())
        raise InvalidInput(
            f"network {name} must make {needed} of {asked}, not {' and '.join(map(_described, found))}"
        )
    if not jax.tree.leaves(variables.get("params", ())):
        raise InvalidInput(f"network {name} has no parameters, and so nothing to learn")


def _described(value: Any) -> str:
    """The shapes of a pytree's leaves, and the types of those that are not floats."""
    shapes = [
        f"{list(leaf.shape)}{'' if jnp.issubdtype(leaf.dtype, jnp.floating) else f' of {leaf.dtype}'}"
        for leaf in jax.tree.leaves(value)
    ]
    described = shapes[0] if len(shapes) == 1 else f"({', '.join(shapes)})" if shapes else "None"
    is_struct = dataclasses.is_dataclass(value) and not isinstance(value, jax.ShapeDtypeStruct)
    return f"{type(value).__name__} {described}" if is_struct else described


def drop(module: nn.Module, x: Array, rate: Any) -> Array:
    """Features of a module, each 0 with probability ``rate`` and else scaled up by what that takes off.

    They are left alone where there is no rate, or no random numbers named ``dropout``
    (Srivastava et al. 2014).
    """
    if rate is None or not module.has_rng("dropout"):
        return x
    keep = jax.random.bernoulli(module.make_rng("dropout"), 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), 0.0)


def of_architecture(
    architecture: Architecture,
    torso: nn.Module,
    num_actions: int,
    observation_space: gymnasium.Space[Any],
    **options: Any,
) -> nn.Module:
    """The network of action values that a Config names; ``options`` are :class:`QNetwork`'s.

    Raises:
        InvalidInput: no such architecture, or dueling streams in one that has no two streams.
    """
    if architecture == "shared":
        return QNetwork(torso, num_actions, **options)
    if architecture not in ("separate", "state_action"):
        raise InvalidInput(
            f"architecture must be one of shared, separate, state_action, not {architecture!r}"
        )
    if options.get("dueling"):
        raise InvalidInput(
            f"dueling takes a mean over actions, which are not side by side in architecture {architecture!r}"
        )
    if architecture == "separate":
        return SeparateQNetworks(QNetwork(torso, 1, **options), num_actions)
    discrete = isinstance(observation_space, gymnasium.spaces.Discrete)
    if isinstance(torso, OneHot):
        torso = torso.torso
    if not isinstance(torso, MLP) or torso.normalisation == "batch":
        raise InvalidInput(
            "architecture 'state_action' appends the action to the observation, and so takes an MLP"
            f" (torso mlp, normalisation none or layer), not {type(torso).__name__}"
        )
    network = StateActionQNetwork(QNetwork(torso, 1, **options), num_actions)
    return OneHot(int(observation_space.n), network, int(observation_space.start)) if discrete else network


MOST_FEATURES = 2**20
"""A linear network reads each of its features at every step."""


def linear_torso(
    name: Features, observation_space: gymnasium.Space[Any], tilings: int, tiles: int, order: int
) -> nn.Module:
    """Features for a linear network.

    Raises:
        InvalidInput: they cannot be made of such observations, or there is no such kind.
    """
    space = observation_space
    if name == "one_hot":
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise InvalidInput(f"one_hot numbers Discrete observations, and cannot those of {space}")
        return OneHot(int(space.n), Flat(), int(space.start))
    if name not in ("tile_coding", "polynomial"):
        raise InvalidInput(f"features must be one of one_hot, tile_coding, polynomial, not {name!r}")
    if (
        not isinstance(space, gymnasium.spaces.Box)
        or not np.all(np.isfinite([space.low, space.high]))
        or not np.all(space.low < space.high)
        or not np.all(np.isfinite(width(space)))
    ):
        raise InvalidInput(
            f"{name} divides the range of each number observed, and so needs a bounded Box, whose ranges are"
            f" finite in float32, not {space};"
            " where you know a range that matters, give a network of your own, such as"
            " QNetwork(TileCoding(low, high), actions, kernel_init=ZEROS)"
        )
    low, high = (tuple(map(float, np.ravel(bound))) for bound in (space.low, space.high))
    grids, side = (tilings, tiles + 1) if name == "tile_coding" else (1, order + 1)
    if grids * side ** len(low) > MOST_FEATURES:
        raise InvalidInput(
            f"{name} of the {len(low)} numbers in {space} would have {grids} × {side}^{len(low)} features, of"
            f" which {MOST_FEATURES} are allowed; use fewer tiles, a lower order, or approximator='network'"
        )
    if name == "polynomial":
        return Polynomial(low, high, order)
    aligned = [odd for odd in range(1, 2 * len(low), 2) if math.gcd(tilings, odd) > 1]
    if aligned:
        raise InvalidInput(
            f"tilings={tilings} shares a factor with {aligned[0]}, by which grids are shifted along one of"
            " the numbers observed: some of them would lie on each other there; a power of two never does"
        )
    return TileCoding(low, high, tilings, tiles)


def width(space: gymnasium.spaces.Box) -> np.ndarray:
    """How wide a box is along each number, in float32, where it may be infinite."""
    with np.errstate(over="ignore"):
        return space.high.astype(np.float32) - space.low.astype(np.float32)


def linear(torso: nn.Module, num_actions: int) -> nn.Module:
    """Action values that are linear in a torso's features, and start at 0."""
    return QNetwork(torso, num_actions, ZEROS, use_bias=False)
