"""An experiment made again from its record, the reverse of :func:`purejaxrl.training.record.describe`."""

from __future__ import annotations

import dataclasses
import importlib
import types
import typing
from types import ModuleType
from typing import Any, Literal, TypeVar

from purejaxrl.training.experiment import Experiment
from purejaxrl.training.settings import Settings
from purejaxrl.types import InvalidInput

C = TypeVar("C")

FACE = ("Config", "init", "memory", "act", "greedy", "update")


def experiment_from(description: dict[str, Any]) -> Experiment[Any]:
    """The experiment that an ``experiment.json`` describes.

    It has the mode that ``seeds`` came to where the run was made, and all devices of this machine, or
    as many as its environments were shared among.

    Args:
        description: as :func:`purejaxrl.training.record.describe` gives it, read from JSON; what else
            is in it is not looked at.

    Raises:
        InvalidInput: something is missing, or is not what this version of the library takes; or it was
            an object of the script's own, such as a network, for which no text stands.
    """
    try:
        agent = agent_named(description["agent"])
        shard, _, devices = _text(description["shard"], "shard").partition(" of ")
        return Experiment(
            agent=agent,
            config=from_fields(agent.Config, description["config"], "config"),
            environment=_text(description["environment"], "environment"),
            settings=from_fields(Settings, description["settings"], "settings"),
            environment_options=tuple(description["environment_options"]),
            points=tuple(_point(point, agent.Config) for point in description["points"]),
            num_seeds=description["num_seeds"],
            seed=description["seed"],
            seeds=description["seeds"],
            shard=shard,  # type: ignore[arg-type]  # programs() looks at it
            devices=int(devices) if devices else None,
        )
    except KeyError as error:
        raise InvalidInput(f"the record of the experiment lacks {error}") from error
    except (AttributeError, TypeError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"the record of the experiment is damaged: {error}") from error


def agent_named(name: str) -> ModuleType:
    """The module of an algorithm.

    Raises:
        InvalidInput: it cannot be imported, or is none.
    """
    try:
        agent = importlib.import_module(_text(name, "agent"))
    except (ImportError, ValueError) as error:
        raise InvalidInput(
            f"the agent {name} cannot be imported ({error}): resume from the script that made the run"
        ) from error
    missing = [part for part in FACE if not hasattr(agent, part)]
    if missing:
        raise InvalidInput(
            f"{name} is no agent, it lacks {', '.join(missing)}: resume from the script that made the run"
        )
    return agent


def from_fields(kind: type[C], values: dict[str, Any], group: str) -> C:
    """A Config or Settings from its values by field; a field without one has its default.

    Raises:
        InvalidInput: a field that there is not, or a value that it does not take.
    """
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise InvalidInput(
            f"{group} has no {', '.join(unknown)} in this version of the library: the run was made by another"
        )
    return kind(**{name: _value(hints[name], value, f"{group}.{name}") for name, value in values.items()})


def _point(point: dict[str, Any], config: type) -> tuple[tuple[str, Any], ...]:
    hints = {f"config.{name}": hint for name, hint in typing.get_type_hints(config).items()}
    hints |= {f"settings.{name}": hint for name, hint in typing.get_type_hints(Settings).items()}
    return tuple(
        (name, _value(hints[name], value, name) if name in hints else _tuples(value))
        for name, value in point.items()
    )


def _value(kind: Any, value: Any, name: str) -> Any:
    """A value of JSON as what an annotation takes."""
    members = typing.get_args(kind) if _is_union(kind) else (kind,)
    for member in members:
        if _fits(member, value):
            return _tuples(value)
    if isinstance(value, dict | str) and not any(_takes_text(member) for member in members):
        raise InvalidInput(
            f"{name} is an object of the script's own, which no record holds: resume from the script that"
            " made the run"
        )
    raise InvalidInput(f"{name} does not take {value!r} in this version of the library")


def _fits(member: Any, value: Any) -> bool:
    origin, arguments = typing.get_origin(member), typing.get_args(member)
    if member is type(None):
        return value is None
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        return isinstance(value, list) and all(_fits(arguments[0], item) for item in value)
    if member is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if member is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return member in (bool, str) and isinstance(value, member)


def _takes_text(member: Any) -> bool:
    return member is str or typing.get_origin(member) is Literal


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"the record of the experiment has {value!r} in place of the name of its {name}")
    return value
