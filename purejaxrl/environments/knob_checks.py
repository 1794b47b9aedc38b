"""Checks of the knobs of environments beside those of :mod:`purejaxrl.checks`."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from purejaxrl.types import InvalidInput


def known_zero(knob: Any) -> bool:
    """Whether a knob is known to be 0 before anything runs, so that nothing need be drawn for it."""
    return isinstance(knob, int | float) and knob == 0


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raises InvalidInput where ``value`` is none of the choices."""
    if isinstance(value, bool) != isinstance(choices[0], bool) or value not in choices:
        accepted = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
        raise InvalidInput(f"{name} must be {accepted}, not {value!r}")


def check_whole_knob(name: str, value: Any, least: int, most: float = np.inf) -> None:
    """Raises InvalidInput where a knob that jax does not trace is no whole number in the range.

    An array of them, one for each of several environments, is one, too.
    """
    if isinstance(value, Tracer):
        return
    given = np.asarray(value)
    if not np.issubdtype(given.dtype, np.integer) or np.any((given < least) | (given > most)):
        accepted = f"of at least {least}" if most == np.inf else f"from {least} to {most:g}"
        raise InvalidInput(f"{name} must be a whole number {accepted}, not {value!r}")


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
        except ValueError as error:  # rows of different lengths
            raise InvalidInput(f"{name} must be an array of shape {list(shape)}, not {value!r}") from error
        kinds = "iu" if np.issubdtype(dtype, np.integer) else "iuf"
        if given.dtype.kind not in kinds or not np.all(np.isfinite(given)):
            accepted = "whole" if kinds == "iu" else "finite"
            raise InvalidInput(f"{name} must be {accepted} numbers, not {value!r}")
        value = value if isinstance(value, jax.Array) else given.astype(dtype)
    if np.shape(value)[np.ndim(value) - len(shape) :] != shape:
        raise InvalidInput(f"{name} must be of shape {list(shape)}, not {list(np.shape(value))}")
    return value
