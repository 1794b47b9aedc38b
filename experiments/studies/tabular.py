"""Tabular and linear methods."""

from __future__ import annotations

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import purejaxrl
from purejaxrl.agents import q_learning
from purejaxrl.environments import REGISTRY, exact
from purejaxrl.training import Experiment, Loop, Settings
from purejaxrl.training.loop import Runner, Tally
from purejaxrl.types import Array, Key, PyTree
from studies.base import Figure, Published, Study
from studies.running import Exact, Measure, Simulated, Trained

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
        "explored": "return of ε-greedy on it, ε = 0.1",
        "soft": "return of the best ε-soft policy, ε = 0.1",
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


def one_by_one(config: q_learning.Config, environment: str, **options: Any) -> Loop:
    """A table that learns from every step of one environment."""
    settings = Settings(total_steps=1_000, num_epochs=1, evaluation_episodes=0)
    return Loop(q_learning, config, purejaxrl.make(environment, **options), settings)  # type: ignore[arg-type]


CLIFF_EPISODES = 500
CLIFF_STEPS = 30_000
"""More than so many episodes have ever taken; a run that has fewer counts as dead."""


def walk_the_cliff(target: Any, key: Key) -> tuple[dict[str, Array], PyTree]:
    """Mean returns of the first and of the last hundred episodes of a run."""

    def look(runner: Runner, tally: Tally) -> tuple[Array, Array]:
        del runner
        return tally.episodes, tally.episode_return

    loop = one_by_one(q_learning.Config(target=target), "CliffWalking")
    runner, (ended, episode_return) = loop.trace(key, CLIFF_STEPS, look)
    number = jnp.where(ended > 0, jnp.cumsum(ended) - 1, CLIFF_EPISODES)  # others fall off the end
    returns = jnp.full(CLIFF_EPISODES, jnp.nan).at[number].set(episode_return, mode="drop")
    return {"early": jnp.mean(returns[:100]), "late": jnp.mean(returns[-100:])}, runner.agent.params


def cliff(
    target: Literal["sarsa", "q_learning", "expected_sarsa"],
    what: str,
    early: float,
    late: float,
    error: float,
    note: str = "",
) -> Study:
    """A learner on the cliff."""
    return Study(
        name=f"cliff-{target.replace('_', '-')}",
        what=f"{what}, cliff 4 × 12, {CLIFF_EPISODES} episodes",
        run=Simulated(
            functools.partial(walk_the_cliff, target),
            {
                "environment": "CliffWalking",
                "config": q_learning.Config(target=target),
                "episodes": CLIFF_EPISODES,
                "steps": CLIFF_STEPS,
            },
            num_seeds=400,
            seeds_per_call=200,
        ),
        figures={
            "late": Figure("return, episodes 401 to 500", Published(late, error, "standard error")),
            "early": Figure("return, episodes 1 to 100", Published(early)),
        },
        source=f"Sutton & Barto (2018), example 6.6; van Seijen et al. (2009), figure 2; {INDEPENDENT}",
        measure="return of every episode, ε = 0.1 included, α = 0.5; published: 400 runs late, 200 early",
        note=f"equal actions are drawn evenly{note}",
    )


WINDY_STEPS = 8_000


def walk_in_the_wind(key: Key) -> tuple[dict[str, Array], PyTree]:
    """Mean length of the episodes that end in the last quarter of a run."""

    def look(runner: Runner, tally: Tally) -> tuple[Array, Array]:
        del runner
        return tally.episodes, tally.episode_length

    loop = one_by_one(q_learning.Config(target="sarsa"), "WindyGridworld")
    runner, (ended, length) = loop.trace(key, WINDY_STEPS, look)
    last = slice(3 * WINDY_STEPS // 4, None)
    return {"length": jnp.sum(length[last]) / jnp.sum(ended[last])}, runner.agent.params


WALKS = {
    1: (0.8, 0.347, 0.0014),
    2: (0.6, 0.279, 0.0030),
    4: (0.4, 0.267, 0.0035),
    8: (0.2, 0.280, 0.0033),
    16: (0.1, 0.324, 0.0028),
}
"""By n: the best step size, the error published at it, and what 200 runs leave uncertain of that."""
WALK_STEPS = 4_000


def predict_the_walk(key: Key) -> tuple[dict[str, Array], PyTree]:
    """The error of n-step TD after each of the first ten episodes, averaged, for every n."""
    errors, params = {}, {}
    for n, (rate, _, _) in WALKS.items():
        config = q_learning.Config(learning_rate=rate, n_step=n)
        loop = one_by_one(config, "RandomWalk", states=19, left_reward=-1.0, right_reward=1.0)
        true_values = loop.environment.environment.true_values  # type: ignore[attr-defined]

        def look(runner: Runner, tally: Tally, true_values: Array = true_values) -> tuple[Array, Array]:
            del tally
            values = runner.agent.params["params"]["q"][:, 0]
            error = jnp.sqrt(jnp.mean(jnp.square(values - true_values)))
            # The first step of the window is the one that has just been learnt.
            return runner.memory.terminated[0, 0], error

        runner, (ended, error) = loop.trace(jax.random.fold_in(key, n), WALK_STEPS, look)
        number = jnp.where(ended, jnp.cumsum(ended) - 1, 10)
        episodes = jnp.full(10, jnp.nan).at[number].set(error, mode="drop")
        errors[f"n{n}"], params[f"n{n}"] = jnp.mean(episodes), runner.agent.params
    return errors, params


STUDIES: tuple[Study, ...] = (
    cliff("sarsa", "SARSA", -71.6, -26.16, 0.24),
    cliff(
        "q_learning",
        "Q-learning",
        -82.0,
        -50.54,
        0.35,
        "; a plain loop in numpy, written apart, gives -80.5 early and -49.8 late over 120 runs, with"
        " standard errors of 0.6 and 0.7",
    ),
    cliff(
        "expected_sarsa",
        "Expected SARSA",
        -57.5,
        -20.87,
        0.11,
        "; a plain loop in numpy, written apart, gives -56.0 early and -20.7 late over 120 runs, with"
        " standard errors of 0.3 and 0.2",
    ),
    Study(
        name="windy-sarsa",
        what=f"SARSA, windy gridworld, {WINDY_STEPS} steps",
        run=Simulated(
            walk_in_the_wind,
            {
                "environment": "WindyGridworld",
                "config": q_learning.Config(target="sarsa"),
                "steps": WINDY_STEPS,
            },
            num_seeds=200,
        ),
        figures={
            "length": Figure(
                "steps an episode, last 2 000 steps",
                Published(17.0, rule="exactly", tolerance=0.5),
                better="lower",
            )
        },
        source="Sutton & Barto (2018), example 6.5: 'about 17 steps', read here as within 0.5 of 17",
        measure="published: said of one run's curve; ours: mean over runs, ε = 0.1 included",
        note="a plain loop in numpy, written apart, gives 26.3 over 60 runs, with a standard error of 0.3:"
        " α = 0.5 keeps the values moving, and 17 is near what the best ε-soft policy takes, 17.05",
    ),
    Study(
        name="random-walk",
        what="n-step TD, 19-state random walk, 10 episodes",
        run=Simulated(
            predict_the_walk,
            {"environment": "RandomWalk", "states": 19, "walks": WALKS, "steps": WALK_STEPS},
            num_seeds=1000,
            seeds_per_call=500,
        ),
        figures={
            f"n{n}": Figure(
                f"RMS error, n = {n}, α = {rate}",
                Published(error, unsure, "standard error of 200 runs of ours"),
                digits=3,
                better="lower",
            )
            for n, (rate, error, unsure) in WALKS.items()
        },
        source=f"Sutton & Barto (2018), figure 7.2; {INDEPENDENT}",
        measure="mean over the 19 states, the first 10 episodes, and the runs (200 published, 1000 ours)",
        note="each n at the step size that was best there; no standard errors are published",
    ),
    Study(
        name="sarsa-slm-cartpole",
        what="SARSA with an MLP, CartPole-v1, 200k steps",
        run=Trained(
            Experiment(
                q_learning,
                q_learning.Config(
                    learning_rate=8.7e-3,
                    discount=0.99,
                    epsilon_start=1.0,
                    epsilon_end=0.05,
                    epsilon_steps=15_000,
                    max_gradient_norm=0.175,  # of ½ δ², whose gradient is half of that of the source's δ²
                    target="sarsa",
                    approximator="network",
                    hidden_sizes=(128,),
                    activation="tanh",
                    optimiser="rmsprop",
                ),
                "CartPole-v1",
                Settings(total_steps=199_808, num_envs=4, rollout_length=32, num_epochs=40),
                num_seeds=16,
            ),
            {"training": Measure("episode_return", 10), "greedy": Measure("evaluation_return")},
        ),
        figures={
            "training": Figure("return, training episodes of the last 50k steps", Published(430.95)),
            "greedy": Figure("return, 10 greedy episodes after the run"),
        },
        source="SLM-Lab, docs/BENCHMARKS.md and its specs",
        measure="published: training returns, exploration included, each 500 frames and averaged over the"
        " last 100 of these figures, which is read as the last 50k frames; 4 sessions, no spread printed",
        note="spec sarsa_boltzmann_cartpole_arc, which despite its name is ε-greedy; the last of a rollout's"
        " 32 steps bootstraps from action 0 in the source, here from the action taken; with a clip of 0.35,"
        " which is twice the source's for ½ δ², the same seeds came to 498.3",
        cost="minutes",
    ),
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
