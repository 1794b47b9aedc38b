"""Evolution strategies at gymnax-blines' settings, and augmented random search at the zoo's."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

import purejaxrl
from purejaxrl.action_distributions import Categorical, CategoricalHead, Gaussian
from purejaxrl.agents import evolution_strategies, random_search
from purejaxrl.networks import MLP, PYTORCH, ZEROS, Actor, dense
from purejaxrl.training import Experiment, Loop, Settings
from purejaxrl.training.loop import Runner, Tally
from purejaxrl.types import Array, Key, PyTree
from studies.base import Figure, Published, Study
from studies.policy_gradient.gymnax_blines import FALL, drawn_return
from studies.running import Measure, Simulated, Trained
from studies.value_based import zoos

SEEDS = 8
"""The published figures are of one run."""


def balance(
    agent: Any,
    config: Any,
    settings: Settings,
    generations: int,
    budgets: Mapping[str, int],
    key: Key,
) -> tuple[dict[str, Array], PyTree]:
    """Returns in CartPole of the policy that a search has once it has taken so many steps.

    Its actions are drawn where the members' are, and else the likeliest. Counted are the steps of the
    members' episodes, each of which pays 1, and not what is left of a rollout after them. Where a budget is
    not spent in so many generations, the policy is that of the last.
    """
    loop = Loop(agent, config, purejaxrl.make("CartPole-v1", settings.num_envs), settings)

    def look(runner: Runner, tally: Tally) -> tuple[Array, PyTree]:
        del tally
        return jnp.sum(runner.memory), runner.agent.params

    runner, (taken, params) = loop.trace(key, generations, look)
    figures, chosen = {}, {}
    for name, budget in budgets.items():
        index = jnp.minimum(jnp.searchsorted(jnp.cumsum(taken), budget), generations - 1)
        chosen[name] = jax.tree.map(lambda leaf, index=index: leaf[index], params)
        searched = dataclasses.replace(runner.agent, params=chosen[name])
        searched = dataclasses.replace(runner, agent=searched)
        if config.sample_actions:
            figures[name] = drawn_return_of_mean(searched, settings.rollout_length, index)
        else:
            finished, episode = loop.evaluate(searched, index)
            figures[name] = jnp.mean(episode.episode_return, where=finished)
    return figures, chosen


def drawn_return_of_mean(runner: Runner, longest: int, index: Array | int) -> Array:
    """The mean return of the policy that evolution strategies have, as the one member of a population."""
    alone = jax.tree.map(lambda leaf: leaf[None], runner.agent.params)
    searched = dataclasses.replace(runner.agent, population=alone)
    key = jax.random.fold_in(runner.evaluation_key, index)
    return drawn_return(evolution_strategies, searched, runner.environment, longest, key)


def balanced(
    agent: Any, config: Any, settings: Settings, generations: int, budgets: Mapping[str, int]
) -> dict[str, Any]:
    """What :func:`balance` is a simulation of, and what it was made with."""
    return {
        "function": functools.partial(balance, agent, config, settings, generations, budgets),
        "settings": {
            "environment": "CartPole-v1",
            "config": config,
            "settings": settings,
            "generations": generations,
            "budgets": budgets,
        },
    }


# Evolution strategies.

MEMBERS = 100
ROLLOUTS = 20
"""Episodes of each member a generation."""


def es_config(num_actions: int, learning_rate: float, noise: float) -> evolution_strategies.Config:
    """A population of 100 around a network that begins at 0."""
    return evolution_strategies.Config(
        learning_rate=learning_rate,
        learning_rate_decay=0.999,
        least_learning_rate=0.001,
        noise=noise,
        noise_decay=0.999,
        least_noise=0.01,
        optimiser_momentum=0.99,
        population=MEMBERS,
        sample_actions=True,
        network=Actor(MLP((64, 64), nn.relu, ZEROS), CategoricalHead(num_actions), ZEROS),
    )


ES_SOURCE = "gymnax-blines, its es.yaml and the learning curve beside it"
ES_MEASURE = (
    "published: one run's mean policy at that point of its curve, in 164 episodes with actions drawn; ours:"
    " in as many, drawn, too"
)
GENERATIONS = 119
"""As many as make the source's 1.9M steps in Catch, which leave out the last of each episode."""
ES_CATCH = Settings(
    total_steps=GENERATIONS * MEMBERS * ROLLOUTS * FALL,
    num_envs=MEMBERS * ROLLOUTS,
    rollout_length=FALL,
    num_epochs=1,
    evaluation_episodes=0,
)
ES_CATCH_CONFIG = es_config(3, 0.05, 0.1)
ES_CARTPOLE = dataclasses.replace(ES_CATCH, total_steps=100 * MEMBERS * ROLLOUTS * 500, rollout_length=500)


def evolve_to_catch(key: Key) -> tuple[dict[str, Array], PyTree]:
    """A search in Catch, and what its policy then catches less what it misses, on average."""
    environment = purejaxrl.make("Catch", ES_CATCH.num_envs)
    loop = Loop(evolution_strategies, ES_CATCH_CONFIG, environment, ES_CATCH)  # type: ignore[arg-type]

    def look(runner: Runner, tally: Tally) -> Array:
        del tally
        return runner.agent.info["fitness"]

    runner, fitness = loop.trace(key, GENERATIONS, look)
    mean = drawn_return_of_mean(runner, FALL, GENERATIONS)
    return {"mean": mean, "members": jnp.mean(fitness[-17:])}, runner.agent.params


# Augmented random search.


class LinearPolicy(nn.Module):
    """One of two actions, by a matrix without biases that begins at 0."""

    @nn.compact
    def __call__(self, observation: Array) -> Categorical:
        return Categorical(dense(observation, 2, ZEROS, "policy", use_bias=False))


class BoundedPolicy(nn.Module):
    """A torque ``[1]`` within its bounds, through tanh, by a network of 16 units."""

    @nn.compact
    def __call__(self, observation: Array) -> Gaussian:
        features = MLP((16,), nn.relu, PYTORCH)(observation)
        torque = 2.0 * jnp.tanh(dense(features, 1, PYTORCH, "policy"))
        return Gaussian(torque, jnp.zeros(1))


ARS_SOURCE = "rl-baselines3-zoo, hyperparams/ars.yml and benchmark.md"
ARS_NOTE = (
    "the source divides by the deviation of a sample, here it is that of all returns, which the step"
    " size makes up for: {}"
)
ARS_CARTPOLE_CONFIG = random_search.Config(
    learning_rate=0.02 * 0.75**0.5,
    noise=0.05,
    population=4,
    best_directions=2,
    network=LinearPolicy(),
)
ARS_GENERATIONS = 1_400
"""As many as spend 50 000 steps even where no episode takes more than nine."""
ARS_CARTPOLE = Settings(
    total_steps=ARS_GENERATIONS * 4 * 500,
    num_envs=4,
    rollout_length=500,
    num_epochs=1,
    evaluation_episodes=20,
)
ARS_PENDULUM = Settings(
    total_steps=2_000_000, num_envs=8, rollout_length=200, num_epochs=10, evaluation_episodes=100
)

STUDIES: tuple[Study, ...] = (
    Study(
        name="es-gymnax-cartpole",
        what="Evolution strategies, CartPole-v1, 47M steps",
        run=Simulated(
            **balanced(
                evolution_strategies,
                es_config(2, 0.04, 0.03),
                ES_CARTPOLE,
                100,
                {"early": 10_000_000, "late": 47_000_000},
            ),
            num_seeds=SEEDS,
            seeds="auto",
            seeds_per_call=2,
        ),
        figures={
            "early": Figure("return of the mean after 10M steps", Published(463.4)),
            "late": Figure("return of the mean after 47M steps", Published(500.0)),
        },
        source=ES_SOURCE,
        measure=ES_MEASURE,
        cost="minutes",
    ),
    Study(
        name="es-gymnax-catch",
        what="Evolution strategies, Catch, 119 generations",
        run=Simulated(
            evolve_to_catch,
            {
                "environment": "Catch",
                "config": ES_CATCH_CONFIG,
                "settings": ES_CATCH,
                "generations": GENERATIONS,
            },
            num_seeds=SEEDS,
            seeds="auto",
            seeds_per_call=2,
        ),
        figures={
            "mean": Figure("return of the mean after the run", Published(1.0), digits=3),
            "members": Figure("return of members, the last 17 generations", digits=3),
        },
        source=ES_SOURCE,
        measure=ES_MEASURE,
        note="its 1.9M steps leave out the last of each episode, with which they are 2.1M",
        cost="minutes",
    ),
    Study(
        name="ars-zoo-cartpole",
        what="Augmented random search, CartPole-v1, 50k steps",
        run=Simulated(
            **balanced(random_search, ARS_CARTPOLE_CONFIG, ARS_CARTPOLE, ARS_GENERATIONS, {"greedy": 50_000}),
            num_seeds=16,
        ),
        figures={
            "greedy": Figure(
                "return, 20 episodes after the run", Published(500.0, 0.0, zoos.EPISODES, rule="at least")
            )
        },
        source=ARS_SOURCE,
        measure=zoos.MEASURE,
        note=ARS_NOTE.format("0.02 × √¾"),
    ),
    Study(
        name="ars-zoo-pendulum",
        what="Augmented random search, Pendulum-v1, 2M steps",
        run=Trained(
            Experiment(
                random_search,
                random_search.Config(
                    learning_rate=0.018 * 0.5**0.5,
                    noise=0.1,
                    population=8,
                    best_directions=1,
                    network=BoundedPolicy(),
                ),
                "Pendulum-v1",
                ARS_PENDULUM,
                ("normalise_observation=True",),
                num_seeds=SEEDS,
            ),
            {"greedy": Measure("evaluation_return"), "members": Measure("episode_return")},
        ),
        figures={
            "greedy": Figure(
                "return, 100 episodes after the run",
                Published(-212.540, 160.4, zoos.EPISODES, rule="at least"),
            ),
            "members": Figure("return of members, the last 200k steps"),
        },
        source=ARS_SOURCE,
        measure=zoos.MEASURE,
        note=ARS_NOTE.format("0.018 × √½")
        + "; its members act one after another, here side by side, under the same statistics of observations;"
        " a plain loop in numpy, written apart, gives -850 over 8 runs, with a standard error of 80",
        cost="minutes",
    ),
)
