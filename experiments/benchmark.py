"""Times purejaxrl against rejax, Stable-Baselines3 and SBX: same work, same machine, side by side.

python experiments/benchmark.py --quick
python experiments/benchmark.py --only w1 ours rejax products --seeds 16 --repeats 3

Workloads:
  w1  DQN on CartPole-v1, 500 000 steps: 10 environments, an update of 128 transitions every 10 steps,
      layers 120 and 84, buffer and warm-up of 10 000, epsilon from 1 to 0.05 over half of the run, the
      target copied every 500 steps, Adam 2.5e-4 (our preset "parallel")
  w2  A2C on CartPole-v1, 500 000 steps: 8 environments, rollouts of 5, layers 64 and 64 (preset "zoo")
  w3  DDPG on Pendulum-v1, 20 000 steps, half of them warm-up: an update of 256 transitions a step,
      layers 400 and 300 (preset "zoo")
  w4  PPO on CartPole-v1, 499 712 steps: 4 environments, rollouts of 128, 4 passes in 4 minibatches, layers
      64 and 64 (preset "cleanrl", whose step size here does not fall)

Contestants: ours; rejax (DQN, and TD3 for want of DDPG); sb3; sbx; products, the matrix products of the
updates alone, which is the floor under any implementation. Everything runs on the CPU.

Every measurement is a process of its own. Compilation is timed apart, the run has no evaluation in it,
and the final policy then plays 20 greedy episodes of each seed, whoever trained it. Rounds are
interleaved (A B C A B C); a ratio is taken within each round, and the table has the median of them. Where a
contestant does not reach the return that the workload asks for, there is no ratio. Peers are installed
by pip, at fixed versions and beside our own jax, into .venv-benchmark-rejax and .venv-benchmark-sb3
(several GB where PyTorch comes with CUDA); one that does not install or run is a row that says why.

All of it takes about an hour and a half on two quiet cores; what else runs on the machine spoils it.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tyro
from peers.measurement import Outcome, Task
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from purejaxrl.types import InvalidInput

ROOT = Path(__file__).resolve().parents[1]
RUNNERS = Path(__file__).resolve().parent / "peers"
OURS = ("jax", "jaxlib", "flax", "optax", "gymnasium", "numpy")
"""Packages that the peers share with us, at our versions: the compiler is then the same."""
PINS = {
    "rejax": ("rejax==0.1.3", "gymnax==0.0.9"),
    "sb3": ("stable-baselines3==2.9.2", "sbx-rl==0.28.0", "torch==2.13.0"),
}
GROUPS = {
    "ours": ("ours.py", None),
    "rejax": ("rejax_runner.py", "rejax"),
    "sb3": ("stable_baselines.py", "sb3"),
    "sbx": ("stable_baselines.py", "sb3"),
    "products": ("products.py", None),
}
"""Runner and environment of each group of contestants; None is the Python that runs this."""
TIME_LIMIT = 1200.0
"""Seconds after which a measurement is given up."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Times purejaxrl against its peers at equal work; prints a Markdown table."""

    only: tuple[str, ...] = ()
    """Workloads (w1 w2 w3 w4) and contestants (ours rejax sb3 sbx products) to take; none takes all."""
    seeds: tuple[int, ...] = ()
    """Numbers of independent runs at once; none takes each workload's own: 1 and 16, only 1 for w3."""
    repeats: int = 3
    """Rounds: how often each contestant runs, in turn with the others."""
    quick: bool = False
    """Few steps, to see that everything works: returns are not reached, and nothing is claimed."""
    output: Path | None = None
    """The folder to make; None takes the next free runs/benchmark-NNN."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """Work that is the same for everybody."""

    title: str
    total_steps: int
    quick_steps: int
    warmup_steps: int
    steps_per_update: int
    reached: float
    """Mean return of the final policies below which a rate means nothing."""
    num_seeds: tuple[int, ...]
    remarks: tuple[str, ...] = ()
    """Where the peers' work differs from ours all the same."""


WORKLOADS = {
    "w1": Workload(
        title="W1: DQN, CartPole-v1",
        total_steps=500_000,
        quick_steps=60_000,
        warmup_steps=10_000,
        steps_per_update=10,
        reached=400.0,
        num_seeds=(1, 16),
        remarks=(
            "rejax, and its environments, take a truncated episode for a terminated one.",
            "rejax has no option for sampling with replacement; in the rows that say so its buffer's method"
            " is exchanged for one that does, as ours and Stable-Baselines3's do.",
            "Stable-Baselines3 and SBX have Huber's loss only; all their environments explore at once or"
            " none does; SBX's second layer has 120 units, not 84.",
        ),
    ),
    "w2": Workload(
        title="W2: A2C, CartPole-v1",
        total_steps=500_000,
        quick_steps=50_000,
        warmup_steps=0,
        steps_per_update=40,
        reached=400.0,
        num_seeds=(1, 16),
        remarks=("rejax and SBX have no A2C.",),
    ),
    "w3": Workload(
        title="W3: DDPG, Pendulum-v1",
        total_steps=20_000,
        quick_steps=11_000,
        warmup_steps=10_000,
        steps_per_update=1,
        reached=-250.0,
        num_seeds=(1,),
        remarks=(
            "rejax has no DDPG; its TD3 trains two critics, updates the actor half as often, adds noise to"
            " the target's actions, and takes truncation for termination. It samples with replacement here.",
        ),
    ),
    "w4": Workload(
        title="W4: PPO, CartPole-v1",
        total_steps=976 * 512,
        quick_steps=98 * 512,
        warmup_steps=0,
        steps_per_update=32,
        reached=400.0,
        num_seeds=(1, 16),
        remarks=(
            "rejax, and its environments, take a truncated episode for a terminated one, and so value one"
            " observation in 128 beyond those acted in, where we value the successor of every step.",
            "SBX does not clip values.",
        ),
    ),
}


@dataclasses.dataclass(frozen=True)
class Contestant:
    """One way to do a workload."""

    name: str
    group: str
    variant: str = ""
    seeds: str = "auto"
    devices: int = 1
    threads: int | None = None
    """Of XLA's and PyTorch's pools for one operation; None leaves the library's default."""
    baseline: bool = False
    """Whether the others are compared with this one."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row of a table: a contestant at a workload with a number of seeds."""

    workload: str
    num_seeds: int
    contestant: Contestant

    def task(self, quick: bool, repeat: int) -> Task:
        """What its runner is told in round ``repeat``."""
        work = WORKLOADS[self.workload]
        total_steps = work.quick_steps if quick else work.total_steps
        return Task(
            workload=self.workload,
            total_steps=total_steps,
            updates=(total_steps - work.warmup_steps) // work.steps_per_update,
            num_seeds=self.num_seeds,
            root=repeat,
            variant=self.contestant.variant,
            seeds=self.contestant.seeds,
            devices=self.contestant.devices,
        )


class MeasurementError(Exception):
    """A peer could not be installed or a runner did not answer; the text says why in a line."""


Rounds = list[dict[Entry, Outcome]]


def contestants(workload: str, num_seeds: int, cores: int) -> list[Contestant]:
    """Who takes part in a workload with so many seeds on so many cores."""
    devices = min(cores, num_seeds)
    on = f"{devices} devices" if devices > 1 else "1 device"
    if num_seeds == 1:
        ours = [
            Contestant("purejaxrl (default)", "ours", baseline=True),
            Contestant("purejaxrl, one thread", "ours", threads=1),
        ]
        products = [
            Contestant("matrix products", "products"),
            Contestant("matrix products, one thread", "products", threads=1),
        ]
        stable = [
            # PyTorch's two threads cost it more than they bring where the products are small.
            Contestant("Stable-Baselines3, one thread", "sb3", variant="sb3", threads=1),
            *([Contestant("Stable-Baselines3", "sb3", variant="sb3")] if workload == "w3" else []),
            *([Contestant("SBX", "sbx", variant="sbx")] if workload != "w2" else []),
        ]
    else:
        ours = [
            Contestant(f"purejaxrl, map, {on} (default)", "ours", devices=devices, baseline=True),
            Contestant(f"purejaxrl, vmap, {on}", "ours", seeds="vmap", devices=devices),
        ]
        if devices > 1:
            ours += [
                Contestant(f"purejaxrl, {seeds}, 1 device", "ours", seeds=seeds) for seeds in ("map", "vmap")
            ]
        products = [
            Contestant(f"matrix products, {seeds}, {on}", "products", seeds=seeds, devices=devices)
            for seeds in ("map", "vmap")
        ]
        stable = []  # a process for each seed, and as many times the seconds

    name = "rejax TD3" if workload == "w3" else "rejax"
    replaced = f"{name}, sampling with replacement"
    if workload == "w4":
        replaced = name  # there is nothing to draw
    rejax = [Contestant(replaced, "rejax", variant="replacement")]
    if workload == "w1":
        rejax.insert(0, Contestant(f"{name} (default)", "rejax", variant="shipped"))
    if num_seeds == 1:
        rejax.append(Contestant(f"{replaced}, one thread", "rejax", variant="replacement", threads=1))
    elif devices > 1:
        rejax.append(Contestant(f"{replaced}, {on}", "rejax", variant="replacement", devices=devices))

    if workload == "w2":
        return [*ours, *stable]
    if workload == "w4":
        return [*ours, *rejax, *stable]
    return [*ours, *rejax, *stable, *products]


def entries(arguments: Arguments, cores: int) -> list[Entry]:
    """The rows that the arguments ask for.

    Raises:
        InvalidInput: an argument names nothing known, or leaves nothing.
    """
    known = (*WORKLOADS, *GROUPS)
    for name in arguments.only:
        if name not in known:
            raise InvalidInput(f"--only takes of {', '.join(known)}; {name!r} is none of them")
    if arguments.repeats < 1 or any(number < 1 for number in arguments.seeds):
        raise InvalidInput("--repeats and --seeds take whole numbers of at least 1")
    workloads = [name for name in WORKLOADS if name in arguments.only] or list(WORKLOADS)
    groups = [name for name in GROUPS if name in arguments.only] or list(GROUPS)
    chosen = [
        Entry(workload, num_seeds, contestant)
        for workload in workloads
        for num_seeds in dict.fromkeys(arguments.seeds or WORKLOADS[workload].num_seeds)
        for contestant in contestants(workload, num_seeds, cores)
        if contestant.group in groups
    ]
    if not chosen:
        raise InvalidInput(f"nobody of {', '.join(groups)} takes part in {', '.join(workloads)} as asked")
    return chosen


def interpreters(rows: Sequence[Entry], log: Path, say: Callable[[str], None]) -> dict[str, Path | str]:
    """The Python that runs each group of contestants, or why there is none."""
    made: dict[str | None, Path | str] = {None: Path(sys.executable)}
    for environment in dict.fromkeys(GROUPS[row.contestant.group][1] for row in rows):
        if environment is not None:
            try:
                made[environment] = install(environment, log, say)
            except MeasurementError as error:
                made[environment] = str(error)
                say(str(error))
    return {group: made.get(environment, "") for group, (_, environment) in GROUPS.items()}


def install(environment: str, log: Path, say: Callable[[str], None]) -> Path:
    """The Python of a peer's environment, which is made where it is not there yet.

    Raises:
        MeasurementError: it could not be made.
    """
    folder = ROOT / f".venv-benchmark-{environment}"
    shared = [f"{package}=={importlib.metadata.version(package)}" for package in OURS]
    requirements = [*PINS[environment], *shared]
    installed = folder / "benchmark-requirements.txt"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if installed.exists() and installed.read_text().split() == requirements:
        return python
    say(f"installing {', '.join(requirements)} into {folder}")
    try:
        venv.create(folder, clear=True, with_pip=True)
        command = [python, "-m", "pip", "install", "--disable-pip-version-check", *requirements]
        with log.open("a") as output:
            subprocess.run(command, stdout=output, stderr=output, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        errors = [line for line in _lines(log) if line.startswith("ERROR")]
        raise MeasurementError(f"not installed: {errors[-1] if errors else error}") from error
    installed.write_text("\n".join(requirements) + "\n")
    return python


def measure(
    entry: Entry, task: Task, python: Path | str, folder: Path, wait: Callable[[float], None]
) -> Outcome:
    """Runs one measurement in a process of its own; ``wait`` is told every second how long it has taken.

    Raises:
        MeasurementError: there is no Python to run it, the process failed, or it ran past the limit.
    """
    if isinstance(python, str):
        raise MeasurementError(python)
    command = [
        str(python),
        str(RUNNERS / GROUPS[entry.contestant.group][0]),
        json.dumps(dataclasses.asdict(task)),
    ]
    start = time.monotonic()
    output, errors = folder / "stdout.log", folder / "stderr.log"
    with output.open("w") as stdout, errors.open("w") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=surroundings(entry.contestant))
        try:
            while process.poll() is None:
                taken = time.monotonic() - start
                if taken > TIME_LIMIT:
                    raise MeasurementError(f"no answer within {TIME_LIMIT:.0f} s")
                wait(taken)
                time.sleep(min(1.0, 0.1 + taken / 10))  # watching must cost the watched nothing
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        raise MeasurementError((_lines(errors) or [f"exit code {process.returncode}"])[-1][:200])
    answer = json.loads(_lines(output)[-1])
    return Outcome(**answer | {"returns": tuple(answer["returns"])})


def surroundings(contestant: Contestant) -> dict[str, str]:
    """The environment variables of a measurement: the user's, without what would turn JAX's screws."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    for name in ("NPROC", "OMP_NUM_THREADS", "PYTHONPATH"):
        kept.pop(name, None)
    if contestant.threads is not None:
        kept |= {"NPROC": str(contestant.threads), "OMP_NUM_THREADS": str(contestant.threads)}
    # A compilation out of a cache would not be one; accelerators have no part in this.
    return kept | {
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "CUDA_VISIBLE_DEVICES": "",
    }


def compete(
    rows: Sequence[Entry], arguments: Arguments, folder: Path, console: Console
) -> tuple[Rounds, dict[Entry, str], bool]:
    """Runs every round. A contestant that fails is left out of the rounds that follow.

    Returns:
        The outcomes of each round, the reasons of those that failed, and whether Ctrl-C ended it early.
    """
    rounds: Rounds = []
    failures: dict[Entry, str] = {}
    taken: dict[Entry, float] = {}  # seconds of a row's last process

    def left(repeat: int, index: int, so_far: float) -> str:
        """A line for the time left, from what each row has taken, or all have on average."""
        if not taken:
            return ""
        average = statistics.fmean(taken.values())
        expected = [0.0 if row in failures else taken.get(row, average) for row in rows]
        seconds = sum(expected[index:]) + sum(expected) * (arguments.repeats - repeat - 1) - so_far
        return f"{max(seconds, 0.0) / 60:.0f} min left"

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f} of {task.total:.0f}  {task.fields[left]}"),
        TimeElapsedColumn(),
    )
    try:
        pythons = interpreters(rows, folder / "install.log", say)
        with (
            Progress(*columns, console=console) as bar,
            (folder / "measurements.jsonl").open("x") as record,
        ):
            progress = bar.add_task("", total=len(rows) * arguments.repeats, left="")
            for repeat in range(arguments.repeats):
                rounds.append({})
                for index, row in enumerate(rows):
                    description = (
                        f"round {repeat + 1}  {row.workload} × {row.num_seeds}  {row.contestant.name}"
                    )

                    def wait(so_far: float, text=description, repeat=repeat, index=index) -> None:
                        bar.update(progress, description=text, left=left(repeat, index, so_far))

                    if row not in failures:
                        wait(0.0)
                        start = time.monotonic()
                        task = row.task(arguments.quick, repeat)
                        entry = {
                            "round": repeat,
                            "contestant": dataclasses.asdict(row.contestant),
                            "task": dataclasses.asdict(task),
                        }
                        try:
                            outcome = measure(row, task, pythons[row.contestant.group], folder, wait)
                            rounds[-1][row] = outcome
                            entry["outcome"] = dataclasses.asdict(outcome)
                        except MeasurementError as error:
                            failures[row] = entry["failure"] = str(error)
                            say(f"{row.contestant.name}: {error}")
                        taken[row] = time.monotonic() - start
                        record.write(json.dumps(entry) + "\n")
                        record.flush()
                    bar.advance(progress)
    except KeyboardInterrupt:
        return rounds, failures, True
    return rounds, failures, False


def report(rows: Sequence[Entry], rounds: Rounds, failures: dict[Entry, str], quick: bool) -> str:
    """The tables, in Markdown."""
    lines = []
    if quick:
        lines += ["A quick run: few steps, no return to reach, nothing to claim.", ""]
    for workload in dict.fromkeys(row.workload for row in rows):
        work = WORKLOADS[workload]
        for num_seeds in dict.fromkeys(row.num_seeds for row in rows if row.workload == workload):
            table = [row for row in rows if (row.workload, row.num_seeds) == (workload, num_seeds)]
            steps = work.quick_steps if quick else work.total_steps
            plural = "seed" if num_seeds == 1 else "seeds"
            lines += [
                f"### {work.title}, {steps:,} steps, {num_seeds} {plural}",
                "",
                "| | compile, s | run, s | steps/s | return | memory, MB | time ÷ ours |",
                "|---|---|---|---|---|---|---|",
                *(cells(row, table, rounds, failures, quick) for row in table),
                "",
                *(f"- {claim}" for claim in claims(table, rounds, quick)),
                *(f"- {remark}" for remark in work.remarks),
                *([] if quick else [f"- A return of {work.reached:g} has to be reached for a ratio."]),
                "",
            ]
    return "\n".join(lines)


def cells(row: Entry, table: Sequence[Entry], rounds: Rounds, failures: dict[Entry, str], quick: bool) -> str:
    """A row of a table."""
    name = row.contestant.name
    outcomes = [done[row] for done in rounds if row in done]
    if not outcomes:
        reason = failures.get(row, "not run").replace("|", "/")
        return f"| {name} | {reason} | | | | | |"
    returns = [value for outcome in outcomes for value in outcome.returns]
    total_steps = row.task(quick, 0).total_steps * row.num_seeds
    seconds = [outcome.run_seconds for outcome in outcomes]
    peaks = [outcome.peak_bytes for outcome in outcomes if outcome.peak_bytes is not None]
    against = "—"
    if quick or not reached(row, rounds):
        against = "—" if quick else "return not reached"
    elif baseline := next((other for other in table if other.contestant.baseline), None):
        against = spread(ratios(row, baseline, rounds)) if reached(baseline, rounds) else "—"
    return (
        f"| {name} | {statistics.median(outcome.compile_seconds for outcome in outcomes):.1f}"
        f" | {spread(seconds)}"
        f" | {f'{total_steps / statistics.median(seconds):,.0f}' if returns else '—'}"
        f" | {f'{statistics.fmean(returns):.0f} ± {statistics.pstdev(returns):.0f}' if returns else '—'}"
        f" | {f'{statistics.median(peaks) / 1e6:.0f}' if peaks else '—'} | {against} |"
    )


def claims(table: Sequence[Entry], rounds: Rounds, quick: bool) -> Iterator[str]:
    """What the goals are about: our default against the fastest peer of each round, and the floor."""
    ours = next((row for row in table if row.contestant.baseline), None)
    if quick or ours is None or not reached(ours, rounds):
        return
    peers = [row for row in table if row.contestant.group in ("rejax", "sb3", "sbx") and reached(row, rounds)]
    floors = [row for row in table if row.contestant.group == "products"]
    defaults = [row for row in peers if row.contestant.devices == 1]
    for rivals, text in (
        (defaults, "the fastest peer in its default use ÷ ours"),
        (peers, "the fastest peer, sharded over devices as we do it or not, ÷ ours"),
    ):
        if rivals and not (rivals is peers and peers == defaults):
            yield f"{text}: {spread(fastest(rivals, ours, rounds))}"
    if floors:
        yield f"ours ÷ the fastest matrix products: {spread([1 / x for x in fastest(floors, ours, rounds)])}"


def reached(row: Entry, rounds: Rounds) -> bool:
    """Whether the policies of a row came to what its workload asks; the products have none to judge."""
    returns = [value for done in rounds if row in done for value in done[row].returns]
    ran = any(row in done for done in rounds)
    asked = WORKLOADS[row.workload].reached
    return ran and (
        row.contestant.group == "products" or (bool(returns) and statistics.fmean(returns) >= asked)
    )


def ratios(row: Entry, baseline: Entry, rounds: Rounds) -> list[float]:
    """Seconds of a row over those of another, for each round that has both."""
    return [
        done[row].run_seconds / done[baseline].run_seconds
        for done in rounds
        if row in done and baseline in done
    ]


def fastest(rivals: Sequence[Entry], ours: Entry, rounds: Rounds) -> list[float]:
    """The least of several rows' seconds over ours, for each round that has any of them and us."""
    return [
        min(done[row].run_seconds for row in rivals if row in done) / done[ours].run_seconds
        for done in rounds
        if ours in done and any(row in done for row in rivals)
    ]


def spread(values: Sequence[float]) -> str:
    """The median, and between which values it lies."""
    if not values:
        return "—"
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.2f}" if low == high else f"{middle:.2f} [{low:.2f}–{high:.2f}]"


def claim_folder(output: Path | None) -> Path:
    """A new folder, never one that exists.

    Raises:
        InvalidInput: it exists, or cannot be made.
    """
    number = 1
    while True:
        folder = output or Path("runs") / f"benchmark-{number:03d}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            if output is not None:
                raise InvalidInput(f"{folder} exists already; results are never written over") from None
            number += 1
        except OSError as error:
            raise InvalidInput(f"{folder} cannot be made: {error.strerror or error}") from error


def machine(cores: int) -> dict[str, object]:
    """Where the numbers come from."""
    return {
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": cores,
        "versions": {package: importlib.metadata.version(package) for package in ("purejaxrl", *OURS)},
        "peers": PINS,
    }


def main() -> int:
    """Returns the exit code: 2 where an argument cannot work, 130 after Ctrl-C, else 0."""
    arguments = tyro.cli(Arguments, description=__doc__)
    console = Console(stderr=True, soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a measurement must not outlive us
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        rows = entries(arguments, cores)
        folder = claim_folder(arguments.output)
    except InvalidInput as error:
        console.print(f"error: {error}", markup=False, highlight=False)
        return 2
    described = {"arguments": dataclasses.asdict(arguments), "machine": machine(cores)}
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        console.print(f"this machine is busy (load {os.getloadavg()[0]:.1f}): ratios will be rough")
    (folder / "benchmark.json").write_text(json.dumps(described, indent=2, default=str) + "\n")
    rounds, failures, interrupted = compete(rows, arguments, folder, console)
    text = report(rows, rounds, failures, arguments.quick)
    (folder / "table.md").write_text(text)
    print(text)
    console.print(f"{folder}: {'interrupted' if interrupted else 'done'}", markup=False, highlight=False)
    return 130 if interrupted else 0


def _lines(file: Path) -> list[str]:
    """The lines of a log that say something."""
    if not file.exists():
        return []
    return [line.strip() for line in file.read_text(errors="replace").splitlines() if line.strip()]


def _processor() -> str:
    """The processor's name, where Linux tells it."""
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
