"""What studies came to: a file of JSON each, and the README's table made of them."""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from purejaxrl.training import provenance
from purejaxrl.training.record import StorageError, read_json
from purejaxrl.types import InvalidInput
from studies.base import Figure, Measured, Outcome, Study, judge, measure

RESULTS = Path(__file__).resolve().parents[1] / "results"
README = Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- results of studies: begin -->", "<!-- results of studies: end -->"
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
        "verdict": str(judge(found, figure.published)) if figure.published else None,
    }


def machine() -> dict[str, Any]:
    """What ran it: no names of hosts, no paths."""
    session = provenance.session()
    kept = {name: session[name] for name in ("python", "platform", "versions", "git")}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return kept | {"cores": cores, "devices": [device.device_kind for device in jax.devices()]}


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
    path = path_of(study)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text_of(result))
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"{path} could not be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


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

    A hyperparameter that has come since counts only if the study sets it to something of its own.
    """
    then, now = flat(result["run"]), flat(portable(study.run.describe()))
    defaults = flat(portable(study.run.defaults()))
    different = [
        f"{name}: {then.get(name, 'nothing')!r} in the result, {now.get(name, 'nothing')!r} now"
        for name in dict.fromkeys([*now, *then])
        if then.get(name, defaults.get(name, ...)) != now.get(name, ...)
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
            lines.append(f"    published {figure.published}; {judge(found, figure.published)}")
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


def table(sections: Mapping[str, Sequence[Study]]) -> str:
    """The README's table: for each section its figures, and what is to be known of its studies."""
    lines: list[str] = []
    for title, studies in sections.items():
        if not studies:
            continue
        lines += [f"### {title}", ""]
        lines += ["| study | figure | published | measured | 95 % interval | IQM | seeds | run, s | |"]
        lines += ["| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
        for study in studies:
            lines += rows(study, read(study))
        lines.append("")
        alike: dict[str, list[str]] = {}
        for study in studies:
            alike.setdefault(remarks(study), []).append(f"`{study.name}`")
        lines += [f"- {', '.join(names)}: {remark}" for remark, names in alike.items()]
        lines.append("")
    return "\n".join(lines).rstrip()


def rows(study: Study, result: Mapping[str, Any] | None) -> Iterator[str]:
    """A study's lines of the table."""
    for number, (name, figure) in enumerate(study.figures.items()):
        first = f"{study.what} (`{study.name}`)" if number == 0 else ""
        published = str(figure.published or "–")
        if result is None:
            cells = [first, figure.what, published, "not run yet", "", "", "", "", ""]
        else:
            found = measure(values_of(result, name))
            mean, deviation, low, high, iqm = (
                f"{value:z.{figure.digits}f}"
                for value in (found.mean, found.deviation, found.low, found.high, found.interquartile_mean)
            )
            alone = found.seeds + found.died == 1
            verdict = "" if figure.published is None else str(judge(found, figure.published))
            verdict = verdict.replace("miss", "**miss**", 1)
            cells = [
                first,
                figure.what,
                published,
                mean if alone else f"{mean} ± {deviation}",
                "" if alone else f"[{low}, {high}]",
                "" if alone else iqm,
                "" if alone else str(found.seeds + found.died),
                f"{result['run_seconds']:.1f}" if number == 0 else "",
                verdict,
            ]
        numbers = [cell.replace("-", MINUS) for cell in cells[2:6]]
        yield "| " + " | ".join([*cells[:2], *numbers, *cells[6:]]) + " |"


def remarks(study: Study) -> str:
    """Source, how it is measured and what differs, in one line."""
    said = [f"source: {study.source}", study.measure, study.note]
    return " ".join(f"{part[0].upper()}{part[1:].rstrip('.')}." for part in said if part)


def with_table(text: str, made: str) -> str:
    """A README's text with the table between the two marks.

    Raises:
        InvalidInput: the marks are not there, once each and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise InvalidInput(f"the README must have {BEGIN} and after it {END}, once each")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{made}\n{END}{after}"
