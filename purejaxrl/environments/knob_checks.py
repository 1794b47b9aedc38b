"""Checks of the knobs of environments beside those of :mod:`purejaxrl.checks`."""

from __future__ import annotations

from typing import Any

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


def check_array(name: str, value: Any, shape: tuple[int, ...]) -> None:
    """Raises InvalidInput where an array does not end in ``shape``, or is not finite numbers.

    Axes before that are those of several environments that differ in it.
    """
    given = np.shape(value)
    if given[len(given) - len(shape) :] != shape:
        raise InvalidInput(f"{name} must be of shape {list(shape)}, not {list(given)}")
    if not isinstance(value, Tracer) and not np.all(np.isfinite(np.asarray(value, np.float64))):
        raise InvalidInput(f"{name} must be finite numbers, not {value!r}")
