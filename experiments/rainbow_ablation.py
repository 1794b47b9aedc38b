"""Rainbow without each of its parts, and DQN without any: what each is worth, with intervals.

python experiments/rainbow_ablation.py --num-seeds 10 --tasks acrobot
python experiments/rainbow_ablation.py --publish --table

Every part is a switch of one Config (``purejaxrl/agents/dqn.py``), so that nothing else differs; only
exploration has to: without noisy layers it is ε-greedy. Each run's return is brought to a scale from
random play (0) to what is known to be possible (1), and averaged over the epochs of the run, so that
learning sooner counts. Over tasks and seeds these are aggregated by the interquartile mean, with
stratified bootstrap intervals; how likely Rainbow is to beat a variant has one, too.

Leaves rainbow-ablation.json and rainbow-ablation.png beside the runs' own folders, and goes on where it was
interrupted. With --publish they go to experiments/results/figures/, from which --table writes the README's
table; --table alone runs nothing.

Source: Hessel et al. (2018), "Rainbow: combining improvements in deep reinforcement learning", figure 3;
Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice".
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
from purejaxrl.agents import dqn
from purejaxrl.analysis.figures import blank_figure
from purejaxrl.command_line import exit_code, use_cache, use_devices
from purejaxrl.training import Experiment, Keeping, Settings, read_metrics
from purejaxrl.types import InvalidInput

RAINBOW = dqn.Config(
    learning_rate=1e-3,
    target_period=100,
    loss="huber",
    optimiser_epsilon=1.5e-4,
    max_gradient_norm=10.0,
    priority_exponent=0.5,
    hidden_sizes=(64, 64),
    stream_sizes=(64,),
    batch_size=64,
    buffer_capacity=20_000,
    warmup_steps=1_000,
    double=True,
    dueling=True,
    prioritised=True,
    n_step=3,
    noisy=True,
    distribution="categorical",
)
"""With a hidden layer in each stream, which every variant keeps: linear streams would make of dueling
another way to write the same function."""
WITHOUT: Mapping[str, dict[str, Any]] = {
    "double": {"double": False},
    "dueling": {"dueling": False},
    "priorities": {"prioritised": False},
    "n-step": {"n_step": 1},
    "noise": {"noisy": False},
    "distribution": {"distribution": "none"},
}
"""What turns each part off."""


NAME = "rainbow-ablation"
MARK = "results of the ablation"
"""Of the comments between which the README's table is."""
BASELINES = ("Rainbow", "DQN")
"""Which every variant is compared with."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Where the variants are compared."""

    environment: str
    options: tuple[str, ...]
    random: float
    """The return of random play."""
    best: float
    """The best that is known to be possible."""
    low: float
    """The lowest discounted return, for the categorical distribution."""
    high: float
    """The highest."""


TASKS = {
    "cartpole": Task("CartPole-v1", (), 22.0, 500.0, 0.0, 100.0),
    "acrobot": Task("Acrobot-v1", (), -499.0, -80.0, -100.0, 0.0),
    "catch": Task("Catch", ("noise=0.02",), -0.6, 1.0, -1.0, 1.0),
    "deepsea": Task("DeepSea", ("size=8",), 0.0, 0.99, -0.1, 1.0),
}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What to run, and for how long."""

    tasks: tuple[str, ...] = ("catch", "cartpole", "deepsea")
    """Of cartpole, acrobot, catch and deepsea."""
    num_seeds: int = 8
    """Independent runs of each variant in each task."""
    total_steps: int = 49_000
    """Environment steps of each run; 1 000 of them are the warm-up, the rest 12 epochs of 4 environments."""
    seed: int = 0
    """Root of every random number."""
    output: Path = Path("runs/rainbow-ablation")
    """The folder of all runs."""
    publish: bool = False
    """Write table and figure to experiments/results/figures/."""
    table: bool = False
    """Write the README's table from what is published; alone, it runs nothing."""


def variants() -> dict[str, dict[str, Any]]:
    """What is changed of Rainbow, by the name of what comes out."""
    none: dict[str, Any] = {}
    for changes in WITHOUT.values():
        none |= changes
    return {"Rainbow": {}, **{f"no {part}": changes for part, changes in WITHOUT.items()}, "DQN": none}


def experiment_of(task: Task, changes: Mapping[str, Any], given: Arguments) -> Experiment[dqn.Config]:
    """One variant in one task."""
    config = dataclasses.replace(RAINBOW, value_low=task.low, value_high=task.high, **changes)
    steps = given.total_steps
    if config.noisy:
        config = dataclasses.replace(config, epsilon_start=0.0, epsilon_end=0.0)
    else:
        config = dataclasses.replace(config, epsilon_end=0.02, epsilon_steps=steps / 5)
    settings = Settings(total_steps=steps, num_envs=4, num_epochs=12, evaluation_episodes=10)
    config = dataclasses.replace(config, importance_steps=steps / settings.num_envs)
    return Experiment(
        dqn, config, task.environment, settings, task.options, num_seeds=given.num_seeds, seed=given.seed
    )


def scores_of(curves: Mapping[str, np.ndarray], task: Task) -> np.ndarray:
    """Returns ``[num_seeds, num_epochs]`` from random (0) to best (1); of a seed that died, 0."""
    returns = np.where(curves["alive"] == 1, curves["evaluation_return"], task.random)
    # An evaluation in which no episode ended in time is as bad as can be.
    return np.nan_to_num((returns[:, 1:] - task.random) / (task.best - task.random), nan=0.0)


def summary(scores: Mapping[str, np.ndarray], tasks: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What runs' scores ``[num_seeds, num_tasks]`` come to, for each variant."""
    found = {}
    for name, values in scores.items():
        found[name] = {
            "score": float(analysis.interquartile_mean(values)),
            "interval": [*analysis.stratified_interval(values, analysis.interquartile_mean)],
            "by_task": dict(zip(tasks, values.mean(axis=0).tolist(), strict=True)),
        }
        for other in BASELINES:
            found[name][f"{other.lower()}_better"] = analysis.probability_of_improvement(
                scores[other], values
            )
            found[name][f"{other.lower()}_better_interval"] = [
                *analysis.improvement_interval(scores[other], values)
            ]
    return found


def scores_in(record: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Each variant's scores ``[num_seeds, num_tasks]``, averaged over the run, out of a record."""
    return {
        name: np.stack([*variant["scores"].values()], axis=1) for name, variant in record["variants"].items()
    }


def judged(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its statistics worked out again from its scores."""
    tasks = [*record["variants"]["Rainbow"]["scores"]]
    found = summary(scores_in(record), tasks)
    variants = {name: {**variant, **found[name]} for name, variant in record["variants"].items()}
    return {**record, "variants": variants}


def table(record: Mapping[str, Any]) -> str:
    """The README's table of a record, and what its intervals tell apart."""
    variants = record["variants"]
    tasks = [*variants["Rainbow"]["by_task"]]
    lines = results.head(("variant", "score", *tasks, "P(Rainbow better)", "P(DQN better)"))
    for name, row in variants.items():
        better = [
            f"{row[f'{other}_better']:.2f} {in_brackets(row[f'{other}_better_interval'])}"
            if name.lower() != other
            else "–"
            for other in ("rainbow", "dqn")
        ]
        means = [f"{value:z.2f}" for value in row["by_task"].values()]
        lines.append(
            results.line_of([name, f"{row['score']:.3f} {in_brackets(row['interval'], 3)}", *means, *better])
        )
    steps, seeds = results.spaced(record["total_steps"]), record["num_seeds"]
    lines += ["", f"{steps} steps, {seeds} seeds of each variant in each task."]
    return "\n".join([*lines, *(finding(variants, other) for other in BASELINES), by_score(variants)])


def in_brackets(interval: Sequence[float], digits: int = 2) -> str:
    """An interval as the table has it."""
    return f"[{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def finding(variants: Mapping[str, Mapping[str, Any]], baseline: str) -> str:
    """Which variants the intervals tell apart from a baseline: those that do not hold one half."""
    above, below, neither = [], [], []
    for name, row in variants.items():
        low, high = row[f"{baseline.lower()}_better_interval"]
        if name != baseline:
            (above if low > 0.5 else below if high < 0.5 else neither).append(name)
    said = [
        f"{words} for {', '.join(names)}"
        for words, names in (("lies above ½", above), ("lies below ½", below), ("holds ½", neither))
        if names
    ]
    return f"The interval of P({baseline} better) {'; it '.join(said)}."


def by_score(variants: Mapping[str, Mapping[str, Any]]) -> str:
    """Which variants' scores are above and below plain DQN's, whatever their intervals."""
    plain = variants["DQN"]["score"]
    sides = (
        ("above DQN", [name for name, row in variants.items() if row["score"] > plain]),
        ("below it", [name for name, row in variants.items() if row["score"] < plain]),
    )
    said = [
        f"{words} {'is' if len(names) == 1 else 'are'} {', '.join(names)}" for words, names in sides if names
    ]
    return f"By score: {'; '.join(said) or 'all are alike'}."


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour of its own for each variant."""
    others = iter(("tab:blue", "tab:orange", "tab:green", "tab:purple", "tab:brown", "tab:cyan"))
    heavy = {"Rainbow": "black", "DQN": "tab:red"}
    return {name: heavy.get(name) or next(others) for name in names}


def draw(
    record: Mapping[str, Any], curves: Mapping[str, np.ndarray], steps: np.ndarray, folder: Path
) -> list[Path]:
    """Draws learning curves, scores, profiles, and how likely Rainbow is to be better. Returns where.

    ``curves`` are scores ``[num_seeds, num_tasks, num_epochs]`` after so many ``steps``.
    """
    figure = blank_figure(11, 8.4)
    (upper_left, upper_right), (lower_left, lower_right) = figure.subplots(2, 2, width_ratios=(1.25, 1))
    colours = colours_of([*curves])
    for name, values in curves.items():
        width = 2.2 if name in BASELINES else 1.2
        middle = [analysis.interquartile_mean(values[:, :, epoch]) for epoch in range(values.shape[2])]
        upper_left.plot(steps, middle, color=colours[name], linewidth=width, label=name)
        if name in BASELINES:
            bands = [
                analysis.stratified_interval(values[:, :, epoch], analysis.interquartile_mean)
                for epoch in range(values.shape[2])
            ]
            upper_left.fill_between(steps, *np.transpose(bands), color=colours[name], alpha=0.15, linewidth=0)
    scores = scores_in(record)
    thresholds = np.linspace(min(map(np.min, scores.values())), max(map(np.max, scores.values())), 101)
    for name, values in scores.items():
        width = 2.2 if name in BASELINES else 1.2
        share, low, high = analysis.performance_profile(values, thresholds)
        lower_left.step(thresholds, share, where="post", color=colours[name], linewidth=width, label=name)
        if name in BASELINES:
            lower_left.fill_between(
                thresholds, low, high, color=colours[name], alpha=0.15, linewidth=0, step="post"
            )
    for row, (name, variant) in enumerate(record["variants"].items()):
        bars = [(upper_right, variant["score"], variant["interval"])]
        if name != "Rainbow":
            bars += [(lower_right, variant["rainbow_better"], variant["rainbow_better_interval"])]
        for axes, point, (low, high) in bars:
            axes.barh(row, high - low, left=low, height=0.6, color=colours[name], alpha=0.45)
            axes.plot([point, point], [row - 0.3, row + 0.3], color=colours[name], linewidth=2)
    upper_left.set(xlabel="thousands of environment steps", ylabel="interquartile mean of scores")
    upper_left.legend(fontsize=8)
    lower_left.set(xlabel="score over the run", ylabel="share of runs that score more", ylim=(-0.02, 1.02))
    upper_right.set_xlabel("score over the run: interquartile mean, 95 %")
    lower_right.set_xlabel("probability that Rainbow scores more, 95 %")
    lower_right.axvline(0.5, color="black", linewidth=0.8, linestyle=":")
    for axes in (upper_right, lower_right):
        axes.set_yticks(range(len(scores)), [*scores])
        axes.invert_yaxis()
        axes.use_sticky_edges = False  # else the lowest bar begins at the frame
        axes.margins(x=0.06)
    for axes in (upper_left, upper_right, lower_left, lower_right):
        axes.grid(alpha=0.3)
    tasks = len(record["variants"]["Rainbow"]["scores"])
    figure.suptitle(
        f"Rainbow without each part: {tasks} tasks, {record['num_seeds']} seeds each", fontsize=11
    )
    path = folder / f"{NAME}.png"
    figure.savefig(path, dpi=150)
    return [path]


def main(words: Sequence[str]) -> int:
    """Runs every variant in every task and draws what came of them; or writes the README's table."""
    given = tyro.cli(Arguments, args=words, description=__doc__)
    unknown = [name for name in given.tasks if name not in TASKS]
    if unknown or not given.tasks:
        raise InvalidInput(f"tasks must be some of {', '.join(TASKS)}, not {', '.join(unknown) or 'none'}")
    checks.whole(given, 1, "num_seeds", "total_steps")
    if given.publish or not given.table:
        run(given)
    if given.table:
        record = judged(comparison.read(NAME))
        results.write_text(comparison.published() / f"{NAME}.json", results.text_of(record))
        comparison.write_table(MARK, table(record), f"{len(record['variants'])} variants")
    return 0


def run(given: Arguments) -> None:
    """Runs every variant in every task, prints what came of them and writes record and figure."""
    use_devices("all", None, given.num_seeds)
    use_cache(None)
    console = comparison.make_console()
    curves: dict[str, list[np.ndarray]] = {name: [] for name in variants()}
    parts: dict[str, dict[str, Any]] = {name: {"changes": {}, "digests": {}} for name in variants()}
    steps = np.zeros(0)
    experiments = {
        (task, name): (
            f"{task}/{name.lower().replace(' ', '-')}",
            experiment_of(TASKS[task], changes, given),
        )
        for task in given.tasks
        for name, changes in variants().items()
    }
    rainbow = checks.numbers(RAINBOW)
    keeping = Keeping(checkpoint_every=6, keep=1)
    for (task, name), experiment, folder, result in comparison.outcomes(
        experiments, given.output, console, keeping
    ):
        metrics = read_metrics(folder)
        steps = np.nanmax(metrics["environment_steps"], axis=0)[1:]
        curves[name].append(scores_of(metrics, TASKS[task]))
        config = checks.numbers(experiment.config)
        parts[name]["changes"][task] = {
            field: value for field, value in config.items() if value != rainbow[field]
        }
        parts[name]["digests"][task] = running.digest(result.runners.agent.params)
    stacked = {name: np.stack(of_tasks, axis=1) for name, of_tasks in curves.items()}
    for name, values in stacked.items():
        means = values.mean(axis=2)
        parts[name]["scores"] = {task: means[:, i].tolist() for i, task in enumerate(given.tasks)}
    _, first = next(iter(experiments.values()))
    record = judged(
        comparison.provenance(given, running.seeds_.resolve(first.seeds))
        | {
            "rainbow": rainbow,
            "settings": checks.numbers(first.settings),
            "tasks": {task: checks.numbers(TASKS[task]) for task in given.tasks},
            "variants": parts,
        }
    )
    print(f"\n{'variant':<18}{'score':>7}  {'95 % interval':<16}  P(Rainbow better)")
    for name, row in record["variants"].items():
        print(
            f"{name:<18}{row['score']:>7.3f}  {in_brackets(row['interval'], 3):<16}"
            f"  {row['rainbow_better']:.2f} {in_brackets(row['rainbow_better_interval'])}"
        )
    comparison.leave(record, NAME, lambda folder: draw(record, stacked, steps / 1000, folder), given, console)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
