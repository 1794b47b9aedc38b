"""Draws that a training loop makes so often that their cost counts."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from purejaxrl.types import Array, InvalidInput, Key


def numbered_keys(key: Key, first: Array | int, number: int) -> Key:
    """Keys ``[number]`` that are ``key`` folded with ``first``, ``first + 1`` and so on.

    One call of the generator, where folding and then splitting are two. ``jax.random.split`` is the
    same for a key that is used for nothing else; this one may be called again with other numbers.
    """
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, first + jnp.arange(number))


def uniform_index(key: Key, shape: tuple[int, ...], size: Array | int) -> Array:
    """Whole numbers drawn uniformly from ``[0, size)``.

    One draw of 32 bits and one remainder, where ``jax.random.randint`` takes two and three: the
    chances of two numbers then differ by at most ``size / 2**32`` of their value. The barrier keeps
    XLA from computing the indices anew inside each of the gathers that use them, which took half as
    long as a whole update of a small network.
    """
    bits = jax.random.bits(key, shape, jnp.uint32)
    return jax.lax.optimization_barrier((bits % jnp.uint32(size)).astype(jnp.int32))


def shuffled(key: Key, size: int) -> Array:
    """The numbers ``[size]`` from 0 on, in an order drawn uniformly.

    Up to 65 536 of them each stands in the lowest bits of a random number, and one array is sorted: five
    times as fast on a CPU as ``jax.random.permutation``, which sorts numbers by others. Of two whose random
    bits are equal (a pair is with chance ``2**-16`` at most) the smaller comes first.
    """
    width = (size - 1).bit_length()
    if width > 16:
        return jax.random.permutation(key, size)
    lowest = jnp.uint32(2**width - 1)
    bits = jax.random.bits(key, (size,), jnp.uint32) & ~lowest
    return (jnp.sort(bits | jnp.arange(size, dtype=jnp.uint32)) & lowest).astype(jnp.int32)


def minibatches(key: Key, update: Array, passes: int, parts: int, size: int, what: str = "steps") -> Array:
    """Indices ``[passes · parts, size / parts]``: every pass over a rollout is in an order of its own.

    Args:
        key: folded with the pass, of all updates' passes.
        update: the number of the update.
        passes: times that everything is learnt.
        parts: minibatches of a pass.
        size: how many there are to learn.
        what: these are, in errors.

    Raises:
        InvalidInput: they cannot be divided so.
    """
    if size % parts:
        raise InvalidInput(f"a rollout of {size} {what} cannot be divided into minibatches = {parts}")
    keys = numbered_keys(key, update * passes, passes)
    order = jax.vmap(lambda key: shuffled(key, size))(keys)
    return order.reshape(passes * parts, -1)


def epsilon_greedy(key: Key, values: Array, epsilon: Array | float) -> Array:
    """Actions ``[B]``: the first of the best by ``values`` ``[B, A]``, or with chance ``epsilon`` any."""
    number = values.shape[-1]
    chance, choice = jax.random.uniform(key, (2, *values.shape[:-1]))
    random = jnp.minimum(jnp.int32(choice * number), number - 1)
    return jnp.where(chance < epsilon, random, jnp.argmax(values, axis=-1))
