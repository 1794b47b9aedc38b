"""Sweeps as values: what is given is read by the field's type, and what cannot work is refused by name."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

import numpy as np
import pytest
import scipy.stats

from purejaxrl.agents import a2c, ddpg, dqn
from purejaxrl.training import Settings
from purejaxrl.training.experiment import parse_options
from purejaxrl.training.sweeps import Point, apply, label, points
from purejaxrl.types import InvalidInput

CONFIGS = {"dqn": dqn.Config(), "a2c": a2c.Config(), "ddpg": ddpg.Config()}


def read(*sweep: str, config: Any = CONFIGS["dqn"], samples: int = 3, seed: int = 0) -> tuple[Point, ...]:
    """The points of sweeps written as on the command line."""
    return points([words.split() for words in sweep], config, Settings(), samples, seed)


def column(found: tuple[Point, ...], name: str) -> list[Any]:
    return [dict(point)[name] for point in found]


def test_nothing_swept_is_one_point_that_changes_nothing() -> None:
    assert read() == ((),)
    given = (dqn.Config(tau=0.5), Settings(num_envs=3), ("rows=8",))
    assert apply((), *given) == given
    assert label(()) == ""


def test_lists_make_a_grid_with_the_first_name_slowest() -> None:
    assert read("config.learning-rate 1e-4 1e-3", "num-envs 4 8 16") == tuple(
        (("config.learning_rate", rate), ("settings.num_envs", envs))
        for rate in (1e-4, 1e-3)
        for envs in (4, 8, 16)
    )


def test_every_draw_meets_every_point_of_the_grid() -> None:
    found = read("config.tau uniform 0.1 0.9", "num-envs 4 8", "config.discount uniform 0.9 0.99")
    assert [name for name, _ in found[0]] == ["config.tau", "settings.num_envs", "config.discount"]
    draws = [(dict(point)["config.tau"], dict(point)["config.discount"]) for point in found]
    assert len(set(draws)) == 3, "ranges are drawn together, and not each with each"
    assert draws == draws[:3] * 2
    assert column(found, "settings.num_envs") == [4] * 3 + [8] * 3


def test_a_draw_depends_on_seed_name_and_number_alone() -> None:
    rate, tau = "config.learning-rate log-uniform 1e-5 1e-2", "config.tau uniform 0.001 0.1"
    first = column(read(rate), "config.learning_rate")
    assert first == column(read(rate), "config.learning_rate")
    assert first == column(read(tau, rate), "config.learning_rate")
    assert first == column(read(tau, rate, "num-envs 4 8"), "config.learning_rate")[:3]
    assert first == column(read(rate, samples=50), "config.learning_rate")[:3]
    assert not set(first) & set(column(read(rate, seed=1), "config.learning_rate"))
    assert len(set(first)) == 3


@pytest.mark.parametrize("config", CONFIGS)
def test_dimensions_of_one_range_are_drawn_apart(config: str) -> None:
    names = {"dqn": ("tau", "discount"), "a2c": ("gae_lambda", "discount"), "ddpg": ("tau", "discount")}[
        config
    ]
    found = read(*(f"config.{name} uniform 0 1" for name in names), config=CONFIGS[config], samples=400)
    a, b = (column(found, f"config.{name}") for name in names)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.2


def test_draws_have_their_distribution() -> None:
    found = read(
        "config.learning-rate log-uniform 1e-5 1e-2",
        "config.tau uniform 0.2 0.6",
        "environment-options.noise uniform -1 3",
        samples=2000,
    )
    for name, values, low, high in (
        ("config.learning_rate", np.log10(column(found, "config.learning_rate")), -5, -2),
        ("config.tau", column(found, "config.tau"), 0.2, 0.6),
        ("environment_options.noise", column(found, "environment_options.noise"), -1, 3),
    ):
        test = scipy.stats.kstest(values, scipy.stats.uniform(low, high - low).cdf)
        assert test.pvalue > 0.01, name
    assert all(type(value) is float for point in found for _, value in point)
    assert all(0.2 <= value <= 0.6 for value in column(found, "config.tau"))


@pytest.mark.parametrize("low", [1e-3, 3e-3, 0.1, 0.7, 12345.678])
def test_rounding_takes_no_draw_out_of_its_range(low: float) -> None:
    high = float(np.nextafter(low, np.inf))
    for kind in ("uniform", "log-uniform"):
        found = read(f"config.learning-rate {kind} {low!r} {high!r}", samples=20)
        assert set(column(found, "config.learning_rate")) <= {low, high}


@pytest.mark.parametrize(
    ("config", "words", "expected"),
    [
        ("dqn", "config.learning-rate 1 1e-3", [1.0, 0.001]),
        ("dqn", "config.learning_rate .5 -2", [0.5, -2.0]),
        ("dqn", "config.max-gradient-norm None 10", [None, 10.0]),
        ("dqn", "config.batch-size 32 1_000", [32, 1000]),
        ("dqn", "config.loss huber squared", ["huber", "squared"]),
        ("dqn", "config.torso nature_cnn", ["nature_cnn"]),
        ("dqn", "config.hidden-sizes 64,64 8", [(64, 64), (8,)]),
        ("a2c", "config.shared-torso true False", [True, False]),
        ("ddpg", "config.actor-output-scale 0.003 None", [0.003, None]),
        ("dqn", "num_envs 4", [4]),
        ("dqn", "settings.num-envs 4 8", [4, 8]),
        ("dqn", "evaluation-steps None 7", [None, 7]),
        ("dqn", "environment-options.rows 8 9.5 (1,2) big None", [8, 9.5, (1, 2), "big", None]),
        ("dqn", "environment_options.frame-skip 4", [4]),
    ],
)
def test_a_value_is_read_by_its_field(config: str, words: str, expected: list[Any]) -> None:
    found = [value for ((_, value),) in read(words, config=CONFIGS[config])]
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize("config", CONFIGS)
def test_every_field_can_be_swept_but_networks(config: str) -> None:
    fields = [("config", field) for field in dataclasses.fields(CONFIGS[config])]
    fields += [("settings", field) for field in dataclasses.fields(Settings)]
    refused = []
    for group, field in fields:
        default = (8,) if field.default == () else field.default  # no text stands for nothing
        words = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        try:
            ((pair,),) = read(f"{group}.{field.name} {words}", config=CONFIGS[config])
        except InvalidInput as error:
            refused.append(str(error).partition(" ")[0])
            continue
        assert pair == (f"{group}.{field.name}", default)
    networks = {"ddpg": ["config.actor", "config.critic"]}
    assert refused == networks.get(config, ["config.network"])


REFUSED = {
    "tau 1": "nothing that can be swept is called 'tau'; did you mean config.tau?",
    "config.num-envs 2": "is called 'config.num-envs'; did you mean settings.num_envs?",
    "config.lerning-rate 1": "is called 'config.lerning-rate'; did you mean config.learning_rate?",
    "nothing-like-it 2": "is called 'nothing-like-it'; there are config.learning_rate, config.discount, ",
    "environment_options 3": ", settings.evaluation_steps and environment_options.NAME",
    "config. 3": "nothing that can be swept is called 'config.'; ",
    "environment-options.9 1": "option's name is an identifier, which 'environment-options.9' is not one of",
    "config.network None": "config.network cannot be swept: no text stands for a Module",
    "config.tau": "the sweep of config.tau has no values; it is written NAME VALUE…",
    "config.tau nan": "config.tau takes a finite number, not 'nan'",
    "config.tau 0.1 inf": "config.tau takes a finite number, not 'inf'",
    "config.tau None": "config.tau takes a finite number, not 'None'",
    "config.max-gradient-norm none": "config.max_gradient_norm takes a finite number or None, not 'none'",
    "num_envs 1.5": "settings.num_envs takes a whole number, not '1.5'",
    "evaluation-steps x": "settings.evaluation_steps takes a whole number or None, not 'x'",
    "config.loss hubert": "config.loss takes one of squared, huber, not 'hubert'",
    "config.hidden_sizes 64,x": "config.hidden_sizes takes whole numbers written such as 64,64, not '64,x'",
    "config.hidden_sizes 64,": "config.hidden_sizes takes whole numbers written such as 64,64, not '64,'",
    "environment-options.noise 1e999": "environment_options.noise takes finite numbers, not '1e999'",
    "config.tau 1 0.5 1.0": "the sweep of config.tau has 1 twice",
    "config.hidden_sizes 8 08": "the sweep of config.hidden_sizes has 8 twice",
    "environment-options.size [1] [1]": "the sweep of environment_options.size has 1 twice",
    "config.tau uniform 0.1": "a range is written config.tau uniform LOW HIGH, not with 1 numbers",
    "config.tau uniform 0.1 0.2 0.3": "a range is written config.tau uniform LOW HIGH, not with 3 numbers",
    "config.tau uniform 1 0": "the range of config.tau must have low < high, not 1 and 0",
    "config.tau uniform 1 1": "the range of config.tau must have low < high, not 1 and 1",
    "config.tau uniform 0 inf": "config.tau takes a finite number, not 'inf'",
    "config.tau log_uniform 0 1": "the log-uniform range of config.tau must begin above 0, not at 0",
    "config.tau log-uniform -1 1": "the log-uniform range of config.tau must begin above 0, not at -1",
    "num-envs uniform 1 4": "settings.num_envs takes a whole number and cannot be drawn from a range",
    "config.loss uniform 0 1": "config.loss takes one of squared, huber and cannot be drawn from a range",
    "config.network uniform 0 1": "config.network cannot be swept: no text stands for a Module",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_work_is_refused(words: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(REFUSED[words])) as caught:
        read(words)
    assert "\n" not in str(caught.value)


def test_a_bool_is_written_out() -> None:
    with pytest.raises(InvalidInput, match=r"^config\.shared_torso takes true or false, not '1'$"):
        read("config.shared-torso 1", config=CONFIGS["a2c"])


def test_a_name_may_be_given_once() -> None:
    for first, second in itertools.product(("num-envs 4", "settings.num_envs 4"), ("num_envs 8",)):
        with pytest.raises(InvalidInput, match=r"^settings\.num_envs is swept twice; give all of its values"):
            read(first, second)
    with pytest.raises(InvalidInput, match=r"^config\.tau is swept twice"):
        read("config.tau uniform 0 1", "config.tau 0.5")
    with pytest.raises(InvalidInput, match="names nothing"):
        points([[]], dqn.Config(), Settings(), 3, 0)


@pytest.mark.parametrize(
    ("name", "value"), [("samples", 0), ("samples", 1.0), ("samples", True), ("seed", -1)]
)
def test_samples_and_seed_are_counts(name: str, value: Any) -> None:
    with pytest.raises(
        InvalidInput, match=f"^{name} must be a whole number of at least [01], not {value!r}$"
    ):
        read("config.tau uniform 0 1", **{name: value})
    assert len(read("config.tau 0.5", **{name: value})) == 1, "a grid draws nothing"


def test_a_point_is_put_where_it_belongs() -> None:
    (point,) = read(
        "config.tau 0.5",
        "config.hidden-sizes 8,8",
        "num-envs 4",
        "environment-options.noise 0.25",
        "environment-options.rows 7",
    )
    config, settings, options = apply(
        point, dqn.Config(discount=0.9), Settings(num_epochs=3), ("rows=5", "columns=6")
    )
    assert config == dqn.Config(discount=0.9, tau=0.5, hidden_sizes=(8, 8))
    assert settings == Settings(num_epochs=3, num_envs=4)
    assert options == ("rows=7", "columns=6", "noise=0.25")
    assert parse_options(options) == {"rows": 7, "columns": 6, "noise": 0.25}


@pytest.mark.parametrize(
    "value", [0.1, -3, "word", "8", "'quoted'", None, True, (1, 2), [1], np.float64(0.1)]
)
def test_an_option_is_written_so_that_it_is_read_back(value: Any) -> None:
    _, _, options = apply((("environment_options.knob", value),), dqn.Config(), Settings(), ())
    assert parse_options(options) == {"knob": value}


def test_a_point_of_another_agent_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"is called 'config\.gae_lambda'"):
        apply((("config.gae_lambda", 0.5),), dqn.Config(), Settings(), ())


def test_labels_are_short_and_tell_names_apart() -> None:
    point = (("config.learning_rate", 1e-3), ("settings.num_envs", 8), ("config.hidden_sizes", (64, 32)))
    assert label(point) == "learning_rate=0.001, num_envs=8, hidden_sizes=64,32"
    assert label((("config.tau", 0.012345678), ("config.max_gradient_norm", None))) == (
        "tau=0.0123457, max_gradient_norm=None"
    )
    assert label((("config.discount", 0.9), ("environment_options.discount", 1))) == (
        "config.discount=0.9, environment_options.discount=1"
    )
