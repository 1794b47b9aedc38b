"""Runs declared studies and holds what they measure against what was published.

python experiments/reproduce.py --list
python experiments/reproduce.py dqn-cleanrl-cartpole
python experiments/reproduce.py --all
python experiments/reproduce.py --check dqn-cleanrl-cartpole
python experiments/reproduce.py --table

A study is a value in experiments/studies/: an agent with its hyperparameters, an environment, how long, how
many seeds of which root key, the published figures and where they are from. Its result goes to
experiments/results/NAME.json: what was run, on which versions, every seed's figures, and a digest of the
final parameters. A second run on the same machine has the same digest, which --check confirms. One that
is interrupted leaves no result; one of hours goes on from its last checkpoint when it is run again.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import studies
import tyro
from rich.console import Console
from studies import results
from studies.base import Study

from purejaxrl.command_line import exit_code, stopped_by_signals, use_cache, use_devices
from purejaxrl.types import InvalidInput


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Runs declared studies and holds what they measure against what was published."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Studies to run, by name."""
    list: bool = False
    """Name every study, with what was published and what came of it."""
    all: bool = False
    """Run every study that has no result yet, or has changed since; those that take days only by name."""
    again: bool = False
    """With --all, run those that have a result, too."""
    check: bool = False
    """Run again and compare with the results there are, all of them with --all; write none."""
    table: bool = False
    """Judge all results again, and write the README's table and experiments/results/README.md from them."""


def main(words: Sequence[str]) -> int:
    """Does what the command line asks for, and returns the exit code.

    0, whether figures are met or missed; 1 where a check finds another digest; 2 where something given
    cannot work; 130 where a run was interrupted.
    """
    given = tyro.cli(Arguments, args=words, description=__doc__)
    if given.again and not given.all:
        raise InvalidInput("--again goes with --all")
    if given.check and not (given.all or given.names):
        raise InvalidInput("--check goes with names or --all")
    chosen = [studies.get(name) for name in given.names]
    if given.all:
        if chosen:
            raise InvalidInput("--all takes no names")
        known = [study for study in studies.all_studies().values() if study.cost != "days"]
        if given.check:
            chosen = [study for study in known if results.read(study) is not None]
        else:
            chosen = [study for study in known if given.again or not up_to_date(study)]
    elif not (chosen or given.list or given.table):
        raise InvalidInput("name a study, or give --all, --list or --table")
    out = Console(soft_wrap=True, markup=False, highlight=False)
    if given.list:
        out.print(listing())
    if chosen:
        use_devices("all", None, max(seeds_of(study) for study in chosen))
        use_cache(None)
    code = 0
    for study in chosen:  # all are looked at before any is run
        study.check()
    recorded = recorded_of(chosen) if given.check else {}
    for number, study in enumerate(chosen, start=1):
        if len(chosen) > 1:
            out.print(f"study {number} of {len(chosen)}")
        with stopped_by_signals():
            code = max(code, check(study, recorded[study.name], out) if given.check else run(study, out))
    if given.table:
        for study in studies.all_studies().values():
            result = results.read(study)
            if result is not None and results.judged(study, result) != result:
                results.write(study, results.judged(study, result))
        made = results.between(results.README.read_text(), results.MARK, results.table(studies.SECTIONS))
        results.write_text(results.README, made)
        results.write_text(results.RESULTS / "README.md", results.notes(studies.SECTIONS))
        out.print(f"{results.README.name}: the table of {len(studies.all_studies())} studies")
    return code


def run(study: Study, out: Console) -> int:
    """Runs a study, writes its result and says what came of it."""
    try:
        outcome = study.run.run(study.name)
    except KeyboardInterrupt:
        out.print(f"{study.name}: interrupted, and so without a result")
        raise
    result = results.result_of(study, outcome)
    results.write(study, result)
    out.print(results.report(study, result))
    doubt = results.untraceable(result)
    if doubt is not None:
        Console(stderr=True, soft_wrap=True, markup=False, highlight=False).print(
            f"warning: {study.name}: this result cannot be traced: {doubt}"
        )
    return 0


def recorded_of(chosen: Sequence[Study]) -> dict[str, dict[str, Any]]:
    """The results that studies are to be compared with, by name.

    Raises:
        InvalidInput: one has none, or has changed since; the message names all that do.
    """
    found, amiss = {}, []
    for study in chosen:
        result = results.read(study)
        if result is None:
            amiss.append(f"{study.name} has no result to compare with")
        elif different := results.changes(study, result):
            amiss.append(f"{study.name} has changed since its result was made: {'; '.join(different)}")
        else:
            found[study.name] = result
    if amiss:
        raise InvalidInput(". ".join(amiss))
    return found


def check(study: Study, recorded: Mapping[str, Any], out: Console) -> int:
    """Runs a study again and says whether its parameters are those of its result; 1 if not."""
    outcome = study.run.run(study.name)
    elsewhere = results.elsewhere(recorded, outcome.conditions)
    same = outcome.digest == recorded["digest"]
    out.print(f"{study.name}: {'the same' if same else 'another'} digest, {outcome.digest[:16]}…")
    if elsewhere and not same:
        out.print(f"  the result was made under other conditions: {'; '.join(elsewhere)}")
    unsaid = results.unsaid(recorded, outcome.conditions)
    if unsaid and not same:
        out.print(f"  the result does not say of its {' and '.join(unsaid)}")
    return 0 if same else 1


def up_to_date(study: Study) -> bool:
    """Whether a study has a result, and is what it was then."""
    result = results.read(study)
    return result is not None and not results.changes(study, result)


def seeds_of(study: Study) -> int:
    """How many seeds a study has."""
    return int(study.run.describe().get("num_seeds", 1))


def listing() -> str:
    """Every study in a few lines: name, cost, what it is, and its figures."""
    lines = []
    for title, members in studies.SECTIONS.items():
        lines.append(title)
        for study in members:
            result = results.read(study)
            state = "not run yet" if result is None else f"run on {result['date']}"
            if result is not None and results.changes(study, result):
                state += ", changed since: " + "; ".join(results.changes(study, result))
            lines.append(f"  {study.name}  {study.what}  ({study.cost}; {state})")
            for name, figure in study.figures.items():
                if figure.published is not None:
                    verdict = verdict_of(study, result, name)
                    lines.append(f"    {figure.what}: published {figure.published}{verdict}")
    return "\n".join(lines)


def verdict_of(study: Study, result: dict[str, Any] | None, name: str) -> str:
    """What the result says of a figure, in words to append."""
    if result is None or name not in result["figures"]:
        return ""
    figure = study.figures[name]
    found = results.measure(results.values_of(result, name))
    return f", measured {results.in_words(found, figure)}: {results.judge(found, figure)}"


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
