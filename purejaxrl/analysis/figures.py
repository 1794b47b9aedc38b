"""What every picture shares."""

from __future__ import annotations

from typing import Any


def blank_figure(width: float, height: float) -> Any:
    """An empty matplotlib Figure of so many inches, made without pyplot.

    No display is touched and no global state is left behind.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
