"""Frozen dataclasses as pytrees whose leaves are the knobs that may be swept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def with_knobs(*knobs: str) -> Callable[[type[T]], type[T]]:
    """Makes a class a frozen dataclass and a pytree: the fields ``knobs`` are its leaves, the rest is static.

    Unlike flax's dataclasses, one that jax rebuilds does not go through ``__post_init__``: jax does so
    with anything for leaves (axes of a vmap, shapes, None), which a check would refuse.
    """

    def register(cls: type[T]) -> type[T]:
        made: Any = dataclasses.dataclass(frozen=True)(cls)
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
