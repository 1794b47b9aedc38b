"""What workers, steps, staleness and memory are worth to actor-critics: the second deck's figures.

python experiments/asynchrony.py
python experiments/asynchrony.py --publish --table

A3C with 1 to 16 workers of an environment each, against environment steps and against the time that they
take on this machine; returns over five and twenty steps beside the one-step TD error, of eight workers; and
eight whose copies are more and more stale, on CartPole-v1 and on Catch. A2C without memory, with an LSTM and
with a GRU where one observation does not show what matters: a cue that has to be kept, and CartPole without
velocities.

Scores are returns of training episodes, brought to a scale from random play (0) to the best that is known to
be possible (1). Leaves asynchrony.json, asynchrony.png and memory.png beside the runs' own folders, and goes
on where it was interrupted. With --publish they go to experiments/results/figures/, from which --table writes
the README's table; --table alone runs nothing.

Source: Mnih et al. (2016), "Asynchronous methods for deep reinforcement learning", figures 3 and 4, table 2.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from studies import comparison, results, running

from purejaxrl import analysis, checks
from purejaxrl.agents import a2c, a3c
from purejaxrl.analysis.figures import blank_figure
from purejaxrl.command_line import exit_code, use_cache, use_devices
from purejaxrl.training import Experiment, Keeping, Settings, read_metrics
from purejaxrl.training.record import read_json
from purejaxrl.types import InvalidInput

NAME, MEMORY = "asynchrony", "memory"
MARK = "results of asynchrony"
"""Of the comments between which the README's table is."""
NUM_EPOCHS = 16


@dataclasses.dataclass(frozen=True)
class Task:
    """Where variants are compared."""

    title: str
    environment: str
    options: tuple[str, ...]
    random: float
    """The return of random play."""
    best: float
    """The best that is possible."""


TASKS = {
    "cartpole": Task("CartPole-v1", "CartPole-v1", (), 22.0, 500.0),
    "catch": Task("Catch", "Catch", (), -0.6, 1.0),
    "cue": Task("a cue kept for 6 steps", "MemoryLength", ("memory_length=6",), 0.0, 1.0),
    "blind": Task("CartPole without velocities", "CartPoleNoVel-v1", (), 22.0, 500.0),
}
ASYNCHRONOUS, REMEMBERED = ("cartpole", "catch"), ("cue", "blind")
REACHED = 0.5
"""The score to which frames and seconds are counted."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to learn."""

    family: str
    """What is varied: workers, steps, staleness or memory."""
    label: str
    changes: Mapping[str, Any]
    """Of the Config."""
    num_envs: int = 8
    rollout_length: int = 20


VARIANTS = (
    *(Variant("workers", f"{n} worker{'s' * (n > 1)}", {"workers": n}, n) for n in (1, 2, 4, 8, 16)),
    Variant("steps", "one step", {"workers": 8, "gae_lambda": 0.0}),
    Variant("steps", "5 steps", {"workers": 8}, rollout_length=5),
    Variant("steps", "20 steps", {"workers": 8}),
    *(
        Variant("staleness", f"copies {n} round{'s' * (n > 1)} apart", {"workers": 8, "synchronise_every": n})
        for n in (1, 4, 16, 64)
    ),
    Variant("memory", "no memory", {}, 16),
    Variant("memory", "LSTM", {"cell": "lstm"}, 16),
    Variant("memory", "GRU", {"cell": "gru"}, 16),
)


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What to run, and for how long."""

    num_seeds: int = 5
    """Independent runs of each variant in each task."""
    total_steps: int = 245_760
    """Environment steps of each run, all workers together; a multiple of 5120."""
    seed: int = 0
    """Root of every random number."""
    output: Path = Path("runs/asynchrony")
    """The folder of all runs."""
    publish: bool = False
    """Write record and figures to experiments/results/figures/."""
    table: bool = False
    """Write the README's table from what is published; alone, it runs nothing."""


def experiment_of(task: Task, variant: Variant, given: Arguments) -> Experiment[Any]:
    """One variant in one task: of A3C, or of A2C where memory is what is varied; both with Adam.

    Rollouts are of 20 steps: with 5 and one environment a worker does not learn CartPole at any step size
    tried (1e-4 to 1e-3, Adam and RMSProp). One device, one seed after another, no evaluation: the seconds
    are those of learning.
    """
    changes = dict(variant.changes) | {
        "optimiser": "adam",
        "learning_rate": 1e-3,
        "entropy_coefficient": 0.01,
    }
    agent, config = (
        (a2c, a2c.Config(**changes)) if variant.family == "memory" else (a3c, a3c.Config(**changes))
    )
    settings = Settings(
        total_steps=given.total_steps,
        num_envs=variant.num_envs,
        rollout_length=variant.rollout_length,
        num_epochs=NUM_EPOCHS,
        evaluation_episodes=0,
    )
    return Experiment(
        agent,  # type: ignore[arg-type]
        config,
        task.environment,
        settings,
        task.options,
        num_seeds=given.num_seeds,
        seed=given.seed,
        seeds="map",
        devices=1,
    )


def tasks_of(variant: Variant) -> tuple[str, ...]:
    """Where a variant is tried."""
    return REMEMBERED if variant.family == "memory" else ASYNCHRONOUS


def scores_of(metrics: Mapping[str, np.ndarray], task: Task) -> np.ndarray:
    """Training returns ``[num_seeds, num_epochs]`` from random (0) to best (1); of a seed that died, 0."""
    returns = np.where(metrics["alive"] == 1, metrics["episode_return"], task.random)[:, 1:]
    return np.nan_to_num((returns - task.random) / (task.best - task.random), nan=0.0)


def epochs_to(score: float, scores: np.ndarray) -> float:
    """Epochs until the mean of seeds ``[num_seeds, num_epochs]`` has a score, on lines between; or inf."""
    means = np.concatenate([[0.0], scores.mean(axis=0)])
    above = np.flatnonzero(means >= score)
    if len(above) == 0:
        return float("inf")
    if above[0] == 0:
        return 0.0
    before, after = means[above[0] - 1], means[above[0]]
    return float(above[0] - 1 + (score - before) / (after - before))


def table(record: Mapping[str, Any]) -> str:
    """The README's tables of a record: scores, and what it took each variant to have half of the best."""
    lines: list[str] = []
    for first, second in (ASYNCHRONOUS, REMEMBERED):
        columns = [f"{TASKS[task].title}: {what}" for task in (first, second) for what in ("score", "to ½")]
        lines += ["", *results.head(("", *columns))]
        chosen = [row for row in record["rows"] if row["task"] in (first, second)]
        for label in dict.fromkeys((row["family"], row["label"]) for row in chosen):
            rows = {row["task"]: row for row in chosen if (row["family"], row["label"]) == label}
            cells = [label[1]]
            for task in (first, second):
                row = rows.get(task)
                cells += ["–", "–"] if row is None else [score(row), reached(row, record["total_steps"])]
            lines.append(results.line_of(cells))
    steps = results.spaced(record["total_steps"])
    note = f"{steps} steps, {record['num_seeds']} seeds each; seconds are of one seed on one core."
    return "\n".join([*lines[1:], "", note])


def score(row: Mapping[str, Any]) -> str:
    """The mean over seeds and epochs."""
    return f"{round(np.asarray(row['scores']).mean(), 2) + 0.0:.2f}"  # 0.0 makes 0 of -0


def reached(row: Mapping[str, Any], total_steps: int) -> str:
    """Steps and seconds to half of what is possible."""
    share = epochs_to(REACHED, np.asarray(row["scores"])) / NUM_EPOCHS
    if not np.isfinite(share):
        return "–"
    return f"{results.spaced(share * total_steps)} steps, {share * row['seconds']:.2f} s"


def draw(record: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draws both figures of a record. Returns where they are."""
    steps = np.arange(1, NUM_EPOCHS + 1) * record["total_steps"] / NUM_EPOCHS / 1000
    figure = blank_figure(14, 6.4)
    panels = figure.subplots(len(ASYNCHRONOUS), 4, sharey=True)
    for row, task in zip(panels, ASYNCHRONOUS, strict=True):
        kinds = (("workers", False), ("workers", True), ("steps", False), ("staleness", False))
        for axes, (family, by_time) in zip(row, kinds, strict=True):
            panel(axes, record, family, task, steps, by_time)
        row[0].set_ylabel(f"{TASKS[task].title}: score")
    figure.savefig(folder / f"{NAME}.png", dpi=130)
    figure = blank_figure(8, 3.4)
    for axes, task in zip(figure.subplots(1, len(REMEMBERED), sharey=True), REMEMBERED, strict=True):
        panel(axes, record, "memory", task, steps, False)
        axes.set_title(TASKS[task].title, fontsize=9)
    figure.savefig(folder / f"{MEMORY}.png", dpi=130)
    return [folder / f"{name}.png" for name in (NAME, MEMORY)]


def panel(
    axes: Any, record: Mapping[str, Any], family: str, task: str, steps: np.ndarray, by_time: bool
) -> None:
    """Mean scores of a family's variants in a task, with their intervals."""
    rows = [row for row in record["rows"] if (row["family"], row["task"]) == (family, task)]
    for number, row in enumerate(rows):
        scores = np.asarray(row["scores"])
        x = row["seconds"] * np.arange(1, NUM_EPOCHS + 1) / NUM_EPOCHS if by_time else steps
        colour = f"C{number}"
        low, high = np.transpose([analysis.bootstrap_interval(scores[:, i]) for i in range(NUM_EPOCHS)])
        axes.plot(x, scores.mean(axis=0), color=colour, label=row["label"])
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xlabel("seconds, on one core" if by_time else "thousands of environment steps")
    axes.set_ylim(-0.05, 1.05)
    axes.grid(alpha=0.3)
    if rows:
        axes.legend(fontsize=7)


def main(words: Sequence[str]) -> int:
    """Runs every variant in its tasks and draws what came of them; or writes the README's table."""
    given = tyro.cli(Arguments, args=words, description=__doc__)
    checks.whole(given, 1, "num_seeds", "total_steps")
    if given.total_steps % (16 * 20 * NUM_EPOCHS):
        raise InvalidInput(
            f"total_steps must be a multiple of {16 * 20 * NUM_EPOCHS}, not {given.total_steps}"
        )
    if given.publish or not given.table:
        run(given)
    if given.table:
        record = comparison.read(NAME)
        comparison.write_table(MARK, table(record), f"{len(record['rows'])} runs")
    return 0


def run(given: Arguments) -> None:
    """Runs every variant, prints what came of them and writes record and figures."""
    use_devices(1, None, given.num_seeds)
    use_cache(None)
    console = comparison.make_console()
    experiments = {
        (variant.family, variant.label, task): (
            f"{task}/{variant.family}-{variant.label.replace(' ', '-')}",
            experiment_of(TASKS[task], variant, given),
        )
        for variant in VARIANTS
        for task in tasks_of(variant)
    }
    rows: list[dict[str, Any]] = []
    keeping = Keeping(checkpoint_every=NUM_EPOCHS, keep=1)
    for key, experiment, folder, result in comparison.outcomes(experiments, given.output, console, keeping):
        family, label, task = key
        summary: Any = read_json(folder / "summary.json")
        rows.append(
            {
                "family": family,
                "label": label,
                "task": task,
                "scores": scores_of(read_metrics(folder), TASKS[task]).tolist(),
                "seconds": summary["run_seconds"] / given.num_seeds,
                "config": checks.numbers(experiment.config),
                "settings": checks.numbers(experiment.settings),
                "digest": running.digest(result.runners.agent.params),
            }
        )
    tasks = {name: checks.numbers(task) for name, task in TASKS.items()}
    record = comparison.provenance(given, "map") | {"tasks": tasks, "rows": rows}
    print(table(record))
    comparison.leave(record, NAME, lambda folder: draw(record, folder), given, console)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
