"""Tables and pictures of sweeps: what is written is what was measured, and nothing varies unseen."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from purejaxrl.analysis import bootstrap_interval, plot_sweep, sweep_table
from purejaxrl.types import InvalidInput

RATES = (1e-5, 1e-4, 1e-3, 1e-2)
NOTHING = np.full((1, 3), np.nan)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are saved, for a look at what is in them."""
    saved: list[Any] = []
    original = Figure.savefig

    def savefig(figure: Figure, *arguments: Any, **options: Any) -> None:
        saved.append(figure)
        original(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved


def draw(points: list[dict[str, Any]], returns: Any, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_sweep(points, np.asarray(returns), path, "DQN on Catch")


def means(axes: Any) -> dict[float, tuple[float, float, float]]:
    """Mean, low and high end by position, of all error bars."""
    found = {}
    for container in axes.containers:
        line, _, (bars,) = container.lines
        for x, y, segment in zip(*line.get_data(), bars.get_segments(), strict=True):
            found[x] = (y, segment[:, 1].min(), segment[:, 1].max())
    return found


def test_a_table_by_hand() -> None:
    points = [
        {"config.learning_rate": 0.01, "settings.num_envs": 8, "config.loss": "huber"},
        {"config.learning_rate": 1e-4, "settings.num_envs": 8, "config.loss": "huber"},
        {"config.learning_rate": 1e-4, "settings.num_envs": 8, "config.loss": "squared"},
    ]
    returns = np.array([[9.0, 9.0, 9.0], [100.0, np.nan, 200.0], [np.nan, np.nan, np.nan]])
    assert sweep_table(points, returns).splitlines() == [
        "learning_rate     loss          return     95 % interval  seeds",
        "       0.0001    huber  150.00 ± 50.00  [100.00, 200.00]    2/3  best",
        "         0.01    huber    9.00 ±  0.00  [  9.00,   9.00]    3/3",
        "       0.0001  squared               –                 –    0/3",
    ]


def test_the_interval_is_that_of_each_point() -> None:
    returns = np.random.default_rng(0).normal(100, 20, (5, 6))
    lines = sweep_table([{"config.tau": number} for number in range(5)], returns).splitlines()[1:]
    rows = [re.match(r" *(\d) +(\S+) ± +(\S+)  \[ *(\S+), +(\S+)\]", line) for line in lines]
    found = np.array([row.groups() for row in rows if row is not None], float)
    low, high = bootstrap_interval(returns.T)
    order = np.argsort(-returns.mean(axis=1))
    expected = np.stack([np.arange(5), returns.mean(axis=1), returns.std(axis=1), low, high], axis=1)
    np.testing.assert_allclose(found, expected[order], atol=0.0051)
    assert [line.endswith("best") for line in lines] == [True] + [False] * 4


def test_a_table_of_one_point_has_no_hyperparameters() -> None:
    assert sweep_table([{"config.tau": 1.0}], np.array([[-3.0, -5.0]])).splitlines() == [
        "      return   95 % interval  seeds",
        "-4.00 ± 1.00  [-5.00, -3.00]    2/2  best",
    ]
    assert sweep_table([{}], NOTHING).splitlines()[1].split() == ["–", "–", "0/3"]


def test_small_returns_keep_their_digits() -> None:
    assert "0.00123 ± 0.00000" in sweep_table([{}], np.array([[0.00123, 0.00123]]))
    assert "0.00 ± 0.00" in sweep_table([{}], np.zeros((1, 2)))
    assert "123456.00 ± 0.00" in sweep_table([{}], np.full((1, 2), 123456.0))


def test_what_looks_alike_is_told_apart() -> None:
    table = sweep_table(
        [
            {"config.discount": 0.9, "environment_options.discount": True},
            {"config.discount": 0.99, "environment_options.discount": 1},
            {"config.discount": 0.99},
        ],
        np.array([[3.0], [2.0], [1.0]]),
    )
    header, *rows = (line.split() for line in table.splitlines())
    assert header[:2] == ["config.discount", "environment_options.discount"]
    assert [row[:2] for row in rows] == [["0.9", "True"], ["0.99", "1"], ["0.99", "–"]]


def test_true_is_not_one() -> None:
    header = sweep_table([{"a": True}, {"a": 1}], np.zeros((2, 1))).splitlines()[0]
    assert header.split()[0] == "a"


def test_equal_means_have_one_best_the_first() -> None:
    lines = sweep_table([{"a": 1}, {"a": 2}, {"a": 3}], np.array([[1.0], [2.0], [2.0]])).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["2", "3", "1"]
    assert [line.endswith("best") for line in lines[1:]] == [True, False, False]


def test_an_infinite_return_is_a_seed_that_died() -> None:
    table = sweep_table([{"a": 1}, {"a": 2}], np.array([[np.inf, 1.0], [2.0, 2.0]]))
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["2", "1"]
    assert "1/2" in table


@pytest.mark.parametrize("shape", [(3,), (2, 4), (4, 3), (3, 0), (3, 2, 1)])
def test_returns_of_another_shape_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    points = [{"a": 1}, {"a": 2}, {"a": 3}]
    for refused in (
        lambda: sweep_table(points, np.zeros(shape)),
        lambda: plot_sweep(points, np.zeros(shape), tmp_path / "sweep.png", "DQN"),
    ):
        with pytest.raises(InvalidInput, match=rf"for 3 points, not of shape {re.escape(str(shape))}$"):
            refused()
    with pytest.raises(InvalidInput, match="for 0 points"):
        sweep_table([], np.zeros((0, 3)))


def test_one_number_is_drawn_against_the_return(tmp_path: Path, figures: list[Any]) -> None:
    returns = np.random.default_rng(1).normal(100, 20, (4, 5))
    returns[2] += 100
    returns[3, :2] = np.nan
    draw(
        [{"config.learning_rate": rate, "settings.num_envs": 8} for rate in RATES],
        returns,
        tmp_path / "a.png",
    )
    (axes,) = figures[0].axes
    assert axes.get_xlabel() == "learning_rate"
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1e-05", "0.0001", "0.001", "0.01"]
    low, high = bootstrap_interval(returns.T)
    found = means(axes)
    for index, rate in enumerate(RATES):
        position = min(found, key=lambda x: abs(x - rate))
        assert position == pytest.approx(rate)
        np.testing.assert_allclose(found[position], [np.nanmean(returns[index]), low[index], high[index]])
    # Every seed is a dot, but those that died, whose point has a cross.
    (dots,) = axes.collections[:1]
    alive = np.isfinite(returns.ravel())
    expected = np.stack([np.repeat(RATES, 5), returns.ravel()], axis=1)[alive]
    np.testing.assert_allclose(np.ma.compress_rows(dots.get_offsets()), expected)
    assert dots.get_alpha() < 0.5
    (crosses,) = [line for line in axes.lines if line.get_label() == "seeds died"]
    np.testing.assert_allclose(crosses.get_xdata(), [1e-2])
    best = [container for container in axes.containers if container.get_label() == "best mean"]
    np.testing.assert_allclose(best[0].lines[0].get_xdata(), [1e-3])
    # The curve through the means.
    (curve,) = [line for line in axes.lines if len(np.atleast_1d(line.get_xdata())) == 4]
    np.testing.assert_allclose(curve.get_ydata(), np.nanmean(returns, axis=1))


def test_the_curve_goes_from_left_to_right_whatever_the_order(tmp_path: Path, figures: list[Any]) -> None:
    rates = np.random.default_rng(0).permutation(np.geomspace(1e-5, 1e-1, 12))
    draw([{"config.learning_rate": float(rate)} for rate in rates], rates[:, None], tmp_path / "a.png")
    (axes,) = figures[0].axes
    (curve,) = [line for line in axes.lines if len(np.atleast_1d(line.get_xdata())) == 12]
    np.testing.assert_allclose(curve.get_xdata(), np.sort(rates))
    np.testing.assert_allclose(curve.get_ydata(), np.sort(rates))


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ((1, 2, 9.9), "linear"),
        ((0.001, 0.01), "log"),
        ((4, 8, 64), "log"),
        ((0.0, 1.0, 100.0), "linear"),
        ((-1.0, 100.0), "linear"),
    ],
)
def test_the_axis_is_logarithmic_over_decades(
    values: tuple[float, ...], scale: str, tmp_path: Path, figures: list[Any]
) -> None:
    draw([{"config.tau": value} for value in values], np.zeros((len(values), 2)), tmp_path / "a.png")
    assert figures[0].axes[0].get_xscale() == scale


def test_what_is_no_number_is_a_category(tmp_path: Path, figures: list[Any]) -> None:
    values = [None, 10.0, 0.5]
    draw([{"config.max_gradient_norm": value} for value in values], [[3.0], [1.0], [2.0]], tmp_path / "a.png")
    (axes,) = figures[0].axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["None", "10", "0.5"]
    assert {x: found[0] for x, found in means(axes).items()} == {0: 3, 1: 1, 2: 2}


def test_each_of_several_has_a_panel(tmp_path: Path, figures: list[Any]) -> None:
    points = [
        {"config.tau": 0.5, "config.learning_rate": rate, "config.loss": loss, "config.hidden_sizes": sizes}
        for rate in RATES
        for loss in ("huber", "squared")
        for sizes in ((64, 64), (8,))
    ]
    returns = np.random.default_rng(2).normal(size=(16, 3))
    draw(points, returns, tmp_path / "a.png")
    panels = figures[0].axes
    assert [panel.get_xlabel() for panel in panels] == ["learning_rate", "loss", "hidden_sizes"]
    assert [panel.get_xscale() for panel in panels] == ["log", "linear", "linear"]
    assert [tick.get_text() for tick in panels[2].get_xticklabels()] == ["64,64", "8"]
    assert all(panel.get_shared_y_axes().joined(panel, panels[0]) for panel in panels)
    for panel in panels:
        found = means(panel)
        assert len(found) == 16, "points of one value stand beside each other"
        np.testing.assert_allclose(sorted(y for y, _, _ in found.values()), np.sort(returns.mean(axis=1)))
        # The best point, which is marked, is one and the same in all panels.
        (best,) = [container for container in panel.containers if container.get_label() == "best mean"]
        np.testing.assert_allclose(best.lines[0].get_ydata(), returns.mean(axis=1).max())
    # Each point is nearest to the tick of its own value.
    for panel, name, places in (
        (panels[0], "config.learning_rate", {rate: np.log10(rate) for rate in RATES}),
        (panels[1], "config.loss", {"huber": 0, "squared": 1}),
        (panels[2], "config.hidden_sizes", {(64, 64): 0, (8,): 1}),
    ):
        for x, (y, _, _) in means(panel).items():
            x = np.log10(x) if panel.get_xscale() == "log" else x
            point = points[int(np.argmin(np.abs(returns.mean(axis=1) - y)))]
            assert abs(x - places[point[name]]) < 0.3


def test_many_panels_go_into_rows(tmp_path: Path, figures: list[Any]) -> None:
    random = np.random.default_rng(3)
    points = [{f"config.number_{index}": float(random.random()) for index in range(5)} for _ in range(7)]
    draw(points, random.normal(size=(7, 2)), tmp_path / "a.png")
    visible = [panel for panel in figures[0].axes if panel.get_visible()]
    assert len(visible) == 5
    assert len({round(panel.get_position().y0, 2) for panel in visible}) == 2


@pytest.mark.parametrize(
    "points", [[{}], [{"config.tau": 1.0}], [{"config.tau": 1.0, "config.loss": "huber"}], [{}, {}]]
)
def test_where_nothing_varies_there_is_a_picture_still(points: list[dict[str, Any]], tmp_path: Path) -> None:
    for returns in (np.ones((len(points), 3)), np.full((len(points), 3), np.nan)):
        draw(points, returns, tmp_path / "a.png")
        assert imread(tmp_path / "a.png")[..., :3].std() > 0.01


def test_a_sweep_in_which_every_seed_died(tmp_path: Path, figures: list[Any]) -> None:
    draw([{"config.tau": 1.0}, {"config.tau": 2.0}], np.full((2, 3), np.nan), tmp_path / "a.png")
    assert means(figures[0].axes[0]) == {}


def test_names_of_ticks_do_not_run_into_each_other(tmp_path: Path, figures: list[Any]) -> None:
    torsos = ("auto", "mlp", "small_cnn", "pooling_cnn", "nature_cnn")
    points = [
        {"config.torso": torso, "config.learning_rate": rate}
        for torso in torsos
        for rate in (1e-5, 1e-4, 3e-4, 1e-3, 1e-2)
    ]
    draw(points, np.random.default_rng(0).normal(size=(25, 2)), tmp_path / "a.png")
    for panel in figures[0].axes:
        labels = [tick for tick in panel.get_xticklabels() if tick.get_text()]
        assert len(labels) == 5
        assert all(label.get_rotation() > 0 for label in labels)


def test_svg_has_the_title_and_the_legend(tmp_path: Path) -> None:
    draw([{"config.tau": 1.0}, {"config.tau": 2.0}], [[1.0, 2.0], [3.0, np.nan]], tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    for words in (
        "DQN on Catch: mean of 2 seeds, 95 % bootstrap interval",
        "episode return",
        "tau",
        "a seed",
        "mean and interval",
        "best mean",
        "seeds died",
    ):
        assert f"<!-- {words} -->" in text
