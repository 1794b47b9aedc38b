"""What turns NaN or infinite is reported as it is: which seed, when, what first; the others go on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from resume_cases import events, notes, outcome, quick, rows

from purejaxrl import environments, training
from purejaxrl.memory import LastRollout
from purejaxrl.training import Experiment, Keeping, Progress, Result, Settings
from purejaxrl.training import seeds as seeds_
from purejaxrl.types import Array, Key, Transition

pytestmark = pytest.mark.usefixtures("compiled_once")

# An environment and an agent in which any quantity goes wrong in any iteration, of any seed.

SOUND, REWARD, OBSERVATION = range(3)  # the actions
WARM_UP, EPOCH = 2, 4  # iterations
SETTINGS = Settings(
    total_steps=4 * (WARM_UP + 3 * EPOCH), num_envs=2, rollout_length=2, num_epochs=3, evaluation_episodes=0
)


@struct.dataclass
class Fragile:
    """Observes the time, pays 1; an action spoils the one or the other."""

    max_episode_steps: int | None = struct.field(pytree_node=False, default=5)

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        return gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        return gymnasium.spaces.Discrete(3)

    def reset(self, key: Key) -> tuple[Array, Array]:
        return jnp.float32(0), jax.random.uniform(key, (1,))

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        observation = jnp.where(action == OBSERVATION, jnp.inf, state + 1)[None]
        return state + 1, observation, jnp.where(action == REWARD, jnp.nan, 1.0), jnp.bool_(False)


@struct.dataclass
class Config:
    """The iteration in which each quantity turns; none at -1. ``only`` is the mark of a seed; all at -1."""

    reward: float = -1
    observation: float = -1
    loss: float = -1
    gradient_norm: float = -1
    params: float = -1
    only: float = -1


@struct.dataclass
class State:
    config: Config
    mark: Array
    params: Array
    count: Array
    info: dict[str, Array]


def mark(key: Key) -> Array:
    return jnp.float32(jax.random.key_data(key)[0] % 2**16)


def mark_of(seed: int) -> float:
    return float(mark(jax.random.split(seeds_.keys(0, seed + 1)[seed], 5)[0]))


def agent() -> ModuleType:
    def init(key: Key, config: Config, observation_space: Any, action_space: Any) -> State:
        info = {"gradient_norm": jnp.float32(0), "loss": jnp.float32(0)}
        return State(config, mark(key), jax.random.uniform(key, (3,)), jnp.int32(WARM_UP), info)

    def now(state: State, at: float, iteration: Array) -> Array:
        chosen = (state.config.only < 0) | (state.config.only == state.mark)
        return chosen & (jnp.float32(at) == iteration)

    def act(
        state: State, observation: Array, key: Key, step: Array, carry: tuple[()]
    ) -> tuple[Array, tuple[()], tuple[()]]:
        iteration = step // SETTINGS.rollout_size
        action = jnp.where(now(state, state.config.observation, iteration), OBSERVATION, SOUND)
        action = jnp.where(now(state, state.config.reward, iteration), REWARD, action)
        return jnp.full(observation.shape[0], action), (), carry

    def update(state: State, batch: Transition) -> State:
        config, iteration = state.config, state.count
        loss = jnp.where(now(state, config.loss, iteration), jnp.nan, jnp.sum(state.params))
        norm = jnp.where(now(state, config.gradient_norm, iteration), jnp.inf, 1.0)
        params = jnp.where(now(state, config.params, iteration), jnp.nan, state.params * 0.9)
        return State(config, state.mark, params, iteration + 1, {"gradient_norm": norm, "loss": loss})

    module = ModuleType("tests.fragile")
    module.__dict__.update(
        init=init,
        memory=lambda config: LastRollout(4 * WARM_UP),
        act=act,
        greedy=lambda state, observation, carry: (jnp.zeros(observation.shape[0], jnp.int32), carry),
        update=update,
    )
    return module


AGENT = agent()


@pytest.fixture(autouse=True)
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environments.REGISTRY, "Fragile", Fragile)


def fragile_experiment(*points: dict[str, float], num_seeds: int = 2) -> Experiment[Any]:
    named = tuple(tuple((f"config.{name}", value) for name, value in point.items()) for point in points)
    return Experiment(
        AGENT, Config(), "Fragile", SETTINGS, points=named, num_seeds=num_seeds, seeds="map", devices=1
    )


def run(experiment: Experiment[Any], folder: Path, until: int | None = None, **keeping: Any) -> Any:
    reports: list[Progress] = []

    def report(progress: Progress) -> None:
        reports.append(progress)
        if progress.metrics is not None and progress.epoch == until and progress.message is None:
            raise KeyboardInterrupt

    return training.run(experiment, folder, report, keeping=Keeping(**keeping), resume=True), reports


NONE = -1.0
CASES: list[tuple[dict[str, float], int, int, str]] = [
    # what is done, and the epoch, the iteration and the quantity that are to be reported
    ({"reward": 0}, 0, 0, "reward"),
    ({"observation": 1}, 0, 1, "observation"),
    ({"reward": 2}, 1, 2, "reward"),
    ({"reward": 5}, 1, 5, "reward"),
    ({"observation": 6}, 2, 6, "observation"),
    ({"loss": 3}, 1, 3, "update/loss"),
    ({"gradient_norm": 13}, 3, 13, "update/gradient_norm"),
    ({"loss": 2}, 1, 2, "update/loss"),
    # what only the parameters show is seen as the epoch ends
    ({"params": 6, "loss": NONE}, 2, 7, "update/loss"),  # the loss is their sum, an iteration later
    ({"params": 9}, 2, 9, "params"),
    ({"params": 13}, 3, 13, "params"),
    # the first of two, and of two in one iteration the one that is worked out first
    ({"reward": 8, "loss": 7}, 2, 7, "update/loss"),
    ({"reward": 8, "observation": 8, "loss": 8, "gradient_norm": 8, "params": 8}, 2, 8, "reward"),
    ({"loss": 8, "gradient_norm": 8, "params": 8}, 2, 8, "update/loss"),
    ({"observation": 8, "gradient_norm": 8}, 2, 8, "observation"),
]
NAMES: tuple[str, ...] = ("reward", "observation", "loss", "gradient_norm", "params")


def sound(*more: str) -> dict[str, float]:
    return dict.fromkeys((*NAMES, *more), NONE)


def spoilt(seed: int | None = 1) -> Experiment[Any]:
    """All the cases as points of a sweep: one seed of two is spoilt in each, and none at the last point."""
    only = {"only": mark_of(seed) if seed is not None else NONE}
    points = [sound() | case[0] | only for case in CASES]
    return fragile_experiment(*points, sound() | only)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, list[Progress]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(environments.REGISTRY, "Fragile", Fragile)
        return run(spoilt(), tmp_path_factory.mktemp("spoilt") / "run")


def test_seed_iteration_and_quantity_are_told(spoiled: tuple[Result, list[Progress]]) -> None:
    result, reports = spoiled
    expected = [
        (
            epoch,
            f"seed 1{f' of point {point}' if point else ''} is not finite since iteration {iteration}:"
            f" {quantity}",
        )
        for at in range(4)
        for point, (_, epoch, iteration, quantity) in enumerate(CASES)
        if epoch == at
    ]
    assert [(report.epoch, report.message) for report in reports if report.message] == expected
    log = [event for event in events(result.folder) if event["event"] == "note"]
    assert [(event["epoch"], event["message"]) for event in log] == expected


def test_metrics_say_who_is_alive(spoiled: tuple[Result, list[Progress]]) -> None:
    result, reports = spoiled
    first = {point: case[1:3] for point, case in enumerate(CASES)}
    for row in rows(result.folder):
        epoch, iteration = first.get(row["point"], (99, None)) if row["seed"] == 1 else (99, None)
        assert row["alive"] == (row["epoch"] < epoch)
        assert row["members_alive"] == 2 * (len(CASES) + 1) - sum(case[1] <= row["epoch"] for case in CASES)
        if row["epoch"] <= epoch:
            assert row["nonfinite_iteration"] == (iteration if row["epoch"] == epoch else None)
    alive = np.ones((len(CASES) + 1, 2), bool)
    alive[: len(CASES), 1] = False
    np.testing.assert_array_equal(result.alive, alive.ravel())
    assert reports[-1].alive == len(CASES) + 2
    assert json.loads((result.folder / "summary.json").read_text())["members_alive"] == len(CASES) + 2


def test_the_others_go_on_as_if_nothing_were(spoiled: tuple[Result, list[Progress]], tmp_path: Path) -> None:
    never, _ = run(fragile_experiment(*[sound("only")] * (len(CASES) + 1)), tmp_path / "run")
    assert never.alive.all()
    alive = spoiled[0].alive
    a, b = (outcome(result) for result in (spoiled[0], never))
    for name, leaf in a.items():
        if ".config" not in name:
            assert leaf[alive].tobytes() == b[name][alive].tobytes(), name
    members = [(point, seed) for point in range(len(CASES) + 1) for seed in range(2)]
    for row, other in zip(rows(spoiled[0].folder), rows(never.folder), strict=True):
        if alive[members.index((row["point"], row["seed"]))]:
            assert {**row, "members_alive": 0} == {**other, "members_alive": 0}


def test_who_is_alive_survives_a_resumption(spoiled: tuple[Result, list[Progress]], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for until in (0, 2, None):
        result, reports = run(spoilt(), folder, until=until)
        assert reports[-1].alive == result.alive.sum()
    assert (folder / "metrics.jsonl").read_bytes() == (spoiled[0].folder / "metrics.jsonl").read_bytes()
    assert result.digest == spoiled[0].digest
    told = [note for note in notes(folder) if "finite" in note]
    assert told == [report.message for report in spoiled[1] if report.message]  # once each


def test_on_nan_stop_ends_the_run(tmp_path: Path) -> None:
    folder, point = tmp_path / "run", {"loss": 7.0, "only": mark_of(0)}
    experiment = fragile_experiment({"loss": NONE, "only": NONE}, point)
    result, reports = run(experiment, folder, on_nan="stop", checkpoint_every=3)
    assert result.interrupted
    assert result.alive.tolist() == [True, True, False, True]
    assert reports[-1].epoch == 2
    assert [event["event"] for event in events(folder)][-1] == "stopped"
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["ended"], summary["epochs"], summary["members_alive"]) == ("stopped", 2, 3)
    assert (folder / "checkpoints" / "2").is_dir()
    # Gone on with, it stops again where it is, unless it is told to continue.
    again, reports = run(experiment, folder, on_nan="stop")
    assert again.interrupted
    assert (again.session_steps, again.digest) == (0, result.digest)
    last, _ = run(experiment, folder)
    assert not last.interrupted
    expected, _ = run(experiment, tmp_path / "whole")
    assert last.digest == expected.digest
    assert (folder / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_every_seed_is_spoilt(tmp_path: Path) -> None:
    result, _ = run(fragile_experiment({"reward": 4.0}, num_seeds=3), tmp_path / "run")
    assert not result.interrupted
    assert not result.alive.any()
    assert [row["members_alive"] for row in rows(tmp_path / "run")] == [3] * 3 + [0] * 9
    assert notes(tmp_path / "run") == [f"seed {i} is not finite since iteration 4: reward" for i in range(3)]


# Real ones: a step so large that the next one overflows.


@pytest.mark.parametrize(
    ("name", "rate", "iteration"),
    [
        ("a2c", "config.learning_rate", 1),
        pytest.param("dqn", "config.learning_rate", 26, marks=pytest.mark.slow),  # the second update
        pytest.param("ddpg", "config.critic_learning_rate", 100, marks=pytest.mark.slow),  # and of two
    ],
)
def test_an_agent_that_blows_up(tmp_path: Path, name: str, rate: str, iteration: int) -> None:
    experiment = quick(name, num_seeds=2, devices=1)
    rate_before = float(getattr(experiment.config, rate.partition(".")[2]))
    points = (((rate, rate_before),), ((rate, 1e30),))
    result, _ = run(dataclasses.replace(experiment, points=points), tmp_path / "run")
    assert result.alive.tolist() == [True, True, False, False]
    assert len(notes(tmp_path / "run")) == 2
    for i, note in enumerate(notes(tmp_path / "run")):
        assert note.startswith(f"seed {i} of point 1 is not finite since iteration {iteration}: update/"), (
            note
        )
    curves = training.read_metrics(tmp_path / "run")
    assert np.isfinite(curves["update/" + note.partition("update/")[2]][:2]).all()
    assert curves["members_alive"].tolist() == [[4, 2, 2, 2, 2]] * 4
    alone, _ = run(dataclasses.replace(experiment, points=points[:1]), tmp_path / "alone")
    a, b = (outcome(each) for each in (result, alone))
    for path, leaf in a.items():
        assert leaf[:2].tobytes() == b[path].tobytes(), path
