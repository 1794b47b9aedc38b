"""What scripts share that run variants side by side and leave a record, figures and the README's table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console

from purejaxrl.command_line import stopped_by_signals
from purejaxrl.console import run_with_progress
from purejaxrl.training import Experiment, Keeping
from purejaxrl.training.record import read_json
from purejaxrl.types import InvalidInput
from studies import results, running

K = TypeVar("K")


class Given(Protocol):
    """The arguments that such scripts have in common."""

    @property
    def num_seeds(self) -> int: ...
    @property
    def total_steps(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def output(self) -> Path: ...
    @property
    def publish(self) -> bool: ...


def published() -> Path:
    """The folder of the records and figures that are committed."""
    return results.RESULTS / "figures"


def make_console() -> Console:
    """Where progress is shown."""
    return Console(stderr=True, soft_wrap=True, markup=False, highlight=False)


def outcomes(
    experiments: Mapping[K, tuple[str, Experiment[Any]]], output: Path, console: Console, keeping: Keeping
) -> Iterator[tuple[K, Experiment[Any], Path, Any]]:
    """Runs experiments one after another, each going on where it was interrupted.

    Args:
        experiments: by key; the string is where in ``output`` its folder is, and its name as it runs.
        output: the folder of all runs.
        console: where progress is shown.
        keeping: what is kept of each.

    Yields:
        The key, the experiment, its folder, and its result.

    Raises:
        KeyboardInterrupt: one was interrupted, and has been saved.
    """
    with stopped_by_signals():
        for number, (key, (name, experiment)) in enumerate(experiments.items(), start=1):
            folder = output / name
            prefix = f"{number} of {len(experiments)}, {name}: "
            result = run_with_progress(experiment, folder, console, keeping, resume=True, prefix=prefix)
            if result.ended == "interrupted":
                raise KeyboardInterrupt
            yield key, experiment, folder, result


def provenance(given: Given, seeds: str) -> dict[str, Any]:
    """What a record says of how it came to be."""
    return {
        "num_seeds": given.num_seeds,
        "total_steps": given.total_steps,
        "seed": given.seed,
        "conditions": running.conditions(seeds),
        "date": time.strftime("%Y-%m-%d"),
        "machine": results.machine(),
    }


def leave(
    record: Mapping[str, Any], name: str, draw: Callable[[Path], list[Path]], given: Given, console: Console
) -> None:
    """Writes a record, draws its figures, and says where they are and whether they can be traced."""
    folder = published() if given.publish else given.output
    results.write_text(folder / f"{name}.json", results.text_of(record))
    print(f"\n{', '.join(map(str, draw(folder)))}")
    doubt = results.untraceable(record)
    if given.publish and doubt is not None:
        console.print(f"warning: this result cannot be traced: {doubt}")


def read(name: str) -> dict[str, Any]:
    """A record that is published.

    Raises:
        InvalidInput: there is none.
    """
    path = published() / f"{name}.json"
    record = read_json(path)
    if record is None:
        raise InvalidInput(f"nothing is published: {path} is not there; see --publish")
    return record


def write_table(mark: str, table: str, of: str) -> None:
    """Puts a table between the README's comments that are marked so, and says of what it is."""
    results.write_text(results.README, results.between(results.README.read_text(), mark, table))
    print(f"{results.README.name}: the table of {of}")
