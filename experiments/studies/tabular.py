"""Tabular and linear methods (TARGETS.md, "Tabular and linear")."""

from __future__ import annotations

from studies.base import Study

STUDIES: tuple[Study, ...] = ()
