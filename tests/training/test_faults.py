"""What can go wrong with a run's folder, done to it: it can be gone on with, and says what is wrong."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import pytest
from resume_cases import EXPERIMENTS, LEARNING_RATES, events, go, notes, outcome, rows
from training_cases import assert_same_bits

from purejaxrl import training
from purejaxrl.training import Keeping, Result, StorageError, provenance, record
from purejaxrl.training.checkpoints import Checkpoints
from purejaxrl.types import InvalidInput

pytestmark = [
    pytest.mark.usefixtures("compiled_once"),
    pytest.mark.skipif(sys.platform == "win32", reason="kills, limits and locks are POSIX's"),
]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return go("a2c", tmp_path_factory.mktemp("whole") / "run")[0]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after its second epoch, and holds the checkpoints 0 (the best), 1 and 2."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    go("a2c", folder, until=2, keep=3)
    assert checkpoints(folder) == [0, 1, 2]
    return folder


@pytest.fixture
def folder(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def checkpoints(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())


def assert_same_run(result: Result, expected: Result) -> None:
    rows(result.folder)
    assert (result.folder / "metrics.jsonl").read_bytes() == (expected.folder / "metrics.jsonl").read_bytes()
    assert_same_bits(outcome(result), outcome(expected))
    assert result.digest == expected.digest


# Killed.


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_killed_at_random_moments(compiled: Path, tmp_path: Path) -> None:
    """What is checked after each kill stands in killed.py."""
    command = [sys.executable, HERE / "killed.py", compiled, tmp_path, "32"]
    script = subprocess.run(command, capture_output=True, text=True, check=False)
    assert script.returncode == 0, script.stderr[-3000:]
    counts = json.loads(script.stdout.splitlines()[-1])
    assert counts["kills"] == 32
    assert counts["in a checkpoint"] >= 5
    assert counts["most lost"] <= 1


@pytest.mark.parametrize("moment", ["nothing", "a folder", "a lock", "an experiment", "rows"])
def test_killed_before_the_first_checkpoint(tmp_path: Path, whole: Result, moment: str) -> None:
    """As a kill leaves it, put together by hand."""
    folder = tmp_path / "run"
    made = ["nothing", "a folder", "a lock", "an experiment", "rows"].index(moment)
    if made >= 1:
        folder.mkdir()
    if made >= 2:
        (folder / ".lock").touch()
        (folder / "metrics.jsonl").touch()
        (folder / ".experiment.json.partial").write_text('{"agent": ')
    if made >= 3:
        shutil.copy(whole.folder / "experiment.json", folder)
    if made >= 4:
        (folder / "metrics.jsonl").write_bytes((whole.folder / "metrics.jsonl").read_bytes()[:1000])
        (folder / "checkpoints" / "0.orbax-checkpoint-tmp").mkdir(parents=True)
    assert_same_run(go("a2c", folder)[0], whole)
    assert ("ended before its first checkpoint, and begun again" in notes(folder)) == (made == 4)


@pytest.mark.parametrize("rest", ["half a line", "a line", "an epoch", "an epoch and half a line", "nothing"])
def test_rows_after_the_last_checkpoint_are_cut_off(folder: Path, whole: Result, rest: str) -> None:
    """An epoch's rows are written before its checkpoint, and may be torn."""
    lines = (whole.folder / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    torn = lines[9][: len(lines[9]) // 2]
    after = {
        "half a line": torn,
        "a line": lines[9],
        "an epoch": b"".join(lines[9:12]),
        "an epoch and half a line": b"".join([*lines[9:12], torn]),
        "nothing": b"",
    }[rest]
    assert len(rows(folder)) == 9
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(after)
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"event": "note", "mess')  # the log may be torn, too
    assert_same_run(go("a2c", folder)[0], whole)
    whole_lines = [line for line in (folder / "events.jsonl").read_text().splitlines() if line[-1] == "}"]
    assert "resumed after epoch 2" in [json.loads(line).get("message") for line in whole_lines]


# A full disk.

FULL = """
import errno, os, sys
from pathlib import Path
sys.argv = ["resume_cases.py", sys.argv[1], *sys.argv[2:]]
import jax
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
from resume_cases import go
from purejaxrl.training import StorageError
from purejaxrl.types import InvalidInput

disk = Path(sys.argv[2])
for free in (0, 8, 24, 60, 100, 140, 180, 220, 260, 300, 400, None):
    filler = disk / "filler"
    if free is not None:
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1024 * 4))
            except OSError as error:
                assert error.errno == errno.ENOSPC
            file.truncate(max(0, file.tell() // 4096 * 4096 - free * 1024))
    try:
        result, _ = go("a2c", disk / "run", until=None)
        print("done", result.digest)
        break
    except (StorageError, InvalidInput) as error:
        print("full", type(error).__name__, free, error)
    filler.unlink()
"""


@pytest.mark.slow
def test_a_disk_that_fills_up(compiled_once: Path, tmp_path: Path, whole: Result) -> None:
    """A small disk of its own, filled up so far that a run fails here or there, and freed again."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = f"mount -t tmpfs -o size=4m tmpfs {disk}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mounted], capture_output=True).returncode != 0:
        pytest.skip("takes a mount namespace: unshare -rm")
    then = f'{mounted} && {sys.executable} -c "$FULL" {compiled_once} {disk} && cat {disk}/run/metrics.jsonl'
    script = subprocess.run(
        ["unshare", "-rm", "sh", "-c", then],
        capture_output=True,
        text=True,
        cwd=HERE,
        env={**os.environ, "FULL": FULL},
        check=False,
    )
    assert script.returncode == 0, script.stderr[-3000:]
    lines = script.stdout.splitlines(keepends=True)
    full = [line for line in lines if line.startswith("full")]
    print(*full)
    assert len(full) >= 4
    for line in full:
        assert "No space left on device" in line or "ENOSPC" in line or "RESOURCE_EXHAUSTED" in line, line
        assert str(disk / "run") in line
    assert lines[len(full)] == f"done {whole.digest}\n"
    assert "".join(lines[len(full) + 1 :]) == (whole.folder / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ("metrics", r"run/metrics\.jsonl could not be written: File too large$"),
        ("checkpoint", r"checkpoint .*could not be written: "),
    ],
)
def test_a_file_that_must_not_grow(tmp_path: Path, whole: Result, limit: str, named: str) -> None:
    """The same without privileges: what a quota does, done by a limit on the size of a file."""
    folder = tmp_path / "run"
    go("a2c", folder, until=0)
    size = (folder / "metrics.jsonl").stat().st_size
    most = size + 100  # in the middle of a line
    if limit == "checkpoint":
        most = (folder / "checkpoints" / "0" / "meta" / "metadata").stat().st_size - 10
        assert most > 2.1 * size, "there is room for the metrics of an epoch"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        with pytest.raises(StorageError, match=named):
            go("a2c", folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_same_run(go("a2c", folder)[0], whole)


@pytest.mark.parametrize("what", ["metrics", "experiment", "checkpoint", "checkpoint, later", "events"])
def test_a_disk_that_is_full_for_one_file(
    tmp_path: Path, whole: Result, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    import orbax.checkpoint as ocp

    folder = tmp_path / "run"

    def full(*arguments: Any, **names: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    def third(original: Callable[..., Any]) -> Callable[..., Any]:
        calls: list[int] = []

        def sometimes(*arguments: Any, **names: Any) -> Any:
            calls.append(0)
            return (full if len(calls) == 3 else original)(*arguments, **names)

        return sometimes

    with monkeypatch.context() as patch:
        if what == "metrics":
            patch.setattr(record.os, "fsync", third(os.fsync))
            patch.setattr(ocp.CheckpointManager, "close", full)  # what was full first is told
            named = f"{folder / 'metrics.jsonl'} could not be written: No space left on device"
        elif what == "experiment":
            patch.setattr(record.os, "fsync", full)
            named = f"{folder / 'experiment.json'} could not be written: No space left on device"
        elif what == "checkpoint":
            patch.setattr(ocp.CheckpointManager, "save", third(ocp.CheckpointManager.save))
            named = (
                f"checkpoint 2 of {folder} could not be written: OSError: [Errno 28] No space left on device"
            )
        elif what == "checkpoint, later":
            patch.setattr(ocp.CheckpointManager, "check_for_errors", full)
            named = (
                f"the last checkpoint of {folder} could not be written: OSError: [Errno 28] No space left on"
                " device"
            )
        else:  # the log is let be
            (folder / "events.jsonl").mkdir(parents=True)
            assert_same_run(go("a2c", folder)[0], whole)
            return
        with pytest.raises(StorageError) as caught:
            go("a2c", folder)
    assert str(caught.value) == named
    if what != "experiment":
        assert (events(folder)[-1]["event"], events(folder)[-1]["reason"]) == ("failed", named)
    assert not (folder / "summary.json").exists()
    assert_same_run(go("a2c", folder)[0], whole)


# Damaged checkpoints.


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, len(content), max(1, len(content) // 3)):
        content[place] ^= 0x10
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [flip, *(pytest.param(one, marks=pytest.mark.slow) for one in (truncate, empty, Path.unlink))]


def damage_item(folder: Path, epoch: int, item: str) -> None:
    """Flips bits of what a checkpoint holds: of the description, or in the files of numbers."""
    place = folder / "checkpoints" / str(epoch) / item
    for path in [place / "metadata"] if item == "meta" else (place / "d").iterdir():
        flip(path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_is_damaged_of_a_checkpoint(folder: Path, damage: Callable[[Path], None]) -> None:
    """File by file: it is read as it was, or found out, named and passed over, and never read wrongly."""
    experiment = EXPERIMENTS["a2c"]
    made = training.programs(experiment)
    shapes, shardings = made.runners()
    files = sorted(path for path in (folder / "checkpoints" / "2").rglob("*") if path.is_file())
    digests = []
    store = Checkpoints(folder, 3)
    for epoch in (1, 2):
        digests.append(store.read_meta(epoch)["digests"])
    store.close()
    found = []
    for path in files:
        if not path.stat().st_size:
            continue
        copy = folder.parent / "copy"
        shutil.copytree(folder, copy)
        damage(copy / path.relative_to(folder))
        store = Checkpoints(copy, 3)
        restored = store.restore(shapes, shardings, experiment.num_members, lambda description: None)
        assert restored is not None
        if restored.epoch == 2:
            assert not restored.damaged
        else:
            assert restored.epoch == 1
            assert len(restored.damaged) == 1
            assert restored.damaged[0].startswith("checkpoint 2: ")
            assert (copy / "damaged" / "2-0").is_dir()
            assert store.epochs == [0, 1]
            found.append(path)
        assert store.read_meta(restored.epoch)["digests"] == digests[restored.epoch - 1]
        store.close()
        shutil.rmtree(copy)
    assert len(found) >= 3, "of the state, of the agent and of the description, at least"


@pytest.mark.parametrize("item", ["agent", "rest", "meta"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    folder: Path, whole: Result, item: str
) -> None:
    damage_item(folder, 2, item)
    result, reports = go("a2c", folder)
    assert_same_run(result, whole)
    first = notes(folder)[0]
    assert first.startswith("damaged, moved to damaged/ and passed over: checkpoint 2: ")
    assert first in [report.message for report in reports]
    assert notes(folder)[1] == "resumed after epoch 1"
    assert [path.name for path in (folder / "damaged").iterdir()] == ["2-0"]
    assert {3, 4} <= set(checkpoints(folder))


def test_numbers_of_another_checkpoint_are_found_out(folder: Path, whole: Result) -> None:
    """Every file is whole, and yet it is not the state that was saved."""
    shutil.rmtree(folder / "checkpoints" / "2" / "rest")
    shutil.copytree(folder / "checkpoints" / "1" / "rest", folder / "checkpoints" / "2" / "rest")
    assert_same_run(go("a2c", folder)[0], whole)
    assert "checkpoint 2: the state of member 0 is not the one that was saved" in notes(folder)[0]


def test_a_description_that_has_changed_is_damage_and_not_another_run(folder: Path, whole: Result) -> None:
    path = folder / "checkpoints" / "2" / "meta" / "metadata"
    text = path.read_text()
    assert text.count('"num_seeds": 3') == 1
    path.write_text(text.replace('"num_seeds": 3', '"num_seeds": 7'))
    assert_same_run(go("a2c", folder)[0], whole)
    assert "checkpoint 2: StorageError: its description is not the one that was saved" in notes(folder)[0]


def test_two_damaged_checkpoints(folder: Path, whole: Result) -> None:
    for epoch in (1, 2):
        shutil.rmtree(folder / "checkpoints" / str(epoch) / "rest")
    (folder / "damaged" / "2-0").mkdir(parents=True)
    assert_same_run(go("a2c", folder)[0], whole)
    assert [note.split(":")[1] for note in notes(folder)[:2]] == [" checkpoint 2", " checkpoint 1"]
    assert sorted(path.name for path in (folder / "damaged").iterdir()) == ["1-0", "2-0", "2-1"]


def test_every_checkpoint_is_damaged(folder: Path) -> None:
    for epoch in (0, 1, 2):
        damage_item(folder, epoch, "meta")
    before = (folder / "metrics.jsonl").read_bytes()
    with pytest.raises(StorageError) as caught:
        go("a2c", folder)
    message = str(caught.value)
    assert message.startswith(f"no checkpoint of {folder} can be read: checkpoint 2: ")
    assert "; checkpoint 1: " in message
    assert "; checkpoint 0: " in message
    assert checkpoints(folder) == [0, 1, 2]
    assert (folder / "metrics.jsonl").read_bytes() == before


def test_a_checkpoint_that_was_being_deleted(folder: Path, whole: Result) -> None:
    shutil.rmtree(folder / "checkpoints" / "1" / "rest")
    (folder / "checkpoints" / "0" / "meta" / "metadata").unlink()
    assert_same_run(go("a2c", folder)[0], whole)
    assert {3, 4} <= set(checkpoints(folder))
    assert 0 not in checkpoints(folder)


@pytest.mark.parametrize("name", ["experiment.json", "metrics.jsonl"])
def test_other_files_that_are_damaged_are_named(folder: Path, name: str) -> None:
    path = folder / name
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], '{"torn": \n', *lines[3:]]))
    with pytest.raises(StorageError, match=rf"run/{name} (is damaged|lacks rows)"):
        go("a2c", folder)


# Another run.


def changed(**changes: Any) -> Any:
    return dataclasses.replace(EXPERIMENTS["a2c"], **changes)


CONFIG, SETTINGS = EXPERIMENTS["a2c"].config, EXPERIMENTS["a2c"].settings
OTHERS: dict[str, tuple[Any, str]] = {
    "number of seeds": (changed(num_seeds=4), "num_seeds: 3 in the run, 4 now"),
    "root": (changed(seed=7), "seed: 0 in the run, 7 now"),
    "vmap": (changed(seeds="vmap"), "seeds: 'map' in the run, 'vmap' now"),
    "environment": (
        changed(environment="Acrobot-v1"),
        "environment: 'CartPole-v1' in the run, 'Acrobot-v1' now",
    ),
    "config": (
        changed(config=CONFIG.replace(learning_rate=0.5)),
        f"config.learning_rate: {CONFIG.learning_rate} in the run, 0.5 now",
    ),
    "sizes": (
        changed(config=CONFIG.replace(hidden_sizes=(16, 16))),
        "config.hidden_sizes: [16] in the run, [16, 16] now",
    ),
    "settings": (
        changed(settings=dataclasses.replace(SETTINGS, rollout_length=25)),
        "settings.rollout_length: 5 in the run, 25 now",
    ),
    "several": (
        changed(config=CONFIG.replace(learning_rate=0.5), seed=7),
        f"config.learning_rate: {CONFIG.learning_rate} in the run, 0.5 now; seed: 0 in the run, 7 now",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_run_is_refused_by_what_differs(folder: Path, name: str) -> None:
    experiment, difference = OTHERS[name]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(InvalidInput) as caught:
        go(experiment, folder)
    assert str(caught.value) == f"{folder} holds another run: {difference}"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_another_sweep_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"holds another run: .*points: \[\{\}\] in the run, \[\{'config"):
        go(changed(points=LEARNING_RATES), folder)


def test_a_checkpoint_of_another_run_is_refused(folder: Path, tmp_path: Path) -> None:
    """Copied into the folder of this one, whose own description is as it was."""
    go(changed(seed=7), tmp_path / "other", until=0)
    shutil.copytree(tmp_path / "other" / "checkpoints" / "0", folder / "checkpoints" / "3")
    with pytest.raises(InvalidInput, match=r"holds another run: seed: 7 in the run, 0 now$"):
        go("a2c", folder)


def test_other_versions_are_refused_unless_they_are_accepted(
    folder: Path, whole: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = provenance.versions()
    monkeypatch.setattr(provenance, "versions", lambda: versions | {"jax": "99.0", "matplotlib": "1"})
    with pytest.raises(InvalidInput) as caught:
        go("a2c", folder)
    assert str(caught.value) == (
        f"{folder} holds another run: decisive_versions.jax: {jax.__version__!r} in the run, '99.0' now;"
        " accept_versions (--accept-versions) goes on all the same, without a promise of equal bits"
    )
    with pytest.raises(InvalidInput, match=r"seed: 0 in the run, 7 now; decisive_versions\.jax"):
        go(changed(seed=7), folder)
    with pytest.raises(InvalidInput, match=r"another run: seed: 0 in the run, 7 now$"):
        go(changed(seed=7), folder, accept_versions=True)
    assert_same_run(go("a2c", folder, accept_versions=True)[0], whole)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    refused: list[str] = []

    def report(progress: training.Progress) -> None:
        if not refused and progress.epoch == 1:
            with pytest.raises(InvalidInput) as caught:
                go("a2c", tmp_path / "run")
            refused.append(str(caught.value))

    training.run(EXPERIMENTS["a2c"], tmp_path / "run", report, keeping=Keeping(), resume=True)
    assert refused == [f"{tmp_path / 'run'} is in use: another process is running it"]
    assert not record.in_use(tmp_path / "run")
