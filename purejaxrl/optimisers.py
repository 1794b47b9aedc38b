"""What happens to gradients between ``jax.grad`` and the optimiser.

The optimisers are optax's. PyTorch's RMSProp, which published A2C results rest on, is
``optax.rmsprop(learning_rate, decay=0.99, eps=1e-5, eps_in_sqrt=False)``.
"""

from __future__ import annotations

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import optax

from purejaxrl.types import Array, InvalidInput, PyTree

OptimiserName = Literal["adam", "radam", "rmsprop", "centred_rmsprop", "sgd"]


def make_optimiser(
    name: OptimiserName,
    learning_rate: Array | float,
    epsilon: Array | float = 1e-8,
    decay: Array | float = 0.95,
    momentum: Array | float = 0.0,
    gradient_decay: Array | float = 0.9,
) -> optax.GradientTransformation:
    """An optimiser by name; its numbers may be traced, so that a sweep may vmap over them.

    Args:
        name: ``adam`` (Kingma & Ba 2015), ``radam`` (Liu et al. 2020), ``rmsprop`` (Tieleman & Hinton 2012)
            and ``centred_rmsprop`` (Graves 2013), which DQN had, both with ``epsilon`` outside of the root
            as in PyTorch; or ``sgd``, which has no state.
        learning_rate: the step size.
        epsilon: what is added to the root of the mean of squares; ``sgd`` has none.
        decay: of RMSProp's running means.
        momentum: of RMSProp's steps, as PyTorch has it.
        gradient_decay: β₁, of the running means of gradients that ``adam`` and ``radam`` have.

    Raises:
        InvalidInput: there is none of that name.
    """
    if name == "adam":
        return optax.adam(learning_rate, gradient_decay, eps=epsilon)  # type: ignore[arg-type]
    if name == "radam":
        return optax.radam(learning_rate, gradient_decay, eps=epsilon)  # type: ignore[arg-type]
    if name in ("rmsprop", "centred_rmsprop"):
        centred = name == "centred_rmsprop"
        return optax.rmsprop(  # type: ignore[arg-type]
            learning_rate, decay, epsilon, eps_in_sqrt=False, centered=centred, momentum=momentum
        )
    if name == "sgd":
        return optax.sgd(learning_rate)
    raise InvalidInput(f"optimiser must be one of {', '.join(get_args(OptimiserName))}, not {name!r}")


def clip_gradients(
    gradients: PyTree, max_value: Array | float | None = None, max_norm: Array | float | None = None
) -> PyTree:
    """Limit gradients element by element, then all together; either limit may be None, which is free.

    The limits are plain arguments and may be traced, so that a sweep may vmap over them.

    Args:
        gradients: a pytree of arrays.
        max_value: every element is clipped to ``[-max_value, max_value]``.
        max_norm: if the Euclidean norm of all the elements exceeds this, they are scaled down to it
            and keep their direction (Pascanu, Mikolov & Bengio 2013, "On the difficulty of training
            recurrent neural networks", algorithm 1).
    """
    if max_value is not None:
        gradients, _ = optax.clip(max_value).update(gradients, optax.EmptyState())
    if max_norm is not None:
        gradients, _ = optax.clip_by_global_norm(max_norm).update(gradients, optax.EmptyState())
    return gradients


def descend(
    optimiser: optax.GradientTransformation,
    optimiser_state: PyTree,
    params: PyTree,
    gradients: PyTree,
    max_value: Array | float | None = None,
    max_norm: Array | float | None = None,
) -> tuple[PyTree, PyTree, Array]:
    """One step of an optimiser on clipped gradients.

    Returns:
        The new parameters, the new optimiser state, and the gradients' norm before clipping.
    """
    flat = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(gradients)])
    norm = jnp.sqrt(jnp.vdot(flat, flat))
    gradients = clip_gradients(gradients, max_value, max_norm)
    updates, optimiser_state = optimiser.update(gradients, optimiser_state, params)
    return optax.apply_updates(params, updates), optimiser_state, norm
