"""Runs in wrapped environments: running statistics are a part of the run, and of what it takes to act."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl import environments, training
from purejaxrl.agents import a2c
from purejaxrl.environments import statistics
from purejaxrl.training import Experiment, Keeping, Settings
from purejaxrl.training.loop import Runner
from purejaxrl.training.policies import evaluate, load_policies

OPTIONS = ("normalise_observation=True", "normalise_reward=True", "frame_stack=2")
SETTINGS = Settings(
    total_steps=640, num_envs=8, rollout_length=5, num_epochs=2, evaluation_episodes=8, evaluation_steps=30
)
EXPERIMENT: Experiment[Any] = Experiment(
    a2c, a2c.Config(hidden_sizes=(8,)), "CartPole-v1", SETTINGS, OPTIONS, num_seeds=2, devices=1
)
SHORT = dataclasses.replace(EXPERIMENT, settings=dataclasses.replace(SETTINGS, total_steps=320, num_epochs=1))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> training.Result:
    folder = tmp_path_factory.mktemp("wrapped") / "whole"
    return training.run(EXPERIMENT, folder, keeping=Keeping(checkpoint_every=1))


@pytest.fixture(scope="module")
def first(whole: training.Result) -> Runner:
    """The first seed's runner; taken out once, since that counts as a use of its key."""
    return jax.tree.map(lambda leaf: leaf[0], whole.runners)


def first_evaluation(runner: Runner, key: jax.Array) -> tuple[Any, Any]:
    """The environments of an evaluation as they begin, and what they observe."""
    environment = environments.for_evaluation(runner.environment, 4)
    return environments.begin(environment, key, statistics(runner.environment_state))


def test_an_evaluation_normalises_by_what_training_knows(first: Runner) -> None:
    known = statistics(first.environment_state)
    assert known["observation"].count > 640  # what was seen first in every episode, and every step
    state, observation = first_evaluation(first, jax.random.key(1))
    chex.assert_trees_all_equal(statistics(state), known)
    environment = environments.for_evaluation(first.environment, 4)
    after, timestep = environment.step(jax.random.key(2), state, jnp.zeros(4, jnp.int32))
    chex.assert_trees_all_equal(statistics(after), known)  # frozen
    # CartPole begins within ±0.05: by the first step's own statistics this would be about ±1.7.
    raw = observation[:, 4:] * np.sqrt(known["observation"].variance + 1e-8) + known["observation"].mean
    assert np.all(np.abs(raw) <= 0.0501)
    np.testing.assert_array_equal(timestep.reward, timestep.reward[0])


def test_a_run_goes_on_with_its_statistics(whole: training.Result, tmp_path: Path) -> None:
    folder = tmp_path / "interrupted"
    training.run(SHORT, folder, keeping=Keeping(checkpoint_every=1))
    resumed = training.run(EXPERIMENT, folder, keeping=Keeping(checkpoint_every=1), resume=True)
    for name in ("agent", "environment_state", "observation"):
        chex.assert_trees_all_equal(getattr(resumed.runners, name), getattr(whole.runners, name))


def test_new_episodes_keep_what_was_known(first: Runner) -> None:
    renewed = EXPERIMENT.loop().renew(first, jnp.int32(2))
    known, after = statistics(first.environment_state), statistics(renewed.environment_state)
    assert after["observation"].count >= known["observation"].count > 640
    assert not np.array_equal(renewed.observation, first.observation)


def test_a_policy_is_taken_out_with_its_statistics(whole: training.Result) -> None:
    policies = load_policies(whole.folder)
    chex.assert_trees_all_equal(policies.statistics, statistics(whole.runners.environment_state))
    chex.assert_trees_all_equal(policies.agents.params, whole.runners.agent.params)
    played = evaluate(policies, episodes=8, steps=30)
    assert played.returns.shape == (2, 8)
    # Without what it knew the policy would see other numbers, and live another while.
    known = policies.statistics["observation"]
    shifted = {**policies.statistics, "observation": known.replace(mean=known.mean + 1.0)}
    other = evaluate(dataclasses.replace(policies, statistics=shifted), episodes=8, steps=30)
    assert not np.array_equal(played.returns, other.returns, equal_nan=True)


def test_statistics_are_of_all_environments_however_these_are_shared(whole: training.Result) -> None:
    spread = dataclasses.replace(SHORT, shard="environments", num_seeds=1, devices=4)
    alone = dataclasses.replace(SHORT, num_seeds=1)
    (runners, _), (expected, _) = training.train(spread), training.train(alone)
    chex.assert_trees_all_close(
        statistics(runners.environment_state), statistics(expected.environment_state), rtol=1e-4, atol=1e-5
    )
