"""Pictures: written where asked, in either format, with nothing of matplotlib's left behind."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from purejaxrl.analysis import bootstrap_interval, plot_comparison, plot_learning_curve
from purejaxrl.types import InvalidInput


def metrics(num_seeds: int = 4, epochs: int = 6) -> dict[str, np.ndarray]:
    """Metrics as they are read back: no episode ends in the first epoch, nor in seed 0's second."""
    random = np.random.default_rng(0)
    shape = (num_seeds, epochs)
    training = random.normal(size=shape)
    training[:, 0] = np.nan
    training[0, 1:2] = np.nan
    return {
        "seed": np.broadcast_to(np.arange(num_seeds)[:, None], shape).astype(float),
        "epoch": np.broadcast_to(np.arange(epochs), shape).astype(float),
        "environment_steps": np.broadcast_to(100.0 * np.arange(epochs), shape),
        "evaluation_return": random.normal(size=shape),
        "episode_return": training,
    }


@pytest.mark.parametrize("num_seeds", [1, 4])
def test_png(tmp_path: Path, num_seeds: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_learning_curve(metrics(num_seeds), tmp_path / "curve.png", "DQN on Catch")
    picture = imread(tmp_path / "curve.png")
    assert picture.shape[0] > 300
    assert picture.shape[1] > 500
    assert picture[..., :3].std() > 0.01, "nothing is drawn"


def test_svg_has_the_title_the_axes_and_the_legend(tmp_path: Path) -> None:
    plot_learning_curve(metrics(), tmp_path / "curve.svg", "DQN on Catch")
    # Text is drawn as outlines; matplotlib names what it says in comments.
    text = (tmp_path / "curve.svg").read_text()
    assert text.startswith("<?xml")
    for words in (
        "DQN on Catch: mean of 4 seeds, 95 % bootstrap band",
        "environment steps of a seed",
        "episode return",
        "greedy evaluation",
        "training episodes",
    ):
        assert f"<!-- {words} -->" in text


def test_what_was_never_measured_is_left_out(tmp_path: Path) -> None:
    some = metrics()
    some["evaluation_return"] = np.full((4, 6), np.nan)
    plot_learning_curve(some, tmp_path / "curve.svg", "DQN")
    text = (tmp_path / "curve.svg").read_text()
    assert "<!-- training episodes -->" in text
    assert "<!-- greedy evaluation -->" not in text
    some["episode_return"] = np.full((4, 6), np.nan)
    plot_learning_curve(some, tmp_path / "nothing.png", "DQN")
    assert (tmp_path / "nothing.png").stat().st_size > 1000


def test_a_run_of_one_epoch(tmp_path: Path) -> None:
    plot_learning_curve(metrics(epochs=1), tmp_path / "curve.png", "DQN")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_runs_of_other_lengths_and_numbers_of_seeds_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Any] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: saved.append(figure))
    runs = {"slow": metrics(4, 6), "fast": metrics(2, 9)}
    runs["fast"]["environment_steps"] = runs["fast"]["environment_steps"] / 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_comparison(runs, tmp_path / "compare.png", "DQN on Catch")
    (axes,) = saved[0].axes
    assert axes.get_ylabel() == "episode return, greedy evaluation"
    assert axes.get_title() == "DQN on Catch: mean of 2 to 4 seeds, 95 % bootstrap band"
    for (label, run), line, band in zip(runs.items(), axes.lines, axes.collections, strict=True):
        assert line.get_label() == label
        np.testing.assert_array_equal(line.get_xdata(), run["environment_steps"][0])
        np.testing.assert_allclose(line.get_ydata(), run["evaluation_return"].mean(axis=0))
        low, high = bootstrap_interval(run["evaluation_return"])
        corners = band.get_paths()[0].vertices
        for steps, *ends in zip(run["environment_steps"][0], low, high, strict=True):
            np.testing.assert_allclose([min(corners[corners[:, 0] == steps, 1])], ends[:1])
            np.testing.assert_allclose([max(corners[corners[:, 0] == steps, 1])], ends[1:])
    assert len({to_hex(line.get_color()) for line in axes.lines}) == 2


def test_runs_without_evaluation_are_compared_by_their_training(tmp_path: Path) -> None:
    runs = {"one": metrics(), "two": metrics(3, 4)}
    del runs["one"]["evaluation_return"]
    plot_comparison(runs, tmp_path / "one.svg", "DQN")
    text = (tmp_path / "one.svg").read_text()
    for words in ("episode return, greedy evaluation", "one (no values)", "two"):
        assert f"<!-- {words} -->" in text
    runs["two"]["evaluation_return"] = np.full((3, 4), np.nan)
    plot_comparison(runs, tmp_path / "none.svg", "DQN")
    text = (tmp_path / "none.svg").read_text()
    for words in ("episode return, training episodes", "one", "two"):
        assert f"<!-- {words} -->" in text


@pytest.mark.parametrize("number", [9, 40])
def test_many_runs_have_colours_of_their_own_and_a_legend_beside(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[Any] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: saved.append(figure))
    runs = {f"learning_rate={index}": metrics() for index in range(number)}
    plot_comparison(runs, tmp_path / "many.png", "DQN")
    (figure,) = saved
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert len({to_hex(line.get_color()) for line in axes.lines}) == number
    legend = axes.get_legend()
    assert legend is not None
    box, around = legend.get_window_extent(), figure.bbox
    assert box.x0 > axes.get_window_extent().x1
    assert box.x1 <= around.x1
    assert box.y0 >= around.y0
    # The curves have the room that they have alone.
    assert axes.get_window_extent().width > 0.8 * 7 * figure.dpi


def test_a_comparison_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="one run or more"):
        plot_comparison({}, tmp_path / "none.png", "DQN")


def test_no_figure_stays_with_pyplot(tmp_path: Path) -> None:
    before = list(_pylab_helpers.Gcf.figs)
    plot_learning_curve(metrics(), tmp_path / "curve.png", "DQN")
    assert list(_pylab_helpers.Gcf.figs) == before


@pytest.mark.slow
def test_pyplot_is_not_even_imported(tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np, pathlib; from purejaxrl.analysis import plot_learning_curve;"
        "ones = np.ones((2, 3));"
        "names = ('seed', 'environment_steps', 'evaluation_return', 'episode_return');"
        "plot_learning_curve(dict.fromkeys(names, ones), pathlib.Path('curve.png'), 'DQN');"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "curve.png").exists()
