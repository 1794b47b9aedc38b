"""Runs that are stopped and gone on with, in this process and in others, and what they are compared to.

As a script it goes on with runs in a new process: ``resume_cases.py COMPILED NAME FOLDER [NAME FOLDER …]``.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    import jax

    jax.config.update("jax_num_cpu_devices", 4)
    jax.config.update("jax_debug_key_reuse", True)
    if sys.argv[1] != "-":
        jax.config.update("jax_compilation_cache_dir", sys.argv[1])
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

from training_cases import A2C, Leaves, leaves, variant

from purejaxrl import training
from purejaxrl.training import Experiment, Keeping, Progress, Result

LEARNING_RATES = ((("config.learning_rate", 1e-3),), (("config.learning_rate", 1e-4),))
ACTOR_RATES = ((("config.actor_learning_rate", 1e-3),), (("config.actor_learning_rate", 1e-4),))


def quick(name: str, evaluation_episodes: int = 0, **changes: Any) -> Experiment[Any]:
    """An experiment of four epochs whose evaluations take no time, least of all to compile."""
    experiment = variant(name, **changes)
    settings = dataclasses.replace(
        experiment.settings, evaluation_episodes=evaluation_episodes, evaluation_steps=40
    )
    return dataclasses.replace(experiment, settings=settings)


TWO = {"num_seeds": 2, "devices": 1}
CARTPOLE = {"environment": "envpool:CartPole-v1", "environment_options": ("num_threads=1",), **TWO}
PONG = {**CARTPOLE, "environment": "envpool:Pong-v5"}
EXPERIMENTS: dict[str, Experiment[Any]] = {
    "dqn": quick("dqn", num_seeds=3, devices=2),  # a row of padding
    "rainbow": quick("rainbow", **TWO),
    "drqn": quick("drqn", **TWO),
    "a2c": quick("a2c", 1, num_seeds=3, devices=1),
    "ddpg": quick("ddpg", **TWO),
    "ddpg, vmap": quick("ddpg", seeds="vmap", **TWO),
    "dqn, sweep": quick("dqn", seeds="vmap", points=LEARNING_RATES, **TWO),
    "ddpg, sweep": quick("ddpg", seeds="vmap", points=ACTOR_RATES, **TWO),
    "EnvPool": quick("a2c", **CARTPOLE),
    "EnvPool, vmap": quick("a2c", 1, seeds="vmap", **CARTPOLE),
    "gymnasium": quick("a2c", environment="gymnasium:CartPole-v1", **TWO),
    "Pong": dataclasses.replace(
        quick("a2c", **PONG, config=dataclasses.replace(A2C.config, torso="mlp")),  # convolutions take long
        settings=training.Settings(
            total_steps=160, num_envs=2, rollout_length=5, num_epochs=4, evaluation_episodes=0
        ),
    ),
}
SIMULATED = ("EnvPool", "EnvPool, vmap", "gymnasium", "Pong")


def go(
    experiment: Experiment[Any] | str, folder: Path, until: int | None = None, **keeping: Any
) -> tuple[Result, list[Progress]]:
    """Begins a run or goes on with it, to its end or until Ctrl-C is pressed as an epoch is reported."""
    reports: list[Progress] = []

    def report(progress: Progress) -> None:
        reports.append(progress)
        if progress.metrics is not None and progress.epoch == until and progress.message is None:
            raise KeyboardInterrupt

    experiment = EXPERIMENTS[experiment] if isinstance(experiment, str) else experiment
    result = training.run(experiment, folder, report, keeping=Keeping(**keeping), resume=True)
    assert result.interrupted == (until is not None)
    return result, reports


def rows(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a run, strictly: every line is whole, and there is one for each member and epoch."""
    text = (folder / "metrics.jsonl").read_text()
    assert text.endswith("\n")
    lines = [json.loads(line) for line in text.splitlines()]
    members = [(line["point"], line["seed"]) for line in lines if line["epoch"] == 0]
    epochs = len(lines) // len(members)
    found = [(line["epoch"], line["point"], line["seed"]) for line in lines]
    assert found == [(epoch, *member) for epoch in range(epochs) for member in members]
    return lines


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def notes(folder: Path) -> list[str]:
    """What a run was said of in its log."""
    return [event["message"] for event in events(folder) if event["event"] == "note"]


def outcome(result: Result) -> Leaves:
    """Every leaf of every seed's state, and the last metrics, where this process worked out any."""
    if result.metrics is None:
        return {}
    return leaves(result.runners, result.metrics)


def write(outcome: Leaves, path: Path) -> None:
    with path.open("wb") as file:
        pickle.dump(outcome, file)


def read(path: Path) -> Leaves:
    with path.open("rb") as file:
        return pickle.load(file)


if __name__ == "__main__":
    for name, folder in zip(sys.argv[2::2], map(Path, sys.argv[3::2]), strict=True):
        result, reports = go(name, folder, exact_resume=name in SIMULATED)
        assert any(report.stage == "resume" for report in reports)
        write(outcome(result), folder / "outcome.pickle")
        print(name, result.digest)
