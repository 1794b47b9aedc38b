"""Several processes: one run, one folder, and a checkpoint that any layout can go on from."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.same_bits

SCRIPT = Path(__file__).parents[2] / "experiments" / "dqn_cartpole.py"
SIZES = (
    "--num-seeds 8 --seeds map --num-envs 2 --rollout-length 4 --evaluation-episodes 2 --evaluation-steps 50"
    " --config.hidden-sizes 16 --config.batch-size 16 --config.buffer-capacity 400 --config.warmup-steps 200"
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(folder: Path, cache: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, *SIZES.split(), "--output", folder, "--compilation-cache", cache]
    return subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder.parent
    )


def finish(*processes: subprocess.Popen[str]) -> list[str]:
    """What each process printed, once all have ended well."""
    try:
        outcomes = [process.communicate(timeout=150) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, err) in zip(processes, outcomes, strict=True):
        assert process.returncode == 0, err[-3000:]
    return [out for out, _ in outcomes]


def together(folder: Path, cache: Path, *arguments: str) -> list[str]:
    """Two processes on loopback, of two devices each."""
    coordinator = f"127.0.0.1:{free_port()}"
    shared = (
        "--distributed",
        "--coordinator",
        coordinator,
        "--num-processes",
        "2",
        "--devices",
        "2",
        *arguments,
    )
    return finish(*(start(folder, cache, *shared, "--process-id", str(number)) for number in range(2)))


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_processes_train_what_one_does_and_one_goes_on_where_they_stopped(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    short, long, longer = (
        ("--total-steps", str(200 + 200 * epochs), "--num-epochs", str(epochs)) for epochs in (2, 3, 4)
    )
    printed = together(tmp_path / "two", cache, *short)
    done = f"{tmp_path / 'two'}: done\n"
    assert done in printed[0]
    assert done not in printed[1], "one process speaks for all"
    record = json.loads((tmp_path / "two" / "experiment.json").read_text())
    assert len(record["devices"]) == 4
    assert record["session"]["processes"] == 2

    # One process goes on with it on another number of devices, and then two again.
    finish(start(tmp_path / "two", cache, *long, "--resume", "--devices", "3"))
    together(tmp_path / "two", cache, *longer, "--resume")
    finish(start(tmp_path / "one", cache, *longer, "--devices", "1"))
    two, one = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("two", "one"))
    assert two["epochs"] == one["epochs"] == 4
    assert two["digest"] == one["digest"]
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("two", "one")]
    assert metrics[0] == metrics[1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_goes_wrong_in_one_process_is_heard_by_all(tmp_path: Path) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "run"
    sizes = ("--total-steps", str(200 + 200 * 3000), "--num-epochs", "3000", "--evaluation-episodes", "0")
    coordinator = ("--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2", "--devices", "2")
    pair = [
        start(folder, cache, *sizes, "--distributed", *coordinator, "--process-id", str(number))
        for number in range(2)
    ]
    metrics = folder / "metrics.jsonl"
    try:
        while not metrics.exists() or metrics.read_text().count("\n") < 8 * 4:
            assert all(process.poll() is None for process in pair)
            time.sleep(0.05)
        pair[1].send_signal(signal.SIGTERM)  # one is told to end, and both do, after the same epoch
        for process in pair:
            process.communicate(timeout=60)
    finally:
        for process in pair:
            process.kill()
    assert [process.returncode for process in pair] == [130, 130]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["ended"] == "interrupted"
    assert metrics.read_text().count("\n") == 8 * (1 + summary["epochs"])

    # And what only the first can know, all say.
    coordinator = ("--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2", "--devices", "2")
    pair = [
        start(folder, cache, *sizes, "--distributed", *coordinator, "--process-id", str(number))
        for number in range(2)
    ]
    for process in pair:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert f"error: the output folder {folder} exists already" in err
