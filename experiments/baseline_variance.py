"""What each baseline is worth: the variance of REINFORCE's estimates beside an exact gradient.

python experiments/baseline_variance.py
python experiments/baseline_variance.py --output runs/baselines --batches 256000
python experiments/baseline_variance.py --publish --table

On a task of two states and three steps the gradient of the return can be worked out. Every estimator of
the third deck sees the same episodes, sixteen at a time, a million in all: their means must meet the gradient
within their standard errors, and their variances tell them apart. Leaves baseline-variance.json and .png.
With --publish they go to experiments/results/figures/, from which --table writes the README's table; --table
alone measures nothing.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table as Lines
from studies import comparison, results

from purejaxrl import checks
from purejaxrl.action_distributions import Categorical
from purejaxrl.agents import reinforce
from purejaxrl.agents.reinforce import Config, State
from purejaxrl.analysis.figures import blank_figure
from purejaxrl.command_line import exit_code
from purejaxrl.types import Array, InvalidInput, Key, Transition

# Two states, two actions, three steps at most; episodes may end sooner. The next state is drawn. What is
# observed is 2t + s: the policy looks at the state s alone, a value at the time t, too.
STATES, ACTIONS, STEPS = 2, 2, 3
NEXT = np.array([[0.8, 0.3], [0.5, 0.1]])  # [state, action], the chance of state 1
END = np.array([[0.0, 0.3], [0.2, 0.0]])  # the chance that the episode ends there
REWARD = np.array([[1.0, 2.0], [-1.0, 3.0]])
LOGITS = np.array([[0.3, -0.2], [-0.5, 0.4]])
DISCOUNT = 0.8
NAME = "baseline-variance"
MARK = "variances of baselines"
"""Of the comments between which the README's table is."""
BASELINES = {
    "none": "no baseline",
    "constant": "constant",
    "optimal": "optimal constant",
    "time": "time",
    "value": "state value",
}
"""What the table calls each."""
OBSERVATIONS, DISCRETE = gymnasium.spaces.Discrete(STEPS * STATES), gymnasium.spaces.Discrete(ACTIONS)


class Table(nn.Module):
    """A policy of two logits for each state."""

    @nn.compact
    def __call__(self, observation: Any) -> Categorical:
        return Categorical(
            self.param("logits", nn.initializers.zeros, (STATES, ACTIONS))[observation % STATES]
        )


class Values(nn.Module):
    """A value for each state and time."""

    @nn.compact
    def __call__(self, observation: Any) -> Array:
        return self.param("v", nn.initializers.zeros, (STEPS * STATES,))[observation]


def values(logits: Array, discount: float) -> Array:
    """Of every state and time ``[3, 2]``, by dynamic programming."""
    policy, value = jax.nn.softmax(logits), jnp.zeros(STATES)
    found = []
    for _ in range(STEPS):
        after = (1 - NEXT) * value[0] + NEXT * value[1]
        value = jnp.sum(policy * (REWARD + discount * (1 - END) * after), axis=1)
        found.insert(0, value)
    return jnp.stack(found)


def exact_gradient(discount: float) -> np.ndarray:
    """Of the expected discounted return from state 0."""

    def objective(logits: Array) -> Array:
        return values(logits, discount)[0, 0]

    return np.asarray(jax.grad(objective)(jnp.float32(LOGITS)))


def sampled(key: Key, episodes: int) -> Transition:
    """A rollout ``[3, B]`` of the task, whose environments go on from state 0 after an end."""

    def step(state: Array, time: Array) -> tuple[Array, Transition]:
        act_key, next_key, end_key = jax.random.split(jax.random.fold_in(key, time), 3)
        action = jax.random.categorical(act_key, jnp.float32(LOGITS)[state])
        following = jax.random.bernoulli(next_key, jnp.float32(NEXT)[state, action]).astype(jnp.int32)
        ended = jax.random.bernoulli(end_key, jnp.float32(END)[state, action])
        seen = Transition(
            observation=STATES * time + state,
            action=action,
            reward=jnp.float32(REWARD)[state, action],
            terminated=ended,
            truncated=jnp.zeros(episodes, bool),
            next_observation=STATES * time + STATES + following,
        )
        return jnp.where(ended, 0, following), seen

    return jax.lax.scan(step, jnp.zeros(episodes, jnp.int32), jnp.arange(STEPS))[1]


def learner(**config: Any) -> State:
    """A learner with the policy and the values of the task."""
    given: dict[str, Any] = {"discount": DISCOUNT, "discount_steps": True, "network": Table()}
    if config.get("baseline", "value") in ("value", "td_value"):
        given["value_network"] = Values()
    if config.get("returns") == "trajectory":
        given["discount_steps"] = False
    config = given | config
    state = reinforce.init(jax.random.key(0), Config(**config), OBSERVATIONS, DISCRETE)
    value_params: Any = state.value_params
    if state.value_network is not None:
        value_params = {"params": {"v": values(jnp.float32(LOGITS), config["discount"]).reshape(-1)}}
    return dataclasses.replace(
        state, params={"params": {"logits": jnp.float32(LOGITS)}}, value_params=value_params
    )


def logits(params: Any) -> Array:
    return params["params"]["logits"]


ESTIMATORS: dict[str, dict[str, Any]] = {
    "trajectory, none": {"returns": "trajectory", "baseline": "none"},
    "trajectory, constant": {"returns": "trajectory", "baseline": "constant"},
    "trajectory, optimal": {"returns": "trajectory", "baseline": "optimal"},
    "none": {"baseline": "none"},
    "constant": {"baseline": "constant"},
    "optimal": {"baseline": "optimal"},
    "time": {"baseline": "time"},
    "value": {"baseline": "value"},
}
"""Rewards to go, but for those that say otherwise."""
EPISODES = 16


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What an estimator came to over many batches, by parameter ``[2, 2]``."""

    mean: np.ndarray
    variance: np.ndarray
    """Of one batch's estimate."""
    batches: int

    def off(self, exact: np.ndarray) -> np.ndarray:
        """How far the mean is from the exact gradient, in standard errors."""
        return (self.mean - exact) / np.sqrt(self.variance / self.batches)


def measure(batches: int) -> dict[str, Estimate]:
    """Every estimator on the same batches of episodes, a multiple of 64 in number."""
    learners = {name: learner(**choices) for name, choices in ESTIMATORS.items()}

    def one(number: Array) -> dict[str, Array]:
        rollout = sampled(jax.random.key(number), EPISODES)
        return {
            name: -logits(reinforce.estimate(state, reinforce.episodes_of(state.config, rollout))[0])
            for name, state in learners.items()
        }

    def moments(numbers: Array) -> dict[str, tuple[Array, Array]]:
        found = jax.vmap(one)(numbers)
        return jax.tree.map(lambda x: (jnp.sum(x, axis=0), jnp.sum(jnp.square(x), axis=0)), found)

    numbers = jnp.arange(batches).reshape(64, -1)
    sums = jax.device_get(jax.jit(lambda numbers: jax.lax.map(moments, numbers))(numbers))
    estimates = {}
    for name, (total, squares) in sums.items():
        mean = total.astype(np.float64).sum(axis=0) / batches
        variance = squares.astype(np.float64).sum(axis=0) / batches - mean**2
        estimates[name] = Estimate(mean, variance, batches)
    return {name: estimates[name] for name in ESTIMATORS}


@dataclasses.dataclass(frozen=True)
class Arguments:
    """How many, and where to."""

    batches: int = 64_000
    """Batches of sixteen episodes, a multiple of 64."""
    output: Path = Path("runs/baseline-variance")
    """Where record and picture are left."""
    publish: bool = False
    """Leave them in experiments/results/figures/."""
    table: bool = False
    """Write the README's table from what is published; alone, it measures nothing."""


def main(words: list[str]) -> int:
    """Measures, prints, and leaves a record and a picture; or writes the README's table."""
    given = tyro.cli(Arguments, args=words, description=__doc__)
    checks.whole(given, 64, "batches")
    if given.batches % 64:
        raise InvalidInput(f"batches must be a multiple of 64, not {given.batches}")
    if given.publish or not given.table:
        compare(given.batches, comparison.published() if given.publish else given.output)
    if given.table:
        record = comparison.read(NAME)
        comparison.write_table(MARK, table(record), f"{len(record['estimators'])} estimators")
    return 0


def compare(batches: int, folder: Path) -> None:
    """Measures every estimator, prints what came of it, and leaves record and picture in a folder."""
    estimates, exact = measure(batches), exact_gradient(DISCOUNT)
    lines = Lines("returns, baseline", "variance", "of none's", "furthest off, standard errors")
    record = {}
    for name, estimate in estimates.items():
        variance, off = float(estimate.variance.sum()), float(np.abs(estimate.off(exact)).max())
        share = variance / float(estimates["trajectory, none"].variance.sum())
        lines.add_row(name, f"{variance:.4f}", f"{share:.2f}", f"{off:.1f}")
        record[name] = {"variance": variance, "furthest_off": off, "mean": estimate.mean.tolist()}
    console = Console()
    console.print(lines)
    about = {"batches": batches, "episodes": EPISODES, "exact": exact.tolist(), "estimators": record}
    results.write_text(folder / f"{NAME}.json", results.text_of(about))
    draw(estimates, folder / f"{NAME}.png")
    console.print(f"{folder}")


def table(record: Mapping[str, Any]) -> str:
    """The README's table of a record: a column for each baseline, a row for each way to credit an action."""
    found = record["estimators"]
    lines = results.head(("", *BASELINES.values()))
    for called, prefix in (("returns of whole episodes", "trajectory, "), ("rewards to go", "")):
        variances = [found.get(f"{prefix}{name}", {}).get("variance") for name in BASELINES]
        cells = ["–" if variance is None else f"{variance:.3f}" for variance in variances]
        lines.append(results.line_of([called, *cells]))
    furthest = max(row["furthest_off"] for row in found.values())
    note = (
        f"Of {results.spaced(record['batches'] * record['episodes'])} episodes; no mean is further than"
        f" {furthest:.1f} standard errors from the exact gradient, in any parameter."
    )
    return "\n".join([*lines, "", note])


def draw(estimates: dict[str, Estimate], path: Path) -> None:
    """A bar for each estimator."""
    figure = blank_figure(6.0, 3.2)
    axes = figure.add_subplot()
    names = list(estimates)[::-1]
    colours = ["tab:gray" if name.startswith("trajectory") else "tab:blue" for name in names]
    axes.barh(names, [estimates[name].variance.sum() for name in names], color=colours)
    axes.set_xlabel("variance of the estimated gradient, 16 episodes")
    axes.set_title("REINFORCE: returns of whole episodes (grey), rewards to go (blue)", fontsize=9)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(exit_code(lambda: main(sys.argv[1:])))
