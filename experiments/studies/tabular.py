"""Tabular and linear methods."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from purejaxrl.environments import REGISTRY, exact
from purejaxrl.types import PyTree
from studies.base import Figure, Published, Study
from studies.running import Exact

INDEPENDENT = "no number is printed there: worked out independently of this library from its settings"


def best_policies(environment: str, epsilon: float) -> tuple[dict[str, float], PyTree]:
    """Exact returns from the start, undiscounted: of the best policy, of ε-greedy on it, of the best ε-soft.

    The parameters are the optimal action values ``[S, A]``.
    """
    world: Any = REGISTRY[environment]()
    P, R = exact.tables(world)
    optimal = exact.optimal_values(P, R)
    of_actions = exact.action_values(P, R, optimal)
    explored = exact.policy_values(P, R, exact.greedy_policy(of_actions, epsilon))
    soft = exact.optimal_values(P, R, epsilon=epsilon)
    returns = {"optimal": optimal, "explored": explored, "soft": soft}
    return {name: float(values[world.start]) for name, values in returns.items()}, np.asarray(of_actions)


def best(name: str, environment: str, what: str, **published: Published) -> Study:
    """The exact figures of a grid world, which bound what learners can reach there."""
    words = {
        "optimal": "return of the best policy",
        "explored": "return of ε-greedy on it, ε = .1",
        "soft": "return of the best ε-soft policy, ε = .1",
    }
    return Study(
        name=name,
        what=what,
        run=Exact(
            functools.partial(best_policies, environment, 0.1), {"environment": environment, "epsilon": 0.1}
        ),
        figures={figure: Figure(said, published.get(figure)) for figure, said in words.items()},
        source=f"Sutton & Barto (2018), chapter 6; {INDEPENDENT}",
        measure="published and ours: computed, nothing is learnt",
    )


STUDIES: tuple[Study, ...] = (
    best(
        "cliff-exact",
        "CliffWalking",
        "Dynamic programming, cliff 4 × 12",
        optimal=Published(-13.0, rule="exactly", tolerance=1e-9),
        explored=Published(-50.80, rule="exactly", tolerance=0.005),
        soft=Published(-20.71, rule="exactly", tolerance=0.005),
    ),
    best(
        "windy-exact",
        "WindyGridworld",
        "Dynamic programming, windy gridworld",
        optimal=Published(-15.0, rule="exactly", tolerance=1e-9),
        soft=Published(-17.05, rule="exactly", tolerance=0.005),
    ),
)
