"""Asynchrony that can be repeated: workers take turns at shared parameters, with copies that are stale.

An agent that takes part has, besides what every agent has, ``gradients(state, batch)``, which gives gradients
at ``state.params`` and their figures, and ``apply_gradients(state, gradients, figures)``, which makes a step
of them; its ``update`` is the one after the other.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from purejaxrl.types import Array, InvalidInput, Key, PyTree


class Learner(Protocol):
    """The module of an agent whose update is two functions."""

    def gradients(self, state: Any, batch: Any, /) -> tuple[PyTree, dict[str, Array]]: ...

    def apply_gradients(self, state: Any, gradients: PyTree, info: dict[str, Array], /) -> Any: ...


def share_out(tree: PyTree, number: int, among: str = "the {} workers", axis: int = 0) -> PyTree:
    """The environments' ``axis``, ``[…, B, …]``, in order, as ``[K, …, B / K, …]``.

    Raises:
        InvalidInput: they cannot be shared out evenly ``among`` so many.
    """

    def share(leaf: Array) -> Array:
        environments = leaf.shape[axis]
        if environments % number:
            whom = among.format(number)
            raise InvalidInput(f"num_envs must be a multiple of {whom}, not {environments}")
        shape = (*leaf.shape[:axis], number, environments // number, *leaf.shape[axis + 1 :])
        return jnp.moveaxis(leaf.reshape(shape), axis, 0)

    return jax.tree.map(share, tree)


def turns(
    learner: Learner, shared: Any, local: PyTree, batches: PyTree, key: Key, synchronise: Array | bool = True
) -> tuple[Any, PyTree, Array]:
    """Every worker's turn, once, in an order drawn from the key.

    All gradients are of what the workers' own copies saw. The first worker's are applied to parameters that
    have not changed since this round began, the last one's to what all others have made of them. A worker
    copies the shared parameters at the end of its turn, and so next time is as many steps behind as others
    have had turns since.

    Args:
        learner: the agent's module.
        shared: its State, with the shared parameters and one optimiser for all.
        local: ``[K, …]``, the workers' copies.
        batches: ``[K, …]``, what each has seen.
        key: of the order.
        synchronise: whether a worker copies the shared parameters after its turn.

    Returns:
        The shared State, with the means of the turns' figures; the copies; and how far these were from the
        shared parameters as they were used, the mean over workers of the Euclidean distance.
    """
    workers = len(jax.tree.leaves(local)[0])

    def of_worker(params: PyTree, batch: PyTree) -> tuple[PyTree, dict[str, Array]]:
        return learner.gradients(dataclasses.replace(shared, params=params), batch)

    if workers == 1:  # with nobody beside it, to the bit what the agent does by itself
        gradients, info = of_worker(*jax.tree.map(lambda leaf: leaf[0], (local, batches)))
        distance = optax.tree.norm(jax.tree.map(lambda own, leaf: own[0] - leaf, local, shared.params))
        shared = learner.apply_gradients(shared, gradients, info)
        copied = jax.tree.map(lambda own, leaf: jnp.where(synchronise, leaf[None], own), local, shared.params)
        return shared, copied, distance
    gradients, info = jax.vmap(of_worker)(local, batches)

    def turn(carry: tuple[Any, PyTree], worker: Array) -> tuple[tuple[Any, PyTree], tuple[Array, PyTree]]:
        shared, local = carry
        of_turn, figures, own = jax.tree.map(lambda leaf: leaf[worker], (gradients, info, local))
        distance = optax.tree.norm(jax.tree.map(jnp.subtract, own, shared.params))
        shared = learner.apply_gradients(shared, of_turn, figures)
        copied = jax.tree.map(
            lambda all_, own, leaf: all_.at[worker].set(jnp.where(synchronise, leaf, own)),
            local,
            own,
            shared.params,
        )
        return (shared, copied), (distance, shared.info)

    order = jax.random.permutation(key, workers)
    (shared, local), (distances, infos) = jax.lax.scan(turn, (shared, local), order)
    shared = dataclasses.replace(shared, info=jax.tree.map(jnp.mean, infos))
    return shared, local, jnp.mean(distances)
