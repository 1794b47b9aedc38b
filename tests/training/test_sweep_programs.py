"""Sweeps as programs: every point has the numbers that it has alone, whatever runs beside it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_cases import assert_close, assert_same_bits, leaves, variant

from purejaxrl import training
from purejaxrl.agents import dqn
from purejaxrl.training import Experiment, Point
from purejaxrl.types import InvalidInput

pytestmark = pytest.mark.same_bits

RATES: tuple[Point, ...] = (
    (("config.learning_rate", 3e-4),),
    (("config.learning_rate", 1e-2), ("config.discount", 0.5)),
)
NOISES: tuple[Point, ...] = ((("environment_options.noise", 0.0),), (("environment_options.noise", 0.5),))
CATCH = Experiment(
    dqn,
    dqn.Config(hidden_sizes=(8,), batch_size=8, buffer_capacity=80, warmup_steps=40),
    "Catch",
    training.Settings(total_steps=120, num_envs=2, num_epochs=2, evaluation_episodes=4),
    environment_options=("rows=5", "columns=4", "observation=vector"),
    points=NOISES,
    num_seeds=2,
)


def of_point(outcome: dict[str, np.ndarray], experiment: Experiment[Any], point: int) -> dict[str, Any]:
    """The members of one point, and the values that it shares with all as the point alone has them."""
    rows = slice(point * experiment.num_seeds, (point + 1) * experiment.num_seeds)
    return {path: leaf[rows] for path, leaf in outcome.items()}


@pytest.mark.parametrize(
    ("name", "mode"), [("dqn", "map"), pytest.param("a2c", "vmap", marks=pytest.mark.slow)]
)
def test_a_point_has_the_numbers_that_it_has_alone(name: str, mode: Any) -> None:
    sweep = variant(name, points=RATES, num_seeds=2, seeds=mode, devices=2)
    among = leaves(*training.train(sweep))
    for number, point in enumerate(RATES):
        changes = {field.partition(".")[2]: value for field, value in point}
        config = dataclasses.replace(sweep.config, **changes)
        alone = leaves(*training.train(dataclasses.replace(sweep, config=config, points=((),), devices=1)))
        if mode == "map":
            assert_same_bits(of_point(among, sweep, number), alone)
        else:
            parameters = {path: leaf for path, leaf in alone.items() if "params" in path}
            assert parameters
            swept = of_point(among, sweep, number)
            assert_close({path: swept[path] for path in parameters}, parameters, 1e-3)


def test_points_differ_and_seeds_share_their_keys() -> None:
    sweep = variant("dqn", points=RATES, num_seeds=2, seeds="map", devices=1)
    among = leaves(*training.train(sweep))
    np.testing.assert_array_equal(among["[0].key"][:2], among["[0].key"][2:])
    assert not np.array_equal(among["[0].key"][0], among["[0].key"][1])
    rates = among["[0].agent.config.learning_rate"]
    np.testing.assert_array_equal(rates, np.array([3e-4, 3e-4, 1e-2, 1e-2], np.float32))
    (path,) = (
        path
        for path in among
        if path.startswith("[0].agent.params") and "Dense_0" in path and "kernel" in path
    )
    assert np.abs(among[path][0] - among[path][2]).max() > 1e-3


def test_knobs_of_an_environment_are_swept() -> None:
    runners, _ = training.train(CATCH)
    noise = runners.environment.environment.noise
    np.testing.assert_array_equal(noise, np.array([0, 0, 0.5, 0.5], np.float32))


def test_points_of_one_shape_share_a_program() -> None:
    points: tuple[Point, ...] = (
        (("config.learning_rate", 1e-3),),
        (("config.hidden_sizes", (4,)),),
        (("config.learning_rate", 1e-4),),
        (("settings.num_envs", 1),),
        (("config.max_gradient_norm", 1.0),),
        (("environment_options.noise", 0.1),),
    )
    experiment = dataclasses.replace(CATCH, points=points)
    groups = training.split(experiment)
    assert [[points.index(point) for point in group.points] for group in groups] == [[0, 2, 5], [1], [3], [4]]
    with pytest.raises(InvalidInput, match=r"^the 6 points of the sweep have 4 different shapes; .*split$"):
        training.programs(experiment)


def test_every_point_is_checked_before_anything_is_compiled() -> None:
    points: tuple[Point, ...] = ((), (("config.discount", 2.0),))
    with pytest.raises(InvalidInput, match=r"^discount must lie in \[0, 1\], not 2"):
        training.programs(dataclasses.replace(CATCH, points=points))


def test_metrics_of_a_sweep_are_by_point_and_seed(tmp_path: Path) -> None:
    training.run(CATCH, tmp_path / "run")
    curves = training.read_metrics(tmp_path / "run")
    assert curves["point"].shape == (4, 3)
    np.testing.assert_array_equal(curves["point"][:, 0], [0, 0, 1, 1])
    np.testing.assert_array_equal(curves["seed"][:, 0], [0, 1, 0, 1])
    # What is falling is hidden half of the time at the second point; the first has nothing between.
    assert np.isfinite(curves["evaluation_return"]).all()
