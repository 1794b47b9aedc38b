"""Reproductions of published figures, each declared as a value; see ``experiments/reproduce.py``."""

from __future__ import annotations

import difflib
from types import MappingProxyType

from purejaxrl.types import InvalidInput
from studies import policy_gradient, tabular, value_based
from studies.base import Study

SECTIONS = MappingProxyType(
    {
        "Tabular and linear": tabular.STUDIES,
        "Deep value-based": value_based.STUDIES,
        "Policy gradients and actor-critic": policy_gradient.STUDIES,
    }
)
"""All studies, in the order of the README's table."""


def all_studies() -> dict[str, Study]:
    """Every study by its name.

    Raises:
        InvalidInput: two have one name.
    """
    found: dict[str, Study] = {}
    for studies in SECTIONS.values():
        for study in studies:
            if study.name in found:
                raise InvalidInput(f"two studies have the name {study.name!r}")
            found[study.name] = study
    return found


def get(name: str) -> Study:
    """A study by its name.

    Raises:
        InvalidInput: there is none; the message has the nearest names.
    """
    known = all_studies()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=5, cutoff=0.4)
        hint = f"the nearest are {', '.join(near)}" if near else "see --list"
        raise InvalidInput(f"unknown study {name!r}; {hint}")
    return known[name]
