"""Checks of what environments are given: of knobs, which are data and may be swept, and of what is static."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from purejaxrl.types import InvalidInput


def known_zero(knob: Any) -> bool:
    """Whether a knob is known to be 0 before anything runs, so that nothing need be drawn for it."""
    return isinstance(knob, int | float) and knob == 0


def check_number(
    name: str,
    value: Any,
    least: float = -np.inf,
    most: float = np.inf,
    *,
    above: float | None = None,
    finite: bool = True,
) -> None:
    """Raises InvalidInput where a knob is no number in the range, nor an array of such.

    An array is for several environments that differ in the knob. What jax traces is not looked at.

    Args:
        name: what the user knows it by.
        value: the knob.
        least: the least that it may be.
        most: the most that it may be.
        above: what it must be above, in place of ``least``.
        finite: whether infinity is refused.
    """
    if isinstance(value, Tracer):
        return
    given = _numbers(value, whole=False)
    if given is not None:
        inside = (given >= least if above is None else given > above) & (given <= most)  # NaN compares false
        if np.all(inside) and (not finite or np.all(np.isfinite(given))):
            return
    if above is not None:
        accepted = f"a number above {above:g}"
    elif np.isfinite(least):
        accepted = (
            f"a number of at least {least:g}" if most == np.inf else f"a number from {least:g} to {most:g}"
        )
    else:
        accepted = "a finite number"
    raise InvalidInput(f"{name} must be {accepted}, not {value!r}")


def check_whole_knob(name: str, value: Any, least: int, most: float = np.inf) -> None:
    """Raises InvalidInput where a knob is no whole number in the range, nor an array of such."""
    if isinstance(value, Tracer):
        return
    given = _numbers(value, whole=True)
    if given is None or np.any((given < least) | (given > most)):
        accepted = f"of at least {least}" if most == np.inf else f"from {least} to {most:g}"
        raise InvalidInput(f"{name} must be a whole number {accepted}, not {value!r}")


def check_rank(name: str, value: Any, rank: int = 0) -> None:
    """Raises InvalidInput where a knob of one environment has axes for several."""
    if np.ndim(value) > rank:
        wanted = "one number" if rank == 0 else f"an array of {rank} axes"
        raise InvalidInput(
            f"{name} must be {wanted} here, not one of shape {list(np.shape(value))}: for environments that"
            " differ in it, stack several and vmap over the stack"
        )


def check_switch(name: str, value: Any) -> None:
    """Raises InvalidInput where a knob is neither True nor False, nor an array of such."""
    is_array = isinstance(value, jax.Array | np.ndarray | np.generic) and value.dtype == bool
    if not (isinstance(value, bool) or is_array):
        raise InvalidInput(f"{name} must be True or False, not {value!r}")


def check_size(name: str, value: Any, least: int, largest: int | None) -> int:
    """Returns the static size for a knob (``largest``, or the knob's own), or raises InvalidInput."""
    if largest is not None and (not isinstance(largest, int) or isinstance(largest, bool) or largest < least):
        raise InvalidInput(f"max_{name} must be None or a whole number of at least {least}, not {largest!r}")
    if isinstance(value, Tracer):
        if largest is None:
            raise InvalidInput(f"max_{name} must be given where {name} is traced by jax: it fixes a shape")
        return largest
    check_whole_knob(name, value, least)
    greatest = int(np.max(value))
    if largest is not None and greatest > largest:
        raise InvalidInput(f"{name} must be at most max_{name}, which is {largest}, not {value!r}")
    return greatest if largest is None else largest


def check_count(name: str, value: Any, least: int) -> None:
    """Raises InvalidInput where what is static, and so one number, is no whole number of at least that."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InvalidInput(f"{name} must be a whole number of at least {least}, not {value!r}")


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raises InvalidInput where ``value`` is none of the choices, which are of one type."""
    if type(value) is not type(choices[0]) or value not in choices:
        accepted = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
        raise InvalidInput(f"{name} must be {accepted}, not {value!r}")


def check_seed(name: str, value: Any) -> None:
    """Raises InvalidInput where ``value`` is neither None nor a whole number that seeds a generator."""
    if value is not None and (type(value) is not int or not 0 <= value < 2**32):
        raise InvalidInput(f"{name} must be None or a whole number from 0 to 2**32 - 1, not {value!r}")


def array_knob(name: str, value: Any, shape: tuple[int, ...] = (), dtype: type = np.float32) -> Any:
    """Returns a knob that is an array of ``shape``, as it is or (a list of numbers, say) made one.

    Axes before that shape are those of several environments that differ in it.

    Raises:
        InvalidInput: it does not end in ``shape``, or it is none of finite numbers; of whole ones, where
            ``dtype`` is of such. What jax traces is looked at for its shape alone.
    """
    if not isinstance(value, Tracer):
        try:
            given = np.asarray(value)
        except (ValueError, TypeError) as error:  # rows of different lengths, or keys
            raise InvalidInput(f"{name} must be an array of shape {list(shape)}, not {value!r}") from error
        kinds = "iu" if np.issubdtype(dtype, np.integer) else "iuf"
        if given.dtype.kind not in kinds or not np.all(np.isfinite(given)):
            accepted = "whole" if kinds == "iu" else "finite"
            raise InvalidInput(f"{name} must be {accepted} numbers, not {value!r}")
        value = value if isinstance(value, jax.Array) else given.astype(dtype)
    if np.shape(value)[np.ndim(value) - len(shape) :] != shape:
        raise InvalidInput(f"{name} must be of shape {list(shape)}, not {list(np.shape(value))}")
    return value


def _numbers(value: Any, whole: bool) -> np.ndarray | None:
    """A number or an array of numbers as an array; None for anything else, such as None, a list or a bool."""
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        number = jnp.issubdtype(value.dtype, jnp.integer if whole else jnp.number)
        number = number and not jnp.issubdtype(value.dtype, jnp.complexfloating)
    else:
        number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not number:
        return None
    given = np.asarray(value)
    return given if given.size and given.dtype != object else None  # such as 10**400
