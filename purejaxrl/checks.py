"""Checks of what a user gave, made before anything is compiled."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import gymnasium
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.types import InvalidInput

C = TypeVar("C")


def static(default: Any) -> Any:
    """A Config field that fixes a shape or a structure: not a leaf, compared by value."""
    return struct.field(pytree_node=False, default=default)


def default_of(config: Any, name: str) -> Any:
    """What a field of a dataclass is unless it is given; ``dataclasses.MISSING`` where it must be."""
    fields = {field.name: field.default for field in dataclasses.fields(config)}
    return fields.get(name, dataclasses.MISSING)


def looked_at(config: Any, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """The fields that can be looked at, with their values: those that are traced or off, None, are left out.

    Raises:
        InvalidInput: one is None whose type does not allow that.
    """
    for name in names:
        value = getattr(config, name)
        if value is None and not optional(config, name):
            raise InvalidInput(f"{name} must be a number, not None")
        if value is not None and not isinstance(value, jax.core.Tracer):
            yield name, value


def optional(config: Any, name: str) -> bool:
    """Whether a field may be None, by its annotation."""
    return any(field.name == name and "None" in str(field.type) for field in dataclasses.fields(config))


def within(config: Any, low: float, high: float, *names: str, exclusive: bool = False) -> None:
    """Checks that fields of a Config are numbers in ``[low, high]`` (``(low, high]`` if exclusive).

    A field that is off, None, passes where its type allows that; one that is traced cannot be looked at and
    passes.

    Raises:
        InvalidInput: names the field, its value and the range.
    """
    for name, value in looked_at(config, names):
        number = numeric(name, value)
        inside = (number > low if exclusive else number >= low) & (number <= high)
        if not np.all(inside):  # NaN compares false, and so is refused
            raise InvalidInput(
                f"{name} must lie in {'(' if exclusive else '['}{low:g}, {high:g}], not {value!r}"
            )


def finite(config: Any, *names: str) -> None:
    """Checks that fields that are set and not traced are finite numbers."""
    for name, value in looked_at(config, names):
        if not np.all(np.isfinite(numeric(name, value))):
            raise InvalidInput(f"{name} must be finite, not {value!r}")


def numeric(name: str, value: Any) -> np.ndarray:
    """A value as an array of numbers, or InvalidInput where it is none."""
    try:
        number = np.asarray(value)
    except ValueError:  # of a ragged list
        number = np.asarray(None)
    if number.dtype.kind not in "iuf":
        raise InvalidInput(f"{name} must be a number, not {value!r}")
    return number


def in_order(config: Any, low: str, high: str, exclusive: bool = False) -> None:
    """Checks that one field is at most another (below it if exclusive), unless either is traced."""
    ends = (getattr(config, low), getattr(config, high))
    if any(isinstance(end, jax.core.Tracer) for end in ends):
        return
    numbers = [numeric(name, end) for name, end in zip((low, high), ends, strict=True)]
    if np.any(numbers[1] <= numbers[0] if exclusive else numbers[1] < numbers[0]):
        raise InvalidInput(
            f"{low} must be {'below' if exclusive else 'at most'} {high}, not {ends[0]!r} and {ends[1]!r}"
        )


def whole_leaf(config: Any, name: str, of: str) -> None:
    """Checks that a field that may be swept is a whole number ``of`` something, unless it is traced."""
    value = getattr(config, name)
    if not isinstance(value, jax.core.Tracer) and np.any(np.mod(numeric(name, value), 1) != 0):
        raise InvalidInput(f"{name} must be a whole number of {of}, not {value!r}")


def one_number(config: Any, *names: str) -> None:
    """Checks that static fields are plain numbers: an array is compared by element, and has no hash."""
    for name, value in looked_at(config, names):
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise InvalidInput(f"{name} must be one plain number, not {value!r}")


def whole(config: Any, low: int, *names: str) -> None:
    """Checks that fields are whole numbers of at least ``low``; tuples of them where that is the default."""
    for name in names:
        value, many = getattr(config, name), isinstance(default_of(config, name), tuple)
        if many and not isinstance(value, tuple):
            raise InvalidInput(f"{name} must be a tuple of whole numbers, such as (64,), not {value!r}")
        for number in value if many else (value,):
            if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < low:
                raise InvalidInput(f"{name} must be a whole number of at least {low}, not {value!r}")


def flags(config: Any) -> None:
    """Checks that the fields of a Config whose default is True or False are one of these."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(field.default, bool) and not isinstance(value, bool):
            raise InvalidInput(f"{field.name} must be True or False, not {value!r}")


def beside(config: Any, given: str, *names: str) -> None:
    """Checks that fields that would build what is ``given`` are left as they are, if that is not None.

    Raises:
        InvalidInput: names the first that is not.
    """
    if getattr(config, given) is None:
        return
    for name in names:
        value, default = getattr(config, name), default_of(config, name)
        if value != default:
            raise InvalidInput(
                f"{name}={value!r} is of what is built where no {given} is given, and one is: make it so"
                f" there, and leave {name} at {default!r}"
            )


def falls(config: Any, end: str, steps: str) -> None:
    """Checks that where something ends is given only where it is said when."""
    value = getattr(config, end)
    known = getattr(config, steps) is None and not isinstance(value, jax.core.Tracer)
    if known and np.any(value != default_of(config, end)):
        raise InvalidInput(f"{end}={value!r} does nothing without {steps}: give that, too")


def one_of(config: Any, name: str, choices: Iterable[str]) -> None:
    """Checks that a field is one of the named choices."""
    value = getattr(config, name)
    if not isinstance(value, str) or value not in tuple(choices):
        raise InvalidInput(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def discrete(algorithm: str, space: gymnasium.Space[Any]) -> int:
    """The number of actions in a Discrete space, or InvalidInput where it is another."""
    if not isinstance(space, gymnasium.spaces.Discrete):
        raise InvalidInput(f"{algorithm} needs a Discrete action space, not {space}")
    if space.start != 0:
        raise InvalidInput(f"{algorithm} counts actions from 0, and so cannot act in {space}")
    return int(space.n)


def bounded_box(algorithm: str, space: gymnasium.Space[Any]) -> gymnasium.spaces.Box:
    """The space where it is a bounded Box of one axis, or InvalidInput."""
    if not isinstance(space, gymnasium.spaces.Box):
        raise InvalidInput(f"{algorithm} needs a continuous (Box) action space, not {space}")
    if len(space.shape) != 1 or not space.is_bounded() or not np.all(space.low < space.high):
        raise InvalidInput(
            f"{algorithm} needs a bounded Box of one axis, with a range in each action, not {space}"
        )
    return space


def as_leaves(config: C) -> C:
    """The same Config with every leaf an array of float32, so that its type never changes.

    Raises:
        InvalidInput: one is not one number.
    """
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if not field.metadata.get("pytree_node", True):
            continue
        if value is None and not optional(config, field.name):
            raise InvalidInput(f"{field.name} must be a number, not None")
        if value is not None and np.ndim(value) != 0:
            raise InvalidInput(
                f"{field.name} must be one number, not {value!r}: to have several, vmap init over them, or"
                " sweep them"
            )
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), config)


def plain(value: Any) -> Any:
    """A value as JSON can hold it, the same in every process."""
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        return np.asarray(value).tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # a network, say
        return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **numbers(value)}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # of a function, where this process has it


def numbers(config: Any) -> dict[str, Any]:
    """A Config as plain values that JSON can hold, by field name."""
    return {field.name: plain(getattr(config, field.name)) for field in dataclasses.fields(config)}
