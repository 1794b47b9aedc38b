"""Runs epoch by epoch: what they report, what they leave on disk, and what an interrupt leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from training_cases import variant

from purejaxrl import training
from purejaxrl.training import Progress, Result, processes
from purejaxrl.types import InvalidInput

EXPERIMENT = variant(
    "a2c",
    num_seeds=3,
    devices=1,
    settings=training.Settings(
        total_steps=800,
        num_envs=4,
        rollout_length=5,
        num_epochs=4,
        evaluation_episodes=1,
        evaluation_steps=50,
    ),
)
SCRIPTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, list[Progress]]:
    reports: list[Progress] = []
    return training.run(EXPERIMENT, tmp_path_factory.mktemp("runs") / "run", reports.append), reports


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run in which Ctrl-C is heard as its second epoch is reported."""

    def report(progress: Progress) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    return training.run(EXPERIMENT, tmp_path_factory.mktemp("runs") / "run", report)


def test_a_run_reports_every_stage_and_epoch(finished: tuple[Result, list[Progress]]) -> None:
    result, reports = finished
    seen = list(dict.fromkeys((report.stage, report.epoch) for report in reports))
    assert seen[0] == ("compile", 0)
    assert [epoch for stage, epoch in seen if stage == "train"] == [0, 1, 2, 3, 4]
    assert {stage for stage, _ in seen} == {"compile", "warm-up", "train"}
    steps = [report.environment_steps for report in reports]
    assert steps == sorted(steps)
    assert steps[-1] == 3 * 800 == result.environment_steps
    seconds = [report.seconds for report in reports if report.stage != "compile"]
    assert seconds == sorted(seconds)
    assert reports[-1].metrics is result.metrics


def test_a_run_leaves_its_metrics_and_how_it_ended(finished: tuple[Result, list[Progress]]) -> None:
    result, reports = finished
    assert not result.interrupted
    epochs = {report.epoch: report.metrics for report in reports if report.metrics is not None}
    assert list(epochs) == [0, 1, 2, 3, 4]
    read = training.read_metrics(result.folder)
    np.testing.assert_array_equal(read["environment_steps"], [[0, 200, 400, 600, 800]] * 3)
    np.testing.assert_array_equal(
        read["evaluation_return"], np.stack([each.evaluation_return for each in epochs.values()], axis=1)
    )
    np.testing.assert_array_equal(
        read["update/loss"], np.stack([each.update["loss"] for each in epochs.values()], axis=1)
    )
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary["interrupted"] is False
    assert summary["epochs"] == 4
    assert summary["environment_steps"] == 2400
    assert summary["run_seconds"] == result.run_seconds > 0
    assert summary["compile_seconds"] == result.compile_seconds > 0
    assert summary["environment_steps_per_second"] == pytest.approx(2400 / result.run_seconds)
    assert sorted(path.name for path in result.folder.iterdir()) == [
        ".lock",
        "checkpoints",
        "events.jsonl",
        "experiment.json",
        "metrics.jsonl",
        "summary.json",
    ]


def test_an_interrupt_leaves_the_epochs_that_were_done(
    interrupted: Result, finished: tuple[Result, list[Progress]]
) -> None:
    assert interrupted.interrupted
    assert interrupted.environment_steps == 3 * 400
    read, whole = training.read_metrics(interrupted.folder), training.read_metrics(finished[0].folder)
    assert read.keys() == whole.keys()
    for name, column in read.items():
        np.testing.assert_array_equal(column, whole[name][:, :3], err_msg=name)
    summary = json.loads((interrupted.folder / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert summary["epochs"] == 2
    assert summary["environment_steps"] == 1200
    assert not list(interrupted.folder.glob(".*.partial")), "nothing half-written is left"


def test_an_interrupt_before_the_first_epoch_leaves_a_summary(tmp_path: Path) -> None:
    def report(progress: Progress) -> None:
        raise KeyboardInterrupt

    result = training.run(EXPERIMENT, tmp_path / "run", report)
    assert result.interrupted
    assert result.metrics is None
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["interrupted"] is True


def test_nothing_is_made_where_the_experiment_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown environment 'CartPol-v1'"):
        training.run(variant("a2c", environment="CartPol-v1"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_is_run_where_the_folder_exists(finished: tuple[Result, list[Progress]]) -> None:
    before = {path: path.read_bytes() for path in finished[0].folder.rglob("*") if path.is_file()}
    with pytest.raises(InvalidInput, match="exists already"):
        training.run(EXPERIMENT, finished[0].folder)
    assert {path: path.read_bytes() for path in before} == before


def test_options_reach_the_environment() -> None:
    experiment = variant(
        "dqn",
        environment="Catch",
        environment_options=("rows=7", "columns=6"),
        settings=training.Settings(total_steps=208, num_envs=1, num_epochs=8),
    )
    assert experiment.name == "dqn-catch"
    assert experiment.loop().environment.observation_space.shape == (7, 6)


@pytest.mark.parametrize("option", ["rows", "=3", "ro ws=3", "", "3=rows"])
def test_options_that_are_not_name_and_value(option: str) -> None:
    with pytest.raises(InvalidInput, match=f"^an environment option is written name=value, not '{option}'$"):
        variant("dqn", environment="Catch", environment_options=(option,)).loop()


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX has them")
def test_ctrl_c_in_a_script_leaves_complete_metrics_and_a_picture(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = (
        f"--output {folder} --num-seeds 2 --total-steps 100010000 --num-epochs 20000 --evaluation-episodes 1"
        " --evaluation-steps 20 --config.hidden-sizes 8 --config.batch-size 8"
    )
    # A shell has what it runs in the background ignore Ctrl-C, and all that this begins.
    with processes.handled(signal.default_int_handler, signal.SIGINT):
        script = subprocess.Popen(
            [sys.executable, SCRIPTS / "dqn_cartpole.py", *arguments.split()],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TERM": "dumb"},
        )
    try:
        metrics = folder / "metrics.jsonl"
        while not metrics.exists() or metrics.read_text().count("\n") < 2 * 4:
            assert script.poll() is None, script.communicate()
            time.sleep(0.1)
        start = time.monotonic()
        script.send_signal(signal.SIGINT)
        out, err = script.communicate(timeout=60)
        seconds = time.monotonic() - start
    finally:
        script.kill()
    assert script.returncode == 130
    assert seconds < 15
    assert "Traceback" not in err
    assert f"{folder}: interrupted" in out
    text = metrics.read_text()
    assert text.endswith("\n")
    rows = [json.loads(line) for line in text.splitlines()]
    epochs = rows[-1]["epoch"] + 1
    assert [(row["epoch"], row["seed"]) for row in rows] == [(e, s) for e in range(epochs) for s in (0, 1)]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["interrupted"] is True
    assert summary["epochs"] == epochs - 1
    assert summary["environment_steps"] == rows[-1]["environment_steps"] * 2
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
