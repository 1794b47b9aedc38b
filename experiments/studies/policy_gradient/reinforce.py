"""REINFORCE in the book's short corridor, and at SLM-Lab's settings for CartPole."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

import purejaxrl
from purejaxrl.action_distributions import Categorical
from purejaxrl.agents import reinforce
from purejaxrl.environments.random_walk import ShortCorridor
from purejaxrl.training import Experiment, Loop, Settings
from purejaxrl.training.loop import Runner, Tally
from purejaxrl.types import Array, Key, PyTree
from studies.base import Figure, Published, Study
from studies.running import Exact, Measure, Simulated, Trained

BOOK = "Sutton & Barto (2018), example 13.1 and figure 13.1"


class Preferences(nn.Module):
    """How much each of two actions is preferred, whatever is observed: the two features of example 13.1."""

    @nn.compact
    def __call__(self, observation: Array) -> Categorical:
        del observation
        return Categorical(self.param("preferences", mostly_left, (2,)))


def mostly_left(key: Key, shape: tuple[int, ...]) -> Array:
    """Preferences ``[2]`` by which the second action, to the right, is drawn once in twenty times."""
    del key, shape
    half = 0.5 * np.log(0.95 / 0.05)
    return jnp.array([half, -half], jnp.float32)


EPISODES = 1_000
LONGEST = 1_000
"""Steps of a rollout, one episode of which is learnt from; the first policy's take 82 on average."""
CORRIDOR_CONFIG = reinforce.Config(
    learning_rate=2e-4, discount=1.0, baseline="none", optimiser="sgd", network=Preferences()
)


def walk_the_corridor(key: Key) -> tuple[dict[str, Array], PyTree]:
    """A run of so many episodes, with a step along the gradient of each."""
    settings = Settings(
        total_steps=EPISODES * LONGEST, rollout_length=LONGEST, num_epochs=1, evaluation_episodes=0
    )
    loop = Loop(reinforce, CORRIDOR_CONFIG, purejaxrl.make("ShortCorridor"), settings)  # type: ignore[arg-type]

    def look(runner: Runner, tally: Tally) -> Array:
        del tally  # of later episodes in the rollout, too
        return runner.agent.info["return"]

    runner, returns = loop.trace(key, EPISODES, look)
    policy = reinforce.policy(runner.agent, runner.agent.params, runner.observation)
    chance = jnp.exp(Categorical(policy.logits[0]).log_probability(jnp.int32(1)))  # type: ignore[attr-defined]
    figures = {
        "early": jnp.mean(returns[:100]),
        "late": jnp.mean(returns[-100:]),
        "value": jnp.asarray(ShortCorridor().value(chance)),
    }
    return figures, runner.agent.params


CHANCES = {"left": 0.05, "right": 0.95, "best": 2 - 2**0.5}
"""Of going right: of the two ε-greedy policies with ε = 0.1, and the best."""


def corridor_values() -> tuple[dict[str, float], PyTree]:
    """What the policies are worth at the start; their chances are the parameters."""
    values = {name: float(ShortCorridor().value(chance)) for name, chance in CHANCES.items()}
    return values, {name: np.asarray(chance) for name, chance in CHANCES.items()}


def printed(value: float) -> Published:
    """A number that is printed with one digit after the point, cut off or rounded."""
    return Published(value, rule="exactly", tolerance=0.1)


STUDIES: tuple[Study, ...] = (
    Study(
        name="reinforce-corridor",
        what=f"REINFORCE, short corridor, {EPISODES} episodes",
        run=Simulated(
            walk_the_corridor,
            {
                "environment": "ShortCorridor",
                "config": CORRIDOR_CONFIG,
                "episodes": EPISODES,
                "longest": LONGEST,
            },
            num_seeds=100,
        ),
        figures={
            "early": Figure("return, episodes 1 to 100"),
            "late": Figure("return, episodes 901 to 1000", Published(-11.6, rule="exactly", tolerance=1.0)),
            "value": Figure("value of the policy after the run", Published(-44.2, rule="at least")),
        },
        source=BOOK,
        measure="published: total reward an episode, averaged over 100 runs, which approaches the value of"
        " the best policy, -11.6, read here as within 1; policies that are ε-greedy with ε = 0.1 have -44.2"
        " and -82.1",
        note="rewards to go, undiscounted; one episode an update, cut off after 1 000 steps; it begins"
        " as the ε-greedy left policy; α = 2e-4 lies between two of the figure's",
    ),
    Study(
        name="corridor-exact",
        what="Policies of one chance, short corridor",
        run=Exact(corridor_values, {"environment": "ShortCorridor", "chances": CHANCES}),
        figures={
            "left": Figure("value of ε-greedy left, ε = 0.1", printed(-82.1)),
            "right": Figure("value of ε-greedy right, ε = 0.1", printed(-44.2)),
            "best": Figure("value of the best policy", printed(-11.6)),
        },
        source=BOOK,
        measure="published and ours: computed, nothing is learnt",
    ),
    Study(
        name="reinforce-slm-cartpole",
        what="REINFORCE, CartPole-v1, 197k steps",
        run=Trained(
            Experiment(
                reinforce,
                reinforce.Config(
                    learning_rate=2e-3,
                    discount=0.99,
                    entropy_coefficient=1e-3,
                    entropy_coefficient_steps=200_000 / 2_048,
                    max_gradient_norm=0.5,
                    episodes="all",
                    baseline="none",
                    advantage_normalisation="rollout",
                    hidden_sizes=(128, 128),
                    initialiser="orthogonal",
                ),
                "CartPole-v1",
                Settings(
                    total_steps=196_608,
                    num_envs=4,
                    rollout_length=512,
                    num_epochs=24,
                    evaluation_episodes=10,
                ),
                num_seeds=16,
            ),
            {"training": Measure("episode_return", 6), "greedy": Measure("evaluation_return")},
        ),
        figures={
            "training": Figure("return, training episodes of the last 49k steps", Published(483.31)),
            "greedy": Figure("return, 10 greedy episodes after the run"),
        },
        source="SLM-Lab, docs/BENCHMARKS.md and its specs",
        measure="published: training returns, exploration included, each 500 frames and averaged over the"
        " last 100 of these figures, which is read as the last 50k frames; 4 sessions, no spread printed",
        note="spec reinforce_cartpole_arc; 96 updates in place of its 97; the source takes the mean off"
        " returns, and here they are divided by their deviation, too, which Adam makes up for but where the"
        " gradient is clipped; it learns from episodes that the end of a rollout cuts off, with what they had"
        " come to by then, here they are left out",
        cost="minutes",  # and its digest is that of one thread a device, as scripts have it
    ),
)
