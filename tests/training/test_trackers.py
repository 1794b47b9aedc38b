"""Trackers: what TensorBoard and wandb will read is read back from the files that they read."""

from __future__ import annotations

import json
import math
import os
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorboardX.proto.event_pb2
import wandb
import wandb.proto.wandb_internal_pb2

from purejaxrl.training import trackers
from purejaxrl.training.trackers import open_tracker
from purejaxrl.types import InvalidInput

# Messages that are made as the modules are imported, which a type checker cannot see.
BOARD: Any = tensorboardX.proto.event_pb2
WANDB: Any = wandb.proto.wandb_internal_pb2

DESCRIPTION = {"agent": "purejaxrl.agents.dqn", "config": {"learning_rate": 1e-3, "hidden_sizes": [64, 64]}}


def rows(epoch: int, num_seeds: int = 3, points: int = 1) -> list[dict[str, Any]]:
    """Rows of an epoch of 50 steps: seed 0 has no evaluation, the last seed of every point is dead."""
    return [
        {
            "epoch": epoch,
            "point": point,
            "seed": seed,
            "environment_steps": 50 * epoch,
            "evaluation_return": None if seed == 0 else 100.0 * point + 10 * epoch + seed,
            "update/loss": None if seed == num_seeds - 1 else 0.5 * epoch + seed,
            "alive": seed < num_seeds - 1,
            "note": "no number",
        }
        for point in range(points)
        for seed in range(num_seeds)
    ]


def records(file: Path) -> Iterator[bytes]:
    """The records of an event file: length, its checksum, content, its checksum."""
    content, at = file.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield content[at + 12 : at + 12 + length]
        at += 16 + length


def events(folder: Path) -> list[Any]:
    """The events of a TensorBoard run in the order in which TensorBoard reads them."""
    files = sorted(folder.glob("events.out.tfevents.*"))
    return [BOARD.Event.FromString(record) for file in files for record in records(file)]


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """Values by tag and step, without those that TensorBoard drops since a later session wrote them anew."""
    found: dict[str, dict[int, float]] = {}
    for event in events(folder):
        if event.session_log.status == BOARD.SessionLog.START:
            found = {
                tag: {step: value for step, value in steps.items() if step < event.step}
                for tag, steps in found.items()
            }
        for value in event.summary.value:
            if value.HasField("simple_value"):
                assert event.step not in found.setdefault(value.tag, {}), "written twice"
                found[value.tag][event.step] = value.simple_value
    return found


def wandb_file(file: Path) -> list[Any]:
    """The records of one session.

    The file is a log of LevelDB's: blocks of 32 KiB, in which a record is a checksum, a length, whether it
    is whole (1), begins (2), goes on (3) or ends (4), and its content. Seven bytes come before.
    """
    found, content, at, partial = [], file.read_bytes(), 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        partial += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            found.append(WANDB.Record.FromString(partial))
            partial = b""
    return found


def wandb_records(folder: Path) -> list[Any]:
    """The records of all sessions in a folder, in order. All of them have ended."""
    deadline, sessions = time.monotonic() + 20, [[]]
    # wandb's process may have a moment's work left when a run has been finished.
    while not all(session and session[-1].HasField("exit") for session in sessions):
        assert time.monotonic() < deadline, f"a session is not whole: {sessions}"
        time.sleep(0.01)
        sessions = [wandb_file(file) for file in folder.glob("wandb/offline-run-*/*.wandb")]
    sessions.sort(key=lambda session: session[1].run.start_time.ToNanoseconds())
    return [record for session in sessions for record in session]


def history(folder: Path) -> list[dict[str, Any]]:
    """What was logged, step by step."""
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        for record in wandb_records(folder)
        if record.HasField("history")
    ]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and no settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nobody listens


def test_tensorboard_has_every_seed_and_the_mean(tmp_path: Path) -> None:
    tracker = open_tracker("tensorboard", tmp_path, DESCRIPTION)
    for epoch in range(3):
        tracker.write(epoch, rows(epoch))
    # While the run goes on all of it is there already.
    board = tmp_path / "tensorboard"
    assert sorted(folder.name for folder in board.iterdir()) == ["mean", "seed-00", "seed-01", "seed-02"]
    assert scalars(board / "seed-00") == {
        "update/loss": {0: 0.0, 50: 0.5, 100: 1.0},
        "alive": {0: 1, 50: 1, 100: 1},
    }
    assert scalars(board / "seed-02") == {
        "evaluation_return": {0: 2, 50: 12, 100: 22},
        "alive": {0: 0, 50: 0, 100: 0},
    }
    mean = scalars(board / "mean")
    assert mean["evaluation_return"] == {0: 1.5, 50: 11.5, 100: 21.5}
    assert mean["update/loss"] == {0: 0.5, 50: 1.0, 100: 1.5}
    assert mean["alive"] == pytest.approx({0: 2 / 3, 50: 2 / 3, 100: 2 / 3})
    assert set(mean) == {"evaluation_return", "update/loss", "alive"}
    tracker.close()
    tracker.close()


def test_tensorboard_says_what_was_run(tmp_path: Path) -> None:
    tracker = open_tracker("tensorboard", tmp_path, DESCRIPTION)
    tracker.write(0, rows(0))
    tracker.close()
    texts = [
        value.tensor.string_val[0].decode()
        for event in events(tmp_path / "tensorboard" / "mean")
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "text"
    ]
    assert [json.loads(text.strip("`\n")) for text in texts] == [DESCRIPTION]


def test_tensorboard_goes_on_where_a_run_was_resumed(tmp_path: Path) -> None:
    # The first session wrote two epochs more than the checkpoint from which the second goes on.
    for first, last in ((0, 5), (3, 7)):
        tracker = open_tracker("tensorboard", tmp_path, DESCRIPTION)
        for epoch in range(first, last):
            tracker.write(epoch, rows(epoch))
        tracker.close()
    for name in ("seed-01", "mean"):
        assert list(scalars(tmp_path / "tensorboard" / name)["evaluation_return"]) == list(range(0, 350, 50))
        assert len(list((tmp_path / "tensorboard" / name).iterdir())) == 2


def test_the_points_of_a_sweep_are_kept_apart(tmp_path: Path) -> None:
    tracker = open_tracker("tensorboard", tmp_path, DESCRIPTION)
    tracker.write(2, rows(2, points=2))
    tracker.close()
    board = tmp_path / "tensorboard"
    assert scalars(board / "point-00" / "mean")["evaluation_return"] == {100: 21.5}
    assert scalars(board / "point-01" / "mean")["evaluation_return"] == {100: 121.5}
    assert scalars(board / "point-01" / "seed-01")["evaluation_return"] == {100: 121}
    assert not (board / "mean").exists()


def test_rows_without_a_point_will_do(tmp_path: Path) -> None:
    tracker = open_tracker("tensorboard", tmp_path, {})
    tracker.write(0, [{"epoch": 0, "seed": 0, "environment_steps": np.int64(7), "x": np.float32(2)}])
    tracker.close()
    assert scalars(tmp_path / "tensorboard" / "seed-00") == {"x": {7: 2}}


def test_what_is_not_finite_is_left_out(tmp_path: Path) -> None:
    tracker = open_tracker("tensorboard", tmp_path, {})
    tracker.write(
        0,
        [
            {"epoch": 0, "seed": seed, "environment_steps": 0, "a": a, "b": math.nan}
            for seed, a in enumerate([math.inf, 3.0, None, math.nan])
        ],
    )
    tracker.close()
    assert scalars(tmp_path / "tensorboard" / "mean") == {"a": {0: 3}}
    assert scalars(tmp_path / "tensorboard" / "seed-00") == {}


def test_of_very_many_seeds_the_first_are_shown_and_the_mean_is_of_all(tmp_path: Path) -> None:
    tracker = open_tracker("tensorboard", tmp_path, {})
    number = 2 * trackers.SHOWN
    tracker.write(0, [{"seed": seed, "environment_steps": 0, "a": float(seed)} for seed in range(number)])
    tracker.close()
    assert len(list((tmp_path / "tensorboard").iterdir())) == trackers.SHOWN + 1
    assert scalars(tmp_path / "tensorboard" / "mean") == {"a": {0: (number - 1) / 2}}


@pytest.mark.usefixtures("offline")
def test_wandb_has_every_seed_mean_and_deviation(tmp_path: Path) -> None:
    folder = tmp_path / "dqn cartpole:001"
    folder.mkdir()
    tracker = open_tracker("wandb", folder, DESCRIPTION)
    for epoch in range(3):
        tracker.write(epoch, rows(epoch))
    tracker.close()
    tracker.close()
    tracker.write(3, rows(3))  # to nobody
    logged = history(folder)
    assert [(row["_step"], row["environment_steps"], row["epoch"]) for row in logged] == [
        (0, 0, 0),
        (50, 50, 1),
        (100, 100, 2),
    ]
    values = {name: value for name, value in logged[2].items() if "/" in name}
    assert values == pytest.approx(
        {
            "seed-00/update/loss": 1.0,
            "seed-00/alive": 1.0,
            "seed-01/update/loss": 2.0,
            "seed-01/evaluation_return": 21.0,
            "seed-01/alive": 1.0,
            "seed-02/evaluation_return": 22.0,
            "seed-02/alive": 0.0,
            "mean/evaluation_return": 21.5,
            "std/evaluation_return": 0.5,
            "mean/update/loss": 1.5,
            "std/update/loss": 0.5,
            "mean/alive": 2 / 3,
            "std/alive": math.sqrt(2) / 3,
        }
    )
    (run,) = [record.run for record in wandb_records(folder) if record.HasField("run")]
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert {name: config[name] for name in DESCRIPTION} == DESCRIPTION
    assert run.display_name == "dqn cartpole:001"
    assert run.project == "purejaxrl"
    assert run.run_id.startswith("dqn-cartpole-001-")


@pytest.mark.usefixtures("offline")
def test_wandb_goes_on_with_one_run_where_a_run_was_resumed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        folder = tmp_path / name / "run-001"
        folder.mkdir(parents=True)
        for first, last in ((0, 3), (2, 4)):
            tracker = open_tracker("wandb", folder, DESCRIPTION)
            for epoch in range(first, last):
                tracker.write(epoch, rows(epoch))
            tracker.close()
        assert [row["_step"] for row in history(folder)] == [0, 50, 100, 100, 150]
        ids = {record.run.run_id for record in wandb_records(folder) if record.HasField("run")}
        assert len(ids) == 1
    # Runs of one name in two places are not one run.
    assert {file.read_text() for file in tmp_path.glob("*/run-001/wandb/purejaxrl-run-id")} > ids


@pytest.mark.usefixtures("offline")
def test_wandb_leaves_another_run_alone(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    theirs = wandb.init(mode="offline", dir=tmp_path / "theirs", settings=wandb.Settings(silent=True))
    tracker = open_tracker("wandb", tmp_path / "ours", DESCRIPTION)
    tracker.write(1, rows(1))
    tracker.close()
    theirs.log({"theirs": 1})
    theirs.finish()
    assert [set(row) & {"theirs", "epoch"} for row in history(tmp_path / "theirs")] == [{"theirs"}]
    assert [set(row) & {"theirs", "epoch"} for row in history(tmp_path / "ours")] == [{"epoch"}]


@pytest.mark.usefixtures("offline")
def test_wandb_mode_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    class Stop(wandb.Error):
        pass

    def init(**options: Any) -> None:
        given.append(options | {"reports": os.environ.get("WANDB_ERROR_REPORTING")})
        raise Stop("no account")

    monkeypatch.setattr(wandb, "init", init)
    for mode, reports in (("online", None), (None, "false")):
        monkeypatch.delenv("WANDB_ERROR_REPORTING", raising=False)
        if mode:
            monkeypatch.setenv("WANDB_MODE", mode)
        else:
            monkeypatch.delenv("WANDB_MODE")
        with pytest.raises(InvalidInput, match=f"WANDB_MODE={mode or 'offline'}; .*: no account$"):
            open_tracker("wandb", tmp_path, DESCRIPTION)
        assert (given[-1]["mode"], given[-1]["reports"]) == (mode or "offline", reports)
        assert given[-1]["resume"] == "allow"
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.mark.parametrize(("name", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_package_that_is_missing_is_named_with_its_extra(
    name: Any, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        InvalidInput, match=rf"with {name}, .*pip install purejaxrl\[tracking\] \(.*{package}"
    ):
        open_tracker(name, tmp_path, DESCRIPTION)


def test_an_unknown_tracker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^a tracker is one of tensorboard, wandb, not 'mlflow'$"):
        open_tracker("mlflow", tmp_path, DESCRIPTION)  # type: ignore[arg-type]
