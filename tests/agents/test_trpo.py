"""TRPO: its direction beside the exact one, its bound at every update, and that it learns."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import (
    NUM_ROWS,
    OBSERVATIONS,
    ROLLOUT,
    TWO_ACTIONS,
    LogitTable,
    StateValueTable,
    rows,
    tree,
)

from purejaxrl import environments
from purejaxrl.agents import trpo
from purejaxrl.training import Loop, Settings
from purejaxrl.types import InvalidInput, Transition

LOGITS = [[0.0, 0.0], [0.4, -0.2], [-1.0, 0.5], [0.0, 0.0], [0.3, 0.3], [0.0, 1.0], [0.7, 0.0], [0.0, 0.0]]


def learner(**config: Any) -> trpo.State:
    given: dict[str, Any] = {
        "discount": 0.5,
        "network": LogitTable(),
        "value_network": StateValueTable(),
        "minibatches": 1,
    }
    state = trpo.init(jax.random.key(0), trpo.Config(**(given | config)), OBSERVATIONS, TWO_ACTIONS)
    return dataclasses.replace(state, params=tree(logits=rows(*LOGITS)))


OBSERVED = jnp.array([0, 1, 1, 2, 5, 5, 6, 6])
TAKEN = jnp.array([0, 1, 0, 1, 0, 1, 1, 1])
ADVANTAGE = jnp.array([1.0, -0.5, 2.0, 0.3, -1.0, 0.7, 1.5, -0.2])


def mean_divergence(old: np.ndarray, new: np.ndarray) -> float:
    log_p, log_q = (np.asarray(jax.nn.log_softmax(x[np.asarray(OBSERVED)]), np.float64) for x in (old, new))
    return float(np.mean(np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)))


def test_the_direction_is_the_natural_gradient() -> None:
    """Beside (F + damping)⁻¹ g with the Fisher matrix of a table written out, and as long as δ allows."""
    state = learner(max_kl=1e-4, damping=0.05, conjugate_steps=32)
    params, info = trpo.improve(state, OBSERVED, TAKEN, ADVANTAGE)
    moved = np.asarray(params["params"]["logits"] - state.params["params"]["logits"], np.float64)
    p = np.asarray(jax.nn.softmax(state.params["params"]["logits"]), np.float64)
    fisher, gradient = np.zeros((16, 16)), np.zeros((NUM_ROWS, 2))
    for row, action, advantage in zip(*map(np.asarray, (OBSERVED, TAKEN, ADVANTAGE)), strict=True):
        fisher[2 * row : 2 * row + 2, 2 * row : 2 * row + 2] += (
            np.diag(p[row]) - np.outer(p[row], p[row])
        ) / 8
        gradient[row] += advantage * (np.eye(2)[action] - p[row]) / 8
    matrix = fisher + 0.05 * np.eye(16)
    direction = np.linalg.solve(matrix, gradient.ravel())
    expected = direction * np.sqrt(2 * 1e-4 / (direction @ matrix @ direction))
    np.testing.assert_allclose(moved.ravel(), expected, rtol=2e-3, atol=1e-6)
    assert (info["accepted"], info["backtracks"]) == (1, 0)
    np.testing.assert_allclose(info["gradient_norm"], np.linalg.norm(gradient), rtol=1e-5)
    # A quadratic that is damped is an upper bound here; a bound so small is met nearly as it says.
    undamped, _ = trpo.improve(learner(max_kl=1e-4, damping=1e-6), OBSERVED, TAKEN, ADVANTAGE)
    reached = mean_divergence(*(x["params"]["logits"] for x in (state.params, undamped)))
    np.testing.assert_allclose(reached, 1e-4, rtol=0.05)


def test_conjugate_steps_past_the_solution_change_nothing() -> None:
    """Of a gradient that is all but gone they would divide nothing by nothing."""
    moved = []
    for steps in (8, 16, 64, 512):
        state = learner(conjugate_steps=steps, damping=0.1)
        state = trpo.update(trpo.update(state, ROLLOUT), ROLLOUT)
        assert state.info["accepted"] == 1
        moved.append(np.asarray(state.params["params"]["logits"]))
    for other in moved[1:]:
        np.testing.assert_allclose(other, moved[0], atol=1e-4)


CERTAIN = tree(logits=rows(*[[4.0, 0.0]] * 8))  # what is all but certain and ought not to be done


def test_a_step_that_goes_too_far_is_shortened() -> None:
    """A policy all but certain changes little at first, as the quadratic has it, and then far more."""

    def improved(**config: Any) -> tuple[Any, Any]:
        state = dataclasses.replace(learner(max_kl=0.5, damping=0.0, **config), params=CERTAIN)
        return trpo.improve(state, OBSERVED, jnp.zeros(8, jnp.int32), -jnp.ones(8))

    params, info = improved(backtrack_coefficient=0.8)
    old, new = (np.asarray(x["params"]["logits"]) for x in (CERTAIN, params))
    ratio = np.asarray(jax.nn.softmax(new) / jax.nn.softmax(old))[np.asarray(OBSERVED), 0]
    np.testing.assert_allclose(info["gain"], np.mean(-ratio) + 1, rtol=1e-4)
    np.testing.assert_allclose(info["kl"], mean_divergence(old, new), rtol=1e-4)
    assert info["backtracks"] >= 2
    assert 0 < info["kl"] <= 0.5
    assert info["gain"] > 0
    assert improved(backtrack_coefficient=0.4)[1]["backtracks"] < info["backtracks"]
    params, info = improved(backtrack_steps=1)  # the only length tried is too long
    jax.tree.map(np.testing.assert_array_equal, params, CERTAIN)
    assert (info["accepted"], info["kl"], info["gain"]) == (0, 0, 0)


def test_no_step_is_taken_that_gains_nothing() -> None:
    state = learner()
    params, info = trpo.improve(state, OBSERVED, TAKEN, jnp.zeros(8))
    jax.tree.map(np.testing.assert_array_equal, params, state.params)
    assert (info["accepted"], info["kl"], info["gain"]) == (0, 0, 0)
    # Nor where a rollout's advantages are all alike, and normalised.
    alike = dataclasses.replace(ROLLOUT, reward=jnp.full((3, 2), 3.3))
    state = learner(discount=0.0)
    after = trpo.update(state, alike)
    jax.tree.map(np.testing.assert_array_equal, after.params, state.params)


def test_advantages_and_the_value() -> None:
    """The value goes to the λ-return, Adam's first step at a time; advantages may be normalised or not."""
    state = trpo.update(learner(passes=1, value_learning_rate=0.1, gae_lambda=1.0), ROLLOUT)
    v = np.asarray(state.value_params["params"]["v"])
    seen = np.unique(np.asarray(ROLLOUT.observation))
    np.testing.assert_allclose(np.abs(v[seen]), 0.1, rtol=1e-4)  # whose rewards are none of them 0
    others = np.setdiff1d(np.arange(NUM_ROWS), seen)
    np.testing.assert_array_equal(v[others], 0.0)
    logits = [
        trpo.update(learner(advantage_normalisation=choice, damping=0.5), ROLLOUT).params["params"]["logits"]
        for choice in ("rollout", "none")
    ]
    assert not np.allclose(*logits, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"max_kl": 0.0}, ["max_kl", "0.0"]),
        ({"max_kl": float("nan")}, ["max_kl", "nan"]),
        ({"damping": -1.0}, ["damping", "-1.0"]),
        ({"backtrack_coefficient": 1.0}, ["backtrack_coefficient", "1.0"]),
        ({"discount": 2.0}, ["discount", "2.0"]),
        ({"conjugate_steps": 0}, ["conjugate_steps", "0"]),
        ({"backtrack_steps": 2.5}, ["backtrack_steps", "2.5"]),
        ({"advantage_normalisation": "minibatch"}, ["advantage_normalisation", "minibatch"]),
        ({"policy": "gaussian"}, ["TRPO", "Box"]),
        ({"value_network": LogitTable()}, ["value []", "Categorical"]),
        ({"network": StateValueTable()}, ["policy Categorical [2]", "not []"]),
        ({"hidden_sizes": (3,)}, ["hidden_sizes", "network"]),
    ],
)
def test_what_cannot_work_says_so(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        learner(**config)
    for word in words:
        assert word in str(raised.value)


def test_a_rollout_that_cannot_be_divided_says_so() -> None:
    with pytest.raises(InvalidInput, match="6 steps cannot be divided into minibatches = 4"):
        trpo.update(learner(minibatches=4), ROLLOUT)


SETTINGS = Settings(total_steps=24_576, num_envs=8, rollout_length=64, num_epochs=1, evaluation_episodes=8)


def run(agent: Any, name: str, **config: Any) -> tuple[Any, Any]:
    """Four seeds: what they come to, and the figures of every update."""
    given = trpo.Config(**({"hidden_sizes": (32,), "value_learning_rate": 3e-3, "max_kl": 0.02} | config))
    loop = Loop(agent, given, environments.make(name, 8), SETTINGS)

    def train(key: Any) -> Any:
        runner, infos = loop.trace(key, 48, lambda runner, tally: runner.agent.info)
        return loop.evaluate(runner, jnp.int32(1))[1].episode_return, infos

    return jax.device_get(
        jax.jit(lambda keys: jax.lax.map(train, keys))(jax.random.split(jax.random.key(0), 4))
    )


def test_it_balances_a_pole_within_its_bound_and_falls_with_actions_taken_for_others() -> None:
    returns, infos = run(trpo, "CartPole-v1", discount=0.98)
    assert infos["kl"].shape == (4, 48)
    assert np.all(infos["kl"] <= 0.02)
    assert np.mean(infos["kl"]) > 0.005
    assert np.all(infos["gain"] >= 0)
    assert np.mean(infos["accepted"]) > 0.9
    assert np.mean(returns) > 350

    def update(state: trpo.State, rollout: Transition) -> trpo.State:
        return trpo.update(state, dataclasses.replace(rollout, action=1 - rollout.action))

    returns, _ = run(SimpleNamespace(**vars(trpo) | {"update": update}), "CartPole-v1", discount=0.98)
    assert np.mean(returns) < 100


@pytest.mark.parametrize("policy", ["gaussian", "beta"])
def test_the_bound_holds_for_continuous_actions(policy: Any) -> None:
    _, infos = run(trpo, "Pendulum-v1", policy=policy, max_kl=0.05)
    assert np.all(infos["kl"] <= 0.05)
    assert np.mean(infos["kl"]) > 0.005
