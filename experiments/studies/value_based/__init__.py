"""Deep value-based methods, by where the settings are from or by the size of the task."""

from __future__ import annotations

from studies.base import Study
from studies.value_based import cleanrl, pixels, slm, small, zoos

STUDIES: tuple[Study, ...] = (
    *cleanrl.STUDIES,
    *zoos.STUDIES,
    *slm.STUDIES,
    *small.STUDIES,
    *pixels.STUDIES,
)
