"""Frozen dataclasses as pytrees whose leaves are the knobs that may be swept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax
import numpy as np
from jax.core import Tracer

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def with_knobs(*knobs: str) -> Callable[[type[T]], type[T]]:
    """Makes a class a frozen dataclass and a pytree: the fields ``knobs`` are its leaves, the rest is static.

    Unlike flax's dataclasses, one that jax rebuilds does not go through ``__post_init__``: jax does so
    with anything for leaves (axes of a vmap, shapes, None), which a check would refuse.

    And unlike them it is not mistaken for another: to jaxlib (0.10.2), two classes that are registered
    with ``jax.tree_util.register_dataclass``, as flax's are, have the same structure if they have as
    many fields and the same static ones, and ``jax.jit`` then now and then, in one of a hundred pairs,
    runs for the one what it compiled for the other.

    Two of a class are equal whose static fields and knobs are, be these numbers or arrays.
    """

    def register(cls: type[T]) -> type[T]:
        made: Any = dataclasses.dataclass(frozen=True, eq=False)(cls)
        made.__eq__, made.__hash__ = _equal, _hash
        if not hasattr(made, "replace"):
            made.replace = dataclasses.replace
        names = [field.name for field in dataclasses.fields(made)]
        static = [name for name in names if name not in knobs]

        def flatten(value: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
            leaves = [(jax.tree_util.GetAttrKey(name), getattr(value, name)) for name in knobs]
            return leaves, tuple(getattr(value, name) for name in static)

        def plain(value: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
            return tuple(getattr(value, name) for name in knobs), tuple(
                getattr(value, name) for name in static
            )

        def unflatten(rest: tuple[Any, ...], leaves: Any) -> Any:
            value = object.__new__(made)
            for name, field in zip((*knobs, *static), (*leaves, *rest), strict=True):
                object.__setattr__(value, name, field)
            return value

        jax.tree_util.register_pytree_with_keys(made, flatten, unflatten, plain)
        return made

    return register


def _equal(one: Any, other: Any) -> Any:
    if type(one) is not type(other):
        return NotImplemented
    (ours, structure), (theirs, another) = jax.tree.flatten(one), jax.tree.flatten(other)
    return structure == another and all(map(_same, ours, theirs))


def _same(knob: Any, other: Any) -> bool:
    """Whether two knobs are the same, or have the same numbers; what jax traces has none to compare."""
    if knob is other or isinstance(knob, Tracer) or isinstance(other, Tracer):
        return knob is other
    return np.array_equal(knob, other)


def _hash(one: Any) -> int:
    return hash(jax.tree.structure(one))  # arrays have no hash
