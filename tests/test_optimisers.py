"""Clipping by hand, and the RMSProp that the module's docstring recommends."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from purejaxrl.optimisers import clip_gradients, make_optimiser

GRADIENTS = {"a": jnp.array([3.0]), "b": jnp.array([[-4.0]])}  # together of norm 5


@pytest.mark.parametrize(
    ("max_value", "max_norm", "a", "b"),
    [
        (None, None, 3.0, -4.0),
        (3.5, None, 3.0, -3.5),  # by value: one element is cut and the direction turns
        (1.0, None, 1.0, -1.0),
        (None, 1.0, 0.6, -0.8),  # by norm: both are divided by 5 and the direction stays
        (None, 5.5, 3.0, -4.0),  # short enough already
        (4.0, 2.5, 1.5, -2.0),
        (3.0, 3.0, 3 / 2**0.5, -3 / 2**0.5),  # by value first (3, -3), then by norm
    ],
)
@pytest.mark.parametrize("jit", [False, True])
def test_clip_gradients_by_hand(max_value, max_norm, a, b, jit):
    clip = jax.jit(clip_gradients) if jit else clip_gradients
    clipped = clip(GRADIENTS, max_value, max_norm)
    chex.assert_trees_all_close(clipped, {"a": jnp.array([a]), "b": jnp.array([[b]])}, rtol=1e-6)


def test_zero_gradients_stay_zero():
    zeros = jax.tree.map(jnp.zeros_like, GRADIENTS)
    chex.assert_trees_all_equal(clip_gradients(zeros, 1.0, 0.5), zeros)


def test_limits_can_be_swept_under_vmap():
    clipped = jax.vmap(clip_gradients, in_axes=(None, None, 0))(GRADIENTS, None, jnp.array([1.0, 2.5, 10.0]))
    np.testing.assert_allclose(clipped["a"][:, 0], [0.6, 1.5, 3.0], rtol=1e-6)


def test_no_limit_costs_nothing():
    assert not jax.make_jaxpr(clip_gradients)(GRADIENTS).eqns


@pytest.mark.parametrize(("name", "expected"), [("adam", optax.adam), ("radam", optax.radam)])
def test_gradients_decay_as_told(name, expected):
    def steps(optimiser: Any) -> Any:
        state = optimiser.init(jnp.zeros(2))
        for count in range(8):  # RAdam's first steps are of another kind
            updates, state = optimiser.update(jnp.array([1.0, (-2.0) ** count]), state)
        return updates

    np.testing.assert_allclose(
        steps(make_optimiser(name, 0.1, gradient_decay=0.5)), steps(expected(0.1, b1=0.5)), rtol=1e-6
    )
    assert np.abs(steps(make_optimiser(name, 0.1)) - steps(expected(0.1, b1=0.5))).max() > 1e-3


def test_rmsprop_of_the_docstring_is_pytorch_s():
    # One step from g = 0.002: v = 0.01 * g^2, so sqrt(v) = 0.0002, and eps outside the root gives
    # 0.002 / (0.0002 + 0.00001) = 9.5238; inside the root it would be 0.002 / sqrt(4e-8 + 1e-5) = 0.63.
    optimiser = optax.rmsprop(1.0, decay=0.99, eps=1e-5, eps_in_sqrt=False)
    updates, _ = optimiser.update(jnp.array([0.002]), optimiser.init(jnp.zeros(1)))
    chex.assert_trees_all_close(updates, jnp.array([-9.5238]), rtol=1e-4)
