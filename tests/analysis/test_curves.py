"""Pictures: written where asked, in either format, with nothing of matplotlib's left behind."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.image import imread

from purejaxrl.analysis import plot_learning_curve


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
