"""What a study is: something to run, figures to take of it, and what was published of each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np

from purejaxrl import analysis, checks
from purejaxrl.types import InvalidInput

Rule = Literal["interval", "at least", "at most", "exactly"]


@dataclasses.dataclass(frozen=True)
class Published:
    """A figure that somebody published, and what it takes to meet it.

    Rules:
        interval: the value lies in the 95 % bootstrap interval of our mean.
        at least, at most: our mean reaches the value.
        exactly: our mean is within ``tolerance`` of it.
    """

    value: float
    spread: float | None = None
    """What the source has after its ±. It is shown and decides nothing."""
    spread_of: str = ""
    """What that is, in words: the standard deviation of 3 seeds, say. A spread must have some."""
    rule: Rule = "interval"
    tolerance: float = 0.0
    """Of the rule "exactly"."""

    def __post_init__(self) -> None:
        checks.one_of(self, "rule", ("interval", "at least", "at most", "exactly"))
        checks.finite(self, "value", "spread", "tolerance")
        checks.within(self, 0, np.inf, "spread", "tolerance")
        if (self.spread is None) == bool(self.spread_of):
            raise InvalidInput(
                "a spread and what it is go together, not"
                f" spread={self.spread!r} and spread_of={self.spread_of!r}"
            )

    def __str__(self) -> str:
        sign = {"at least": "≥ ", "at most": "≤ "}.get(self.rule, "")
        spread = "" if self.spread is None else f" ± {self.spread:g} ({self.spread_of})"
        return f"{sign}{self.value:g}{spread}"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number that a study measures in every seed."""

    what: str
    """In words, as the table has it."""
    published: Published | None = None
    """None is measured for information alone."""
    digits: int = 2
    """Digits after the point."""
    better: Literal["higher", "lower"] = "higher"
    """Which way is better: a miss on that side is said to be one."""

    def __post_init__(self) -> None:
        checks.one_of(self, "better", ("higher", "lower"))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run of a study came to."""

    values: dict[str, np.ndarray]
    """Of each figure, one number per seed ``[num_seeds]``, or one in all where nothing is random."""
    digest: str
    """SHA-256 of the final parameters of every seed."""
    conditions: dict[str, Any]
    """On what, besides the study itself, the digest depends."""
    compile_seconds: float
    run_seconds: float


class Running(Protocol):
    """What a study runs."""

    def describe(self) -> dict[str, Any]:
        """All that is declared, as plain values; nothing starts JAX."""
        ...

    def defaults(self) -> dict[str, Any]:
        """Of parts of the description, what they are where nothing is said; also of parts that are gone."""
        ...

    def check(self, figures: Mapping[str, Figure]) -> None:
        """Raises InvalidInput where it cannot work, before anything is compiled."""
        ...

    def run(self, name: str) -> Outcome:
        """Runs it under a line of progress. Raises KeyboardInterrupt where it is interrupted."""
        ...


@dataclasses.dataclass(frozen=True)
class Study:
    """A reproduction, declared."""

    name: str
    """A short one, of lower case letters, digits and hyphens."""
    what: str
    """Algorithm, task and length, in a few words."""
    run: Running
    figures: Mapping[str, Figure]
    """By the names that the run gives them."""
    source: str
    """Where the settings and the published figures are from."""
    measure: str = ""
    """How the published figures were measured, and how ours are."""
    note: str = ""
    """What differs from the source, and what was tried where a figure is missed; numbers as in the table."""
    cost: Literal["seconds", "minutes", "hours", "days"] = "seconds"
    """How long it takes on two CPU cores; those of seconds run with the tests, those of days only by name."""

    def check(self) -> None:
        """Raises InvalidInput where it cannot work, before anything is compiled."""
        checks.one_of(self, "cost", ("seconds", "minutes", "hours", "days"))
        if not self.figures:
            raise InvalidInput(f"{self.name} measures nothing: figures must name one number or more")
        self.run.check(self.figures)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a published figure was met, and why."""

    met: bool
    because: str
    better: bool = False
    """Of a miss: the mean is on the better side of the published figure."""

    def __str__(self) -> str:
        outcome = "pass" if self.met else "miss (better)" if self.better else "miss"
        return f"{outcome}: {self.because}"


@dataclasses.dataclass(frozen=True)
class Measured:
    """Statistics of a figure over the seeds that are finite."""

    mean: float
    deviation: float
    low: float
    high: float
    interquartile_mean: float
    seeds: int
    died: int


def measure(values: np.ndarray) -> Measured:
    """Mean, standard deviation, 95 % bootstrap interval and interquartile mean of ``[num_seeds]``."""
    values = np.asarray(values, np.float64)
    alive = values[np.isfinite(values)]
    if not len(alive):
        nothing = math.nan
        return Measured(nothing, nothing, nothing, nothing, nothing, 0, len(values))
    low, high = analysis.bootstrap_interval(alive)
    return Measured(
        mean=float(alive.mean()),
        deviation=float(alive.std()),
        low=float(low),
        high=float(high),
        interquartile_mean=float(analysis.interquartile_mean(alive)),
        seeds=len(alive),
        died=len(values) - len(alive),
    )


ROUNDING = 1e-6
"""What float32 loses, of a value: no reason to miss it."""


def judge(measured: Measured, figure: Figure) -> Verdict:
    """Holds a measured figure against the published one, by the rule of the latter.

    A study of which a seed died has missed: a mean over survivors says too little.

    Raises:
        InvalidInput: nothing was published of it.
    """
    published = figure.published
    if published is None:
        raise InvalidInput(f"nothing was published of the {figure.what}")
    if measured.died:
        return Verdict(False, f"{measured.died} of {measured.died + measured.seeds} seeds died")
    value, mean = published.value, measured.mean
    if published.rule == "exactly":
        met = abs(mean - value) <= published.tolerance
        return Verdict(met, f"{abs(mean - value):.3g} off, {published.tolerance:g} allowed")
    # A mean of float32 returns that are all 500 may be 499.99997.
    rounding = ROUNDING * max(abs(value), 1.0)
    above = mean > value
    side, better = ("above" if above else "below"), above == (figure.better == "higher")
    if published.rule in ("at least", "at most"):
        if abs(mean - value) <= rounding or above == (published.rule == "at least"):
            return Verdict(True, "the mean reaches it")
        return Verdict(False, f"the mean is {abs(mean - value):.3g} {side}", better)
    if measured.low - rounding <= value <= measured.high + rounding:
        return Verdict(True, "inside the interval")
    beyond = measured.low - value if value < measured.low else value - measured.high
    return Verdict(False, f"the interval ends {beyond:.3g} {side}", better)
