"""Several processes of one run: the first has the folder, and what goes wrong there is told to all."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from purejaxrl.training.record import StorageError
from purejaxrl.types import InvalidInput

T = TypeVar("T")
LENGTH = 4096  # bytes of a message


def by_first(function: Callable[[], T]) -> T | None:
    """Has the first process call ``function`` while the others wait; those get None.

    Raises:
        InvalidInput: in every process, where the first raised it.
        StorageError: likewise.
    """
    if jax.process_count() == 1:
        return function()
    result, message = None, ""
    wait("before what the first process does alone")  # lest it change what others still read
    if jax.process_index() == 0:
        try:
            result = function()
        except (InvalidInput, StorageError) as error:
            message = f"{type(error).__name__}:{error}"
    told = np.zeros(LENGTH, np.uint8)
    encoded = message.encode()[:LENGTH]
    told[: len(encoded)] = np.frombuffer(encoded, np.uint8)
    answer = (
        bytes(np.asarray(multihost_utils.broadcast_one_to_all(told))).rstrip(b"\0").decode(errors="ignore")
    )
    if answer:
        kind, _, text = answer.partition(":")
        raise (InvalidInput if kind == "InvalidInput" else StorageError)(text)
    return result


def wait(what: str) -> None:
    """Returns once all processes are here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def any_of(flag: bool) -> bool:
    """Whether ``flag`` is set in any of the processes."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


@contextlib.contextmanager
def handled(handler: Callable[[int, Any], None], *numbers: int) -> Iterator[None]:
    """Has ``handler`` called at these signals for the length of a block."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where none is ever heard
        return
    with contextlib.ExitStack() as stack:  # each is given back, whatever the handler before it does
        for number in numbers:
            stack.callback(signal.signal, number, signal.signal(number, handler))
        yield


@contextlib.contextmanager
def heard() -> Iterator[list[int]]:
    """Collects Ctrl-C and SIGTERM for the length of a block, instead of having them interrupt it."""
    signals: list[int] = []
    with handled(lambda number, _: signals.append(number), signal.SIGINT, signal.SIGTERM):
        yield signals


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Puts off Ctrl-C and SIGTERM until the end of a block, so that what it writes is whole."""
    with heard() as signals:
        yield
    if signals:
        signal.raise_signal(signals[0])
