"""PPO in Catch, as gymnax-blines has it: three points of a learning curve."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

import purejaxrl
from purejaxrl.action_distributions import CategoricalHead
from purejaxrl.agents import ppo
from purejaxrl.environments import for_evaluation
from purejaxrl.networks import LECUN, MLP, ActorCritic
from purejaxrl.training import Loop, Settings
from purejaxrl.training.loop import Runner, Tally
from purejaxrl.types import Array, Key, PyTree
from studies.base import Figure, Published, Study
from studies.running import Simulated

FALL = 9
"""Steps of every episode."""
TEST_EPISODES = 164
UPDATES = {"16k": 30, "32k": 60, "56k": 106}
"""By the steps of the source's curve: its updates by then, one every 528 steps."""
SETTINGS = Settings(
    total_steps=106 * 528, num_envs=16, rollout_length=33, num_epochs=1, evaluation_episodes=0
)
TORSO = MLP((64, 64), nn.relu, LECUN)
CONFIG = ppo.Config(
    learning_rate=5e-4,
    value_clip=0.2,
    max_gradient_norm=1.0,
    network=ActorCritic(TORSO, CategoricalHead(3), TORSO.copy(), LECUN),
)


def learn_to_catch(key: Key) -> tuple[dict[str, Array], PyTree]:
    """A run, and what its policy caught less what it missed, on average, after so many updates."""
    run_key, test_key = jax.random.split(key)
    environment = purejaxrl.make("Catch", num_envs=SETTINGS.num_envs)
    loop = Loop(ppo, CONFIG, environment, SETTINGS)  # type: ignore[arg-type]

    def look(runner: Runner, tally: Tally) -> Array:
        del tally
        key = jax.random.fold_in(test_key, runner.agent.step)
        return drawn_return(ppo, runner.agent, runner.environment, FALL, key)

    runner, returns = loop.trace(run_key, max(UPDATES.values()), look)
    return {name: returns[number - 1] for name, number in UPDATES.items()}, runner.agent.params


def drawn_return(agent: Any, state: Any, environment: Any, longest: int, key: Key) -> Array:
    """The mean return of test episodes of at most so many steps, with actions drawn as the agent acts."""
    environment = for_evaluation(environment, TEST_EPISODES)
    reset_key, test_key = jax.random.split(key)

    def step(carry: tuple[PyTree, Array, Array], keys: Key) -> tuple[tuple[PyTree, Array, Array], Array]:
        environment_state, observation, over = carry
        action, _, _ = agent.act(state, observation, keys[0], 0)
        environment_state, timestep = environment.step(keys[1], environment_state, action)
        carry = (environment_state, timestep.observation, over | timestep.ended)
        return carry, jnp.where(over, 0.0, timestep.reward)

    keys = jax.random.split(test_key, (longest, 2))
    begun = (*environment.reset(reset_key), jnp.zeros(TEST_EPISODES, bool))
    _, rewards = jax.lax.scan(step, begun, keys)
    return jnp.mean(jnp.sum(rewards, axis=0))


STUDIES: tuple[Study, ...] = (
    Study(
        name="ppo-gymnax-catch",
        what="PPO, Catch, 56k steps",
        run=Simulated(
            learn_to_catch,
            {"environment": "Catch", "config": CONFIG, "settings": SETTINGS, "updates": UPDATES},
            num_seeds=16,
            seeds="auto",
        ),
        figures={
            name: Figure(f"return after {name} steps", Published(value), digits=3)
            for name, value in (("16k", 0.61), ("32k", 0.95), ("56k", 1.0))
        },
        source="gymnax-blines, agents/Catch-bsuite/ppo.yaml and the learning curve beside it",
        measure="164 episodes with actions drawn, in which random play comes to -0.6; published: of one run",
        note="of the 33 steps of a rollout the source learns from all but the last, here from that, too, in"
        " minibatches of 132 in place of 128; its biases begin between 0 and 0.05, here at 0",
    ),
)
