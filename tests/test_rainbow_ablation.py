"""The ablation of Rainbow: what its variants are, its scores and statistics by hand, and one small run."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rainbow_ablation as ablation
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from studies import comparison, results

from purejaxrl import analysis, checks, command_line
from purejaxrl.agents import dqn

GIVEN = ablation.Arguments(num_seeds=3, seed=5)


def config_of(name: str, task: str = "catch") -> dqn.Config:
    return ablation.experiment_of(ablation.TASKS[task], ablation.variants()[name], GIVEN).config


def test_each_variant_lacks_one_part_and_dqn_all() -> None:
    names = ["Rainbow", *(f"no {part}" for part in ablation.WITHOUT), "DQN"]
    assert list(ablation.variants()) == names
    rainbow = vars(config_of("Rainbow"))
    switches = ("double", "dueling", "prioritised", "n_step", "noisy", "distribution")
    of_noise = {"noisy", "epsilon_start", "epsilon_end", "epsilon_steps"}
    for name, switch in zip(names[1:-1], switches, strict=True):
        changed = {field for field, value in vars(config_of(name)).items() if value != rainbow[field]}
        assert changed == (of_noise if switch == "noisy" else {switch})
    plain = config_of("DQN")
    assert [getattr(plain, switch) for switch in switches] == [False, False, False, 1, False, "none"]
    assert (rainbow["epsilon_start"], rainbow["epsilon_end"]) == (0, 0)
    assert (plain.epsilon_start, plain.epsilon_end) == (1, 0.02)
    for name in names:  # the layer of the streams stays, whether there is one stream or two
        assert config_of(name).stream_sizes == (64,)
    assert (config_of("DQN", "acrobot").value_low, config_of("DQN", "acrobot").value_high) == (-100, 0)


def test_scores_by_hand() -> None:
    task = dataclasses.replace(ablation.TASKS["catch"], random=-1.0, best=3.0)
    curves = {
        "evaluation_return": np.array([[9.0, -1, 1], [9, 3, 2], [9, np.nan, 3]]),
        "alive": np.array([[1.0, 1, 1], [1, 1, 0], [1, 1, 1]]),
    }
    # The first column is the untrained policy's; where a seed has died, or no episode ended, it is 0.
    np.testing.assert_allclose(ablation.scores_of(curves, task), [[0, 0.5], [1, 0], [0, 1]])


def record_of(**scores: list[list[float]]) -> dict[str, Any]:
    """A record of variants with scores ``[tasks, seeds]``."""
    names = [name.replace("_", " ") for name in scores]
    tasks = [f"task {i}" for i in range(len(scores["Rainbow"]))]
    parts = {
        name: {"scores": dict(zip(tasks, values, strict=True))}
        for name, values in zip(names, scores.values(), strict=True)
    }
    return {"num_seeds": 4, "total_steps": 49_000, "seed": 0, "variants": parts}


RECORD = ablation.judged(
    record_of(
        Rainbow=[[0.5, 0.6, 0.7, 0.8], [0.2, 0.2, 0.4, 0.4]],
        no_double=[[0.1, 0.1, 0.2, 0.2], [0.0, 0.1, 0.0, 0.1]],
        no_noise=[[0.9, 0.9, 0.9, 0.9], [0.5, 0.5, 0.6, 0.6]],
        DQN=[[0.4, 0.6, 0.7, 0.9], [0.1, 0.2, 0.4, 0.5]],
    )
)


def test_statistics_by_hand_and_as_the_library_has_them() -> None:
    variants = RECORD["variants"]
    assert variants["Rainbow"]["score"] == pytest.approx((0.4 + 0.4 + 0.5 + 0.6) / 4)
    assert variants["Rainbow"]["by_task"] == pytest.approx({"task 0": 0.65, "task 1": 0.3})
    assert [variants[name]["rainbow_better"] for name in variants] == [0.5, 1.0, 0.0, 0.5]
    assert variants["no double"]["dqn_better"] == pytest.approx((16 + 2 + 2 + 2.0 + 0.5 * 0 + 8 + 1) / 32)
    scores = ablation.scores_in(RECORD)
    assert scores["DQN"].shape == (4, 2)
    for name, row in variants.items():
        first = scores["Rainbow"]
        assert tuple(row["rainbow_better_interval"]) == analysis.improvement_interval(first, scores[name])
        whole = analysis.stratified_interval(scores[name], analysis.interquartile_mean)
        assert tuple(row["interval"]) == whole


def test_the_table_says_what_the_intervals_do() -> None:
    made = ablation.table(RECORD)
    assert "| variant | score | task 0 | task 1 | P(Rainbow better) | P(DQN better) |" in made
    assert "| no double | 0.100 [" in made
    assert "| 0.15 | 0.05 | 1.00 [1.00, 1.00] |" in made
    assert "49 000 steps, 4 seeds" in made
    assert "lies above ½ for no double; it lies below ½ for no noise; it holds ½ for DQN." in made
    # Rainbow's score is DQN's, to the digit.
    assert "By score: above DQN is no noise; below it is no double." in made


def test_every_variant_has_a_colour_of_its_own_and_every_bar_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = ablation.colours_of([*ablation.variants()])
    assert len({to_hex(colour) for colour in colours.values()}) == len(ablation.variants())
    saved: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: saved.append(self))
    curves = {name: np.ones((4, 2, 3)) for name in RECORD["variants"]}
    ablation.draw(RECORD, curves, np.arange(3), tmp_path)
    upper_left, upper_right, lower_left, lower_right = saved[0].axes
    for axes, names in ((upper_right, [*RECORD["variants"]]), (lower_right, [*RECORD["variants"]][1:])):
        assert len(axes.patches) == len(names)
        left, right = axes.get_xlim()
        for bar in axes.patches:
            assert left < bar.get_x()  # type: ignore[attr-defined]
            assert bar.get_x() + bar.get_width() < right  # type: ignore[attr-defined]
    assert [line.get_label() for line in upper_left.lines] == [*RECORD["variants"]]
    for line, scores in zip(lower_left.lines, ablation.scores_in(RECORD).values(), strict=True):
        thresholds, share = (np.asarray(values, float) for values in line.get_data())
        np.testing.assert_array_equal(share, analysis.performance_profile(scores, thresholds)[0])
    shown = {line.get_label(): to_hex(str(line.get_color())) for line in upper_left.lines}
    assert len(set(shown.values())) == len(shown)


@pytest.mark.slow
def test_a_small_run_and_the_table_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = dataclasses.replace(
        ablation.RAINBOW,
        hidden_sizes=(8,),
        stream_sizes=(4,),
        batch_size=4,
        buffer_capacity=64,
        warmup_steps=8,
    )
    both = {name: changes for name, changes in ablation.variants().items() if name in ablation.BASELINES}
    monkeypatch.setattr(ablation, "RAINBOW", small)
    monkeypatch.setattr(ablation, "variants", lambda: both)
    monkeypatch.setattr(ablation, "use_devices", lambda *_: None)
    monkeypatch.setattr(ablation, "use_cache", lambda _: None)
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    begin, end = f"<!-- {ablation.MARK}: begin -->", f"<!-- {ablation.MARK}: end -->"
    results.README.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    words = ["--tasks", "deepsea", "--num-seeds", "2", "--total-steps", "104", "--publish", "--table"]
    assert ablation.main([*words, "--output", str(tmp_path / "runs")]) == 0
    figures = tmp_path / "results" / "figures"
    assert (figures / "rainbow-ablation.png").stat().st_size > 10_000
    record = json.loads((figures / "rainbow-ablation.json").read_text())
    assert record["rainbow"]["hidden_sizes"] == [8]
    assert record["tasks"]["deepsea"]["environment"] == "DeepSea"
    assert record["settings"]["total_steps"] == 104
    assert record["conditions"]["seeds"] == "map"
    assert record["machine"]["versions"]["jax"]
    assert "git" in record["machine"]
    plain = record["variants"]["DQN"]
    assert plain["changes"]["deepsea"]["dueling"] is False
    assert plain["changes"]["deepsea"]["value_high"] == 1.0
    assert [len(values) for values in plain["scores"].values()] == [2]
    digests = [variant["digests"]["deepsea"] for variant in record["variants"].values()]
    assert [len(digest) for digest in digests] == [64, 64]
    assert digests[0] != digests[1]
    assert ablation.table(record) in results.README.read_text()
    # Asked again, it goes on with what there is, and comes to the same.
    assert ablation.main([*words, "--output", str(tmp_path / "runs")]) == 0
    again = json.loads((figures / "rainbow-ablation.json").read_text())
    assert again["variants"] == record["variants"]
    # Statistics that somebody wrote by hand are worked out again.
    again["variants"]["DQN"]["score"] = 7.0
    (figures / "rainbow-ablation.json").write_text(json.dumps(again))
    assert ablation.main(["--table"]) == 0
    assert json.loads((figures / "rainbow-ablation.json").read_text()) == record | {"date": again["date"]}
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--tasks pong", "tasks must be some of cartpole, acrobot, catch, deepsea, not pong"),
        ("--num-seeds 0", "num_seeds must be a whole number of at least 1, not 0"),
        ("--table", "nothing is published"),
    ],
)
def test_words_that_make_no_sense(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    assert command_line.exit_code(lambda: ablation.main(words.split())) == 2
    assert message in capsys.readouterr().err


def test_the_readme_has_the_table_of_the_ablation() -> None:
    record = json.loads((comparison.published() / f"{ablation.NAME}.json").read_text())
    stale = "stale: python experiments/rainbow_ablation.py --table"
    assert json.loads(json.dumps(ablation.judged(record))) == record, stale
    text = results.README.read_text()
    assert results.between(text, ablation.MARK, ablation.table(record)) == text, stale


def test_what_is_published_is_of_the_ablation_as_it_is_declared() -> None:
    record = json.loads((comparison.published() / f"{ablation.NAME}.json").read_text())
    given = ablation.Arguments()
    for field in ("num_seeds", "total_steps", "seed"):
        assert record[field] == getattr(given, field)
    assert [*record["tasks"]] == [*given.tasks]
    assert record["rainbow"] == json.loads(json.dumps(checks.numbers(ablation.RAINBOW)))
    assert [*record["variants"]] == [*ablation.variants()]
    for task, name in itertools.product(given.tasks, ablation.variants()):
        assert record["tasks"][task] == json.loads(json.dumps(checks.numbers(ablation.TASKS[task])))
        experiment = ablation.experiment_of(ablation.TASKS[task], ablation.variants()[name], given)
        assert record["settings"] == checks.numbers(experiment.settings)
        config = json.loads(json.dumps(checks.numbers(experiment.config)))
        assert record["rainbow"] | record["variants"][name]["changes"][task] == config


def test_all_pairs_of_tasks_and_variants_can_work() -> None:
    for task, name in itertools.product(ablation.TASKS, ablation.variants()):
        experiment = ablation.experiment_of(ablation.TASKS[task], ablation.variants()[name], GIVEN)
        assert experiment.num_seeds == 3
        assert experiment.settings.total_steps == 49_000
