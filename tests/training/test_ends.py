"""How runs end and are gone on with at their ends: what is told, kept, refused, and left alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from resume_cases import go, quick
from training_cases import variant

from purejaxrl import runs, training
from purejaxrl.training import Keeping, Progress
from purejaxrl.training.rebuild import experiment_from
from purejaxrl.training.record import describe
from purejaxrl.types import InvalidInput

EXPERIMENT = quick("a2c", num_seeds=2, devices=1)


pytestmark = pytest.mark.usefixtures("compiled_once")


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def interrupt_at_once(progress: Progress) -> None:
    if progress.stage == "compile" and progress.message is None:
        raise KeyboardInterrupt


def test_a_run_that_was_killed_before_its_summary_gets_it(tmp_path: Path) -> None:
    whole, _ = go(EXPERIMENT, tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    again, _ = go(EXPERIMENT, tmp_path / "run")
    assert again.digest == whole.digest
    assert summary(tmp_path / "run")["ended"] == "done"
    assert summary(tmp_path / "run")["digest"] == whole.digest


def test_ctrl_c_before_anything_is_done_changes_nothing(tmp_path: Path) -> None:
    go(EXPERIMENT, tmp_path / "run")
    before = summary(tmp_path / "run")
    result = training.run(EXPERIMENT, tmp_path / "run", interrupt_at_once, resume=True)
    assert result.ended == "interrupted"
    assert summary(tmp_path / "run") == before


def test_the_digest_is_of_the_last_epoch_or_there_is_none(tmp_path: Path) -> None:
    stopped, _ = go(EXPERIMENT, tmp_path / "run", until=3, checkpoint_every=2)
    assert stopped.digest is None
    assert summary(tmp_path / "run")["digest"] is None
    whole, _ = go(EXPERIMENT, tmp_path / "run", checkpoint_every=2)
    assert whole.digest is not None


def test_a_finished_run_without_checkpoints_is_finished(tmp_path: Path) -> None:
    go(EXPERIMENT, tmp_path / "run", checkpoint_every=0)
    before = {
        path: path.read_bytes() for path in (tmp_path / "run").glob("*.json*") if "events" not in path.name
    }
    result, _ = go(EXPERIMENT, tmp_path / "run", checkpoint_every=0)
    assert result.ended == "done"
    assert result.alive.tolist() == [True, True]
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_of_something_else_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"holds no run to resume, and is not empty$"):
        training.run(EXPERIMENT, tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_a_lost_record_is_written_again_from_the_checkpoints(tmp_path: Path) -> None:
    go(EXPERIMENT, tmp_path / "run", until=2)
    (tmp_path / "run" / "experiment.json").unlink()
    other = dataclasses.replace(EXPERIMENT, seed=5)
    with pytest.raises(InvalidInput, match="seed: 0 in the run, 5 now"):
        go(other, tmp_path / "run")
    assert not (tmp_path / "run" / "experiment.json").exists()
    go(EXPERIMENT, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "experiment.json").read_text())["seed"] == 0


@pytest.mark.parametrize("name", ["tensorbord", "weights"])
def test_an_unknown_tracker_leaves_no_folder(name: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"^a tracker is one of tensorboard, wandb, not '{name}'$"):
        training.run(EXPERIMENT, tmp_path / "run", keeping=Keeping(track=(name,)))
    assert not (tmp_path / "run").exists()


def test_a_tracker_that_fails_is_given_up_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr("purejaxrl.training.trackers.TensorBoard.write", fail)
    messages: list[str] = []
    result = training.run(
        EXPERIMENT,
        tmp_path / "run",
        lambda progress: messages.append(progress.message) if progress.message else None,
        keeping=Keeping(track=("tensorboard",)),
    )
    assert result.ended == "done"
    assert messages == ["TensorBoard is written no more: OSError: no room"]
    assert messages[0] in (tmp_path / "run" / "events.jsonl").read_text()


def test_whatever_fails_is_in_the_log(tmp_path: Path) -> None:
    def fail(progress: Progress) -> None:
        if progress.epoch == 2:
            raise RuntimeError("a simulator fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        training.run(EXPERIMENT, tmp_path / "run", fail)
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert events[-1]["event"] == "failed"
    assert events[-1]["reason"] == "RuntimeError: a simulator fell over"


def test_a_spread_run_is_made_an_experiment_again() -> None:
    spread = variant("a2c", shard="environments", devices=4, num_seeds=2)
    description = describe(spread, training.programs(spread))
    again = experiment_from(description)
    assert (again.shard, again.devices) == ("environments", 4)
    assert describe(again, training.programs(again)) == description


def test_a_run_is_made_longer_by_the_epochs_of_its_own_point() -> None:
    experiment = variant("dqn", points=((("config.warmup_steps", 232),),))
    loop = experiment.loop()
    epoch = loop.iterations_per_epoch * loop.settings.rollout_size
    settings = runs.longer(experiment, None, 6)
    assert (settings.total_steps, settings.num_epochs) == (232 + 6 * epoch, 6)
