"""A run whose process is killed again and again; a script: ``killed.py COMPILED FOLDER KILLS``.

JAX is imported and does nothing, so that this process may be forked: a session then costs a second.
Prints what was tried, as JSON; ends with an error where a folder was not as it should be.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import jax

jax.config.update("jax_num_cpu_devices", 1)
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

import orbax.checkpoint  # noqa: E402, F401
from resume_cases import quick, rows  # noqa: E402

from purejaxrl import training  # noqa: E402

EPOCHS, SEEDS = 60, 2
EXPERIMENT = dataclasses.replace(
    quick("a2c", num_seeds=SEEDS, devices=1),
    settings=training.Settings(
        total_steps=EPOCHS * 40, num_envs=4, rollout_length=5, num_epochs=EPOCHS, evaluation_episodes=0
    ),
)


def begin(folder: Path) -> int:
    """A process that goes on with the run, and writes its digest where it comes to the end."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            result = training.run(EXPERIMENT, folder, resume=True)
            assert result.digest is not None
            (folder / "digest").write_text(result.digest)
            os._exit(0)
        os._exit(1)
    return pid


def ended(pid: int) -> bool:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done and os.WIFEXITED(status):
        assert os.waitstatus_to_exitcode(status) == 0, "a session failed"
    return bool(done)


def unfinished(folder: Path) -> list[str]:
    """Checkpoints that are being written."""
    with contextlib.suppress(FileNotFoundError):
        return [name for name in os.listdir(folder / "checkpoints") if "tmp" in name]
    return []


def checkpoints(folder: Path) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(int(name) for name in os.listdir(folder / "checkpoints") if name.isdecimal())
    return []


def resumptions(folder: Path) -> list[int]:
    text = (folder / "events.jsonl").read_text() if (folder / "events.jsonl").exists() else ""
    return [int(epoch) for epoch in re.findall(r"resumed after epoch (\d+)", text)]


def last_epoch(folder: Path, reference: bytes) -> int:
    """The last epoch whose rows are all there; whatever is there is what it should be."""
    path = folder / "metrics.jsonl"
    found = path.read_bytes() if path.exists() else b""
    assert reference.startswith(found), "a row is torn, repeated, missing or wrong"
    return found.count(b"\n") // SEEDS - 1


def main(folder: Path, kills: int) -> None:
    dice = random.Random(0)
    whole = folder / "whole"
    pid = begin(whole)
    while not ended(pid):
        time.sleep(0.01)
    reference, digest = (whole / "metrics.jsonl").read_bytes(), (whole / "digest").read_text()
    assert len(rows(whole)) == SEEDS * (EPOCHS + 1)

    counts = dict.fromkeys(("kills", "in a checkpoint", "before any", "epochs lost", "most lost", "runs"), 0)
    while counts["kills"] < kills:
        counts["runs"] += 1
        run, previous = folder / f"run{counts['runs']}", -1
        while True:
            start, seen, before = time.monotonic(), set(), len(resumptions(run))
            pid = begin(run)
            # Half of them at any moment, half at any moment of a checkpoint's write, some writes later.
            at, writes = dice.uniform(0, 2.5), dice.randrange(1, 7)
            in_write, later = dice.random() < 0.5, dice.uniform(0, 0.12)
            killing = counts["kills"] < kills
            while not (done := ended(pid)):
                if in_write:
                    seen |= set(unfinished(run))
                    now = len(seen) >= writes
                    time.sleep(later if now else 0.001)
                else:
                    now = time.monotonic() - start > at
                    time.sleep(0.001)
                if now and killing and not (done := ended(pid)):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    break
                if done:
                    break
            epoch = last_epoch(run, reference)
            if done:
                break
            counts["kills"] += 1
            counts["in a checkpoint"] += bool(unfinished(run))
            saved = max(checkpoints(run), default=-1)
            counts["before any"] += saved < 0
            lost = epoch - saved
            assert lost <= 1, f"{epoch} epochs have metrics, and the last checkpoint is {saved}"
            counts["epochs lost"] += max(lost, 0)
            counts["most lost"] = max(lost, counts["most lost"])
            if len(resumptions(run)) > before:
                assert resumptions(run)[-1] >= previous - 1
            previous = epoch
        assert (run / "metrics.jsonl").read_bytes() == reference
        assert (run / "digest").read_text() == digest
        assert not (run / "damaged").exists()
        assert not unfinished(run)
        assert len(rows(run)) == SEEDS * (EPOCHS + 1)
        log: list[dict[str, Any]] = [json.loads(line) for line in (run / "events.jsonl").open()]
        assert "done" in [event["event"] for event in log]
    print(json.dumps(counts))


if __name__ == "__main__":
    main(Path(sys.argv[2]), int(sys.argv[3]))
