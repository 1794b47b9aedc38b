"""Each agent on each probe of probes.py, with three seeds: a broken agent fails in seconds and says where.

An agent meets all probes in one compiled program, in which every run is a few thousand steps of training.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import HIGH, LOW, Probe

from purejaxrl import actor_critic, networks
from purejaxrl.agents import a2c, a3c, ddpg, dqn, ppo, pqn, q_learning, reinforce, trpo
from purejaxrl.environments import vectorise
from purejaxrl.training.loop import Loop
from purejaxrl.training.settings import Settings
from purejaxrl.types import Array, Key

pytestmark = pytest.mark.optimised

NUM_SEEDS = 3
DISCOUNT = 0.7
PROBES: dict[str, Probe] = {
    "value": Probe(constant=1.0),
    "observation": Probe(signal=1.0, spread=1.0),
    "discount": Probe(constant=1.0, steps=2),
    "policy": Probe(weight=1.0, aim=0.5),
    "coupling": Probe(weight=1.0, coupling=0.5, spread=1.0),
}
# Where the learnt agents are asked: (x, t) of every observation that some probe has.
OBSERVATIONS = jnp.array([[0.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])
START, SECOND, LEFT, RIGHT = range(4)
NEAR = 0.5  # an eighth of the range; its middle and its ends are twice as far from the right actions


def dqn_value(state: dqn.State) -> Array:
    return jnp.max(dqn.action_values(state, state.params, OBSERVATIONS), axis=-1)


def q_learning_value(state: q_learning.State) -> Array:
    return jnp.max(q_learning.action_values(state, state.params, OBSERVATIONS), axis=-1)


def pqn_value(state: pqn.State) -> Array:
    return jnp.max(pqn.action_values(state, state.params, OBSERVATIONS), axis=-1)


def policy_s_value(state: Any) -> Array:
    return actor_critic.look(state.network, state.params, (), OBSERVATIONS)[2]


def value_alone(state: Any) -> Array:
    return networks.apply(state.value_network, state.value_params, OBSERVATIONS)


def a3c_value(state: a3c.State) -> Array:
    return policy_s_value(state.shared)


def ddpg_value(state: ddpg.State) -> Array:
    action = ddpg.policy(state, state.actor_params, OBSERVATIONS)
    return ddpg.action_value(state, state.critic_params, OBSERVATIONS, action)


ROLLOUTS = Settings(total_steps=8_000, num_envs=8, rollout_length=2, num_epochs=1, evaluation_episodes=0)
TD: dict[str, Any] = {"discount": DISCOUNT, "epsilon_start": 0.5, "epsilon_end": 0.5}
NETWORK: dict[str, Any] = TD | {"approximator": "network", "hidden_sizes": (8,), "optimiser": "adam"}
REPLAY: dict[str, Any] = {"buffer_capacity": 1024, "batch_size": 32, "warmup_steps": 256}
AGENTS: dict[str, tuple[Any, Any, Any, Settings]] = {
    "dqn": (
        dqn,
        dqn.Config(
            learning_rate=5e-3,
            discount=DISCOUNT,
            epsilon_end=0.5,
            epsilon_steps=1,
            target_period=10,
            hidden_sizes=(16,),
            **REPLAY,
        ),
        dqn_value,
        Settings(total_steps=256 + 8 * 1000, num_envs=8, num_epochs=1, evaluation_episodes=0),
    ),
    "a2c": (
        a2c,
        a2c.Config(
            learning_rate=1e-2,
            discount=DISCOUNT,
            optimiser="adam",
            hidden_sizes=(16,),
            max_gradient_norm=None,
        ),
        policy_s_value,
        ROLLOUTS,
    ),
    **{
        f"a2c, {policy}": (
            a2c,
            a2c.Config(
                learning_rate=5e-3,
                discount=DISCOUNT,
                optimiser="adam",
                hidden_sizes=(16,),
                policy=policy,
            ),
            policy_s_value,
            Settings(total_steps=128_000, num_envs=64, rollout_length=2, num_epochs=1, evaluation_episodes=0),
        )
        for policy in ("gaussian", "tanh_gaussian", "beta")
    },
    "ppo": (
        ppo,
        ppo.Config(
            learning_rate=5e-3, discount=DISCOUNT, passes=2, minibatches=2, hidden_sizes=(16,), target_kl=0.1
        ),
        policy_s_value,
        ROLLOUTS,
    ),
    "ppo, gaussian": (
        ppo,
        ppo.Config(
            learning_rate=1e-2, discount=DISCOUNT, passes=3, minibatches=2, hidden_sizes=(16,), value_clip=0.5
        ),
        policy_s_value,
        Settings(total_steps=32_000, num_envs=64, rollout_length=4, num_epochs=1, evaluation_episodes=0),
    ),
    "a3c": (
        a3c,
        a3c.Config(
            learning_rate=3e-3,
            discount=DISCOUNT,
            optimiser="adam",
            hidden_sizes=(16,),
            workers=4,
            synchronise_every=2,
        ),
        a3c_value,
        ROLLOUTS,
    ),
    **{
        name: (
            trpo,
            trpo.Config(
                discount=DISCOUNT,
                max_kl=0.02,
                value_learning_rate=5e-3,
                passes=4,
                minibatches=2,
                advantage_normalisation="none",  # which makes much of the last differences
                hidden_sizes=(16,),
            ),
            value_alone,
            settings,
        )
        for name, settings in (
            ("trpo", ROLLOUTS),
            (
                "trpo, gaussian",
                Settings(
                    total_steps=32_000, num_envs=64, rollout_length=4, num_epochs=1, evaluation_episodes=0
                ),
            ),
        )
    },
    **{
        f"reinforce, {baseline}": (
            reinforce,
            reinforce.Config(
                learning_rate=1e-2,
                value_learning_rate=1e-2,
                discount=DISCOUNT,
                baseline=baseline,
                value_steps=5,
                hidden_sizes=(16,),
            ),
            value_alone,
            ROLLOUTS,
        )
        for baseline in ("value", "td_value")
    },
    "ddpg": (
        ddpg,
        ddpg.Config(
            actor_learning_rate=2e-3,
            critic_learning_rate=5e-3,
            discount=DISCOUNT,
            tau=0.1,
            noise_start=0.5,
            noise_end=0.5,
            hidden_sizes=(32,),
            **REPLAY,
        ),
        ddpg_value,
        Settings(total_steps=256 + 8 * 2000, num_envs=8, num_epochs=1, evaluation_episodes=0),
    ),
    "pqn": (
        pqn,
        pqn.Config(learning_rate=1e-2, passes=2, minibatches=2, hidden_sizes=(16,), **TD),
        pqn_value,
        ROLLOUTS,
    ),
    "q_learning, tiles": (
        q_learning,
        q_learning.Config(target="expected_sarsa", returns="retrace", approximator="tile_coding", **TD),
        q_learning_value,
        ROLLOUTS,
    ),
    "q_learning, separate networks": (
        q_learning,
        q_learning.Config(learning_rate=1e-2, target="double", architecture="separate", **NETWORK),
        q_learning_value,
        ROLLOUTS,
    ),
    "q_learning, a network of state and action": (
        q_learning,
        q_learning.Config(learning_rate=1e-2, returns="lambda", architecture="state_action", **NETWORK),
        q_learning_value,
        ROLLOUTS,
    ),
}


# A policy that is still wide loses by it. Beta distributions narrow slowly: their parameters have to grow.
WIDTH_COSTS = {"a2c, beta": 0.15}
CONTINUOUS = ("ddpg", "a2c, gaussian", "a2c, tanh_gaussian", "a2c, beta", "ppo, gaussian", "trpo, gaussian")


@functools.cache
def learnt(name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """By probe: the values ``[seed, observation]`` and the greedy actions ``[seed, observation]``."""
    agent, config, value, settings = AGENTS[name]

    def train(key_and_probe: tuple[Key, Probe]) -> tuple[Array, Array]:
        key, probe = key_and_probe
        environment = vectorise(dataclasses.replace(probe, continuous=name in CONTINUOUS), settings.num_envs)
        runner, _ = Loop(agent, config, environment, settings).train(key)
        return value(runner.agent), agent.greedy(runner.agent, OBSERVATIONS)[0]

    keys = jax.random.split(jax.random.key(0), len(PROBES) * NUM_SEEDS)
    probes = jax.tree.map(lambda *knobs: jnp.repeat(jnp.stack(knobs), NUM_SEEDS), *PROBES.values())
    values, actions = jax.jit(lambda *x: jax.lax.map(train, x))(keys, probes)
    values, actions = (np.asarray(x).reshape(len(PROBES), NUM_SEEDS, -1) for x in (values, actions))
    return {probe: (values[i], actions[i]) for i, probe in enumerate(PROBES)}


def right_actions(name: str, aims: list[float]) -> np.ndarray:
    """The best actions where they are to be ``aims``: of two the nearer, or that part of the range."""
    if name in CONTINUOUS:
        return (LOW + HIGH) / 2 + (HIGH - LOW) / 2 * np.array(aims)
    return np.array(aims) > 0


@pytest.fixture(params=AGENTS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_value(name: str) -> None:
    """One step, reward 1: worth 1."""
    values, _ = learnt(name)["value"]
    np.testing.assert_allclose(values[:, START], 1.0, atol=0.05)


def test_observation(name: str) -> None:
    """The reward is what is observed."""
    values, _ = learnt(name)["observation"]
    np.testing.assert_allclose(values[:, [LEFT, RIGHT]], [[-1.0, 1.0]] * NUM_SEEDS, atol=0.1)


def test_discount(name: str) -> None:
    """A reward at the second step is worth γ at the first."""
    values, _ = learnt(name)["discount"]
    np.testing.assert_allclose(values[:, [START, SECOND]], [[DISCOUNT, 1.0]] * NUM_SEEDS, atol=0.1)


def test_policy(name: str) -> None:
    """The reward falls from 0 with the distance from the right action."""
    values, actions = learnt(name)["policy"]
    np.testing.assert_allclose(actions[:, START], right_actions(name, [0.5] * NUM_SEEDS), atol=NEAR)
    np.testing.assert_allclose(values[:, START], 0.0, atol=WIDTH_COSTS.get(name, 0.1))


def test_coupling(name: str) -> None:
    """The same, where the right action depends on the observation."""
    values, actions = learnt(name)["coupling"]
    right = right_actions(name, [-0.5, 0.5])
    np.testing.assert_allclose(actions[:, [LEFT, RIGHT]], np.stack([right] * NUM_SEEDS), atol=NEAR)
    np.testing.assert_allclose(values[:, [LEFT, RIGHT]], 0.0, atol=WIDTH_COSTS.get(name, 0.1))
