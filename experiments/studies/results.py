"""What studies came to: a file of JSON each, and the tables of two READMEs made of them."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

import purejaxrl
from purejaxrl.training import provenance
from purejaxrl.training.record import StorageError, read_json
from purejaxrl.types import InvalidInput
from studies.base import Figure, Measured, Outcome, Study, judge, measure

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"
README = ROOT / "README.md"
MARK = "results of studies"
"""Of the comments between which the README's table is."""
MINUS = "−"
VOLATILE = ("date", "machine", "compile_seconds", "run_seconds")
"""What of a result differs from run to run; all else is the same on the same machine."""


def result_of(study: Study, outcome: Outcome) -> dict[str, Any]:
    """A study's result as JSON holds it.

    Raises:
        InvalidInput: the run did not measure exactly the figures declared.
    """
    if set(outcome.values) != set(study.figures):
        raise InvalidInput(
            f"{study.name} declares the figures {', '.join(sorted(study.figures))}, and measured"
            f" {', '.join(sorted(outcome.values))}"
        )
    return {
        "study": study.name,
        "source": study.source,
        "run": portable(study.run.describe()),
        "conditions": outcome.conditions,
        "digest": outcome.digest,
        "figures": {name: figure_of(figure, outcome.values[name]) for name, figure in study.figures.items()},
        "compile_seconds": round(outcome.compile_seconds, 2),
        "run_seconds": round(outcome.run_seconds, 2),
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
    }


def figure_of(figure: Figure, values: np.ndarray) -> dict[str, Any]:
    """Each seed's number, null where the seed died, and what they come to."""
    found = measure(values)
    numbers = {
        name: None if math.isnan(value) else value for name, value in vars(found).items() if name != "died"
    }
    return {
        "values": [float(value) if math.isfinite(value) else None for value in values],
        **numbers,
        "published": str(figure.published) if figure.published else None,
        "verdict": str(judge(found, figure)) if figure.published else None,
    }


def machine() -> dict[str, Any]:
    """What ran it: no names of hosts, no paths."""
    session = provenance.session()
    kept = {name: session[name] for name in ("python", "platform", "versions")} | {"git": source_state()}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return kept | {"cores": cores, "devices": [device.device_kind for device in jax.devices()]}


def source_state() -> dict[str, Any] | None:
    """The commit of library and studies, and whether nothing differs from it; None outside of git.

    What the studies write themselves, results and READMEs, is no difference: else a second study in a
    clean clone would find it changed by the first. A library from elsewhere is one.
    """

    def git(folder: Path, *arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    library = Path(purejaxrl.__file__).parent
    written = (":(exclude,top)experiments/results", ":(exclude,top)README.md")
    try:
        changed = git(ROOT, "status", "--porcelain", "--", ":(top)", *written)
        together = git(ROOT, "rev-parse", "--show-toplevel") == git(library, "rev-parse", "--show-toplevel")
        return {"commit": git(ROOT, "rev-parse", "HEAD"), "clean": together and not changed}
    except (OSError, subprocess.SubprocessError):
        return None


def untraceable(result: Mapping[str, Any]) -> str | None:
    """Why nobody could run again what a result is of, in words; None where the source is known."""
    git = result["machine"]["git"]
    if git is None:
        return "it was made outside of git, and does not say of which source"
    if not git["clean"]:
        return f"the source had changes that commit {git['commit'][:10]} does not have"
    return None


def path_of(study: Study) -> Path:
    """Where a study's result is."""
    return RESULTS / f"{study.name}.json"


def read(study: Study) -> dict[str, Any] | None:
    """The result of a study, or None.

    Raises:
        StorageError: the file is damaged.
    """
    return read_json(path_of(study))


def write(study: Study, result: Mapping[str, Any]) -> Path:
    """Writes a result, whole or not at all.

    Raises:
        StorageError: it could not be written.
    """
    write_text(path_of(study), text_of(result))
    return path_of(study)


def text_of(result: Mapping[str, Any]) -> str:
    """A result as text: an indented line for each thing, lists of numbers on one."""
    text = json.dumps(result, indent=1, allow_nan=False)
    return re.sub(r"\[\s+([^][{}\"]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def values_of(result: Mapping[str, Any], name: str) -> np.ndarray:
    """Each seed's number of a figure ``[num_seeds]``, NaN where the seed died."""
    return np.array([np.nan if value is None else value for value in result["figures"][name]["values"]])


def judged(study: Study, result: Mapping[str, Any]) -> dict[str, Any]:
    """A result held against what the study now says was published."""
    figures = {name: figure_of(figure, values_of(result, name)) for name, figure in study.figures.items()}
    return {**result, "source": study.source, "figures": figures}


def changes(study: Study, result: Mapping[str, Any]) -> list[str]:
    """What of a study is not as it was when its result was made, each in words.

    A hyperparameter that has come since, or gone, counts only if it has or had a value of its own.
    """
    then, now = flat(result["run"]), flat(portable(study.run.describe()))
    defaults = flat(portable(study.run.defaults()))

    def differ(name: str) -> bool:
        default = defaults.get(name, ...)
        return then.get(name, default) != now.get(name, default)

    different = [
        f"{name}: {then.get(name, 'nothing')!r} in the result, {now.get(name, 'nothing')!r} now"
        for name in dict.fromkeys([*now, *then])
        if differ(name)
    ]
    if set(result["figures"]) != set(study.figures):
        different.append(f"figures: {sorted(result['figures'])} in the result, {sorted(study.figures)} now")
    return different


def portable(value: Any) -> Any:
    """A plain value without what JSON has no number for: an infinite one becomes a word."""
    if isinstance(value, Mapping):
        return {name: portable(one) for name, one in value.items()}
    if isinstance(value, list):
        return [portable(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted name."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def report(study: Study, result: Mapping[str, Any]) -> str:
    """Measured against published, a line for each figure."""
    lines = [f"{study.name}: {study.what}"]
    for name, figure in study.figures.items():
        found = measure(values_of(result, name))
        lines.append(f"  {figure.what}: {in_words(found, figure)}")
        if figure.published is not None:
            lines.append(f"    published {figure.published}; {judge(found, figure)}")
    lines.append(
        f"  digest {result['digest'][:16]}…, compile {result['compile_seconds']:.1f} s,"
        f" run {result['run_seconds']:.1f} s"
    )
    return "\n".join(lines)


def in_words(found: Measured, figure: Figure) -> str:
    """Mean ± standard deviation, interval and interquartile mean, or the one value that there is."""
    if not found.seeds:
        return "no seed is alive"
    mean, deviation, low, high, iqm = (
        f"{value:z.{figure.digits}f}"
        for value in (found.mean, found.deviation, found.low, found.high, found.interquartile_mean)
    )
    if found.seeds == 1:
        return mean
    return f"{mean} ± {deviation} over {found.seeds} seeds, interval [{low}, {high}], IQM {iqm}"


def elsewhere(result: Mapping[str, Any], conditions: Mapping[str, Any]) -> list[str]:
    """How the conditions of a result are others than these, each in words; if not, digests must agree."""
    return [
        f"{name} {then!r}, here {conditions.get(name)!r}"
        for name, then in result["conditions"].items()
        if then != conditions.get(name)
    ]


def unsaid(result: Mapping[str, Any], conditions: Mapping[str, Any]) -> list[str]:
    """Which of these conditions a result says nothing of: older ones have fewer."""
    return [name for name in conditions if name not in result["conditions"]]


COLUMNS = ("study", "figure", "published", "measured", "95 % interval", "IQM", "seeds", "verdict")


def table(sections: Mapping[str, Sequence[Study]]) -> str:
    """The README's table: for each section the published figures, or one where none is published."""
    lines: list[str] = []
    for title, studies in sections.items():
        if not studies:
            continue
        lines += [f"### {title}", "", *head(COLUMNS)]
        for study in studies:
            published = [name for name, figure in study.figures.items() if figure.published is not None]
            lines += [line_of(cells) for cells in rows(study, read(study), published or [*study.figures][:1])]
        lines.append("")
    return "\n".join(lines).rstrip()


def notes(sections: Mapping[str, Sequence[Study]]) -> str:
    """The README of the results: every figure, and what is to be known of each source and study."""
    lines = ["# Results of the studies", "", PREFACE, ""]
    for title, studies in sections.items():
        if not studies:
            continue
        lines += [f"## {title}", "", *head((*COLUMNS, "run, s"))]
        for study in studies:
            result = read(study)
            seconds = "" if result is None else f"{result['run_seconds']:.1f}"
            for number, cells in enumerate(rows(study, result, [*study.figures])):
                lines.append(line_of([*cells, seconds if number == 0 else ""]))
        lines.append("")
        sources: dict[tuple[str, str], dict[str, list[str]]] = {}
        for study in studies:
            alike = sources.setdefault((study.source, study.measure), {})
            alike.setdefault(study.note, []).append(f"`{study.name}`")
        for (source, measured), members in sources.items():
            names = ", ".join(name for alike in members.values() for name in alike)
            lines += [f"**{source}.** {sentences(measured)} Studies: {names}.".replace("  ", " "), ""]
            remarks = {note: alike for note, alike in members.items() if note}
            lines += [f"- {', '.join(alike)}: {sentences(note)}" for note, alike in remarks.items()]
            lines += [""] if remarks else []
    return "\n".join(lines).rstrip() + "\n"


PREFACE = """Written by `python experiments/reproduce.py --table`; the repository's README says what the
columns mean. Figures of which nothing was published are measured for information. After each table, for each
source: what was published, how it was measured, and where ours departs from it."""


def head(columns: Sequence[str]) -> list[str]:
    """The two lines that a table begins with."""
    return [line_of(columns), line_of(["---"] * len(columns))]


def line_of(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def rows(study: Study, result: Mapping[str, Any] | None, names: Sequence[str]) -> Iterator[list[str]]:
    """The cells of a study's lines, one for each of the figures named."""
    for number, name in enumerate(names):
        figure = study.figures[name]
        first = f"{study.what} (`{study.name}`)" if number == 0 else ""
        published = typeset(str(figure.published or "–"))
        if result is None:
            yield [first, figure.what, published, "not run yet", "", "", "", ""]
            continue
        found = measure(values_of(result, name))
        mean, deviation, low, high, iqm = (
            typeset(f"{value:z.{figure.digits}f}")
            for value in (found.mean, found.deviation, found.low, found.high, found.interquartile_mean)
        )
        alone = found.seeds + found.died == 1
        verdict = "" if figure.published is None else str(judge(found, figure))
        yield [
            first,
            figure.what,
            published,
            mean if alone else f"{mean} ± {deviation}",
            "" if alone else f"[{low}, {high}]",
            "" if alone else iqm,
            "" if alone else str(found.seeds + found.died),
            re.sub(r"^miss( \(better\))?", r"**miss\1**", verdict),
        ]


def spaced(number: float) -> str:
    """A whole number with spaces between its thousands."""
    return f"{number:,.0f}".replace(",", " ")


def typeset(text: str) -> str:
    """Text with a minus sign before every negative number."""
    return re.sub(r"(?<![\w.)])-(?=\d)", MINUS, text)


def sentences(said: str) -> str:
    """What a study says of itself, as a sentence."""
    return typeset(f"{said[0].upper()}{said[1:].rstrip('.')}.") if said else ""


def write_text(path: Path, text: str) -> None:
    """Writes a text, whole or not at all.

    Raises:
        StorageError: it could not be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text)
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def between(text: str, mark: str, made: str) -> str:
    """A README's text with what was made between the two comments of a name.

    Raises:
        InvalidInput: the comments are not there, once each and in order.
    """
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise InvalidInput(f"the README must have {begin} and after it {end}, once each")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n{made}\n{end}{after}"
