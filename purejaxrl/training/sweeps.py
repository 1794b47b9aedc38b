"""Sweeps: which hyperparameters, settings and knobs of an environment to try, as values.

A point of a sweep is a tuple of names and values, such as ``(("config.learning_rate", 1e-3),
("settings.num_envs", 8), ("environment_options.noise", 0.1))``. Nothing here runs anything:
:func:`points` reads what to try, :func:`apply` puts one point's values where they belong.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import itertools
import math
import types
import typing
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from purejaxrl.training.settings import Settings
from purejaxrl.types import InvalidInput

C = TypeVar("C")
Point = tuple[tuple[str, Any], ...]

RANGES = ("uniform", "log-uniform")


def points(
    sweep: Sequence[Sequence[str]], config: Any, settings: Settings, samples: int, seed: int
) -> tuple[Point, ...]:
    """The points of a sweep, each with its pairs in the order in which they were given.

    Lists of values make a grid, the first name slowest. Ranges are drawn together ``samples`` times, and
    each grid point goes through all the draws. A draw is a function of ``seed``, the name and the draw's
    number alone: more samples, or another dimension, change none of it.

    Args:
        sweep: words for each dimension: a name and its values, ``["config.tau", "0.1", "1"]``, or a name
            and a range, ``["config.learning-rate", "log-uniform", "1e-5", "1e-2"]`` (or ``uniform``).
            A name is ``config.X`` of a hyperparameter, ``X`` or ``settings.X`` of a setting, or
            ``environment-options.X``; dashes are underscores.
        config: the agent's Config, whose annotations say how values are read.
        settings: the same of Settings.
        samples: how often the ranges are drawn.
        seed: root of the draws.

    Returns:
        The points; one empty point where nothing is swept.

    Raises:
        InvalidInput: an unknown name, a value that its field cannot hold, a range that is empty or of a
            field that is no float, something given twice.
    """
    kinds = _kinds(config, settings)
    lists: dict[str, list[Any]] = {}
    ranges: dict[str, list[float]] = {}
    order: list[str] = []
    for words in sweep:
        if not words:
            raise InvalidInput("a sweep is written NAME VALUE… or NAME uniform LOW HIGH, and names nothing")
        name = _resolve(words[0], kinds)
        if name in order:
            raise InvalidInput(f"{name} is swept twice; give all of its values to one sweep")
        order.append(name)
        if len(words) > 1 and words[1].replace("_", "-") in RANGES:
            ranges[name] = _draw(name, kinds.get(name), words[1].replace("_", "-"), words[2:], samples, seed)
        else:
            lists[name] = _values(name, kinds.get(name), words[1:])
    grid = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    draws = [dict(zip(ranges, values, strict=True)) for values in zip(*ranges.values(), strict=True)] or [{}]
    return tuple(tuple((name, (one | other)[name]) for name in order) for one in grid for other in draws)


def apply(
    point: Point, config: C, settings: Settings, environment_options: tuple[str, ...]
) -> tuple[C, Settings, tuple[str, ...]]:
    """The same three with a point's values in them, to be checked like any others.

    Args:
        point: as :func:`points` gives it.
        config: the agent's Config.
        settings: how much of everything.
        environment_options: each as name=value; one of a name that the point has is replaced, others stay.

    Raises:
        InvalidInput: the point has a name that is none of theirs.
    """
    kinds = _kinds(config, settings)
    changes: dict[str, dict[str, Any]] = {"config": {}, "settings": {}, "environment_options": {}}
    for name, value in point:
        group, _, field = _resolve(name, kinds).partition(".")
        changes[group][field] = value
    options = {option.partition("=")[0]: option for option in environment_options}
    options |= {name: f"{name}={_written(value)}" for name, value in changes["environment_options"].items()}
    return (
        dataclasses.replace(config, **changes["config"]),  # type: ignore[type-var]
        dataclasses.replace(settings, **changes["settings"]),
        tuple(options.values()),
    )


def label(point: Point) -> str:
    """A point in a few words, such as ``learning_rate=0.001, num_envs=8``; empty where it is."""
    names = short_names([name for name, _ in point])
    return ", ".join(f"{short}={text(value)}" for short, (_, value) in zip(names, point, strict=True))


def short_names(names: Sequence[str]) -> list[str]:
    """Dotted names without what is before the dot, but for those that would be the same."""
    last = [name.rpartition(".")[2] for name in names]
    return [name if last.count(short) > 1 else short for name, short in zip(names, last, strict=True)]


def text(value: Any) -> str:
    """A value as a reader would write it: six digits of a float, ``64,64`` for a tuple."""
    if isinstance(value, float | np.floating):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return ",".join(text(item) for item in value)
    return str(value)


def _kinds(config: Any, settings: Settings) -> dict[str, Any]:
    """The annotation of every field that has a name of its own, by dotted name."""
    return {
        f"{group}.{field.name}": typing.get_type_hints(type(holder))[field.name]
        for group, holder in (("config", config), ("settings", settings))
        for field in dataclasses.fields(holder)
    }


def _resolve(given: str, kinds: dict[str, Any]) -> str:
    """The dotted name that is meant."""
    name = given.replace("-", "_")
    group, dot, field = name.partition(".")
    if not dot:
        name = f"settings.{name}"
    if name in kinds:
        return name
    if dot and group == "environment_options":
        if field.isidentifier():
            return name
        raise InvalidInput(f"an environment option's name is an identifier, which {given!r} is not one of")
    # The group is what is likeliest to be wrong, so that only what comes after it is compared.
    fields = {known.rpartition(".")[2] for known in kinds}
    close = difflib.get_close_matches(field or group, fields, 3, cutoff=0.7)
    near = [known for short in close for known in kinds if known.rpartition(".")[2] == short]
    if near:
        advice = f"did you mean {' or '.join(near)}?"
    else:
        advice = f"there are {', '.join(kinds)} and environment_options.NAME"
    raise InvalidInput(f"nothing that can be swept is called {given!r}; {advice}")


def _values(name: str, kind: Any, words: Sequence[str]) -> list[Any]:
    """The values of a list, read by the field's annotation."""
    if not words:
        raise InvalidInput(f"the sweep of {name} has no values; it is written NAME VALUE…")
    values: list[Any] = []
    for word in words:
        value = _read(name, kind, word)
        if value in values:
            raise InvalidInput(f"the sweep of {name} has {text(value)} twice")
        values.append(value)
    return values


def _draw(name: str, kind: Any, range_: str, words: Sequence[str], samples: int, seed: int) -> list[float]:
    """Draws ``[samples]`` from a range."""
    if kind is not None and float not in _members(kind):
        raise InvalidInput(
            f"{name} takes {_expected(name, kind)} and cannot be drawn from a range; list its values"
        )
    for number, value, least in (("samples", samples, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidInput(f"{number} must be a whole number of at least {least}, not {value!r}")
    if len(words) != 2:
        raise InvalidInput(f"a range is written {name} {range_} LOW HIGH, not with {len(words)} numbers")
    low, high = (_read(name, float, word) for word in words)
    if not low < high:
        raise InvalidInput(f"the range of {name} must have low < high, not {words[0]} and {words[1]}")
    if range_ == "log-uniform" and low <= 0:
        raise InvalidInput(f"the log-uniform range of {name} must begin above 0, not at {words[0]}")
    # The name is part of the seed, so that dimensions are independent and none shifts another's draws.
    share = np.random.default_rng([seed, *name.encode()]).random(samples)
    if range_ == "log-uniform":
        drawn = np.exp((1 - share) * math.log(low) + share * math.log(high))
    else:
        drawn = (1 - share) * low + share * high
    return np.clip(drawn, low, high).tolist()  # rounding may step over an end


def _read(name: str, kind: Any, word: str) -> Any:
    """One value, read by the field's annotation; an environment's knob as a literal, or else a string."""
    if kind is None:
        value = _literal(word)
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidInput(f"{name} takes finite numbers, not {word!r}")
        return value
    expected = _expected(name, kind)
    for member in _members(kind):
        try:
            return _parse(member, word)
        except (ValueError, KeyError):
            continue
    raise InvalidInput(f"{name} takes {expected}, not {word!r}")


def _parse(member: Any, word: str) -> Any:
    """A word as what an annotation that is no union names; ValueError or KeyError where it is not."""
    arguments = typing.get_args(member)
    if member is float:
        value = float(word)
        if math.isfinite(value):
            return value
        raise ValueError
    if member is type(None):
        return {"None": None}[word]
    if member is bool:
        return {"true": True, "false": False}[word.lower()]
    if typing.get_origin(member) is Literal:
        return {str(choice): choice for choice in arguments}[word]
    if typing.get_origin(member) is tuple:
        return tuple(_parse(arguments[0], item) for item in word.split(","))
    return member(word)


def _expected(name: str, kind: Any) -> str:
    """What a field's annotation takes, in words.

    Raises:
        InvalidInput: it takes something for which no text stands, such as a network.
    """
    words = {float: "a finite number", int: "a whole number", bool: "true or false", type(None): "None"}
    words |= {str: "a name", tuple[int, ...]: "whole numbers written such as 64,64"}
    described = []
    for member in reversed(_members(kind)):
        if typing.get_origin(member) is Literal:
            described.append(f"one of {', '.join(map(str, typing.get_args(member)))}")
        elif member in words:
            described.append(words[member])
        else:
            raise InvalidInput(f"{name} cannot be swept: no text stands for a {member.__name__}")
    return " or ".join(described)


def _members(kind: Any) -> tuple[Any, ...]:
    """The alternatives of an annotation, None first: a string would take the word for itself."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(sorted(typing.get_args(kind), key=lambda member: member is not type(None)))
    return (kind,)


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return word


def _written(value: Any) -> str:
    """The text of an environment option from which :func:`_literal` reads the value back."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, str) and _literal(value) == value else repr(value)
