"""The command line: bad input is one line and exit code 2; scripts list every setting and leave a run."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest
import tyro
from jax.experimental.compilation_cache import compilation_cache

from purejaxrl import command_line, runs, training
from purejaxrl.agents import (
    a2c,
    a3c,
    cross_entropy,
    ddpg,
    dqn,
    drqn,
    evolution_strategies,
    finite_differences,
    gait_search,
    genetic,
    hill_climbing,
    ppo,
    pqn,
    q_learning,
    random_search,
    reinforce,
    trpo,
)
from purejaxrl.training import Settings
from purejaxrl.types import InvalidInput

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "experiments"
AGENT_OF = {
    "a2c_cartpole.py": a2c,
    "a2c_envpool_pong.py": a2c,
    "a3c_cartpole.py": a3c,
    "ddpg_envpool_halfcheetah.py": ddpg,
    "ddpg_pendulum.py": ddpg,
    "dqn_cartpole.py": dqn,
    "dqn_catch.py": dqn,
    "dqn_minatar.py": dqn,
    "drqn_cartpole.py": drqn,
    "ppo_cartpole.py": ppo,
    "pqn_cartpole.py": pqn,
    "q_learning_cliff.py": q_learning,
    "reinforce_cartpole.py": reinforce,
    "reinforce_catch.py": reinforce,
    "reinforce_envpool_pong.py": reinforce,
    "evolution_strategies_cartpole.py": evolution_strategies,
    "random_search_cartpole.py": random_search,
    "cross_entropy_cartpole.py": cross_entropy,
    "genetic_cartpole.py": genetic,
    "hill_climbing_cartpole.py": hill_climbing,
    "gait_search_cartpole.py": gait_search,
    "finite_differences_cartpole.py": finite_differences,
    "recurrent_ppo_cartpole.py": ppo,
    "trpo_cartpole.py": trpo,
}
DEFAULTS = {dqn: ("CartPole-v1", "cleanrl"), a2c: ("CartPole-v1", "zoo"), ddpg: ("Pendulum-v1", "zoo")}


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests that run the same program share what is compiled."""
    changes = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("programs")),
        "jax_persistent_cache_min_compile_time_secs": 0.2,
    }
    before = {name: jax.config.values[name] for name in changes}
    configure(changes)
    yield
    configure(before)


def configure(changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()  # else the folder that the first program was looked for in stays


def run_script(script: str, words: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What ``python experiments/SCRIPT WORDS`` exits with, in this process."""
    monkeypatch.setattr(sys, "argv", [f"experiments/{script}", *words.split()])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    return caught.value.code


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to run in; XLA's devices stay as they are, since JAX has started in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line, "use_devices", lambda devices, threads, num_members: None)
    monkeypatch.setattr(command_line, "use_cache", lambda folder: None)
    return tmp_path


def main(agent: ModuleType, *arguments: str) -> int:
    environment, preset = DEFAULTS[agent]
    return command_line.main(agent, environment, preset, arguments=arguments)


# What is given, and what the message must name: what it was and what would do.
BAD = [
    (dqn, "--environment CartPol-v1", ["unknown environment 'CartPol-v1'", "CartPole-v1"]),
    (dqn, "--environment envpool:CartPol-v1", ["'CartPol-v1'", "CartPole-v1"]),
    (dqn, "--environment gymnasium:CartPol-v1", ["'CartPol-v1'", "CartPole-v1"]),
    (dqn, "--environment zzzz", ["unknown environment 'zzzz'", "known:", "Catch"]),
    (dqn, "--environment Pendulum-v1", ["DQN needs a Discrete action space, not Box"]),
    (
        a2c,
        "--environment Pendulum-v1 --config.policy categorical",
        ["needs a Discrete action space, not Box"],
    ),
    (a2c, "--config.policy beta", ["A2C with policy='beta' needs a continuous (Box) action space"]),
    (ddpg, "--environment CartPole-v1", ["DDPG needs a continuous (Box) action space, not Discrete(2)"]),
    (
        dqn,
        "--num-envs 3 --rollout-length 1 --total-steps 10602 --num-epochs 2 --config.buffer-capacity 1000",
        ["buffer of 1000 transitions", "1 steps × 3 environments = 3", "such as 999"],
    ),
    (dqn, "--config.learning-rate nan", ["learning_rate must lie in [0, inf], not nan"]),
    (dqn, "--config.learning-rate -0.1", ["learning_rate must lie in [0, inf], not -0.1"]),
    (dqn, "--config.discount 1.5", ["discount must lie in [0, 1], not 1.5"]),
    (dqn, "--config.batch-size 0", ["batch_size must be a whole number of at least 1, not 0"]),
    (dqn, "--config.buffer-capacity -5", ["buffer_capacity must be a whole number of at least 1, not -5"]),
    (dqn, "--config.warmup-steps -1", ["warmup_steps must be a whole number of at least 0, not -1"]),
    (dqn, "--config.hidden-sizes 8 0", ["hidden_sizes must be a whole number of at least 1, not (8, 0)"]),
    (a2c, "--config.gae-lambda nan", ["gae_lambda must lie in [0, 1], not nan"]),
    (a2c, "--config.entropy-coefficient -1", ["entropy_coefficient must lie in [0, inf], not -1.0"]),
    (ddpg, "--config.tau 2", ["tau must lie in [0, 1], not 2.0"]),
    (ddpg, "--config.noise-start nan", ["noise_start must lie in [0, inf], not nan"]),
    (ddpg, "--config.critic-learning-rate -1", ["critic_learning_rate must lie in [0, inf], not -1.0"]),
    (dqn, "--num-seeds 0", ["num_seeds must be a whole number of at least 1, not 0"]),
    (dqn, "--num-seeds -3", ["num_seeds must be a whole number of at least 1, not -3"]),
    (dqn, "--seed -1", ["seed must be a whole number of at least 0, not -1"]),
    (dqn, "--num-envs 0", ["num_envs must be a whole number of at least 1, not 0"]),
    (dqn, "--num-epochs 0", ["num_epochs must be a whole number of at least 1, not 0"]),
    (dqn, "--total-steps 9000", ["total_steps must exceed the 10000 steps of warm-up, not be 9000"]),
    (dqn, "--total-steps 500001", ["500001 is not, 500000 is"]),
    (dqn, "--output file/run", ["output folder file/run cannot be written"]),
    (dqn, "--output existing", ["output folder existing exists already"]),
    (dqn, "--preset nonsense", ["unknown preset 'nonsense' for dqn", "cleanrl", "spell-chart"]),
    (dqn, "--environment Catch --environment-options size=3", ["Catch does not take", "size"]),
    (dqn, "--environment Catch --environment-options rows", ["written name=value, not 'rows'"]),
    (dqn, "--environment Catch --environment-options rows=-2", ["rows", "-2"]),
    (dqn, "--environment Catch --environment-options rows=many", ["rows", "many"]),
]


@pytest.mark.parametrize(("agent", "arguments", "named"), BAD, ids=[f"{each[1]}" for each in BAD])
def test_bad_input_is_one_clear_line(
    agent: ModuleType, arguments: str, named: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("in the way")
    (here / "existing").mkdir()
    assert main(agent, *arguments.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for part in named:
        assert part in err
    assert sorted(path.name for path in here.iterdir()) == ["existing", "file"], "nothing was made"


@pytest.mark.parametrize(
    "arguments", ["--num-seeds banana", "--no-such-thing 3", "--config.loss cubic", "--seeds pmap", "stray"]
)
def test_what_cannot_be_read_exits_with_2(
    arguments: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(dqn, *arguments.split())
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert arguments.split()[-1] in err or arguments.split()[0] in err
    assert not list(here.iterdir())


@pytest.mark.parametrize("arguments", ["--preset", "--environment"])
def test_an_option_without_its_value(arguments: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(dqn, arguments) == 2
    assert arguments in capsys.readouterr().err


@pytest.mark.parametrize("devices", [0, -1])
def test_devices_that_cannot_be(devices: int) -> None:
    message = rf"^devices must be a whole number of at least 1, or all, not {devices}$"
    with pytest.raises(InvalidInput, match=message):
        command_line.use_devices(devices, None, 16)


@pytest.mark.parametrize(
    ("devices", "threads", "members", "available", "expected", "pool"),
    [
        ("all", None, 16, 4, 4, "1"),  # every core has a device: none is left to hand operations to
        ("all", None, 3, 4, 3, None),
        (2, None, 16, 4, 2, None),
        (4, None, 1, 4, 4, "1"),
        (8, None, 16, 2, 8, "1"),
        ("all", None, 1, 4, 1, None),
        ("all", None, 1, 1, 1, None),
        ("all", 2, 16, 4, 4, "2"),
        ("all", 1, 1, 4, 1, "1"),
    ],
)
def test_as_many_devices_as_cores_that_have_a_seed(
    devices: Any,
    threads: int | None,
    members: int,
    available: int,
    expected: int,
    pool: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    updates = {}
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(available)), raising=False)
    monkeypatch.setattr(jax.config, "update", updates.__setitem__)
    monkeypatch.setattr(command_line.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("NPROC", "unset")
    monkeypatch.delenv("NPROC")
    command_line.use_devices(devices, threads, members)
    assert updates == {"jax_num_cpu_devices": expected}
    assert os.environ.get("NPROC") == pool


def test_no_threads() -> None:
    with pytest.raises(InvalidInput, match=r"^threads must be a whole number of at least 1, not 0$"):
        command_line.use_devices("all", 0, 1)


def parse(*arguments: str) -> command_line.Arguments:
    return command_line.parse(dqn, "CartPole-v1", "cleanrl", 4, {"total_steps": 110_000}, arguments)


def test_what_is_given_replaces_the_preset() -> None:
    given = parse("--config.learning-rate", "0.5", "--num-epochs", "5", "--config.hidden-sizes", "7", "9")
    assert given.config == dqn.Config(learning_rate=0.5, hidden_sizes=(7, 9))
    assert given.settings == Settings(total_steps=110_000, rollout_length=10, num_epochs=5)
    assert (given.num_seeds, given.preset, given.environment) == (4, "cleanrl", "CartPole-v1")


def test_another_preset_brings_its_own_settings() -> None:
    given = parse("--preset", "spell-chart")
    assert given.settings.total_steps == 10_010_000  # not the script's, which are for its own preset
    assert given.config.tau == 0.001
    assert given.config.torso == "auto"
    assert parse("--preset", "spell-chart", "--environment", "Catch").config.torso == "pooling_cnn"


def test_an_equals_sign_will_do() -> None:
    given = parse("--preset=parallel", "--environment=Catch", "--environment-options", "rows=6", "noise=0.5")
    assert given.settings.num_envs == 10
    assert given.environment == "Catch"
    assert given.environment_options == ("rows=6", "noise=0.5")


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("", ("rows=6",)),
        ("--environment-options columns=7", ("columns=7",)),
        ("--environment CartPole-v1", ()),  # they are of the script's own environment
        ("--environment CartPole-v1 --environment-options flicker=0.1", ("flicker=0.1",)),
    ],
)
def test_a_script_has_options_for_its_environment(words: str, options: tuple[str, ...]) -> None:
    given = command_line.parse(dqn, "Catch", "parallel", 4, {}, words.split(), ("rows=6",))
    assert given.environment_options == options


TINY = (
    "--num-seeds 2 --total-steps 100 --num-epochs 4 --num-envs 5 --rollout-length 2 --evaluation-episodes 1"
    " --evaluation-steps 20 --config.hidden-sizes 8"
)


def test_a_run_tells_its_results(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # 100 steps are 10 iterations of 10 steps, which 4 epochs do not divide: 120 are.
    assert main(a2c, *TINY.split()) == 2
    assert "100 is not, 80 is" in capsys.readouterr().err
    assert main(a2c, *TINY.replace("100", "120").split()) == 0
    out, _ = capsys.readouterr()
    folder = here / "runs" / "a2c-cartpole-v1-001"
    assert out.startswith("runs/a2c-cartpole-v1-001: done\n")
    assert "over 2 seeds, 95 % interval of the mean [" in out
    for line in ("compile", "run", "speed"):
        assert f"\n  {line} " in out
    assert training.read_metrics(folder)["environment_steps"].max() == 120
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_an_interrupted_run_tells_what_it_has(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = training.run

    def interrupted(*arguments: Any, **keywords: Any) -> training.Result:
        experiment, output, report = arguments

        def and_stop(progress: training.Progress) -> None:
            report(progress)
            if progress.epoch == 2:
                raise KeyboardInterrupt

        return run(experiment, output, and_stop, **keywords)

    monkeypatch.setattr(training, "run", interrupted)
    assert main(a2c, *TINY.replace("100", "120").split(), "--output", "run") == 130
    out, err = capsys.readouterr()
    assert out.startswith("run: interrupted\n")
    assert "Traceback" not in err
    np.testing.assert_array_equal(training.read_metrics(Path("run"))["epoch"], [[0, 1, 2]] * 2)
    assert (here / "run" / "curve.png").exists()


@pytest.mark.parametrize("script", {agent: script for script, agent in AGENT_OF.items()}.values())
def test_help_lists_every_setting(
    script: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code = run_script(script, "--help", monkeypatch)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    for owner, prefix in ((AGENT_OF[script].Config, "--config."), (Settings, "--")):
        for field in dataclasses.fields(owner):
            assert prefix + field.name.replace("_", "-") in out
    assert not re.search(r":\w+:`", out), "a role of the documentation's markup"
    assert "`" not in out.partition("Preset")[0]
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("docstring", "shown"),
    [
        ("Choices in :class:`Config`.", "Choices in Config."),
        (":func:`~.seeds.first`, :py:data:`.OPTIONS`", "seeds.first, OPTIONS"),
        ("``[A]`` or ``[A, atoms]``: `x`", "[A] or [A, atoms]: x"),
        ("envpool:ID, 16:9, a `", "envpool:ID, 16:9, a `"),
    ],
)
def test_help_has_no_markup(docstring: str, shown: str) -> None:
    assert command_line.plain(docstring) == shown


def test_every_script_has_its_test() -> None:
    scripts = {path.name for path in SCRIPTS.glob("*.py") if "command_line.main(" in path.read_text()}
    assert scripts == set(AGENT_OF)


def documented() -> list[str]:
    """Every command in the README and in the scripts' docstrings, without ``python``."""
    prose = (ROOT / "README.md").read_text().split("```")
    prose[::2] = [part.replace("\n", " ") for part in prose[::2]]  # in a sentence lines may break anywhere
    texts = prose + [path.read_text() for path in sorted(SCRIPTS.glob("*.py"))]
    pattern = r"\bpython ((?:experiments/\w+\.py|-m purejaxrl)[^\n`#|]*)"
    return sorted({" ".join(found.split()) for text in texts for found in re.findall(pattern, text)})


COMMANDS = documented()


def test_commands_are_found() -> None:
    """In the docstring of every script, and in the README, which has those on runs."""
    assert {command.split()[0] for command in COMMANDS} >= {f"experiments/{name}" for name in AGENT_OF}
    assert "-m purejaxrl runs" in COMMANDS


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.split()[0].partition("/")[2] in AGENT_OF])
def test_documented_commands_can_run(
    command: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that comes before the first program is compiled goes well; of a sweep, at every point."""
    traced = []

    def check(experiments: list[training.Experiment[Any]], name: str, given: Any) -> str:
        for experiment in experiments:
            for point in experiment.points:
                experiment.loop(point).check_agent()
        experiments[0].loop().check()
        traced.append(len(experiments))
        return "done"

    monkeypatch.setattr(command_line, "run_groups", check)
    monkeypatch.setattr(jax.distributed, "initialize", lambda **told: None)
    script, _, words = command.removeprefix("experiments/").partition(" ")
    words = words.replace("--num-processes N --process-id i", "--num-processes 2 --process-id 0")
    assert run_script(script, words, monkeypatch) == 0, capsys.readouterr().err
    assert traced


OTHERS = [
    c for c in COMMANDS if c.startswith("experiments/") and c.split()[0].partition("/")[2] not in AGENT_OF
]


@pytest.mark.parametrize("command", OTHERS)
def test_documented_commands_of_other_scripts_can_be_read(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, *words = command.split()
    monkeypatch.syspath_prepend(str(SCRIPTS))
    module = importlib.import_module(Path(script).stem)
    given = tyro.cli(module.Arguments, args=words)
    if script.endswith("reproduce.py"):
        from studies import all_studies

        assert set(given.names) - {"NAME"} <= set(all_studies())


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("-m purejaxrl")])
def test_documented_commands_on_runs_can_be_read(
    command: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no such run here, and one line says so: nothing else is amiss."""
    assert runs.main(command.split()[2:]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "runs" in err if command.endswith("runs") else command.split()[4] in err


@pytest.mark.slow
def test_a_script_runs_on_as_many_devices_as_asked(tmp_path: Path) -> None:
    arguments = (
        "--num-seeds 3 --total-steps 120 --num-epochs 2 --num-envs 2 --config.warmup-steps 40 --devices 1"
        " --config.hidden-sizes 8 --config.batch-size 4 --config.buffer-capacity 60 --evaluation-episodes 2"
        " --environment-options rows=5 columns=4 --seed 9 --output here"
    )
    command = [sys.executable, SCRIPTS / "dqn_catch.py", *arguments.split()]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("here: done\n")
    written = json.loads((tmp_path / "here" / "experiment.json").read_text())
    assert written["environment_options"] == ["rows=5", "columns=4"]
    assert len(written["devices"]) == 1
    assert written["seed"] == 9
    assert training.read_metrics(tmp_path / "here")["seed"].shape == (3, 3)


SMALL = (
    "--num-seeds 2 --total-steps 80 --num-epochs 2 --num-envs 4 --rollout-length 5 --evaluation-episodes 2"
    " --evaluation-steps 20 --config.hidden-sizes 8"
)


def test_a_sweep_over_shapes_and_numbers_ends_in_a_table_and_pictures(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = "--sweep config.learning-rate 1e-3 1e-2 --sweep config.hidden-sizes 8 4,4 --output sweep"
    assert main(a2c, *SMALL.split(), *sweep.split()) == 0
    out = capsys.readouterr().out
    assert "sweep/group-1: done" in out
    assert "sweep/group-2: done" in out
    table = (here / "sweep" / "table.txt").read_text()
    assert table in out
    lines = table.splitlines()
    assert lines[0].split()[:2] == ["learning_rate", "hidden_sizes"]
    assert {tuple(line.split()[:2]) for line in lines[1:]} == {
        (rate, sizes) for rate in ("0.001", "0.01") for sizes in ("8", "4,4")
    }
    for picture in ("sweep/sweep.png", "sweep/group-1/sweep.png"):
        assert (here / picture).read_bytes().startswith(b"\x89PNG")
    returns = json.loads((here / "sweep" / "table.json").read_text())
    assert [len(row["returns"]) for row in returns] == [2, 2, 2, 2]

    # Each group's runs are what they are alone.
    alone = "--config.learning-rate 1e-2 --config.hidden-sizes 4 4 --output alone"
    assert main(a2c, *SMALL.split(), *alone.split()) == 0
    among, own = (training.read_metrics(here / name) for name in ("sweep/group-2", "alone"))
    np.testing.assert_array_equal(among["episode_return"][2:], own["episode_return"])

    # Gone on with, it has nothing left to do and says the same.
    assert main(a2c, *SMALL.split(), *sweep.split(), "--resume") == 0
    again = capsys.readouterr().out
    assert table in again


def test_a_random_sweep_draws_as_often_as_asked(here: Path) -> None:
    sweep = "--sweep config.learning-rate log-uniform 1e-5 1e-2 --samples 2 --output sweep"
    assert main(a2c, *SMALL.split(), *sweep.split()) == 0
    points = json.loads((here / "sweep" / "experiment.json").read_text())["points"]
    rates = [point["config.learning_rate"] for point in points]
    assert len(set(rates)) == 2
    assert all(1e-5 <= rate <= 1e-2 for rate in rates)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--sweep config.learning-rat 1 2", ["config.learning_rat", "learning_rate"]),
        ("--sweep config.discount 0.5 2", ["discount must lie in [0, 1], not 2"]),
        ("--resume", ["to resume takes the folder of the run"]),
        ("--on-nan perhaps", []),
        ("--keep 0", ["keep must be a whole number of at least 1, not 0"]),
        ("--checkpoint-every -1", ["checkpoint_every must be a whole number of at least 0, not -1"]),
        ("--num-processes 2", ["coordinator, num_processes and process_id go with --distributed"]),
        ("--shard environments --num-envs 4", ["num_envs must be a multiple of the 8 devices", "not 4"]),
    ],
)
def test_what_is_asked_for_in_vain(
    arguments: str, words: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(a2c, *SMALL.split(), *arguments.split())
    except SystemExit as exit:  # tyro's own
        code = exit.code
    assert code == 2
    err = capsys.readouterr().err
    assert all(word in err for word in words), err
    assert not list(here.iterdir())


def test_compiled_programs_are_kept_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updates: dict[str, Any] = {}
    monkeypatch.setattr(jax.config, "update", updates.__setitem__)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command_line.use_cache(None)
    assert updates.pop("jax_compilation_cache_dir") == str(tmp_path / "purejaxrl" / "xla")
    command_line.use_cache(tmp_path / "mine")
    assert updates.pop("jax_compilation_cache_dir") == str(tmp_path / "mine")
    command_line.use_cache(Path("none"))
    assert not updates


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX has them")
def test_a_script_that_a_cluster_ends_goes_on_by_the_same_command(tmp_path: Path) -> None:
    arguments = (
        "--num-seeds 2 --total-steps 1600 --num-epochs 80 --num-envs 4 --rollout-length 5 --output run"
        " --resume --config.hidden-sizes 8 --evaluation-episodes 0"
    )
    command = [sys.executable, SCRIPTS / "a2c_cartpole.py", *arguments.split()]
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    try:
        while not metrics.exists() or metrics.read_text().count("\n") < 2 * 4:
            assert first.poll() is None, first.communicate()
            time.sleep(0.02)
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 130
    before = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert before["ended"] == "interrupted"
    assert before["epochs"] < 80
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert f"resumed after epoch {before['epochs']}" in second.stderr
    assert training.read_metrics(tmp_path / "run")["epoch"].shape == (2, 81)
