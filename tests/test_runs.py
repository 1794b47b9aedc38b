"""``python -m purejaxrl runs``: what it tells of runs, whole or damaged, and what it does with them."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl import command_line, environments, presets, runs, training
from purejaxrl.agents import a2c, dqn
from purejaxrl.analysis.text import number, quantity, ranges, text_curve
from purejaxrl.training import Experiment, Keeping, Settings, policies
from purejaxrl.training.reading import read_run
from purejaxrl.training.rebuild import experiment_from
from purejaxrl.training.record import describe, lock
from purejaxrl.types import InvalidInput

pytestmark = pytest.mark.same_bits

EXPERIMENT = Experiment(
    a2c,
    a2c.Config(hidden_sizes=(16,), learning_rate=3e-3),
    "CartPole-v1",
    Settings(total_steps=8000, num_envs=4, rollout_length=5, num_epochs=4, evaluation_episodes=2),
    num_seeds=2,
    seeds="map",
    devices=1,
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder ``runs`` with a run that is done, ``whole``, and one that was interrupted, ``half``."""
    root = tmp_path_factory.mktemp("made") / "runs"
    training.run(EXPERIMENT, root / "whole", keeping=Keeping(keep=9))
    half = shutil.copytree(root / "whole", root / "half")
    for epoch in (3, 4):
        shutil.rmtree(half / "checkpoints" / str(epoch))
    lines = (half / "metrics.jsonl").read_text().splitlines(keepends=True)
    (half / "metrics.jsonl").write_text("".join(lines[: 3 * EXPERIMENT.num_seeds]))
    (half / "summary.json").write_text('{"ended": "interrupted", "epochs": 2}')
    return root


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a copy of those runs under ``runs/``."""
    shutil.copytree(made, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    # JAX has started in this process, and its cache is nobody's business here.
    monkeypatch.setattr(command_line, "use_devices", lambda devices, threads, num_members: None)
    monkeypatch.setattr(command_line, "use_cache", lambda folder: None)
    return tmp_path


@pytest.fixture
def tell(here: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What a command prints; it is to succeed."""

    def tell(*arguments: str) -> str:
        code = runs.main(["runs", *arguments])
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return tell


def row_of(table: str, name: str) -> list[str]:
    """The words of a line of a table."""
    (line,) = (line for line in table.splitlines() if line.split()[:1] == [name])
    return line.split()


# The list.


def test_the_list_tells_state_and_returns(here: Path, tell: Any) -> None:
    table = tell()
    metrics = training.read_metrics(here / "runs" / "whole")
    means = metrics["evaluation_return"].mean(axis=0)
    assert row_of(table, "whole")[:9] == [
        *("whole", "done", "a2c", "CartPole-v1", "4/4", "8k", "2/2"),
        *(f"{means.max():.2f}", f"{means[-1]:.2f}"),
    ]
    assert row_of(table, "half")[1:7] == ["interrupted", "a2c", "CartPole-v1", "2/4", "4k", "2/2"]
    assert table == tell("list") == tell("runs")
    assert [line.split()[0] for line in table.splitlines()[:3]] == ["run", "half", "whole"]
    change(here / "runs" / "whole", lambda record: record["session"].update(time="2001-02-03T04:05:06+0000"))
    assert [line.split()[0] for line in tell().splitlines()[:3]] == ["run", "whole", "half"], "oldest first"
    assert tell("list", "runs/whole").splitlines()[1].startswith("runs/whole  done")


def test_the_list_in_a_process_of_its_own(here: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "purejaxrl", "runs"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert row_of(done.stdout, "whole")[1] == "done"
    assert "\x1b" not in done.stdout


def test_the_list_of_nothing(here: Path, tell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "none").mkdir()
    assert tell("none") == "there is no run under none\n"
    assert runs.main(["runs", "list", "nowhere"]) == 2
    assert capsys.readouterr().err == "error: there is no folder nowhere\n"


def test_groups_of_a_sweep_are_runs(here: Path, tell: Any) -> None:
    (here / "runs" / "sweep").mkdir()
    shutil.move(here / "runs" / "half", here / "runs" / "sweep" / "group-1")
    assert row_of(tell(), "sweep/group-1")[1] == "interrupted"


def test_states_of_runs_that_did_not_end(here: Path, tell: Any) -> None:
    killed, empty, failed = (here / "runs" / name for name in ("killed", "empty", "failed"))
    for folder in (killed, empty, failed):
        shutil.copytree(here / "runs" / "half", folder)
        (folder / "summary.json").unlink()
    (empty / "metrics.jsonl").write_text("")
    with (failed / "events.jsonl").open("a") as file:
        file.write('{"event": "failed", "reason": "no space left"}\n')
    table = tell()
    assert row_of(table, "killed")[1] == "killed"
    assert row_of(table, "empty")[1:5] == ["empty", "a2c", "CartPole-v1", "–/4"]
    assert row_of(table, "failed")[1] == "failed"
    held = lock(killed)
    try:
        assert row_of(tell(), "killed")[1] == "running"
    finally:
        held.close()


def test_an_epoch_that_was_half_written_does_not_count(here: Path, tell: Any) -> None:
    path = here / "runs" / "half" / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:20])
    assert row_of(tell(), "half")[1:5] == ["interrupted", "a2c", "CartPole-v1", "1/4"]


def test_dead_seeds_do_not_count(here: Path, tell: Any) -> None:
    path = here / "runs" / "whole" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        if row["seed"] == 0 and row["epoch"] >= 2:
            row |= {"alive": False, "evaluation_return": 1e9}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    last = rows[-1]["evaluation_return"]
    table = tell()
    assert row_of(table, "whole")[6] == "1/2"
    assert row_of(table, "whole")[8] == f"{last:.2f}"
    assert "NaN or infinite: 1 of 2, members 0" in tell("show", "whole")


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("experiment.json", "{", "experiment.json: Expecting property name"),
        ("experiment.json", "[]", "experiment.json: this is no JSON object"),
        ("experiment.json", '{"agent": 3}', "experiment.json: agent is not there, or is no str"),
        ("experiment.json", None, "experiment.json: there is none"),
        ("metrics.jsonl", None, "metrics.jsonl: there is none"),
        ("metrics.jsonl", '{"epoch": 0}\n', "metrics.jsonl: there is no 'seed'"),
        (
            "metrics.jsonl",
            '{"epoch": 0, "seed": 0, "point": 0, "reward": "much"}\n',
            "metrics.jsonl: could not convert string to float",
        ),
        ("metrics.jsonl", '{"epoch": 0, "seed": 0, "point": 0}\n', "metrics.jsonl: rows lack"),
        ("summary.json", "\udcff", "summary.json: 'utf-8' codec can't decode byte"),
    ],
)
def test_what_is_wrong_with_a_damaged_run_is_told(
    here: Path, tell: Any, file: str, content: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "runs" / "half" / file
    path.unlink()
    if content is not None:
        path.write_text(content, errors="surrogateescape")
    table = tell()
    assert row_of(table, "half")[1] == "damaged"
    assert f"runs/half: {told}" in table
    assert row_of(table, "whole")[1] == "done"
    assert told in tell("show", "half")
    for command in ("evaluate", "resume", "compare"):
        if file == "experiment.json":
            assert runs.main(["runs", command, "half"]) == 2
            assert capsys.readouterr().err.startswith("error: runs/half")


def test_rows_missing_in_the_midst_are_damage(here: Path, tell: Any) -> None:
    path = here / "runs" / "whole" / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2] + lines[3:]))
    assert "runs/whole: metrics.jsonl: rows of some of the 2 members are missing" in tell()


# What is told of one.


def test_show_tells_everything(here: Path, tell: Any) -> None:
    shown = tell("show", "whole")
    record = json.loads((here / "runs" / "whole" / "experiment.json").read_text())
    for name, value in {**record["config"], **record["settings"]}.items():
        first = next(iter(value), "") if isinstance(value, list) else value
        assert re.search(rf"{name} +{first}", shown), name
    for word in np.ravel(record["keys"]):
        assert f"{word:08x}" in shown
    for package, version in record["session"]["versions"].items():
        assert f"{package} {version}" in shown
    git = record["session"]["git"]
    assert git is None or git["commit"] in shown
    assert json.loads((here / "runs" / "whole" / "summary.json").read_text())["digest"] in shown
    assert re.search(r"epoch 4, mean return \S+ last", shown)
    assert re.search(r"epoch \d, mean return \S+ (last )?best", shown)
    assert re.search(r"evaluation_return +\d", shown)
    assert re.search(r"update/entropy +\d", shown)
    assert "█" in shown
    assert all(len(line.rstrip()) <= 100 for line in shown.splitlines() if "  command  " not in line)
    assert "picture: runs/whole/curve.png" in shown
    assert (here / "runs" / "whole" / "curve.png").read_bytes().startswith(b"\x89PNG")

    def without_ages(text: str) -> list[str]:  # which make columns wider as they grow
        return re.sub(r"\d+ \w+ ago", "", text).split()

    assert without_ages(tell("show", "runs/whole")) == without_ages(shown)


def test_a_picture_that_is_there_stays(here: Path, tell: Any) -> None:
    (here / "runs" / "whole" / "curve.png").write_text("mine")
    assert "picture: runs/whole/curve.png" in tell("show", "whole")
    assert (here / "runs" / "whole" / "curve.png").read_text() == "mine"


def test_a_sweep_is_shown_with_its_points(here: Path, tell: Any) -> None:
    as_sweep(here / "runs" / "whole")
    shown = tell("show", "whole")
    assert re.search(r"learning_rate +return +95 % interval +seeds", shown)
    assert re.search(r"0\.003 .*1/1", shown)
    assert not (here / "runs" / "whole" / "curve.png").exists()


@pytest.mark.parametrize("command", ["show", "evaluate", "resume", "compare"])
def test_a_run_that_there_is_not(here: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.main(["runs", command, "hole"]) == 2
    assert capsys.readouterr().err == "error: there is no run hole; runs has half, whole\n"
    assert runs.main(["runs", command, "runs"]) == 2
    assert "runs holds several runs, name one of them: runs/half, runs/whole" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["walks"], ["runs", "shwo", "whole"], ["runs", "show"]])
def test_what_is_no_command(here: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = runs.main(arguments)
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    assert "Traceback" not in capsys.readouterr().err


# Evaluation.


def returns_of(told: str) -> list[float]:
    """The mean return of each seed in what was printed, and that of all."""
    seeds = [float(row_of(told, seed)[2]) for seed in ("0", "1")]
    match = re.search(r"^mean (\S+) ± \S+ over 2 seeds, 95 % interval of the mean \[", told, re.M)
    assert match is not None
    return [*seeds, float(match[1])]


def test_policies_are_evaluated_on_every_backend(here: Path, tell: Any) -> None:
    own = tell("evaluate", "whole", "--episodes", "60")
    assert "runs/whole, checkpoint 4: greedy policies in CartPole-v1, 60 episodes a seed" in own
    assert row_of(own, "0")[1] == "60/60"
    expected = returns_of(own)
    assert expected[2] == pytest.approx(np.mean(expected[:2]), abs=0.02)
    assert max(expected) > 60, "a policy that has learnt something"
    for environment, *options in (
        ("envpool:CartPole-v1",),
        ("envpool:CartPole-v1", "--environment-options", "backend=ffi"),
        ("gymnasium:CartPole-v1",),
    ):
        told = tell("evaluate", "whole", "--episodes", "60", "--environment", environment, *options)
        np.testing.assert_allclose(returns_of(told), expected, rtol=0.25, err_msg=environment)


def test_an_evaluation_is_a_function_of_its_seed(here: Path, tell: Any) -> None:
    once = tell("evaluate", "whole", "--episodes", "3", "--steps", "500")
    assert tell("evaluate", "whole", "--episodes", "3", "--steps", "500") == once
    assert tell("evaluate", "whole", "--episodes", "3", "--steps", "500", "--seed", "1") != once


def test_episodes_that_do_not_finish_are_not_counted(here: Path, tell: Any) -> None:
    told = tell("evaluate", "whole", "--episodes", "3", "--steps", "4", "--checkpoint", "3")
    assert "checkpoint 3:" in told
    assert row_of(told, "0") == ["0", "0/3", "–", "–", "–", "–", "–"]
    assert told.endswith("no seed finished an episode\n")


def test_evaluation_of_a_run_that_goes_on_changes_nothing(here: Path, tell: Any) -> None:
    folder = here / "runs" / "whole"
    before = sorted(folder.rglob("*"))
    held = lock(folder)
    try:
        tell("evaluate", "whole", "--episodes", "1", "--steps", "4", "--checkpoint", "best")
    finally:
        held.close()
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--environment Acrobot-v1", ["Acrobot-v1 has the observations Box", "(6,)", "(4,)"]),
        ("--environment CartPol-v1", ["unknown environment 'CartPol-v1'"]),
        ("--environment-options speed=3", ["CartPole-v1 does not take"]),
        ("--environment-options speed", ["name=value"]),
        ("--episodes 0", ["episodes must be a whole number of at least 1, not 0"]),
        ("--steps 0", ["steps must be a whole number of at least 1, not 0"]),
        ("--checkpoint 9", ["runs/whole has no checkpoint 9; it has last, best and 0, 1, 2, 3, 4"]),
    ],
)
def test_evaluations_that_cannot_be(
    here: Path, arguments: str, named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.main(["runs", "evaluate", "whole", *arguments.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    for part in named:
        assert part in err


def test_no_checkpoint(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(here / "runs" / "whole" / "checkpoints")
    assert runs.main(["runs", "evaluate", "whole"]) == 2
    assert capsys.readouterr().err == "error: runs/whole has no checkpoint\n"


@pytest.mark.parametrize("kind", ["data", "meta", "digest"])
def test_a_checkpoint_that_is_damaged(here: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = here / "runs" / "whole" / "checkpoints" / "4"
    meta = folder / "meta" / "metadata"
    if kind == "data":
        for path in (folder / "agent").rglob("*"):
            if path.is_file() and path.parent.name == "d":
                path.write_bytes(path.read_bytes()[:50])
    elif kind == "meta":
        meta.write_text("{")
    else:
        said = json.loads(meta.read_text())
        said["agent_digests"][1] = said["agent_digests"][0]
        meta.write_text(json.dumps(said))
    assert runs.main(["runs", "evaluate", "whole", "--episodes", "1"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: checkpoint 4 of runs/whole ")
    assert err.count("\n") == 1


def test_an_agent_of_another_shape(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(here / "runs" / "whole", lambda record: record["config"].update(hidden_sizes=[8]))
    assert runs.main(["runs", "evaluate", "whole"]) == 2
    err = capsys.readouterr().err
    assert "checkpoint 4 of runs/whole has another agent than this version of the library makes" in err


def test_knobs_of_a_sweep_are_each_points_own() -> None:
    experiment = Experiment(
        a2c,
        a2c.Config(hidden_sizes=(4,)),
        "Catch",
        Settings(total_steps=40, num_envs=2, rollout_length=5, num_epochs=1),
        environment_options=("rows=4", "columns=3"),
        points=((("environment_options.noise", 0.0),), (("environment_options.noise", 1.0),)),
        num_seeds=1,
    )
    place = experiment.loop().environment
    agent = jax.jit(
        lambda key: a2c.init(key, experiment.config, place.observation_space, place.action_space)
    )(jax.random.key(0))
    agents = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), agent)  # the same at both points
    loaded = policies.Policies(experiment, 0, agents, {}, np.ones(2, bool))
    without, noisy = policies.evaluate(loaded, episodes=20).returns
    assert not np.array_equal(without, noisy), "the knob matters"
    given: Any = policies._environments(experiment, None, ("noise=0.5",))
    assert [place.environment.noise for place in given] == [0.5, 0.5]
    assert [place.observation_space.shape for place in given] == [(4, 3)] * 2
    other = policies._environments(experiment, "Catch", ("rows=5",))
    assert [place.observation_space.shape for place in other] == [(5, 5)] * 2, "its knobs are its own"


def test_which_spaces_fit() -> None:
    box = gymnasium.spaces.Box
    one = box(-1.0, 1.0, (2,), np.float32)
    assert policies.fits(one, box(-2.0, 2.0, (2,), np.float32), bounds=False)
    assert not policies.fits(one, box(-2.0, 2.0, (2,), np.float32), bounds=True)
    assert not policies.fits(one, box(-1.0, 1.0, (3,), np.float32), bounds=False)
    assert not policies.fits(one, box(0, 1, (2,), np.uint8), bounds=False)
    assert policies.fits(gymnasium.spaces.Discrete(2), gymnasium.spaces.Discrete(2), bounds=True)
    assert not policies.fits(gymnasium.spaces.Discrete(2), gymnasium.spaces.Discrete(3), bounds=True)


# Comparison.


def test_runs_are_compared(here: Path, tell: Any) -> None:
    table = tell("compare", "whole", "half")
    last = training.read_metrics(here / "runs" / "whole")["evaluation_return"][:, -1]
    row = row_of(table, "runs/whole")
    assert row[1:6] == ["8k", "2/2", number(last.mean()), "±", number(last.std())]
    assert row_of(table, "runs/half")[1:3] == ["4k", "2/2"]
    assert (here / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert table.endswith("picture: compare.png\n")


def test_points_of_a_sweep_are_compared(here: Path, tell: Any) -> None:
    as_sweep(here / "runs" / "whole")
    table = tell("compare", "whole", "half", "--output", "all.svg")
    assert "runs/whole: learning_rate=0.003 " in table
    assert "runs/whole: learning_rate=0.1 " in table
    assert "<svg" in (here / "all.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "name one run or more to compare"),
        ("whole --output there.pdf", "the picture there.pdf must end in .png or .svg"),
        ("whole --output no/where.png", "the picture no/where.png cannot be written: No such file"),
    ],
)
def test_comparisons_that_cannot_be(
    here: Path, arguments: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.main(["runs", "compare", *arguments.split()]) == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")


# Resumption.


def test_a_run_is_gone_on_with_from_its_record_alone(here: Path, tell: Any) -> None:
    told = tell("resume", "half")
    assert told.startswith("runs/half: done\n")
    half, whole = (read_run(here / "runs" / name) for name in ("half", "whole"))
    assert half.summary["digest"] == whole.summary["digest"]
    np.testing.assert_array_equal(half.returns, whole.returns)
    assert half.description["settings"] == whole.description["settings"]


def test_a_run_is_made_longer(here: Path, tell: Any) -> None:
    tell("resume", "half", "--num-epochs", "5")
    run = read_run(here / "runs" / "half")
    assert (run.state, run.epochs, run.steps[-1]) == ("done", 5, 10_000)
    assert row_of(tell(), "half")[4:6] == ["5/5", "10k"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--total-steps 9000", "must be a multiple of the run's epochs of 2000 steps; 9000 is not, 8000 is"),
        ("--total-steps 8000 --num-epochs 5", "total_steps"),
        ("--num-epochs 2", "has done 4 epochs already"),
        ("--keep 0", "keep must be a whole number of at least 1"),
    ],
)
def test_resumptions_that_cannot_be(
    here: Path, arguments: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (here / "runs" / "whole" / "experiment.json").read_bytes()
    assert runs.main(["runs", "resume", "whole", *arguments.split()]) == 2
    assert told in capsys.readouterr().err
    assert (here / "runs" / "whole" / "experiment.json").read_bytes() == before


def test_a_run_in_use_is_let_be(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = lock(here / "runs" / "whole")
    try:
        assert runs.main(["runs", "resume", "whole"]) == 2
    finally:
        held.close()
    assert "is in use: another process is running it" in capsys.readouterr().err


def test_the_length_of_a_run_with_a_warmup() -> None:
    experiment = Experiment(
        dqn,
        dqn.Config(warmup_steps=200),
        "CartPole-v1",
        Settings(total_steps=1000, num_envs=2, rollout_length=4, num_epochs=4),
    )
    assert runs.longer(experiment, None, None) == experiment.settings
    by_epochs, by_steps = runs.longer(experiment, None, 6), runs.longer(experiment, 1400, None)
    assert by_epochs == by_steps
    assert (by_epochs.total_steps, by_epochs.num_epochs) == (1400, 6)


# Experiments from their records.


MODULES = {agent: importlib.import_module(f"purejaxrl.agents.{agent}") for agent in presets.PRESETS}
ENVIRONMENTS = dict.fromkeys(MODULES, "CartPole-v1") | {"ddpg": "Pendulum-v1"}


def described(experiment: Experiment[Any]) -> dict[str, Any]:
    """What a record says of an experiment, through JSON and without a program."""
    programs: Any = SimpleNamespace(seeds="map", members=SimpleNamespace(key=jax.random.key(0)))
    return json.loads(json.dumps(describe(experiment, programs)))


@pytest.mark.parametrize(
    ("agent", "preset"), [(agent, name) for agent, named in presets.PRESETS.items() for name in named]
)
def test_an_experiment_is_made_again_from_its_record(agent: str, preset: str) -> None:
    environment = environments.make(ENVIRONMENTS[agent])
    chosen = presets.get(agent, preset, environment.observation_space)
    experiment = Experiment(
        MODULES[agent],
        chosen.config,
        ENVIRONMENTS[agent],
        chosen.settings,
        environment_options=("gravity=9.5",),
        points=(
            (("config.learning_rate", 1e-3), ("environment_options.gravity", 3.5)),
            (("config.learning_rate", 0.1), ("environment_options.gravity", 4)),
            (("config.hidden_sizes", (8, 8)), ("settings.evaluation_steps", None)),
        ),
        num_seeds=3,
        seed=7,
        seeds="map",
    )
    again = experiment_from(described(experiment))
    assert again == experiment
    assert described(again) == described(experiment)
    assert jax.tree.structure(again.config) == jax.tree.structure(experiment.config)


RECORD = described(Experiment(dqn, dqn.Config(), "CartPole-v1", Settings()))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"agent": "nowhere.to.be.found"}, "the agent nowhere.to.be.found cannot be imported"),
        ({"agent": "json"}, "json is no agent, it lacks Config"),
        ({"agent": 3}, "3 in place of the name of its agent"),
        ({"config": RECORD["config"] | {"alpha": 1}}, "config has no alpha in this version"),
        ({"config": RECORD["config"] | {"loss": "cubic"}}, "config.loss does not take 'cubic'"),
        ({"config": RECORD["config"] | {"batch_size": True}}, "config.batch_size does not take True"),
        ({"config": RECORD["config"] | {"tau": "much"}}, "config.tau is an object of the script's own"),
        ({"settings": {"num_envs": 1.5}}, "settings.num_envs does not take 1.5"),
        ({"points": None}, "the record of the experiment is damaged"),
    ],
)
def test_records_of_which_no_experiment_can_be_made(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(told)):
        experiment_from(RECORD | changes)


def test_a_record_that_lacks_something() -> None:
    with pytest.raises(InvalidInput, match="lacks 'settings'"):
        experiment_from({name: value for name, value in RECORD.items() if name != "settings"})


def test_a_network_of_the_scripts_own_is_in_no_record() -> None:
    experiment = Experiment(dqn, dqn.Config(network=nn.Dense(2)), "CartPole-v1", Settings())
    record = described(experiment)
    assert record["config"]["network"]["class"] == "flax.linen.linear.Dense"
    assert record["config"]["network"]["features"] == 2
    assert " at 0x" not in json.dumps(record), "it is the same in another process"
    with pytest.raises(
        InvalidInput, match=r"^config\.network is .* resume from the script that made the run$"
    ):
        experiment_from(record)


# Text.


def test_a_curve_of_letters() -> None:
    drawn = text_curve(np.array([0, 10, 20]), np.array([np.nan, 0.0, 1.0]), width=5, height=2)
    assert drawn.splitlines() == ["1.00 │    █", "0.00 │  ▁██", "     └─────", "      020 steps"]
    assert text_curve(np.arange(3.0), np.full(3, np.nan)) == ""
    assert text_curve(np.zeros(1), np.ones(1), width=4, height=1).splitlines()[0] == "1.00 │████"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0.00"),
        (-123.456, "-123.46"),
        (0.01234, "0.0123"),
        (1e-5, "1.00e-05"),
        (12345.6, "12346"),
        (np.nan, "–"),
    ],
)
def test_numbers_are_short(value: float, expected: str) -> None:
    assert number(value) == expected


def test_quantities_and_ranges() -> None:
    assert [quantity(value) for value in (0, 950, 40_000, 1_250_000)] == ["0", "950", "40k", "1.25M"]
    assert ranges([0, 1, 2, 5, 7, 8]) == "0–2, 5, 7–8"


def change(folder: Path, how: Any) -> None:
    """Changes the record of a run."""
    path = folder / "experiment.json"
    record = json.loads(path.read_text())
    how(record)
    path.write_text(json.dumps(record))


def as_sweep(folder: Path) -> None:
    """Makes two points of one seed of a run's two seeds."""
    points = [{"config.learning_rate": 0.003}, {"config.learning_rate": 0.1}]
    change(folder, lambda record: record.update(points=points, num_seeds=1))
    path = folder / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row | {"point": row["seed"], "seed": 0}) + "\n" for row in rows))
