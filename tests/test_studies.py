"""Studies: what counts as met, what is repeated to the bit, what is written, and what is committed."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import socket
import subprocess
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reproduce
import studies
from studies import results
from studies.base import Figure, Outcome, Published, Study, judge, measure
from studies.policy_gradient import gymnax_blines, searches
from studies.running import Exact, Measure, Simulated, Trained
from studies.value_based import pixels, small

from purejaxrl import command_line, environments, training
from purejaxrl.agents import evolution_strategies, q_learning
from purejaxrl.training import Experiment, Settings
from purejaxrl.training.seeds import keys
from purejaxrl.types import InvalidInput, Key, PyTree

pytestmark = pytest.mark.as_released

TRAINED = Study(
    name="small",
    what="Q-learning, RandomWalk, 300 steps",
    run=Trained(
        Experiment(
            q_learning,
            q_learning.Config(learning_rate=0.25),
            "RandomWalk",
            Settings(total_steps=300, num_epochs=3, evaluation_episodes=2),
            num_seeds=3,
            seed=7,
        ),
        {"greedy": Measure("evaluation_return"), "training": Measure("episode_return", epochs=2)},
    ),
    figures={
        "greedy": Figure("return, greedy", Published(500.0, 0.0, "of one run's episodes", "at least")),
        "training": Figure("return, training"),
    },
    source="nobody",
)


def toss(key: Key) -> tuple[dict[str, jax.Array], PyTree]:
    """A figure and parameters of a seed, both drawn from its key."""
    number = jax.random.normal(key)
    return {"number": number, "half": number / 2}, {"weights": jnp.full(3, number)}


SIMULATED = Study(
    name="toss",
    what="A normal number",
    run=Simulated(toss, {"mean": 0.0}, num_seeds=50, seed=3, seeds_per_call=20),
    figures={"number": Figure("the number", Published(0.0)), "half": Figure("half of it", Published(9.0))},
    source="nobody",
)
EXACT = Study(
    name="sum",
    what="1 + 1",
    run=Exact(lambda: ({"sum": 1.0 + 1.0}, {"weights": np.ones(2)})),
    figures={"sum": Figure("the sum", Published(2.0, rule="exactly"))},
    source="nobody",
)


BEGIN, END = "<!-- results of studies: begin -->", "<!-- results of studies: end -->"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a README, and three studies whose results go there."""
    monkeypatch.setattr(studies, "SECTIONS", {"Small": (SIMULATED, EXACT), "Smaller": (TRAINED,)})
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    results.README.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reproduce, "use_devices", lambda *_: None)  # JAX has started
    monkeypatch.setattr(reproduce, "use_cache", lambda _: None)
    return tmp_path


def steady(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name not in results.VOLATILE}


# Means of draws out of [0, 0, 3]: the 95 % interval is [0, 3] (test_statistics.py), the mean 1. Those that
# agree have an interval of one number.
WIDE, NARROW = [0.0, 0.0, 3.0], [5.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("values", "published", "verdict"),
    [
        (WIDE, Published(3.0), "pass: inside the interval"),
        (WIDE, Published(0.0), "pass: inside the interval"),
        (WIDE, Published(3.2), "miss: the interval ends 0.2 below"),
        (WIDE, Published(-0.5), "miss (better): the interval ends 0.5 above"),
        # All are 500 but for what float32 loses, and one that is not.
        ([499.99997] * 3, Published(500.0), "pass: inside the interval"),
        ([499.99997] * 3, Published(500.0, rule="at least"), "pass: the mean reaches it"),
        ([499.99] * 3, Published(500.0), "miss: the interval ends 0.01 below"),
        # However little the published value is sure of, it is inside or not.
        (WIDE, Published(3.15, 0.4, "standard error"), "miss: the interval ends 0.15 below"),
        (WIDE, Published(-0.1, 5.0, "standard error"), "miss (better): the interval ends 0.1 above"),
        # One-sided, the mean alone decides, wherever the interval ends.
        (WIDE, Published(0.9, rule="at least"), "pass: the mean reaches it"),
        (WIDE, Published(1.0, rule="at least"), "pass: the mean reaches it"),
        (WIDE, Published(1.1, rule="at least"), "miss: the mean is 0.1 below"),
        (WIDE, Published(2.9, 5.0, "standard error", "at least"), "miss: the mean is 1.9 below"),
        (WIDE, Published(-1.0, rule="at least"), "pass: the mean reaches it"),
        (WIDE, Published(1.1, rule="at most"), "pass: the mean reaches it"),
        (WIDE, Published(1.0, rule="at most"), "pass: the mean reaches it"),
        (WIDE, Published(0.1, rule="at most"), "miss (better): the mean is 0.9 above"),
        (NARROW, Published(5.0), "pass: inside the interval"),
        (NARROW, Published(5.1), "miss: the interval ends 0.1 below"),
        (NARROW, Published(5.0, rule="exactly"), "pass: 0 off, 0 allowed"),
        (NARROW, Published(4.5, rule="exactly", tolerance=0.4), "miss: 0.5 off, 0.4 allowed"),
        (NARROW, Published(5.5, rule="exactly", tolerance=0.6), "pass: 0.5 off, 0.6 allowed"),
        ([5.0, np.nan, 5.0], Published(5.0), "miss: 1 of 3 seeds died"),
        ([5.0, np.nan, 5.0], Published(1.0, rule="at least"), "miss: 1 of 3 seeds died"),
        ([np.nan], Published(5.0), "miss: 1 of 1 seeds died"),
    ],
)
def test_verdicts_by_hand(values: list[float], published: Published, verdict: str) -> None:
    assert str(judge(measure(np.array(values)), Figure("return", published))) == verdict


def test_where_lower_is_better_a_miss_below_is_said_to_be_better() -> None:
    for published, verdict in (
        (Published(3.2), "miss (better): the interval ends 0.2 below"),
        (Published(-0.5), "miss: the interval ends 0.5 above"),
        (Published(0.1, rule="at most"), "miss: the mean is 0.9 above"),
    ):
        assert str(judge(measure(np.array(WIDE)), Figure("errors", published, better="lower"))) == verdict


def test_figures_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="rule must be one of interval, at least"):
        Published(1.0, rule="about")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="value must be finite"):
        Published(math.nan)
    with pytest.raises(InvalidInput, match="spread must lie in"):
        Published(1.0, -1.0, "standard error")
    for spread, words in ((1.0, ""), (None, "standard error")):
        with pytest.raises(InvalidInput, match="a spread and what it is go together"):
            Published(1.0, spread, words)
    with pytest.raises(InvalidInput, match="better must be one of higher, lower"):
        Figure("return", better="more")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="nothing was published of the return"):
        judge(measure(np.array(WIDE)), Figure("return"))


def test_measures_by_hand() -> None:
    metrics = {
        "episode_return": np.array(
            [[9.0, 1, 2, 5], [9, np.nan, 4, np.nan], [9, np.nan, np.nan, np.nan], [1] * 4]
        ),
        "episodes": np.array([[1.0, 2, 1, 3], [1, 0, 2, 0], [1, 0, 0, 0], [1] * 4]),
        "evaluation_return": np.array([[0.0, 7, 3, 4]] * 4),
        "evaluation_episodes": np.array([[1.0, 1, 1, 1]] * 4),
        "alive": np.array([[1.0] * 4, [1] * 4, [1] * 4, [1, 1, 1, 0]]),
    }
    none = np.nan

    def of(*arguments: Any) -> list[float]:
        return Measure(*arguments).of(metrics).tolist()

    np.testing.assert_allclose(of("episode_return"), [5, none, none, none])
    np.testing.assert_allclose(of("episode_return", 2), [(2 * 1 + 5 * 3) / 4, 4, none, none])
    np.testing.assert_allclose(of("episode_return", 0), [(1 * 2 + 2 + 15) / 6, 4, none, none])  # no warm-up
    np.testing.assert_allclose(of("evaluation_return"), [4, 4, 4, none])
    np.testing.assert_allclose(of("evaluation_return", 2), [3.5, 3.5, 3.5, none])


def test_an_experiment_twice_is_the_same_to_the_bit_interrupted_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert isinstance(TRAINED.run, Trained)
    first = results.result_of(TRAINED, TRAINED.run.run(TRAINED.name))
    whole = training.run

    def interrupted(experiment: Any, output: Any, report: Any, **options: Any) -> training.Result:
        def stop(progress: training.Progress) -> None:
            if progress.epoch == 2 and progress.message is None:
                raise KeyboardInterrupt

        return whole(experiment, output, stop, **options)

    run = dataclasses.replace(TRAINED.run, checkpoint_every=1)
    with monkeypatch.context() as patch:
        patch.setattr(training, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.run(TRAINED.name)
    assert run.unfinished(TRAINED.name) == Path("runs/study-small-002")
    longer = dataclasses.replace(run.experiment, seed=8)
    assert dataclasses.replace(run, experiment=longer).unfinished(TRAINED.name) is None
    second = results.result_of(TRAINED, run.run(TRAINED.name))
    assert steady(first) == steady(second)
    assert run.unfinished(TRAINED.name) is None
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "study-small-001",
        "study-small-002",
    ]
    assert len(first["digest"]) == 64
    assert first["run"]["config"]["learning_rate"] == 0.25
    assert first["run"]["settings"]["total_steps"] == 300
    assert first["conditions"]["decisive_versions"]["jax"] == jax.__version__
    assert len(first["figures"]["greedy"]["values"]) == 3
    assert first["figures"]["greedy"]["verdict"].startswith("miss")
    assert first["figures"]["training"]["verdict"] is None
    text = json.dumps(first)
    assert str(tmp_path) not in text, "a path"
    assert socket.gethostname() not in text


def test_simulations_by_hand() -> None:
    outcome = SIMULATED.run.run("toss")
    expected = np.array([jax.random.normal(key) for key in keys(3, 50)])
    np.testing.assert_allclose(outcome.values["number"], expected, rtol=1e-6)
    np.testing.assert_allclose(outcome.values["half"], expected / 2, rtol=1e-6)
    assert isinstance(SIMULATED.run, Simulated)
    for changes, same in (
        ({"seeds_per_call": None}, True),
        ({"seeds": "map"}, True),
        ({"seed": 4}, False),
        ({"num_seeds": 49}, False),
    ):
        other = dataclasses.replace(SIMULATED.run, **changes).run("toss")
        assert (other.digest == outcome.digest) == same, changes


def test_digests_tell_parameters_apart() -> None:
    def of(weights: np.ndarray) -> str:
        return Exact(lambda: ({"sum": 0.0}, {"weights": weights})).run("sum").digest

    ones = np.ones(3, np.float32)
    assert of(ones) == of(ones.copy())
    others = [
        ones * np.nextafter(np.float32(1), np.float32(2)),
        ones.astype(np.int32),
        np.ones(4, np.float32),
    ]
    assert len({of(each) for each in (ones, *others)}) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": q_learning.Config(learning_rate=-1.0)}, "learning_rate must lie in"),
        ({"settings": Settings(total_steps=1234)}, "1234 is not"),
        ({"environment": "CartPole-v7"}, "CartPole-v7"),
        ({"shard": "environments"}, "share seeds"),
    ],
)
def test_what_cannot_work_says_so_before_anything_is_run(
    changes: dict[str, Any],
    message: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert isinstance(TRAINED.run, Trained)
    experiment = dataclasses.replace(TRAINED.run.experiment, **changes)
    wrong = dataclasses.replace(TRAINED, run=dataclasses.replace(TRAINED.run, experiment=experiment))
    monkeypatch.setattr(studies, "SECTIONS", {"Small": (SIMULATED, wrong)})
    assert command_line.exit_code(lambda: reproduce.main(["toss", "small"])) == 2
    assert message in capsys.readouterr().err
    assert not (place / "results").exists()


def test_figures_must_be_those_that_are_measured() -> None:
    for study in (TRAINED, SIMULATED):
        with pytest.raises(InvalidInput, match="figures speed are declared"):
            dataclasses.replace(study, figures={"speed": Figure("speed")}).check()
    with pytest.raises(InvalidInput, match="declares the figures speed, and measured sum"):
        results.result_of(
            dataclasses.replace(EXACT, figures={"speed": Figure("speed")}), EXACT.run.run("sum")
        )
    assert isinstance(TRAINED.run, Trained)
    longer = dataclasses.replace(
        TRAINED.run, measures={name: Measure("episode_return", 4) for name in TRAINED.figures}
    )
    with pytest.raises(InvalidInput, match="epochs must be at most the run's 3, not 4"):
        dataclasses.replace(TRAINED, run=longer).check()
    vector = Simulated(lambda key: ({"number": jax.random.normal(key, (2,))}, ()), {}, 2)
    with pytest.raises(InvalidInput, match=r"'number' must be one number of a seed, not of shape \(2,\)"):
        dataclasses.replace(SIMULATED, run=vector, figures={"number": Figure("number")}).check()


def test_running_listing_checking_and_the_table(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reproduce.main(["toss", "sum"]) == 0
    said = capsys.readouterr().out
    assert "published 0; pass: inside the interval" in said
    assert "published 9; miss:" in said
    assert "the sum: 2.00\n    published 2; pass: 0 off" in said
    assert sorted(path.name for path in (place / "results").iterdir()) == ["sum.json", "toss.json"]
    assert reproduce.main(["--list"]) == 0
    listed = capsys.readouterr().out
    for study in (SIMULATED, EXACT, TRAINED):
        assert study.name in listed
        assert study.what in listed
    assert "not run yet" in listed.partition("small")[2]
    assert reproduce.main(["--check", "toss", "sum"]) == 0
    assert capsys.readouterr().out.count("the same digest") == 2
    assert reproduce.main(["--table"]) == 0
    text = results.README.read_text()
    assert text.startswith(f"before\n{BEGIN}\n### Small\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| 1 + 1 (`sum`) | the sum | 2 | 2.00 |  |  |  |" in text
    assert "| half of it | 9 |" in text
    assert "**miss**" in text
    assert "| study | figure | published | measured | 95 % interval | IQM | seeds | verdict |" in text
    assert "| ≥ 500 ± 0 (of one run's episodes) | not run yet |" in text
    assert "return, training" not in text, "nothing was published of it"
    notes = (place / "results" / "README.md").read_text()
    assert "| return, training | – | not run yet |" in notes
    assert "| seeds | verdict | run, s |" in notes
    assert reproduce.main(["--table"]) == 0
    assert results.README.read_text() == text
    # Another result is another table.
    result = results.read(SIMULATED)
    assert result is not None
    result["figures"]["half"]["values"] = [9.0] * 50
    result["figures"]["number"]["values"] = [-1.0] * 50
    results.write(SIMULATED, result)
    assert "the number | 0 | −1.00 ± 0.00 | [−1.00, −1.00] | −1.00 |" in results.table(studies.SECTIONS)
    assert results.table(studies.SECTIONS) not in text
    assert reproduce.main(["--table"]) == 0
    again = results.read(SIMULATED)
    assert again is not None
    assert again["figures"]["half"]["verdict"] == "pass: inside the interval"
    # And another digest is noticed.
    results.write(SIMULATED, result | {"digest": "0" * 64})
    assert reproduce.main(["--check", "toss"]) == 1
    assert "another digest" in capsys.readouterr().out


def test_all_runs_what_has_no_result_or_has_changed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(study: Study, out: object) -> int:
        ran.append(study.name)
        outcome = Outcome({name: np.ones(2) for name in study.figures}, "0" * 64, {}, 1.0, 2.0)
        results.write(study, results.result_of(study, outcome))
        return 0

    monkeypatch.setattr(reproduce, "run", run)
    for words, expected in (
        (["--all"], ["toss", "sum", "small"]),
        (["--all"], []),
        (["--all", "--again"], ["toss", "sum", "small"]),
    ):
        ran.clear()
        assert reproduce.main(words) == 0
        assert ran == expected
    assert isinstance(SIMULATED.run, Simulated)
    changed = dataclasses.replace(SIMULATED, run=dataclasses.replace(SIMULATED.run, seed=4))
    monkeypatch.setattr(studies, "SECTIONS", {"Small": (changed, EXACT), "Smaller": (TRAINED,)})
    assert "seed: 3 in the result, 4 now" in reproduce.listing()
    ran.clear()
    assert reproduce.main(["--all"]) == 0
    assert ran == ["toss"]


def test_all_are_checked_that_have_a_result_once_all_have_been_looked_at(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []
    whole = reproduce.check

    def check(study: Study, *others: Any) -> int:
        ran.append(study.name)
        return whole(study, *others)

    monkeypatch.setattr(reproduce, "check", check)
    assert reproduce.main(["toss", "sum"]) == 0
    assert reproduce.main(["--all", "--check"]) == 0
    assert ran == ["toss", "sum"]  # and not the third, which has none
    # The last to be checked has changed: nothing is run.
    ran.clear()
    result = results.read(EXACT)
    assert result is not None
    results.write(EXACT, result | {"run": result["run"] | {"kind": "guess"}})
    assert command_line.exit_code(lambda: reproduce.main(["--all", "--check"])) == 2
    assert "sum has changed since its result was made: kind: 'guess'" in capsys.readouterr().err
    assert command_line.exit_code(lambda: reproduce.main(["--check", "toss", "small", "sum"])) == 2
    said = capsys.readouterr().err
    assert "small has no result to compare with" in said
    assert "sum has changed" in said
    (place / "results" / "sum.json").write_text("{")
    assert command_line.exit_code(lambda: reproduce.main(["--all", "--check"])) == 1
    assert "sum.json" in capsys.readouterr().err
    assert ran == []


def test_a_result_that_nobody_can_trace_is_warned_of(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = "0123456789abcdef"
    for state, warning in (
        ({"commit": commit, "clean": True}, ""),
        ({"commit": commit, "clean": False}, "the source had changes that commit 0123456789 does not have"),
        (None, "it was made outside of git"),
    ):
        monkeypatch.setattr(results, "source_state", lambda state=state: state)
        assert reproduce.main(["sum"]) == 0
        said = capsys.readouterr().err
        assert ("sum: this result cannot be traced: " in said) == bool(warning)
        assert warning in said
        assert json.loads((place / "results" / "sum.json").read_text())["machine"]["git"] == state


def test_what_studies_write_leaves_the_source_as_clean_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        name = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
        subprocess.run(["git", "-C", str(tmp_path), *name, *words], check=True, capture_output=True)

    written = ["README.md", "experiments/results/toss.json"]
    for path in ("purejaxrl/__init__.py", "experiments/studies.py", *written):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1\n")
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results.purejaxrl, "__file__", str(tmp_path / "purejaxrl" / "__init__.py"))
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "all")

    def clean() -> bool:
        state = results.source_state()
        assert state is not None
        return state["clean"]

    assert clean()
    for path in (*written, "experiments/results/sum.json"):
        (tmp_path / path).write_text("2\n")
    assert clean()
    for path in ("experiments/studies.py", "purejaxrl/new.py"):
        (tmp_path / path).write_text("2\n")
        assert not clean()
        git("add", ".")
        git("commit", "-q", "-m", "more")
        assert clean()
    monkeypatch.undo()
    monkeypatch.setattr(results, "ROOT", tmp_path)
    assert not clean(), "the library is another folder's"
    monkeypatch.setattr(results, "ROOT", Path("/proc"))
    assert results.source_state() is None


def test_a_run_that_is_interrupted_leaves_no_result(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reproduce.main(["sum"]) == 0
    before = (place / "results" / "sum.json").read_text()

    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Exact, "run", interrupt)
    assert command_line.exit_code(lambda: reproduce.main(["sum"])) == 130
    assert (place / "results" / "sum.json").read_text() == before
    assert "sum: interrupted" in capsys.readouterr().out
    # While it is written, the old one stays until the new one is whole.
    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        results.write(EXACT, {"half": 1})
    assert (place / "results" / "sum.json").read_text() == before
    assert [path.name for path in (place / "results").iterdir()] == ["sum.json"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tos"], "unknown study 'tos'; the nearest are toss"),
        (["toss", "zzzzzz"], "unknown study 'zzzzzz'; see --list"),
        ([], "name a study, or give --all, --list or --table"),
        (["--all", "toss"], "--all takes no names"),
        (["--check", "sum"], "sum has no result to compare with"),
        (["--check", "sum", "toss"], "toss has no result to compare with"),
    ],
)
def test_words_that_make_no_sense(
    words: list[str], message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.exit_code(lambda: reproduce.main(words)) == 2
    assert message in capsys.readouterr().err
    assert not (place / "results").exists()


def test_marks_must_be_in_the_readme(place: Path) -> None:
    for text in ("none", BEGIN, f"{END} {BEGIN}", f"{BEGIN * 2} {END}"):
        with pytest.raises(InvalidInput, match="once each"):
            results.between(text, results.MARK, "table")


def test_hyperparameters_that_came_later_count_only_where_they_are_set() -> None:
    assert isinstance(TRAINED.run, Trained)
    result = results.result_of(
        TRAINED, Outcome({name: np.ones(3) for name in TRAINED.figures}, "0" * 64, {}, 1.0, 2.0)
    )
    result = json.loads(json.dumps(result))
    assert results.changes(TRAINED, result) == []
    del result["run"]["config"]["discount"]  # as if it had not been there, or had had its default
    assert results.changes(TRAINED, result) == []
    experiment = TRAINED.run.experiment
    config = dataclasses.replace(experiment.config, discount=0.5)
    other = dataclasses.replace(TRAINED.run, experiment=dataclasses.replace(experiment, config=config))
    assert results.changes(dataclasses.replace(TRAINED, run=other), result) == [
        "config.discount: 'nothing' in the result, 0.5 now"
    ]
    for measured in result["run"]["measures"].values():  # as results had it before it went
        measured["statistic"] = "mean"
    assert results.changes(TRAINED, result) == []
    result["run"]["measures"]["greedy"]["statistic"] = "best"
    assert results.changes(TRAINED, result) == [
        "measures.greedy.statistic: 'best' in the result, 'nothing' now"
    ]
    result["run"]["measures"]["greedy"]["statistic"] = "mean"
    result["run"]["config"]["gone"] = 1
    assert results.changes(TRAINED, result) == ["config.gone: 1 in the result, 'nothing' now"]


def test_so_it_is_with_what_a_simulation_was_made_with() -> None:
    def of(config: q_learning.Config) -> Study:
        made_with = {"config": config, "settings": Settings(total_steps=100), "mean": 0.0}
        return dataclasses.replace(SIMULATED, run=Simulated(toss, made_with, num_seeds=3))

    study, other = of(q_learning.Config(learning_rate=0.25)), of(q_learning.Config(0.25, discount=0.5))
    values = {name: np.ones(3) for name in study.figures}
    result = results.result_of(study, Outcome(values, "0" * 64, {}, 1.0, 2.0))
    result = json.loads(json.dumps(result))
    assert results.changes(study, result) == []
    assert results.changes(other, result) == ["settings.config.discount: 1.0 in the result, 0.5 now"]
    made_with = result["run"]["settings"]
    del made_with["config"]["discount"], made_with["settings"]["num_envs"]  # as if they had come since
    assert results.changes(study, result) == []
    assert results.changes(other, result) == ["settings.config.discount: 'nothing' in the result, 0.5 now"]
    del made_with["config"]["learning_rate"], made_with["settings"]["total_steps"], made_with["mean"]
    assert results.changes(study, result) == [
        "settings.config.learning_rate: 'nothing' in the result, 0.25 now",
        "settings.settings.total_steps: 'nothing' in the result, 100 now",
        "settings.mean: 'nothing' in the result, 0.0 now",
    ]


# What is declared and committed.

DECLARED = studies.all_studies()


@pytest.mark.parametrize("name", DECLARED)
def test_a_declared_study_can_work(name: str) -> None:
    if DECLARED[name].run.describe().get("environment", "").startswith("envpool:"):
        pytest.importorskip("envpool")
    DECLARED[name].check()


def test_a_bandits_regret_is_what_its_draws_cost() -> None:
    settings = dataclasses.replace(small.PULLS, total_steps=2_000, num_epochs=1)
    config = dataclasses.replace(
        small.BANDIT_CONFIG, learning_rate=0.01, loss="huber", hidden_sizes=(16,), batch_size=16
    )
    pulls = jax.jit(jax.vmap(lambda epsilon, key: small.pull(config, epsilon, settings, key)))
    figures, _ = pulls(jnp.array([1.0, 0.0]), keys(0, 2))
    sampling = 5 * 0.316 / math.sqrt(1_000)  # an even draw costs .5 ± .316
    assert abs(figures["late"][0] - 0.5) < sampling
    assert figures["late"][1] < 0.1
    np.testing.assert_allclose(figures["regret"], (0.5 + figures["late"]) / 2, atol=sampling / 2)


@pytest.mark.parametrize(("bias", "low", "high"), [((0.0, 0.0), 20.0, 26.0), ((50.0, -50.0), 9.0, 10.0)])
def test_drawn_returns_are_of_first_episodes(bias: tuple[float, float], low: float, high: float) -> None:
    """A pole that is pushed at random stands for 22 steps, and for 9 where it is pushed to one side alone."""
    environment = environments.make("CartPole-v1", 1)
    spaces = environment.observation_space, environment.action_space
    state = evolution_strategies.init(jax.random.key(0), searches.es_config(2, 0.04, 0.03), *spaces)
    population = jax.tree.map(lambda leaf: leaf[None], state.params)
    population["params"]["policy"]["bias"] = jnp.array([bias])
    alone = dataclasses.replace(state, population=population)

    def of(longest: int) -> jax.Array:
        key = jax.random.key(1)
        return gymnax_blines.drawn_return(evolution_strategies, alone, environment, longest, key)

    assert low < of(100) < high
    np.testing.assert_allclose(of(7), 7, rtol=1e-6)


def test_weights_of_dopamine_begin_within_its_bound() -> None:
    """√(√3 / n) of n inputs: 0.16451 of 64, as of 4 × 4 patches of 4 channels."""
    kernel = np.abs(pixels.dopamine_start(jax.random.key(0), (4, 4, 4, 500)))
    assert 0.1644 < kernel.max() < 0.16452
    assert abs(kernel.mean() - 0.16451 / 2) < 0.001


def test_a_dive_that_reaches_the_treasure_is_counted() -> None:
    """In a sea of three rows, where chance does: the study of twenty must not pass by seeing nothing."""
    figures, _ = jax.jit(functools.partial(small.dive, 300, size=3))(jax.random.key(0))
    assert 100 < figures["treasures"] <= 300
    assert figures["bad"] == pytest.approx(1 - figures["treasures"] / 300)


@pytest.mark.parametrize("name", DECLARED)
def test_a_committed_result_is_of_the_study_as_it_is_declared(name: str) -> None:
    study = DECLARED[name]
    result = results.read(study)
    if result is None:
        pytest.skip("has no result yet")
    assert results.changes(study, result) == []
    assert results.judged(study, result) == result, "python experiments/reproduce.py --table"
    assert len(result["digest"]) == 64


def test_every_result_is_of_a_study() -> None:
    assert {path.stem for path in results.RESULTS.glob("*.json")} <= set(DECLARED)


def test_the_readmes_have_the_tables_of_the_results() -> None:
    text = results.README.read_text()
    stale = "stale: python experiments/reproduce.py --table"
    assert results.between(text, results.MARK, results.table(studies.SECTIONS)) == text, stale
    assert (results.RESULTS / "README.md").read_text() == results.notes(studies.SECTIONS), stale


def disagreements(committed: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """How a second run of a study came out otherwise than its committed result."""
    said = []
    for figure, then in committed["figures"].items():
        # The same keys; on another processor other roundings may lead a few seeds elsewhere.
        width = max((then["high"] - then["low"]) / 2, 1e-6)
        if abs(found["figures"][figure]["mean"] - then["mean"]) > width:
            said.append(f"{figure}: {then['mean']} then, {found['figures'][figure]['mean']} now")
    # On any number of devices, which a short study's digest does not hang on; older results do not say which
    # of the processors of one name they were made on, whose digests differ.
    here = found["conditions"] | {"devices": committed["conditions"].get("devices")}
    known = "processor_version" not in results.unsaid(committed, here)
    if known and not results.elsewhere(committed, here) and found["digest"] != committed["digest"]:
        said.append("another digest under the same conditions")
    return said


def test_a_second_run_that_comes_out_otherwise_is_noticed() -> None:
    outcome = EXACT.run.run("sum")
    committed = results.result_of(EXACT, outcome)
    assert disagreements(committed, committed) == []
    other: dict[str, Any] = committed | {"digest": "0" * 64}
    assert disagreements(committed, other) == ["another digest under the same conditions"]
    later = other | {"machine": other["machine"] | {"git": {"commit": "f" * 40, "clean": True}}}
    assert disagreements(committed, later) == ["another digest under the same conditions"]
    elsewhere = other | {"conditions": other["conditions"] | {"devices": 64}}
    assert disagreements(committed, elsewhere) == ["another digest under the same conditions"]
    for what in ("processor", "processor_version"):
        there = other | {"conditions": other["conditions"] | {what: "abacus"}}
        assert disagreements(committed, there) == []
    older = {name: value for name, value in committed["conditions"].items() if name != "devices"}
    assert results.unsaid(committed | {"conditions": older}, committed["conditions"]) == ["devices"]
    assert results.elsewhere(committed | {"conditions": older}, committed["conditions"]) == []
    values = dataclasses.replace(outcome, values={"sum": np.array([2.1])})
    assert disagreements(committed, results.result_of(EXACT, values)) == ["sum: 2.0 then, 2.1 now"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, study in DECLARED.items() if study.cost == "seconds"])
def test_a_short_study_comes_out_as_it_was_committed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = DECLARED[name]
    committed = results.read(study)
    assert committed is not None, "run it and commit its result"
    found = json.loads(json.dumps(results.result_of(study, study.run.run(name))))
    assert disagreements(committed, found) == []
