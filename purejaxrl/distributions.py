"""Distributions of returns: how they are moved by a reward, projected, and compared.

A target distribution is a number of particles: values ``[M]`` with weights ``[M]`` that add up to 1.
Moved by a reward and a discount they still are; where they come from (the atoms of a histogram, quantiles,
a mixture over actions) makes no difference to what learns from them.

Every function sees ONE transition; the caller vmaps.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from purejaxrl.types import Array


def support(low: Array | float, high: Array | float, atoms: int) -> Array:
    """The values ``[atoms]`` of a categorical distribution, evenly from ``low`` to ``high``."""
    return low + (high - low) * jnp.linspace(0.0, 1.0, atoms)


def project(values: Array, weights: Array, atoms: Array) -> Array:
    """The weights of particles, shared among evenly spaced atoms so that means are kept.

    A particle between two atoms gives to each in proportion to its nearness; one beyond the ends
    gives all it has to the end.

    Args:
        values: ``[M]``, where the particles are.
        weights: ``[M]``, what they weigh.
        atoms: ``[K]``, evenly spaced, rising.

    Returns:
        ``[K]``, weights of the atoms, with the same sum.

    Source: Bellemare, Dabney & Munos (2017), "A distributional perspective on reinforcement learning", eq. 7.
    """
    chex.assert_rank([values, weights, atoms], 1)
    chex.assert_equal_shape([values, weights])
    chex.assert_type([values, weights, atoms], float)
    spacing = (atoms[-1] - atoms[0]) / (atoms.shape[0] - 1)
    place = (jnp.clip(values, atoms[0], atoms[-1]) - atoms[0]) / spacing
    nearness = jnp.clip(1 - jnp.abs(place[:, None] - jnp.arange(atoms.shape[0])), 0, 1)  # [M, K]
    # A sum and no product of matrices, which accelerators would round to fewer bits.
    return jax.lax.stop_gradient(jnp.sum(weights[:, None] * nearness, axis=0))


def cross_entropy(target: Array, logits: Array) -> Array:
    """The cross entropy in nats from a target distribution ``[K]`` to that of ``logits`` ``[K]``: C51's loss.

    Source: Bellemare, Dabney & Munos (2017), algorithm 1.
    """
    chex.assert_rank([target, logits], 1)
    chex.assert_equal_shape([target, logits])
    return -jnp.sum(jax.lax.stop_gradient(target) * jax.nn.log_softmax(logits))


def divergence(target: Array, logits: Array) -> Array:
    """The Kullback-Leibler divergence in nats from a target distribution ``[K]`` to that of ``logits``.

    It is 0 or more, however its sums are rounded: priorities are powers of it.
    Rainbow's priority (Hessel et al. 2018, "Prioritized replay").
    """
    chex.assert_rank([target, logits], 1)
    chex.assert_equal_shape([target, logits])
    target = jax.lax.stop_gradient(target)
    self_entropy = jnp.sum(jnp.where(target > 0, target * jnp.log(jnp.maximum(target, 1e-30)), 0.0))
    return jnp.maximum(cross_entropy(target, logits) + self_entropy, 0.0)


def quantile_loss(
    quantiles: Array, tau: Array, values: Array, weights: Array, threshold: Array | float = 1.0
) -> Array:
    """The loss that moves quantiles to those of a target distribution.

    The error of each quantile against each particle is penalised by Huber's loss, weighted by τ where the
    particle lies above and 1 − τ where below; mean over particles, sum over quantiles.

    Args:
        quantiles: ``[N]``, to be learnt.
        tau: ``[N]``, which fraction of the distribution lies below each.
        values: ``[M]``, the target's particles; no gradient flows through them.
        weights: ``[M]``, what they weigh.
        threshold: κ, up to which the penalty is quadratic; 0 makes it the absolute error.

    Huber's loss is divided by κ, so that errors far beyond it count with a slope of 1 whatever κ is. The
    paper of 2018 on quantile regression has it without the division.

    Source: Dabney et al. (2018), "Distributional reinforcement learning with quantile regression", eqs. 9-10;
    Dabney et al. (2018), "Implicit quantile networks for distributional reinforcement learning", eq. 3.
    """
    chex.assert_rank([quantiles, tau, values, weights], 1)
    chex.assert_equal_shape([quantiles, tau])
    chex.assert_equal_shape([values, weights])
    error = jax.lax.stop_gradient(values)[None, :] - quantiles[:, None]  # [N, M]
    magnitude = jnp.abs(error)
    quadratic = jnp.minimum(magnitude, threshold)
    # ½u² / κ within the threshold and |u| − ½κ beyond it: slope at most 1, and |u| itself as κ goes to 0.
    safe = jnp.where(threshold > 0, threshold, 1.0)
    penalty = jnp.where(threshold > 0, quadratic**2 / (2 * safe) + magnitude - quadratic, magnitude)
    asymmetry = jnp.abs(tau[:, None] - (error < 0))
    return jnp.sum(jnp.sum(asymmetry * penalty * weights[None, :], axis=1))


def midpoints(number: int) -> Array:
    """Fractions in the middle of ``number`` equal parts of [0, 1] (Dabney et al. 2018, lemma 2)."""
    return (jnp.arange(number) + 0.5) / number
