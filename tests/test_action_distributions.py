"""Policies as distributions: densities over a Box, entropies and divergences by quadrature, and oracles."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from purejaxrl import networks
from purejaxrl.action_distributions import (
    Beta,
    Categorical,
    Gaussian,
    TanhGaussian,
    make_head,
)
from purejaxrl.types import InvalidInput

LOW, HIGH = jnp.array([-1.0]), jnp.array([3.0])
RANGE = 4.0


def tanh_gaussian(mean: float, log_deviation: float) -> TanhGaussian:
    return TanhGaussian(Gaussian(jnp.array([mean]), jnp.array([log_deviation])), LOW, HIGH)


def beta(alpha: float, beta: float) -> Beta:
    return Beta(jnp.array([alpha]), jnp.array([beta]), LOW, HIGH)


BOUNDED: list[Any] = [
    tanh_gaussian(0.3, -0.5),
    tanh_gaussian(-1.0, 0.2),
    beta(1.0, 1.0),
    beta(1.4, 3.0),
    beta(5.0, 2.0),
]
PAIRS: list[tuple[Any, Any]] = [
    (tanh_gaussian(0.3, -0.5), tanh_gaussian(-0.4, 0.1)),
    (beta(1.4, 3.0), beta(2.5, 2.0)),
]


def densities(distribution: Any, number: int = 200_001) -> tuple[np.ndarray, np.ndarray]:
    """Actions at the middles of equal parts of the Box, and their log-probabilities in double precision."""
    edges = np.linspace(-1.0, 3.0, number + 1)
    actions = (edges[1:] + edges[:-1]) / 2
    log = jax.vmap(distribution.log_probability)(jnp.float32(actions)[:, None])
    return actions, np.asarray(log, np.float64)


@pytest.mark.parametrize("distribution", BOUNDED)
def test_densities_over_a_box_are_those_of_the_action(distribution: Any) -> None:
    actions, log = densities(distribution)
    weight = np.exp(log) * RANGE / len(actions)
    assert weight.sum() == pytest.approx(1, abs=1e-3)
    assert float(distribution.entropy()) == pytest.approx(-np.sum(weight * log), abs=2e-3)
    samples = jax.vmap(distribution.sample)(jax.random.split(jax.random.key(0), 20_000))[:, 0]
    assert np.all((samples >= LOW) & (samples <= HIGH))
    assert (
        scipy.stats.kstest(np.asarray(samples), lambda x: np.interp(x, actions, np.cumsum(weight))).pvalue
        > 1e-3
    )


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_divergences_by_quadrature(one: Any, other: Any) -> None:
    actions, log_p = densities(one)
    _, log_q = densities(other)
    weight = np.exp(log_p) * RANGE / len(actions)
    assert float(one.divergence(other)) == pytest.approx(np.sum(weight * (log_p - log_q)), abs=2e-3)
    assert float(one.divergence(one)) == pytest.approx(0, abs=1e-6)


def test_gaussians_are_scipy_s() -> None:
    mean, deviation = np.array([0.5, -2.0]), np.array([0.7, 1.5])
    action = np.array([0.1, -1.0])
    gaussian = Gaussian(jnp.float32(mean), jnp.log(jnp.float32(deviation)))
    oracle: Any = scipy.stats.norm(mean, deviation)
    assert float(gaussian.log_probability(jnp.float32(action))) == pytest.approx(
        oracle.logpdf(action).sum(), rel=1e-5
    )
    assert float(gaussian.entropy()) == pytest.approx(oracle.entropy().sum(), rel=1e-5)
    # KL(N(0, 1) ‖ N(1, 2²)) = log 2 + (1 + 1) / 8 − 1/2, by hand.
    standard, wide = Gaussian(jnp.zeros(1), jnp.zeros(1)), Gaussian(jnp.ones(1), jnp.log(2.0) * jnp.ones(1))
    assert float(standard.divergence(wide)) == pytest.approx(np.log(2) + 0.25 - 0.5, rel=1e-5)


def test_betas_are_scipy_s() -> None:
    alpha, other = np.array([1.4, 5.0]), np.array([3.0, 1.0])
    low, high = np.array([-1.0, 0.0]), np.array([3.0, 0.5])
    action = np.array([0.3, 0.45])
    oracle: Any = scipy.stats.beta(alpha, other, loc=low, scale=high - low)
    ours = Beta(*(jnp.float32(each) for each in (alpha, other, low, high)))
    assert float(ours.log_probability(jnp.float32(action))) == pytest.approx(
        oracle.logpdf(action).sum(), rel=1e-4
    )
    assert float(ours.entropy()) == pytest.approx(oracle.entropy().sum(), abs=1e-4)
    np.testing.assert_allclose(ours.greedy(), oracle.mean(), rtol=1e-5)


def test_categorical_by_hand() -> None:
    one, other = (Categorical(jnp.log(jnp.array(p))) for p in ([0.5, 0.25, 0.25], [0.25, 0.25, 0.5]))
    assert float(one.log_probability(jnp.int32(1))) == pytest.approx(np.log(0.25))
    assert float(one.entropy()) == pytest.approx(1.5 * np.log(2))
    assert float(one.divergence(other)) == pytest.approx(0.5 * np.log(2) - 0.25 * np.log(2))
    assert int(one.greedy()) == 0


@pytest.mark.parametrize("action", [-1.0, 3.0])
@pytest.mark.parametrize("distribution", [tanh_gaussian(3.0, 0.5), beta(2.0, 2.0)])
def test_an_action_at_a_bound_has_a_finite_probability_and_gradient(distribution: Any, action: float) -> None:
    def log_probability(distribution: Any) -> Any:
        return distribution.log_probability(jnp.array([action]))

    value, gradient = jax.value_and_grad(log_probability)(distribution)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("log_deviation", [-4.0, 0.0, 1.0])
def test_the_entropy_through_tanh_against_many_samples(log_deviation: float) -> None:
    distribution = tanh_gaussian(0.7, log_deviation)
    z = np.random.default_rng(0).normal(size=400_000)
    u = 0.7 + np.exp(log_deviation) * z
    slope = np.log(2.0) + 2 * (np.log(2) - u - np.logaddexp(0, -2 * u))
    estimate = float(distribution.base.entropy()) + slope
    error = estimate.std() / np.sqrt(len(z))
    assert abs(float(distribution.entropy()) - estimate.mean()) < 4 * error + 1e-5


class Policy(nn.Module):
    """A head on one feature layer, as the networks have it."""

    head: Any

    @nn.compact
    def __call__(self, observation: Any) -> Any:
        return self.head(self, nn.Dense(4)(observation), networks.SMALL)


BOX = gymnasium.spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32))
LINE = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)


@pytest.mark.parametrize(
    ("name", "space", "kind", "of_state"),
    [
        ("auto", gymnasium.spaces.Discrete(3), Categorical, True),
        ("categorical", gymnasium.spaces.Discrete(3), Categorical, True),
        ("auto", BOX, Gaussian, False),
        ("gaussian", LINE, Gaussian, False),
        ("state_gaussian", LINE, Gaussian, True),
        ("tanh_gaussian", BOX, TanhGaussian, True),
        ("beta", BOX, Beta, True),
    ],
)
def test_heads_make_distributions_of_features(name: Any, space: Any, kind: type, of_state: bool) -> None:
    module = Policy(make_head(name, "A2C", space))
    assert module == Policy(make_head(name, "A2C", space))  # static fields compare by value
    assert hash(module.head) == hash(make_head(name, "A2C", space))
    params = module.init(jax.random.key(0), jnp.ones(3))
    batch = jax.random.normal(jax.random.key(1), (5, 3))
    distribution = jax.vmap(module.apply, in_axes=(None, 0))(params, batch)
    assert isinstance(distribution, kind)
    spreads = {Categorical: "logits", Beta: "alpha"}.get(kind)
    base = distribution.base if isinstance(distribution, TanhGaussian) else distribution
    spread = getattr(base, spreads or "log_deviation")
    assert (np.ptp(np.asarray(spread), axis=0).max() > 0) == of_state
    keys = jax.random.split(jax.random.key(2), 5)
    actions = jax.vmap(kind.sample)(distribution, keys)  # type: ignore[attr-defined]
    assert jax.vmap(kind.log_probability)(distribution, actions).shape == (5,)  # type: ignore[attr-defined]
    if kind is not Gaussian:  # which knows of no bounds
        assert all(space.contains(np.asarray(action, space.dtype)) for action in actions)


@pytest.mark.parametrize(
    ("name", "space", "words"),
    [
        ("cauchy", BOX, ["policy", "tanh_gaussian", "'cauchy'"]),
        ("categorical", BOX, ["A2C", "Discrete", "Box"]),
        ("gaussian", gymnasium.spaces.Discrete(3), ["A2C", "Box", "Discrete(3)"]),
        ("beta", LINE, ["A2C", "beta", "bounded", "inf"]),
        ("tanh_gaussian", gymnasium.spaces.Discrete(3), ["A2C", "tanh_gaussian", "Discrete(3)"]),
        ("auto", gymnasium.spaces.Box(-1.0, 1.0, (2, 2)), ["A2C", "one axis", "(2, 2)"]),
    ],
)
def test_heads_that_do_not_suit_are_refused(name: Any, space: Any, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        make_head(name, "A2C", space)
    for word in words:
        assert word in str(raised.value)
