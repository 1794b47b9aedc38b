"""Sums of sums of masses, in which a row is found in proportion to its mass (Schaul et al. 2016, B.2.1).

A tree is a tuple of levels, leaves first: ``[B, N]`` float32, for each environment the children of a
node beside each other, sixteen to each. A child is the sum of its own children in the level before it;
masses that nobody has written are 0, and so is what fills a level up to whole nodes. Each environment
has a tree of its own, so that the levels can be sharded as the rows are; what joins the environments is
added up at each draw.

Levels are arrays of their own: one array for all of them would be copied at each step of a scan. Sixteen
children make few levels, and are a line of the processor's cache.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl.types import Array, Key

RADIX = 16
UP_TO = np.triu(np.ones((RADIX, RADIX), np.float32))  # column i adds up the children up to the i-th

Tree = tuple[Array, ...]


def empty(num_envs: int, rows: int) -> Tree:
    """Masses of 0 for so many rows of each environment."""
    levels: list[Array] = []
    while not levels or rows > 1:
        rows = -(-rows // RADIX)
        levels.append(jnp.zeros((num_envs, rows * RADIX), jnp.float32))
    return tuple(levels)


def write(tree: Tree, parts: Sequence[tuple[Array | int, Array]]) -> Tree:
    """Writes masses ``[B, width]`` from a row on, for each of some parts, and adds up anew above them."""
    levels = []
    for level in tree:
        # All writes to a level before it is read: one that came after might be made to a copy.
        for start, mass in parts:
            level = jax.lax.dynamic_update_slice(level, mass, (0, start))
        levels.append(level)
        parts = [parents(level, start, mass.shape[1]) for start, mass in parts]
    return tuple(levels)


def parents(level: Array, start: Array | int, width: int) -> tuple[Array, Array]:
    """The first of the nodes that have some of ``width`` children from ``start`` on, and their sums."""
    num_envs, nodes = level.shape[0], level.shape[1] // RADIX
    width = min((width + RADIX - 2) // RADIX + 1, nodes)
    start = jnp.minimum(start // RADIX, nodes - width)
    children = jax.lax.dynamic_slice_in_dim(level, start * RADIX, width * RADIX, axis=1)
    return start, jnp.sum(children.reshape(num_envs, width, RADIX), axis=-1)


def scatter(tree: Tree, env: Array, row: Array, mass: Array) -> Tree:
    """Gives rows the masses ``[U, M]``, and adds up anew above them.

    Of a row that is named in several of the U the last counts, of one that is named twice in one of
    them the largest mass: so the outcome hangs on no order in which a platform writes.
    """

    def give(leaves: Array, update: tuple[Array, Array, Array]) -> tuple[Array, None]:
        env, row, mass = update
        return leaves.at[env, row].set(0.0).at[env, row].max(mass), None

    leaves, _ = jax.lax.scan(give, tree[0], (env, row, mass))
    levels = [leaves]
    env, row = env.reshape(-1), row.reshape(-1)
    for level in tree[1:]:
        row = row // RADIX
        total = jnp.sum(children_of(levels[-1], env, row), axis=-1)
        levels.append(level.at[env, row].set(total))  # where rows share a node, the same sum
    return tuple(levels)


def children_of(level: Array, env: Array, node: Array) -> Array:
    """The children ``[…, RADIX]`` of nodes ``[…]`` of environments."""
    return level.reshape(-1, RADIX)[env * (level.shape[1] // RADIX) + node]


def draw(tree: Tree, key: Key, number: int) -> tuple[Array, Array, Array, Array]:
    """One row from each of ``number`` equal parts of the total, in proportion to mass.

    Some mass must be above 0; a row of mass 0 is never drawn. Returns ``[number]`` environments, rows
    and masses, and the total, a scalar.

    A part is an interval on the line on which all masses are laid end to end. At each level a point of
    what is left of it is drawn afresh, and the interval cut to the child in which the point lies: a
    single point could not tell a million rows apart in 24 bits.
    """
    joined = jnp.sum(tree[-1], axis=1)  # [B], each environment's total
    above: list[Array] = []
    while joined.shape[0] > 1:
        joined = jnp.pad(joined, (0, -joined.shape[0] % RADIX))
        above.append(joined[None])
        joined = jnp.sum(joined.reshape(-1, RADIX), axis=1)

    levels = [*reversed(above), *reversed(tree)]
    bits = jax.random.bits(key, (len(levels), number), jnp.uint32)
    points = ((bits >> 9).astype(jnp.float32) + 0.5) * 2.0**-23  # within (0, 1), its ends left out

    total = jnp.sum(levels[0])
    edges = total * (jnp.arange(number + 1) / number)
    low, high = edges[:-1], edges[1:]
    env = node = jnp.zeros(number, jnp.int32)
    mass = jnp.zeros(number)
    for depth, (level, point) in enumerate(zip(levels, points, strict=True)):
        if depth == len(above):
            env, node = node, jnp.zeros_like(node)
        children = children_of(level, env, node)  # [number, RADIX]
        ends = jnp.matmul(children, UP_TO, precision=jax.lax.Precision.HIGHEST)  # if laid end to end
        # Whatever rounding has done: the point is below the end of a child that has a mass.
        last = jnp.max(jnp.where(children > 0, ends, 0.0), axis=1)
        target = jnp.minimum(low + point * (high - low), last * (1 - 2.0**-23))
        child = jnp.argmax((children > 0) & (ends > target[:, None]), axis=1).astype(jnp.int32)
        mass = pick(children, child)
        begin = pick(ends, child - 1)
        low, high = jnp.clip(low - begin, 0, mass), jnp.clip(high - begin, 0, mass)
        # Behind a barrier, or XLA would go down from the root again for each of the arrays below.
        node, low, high, mass = jax.lax.optimization_barrier((node * RADIX + child, low, high, mass))
    return env, node, mass, total


def pick(children: Array, child: Array) -> Array:
    """Of children ``[M, RADIX]`` the ones ``[M]``; 0 where that is -1."""
    return jnp.sum(jnp.where(jnp.arange(RADIX) == child[:, None], children, 0.0), axis=1)
