"""Times replay memories, alone: to add a rollout, draw a batch and, where there are any, give priorities.

python experiments/replay_benchmark.py
python experiments/replay_benchmark.py --capacities 1000 1000000 --seeds 1 --repeats 3

Everything happens inside one compiled scan over iterations, as in the training loop, on a buffer that is
full, of transitions with four numbers for an observation. A cost that is flat in the capacity means that
nothing of the buffer is copied; a sum tree has a level more for each 16 times as many transitions.
Memories take turns, round by round, and the table has the medians, in microseconds an iteration, with
the ratio to uniform replay of the same round beside them. What else runs on the machine shows.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from purejaxrl import checks
from purejaxrl.command_line import exit_code
from purejaxrl.memory import PrioritisedReplay, Replay, sum_tree
from purejaxrl.types import Array, InvalidInput, Key, PyTree, Transition


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Times replay memories inside a compiled scan; prints a table."""

    capacities: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """Transitions that a buffer holds."""
    seeds: tuple[int, ...] = (1, 8)
    """Buffers side by side under vmap."""
    batch_size: int = 32
    """Transitions in a batch, of which an iteration draws one."""
    num_envs: int = 1
    """Environments, of which an iteration adds one step each."""
    n_step: int = 3
    """Steps of the memories that have several."""
    iterations: int = 2_000
    """Iterations in a measurement."""
    repeats: int = 5
    """Rounds: how often each memory is measured, in turn with the others."""


def check(arguments: Arguments) -> None:
    """Raises InvalidInput where there is nothing to measure, or a number cannot be."""
    names = ("capacities", "seeds", "batch_size", "num_envs", "n_step", "iterations", "repeats")
    checks.whole(arguments, 1, *names)
    for name in ("capacities", "seeds"):
        if not getattr(arguments, name):
            raise InvalidInput(f"{name} must name one number or more")


def memories(arguments: Arguments, capacity: int) -> dict[str, Replay | PrioritisedReplay]:
    """The contestants by name; all others are compared with the first."""
    size, several = (capacity, arguments.batch_size, 0), arguments.n_step
    return {
        "uniform": Replay(*size),
        f"uniform, {several} steps": Replay(*size, n_step=several),
        "prioritised": PrioritisedReplay(*size),
        f"prioritised, {several} steps": PrioritisedReplay(*size, n_step=several),
    }


def contestant(memory: Any, seeds: int, arguments: Arguments) -> Callable[[], float]:
    """A function that runs all iterations once and gives the microseconds that each took."""
    observation, no = jnp.zeros(4), jnp.bool_(False)
    example = Transition(observation, jnp.int32(0), jnp.float32(0.0), no, no, observation)
    first = memory.capacity // arguments.num_envs  # rollouts that have filled the buffer

    def iterate(carry: tuple[PyTree, Key], count: Array) -> tuple[tuple[PyTree, Key], Array]:
        state, key = carry
        rollout = jax.tree.map(
            lambda leaf: jnp.full((1, arguments.num_envs, *leaf.shape), count % 2, leaf.dtype), example
        )
        state = memory.add(state, rollout, count)
        batch: Any = memory.sample(state, jax.random.fold_in(key, count), count + 1)
        if isinstance(memory, PrioritisedReplay):
            # Of what has been drawn, as TD errors are, so that nothing can be done before.
            priorities = jnp.abs(jnp.sum(batch.transition.observation, axis=-1)) + batch.probability + 0.1
            batches = jax.tree.map(lambda leaf: leaf[None], batch)
            state = memory.revise(state, batches, priorities[None])
            batch = batch.transition
        used = sum(jnp.sum(leaf) for leaf in jax.tree.leaves(batch))
        return (state, key), jnp.asarray(used)

    def run(state: PyTree, key: Key) -> tuple[PyTree, Array]:
        (state, _), used = jax.lax.scan(iterate, (state, key), first + jnp.arange(arguments.iterations))
        return state, used

    state: Any = memory.init(example, 1, arguments.num_envs)
    if isinstance(memory, PrioritisedReplay):  # as it is once it has been filled
        everything = [(0, jnp.ones((arguments.num_envs, first)))]
        state = dataclasses.replace(state, tree=sum_tree.write(state.tree, everything))
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (seeds, *leaf.shape)).copy(), state)
    keys = jax.random.split(jax.random.key(0), seeds)
    if seeds == 1:
        state, keys = jax.tree.map(lambda leaf: leaf[0], (state, keys))
    else:
        run = jax.vmap(run)
    compiled = jax.jit(run, donate_argnums=0).lower(state, keys).compile()
    kept = [jax.block_until_ready(compiled(state, keys))[0]]

    def measure() -> float:
        begin = time.perf_counter()
        kept[0], _ = jax.block_until_ready(compiled(kept[0], keys))
        return (time.perf_counter() - begin) / arguments.iterations * 1e6

    return measure


def main(words: Sequence[str]) -> int:
    """Measures all and prints the table."""
    arguments = tyro.cli(Arguments, args=words, description=__doc__)
    check(arguments)
    console = Console()
    names = list(memories(arguments, arguments.num_envs))
    table = Table(title="µs an iteration (ratio to the first in the same round)")
    for column in ("seeds", "capacity", *names):
        table.add_column(column, justify="right")
    cases = [(seeds, capacity) for seeds in arguments.seeds for capacity in arguments.capacities]
    for seeds, capacity in track(cases, console=console, transient=True):
        contestants = {
            name: contestant(memory, seeds, arguments)
            for name, memory in memories(arguments, capacity).items()
        }
        rounds = [
            {name: measure() for name, measure in contestants.items()} for _ in range(arguments.repeats)
        ]
        cells = []
        for name in names:
            cost = statistics.median(taken[name] for taken in rounds)
            ratio = statistics.median(taken[name] / taken[names[0]] for taken in rounds)
            cells.append(f"{cost:.1f} ({ratio:.1f})")
        table.add_row(str(seeds), f"{capacity:,}", *cells)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
