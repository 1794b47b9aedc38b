"""Many seeds of one pure function: vmapped or mapped, and sharded over devices.

The seed axis is the outermost thing that a program knows about, and how it runs changes no code
of an algorithm. In a sweep the same axis holds every combination of a point and a seed: its
*members*.

* ``vmap`` steps all seeds of a device together: an accelerator's way.
* ``map`` runs them one after another within the compiled program (``jax.lax.map``), so that each
  has, to the bit, the numbers that it has alone; with vmap, batched products round differently.

Either is sharded over a mesh of devices, of all hosts where there are several. On a CPU the
devices are the host's cores, if so many were asked for before JAX started
(``jax_num_cpu_devices``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from purejaxrl.types import Array, InvalidInput, Key, PyTree

Seeds = Literal["auto", "vmap", "map"]
AXIS = "seeds"


def resolve(seeds: Seeds) -> Literal["vmap", "map"]:
    """What ``auto`` means on this machine: ``map`` on a CPU, ``vmap`` on anything else.

    Raises:
        InvalidInput: ``seeds`` is not one of auto, vmap and map.
    """
    if seeds not in ("auto", "vmap", "map"):
        raise InvalidInput(f"seeds must be one of auto, vmap, map, not {seeds!r}")
    if seeds == "auto":
        return "map" if jax.default_backend() == "cpu" else "vmap"
    return seeds


def keys(root: int, num_seeds: int) -> Key:
    """The keys ``[num_seeds]`` of a run: seed i's is ``fold_in(key(root), i)``, whatever num_seeds is.

    Raises:
        InvalidInput: ``num_seeds`` is not a whole number of at least 1, or ``root`` not one of at least 0.
    """
    for name, value, least in (("num_seeds", num_seeds, 1), ("seed", root, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidInput(f"{name} must be a whole number of at least {least}, not {value!r}")
    if root >= 2**32:
        raise InvalidInput(f"seed must be below 2**32, not {root}")
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(root), jnp.arange(num_seeds))


def mesh(num_devices: int | None = None) -> Mesh:
    """A mesh of the first ``num_devices`` devices, those of all processes; of every one if None.

    Raises:
        InvalidInput: there are not so many, or some process would have none of them.
    """
    devices = jax.devices()
    if num_devices is not None and not 1 <= num_devices <= len(devices):
        raise InvalidInput(f"devices must lie in [1, {len(devices)}] on this machine, not {num_devices}")
    if num_devices not in (None, len(devices)) and jax.process_count() > 1:
        raise InvalidInput(
            f"{jax.process_count()} processes share all of their {len(devices)} devices: devices must"
            f" be None, not {num_devices}"
        )
    return Mesh(np.array(devices[:num_devices]), (AXIS,))


def over_seeds(
    function: Callable[..., PyTree], seeds: Literal["vmap", "map"], mesh: Mesh, in_place: bool = False
) -> Callable[..., PyTree]:
    """Lifts a function of one seed to all of them.

    Args:
        function: of one seed's pytree, and of further arguments that all seeds share.
        seeds: how the seeds of one device run.
        mesh: the devices.
        in_place: whether the function's result is a pair whose first has the structure of its first
            argument. With ``map``, a program that is given the argument's memory then writes each
            seed's result where the seed was, and holds no second copy of all seeds.

    Returns:
        The same function of pytrees with a leading seed axis, which must divide by the devices:
        see :func:`pad`.
    """

    def lifted(per_seed: PyTree, *shared: PyTree) -> PyTree:
        if seeds == "vmap":
            return jax.vmap(function, in_axes=(0, *[None] * len(shared)))(per_seed, *shared)
        if not in_place:
            return jax.lax.map(lambda one: function(one, *shared), per_seed)

        # Keys are carried as the numbers in them: to the checker of key reuse, an array of keys out of
        # which a loop takes one at a time is one that it uses again and again.
        def update(numbers: PyTree, i: Array) -> tuple[PyTree, PyTree]:
            one = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, i, keepdims=False), numbers)
            one, result = function(jax.tree.map(wrap, one, per_seed), *shared)
            write = functools.partial(jax.lax.dynamic_update_index_in_dim, index=i, axis=0)
            return jax.tree.map(write, numbers, jax.tree.map(unwrap, one)), result

        number = jax.tree.leaves(per_seed)[0].shape[0]
        numbers, results = jax.lax.scan(update, jax.tree.map(unwrap, per_seed), jnp.arange(number))
        return jax.tree.map(wrap, numbers, per_seed), results

    if mesh.size == 1:
        return lifted

    def sharded(per_seed: PyTree, *shared: PyTree) -> PyTree:
        specs = (PartitionSpec(AXIS), *[PartitionSpec()] * len(shared))
        return jax.shard_map(
            lifted, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False
        )(per_seed, *shared)

    return sharded


def is_key(leaf: Any) -> bool:
    """Whether an array, or the shape of one, holds typed keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def unwrap(leaf: Array) -> Array:
    """A leaf with its keys, if that is what it holds, as the numbers in them."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def wrap(numbers: Array, like: Any) -> Array:
    """The reverse, for a leaf of which ``like`` is an array or a shape."""
    return jax.random.wrap_key_data(numbers) if is_key(like) else numbers


def padding(num_seeds: int, rows: int) -> np.ndarray:
    """Which seed each of ``rows`` rows computes: after all have one, the last is repeated."""
    return np.minimum(np.arange(rows), num_seeds - 1)


def pad(tree: PyTree, mesh: Mesh) -> PyTree:
    """Repeats the last seed until the devices divide them; what comes of it is dropped by :func:`first`."""
    number = jax.tree.leaves(tree)[0].shape[0]
    rows = padding(number, number + -number % mesh.size)
    return tree if len(rows) == number else jax.tree.map(lambda leaf: leaf[rows], tree)


def place(tree: PyTree, mesh: Mesh) -> PyTree:
    """Puts a pytree with a leading seed axis, of which every process has all, onto the devices of a mesh."""
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def put(leaf: Array) -> Array:
        numbers = np.asarray(unwrap(leaf))
        placed = jax.make_array_from_callback(numbers.shape, sharding, lambda index: numbers[index])
        return wrap(placed, leaf)

    return jax.tree.map(put, tree)


def first(tree: PyTree, num_seeds: int) -> PyTree:
    """Drops what :func:`pad` added."""
    number = jax.tree.leaves(tree)[0].shape[0]
    return tree if number == num_seeds else jax.tree.map(lambda leaf: leaf[:num_seeds], tree)
