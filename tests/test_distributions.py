"""Distributions of returns against hand-worked values, against rlax, and against what they must keep."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from purejaxrl import distributions, losses

A, K = 3, 7
ATOMS = jnp.array([-1.0, 0.0, 1.0, 2.0])


def close(actual: Any, expected: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def project(values: list[float], weights: list[float]) -> jax.Array:
    return distributions.project(jnp.array(values), jnp.array(weights), ATOMS)


# Categorical.


def test_a_support_is_even() -> None:
    close(distributions.support(-2.0, 4.0, 4), [-2, 0, 2, 4])
    close(distributions.support(-10.0, 10.0, 51), np.linspace(-10, 10, 51))
    assert distributions.support(-10.0, 10.0, 51)[-1] == 10  # its ends are not rounded


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [
        ([0.0], [1.0], [0, 1, 0, 0]),  # on an atom
        ([0.5], [1.0], [0, 0.5, 0.5, 0]),  # half-way
        ([-0.75], [1.0], [0.75, 0.25, 0, 0]),  # the nearer has the more
        ([2.0, -1.0], [0.25, 0.75], [0.75, 0, 0, 0.25]),  # on the ends
        ([7.0, -30.0], [0.25, 0.75], [0.75, 0, 0, 0.25]),  # beyond them
        ([1.75, 1.25], [0.5, 0.5], [0, 0, 0.5, 0.5]),  # ¼ and ¾ of ½ each
        ([1.5, 1.5, 1.5], [0.5, 0.25, 0.25], [0, 0, 0.5, 0.5]),  # on the same place
        ([np.inf, -np.inf], [0.5, 0.5], [0.5, 0, 0, 0.5]),
    ],
)
def test_projections_by_hand(values: list[float], weights: list[float], expected: list[float]) -> None:
    close(project(values, weights), expected)


def particles(seed: int, low: float, high: float, number: int = 12) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    weights = random.exponential(size=number)
    return (
        jnp.asarray(random.uniform(low, high, number), jnp.float32),
        jnp.asarray(weights / weights.sum(), jnp.float32),
    )


def test_projections_keep_mass_and_within_the_ends_means() -> None:
    atoms = distributions.support(-3.0, 5.0, 9)
    given = [particles(seed, -3, 5) for seed in range(50)]
    values, weights = (jnp.stack(each) for each in zip(*given, strict=True))
    project = jax.jit(jax.vmap(distributions.project, in_axes=(0, 0, None)))
    inside = project(values, weights, atoms)
    assert np.all(inside >= 0)
    close(np.sum(inside, axis=1), np.ones(50))
    close(inside @ atoms, np.sum(values * weights, axis=1), atol=1e-5)
    wide = project(3 * values, weights, atoms)
    close(np.sum(wide, axis=1), np.ones(50))
    close(wide @ atoms, np.sum(np.clip(3 * values, -3, 5) * weights, axis=1), atol=1e-5)
    two = distributions.project(values[0], weights[0], distributions.support(-3.0, 5.0, 2))  # the fewest
    close(two, [1 - two[1], (np.sum(values[0] * weights[0]) + 3) / 8])


def test_projections_are_rlax_s() -> None:
    atoms = distributions.support(-4.0, 4.0, K)
    values, weights = (
        jnp.stack(each) for each in zip(*[particles(seed, -8, 8) for seed in range(20)], strict=True)
    )
    values = jnp.sort(values, axis=1)  # which rlax takes for granted
    ours, theirs = (
        jax.jit(jax.vmap(function, in_axes=(0, 0, None)))(values, weights, atoms)
        for function in (distributions.project, rlax.categorical_l2_project)
    )
    close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("double", [False, True])
def test_a_categorical_loss_is_rlax_s(double: bool) -> None:
    atoms = distributions.support(-2.0, 3.0, K)

    def ours(logits: Any, a: Any, r: Any, discount: Any, successor: Any, selector: Any) -> Any:
        if not double:
            selector = jax.nn.softmax(successor) @ atoms
        weights = jax.nn.softmax(losses.pick_row(successor, jnp.argmax(selector)))
        target = distributions.project(r + discount * atoms, weights, atoms)
        return distributions.cross_entropy(target, losses.pick_row(logits, a))

    def theirs(logits: Any, a: Any, r: Any, discount: Any, successor: Any, selector: Any) -> Any:
        if double:
            return rlax.categorical_double_q_learning(
                atoms, logits, a, r, discount, atoms, successor, selector
            )
        return rlax.categorical_q_learning(atoms, logits, a, r, discount, atoms, successor)

    random = np.random.default_rng(0)
    number = 40
    arguments = (
        jnp.asarray(random.normal(size=(number, A, K)), jnp.float32),
        jnp.asarray(random.integers(A, size=number)),
        jnp.asarray(random.normal(size=number), jnp.float32),
        jnp.asarray(random.choice([0.0, 0.9], number), jnp.float32),
        jnp.asarray(random.normal(size=(number, A, K)), jnp.float32),
        jnp.asarray(random.normal(size=(number, A)), jnp.float32),
    )
    for mine, other in zip(
        jax.jit(jax.vmap(jax.value_and_grad(ours)))(*arguments),
        jax.jit(jax.vmap(jax.value_and_grad(theirs)))(*arguments),
        strict=True,
    ):
        close(mine, other, rtol=1e-4, atol=1e-5)


def test_cross_entropy_and_divergence_by_hand() -> None:
    target, logits = jnp.array([0.5, 0.5, 0.0]), jnp.log(jnp.array([0.25, 0.5, 0.25]))
    close(distributions.cross_entropy(target, logits), 0.5 * np.log(4) + 0.5 * np.log(2))
    close(distributions.divergence(target, logits), 0.5 * np.log(2))
    close(distributions.cross_entropy(target, logits + 7), 1.5 * np.log(2))  # logits are up to a constant
    # p − target is the slope of the one and of the other.
    for loss in (distributions.cross_entropy, distributions.divergence):
        close(jax.grad(loss, argnums=1)(target, logits), [-0.25, 0.0, 0.25])
        close(jax.grad(loss, argnums=0)(target, logits), [0, 0, 0])


def test_a_divergence_is_never_below_zero() -> None:
    """Of two distributions that are equal it is a difference of equal sums, rounded apart."""
    logits = jax.random.normal(jax.random.key(0), (1000, 51)) * 3
    divergence = jax.jit(jax.vmap(distributions.divergence))(jax.nn.softmax(logits), logits)
    assert np.all(divergence >= 0)
    close(divergence, np.zeros(1000), atol=1e-5)


# Quantiles.


def quantile_loss(quantiles: Any, tau: Any, values: Any, weights: Any, threshold: float) -> float:
    """As it is written in the papers, with ρ divided by κ."""
    total = 0.0
    for theta, fraction in zip(quantiles, tau, strict=True):
        for value, weight in zip(values, weights, strict=True):
            error = float(value) - float(theta)
            if threshold == 0:
                penalty = abs(error)
            elif abs(error) <= threshold:
                penalty = 0.5 * error**2 / threshold
            else:
                penalty = abs(error) - 0.5 * threshold
            total += float(weight) * abs(float(fraction) - (error < 0)) * penalty
    return total


def test_quantile_losses_by_hand() -> None:
    quantiles, tau = jnp.array([0.0, 4.0]), jnp.array([0.25, 0.75])
    values, weights = jnp.array([1.0, 3.0]), jnp.array([0.5, 0.5])
    # Of 0: errors 1 and 3, above, ¼ each. Of 4: errors −3 and −1, below, ¼ each.
    for threshold, penalty in [
        (0.0, 1 + 3),
        (1.0, 0.5 + 2.5),
        (2.0, 0.25 + 2.0),
        (4.0, 0.125 + 1.125),
    ]:
        loss = distributions.quantile_loss(quantiles, tau, values, weights, threshold)
        close(loss, 2 * 0.5 * 0.25 * penalty)
    # Slopes: beyond κ each pulls by its τ however far it is, within by its share.
    slope = jax.grad(distributions.quantile_loss)(quantiles, tau, values, weights, 2.0)
    close(slope, [-0.25 * 0.5 * (0.5 + 1), 0.25 * 0.5 * (1 + 0.5)])


@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0, 3.0])
def test_a_quantile_loss_is_as_defined_and_rlax_s(threshold: float) -> None:
    ours = jax.jit(jax.value_and_grad(distributions.quantile_loss))
    theirs = jax.jit(jax.value_and_grad(rlax.quantile_regression_loss), static_argnums=3)
    for seed in range(10):
        random = np.random.default_rng(seed)
        quantiles = jnp.asarray(random.normal(size=5) * 2, jnp.float32)
        tau = jnp.asarray(random.uniform(size=5), jnp.float32)
        values, weights = particles(seed, -4, 4)
        close(
            ours(quantiles, tau, values, weights, threshold)[0],
            quantile_loss(quantiles, tau, values, weights, threshold),
        )
        even = jnp.full(values.shape, 1 / len(values))
        value, slope = ours(quantiles, tau, values, even, threshold)
        expected, expected_slope = theirs(quantiles, tau, values, threshold)
        divisor = threshold or 1.0  # rlax does not divide by κ
        close(value, expected / divisor)
        close(slope, expected_slope / divisor)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_quantile_td_error_is_rlax_s(threshold: float) -> None:
    random = np.random.default_rng(1)
    tau = distributions.midpoints(K)

    def ours(quantiles: Any, a: Any, r: Any, discount: Any, selector: Any, successor: Any) -> Any:
        best = jnp.argmax(jnp.mean(selector, axis=1))
        values = r + discount * losses.pick_row(successor, best)
        return distributions.quantile_loss(
            losses.pick_row(quantiles, a), tau, values, jnp.full(K, 1 / K), threshold
        )

    def theirs(quantiles: Any, a: Any, r: Any, discount: Any, selector: Any, successor: Any) -> Any:
        return rlax.quantile_q_learning(
            quantiles.T, tau, a, r, discount, selector.T, successor.T, huber_param=threshold
        )

    arguments = (
        jnp.asarray(random.normal(size=(20, A, K)), jnp.float32),
        jnp.asarray(random.integers(A, size=20)),
        jnp.asarray(random.normal(size=20), jnp.float32),
        jnp.asarray(random.choice([0.0, 0.9], 20), jnp.float32),
        jnp.asarray(random.normal(size=(20, A, K)), jnp.float32),
        jnp.asarray(random.normal(size=(20, A, K)), jnp.float32),
    )
    for mine, other in zip(
        jax.jit(jax.vmap(jax.value_and_grad(ours)))(*arguments),
        jax.jit(jax.vmap(jax.value_and_grad(theirs)))(*arguments),
        strict=True,
    ):
        close(mine, other)


def test_quantiles_settle_where_they_belong() -> None:
    """Of 0, 1 … 9 as likely, with κ 0: those of 0.05, 0.15 … are 0, 1 …; a mixture's are by weight."""

    @jax.jit
    def settle(tau: Any, values: Any, weights: Any) -> Any:
        def descend(step: Any, quantiles: Any) -> Any:
            slope = jax.grad(distributions.quantile_loss)(quantiles, tau, values, weights, 0.0)
            return quantiles - 0.5 * 0.99**step * jnp.sign(slope)

        return jax.lax.fori_loop(0, 600, descend, jnp.full(len(tau), 4.6))

    tau = distributions.midpoints(10)
    close(tau, np.arange(10) / 10 + 0.05)
    close(settle(tau, jnp.arange(10.0), jnp.full(10, 0.1)), np.arange(10), atol=0.01)
    # 0.3 of the mass at −2, the rest at 5: of ten quantiles the lowest three are −2.
    mixture = settle(tau, jnp.array([-2.0, 5.0]), jnp.array([0.3, 0.7]))
    close(mixture, [*[-2] * 3, *[5] * 7], atol=0.01)


def test_what_is_learnt_from_is_data() -> None:
    values, weights = particles(0, -1, 1)
    tau = distributions.midpoints(4)

    def projected(values: Any, weights: Any) -> Any:
        return jnp.sum(distributions.project(values, weights, ATOMS) * ATOMS)

    for slope in jax.grad(projected, argnums=(0, 1))(values, weights):
        close(slope, np.zeros(len(values)))
    close(jax.grad(distributions.quantile_loss, argnums=2)(tau, tau, values, weights), np.zeros(len(values)))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (distributions.project, (jnp.ones(3), jnp.ones(2), ATOMS)),
        (distributions.project, (jnp.ones((2, 3)), jnp.ones((2, 3)), ATOMS)),
        (distributions.project, (jnp.ones(3, jnp.int32), jnp.ones(3), ATOMS)),
        (distributions.cross_entropy, (jnp.ones(3), jnp.ones(4))),
        (distributions.divergence, (jnp.ones(3), jnp.ones((3, 3)))),
        (distributions.quantile_loss, (jnp.ones(3), jnp.ones(2), jnp.ones(4), jnp.ones(4))),
        (distributions.quantile_loss, (jnp.ones(3), jnp.ones(3), jnp.ones(4), jnp.ones(1))),
    ],
)
def test_wrong_ranks_shapes_and_types_are_refused(function: Any, arguments: Any) -> None:
    with pytest.raises(AssertionError):
        function(*arguments)
