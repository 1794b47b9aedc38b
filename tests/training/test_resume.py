"""A run that is stopped and gone on with ends with the bits of one that never was."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import resume_cases
from resume_cases import EXPERIMENTS, SIMULATED, events, go, notes, outcome, rows
from training_cases import assert_same_bits

from purejaxrl import training
from purejaxrl.training import Keeping, Result, StorageError
from purejaxrl.training.checkpoints import Checkpoints
from purejaxrl.types import InvalidInput

pytestmark = [pytest.mark.usefixtures("compiled_once"), pytest.mark.same_bits]
slow = pytest.mark.slow
AGENTS = ("dqn", "a2c", "ddpg")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs that were never stopped, each made once."""
    made: dict[str, Result] = {}

    def run(name: str) -> Result:
        if name not in made:
            made[name] = go(name, tmp_path_factory.mktemp("whole") / "run")[0]
            assert made[name].digest is not None
        return made[name]

    return run


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a folder of a run that was stopped after two epochs of four."""
    made: dict[str, Path] = {}

    def copy(name: str, folder: Path) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("half") / "run"
            go(name, made[name], until=2, exact_resume=name in SIMULATED)
        shutil.copytree(made[name], folder)
        return folder

    return copy


def metrics(result: Result) -> bytes:
    return (result.folder / "metrics.jsonl").read_bytes()


def assert_same_run(result: Result, expected: Result) -> None:
    """Every leaf of every seed's state, all metrics, and the last checkpoint's digest."""
    rows(result.folder)
    assert metrics(result) == metrics(expected)
    assert_same_bits(outcome(result), outcome(expected))
    assert result.digest == expected.digest


# In a new process.


@pytest.mark.parametrize(
    ("names", "anew"),
    [
        (("dqn, sweep", "a2c"), False),
        pytest.param(("dqn", "ddpg"), True, marks=slow),  # programs are compiled again, too
        pytest.param(("ddpg, sweep", "EnvPool"), False, marks=slow),
    ],
)
def test_a_new_process_goes_on(
    whole: Any, half: Any, compiled_once: Path, tmp_path: Path, names: tuple[str, ...], anew: bool
) -> None:
    arguments = [part for name in names for part in (name, half(name, tmp_path / name))]
    cache = "-" if anew else compiled_once
    command = [sys.executable, resume_cases.__file__, cache, *arguments]
    script = subprocess.run(command, capture_output=True, text=True, check=False)
    assert script.returncode == 0, script.stderr
    for name, line in zip(names, script.stdout.splitlines(), strict=True):
        expected, folder = whole(name), tmp_path / name
        rows(folder)
        assert (folder / "metrics.jsonl").read_bytes() == metrics(expected)
        assert_same_bits(resume_cases.read(folder / "outcome.pickle"), outcome(expected))
        assert line == f"{name} {expected.digest}"


# In this one: every way of running seeds, stopped anywhere.


@pytest.mark.parametrize(
    ("name", "until"),
    [
        ("a2c", 3),
        ("rainbow", 2),
        ("drqn", 2),
        pytest.param("dqn, sweep", 1, marks=slow),
        pytest.param("ddpg, vmap", 2, marks=slow),
    ],
)
def test_stopped_and_gone_on_with(whole: Any, tmp_path: Path, name: str, until: int) -> None:
    go(name, tmp_path / "run", until=until)
    assert_same_run(go(name, tmp_path / "run")[0], whole(name))


def test_stopped_after_every_epoch(whole: Any, tmp_path: Path) -> None:
    folder, expected = tmp_path / "run", whole("a2c")
    for epoch in range(5):
        result, reports = go("a2c", folder, until=epoch if epoch < 4 else None)
        assert len(rows(folder)) == 3 * (epoch + 1)
        assert metrics(expected).startswith((folder / "metrics.jsonl").read_bytes())
        # Nothing that was done is done again, and what this session did is told apart.
        assert (reports[-1].epoch, reports[-1].session_epochs) == (epoch, min(epoch, 1))
        assert reports[-1].environment_steps == result.environment_steps == 3 * 500 * epoch
        assert result.session_steps == 3 * 500 * min(epoch, 1)
        assert ("warm-up" in [report.stage for report in reports]) == (epoch == 0)
    assert_same_run(result, expected)
    assert notes(folder) == [f"resumed after epoch {epoch}" for epoch in range(4)]


def test_a_run_that_was_stopped_twice_within_checkpoints(whole: Any, tmp_path: Path) -> None:
    """With a checkpoint every two epochs, the rows of the third are worked out again."""
    for until in (3, 3):
        result = go("a2c", tmp_path / "run", until=until, checkpoint_every=2)[0]
        assert len(rows(tmp_path / "run")) == 3 * 4
    assert not (tmp_path / "run" / "checkpoints" / "3").exists()
    result, reports = go("a2c", tmp_path / "run", checkpoint_every=2)
    assert reports[-1].session_epochs == 2
    assert notes(tmp_path / "run") == ["resumed after epoch 2"] * 2
    assert_same_run(result, whole("a2c"))


def test_a_finished_run_is_left_as_it_is(whole: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = go("a2c", folder)[0]
    before = {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("events.jsonl", "summary.json")
    }
    result, reports = go("a2c", folder)
    assert {path: path.read_bytes() for path in before} == before
    assert (result.digest, result.session_steps, result.metrics) == (first.digest, 0, None)
    assert {report.stage for report in reports} <= {"compile", "resume", "train"}
    for a, b in zip(jax.tree.leaves(first.runners), jax.tree.leaves(result.runners), strict=True):
        assert bool(jnp.all(a == b))


@pytest.mark.parametrize("devices", [3, pytest.param(2, marks=slow)])
def test_other_devices(whole: Any, half: Any, tmp_path: Path, devices: int) -> None:
    """With map, bits do not depend on the devices, padding or not: nor do a checkpoint's."""
    experiment = dataclasses.replace(EXPERIMENTS["a2c"], devices=devices)
    half("a2c", tmp_path / "run")
    result, _ = go(experiment, tmp_path / "run", until=3)
    assert {len(leaf.devices()) for leaf in jax.tree.leaves(result.runners)} <= {devices}
    assert_same_run(go("a2c", tmp_path / "run")[0], whole("a2c"))
    half("a2c", tmp_path / "other")
    assert_same_run(go(experiment, tmp_path / "other")[0], whole("a2c"))


# A longer run.


def lasting(name: str, epochs: int) -> Any:
    """An experiment of :data:`EXPERIMENTS` with another number of the same epochs."""
    experiment = EXPERIMENTS[name]
    warmup = 200 if name == "dqn" else 0
    steps = warmup + (experiment.settings.total_steps - warmup) // 4 * epochs
    settings = dataclasses.replace(experiment.settings, total_steps=steps, num_epochs=epochs)
    return dataclasses.replace(experiment, settings=settings)


@pytest.mark.parametrize("name", ["a2c", pytest.param("dqn", marks=slow)])
def test_a_finished_run_is_made_longer(whole: Any, tmp_path: Path, name: str) -> None:
    go(lasting(name, 1), tmp_path / "run")
    go(lasting(name, 3), tmp_path / "run", until=2)
    assert_same_run(go(lasting(name, 4), tmp_path / "run")[0], whole(name))


def test_a_run_cannot_be_made_shorter_than_it_is_nor_its_epochs_longer(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    go("a2c", folder, until=3)
    before = (folder / "metrics.jsonl").read_bytes(), (folder / "summary.json").read_bytes()
    with pytest.raises(InvalidInput, match=r"has done 3 epochs already, more than num_epochs = 2$"):
        go(lasting("a2c", 2), folder)
    settings = dataclasses.replace(EXPERIMENTS["a2c"].settings, total_steps=4000)
    with pytest.raises(InvalidInput, match=r"has epochs of 25 iterations .*, not of 50 \(total_steps = 4000"):
        go(dataclasses.replace(EXPERIMENTS["a2c"], settings=settings), folder)
    assert ((folder / "metrics.jsonl").read_bytes(), (folder / "summary.json").read_bytes()) == before


# The program that goes on is the one that began.


@pytest.mark.parametrize("name", ["dqn, sweep", *(pytest.param(each, marks=slow) for each in AGENTS)])
def test_the_program_is_the_same(whole: Any, name: str) -> None:
    """Its text as it is lowered and as it is compiled: branches, writes in place and memory included."""
    experiment = EXPERIMENTS[name]
    made = training.programs(experiment)
    shapes, shardings = made.runners()
    checkpoints = Checkpoints(whole(name).folder, 2)
    try:
        restored = checkpoints.restore(shapes, shardings, experiment.num_members, lambda description: None)
    finally:
        checkpoints.close()
    assert restored is not None
    fresh = made.begin(made.members)[0]
    for a, b in zip(jax.tree.leaves(fresh), jax.tree.leaves(restored.runners), strict=True):
        assert (a.shape, a.dtype, a.committed) == (b.shape, b.dtype, b.committed)
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)
    lowered = [made.epoch.lower(runners, jnp.int32(0)) for runners in (fresh, restored.runners)]
    assert lowered[0].as_text() == lowered[1].as_text()
    texts = [each.compile().as_text() for each in lowered]
    assert texts[0] == texts[1]
    assert "input_output_alias" in texts[1]
    # Called, the second compiles nothing, and gives its memory up.
    compiled: list[str] = []

    def count(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    made.epoch(fresh, jnp.int32(0))
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        made.epoch(restored.runners, jnp.int32(2))
        assert not compiled
        jax.jit(lambda x: x * 1.2345)(jnp.float32(1))
        assert compiled, "the count counts"
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(restored.runners))


# Which checkpoints stay.


@dataclasses.dataclass(frozen=True)
class Plain:
    """As little as is a state of two members."""

    agent: Any
    rest: Any
    environment_state: Any = ()


jax.tree_util.register_dataclass(Plain, ["agent", "rest", "environment_state"], [])


def plain(epoch: int) -> Plain:
    return Plain(agent=jnp.full((2, 3), epoch, jnp.float32), rest=jnp.array([epoch, -epoch]))


def read_plain(folder: Path) -> Any:
    checkpoints = Checkpoints(folder, 2)
    shapes = jax.eval_shape(lambda: plain(0))
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    try:
        return checkpoints.restore(shapes, jax.tree.map(lambda _: place, shapes), 2, lambda description: None)
    finally:
        checkpoints.close()


@pytest.mark.parametrize(
    ("keep", "scores", "left"),
    [
        (1, [1.0, 5.0, 2.0, 3.0, 4.0], [1, 4]),
        (2, [9.0, 5.0, 2.0, 3.0, 4.0], [0, 3, 4]),
        (2, [1.0, np.nan, 1.0, np.nan, np.nan], [2, 3, 4]),  # of equals the last is best; NaN never is
        (3, [np.nan] * 5, [2, 3, 4]),
        (9, [1.0, 5.0, 2.0, 3.0, 4.0], [0, 1, 2, 3, 4]),
    ],
)
@pytest.mark.parametrize("sessions", [1, 5])
def test_the_last_checkpoints_and_the_best_stay(
    tmp_path: Path, keep: int, scores: list[float], left: list[int], sessions: int
) -> None:
    """Whether one process writes them all or each a process of its own."""
    for epochs in np.array_split(np.arange(5), sessions):
        checkpoints = Checkpoints(tmp_path, keep)
        for epoch in epochs.tolist():
            checkpoints.save(epoch, plain(epoch), 2, {}, scores[epoch])
        checkpoints.close()
    checkpoints = Checkpoints(tmp_path, keep)
    assert checkpoints.epochs == left
    checkpoints.close()
    assert read_plain(tmp_path).runners.rest.tolist() == [4, -4]


def test_a_run_keeps_its_best_checkpoint_through_resumptions(tmp_path: Path) -> None:
    for until in (1, 2, None):
        go("a2c", tmp_path / "run", until=until, keep=1)
    curves = training.read_metrics(tmp_path / "run")
    scores = [  # the mean over the seeds that finished an evaluation, or else over those that trained
        np.nanmean(column if np.isfinite(column).any() else other)
        for column, other in zip(curves["evaluation_return"].T, curves["episode_return"].T, strict=True)
    ]
    kept = sorted(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == sorted({int(np.argmax(scores)), 4})


def test_memory_is_given_up_only_once_it_has_been_saved(tmp_path: Path) -> None:
    """Epochs follow each other at once, and each writes where the one before it is still being saved."""
    step = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf + 1, state), donate_argnums=0)
    state = Plain(agent=jnp.zeros((2, 2_000_000), jnp.float32), rest=jnp.arange(2))
    shapes = jax.eval_shape(lambda: state)
    place = jax.tree.map(lambda _: jax.sharding.SingleDeviceSharding(jax.devices()[0]), shapes)
    checkpoints = Checkpoints(tmp_path, 5)
    for epoch in range(5):
        checkpoints.save(epoch, state, 2, {}, np.nan)
        state = step(step(state))
    checkpoints.wait()
    assert checkpoints.epochs == [0, 1, 2, 3, 4]
    for epoch in range(5):
        read = checkpoints._read(epoch, checkpoints.read_meta(epoch), shapes, place)
        assert bool(jnp.all(read.agent == 2 * epoch))
    checkpoints.close()


# Simulators on the host.

EVERY = ["EnvPool", *(pytest.param(name, marks=slow) for name in SIMULATED[1:])]
CARTPOLE_AND_PONG = ["EnvPool", *(pytest.param(name, marks=slow) for name in ("gymnasium", "Pong"))]


@pytest.mark.parametrize("name", EVERY)
def test_simulators_are_told_again_what_they_were_told(
    whole: Any, half: Any, tmp_path: Path, name: str
) -> None:
    folder = half(name, tmp_path / "run")
    result, reports = go(name, folder, exact_resume=True)
    assert_same_run(result, whole(name))  # which was not recorded: that changes nothing, either
    assert any(report.stage.startswith("replay") for report in reports)
    assert "told again" in notes(folder)[-1]
    assert all(row["new_episodes"] == 0 for row in rows(folder))


@pytest.mark.slow
def test_simulators_are_told_again_and_again(whole: Any, tmp_path: Path) -> None:
    for until in (1, 3, None):
        result, _ = go("EnvPool", tmp_path / "run", until=until, exact_resume=True, checkpoint_every=2)
    assert_same_run(result, whole("EnvPool"))
    assert notes(tmp_path / "run")[::2] == ["resumed after epoch 0", "resumed after epoch 2"]


@pytest.mark.parametrize("name", CARTPOLE_AND_PONG)
def test_new_episodes_are_begun_and_said_so(whole: Any, half: Any, tmp_path: Path, name: str) -> None:
    experiment, folder = EXPERIMENTS[name], half(name, tmp_path / "run")
    number = experiment.settings.num_envs
    result, reports = go(name, folder)
    cut_off = [row["new_episodes"] for row in rows(folder)]
    assert cut_off == [0] * 2 * 3 + [number] * 2 + [0] * 2  # two seeds: the epoch after the resumption
    said = f"new episodes were begun in all {number} environments of each seed"
    assert said in notes(folder)[-1]
    assert any(said in (report.message or "") for report in reports)
    assert events(folder)[-1]["event"] == "done"
    expected = metrics(whole(name)).splitlines()
    assert metrics(result).splitlines()[:6] == expected[:6]
    assert metrics(result) != metrics(whole(name))
    assert result.environment_steps == whole(name).environment_steps
    # From a run whose episodes were cut off there is no way back to one that is exact.
    steps = experiment.settings.total_steps * 2
    settings = dataclasses.replace(experiment.settings, total_steps=steps, num_epochs=8)
    before = {path: path.read_bytes() for path in folder.iterdir() if path.suffix in (".json", ".jsonl")}
    with pytest.raises(InvalidInput, match=r"no record of what its simulators were told in epoch 0"):
        go(dataclasses.replace(experiment, settings=settings), folder, exact_resume=True)
    del before[folder / "events.jsonl"]  # a refusal changes nothing else
    assert {path: path.read_bytes() for path in before} == before


# What there is to go on with.


def test_a_run_that_kept_no_checkpoint_is_not_begun_again_over_its_metrics(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    go("a2c", folder, until=2, checkpoint_every=0)
    before = (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(StorageError, match=r"metrics of 2 epochs and no checkpoint to go on from"):
        go("a2c", folder)
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_to_resume_takes_a_folder() -> None:
    with pytest.raises(InvalidInput, match="to resume takes the folder of the run"):
        training.run(EXPERIMENTS["a2c"], keeping=Keeping(), resume=True)
