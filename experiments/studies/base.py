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
        interval: the value lies in the 95 % bootstrap interval of our mean; or, where the published
            value has a standard error, that interval and value ± standard error overlap.
        at least, at most: one-sided; the same, or our mean is beyond the value.
        exactly: our mean is within ``tolerance`` of it.
    """

    value: float
    spread: float | None = None
    """Standard deviation over ``runs`` independent runs; its standard error is spread / √runs."""
    runs: int | None = None
    """How many runs the value is a mean of."""
    standard_error: float | None = None
    """Of the value, where that is what was published."""
    rule: Rule = "interval"
    tolerance: float = 0.0
    """Of the rule "exactly"."""

    def __post_init__(self) -> None:
        checks.one_of(self, "rule", ("interval", "at least", "at most", "exactly"))
        checks.finite(self, "value", "spread", "standard_error", "tolerance")
        checks.within(self, 0, np.inf, "spread", "standard_error", "tolerance")

    @property
    def error(self) -> float:
        """The standard error of the value, 0 where nothing is known of it."""
        if self.standard_error is not None:
            return self.standard_error
        return self.spread / math.sqrt(self.runs) if self.spread is not None and self.runs else 0.0

    def __str__(self) -> str:
        sign = {"at least": "≥ ", "at most": "≤ "}.get(self.rule, "")
        spread = self.standard_error if self.standard_error is not None else self.spread
        return f"{sign}{self.value:g}" + (f" ± {spread:g}" if spread is not None else "")


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number that a study measures in every seed."""

    what: str
    """In words, as the table has it."""
    published: Published | None = None
    """None is measured for information alone."""
    digits: int = 2
    """Digits after the point."""


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
        """Of parts of the description, what they are where nothing is said."""
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
    """What differs from the source, and what was tried where a figure is missed."""
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

    def __str__(self) -> str:
        return f"{'pass' if self.met else 'miss'}: {self.because}"


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


def judge(measured: Measured, published: Published) -> Verdict:
    """Holds a measured figure against the published one, by the rule of the latter.

    A study of which a seed died has missed: a mean over survivors says too little.
    """
    if measured.died:
        return Verdict(False, f"{measured.died} of {measured.died + measured.seeds} seeds died")
    value, error, mean = published.value, published.error, measured.mean
    if published.rule == "exactly":
        met = abs(mean - value) <= published.tolerance
        return Verdict(met, f"{abs(mean - value):.3g} off, {published.tolerance:g} allowed")
    if (published.rule == "at least" and mean >= value) or (published.rule == "at most" and mean <= value):
        return Verdict(True, "reached")
    if measured.low <= value <= measured.high:
        return Verdict(True, "inside the interval")
    if measured.low <= value + error and measured.high >= value - error:
        return Verdict(True, "the interval meets the published ± its standard error")
    beyond = measured.low - value if value < measured.low else value - measured.high
    side = "above" if value < measured.low else "below"
    return Verdict(False, f"the interval ends {beyond:.3g} {side}")
