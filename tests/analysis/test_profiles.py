"""Pictures over algorithms and tasks: written where asked, with what was worked out in them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib import _pylab_helpers
from matplotlib.figure import Figure
from matplotlib.image import imread

from purejaxrl import analysis
from purejaxrl.types import InvalidInput

RANDOM = np.random.default_rng(2)
SCORES = {name: RANDOM.normal(mean, 1, (8, 3)) for name, mean in (("DQN", 0.0), ("C51", 1.0), ("PQN", -1.0))}


def axes_of(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved from now on."""
    saved: list[Figure] = []
    write = Figure.savefig

    def keep(self: Figure, *arguments: object, **options: object) -> None:
        saved.append(self)
        write(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def test_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = axes_of(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analysis.plot_profiles(SCORES, tmp_path / "profiles.png", "CartPole")
    assert imread(tmp_path / "profiles.png")[..., :3].std() > 0.01, "nothing is drawn"
    (axes,) = saved[0].axes
    assert [line.get_label() for line in axes.lines] == list(SCORES)
    for line, scores in zip(axes.lines, SCORES.values(), strict=True):
        thresholds, share = (np.asarray(values, float) for values in line.get_data())
        np.testing.assert_array_equal(share, analysis.performance_profile(scores, thresholds)[0])
        assert share[-1] == 0  # none scores more than the highest score
    assert not _pylab_helpers.Gcf.figs


def test_improvement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = axes_of(monkeypatch)
    analysis.plot_improvement(SCORES, "DQN", tmp_path / "improvement.svg", "CartPole")
    assert (tmp_path / "improvement.svg").read_text().startswith("<?xml")
    (axes,) = saved[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["C51", "PQN"]
    for bar, name in zip(axes.patches, ("C51", "PQN"), strict=True):
        low, high = analysis.improvement_interval(SCORES[name], SCORES["DQN"])
        np.testing.assert_allclose([bar.get_x(), bar.get_width()], [low, high - low])  # type: ignore[attr-defined]
        assert (low > 0.5) == (name == "C51")


def test_what_cannot_be_drawn_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="one algorithm or more"):
        analysis.plot_profiles({}, tmp_path / "none.png", "none")
    with pytest.raises(
        InvalidInput, match="baseline 'A2C' and one label or more beside it, not DQN, C51, PQN"
    ):
        analysis.plot_improvement(SCORES, "A2C", tmp_path / "none.png", "none")
    with pytest.raises(InvalidInput, match="beside it, not DQN"):
        analysis.plot_improvement({"DQN": SCORES["DQN"]}, "DQN", tmp_path / "none.png", "none")
