"""What a run leaves on disk: a folder of its own, lines of valid JSON, numbers that read back as written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_cases import variant

from purejaxrl import training
from purejaxrl.training import provenance
from purejaxrl.training.record import Record, describe, rows_of
from purejaxrl.types import InvalidInput, Metrics


def some_metrics(epoch: int) -> Metrics:
    """Metrics of two seeds; in epoch 0 no episode has ended, and a loss of seed 1 has overflowed."""
    nothing = np.full(2, math.nan, np.float32)
    fields: dict[str, Any] = {
        "environment_steps": np.array([10 * epoch] * 2, np.int32),
        "updates": np.array([epoch] * 2, np.int32),
        "episodes": np.array([epoch, 2 * epoch], np.int32),
        "episode_return": np.array([1 / 3, -1e30], np.float32) if epoch else nothing,
        "episode_length": np.array([7.5, 8], np.float32) if epoch else nothing,
        "evaluation_episodes": np.array([2, 0], np.int32),
        "evaluation_return": np.array([0.1, math.nan], np.float32),
        "evaluation_length": np.array([9, math.nan], np.float32),
        "nonfinite_iteration": np.array([-1, 17], np.int32),
        "nonfinite_quantity": np.array([-1, 2], np.int32),
        "update": {"loss": np.array([1e-7, math.inf], np.float32)},
    }
    return Metrics(**fields)


def some_rows(epoch: int) -> list[dict[str, Any]]:
    return rows_of(some_metrics(epoch), epoch, 2, np.array([True, False]))


def strict(text: str) -> Any:
    """Parses JSON proper: NaN and Infinity are Python's own addition to it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_metrics_are_lines_of_json_that_read_back_as_they_were(tmp_path: Path) -> None:
    record = Record.create(tmp_path / "run", "name")
    for epoch in range(3):
        record.write_metrics(some_rows(epoch))
        # On disk as the epoch ends, not when the run does.
        assert (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") == 2 * (epoch + 1)
    record.close()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    rows = [strict(line) for line in lines]
    assert [(row["epoch"], row["seed"]) for row in rows] == [(e, s) for e in range(3) for s in range(2)]
    assert rows[0]["episode_return"] is None
    assert rows[1]["update/loss"] is None
    assert rows[2]["episode_return"] == float(np.float32(1 / 3))

    columns = training.read_metrics(tmp_path / "run")
    assert set(columns) == set(rows[0])
    for epoch in range(3):
        expected = vars(some_metrics(epoch)) | {
            "update/loss": np.array([1e-7, math.nan], np.float32),
            "nonfinite_iteration": np.array([math.nan, 17]),
            "alive": np.array([True, False]),
            "members_alive": np.array([1, 1]),
        }
        del expected["update"], expected["nonfinite_quantity"]
        for name, value in expected.items():
            assert columns[name].shape == (2, 3)
            np.testing.assert_array_equal(columns[name][:, epoch].astype(value.dtype), value, err_msg=name)


def test_metrics_of_a_run_without_an_epoch_say_so(tmp_path: Path) -> None:
    Record.create(tmp_path / "run", "name").close()
    with pytest.raises(InvalidInput, match=r"metrics\.jsonl holds no epoch yet$"):
        training.read_metrics(tmp_path / "run")


def test_an_existing_folder_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    first = Record.create(tmp_path / "run", "name")
    first.write_metrics(some_rows(0))
    first.close()
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    with pytest.raises(InvalidInput, match=r"^the output folder .*run exists already; a run is never"):
        Record.create(tmp_path / "run", "name")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="exists already"):
        Record.create(tmp_path / "empty", "name")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InvalidInput, match="exists already"):
        Record.create(tmp_path / "file", "name")
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("inside", ["run", "deeper/run"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InvalidInput, match=r"^the output folder .*run cannot be written: .*file"):
        Record.create(tmp_path / "file" / inside, "name")


def test_a_file_in_place_of_runs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(InvalidInput, match=r"^the output folder runs/name-001 cannot be written"):
        Record.create(None, "name")


@pytest.mark.timeout(20)
def test_links_that_lead_nowhere_are_refused_or_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "name-001").symlink_to(tmp_path / "nowhere")
    record = Record.create(None, "name")
    record.close()
    assert record.folder == Path("runs/name-002")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    Path("runs").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match=r"^the output folder runs/name-001 cannot be written"):
        Record.create(None, "name")


def test_numbers_are_never_used_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = []
    for name in ("a", "a", "b", "a", "b"):
        record = Record.create(None, name)
        record.close()
        folders.append(str(record.folder))
    assert folders == ["runs/a-001", "runs/a-002", "runs/b-001", "runs/a-003", "runs/b-002"]


def test_folders_are_made_with_their_parents(tmp_path: Path) -> None:
    record = Record.create(tmp_path / "a" / "b" / "c", "name")
    record.close()
    assert (tmp_path / "a" / "b" / "c" / "metrics.jsonl").exists()


def test_an_experiment_is_written_in_full(tmp_path: Path) -> None:
    experiment = variant("dqn", num_seeds=3, devices=2, seed=5)
    record = Record.create(tmp_path / "run", experiment.name)
    programs = training.programs(experiment)
    record.write_experiment(describe(experiment, programs), programs, provenance.session())
    record.close()
    written = strict((tmp_path / "run" / "experiment.json").read_text())
    assert written["agent"] == "purejaxrl.agents.dqn"
    assert written["environment"] == "CartPole-v1"
    assert written["config"]["learning_rate"] == experiment.config.learning_rate
    assert written["config"]["hidden_sizes"] == [16]
    assert written["settings"]["total_steps"] == experiment.settings.total_steps
    assert (written["seed"], written["num_seeds"], written["seeds"]) == (5, 3, "map")
    assert len(written["devices"]) == 2
    assert len(written["keys"]) == 3
    assert {"purejaxrl", "jax", "numpy"} <= set(written["session"]["versions"])
    assert not list((tmp_path / "run").glob(".*.partial")), "nothing half-written is left"
