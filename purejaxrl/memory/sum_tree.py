"""Sums of sums of masses, in which a row is found in proportion to its mass (Schaul et al. 2016, B.2.1).

A tree is a tuple of levels, leaves first: ``[B, nodes, 16]`` float32, the children of each node of each
environment. A child is the sum of its own children in the level before it; masses that nobody has
written are 0, and so is what fills a level up to whole nodes. Each environment has a tree of its own,
so that the levels can be sharded as the rows are; what joins the environments is added up at each draw.

Levels are arrays of their own: one array for all of them would be copied at each step of a scan. Sixteen
children make few levels, and are a line of the processor's cache.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from purejaxrl.types import Array, Key

RADIX = 16

Tree = tuple[Array, ...]


def empty(num_envs: int, rows: int) -> Tree:
    """Masses of 0 for so many rows of each environment."""
    levels: list[Array] = []
    while not levels or rows > 1:
        rows = -(-rows // RADIX)
        levels.append(jnp.zeros((num_envs, rows, RADIX), jnp.float32))
    return tuple(levels)


def write(tree: Tree, start: Array | int, mass: Array) -> Tree:
    """Writes masses ``[B, width]`` to the rows from ``start`` on, and adds up anew above them."""
    levels = []
    for level in tree:
        num_envs, nodes, _ = level.shape
        flat = jax.lax.dynamic_update_slice(level.reshape(num_envs, -1), mass, (0, start))
        levels.append(flat.reshape(level.shape))
        width = min((mass.shape[1] + RADIX - 2) // RADIX + 1, nodes)  # nodes that have such children
        start = jnp.minimum(start // RADIX, nodes - width)
        mass = jnp.sum(jax.lax.dynamic_slice_in_dim(levels[-1], start, width, axis=1), axis=-1)
    return tuple(levels)


def scatter(tree: Tree, env: Array, row: Array, mass: Array) -> Tree:
    """Gives rows the masses ``[U, M]``, and adds up anew above them.

    Of a row that is named in several of the U the last counts, of one that is named twice in one of
    them the largest mass: so the outcome hangs on no order in which a platform writes.
    """
    leaves = tree[0]

    def give(flat: Array, update: tuple[Array, Array]) -> tuple[Array, None]:
        place, mass = update
        return flat.at[place].set(0.0).at[place].max(mass), None

    place = env * (leaves.shape[1] * RADIX) + row
    flat, _ = jax.lax.scan(give, leaves.reshape(-1), (place, mass))
    levels = [flat.reshape(leaves.shape)]
    env, row = env.reshape(-1), row.reshape(-1)
    for level in tree[1:]:
        below = levels[-1]
        row = row // RADIX
        total = jnp.sum(below.reshape(-1, RADIX)[env * below.shape[1] + row], axis=-1)
        # Rows of one node write the same sum there.
        flat = level.reshape(-1).at[env * (level.shape[1] * RADIX) + row].set(total)
        levels.append(flat.reshape(level.shape))
    return tuple(levels)


def draw(tree: Tree, key: Key, number: int) -> tuple[Array, Array, Array, Array]:
    """One row from each of ``number`` equal parts of the total, in proportion to mass.

    Some mass must be above 0; a row of mass 0 is never drawn. Returns ``[number]`` environments, rows
    and masses, and the total, a scalar.

    A part is an interval on the line on which all masses are laid end to end. At each level a point of
    what is left of it is drawn afresh, and the interval cut to the child in which the point lies: a
    single point could not tell a million rows apart in 24 bits.
    """
    joined = tree[-1].sum(-1).reshape(-1)  # [B], each environment's total
    above: list[Array] = []
    while joined.shape[0] > 1:
        filled = jnp.pad(joined, (0, -joined.shape[0] % RADIX)).reshape(1, -1, RADIX)
        above.append(filled)
        joined = filled.sum(-1).reshape(-1)

    levels = [*reversed(above), *reversed(tree)]
    bits = jax.random.bits(key, (len(levels), number), jnp.uint32)
    points = ((bits >> 9).astype(jnp.float32) + 0.5) * 2.0**-23  # within (0, 1), its ends left out

    total = sums(levels[0].reshape(RADIX, 1))[-1]
    edges = total * (jnp.arange(number + 1) / number)
    low, high = edges[:-1], edges[1:]
    env = node = jnp.zeros(number, jnp.int32)
    mass = jnp.broadcast_to(total, (number,))
    for depth, (level, point) in enumerate(zip(levels, points, strict=True)):
        if depth == len(above):
            env, node = node, jnp.zeros_like(node)
        children = level.reshape(-1, RADIX)[env * level.shape[1] + node].T  # [RADIX, number]
        ends = sums(children)
        # Below the last end even where it rounds up: then the child that it lies in has a mass.
        target = jnp.minimum(low + point * (high - low), ends[-1] * (1 - 2.0**-23))
        child = jnp.zeros_like(node)
        begin = jnp.zeros_like(target)
        for end in ends[:-1]:
            child = child + (end <= target)
            begin = jnp.where(end <= target, end, begin)
        mass = jnp.take_along_axis(children, child[None], axis=0)[0]
        low, high = jnp.clip(low - begin, 0, mass), jnp.clip(high - begin, 0, mass)
        node = node * RADIX + child
    return env, node, mass, total[0]


def sums(children: Array) -> list[Array]:
    """Where each of the children ``[RADIX, M]`` ends if they are laid end to end.

    Added up in order: they never fall, and one that is no further than the one before has no mass.
    """
    ends = [children[0]]
    for child in children[1:]:
        ends.append(ends[-1] + child)
    return ends
