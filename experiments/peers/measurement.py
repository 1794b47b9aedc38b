"""What the runners share: a Task comes as JSON on the command line, an Outcome leaves as JSON.

Every runner is a process of its own, executed by the Python that has its library, so this file needs
no more than the standard library. A runner times three things apart: what it takes until there is a
program to run, the run itself, and nothing else; the final policy is evaluated after the clock stops.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence

EVALUATION_EPISODES = 20
"""Greedy episodes of each seed's final policy."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One run to be measured."""

    workload: str
    """w1, w2, w3 or w4; see experiments/benchmark.py."""
    total_steps: int
    """Environment steps of each seed, warm-up included."""
    updates: int
    """Gradient steps that come of them."""
    num_seeds: int
    """Independent runs at once."""
    root: int
    """Root of the random numbers; it differs from round to round."""
    variant: str = ""
    """Which way of its own the runner should go."""
    seeds: str = "auto"
    """How a device takes its seeds: vmap, map or auto."""
    devices: int = 1
    """XLA devices to make of the host's cores and to share the seeds among."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of it."""

    compile_seconds: float
    """From the library's first call to a compiled program."""
    run_seconds: float
    """The run, from the first environment step to the last update."""
    processor_seconds: float
    """Processor time of the run, all threads together; little of it for the time taken is a busy machine."""
    peak_bytes: int | None
    """The process's largest resident set until the run ended; None where the system does not say."""
    returns: tuple[float, ...] = ()
    """Mean return of each seed's final policy, greedy; empty where nothing is learned."""


class Clock:
    """Times a run: ``compiled()`` between the two parts, ``outcome()`` after the second."""

    def __init__(self) -> None:
        self._compile_seconds = 0.0
        self._start = time.perf_counter()
        self._processor_start = time.process_time()

    def compiled(self) -> None:
        """Ends the compilation and begins the run."""
        now = time.perf_counter()
        self._compile_seconds = now - self._start
        self._start, self._processor_start = now, time.process_time()

    def outcome(self, compiled_within: Callable[[], float] = lambda: 0.0) -> Outcome:
        """Ends the run. ``compiled_within`` says how many seconds of it went into compilation."""
        run_seconds = time.perf_counter() - self._start
        within = compiled_within()
        return Outcome(
            compile_seconds=self._compile_seconds + within,
            run_seconds=run_seconds - within,
            processor_seconds=time.process_time() - self._processor_start,
            peak_bytes=peak_bytes(),
        )


def peak_bytes() -> int | None:
    """The largest resident set of this process so far, in bytes; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def with_returns(outcome: Outcome, returns: Sequence[float]) -> Outcome:
    """The outcome with the evaluation that followed it."""
    return dataclasses.replace(outcome, returns=tuple(float(value) for value in returns))


def answer(measure: Callable[[Task], Outcome]) -> None:
    """Reads the task, measures it, and writes the outcome as the last line of the output."""
    task = Task(**json.loads(sys.argv[1]))
    print(json.dumps(dataclasses.asdict(measure(task))))
