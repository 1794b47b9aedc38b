"""The figures of workers, steps, staleness and memory: what is compared, by hand, and one small run."""

from __future__ import annotations

import json
from pathlib import Path

import asynchrony as figures
import numpy as np
import pytest
from studies import results

from purejaxrl import command_line
from purejaxrl.agents import a2c, a3c

GIVEN = figures.Arguments(num_seeds=2, total_steps=5120)


def test_only_what_is_varied_differs() -> None:
    for family in ("workers", "steps", "staleness", "memory"):
        chosen = [variant for variant in figures.VARIANTS if variant.family == family]
        experiments = [figures.experiment_of(figures.TASKS["catch"], each, GIVEN) for each in chosen]
        fields = {
            name
            for one in experiments
            for name, value in vars(one.config).items()
            if value != getattr(experiments[0].config, name)
        }
        varied = {"workers": {"workers"}, "steps": {"gae_lambda"}, "staleness": {"synchronise_every"}}
        assert fields == varied.get(family, {"cell"})
        assert {one.agent for one in experiments} == {a2c if family == "memory" else a3c}
        for one, variant in zip(experiments, chosen, strict=True):
            assert one.settings.total_steps == 5120
            assert family == "memory" or one.settings.num_envs == one.config.workers  # one each
            assert one.settings.rollout_length == (5 if variant.label == "5 steps" else 20)


def test_scores_and_what_they_take_by_hand() -> None:
    task = figures.TASKS["catch"]
    curves = {
        "episode_return": np.array([[9.0, -0.6, 0.2, 1.0], [9.0, 1.0, np.nan, -0.6]]),
        "alive": np.array([[1, 1, 1, 1], [1, 1, 1, 0]]),
    }
    np.testing.assert_allclose(figures.scores_of(curves, task), [[0, 0.5, 1], [1, 0, 0]], atol=1e-7)
    rising = np.array([[0.2, 0.4, 0.8], [0.2, 0.4, 0.8]])
    assert figures.epochs_to(0.6, rising) == pytest.approx(2.5)
    assert figures.epochs_to(0.1, rising) == pytest.approx(0.5)
    assert figures.epochs_to(0.9, rising) == float("inf")
    assert figures.epochs_to(0.0, rising) == 0.0


def row(family: str, label: str, seconds: float, scores: list[float]) -> dict[str, object]:
    return {"family": family, "label": label, "task": "catch", "seconds": seconds, "scores": [scores]}


def test_the_table_by_hand() -> None:
    slow = row("workers", "1 worker", 8.0, [0.25, 0.5] + [0.5] * 14)
    fast = row("workers", "2 workers", 2.0, [0.5] + [0.75] * 15)
    never = row("steps", "one step", 2.0, [0.25] * 16)
    other = row("workers", "1 worker", 4.0, [1.0] * 16) | {"task": "cartpole"}
    record = {"num_seeds": 1, "total_steps": 5120, "rows": [other, slow, fast, never]}
    lines = figures.table(record).splitlines()
    assert "CartPole-v1: score" in lines[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:5]]
    assert cells[0] == ["1 worker", "1.00", "160 steps, 0.12 s", "0.48", "640 steps, 1.00 s"]
    assert cells[1] == ["2 workers", "–", "–", "0.73", "320 steps, 0.12 s"]
    assert cells[2] == ["one step", "–", "–", "0.25", "–"]


def test_a_small_run_leaves_record_figures_and_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [v for v in figures.VARIANTS if v.label in ("2 workers", "GRU")]
    monkeypatch.setattr(figures, "VARIANTS", few)
    monkeypatch.setattr(figures, "use_devices", lambda *_: None)
    monkeypatch.setattr(figures, "use_cache", lambda _: None)
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    begin, end = f"<!-- {figures.MARK}: begin -->", f"<!-- {figures.MARK}: end -->"
    results.README.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    words = ["--num-seeds", "1", "--total-steps", "5120", "--publish", "--table"]
    assert figures.main([*words, "--output", str(tmp_path / "runs")]) == 0
    folder = tmp_path / "results" / "figures"
    assert (folder / "asynchrony.png").stat().st_size > 10_000
    assert (folder / "memory.png").stat().st_size > 5_000
    record = json.loads((folder / "asynchrony.json").read_text())
    assert [(row["label"], row["task"]) for row in record["rows"]] == [
        ("2 workers", "cartpole"),
        ("2 workers", "catch"),
        ("GRU", "cue"),
        ("GRU", "blind"),
    ]
    assert all(np.shape(row["scores"]) == (1, 16) and len(row["digest"]) == 64 for row in record["rows"])
    assert all(row["seconds"] > 0 for row in record["rows"])
    assert figures.table(record) in results.README.read_text()
    # Asked again, it goes on with what there is, and comes to the same.
    assert figures.main([*words, "--output", str(tmp_path / "runs")]) == 0
    again = json.loads((folder / "asynchrony.json").read_text())
    assert [row["digest"] for row in again["rows"]] == [row["digest"] for row in record["rows"]]
    capsys.readouterr()


def test_what_cannot_work_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        ("--total-steps 5000", "total_steps must be a multiple of 5120, not 5000"),
        ("--num-seeds 0", "num_seeds must be a whole number of at least 1, not 0"),
    ):
        assert command_line.exit_code(lambda words=words: figures.main(words.split())) == 2
        assert told in capsys.readouterr().err
