"""REINFORCE and A2C at tianshou's settings for MuJoCo."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from purejaxrl.action_distributions import Gaussian, GaussianHead
from purejaxrl.agents import a2c, reinforce
from purejaxrl.networks import MLP, Actor, ActorCritic, Initialiser, Orthogonal
from purejaxrl.training import Experiment, Settings
from purejaxrl.types import Array
from studies.base import Figure, Published, Study
from studies.running import Measure, Trained

SEEDS = 10
SPREAD = "standard deviation of 10 seeds"
LOG_DEVIATION = -0.5
HIDDEN = Orthogonal(math.sqrt(2))
SMALL = Orthogonal(0.01 * math.sqrt(2))


@dataclasses.dataclass(frozen=True)
class ScaledHead:
    """A Gaussian head whose ``size`` actions are worth ``limit`` each: those of [-1, 1] fill the range."""

    size: int
    limit: float

    def __call__(self, module: nn.Module, features: Array, kernel_init: Initialiser) -> Gaussian:
        unit: Any = GaussianHead(self.size, log_deviation=LOG_DEVIATION)(module, features, kernel_init)
        return Gaussian(self.limit * unit.mean, math.log(self.limit) + unit.log_deviation)

    def example(self) -> Gaussian:
        return Gaussian(jnp.zeros(self.size), jnp.zeros(self.size))


def torso() -> MLP:
    return MLP((64, 64), nn.tanh, HIDDEN)


@dataclasses.dataclass(frozen=True)
class Task:
    """A task of MuJoCo, with so many actions within ± ``limit``."""

    name: str
    size: int
    limit: float

    @property
    def environment(self) -> str:
        return f"envpool:{self.name}-v4"

    def actor(self) -> Actor:
        """The policy of REINFORCE, within its bounds through tanh."""
        bound = (self.limit,) * self.size
        low = tuple(-limit for limit in bound)
        return Actor(torso(), GaussianHead(self.size, False, LOG_DEVIATION, low, bound), SMALL)

    def actor_critic(self) -> ActorCritic:
        """The policy of A2C, which is clipped to its bounds, and its value."""
        return ActorCritic(torso(), ScaledHead(self.size, self.limit), torso(), SMALL, HIDDEN)


PENDULUM = Task("InvertedPendulum", 1, 3.0)
REACHER = Task("Reacher", 2, 1.0)
MEASURE = (
    "published: the best point of the mean curve of 10 runs, which are tested every 30k steps in 10 episodes"
    " each, actions drawn; ours: at the end, and without drawing"
)
VERSIONS = "EnvPool's version 4 of the task, where the source has version 2"
REINFORCE_NOTE = (
    f"{VERSIONS}; it takes mean and deviation of returns over all rollouts so far, here over the last; an"
    " episode that it cuts off goes on with that mean, here it is left out; rollouts are of {}, in place of"
    " 10 × 205"
)
A2C_NOTE = (
    f"{VERSIONS}; its runs are of 3M steps, of which the first third counts and is run here; it divides the"
    " critic's targets by the deviation of returns, here rewards are divided, and so are advantages"
)


def tianshou(
    name: str,
    what: str,
    task: Task,
    agent: Any,
    config: Any,
    settings: Settings,
    options: tuple[str, ...],
    published: Published,
    note: str,
    seeds: Literal["vmap", "map"] = "map",
) -> Study:
    """A study of ten runs, whose figure is of greedy episodes after them."""
    return Study(
        name=f"{name}-tianshou-{task.name.lower()}",
        what=f"{what}, {task.name} (MuJoCo), {settings.total_steps // 1_000_000}M steps",
        run=Trained(
            Experiment(agent, config, task.environment, settings, options, num_seeds=SEEDS, seeds=seeds),
            {"greedy": Measure("evaluation_return"), "training": Measure("episode_return")},
        ),
        figures={
            "greedy": Figure("return, 10 greedy episodes after the run", published),
            "training": Figure("return, training episodes of the last epoch"),
        },
        source="tianshou, examples/mujoco and its README.md",
        measure=MEASURE,
        note=note,
        cost="minutes",
    )


def by_returns(task: Task, num_envs: int, length: int, published: Published) -> Study:
    """REINFORCE with 1 500 updates of 2 000 steps."""
    return tianshou(
        "reinforce",
        "REINFORCE",
        task,
        reinforce,
        reinforce.Config(
            learning_rate=1e-3,
            learning_rate_steps=1_500,
            discount=0.99,
            episodes="all",
            baseline="none",
            advantage_normalisation="rollout",
            policy="tanh_gaussian",
            network=task.actor(),
        ),
        Settings(
            total_steps=3_000_000,
            num_envs=num_envs,
            rollout_length=length,
            num_epochs=30,
            evaluation_episodes=10,
        ),
        ("normalise_observation=True",),
        published,
        REINFORCE_NOTE.format(f"{num_envs} × {length} steps"),
        "vmap",  # all runs make one call to the simulators a step, which of few environments takes longest
    )


def by_advantages(task: Task, published: Published) -> Study:
    """A2C with 12 500 updates of 80 steps, a third of those over which its step size falls to 0."""
    return tianshou(
        "a2c",
        "A2C",
        task,
        a2c,
        a2c.Config(
            learning_rate_steps=37_500,
            gae_lambda=0.95,
            entropy_coefficient=0.01,
            network=task.actor_critic(),
        ),
        Settings(total_steps=1_000_000, num_envs=16, rollout_length=5, num_epochs=20, evaluation_episodes=10),
        ("normalise_observation=True", "normalise_reward=True"),
        published,
        A2C_NOTE,
    )


STUDIES: tuple[Study, ...] = (
    by_returns(PENDULUM, 2, 1_000, Published(999.2, 2.4, SPREAD)),
    by_returns(REACHER, 40, 50, Published(-10.5, 0.7, SPREAD)),
    by_advantages(PENDULUM, Published(1000.0, 0.0, SPREAD)),
    by_advantages(REACHER, Published(-6.7, 2.3, SPREAD)),
)
