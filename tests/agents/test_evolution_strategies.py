"""Evolution strategies: the step by hand, who acts where, and a search whose answer is known."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl import environments, populations
from purejaxrl.action_distributions import Categorical
from purejaxrl.agents import evolution_strategies
from purejaxrl.agents.evolution_strategies import Config, State
from purejaxrl.training import Loop, Settings
from purejaxrl.types import Array, InvalidInput, Key

OBSERVATIONS = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
ACTIONS = gymnasium.spaces.Discrete(2)
BOX = gymnasium.spaces.Box(-2.0, 2.0, (2,), np.float32)


class Preferences(nn.Module):
    """A policy that looks at nothing: two logits, which are its parameters."""

    @nn.compact
    def __call__(self, observation: Any) -> Categorical:
        return Categorical(self.param("logits", nn.initializers.zeros, (2,)))


def make(space: Any = ACTIONS, **config: Any) -> State:
    return evolution_strategies.init(jax.random.key(0), Config(**config), OBSERVATIONS, space)


def logits(params: Any) -> Any:
    return params["params"]["logits"]


def by_hand(members: Any, **config: Any) -> State:
    """A search around logits (1, -1) that has drawn these members ``[N, 2]``; its steps are of rate 1."""
    given: dict[str, Any] = {"learning_rate": 1.0, "noise": 0.5, "optimiser": "sgd", "antithetic": False}
    state = make(network=Preferences(), population=len(members), **(given | config))
    return dataclasses.replace(
        state,
        params={"params": {"logits": jnp.array([1.0, -1.0])}},
        population={"params": {"logits": jnp.array(members)}},
    )


MEMBERS = [[1.5, -1.0], [1.0, 0.0], [0.0, -1.5]]  # noise (1, 0), (0, 2), (-2, -1), times σ = ½
FITNESS = [4.0, 1.0, 7.0]


@pytest.mark.parametrize(
    ("shaping", "weights"),
    [
        ("none", FITNESS),
        ("ranks", [0.0, -0.5, 0.5]),
        ("standard", (np.array(FITNESS) - 4) / np.sqrt(6)),
    ],
)
def test_a_step_by_hand(shaping: Any, weights: Any) -> None:
    """θ + α/(Nσ) Σ wᵢ εᵢ (Salimans et al. 2017, algorithm 1)."""
    state = evolution_strategies.update(by_hand(MEMBERS, shaping=shaping), jnp.array(FITNESS))
    noise = np.array([[1, 0], [0, 2], [-2, -1]])
    step = np.asarray(weights) @ noise / (3 * 0.5)
    np.testing.assert_allclose(logits(state.params), np.array([1, -1]) + step, rtol=1e-5)
    assert state.info["fitness"] == 4
    assert state.info["best_fitness"] == 7
    np.testing.assert_allclose(state.info["gradient_norm"], np.linalg.norm(step), rtol=1e-5)
    assert state.step == 1


def test_weights_decay() -> None:
    still = by_hand(MEMBERS, shaping="standard", weight_decay=0.25)
    state = evolution_strategies.update(still, jnp.full(3, 2.0))  # all as fit: nothing else moves them
    np.testing.assert_allclose(logits(state.params), [0.75, -0.75], rtol=1e-6)


# Of the first four generations, with a step size of 1 that halves and a σ of ½ that falls by a fifth.
RATES, DEVIATIONS = [1.0, 0.5, 0.3, 0.3], [0.5, 0.4, 0.35, 0.35]
FALLING: dict[str, Any] = {
    "learning_rate_decay": 0.5,
    "least_learning_rate": 0.3,
    "noise_decay": 0.8,
    "least_noise": 0.35,
    "shaping": "none",
}


@pytest.mark.parametrize("generation", range(3))
def test_step_size_and_noise_fall_by_hand(generation: int) -> None:
    """α/(Nσ) Σ wᵢ εᵢ with the α and the σ of the generation, and σ of the next for who acts then."""
    number, rate = jnp.int32(generation), RATES[generation]
    sigma, following = DEVIATIONS[generation : generation + 2]
    state = dataclasses.replace(by_hand(MEMBERS, **FALLING), step=number)
    after = evolution_strategies.update(state, jnp.array(FITNESS))
    noise = (np.array(MEMBERS) - [1, -1]) / sigma
    step = rate * np.array(FITNESS) @ noise / (3 * sigma)
    np.testing.assert_allclose(logits(after.params) - np.array([1, -1]), step, rtol=1e-5)
    # The same noise, for it comes of the same key.
    kept = evolution_strategies.update(by_hand(MEMBERS, shaping="none"), jnp.array(FITNESS))
    drawn = (logits(kept.population) - logits(kept.params)) / 0.5
    np.testing.assert_allclose(
        (logits(after.population) - logits(after.params)) / following, drawn, rtol=1e-4, atol=1e-5
    )
    assert after.step == generation + 1


def test_the_first_population_has_the_first_noise() -> None:
    falling = make(noise=0.5, noise_decay=0.1, hidden_sizes=(4,))
    jax.tree.map(
        np.testing.assert_array_equal, falling.population, make(noise=0.5, hidden_sizes=(4,)).population
    )


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99])
def test_gradients_are_averaged_by_hand(momentum: float) -> None:
    """m ← β₁ m + (1 - β₁) g, and a step α m̂ / √v̂, each mean over what it would be of ones (Adam)."""
    config = {"optimiser": "adam", "learning_rate": 0.1, "optimiser_momentum": momentum, "shaping": "none"}
    start = state = by_hand(MEMBERS, **config)
    m, v = np.zeros(2), np.zeros(2)
    for count, fitness in enumerate((FITNESS, [0.0, 3.0, -5.0]), start=1):
        state = dataclasses.replace(state, params=start.params, population=start.population)
        state = evolution_strategies.update(state, jnp.array(fitness))
        gradient = np.array(fitness) @ np.array([[1, 0], [0, 2], [-2, -1]]) / (3 * 0.5)
        m = momentum * m + (1 - momentum) * gradient
        v = 0.999 * v + 0.001 * gradient**2
        step = 0.1 * m / (1 - momentum**count) / np.sqrt(v / (1 - 0.999**count))
        np.testing.assert_allclose(logits(state.params) - np.array([1, -1]), step, rtol=1e-3)


def test_returns_of_several_environments_are_a_member_s_mean() -> None:
    one = evolution_strategies.update(by_hand(MEMBERS), jnp.array(FITNESS))
    two = evolution_strategies.update(by_hand(MEMBERS), jnp.array([3.0, 5.0, 0.0, 2.0, 7.0, 7.0]))
    np.testing.assert_array_equal(logits(one.params), logits(two.params))


def test_the_next_population_is_drawn_around_the_new_policy_with_another_key() -> None:
    state = make(population=400, noise=0.1, hidden_sizes=(4,))
    for _ in range(2):
        before = state
        state = evolution_strategies.update(state, jnp.arange(400.0))
        noise = jax.tree.map(lambda p, c: (p - c) / 0.1, state.population, state.params)
        last = jax.tree.map(lambda p, c: (p - c) / 0.1, before.population, before.params)
        for leaf, old in zip(jax.tree.leaves(noise), jax.tree.leaves(last), strict=True):
            np.testing.assert_allclose(leaf[:200], -leaf[200:], atol=1e-4)  # with both signs
            assert 0.8 < np.std(leaf) < 1.2
            assert np.abs(leaf - old).mean() > 0.5


def test_each_perturbation_is_another_where_signs_are_not_both_tried() -> None:
    state = make(population=6, antithetic=False, hidden_sizes=(4,))
    for leaf, centre in zip(jax.tree.leaves(state.population), jax.tree.leaves(state.params), strict=True):
        sizes = np.abs(np.asarray(leaf - centre)).reshape(6, -1)
        assert min(np.abs(sizes[i] - sizes[j]).max() for i in range(6) for j in range(i)) > 1e-4


def test_environments_are_shared_out_in_order() -> None:
    state = by_hand([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]])
    actions, _, _ = evolution_strategies.act(state, jnp.zeros((6, 3)), jax.random.key(0), 0)
    np.testing.assert_array_equal(actions, [0, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(evolution_strategies.greedy(state, jnp.zeros((2, 3)))[0], [0, 0])
    with pytest.raises(InvalidInput, match="must be a multiple of the population's 3 members, not 4"):
        evolution_strategies.act(state, jnp.zeros((4, 3)), jax.random.key(0), 0)
    for wrong in (jnp.zeros(4), jnp.zeros((3, 1)), jnp.zeros(0)):
        with pytest.raises(InvalidInput, match=r"are \[3\] or a multiple of that, not"):
            evolution_strategies.update(state, wrong)


def test_the_estimate_is_the_gradient_s() -> None:
    """Of a linear function f(θ) = g·θ the mean of f(θ + σε) ε / σ is g; its spread is known, too."""
    number, slope = 200_000, np.array([3.0, -2.0])
    noise = np.random.default_rng(0).normal(size=(number, 2)).astype(np.float32)
    state = by_hand((np.array([1.0, -1.0]) + 0.5 * noise).astype(np.float32), shaping="none")
    fitness = 0.5 * noise @ slope  # f less its value at θ
    moved = evolution_strategies.update(state, jnp.float32(fitness))
    error = np.linalg.norm(slope) * np.sqrt(3 / number)
    np.testing.assert_allclose(logits(moved.params) - np.array([1, -1]), slope, atol=4 * error)


def test_ranks_spread_evenly_and_ties_are_broken_in_order() -> None:
    ranks = populations.shape(jnp.array([5.0, -1.0, 5.0, 9.0]), "ranks")
    np.testing.assert_allclose(ranks, np.array([-1, -3, 1, 3]) / 6, rtol=1e-6)
    np.testing.assert_array_equal(populations.shape(jnp.full(100, 3.3), "standard"), np.zeros(100))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"population": 7}, ["population", "even", "7"]),
        ({"population": 1, "antithetic": False}, ["population", "at least 2", "1"]),
        ({"noise": 0.0}, ["noise", "0.0"]),
        ({"noise_decay": 1.1}, ["noise_decay", "1.1"]),
        ({"least_noise": 0.0}, ["least_noise", "0.0"]),
        ({"learning_rate_decay": 0.0}, ["learning_rate_decay", "0.0"]),
        ({"least_learning_rate": -0.1}, ["least_learning_rate", "-0.1"]),
        ({"optimiser_momentum": 1.0}, ["optimiser_momentum", "1.0"]),
        ({"shaping": "rank"}, ["shaping", "ranks", "'rank'"]),
        ({"antithetic": "yes"}, ["antithetic", "'yes'"]),
        ({"optimiser": "lbfgs"}, ["optimiser", "'lbfgs'"]),
        ({"activation": "gelu"}, ["activation", "'gelu'"]),
        ({"network": nn.Dense(2)}, ["Dense", "policy Categorical [2]", "not [2]"]),
        ({"network": Preferences(), "hidden_sizes": (3,)}, ["hidden_sizes", "network"]),
    ],
)
def test_what_cannot_be_is_named(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        make(**config)
    for word in words:
        assert word in str(raised.value)


def test_actions_in_a_box() -> None:
    state = make(BOX, population=4, hidden_sizes=(4,))
    actions, _, _ = evolution_strategies.act(state, jnp.ones((8, 3)), jax.random.key(0), 0)
    assert actions.shape == (8, 2)
    np.testing.assert_array_equal(actions[0], actions[1])  # of one member, seeing the same
    assert np.abs(actions[0] - actions[2]).max() > 1e-4


def test_finds_how_to_balance_a_pole() -> None:
    """A hundred generations are enough; with the sign of the step turned round it falls at once."""
    settings = Settings(
        total_steps=100 * 32 * 200, num_envs=32, rollout_length=200, num_epochs=1, evaluation_episodes=8
    )
    config = Config(noise=0.1, population=32, hidden_sizes=(8,))
    environment = environments.make("CartPole-v1", 32)

    def train(key_and_rate: tuple[Key, Array]) -> Array:
        key, rate = key_and_rate
        given = dataclasses.replace(config, learning_rate=rate)
        return Loop(evolution_strategies, given, environment, settings).train(key)[1].evaluation_return[-1]

    keys, rates = jax.random.split(jax.random.key(0), 6), jnp.repeat(jnp.array([0.05, -0.05]), 3)
    returns = jax.jit(lambda *each: jax.lax.map(train, each))(keys, rates)
    assert np.all(returns[:3] > 400)
    assert np.all(returns[3:] < 100)
