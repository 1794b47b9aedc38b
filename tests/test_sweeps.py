"""Hyperparameters and an environment's knobs are data: a sweep over them is one vmap."""

import jax
import jax.numpy as jnp
import numpy as np

import purejaxrl
from purejaxrl.agents import dqn
from purejaxrl.environments.base import vectorise
from purejaxrl.environments.catch import Catch
from purejaxrl.training import Loop, Settings

SMALL = {"hidden_sizes": (16,), "batch_size": 16, "buffer_capacity": 400, "warmup_steps": 40}
SETTINGS = Settings(total_steps=40 + 2 * 80, num_envs=2, num_epochs=2, evaluation_episodes=4)


def test_seeds_and_learning_rates_are_one_program():
    environment = purejaxrl.make("Catch", num_envs=2)

    def train(learning_rate, key):
        config = dqn.Config(learning_rate=learning_rate, epsilon_steps=100, **SMALL)
        return Loop(dqn, config, environment, SETTINGS).train(key)

    rates = jnp.array([0.0, 1e-3, 1e-2])
    keys = jax.random.split(jax.random.key(0), 2)
    sweep = jax.jit(jax.vmap(jax.vmap(train, in_axes=(None, 0)), in_axes=(0, None)))
    runner, metrics = sweep(rates, keys)

    assert metrics.evaluation_return.shape == (3, 2, 3)  # rates, seeds, the warm-up and two epochs
    np.testing.assert_array_equal(runner.agent.config.learning_rate, np.repeat(rates[:, None], 2, 1))
    first = jax.tree.leaves(runner.agent.params)[1]
    # Without learning the target stays the network; with it, parameters differ from rate to rate.
    np.testing.assert_array_equal(first[0], jax.tree.leaves(runner.agent.target_params)[1][0])
    for a, b in ((0, 1), (1, 2)):
        assert np.abs(first[a] - first[b]).max() > 1e-4

    alone, _ = jax.jit(train)(rates[2], jax.random.split(jax.random.key(0), 2)[1])
    np.testing.assert_allclose(jax.tree.leaves(alone.agent.params)[1], first[2, 1], atol=1e-5)


def test_difficulties_of_catch_train_in_one_program():
    def train(rows, key):
        environment = vectorise(Catch(rows=rows, max_rows=10), num_envs=2)
        config = dqn.Config(epsilon_steps=100, **SMALL)
        return Loop(dqn, config, environment, SETTINGS).train(key)

    rows = jnp.array([4, 7, 10])
    _, metrics = jax.jit(jax.vmap(train))(rows, jax.random.split(jax.random.key(1), 3))
    # The ball falls one row a step from the top row: an episode has rows − 1 steps. The evaluation's
    # environments are as difficult as those of training.
    for length in (metrics.episode_length, metrics.evaluation_length):
        np.testing.assert_array_equal(length, np.repeat(rows[:, None] - 1, 3, axis=1))
