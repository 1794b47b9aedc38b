"""Numbers and curves as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BARS = " ▁▂▃▄▅▆▇█"
NOTHING = "–"


def text_curve(steps: np.ndarray, values: np.ndarray, width: int = 64, height: int = 8) -> str:
    """Values ``[epochs]`` over environment steps ``[epochs]``, drawn with letters; empty without any."""
    there = np.isfinite(values)
    if not np.any(there):
        return ""
    low, high = float(np.min(values[there])), float(np.max(values[there]))
    at = np.linspace(steps[0], steps[-1], width)
    heights = np.interp(at, steps[there], values[there])
    share = (heights - low) / (high - low) if high > low else np.ones(width)
    # The lowest has a bar of one eighth: nothing at all is where there was no value yet.
    eighths = np.where(at < steps[there][0], 0, np.round(1 + share * (8 * height - 1))).astype(int)
    labels = [number(high), *[""] * max(height - 2, 0), number(low)][:height]
    margin = max(map(len, labels))
    lines = [
        f"{label:>{margin}} │" + "".join(BARS[int(np.clip(each - 8 * row, 0, 8))] for each in eighths)
        for row, label in zip(range(height - 1, -1, -1), labels, strict=True)
    ]
    first, last = (quantity(float(step)) for step in (steps[0], steps[-1]))
    last = f"{last} steps"
    lines.append(f"{'':{margin}} └" + "─" * width)
    lines.append(f"{'':{margin}}  {first}{last:>{width - len(first)}}")
    return "\n".join(line.rstrip() for line in lines)


def number(value: float | None) -> str:
    """A return or a loss in few digits; a dash where there is none."""
    if value is None or math.isnan(value):
        return NOTHING
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size == 0 or 0.1 <= size < 1e6:
        return f"{value:.2f}" if size < 1000 else f"{value:.0f}"
    return f"{value:.2e}" if size < 1e-3 or size >= 1e6 else f"{value:.4f}"


def quantity(value: float) -> str:
    """A count in few letters: 950, 40k, 1.25M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.4g}{unit}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """How long ago, in one unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def ranges(numbers: Sequence[int]) -> str:
    """Whole numbers in order, neighbours joined: 0–3, 7."""
    parts: list[list[int]] = []
    for each in numbers:
        if parts and each == parts[-1][1] + 1:
            parts[-1][1] = each
        else:
            parts.append([each, each])
    return ", ".join(f"{low}" if low == high else f"{low}–{high}" for low, high in parts)
