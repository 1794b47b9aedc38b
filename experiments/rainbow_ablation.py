"""Rainbow without each of its parts, and DQN without any: what each is worth, with intervals.

python experiments/rainbow_ablation.py --num-seeds 10 --tasks acrobot

Every part is a switch of one Config (``purejaxrl/agents/dqn.py``), so that nothing else differs; only
exploration has to: without noisy layers it is ε-greedy. Each run's return is brought to a scale from
random play (0) to what is known to be possible (1), and averaged over the epochs of the run, so that
learning sooner counts. Over tasks and seeds these are aggregated by the interquartile mean, with
stratified bootstrap intervals.

Leaves ablation.json and ablation.png beside the runs' own folders, and goes on where it was interrupted.

Source: Hessel et al. (2018), "Rainbow: combining improvements in deep reinforcement learning", figure 3;
Agarwal et al. (2021), "Deep reinforcement learning at the edge of the statistical precipice".
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console

from purejaxrl import analysis
from purejaxrl.agents import dqn
from purejaxrl.analysis.figures import blank_figure
from purejaxrl.command_line import exit_code, stopped_by_signals, use_cache, use_devices
from purejaxrl.console import run_with_progress
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
WITHOUT: Mapping[str, dict[str, Any]] = {
    "double": {"double": False},
    "dueling": {"dueling": False},
    "priorities": {"prioritised": False},
    "n-step": {"n_step": 1},
    "noise": {"noisy": False},
    "distribution": {"distribution": "none"},
}
"""What turns each part off."""


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


def draw(scores: Mapping[str, np.ndarray], steps: np.ndarray, path: Path, tasks: int, seeds: int) -> None:
    """Curves on the left, what each part is worth on the right.

    ``scores`` are ``[num_seeds, num_tasks, num_epochs]``.
    """
    figure = blank_figure(11, 4.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    for row, (name, values) in enumerate(scores.items()):
        colour = {"Rainbow": "black", "DQN": "tab:red"}.get(name, f"C{row % 10}")
        heavy = name in ("Rainbow", "DQN")
        middle = [analysis.interquartile_mean(values[:, :, epoch]) for epoch in range(values.shape[2])]
        left.plot(steps, middle, color=colour, linewidth=2.2 if heavy else 1.2, label=name)
        if heavy:
            bands = [
                analysis.stratified_interval(values[:, :, epoch], analysis.interquartile_mean)
                for epoch in range(values.shape[2])
            ]
            left.fill_between(steps, *np.transpose(bands), color=colour, alpha=0.15, linewidth=0)
        whole = values.mean(axis=2)
        low, high = analysis.stratified_interval(whole, analysis.interquartile_mean)
        right.barh(row, high - low, left=low, height=0.6, color=colour, alpha=0.45)
        point = analysis.interquartile_mean(whole)
        right.plot([point, point], [row - 0.3, row + 0.3], color=colour, linewidth=2)
    left.set(xlabel="thousands of environment steps", ylabel="interquartile mean of scores")
    left.legend(fontsize=8)
    right.set_yticks(range(len(scores)), list(scores))
    right.invert_yaxis()
    right.set_xlabel("score over the run: interquartile mean, 95 %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.suptitle(f"Rainbow without each part: {tasks} tasks, {seeds} seeds each", fontsize=11)
    figure.savefig(path, dpi=150)


def main() -> int:
    """Runs every variant in every task, and draws what came of them."""
    given = tyro.cli(Arguments, description=__doc__)
    unknown = [name for name in given.tasks if name not in TASKS]
    if unknown or not given.tasks:
        raise InvalidInput(f"tasks must be some of {', '.join(TASKS)}, not {', '.join(unknown) or 'none'}")
    use_devices("all", None, given.num_seeds)
    use_cache(None)
    console = Console(stderr=True, soft_wrap=True)
    scores: dict[str, list[np.ndarray]] = {name: [] for name in variants()}
    steps = np.zeros(0)
    number, of = 0, len(given.tasks) * len(scores)
    with stopped_by_signals():
        for task in given.tasks:
            for name, changes in variants().items():
                number += 1
                experiment = experiment_of(TASKS[task], changes, given)
                folder = given.output / task / name.lower().replace(" ", "-")
                result = run_with_progress(
                    experiment,
                    folder,
                    console,
                    Keeping(checkpoint_every=6, keep=1),
                    resume=True,
                    prefix=f"{number} of {of}, {task}, {name}: ",
                )
                if result.ended == "interrupted":
                    return 130
                curves = read_metrics(folder)
                steps = np.nanmax(curves["environment_steps"], axis=0)[1:]
                scores[name].append(scores_of(curves, TASKS[task]))
    stacked = {name: np.stack(of_tasks, axis=1) for name, of_tasks in scores.items()}
    rows = {}
    print(f"\n{'variant':<18}{'score':>7}  {'95 % interval':<16}{'P(Rainbow better)':>18}")
    for name, values in stacked.items():
        whole = values.mean(axis=2)
        low, high = analysis.stratified_interval(whole, analysis.interquartile_mean)
        better = analysis.probability_of_improvement(stacked["Rainbow"].mean(axis=2), whole)
        rows[name] = {
            "score": float(analysis.interquartile_mean(whole)),
            "interval": [low, high],
            "rainbow_better": better,
            "by_task": dict(zip(given.tasks, whole.mean(axis=0).tolist(), strict=True)),
            "scores": {task: whole[:, i].tolist() for i, task in enumerate(given.tasks)},
        }
        print(f"{name:<18}{rows[name]['score']:>7.3f}  [{low:.3f}, {high:.3f}]{better:>14.2f}")
    written = {"num_seeds": given.num_seeds, "total_steps": given.total_steps, "seed": given.seed}
    (given.output / "ablation.json").write_text(json.dumps(written | {"variants": rows}, indent=1) + "\n")
    draw(stacked, steps / 1000, given.output / "ablation.png", len(given.tasks), given.num_seeds)
    print(f"\n{given.output}/ablation.png")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
