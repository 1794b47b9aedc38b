"""What a person sees of a run: a line of progress while it goes on, and a few lines at its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from purejaxrl import analysis, training
from purejaxrl.training import Experiment, Keeping


def run_with_progress(
    experiment: Experiment[Any],
    output: Path | None,
    console: Console,
    keeping: Keeping | None = None,
    resume: bool = False,
    prefix: str = "",
) -> training.Result:
    """Runs an experiment under a line of progress: rate, time left, mean return over seeds."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn(
            "{task.percentage:>3.0f}%  {task.fields[rate]}  {task.fields[left]}  {task.fields[score]}"
        ),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=console)
    task = bar.add_task(f"{prefix}compile", total=None, rate="", left="", score="")

    def report(progress: training.Progress) -> None:
        bar.start()  # no earlier: where something given cannot work, that is all there is to read
        fields: dict[str, Any] = {
            "description": prefix + progress.stage,
            "completed": progress.epoch,
            "total": progress.num_epochs,
        }
        if progress.metrics is not None and progress.seconds > 0:
            fields["score"] = f"return {training.mean_return(progress.metrics):.1f}"
            members = len(progress.metrics.episodes)
            if progress.alive < members:
                fields["score"] += f", {progress.alive} of {members} seeds alive"
        if progress.session_epochs:
            per_epoch = progress.seconds_at_epoch / progress.session_epochs
            begun = progress.epoch - progress.session_epochs
            left = max(per_epoch * (progress.num_epochs - begun) - progress.seconds, 0.0)
            fields["rate"] = f"{progress.session_steps / progress.seconds_at_epoch:,.0f} steps/s"
            fields["left"] = f"{left:.0f} s left"
        if progress.message is not None:
            console.print(progress.message, markup=False, highlight=False)
        bar.update(task, **fields)

    try:
        return training.run(experiment, output, report, keeping=keeping, resume=resume)
    finally:
        if bar.live.is_started:
            bar.stop()


def summary(experiment: Experiment[Any], result: training.Result) -> str:
    """What a run came to, in a few lines, with its pictures drawn."""
    lines = [f"{result.folder}: {result.ended}"]
    if result.environment_steps:
        curves = training.read_metrics(result.folder)
        try:
            if len(experiment.points) > 1:
                lines.append(sweep_summary(experiment.points, [curves], result.folder, title_of(experiment)))
            else:
                lines += returns(curves)
                analysis.plot_learning_curve(curves, result.folder / "curve.png", title_of(experiment))
        except OSError as error:  # the run is safe, and can be drawn when there is room
            lines.append(f"  not drawn: {error}")
    if not result.alive.all():
        dead = len(result.alive) - result.alive.sum()
        lines.append(f"  NaN or infinite: {dead} of {len(result.alive)} seeds; see events.jsonl")
    lines += [
        f"  compile {result.compile_seconds:.1f} s",
        f"  run     {result.run_seconds:.1f} s",
        f"  speed   {result.steps_per_second:,.0f} environment steps a second, all seeds together",
    ]
    return "\n".join(lines)


def returns(curves: dict[str, np.ndarray]) -> list[str]:
    """The last return of evaluation and of training, each with its interval over the seeds."""
    lines = []
    for name, label in (("evaluation_return", "greedy evaluation"), ("episode_return", "training episodes")):
        last = curves[name][:, -1]
        if not np.all(np.isnan(last)):
            low, high = analysis.bootstrap_interval(last)
            lines.append(
                f"  return, {label:18} {np.nanmean(last):9.2f} ± {np.nanstd(last):.2f} over"
                f" {len(last)} seeds, 95 % interval of the mean [{low:.2f}, {high:.2f}]"
            )
    return lines


def sweep_summary(
    points: tuple[training.Point, ...], groups: list[dict[str, np.ndarray]], folder: Path, title: str
) -> str:
    """The table of a sweep, best point first; it and the picture are left in ``folder``.

    Args:
        points: all of them, in the order of the groups.
        groups: the metrics of each program.
        folder: where table.txt and sweep.png go.
        title: of the picture.
    """
    num_seeds = int(np.nanmax(groups[0]["seed"])) + 1
    last = np.concatenate([last_returns(curves) for curves in groups]).reshape(len(points), num_seeds)
    named = [dict(point) for point in points]
    table = analysis.sweep_table(named, last)
    (folder / "table.txt").write_text(table + "\n")
    (folder / "table.json").write_text(
        json.dumps(
            [
                {"point": point, "returns": [None if np.isnan(value) else value for value in row]}
                for point, row in zip(named, last.tolist(), strict=True)
            ],
            indent=2,
            default=str,
        )
        + "\n"
    )
    analysis.plot_sweep(named, last, folder / "sweep.png", title)
    return table


def last_returns(curves: dict[str, np.ndarray]) -> np.ndarray:
    """The last greedy return of each member, or of training where none was evaluated; NaN if it died."""
    evaluated = curves["evaluation_return"][:, -1]
    last = curves["episode_return"][:, -1] if np.all(np.isnan(evaluated)) else evaluated
    return np.where(curves["alive"][:, -1] == 1, last, np.nan)


def title_of(experiment: Experiment[Any]) -> str:
    """What was run, for a picture."""
    return f"{experiment.agent.__name__.rpartition('.')[2].upper()} on {experiment.environment}"
