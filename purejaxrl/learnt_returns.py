"""What a network says of returns: their means, or their distributions, and what these are moved towards.

Members of DQN's family choose it by a Config: ``none`` learns the mean of each action's return,
``categorical`` logits of atoms (C51), ``quantile`` and ``implicit`` quantiles (QR-DQN, IQN). Whatever it is,
a target is a number of particles (see :mod:`.distributions`).

Every function but :func:`means` sees ONE transition; the caller vmaps.
"""

from __future__ import annotations

from typing import Literal, Protocol

import jax
import jax.numpy as jnp

from purejaxrl import distributions, losses
from purejaxrl.types import Array

DistributionName = Literal["none", "categorical", "quantile", "implicit"]


class ReturnConfig(Protocol):
    """The fields of a Config that say what is learnt of a return."""

    @property
    def distribution(self) -> DistributionName: ...
    @property
    def atoms(self) -> int: ...
    @property
    def value_low(self) -> float: ...
    @property
    def value_high(self) -> float: ...
    @property
    def quantile_threshold(self) -> float: ...
    @property
    def munchausen(self) -> bool: ...
    @property
    def munchausen_temperature(self) -> float: ...


def means(config: ReturnConfig, output: Array) -> Array:
    """Action values ``[…, A]`` out of what the network says, ``[…, A]`` or ``[…, A, N]``."""
    if config.distribution == "none":
        return output
    if config.distribution == "categorical":
        # A sum and no product of matrices, which accelerators would round to fewer bits.
        return jnp.sum(jax.nn.softmax(output) * atoms(config), axis=-1)
    return jnp.mean(output, axis=-1)


def atoms(config: ReturnConfig) -> Array:
    """The returns ``[atoms]`` of a categorical distribution."""
    return distributions.support(config.value_low, config.value_high, config.atoms)


def successor(config: ReturnConfig, output: Array, selector: Array) -> tuple[Array, Array]:
    """What the target network says of one successor's return: particles and their weights ``[M]``.

    Of the action that is best by ``selector`` ``[A]``; or, for Munchausen, a mixture over all actions, by
    the policy that is a softmax of ``selector`` (there the target network's, too), with its entropy counted
    as a reward. That mixture is the return's distribution; Munchausen's paper, of implicit quantiles alone,
    averages those of each fraction over the actions instead, which has the same mean and is narrower.

    Source: Mnih et al. (2015); van Hasselt, Guez & Silver (2016), eq. 4; Bellemare et al. (2017),
    algorithm 1; Dabney et al. (2018), algorithm 1; Vieillard, Pietquin & Geist (2020), eq. 2.
    """
    if config.distribution == "none":
        values, weights = output[:, None], jnp.ones((output.shape[0], 1))
    elif config.distribution == "categorical":
        weights = jax.nn.softmax(output)
        values = jnp.broadcast_to(atoms(config), weights.shape)
    else:
        values, weights = output, jnp.full(output.shape, 1 / output.shape[1])
    if config.munchausen:
        log_policy = jax.nn.log_softmax(selector / config.munchausen_temperature)[:, None]
        soft = values - config.munchausen_temperature * log_policy
        return soft.reshape(-1), (jnp.exp(log_policy) * weights).reshape(-1)
    best = jnp.argmax(selector)
    return losses.pick_row(values, best), losses.pick_row(weights, best)


def disagreement(
    config: ReturnConfig, output: Array, action: Array, tau: Array | None, values: Array, weights: Array
) -> tuple[Array, Array]:
    """The loss of one predicted distribution against a target's particles ``[M]``, and its priority.

    The priority is the divergence of categorical distributions, as in Rainbow, and the loss of quantiles.
    """
    taken = losses.pick_row(output, action)
    if config.distribution == "categorical":
        target = distributions.project(values, weights, atoms(config))
        return distributions.cross_entropy(target, taken), distributions.divergence(target, taken)
    fractions = distributions.midpoints(config.atoms) if tau is None else tau
    loss = distributions.quantile_loss(taken, fractions, values, weights, config.quantile_threshold)
    return loss, loss
