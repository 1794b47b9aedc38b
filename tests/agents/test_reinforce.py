"""REINFORCE: estimates beside an exact gradient, steps by hand, and what its choices refuse."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl import environments, networks
from purejaxrl.action_distributions import Categorical
from purejaxrl.agents import reinforce
from purejaxrl.agents.reinforce import Config, State
from purejaxrl.training import Loop, Settings
from purejaxrl.types import Array, InvalidInput, Key, Transition

pytestmark = pytest.mark.optimised

# --- a small task, all of whose episodes can be counted --------------------------------------------
#
# Two states, two actions, three steps at most; episodes may end sooner. The next state is drawn. What is
# observed is 2t + s: the policy looks at the state s alone, a value at the time t, too.
STATES, ACTIONS, STEPS = 2, 2, 3
NEXT = np.array([[0.8, 0.3], [0.5, 0.1]])  # [state, action], the chance of state 1
END = np.array([[0.0, 0.3], [0.2, 0.0]])  # the chance that the episode ends there
REWARD = np.array([[1.0, 2.0], [-1.0, 3.0]])
LOGITS = np.array([[0.3, -0.2], [-0.5, 0.4]])
DISCOUNT = 0.8
OBSERVATIONS, DISCRETE = gymnasium.spaces.Discrete(STEPS * STATES), gymnasium.spaces.Discrete(ACTIONS)


class Table(nn.Module):
    """A policy of two logits for each state."""

    @nn.compact
    def __call__(self, observation: Any) -> Categorical:
        return Categorical(
            self.param("logits", nn.initializers.zeros, (STATES, ACTIONS))[observation % STATES]
        )


class Values(nn.Module):
    """A value for each state and time."""

    @nn.compact
    def __call__(self, observation: Any) -> Array:
        return self.param("v", nn.initializers.zeros, (STEPS * STATES,))[observation]


def values(logits: Array, discount: float) -> Array:
    """Of every state and time ``[3, 2]``, by dynamic programming."""
    policy, value = jax.nn.softmax(logits), jnp.zeros(STATES)
    found = []
    for _ in range(STEPS):
        after = (1 - NEXT) * value[0] + NEXT * value[1]
        value = jnp.sum(policy * (REWARD + discount * (1 - END) * after), axis=1)
        found.insert(0, value)
    return jnp.stack(found)


def exact_gradient(discount: float) -> np.ndarray:
    """Of the expected discounted return from state 0."""

    def objective(logits: Array) -> Array:
        return values(logits, discount)[0, 0]

    return np.asarray(jax.grad(objective)(jnp.float32(LOGITS)))


def sampled(key: Key, episodes: int) -> Transition:
    """A rollout ``[3, B]`` of the task, whose environments go on from state 0 after an end."""

    def step(state: Array, time: Array) -> tuple[Array, Transition]:
        act_key, next_key, end_key = jax.random.split(jax.random.fold_in(key, time), 3)
        action = jax.random.categorical(act_key, jnp.float32(LOGITS)[state])
        following = jax.random.bernoulli(next_key, jnp.float32(NEXT)[state, action]).astype(jnp.int32)
        ended = jax.random.bernoulli(end_key, jnp.float32(END)[state, action])
        seen = Transition(
            observation=STATES * time + state,
            action=action,
            reward=jnp.float32(REWARD)[state, action],
            terminated=ended,
            truncated=jnp.zeros(episodes, bool),
            next_observation=STATES * time + STATES + following,
        )
        return jnp.where(ended, 0, following), seen

    return jax.lax.scan(step, jnp.zeros(episodes, jnp.int32), jnp.arange(STEPS))[1]


def make(**config: Any) -> State:
    """A policy and values as above."""
    given: dict[str, Any] = {"discount": DISCOUNT, "discount_steps": True, "network": Table()}
    if config.get("baseline", "value") in ("value", "td_value"):
        given["value_network"] = Values()
    if config.get("returns") == "trajectory":
        given["discount_steps"] = False
    config = given | config
    state = reinforce.init(jax.random.key(0), Config(**config), OBSERVATIONS, DISCRETE)
    value_params: Any = state.value_params
    if state.value_network is not None:
        value_params = {"params": {"v": values(jnp.float32(LOGITS), config["discount"]).reshape(-1)}}
    return dataclasses.replace(
        state, params={"params": {"logits": jnp.float32(LOGITS)}}, value_params=value_params
    )


def logits(params: Any) -> Array:
    return params["params"]["logits"]


ESTIMATORS: dict[str, dict[str, Any]] = {
    "trajectory, none": {"returns": "trajectory", "baseline": "none"},
    "trajectory, constant": {"returns": "trajectory", "baseline": "constant"},
    "trajectory, optimal": {"returns": "trajectory", "baseline": "optimal"},
    "none": {"baseline": "none"},
    "constant": {"baseline": "constant"},
    "optimal": {"baseline": "optimal"},
    "time": {"baseline": "time"},
    "value": {"baseline": "value"},
}
EPISODES, BATCHES = 16, 64_000  # in all, a million episodes


@pytest.fixture(scope="module")
def estimates() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each estimator: the mean over all batches, and the variance of one batch's, by parameter."""
    states = {name: make(**choices) for name, choices in ESTIMATORS.items()}

    def one(number: Array) -> Any:
        rollout = sampled(jax.random.key(number), EPISODES)
        return {
            name: -logits(reinforce.estimate(state, reinforce.first_episodes(state.config, rollout))[0])
            for name, state in states.items()
        }

    def moments(numbers: Array) -> Any:
        found = jax.vmap(one)(numbers)
        return jax.tree.map(lambda x: (jnp.sum(x, axis=0), jnp.sum(jnp.square(x), axis=0)), found)

    numbers = jnp.arange(BATCHES).reshape(64, -1)
    sums = jax.device_get(jax.jit(lambda numbers: jax.lax.map(moments, numbers))(numbers))
    outcome = {}
    for name, (total, squares) in sums.items():
        mean = total.astype(np.float64).sum(axis=0) / BATCHES
        outcome[name] = (mean, squares.astype(np.float64).sum(axis=0) / BATCHES - mean**2)
    return outcome


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_mean_of_an_estimate_is_the_exact_gradient(name: str, estimates: Any) -> None:
    """Within 4 standard errors in each parameter, over a million episodes."""
    mean, variance = estimates[name]
    off = np.abs(mean - exact_gradient(DISCOUNT)) / np.sqrt(variance / BATCHES)
    assert off.max() < 4


def test_variances_are_ordered_as_theory_says(estimates: Any) -> None:
    spread = {name: variance.sum() for name, (_, variance) in estimates.items()}
    for kind in ("trajectory, ", ""):
        assert spread[f"{kind}none"] > 1.05 * spread[f"{kind}constant"]
        # With 16 episodes to estimate it from the optimal constant is not quite the best there is.
        assert spread[f"{kind}constant"] > 0.95 * spread[f"{kind}optimal"]
    assert spread["none"] < spread["trajectory, none"]
    assert spread["time"] < spread["constant"]
    assert spread["value"] < spread["constant"]


def test_without_discounted_steps_the_estimate_is_of_another_gradient() -> None:
    """It counts later steps as much as the first: with γ = 1 both are the same."""
    rollout = sampled(jax.random.key(3), 4000)
    for discount, same in ((DISCOUNT, False), (1.0, True)):
        one, other = (
            logits(reinforce.estimate(state, reinforce.first_episodes(state.config, rollout))[0])
            for state in (
                make(discount=discount, baseline="none", discount_steps=True),
                make(discount=discount, baseline="none", discount_steps=False),
            )
        )
        assert np.allclose(one, other, rtol=1e-3) == same


# --- by hand ---------------------------------------------------------------------------------------

# Two episodes: the first ends at the second step, the second is cut off by the rollout's end.
ROLLOUT = Transition(
    observation=jnp.array([[0, 0], [1, 0], [0, 1]]),
    action=jnp.array([[0, 1], [1, 1], [0, 0]]),
    reward=jnp.array([[1.0, 2.0], [4.0, 0.0], [100.0, 8.0]]),
    terminated=jnp.array([[False, False], [True, False], [False, False]]),
    truncated=jnp.zeros((3, 2), bool),
    next_observation=jnp.array([[1, 0], [0, 1], [0, 0]]),
)
TO_GO = {0.5: [[3.0, 4.0], [4.0, 4.0], [0.0, 8.0]]}


def test_first_episodes_by_hand() -> None:
    config = Config(discount=0.5, baseline="none", discount_steps=True)
    episodes = reinforce.first_episodes(config, ROLLOUT)
    np.testing.assert_array_equal(episodes.counts, [[1, 1], [1, 1], [0, 1]])
    np.testing.assert_allclose(episodes.to_go, TO_GO[0.5])
    np.testing.assert_allclose(episodes.credit, TO_GO[0.5])
    np.testing.assert_allclose(episodes.weight, [[1, 1], [0.5, 0.5], [0, 0.25]])
    whole = reinforce.first_episodes(dataclasses.replace(config, returns="trajectory"), ROLLOUT)
    np.testing.assert_allclose(whole.credit, [[3, 4]] * 3)
    np.testing.assert_allclose(whole.weight, whole.counts)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("none", np.zeros((3, 2))),
        ("constant", [[4, 3]] * 3),  # the other's return
        ("time", [[4, 3], [4, 4], [8, 0]]),  # the other's, while there is one
        ("value", [[10, 10], [20, 10], [10, 20]]),
    ],
)
def test_baselines_by_hand(baseline: Any, expected: Any) -> None:
    state = make(discount=0.5, baseline=baseline)
    if baseline == "value":
        state = dataclasses.replace(
            state, value_params={"params": {"v": jnp.array([10.0, 20.0, 0, 0, 0, 0])}}
        )
    found = reinforce.baseline(state, reinforce.first_episodes(state.config, ROLLOUT))
    found = np.broadcast_to(found, (3, 2)) * np.array([[1, 1], [1, 1], [1, 1]])
    alive = np.array([[1, 1], [1, 1], [0, 1]])
    np.testing.assert_allclose(found * alive, np.array(expected) * alive)


def test_a_step_by_hand() -> None:
    """θ + α · mean over episodes of Σ G ∇log π, of which ∇log π is onehot(a) − π."""
    state = make(discount=0.5, baseline="none", discount_steps=False, optimiser="sgd", learning_rate=0.1)
    state = dataclasses.replace(state, params={"params": {"logits": jnp.zeros((2, 2))}})
    after = reinforce.update(state, ROLLOUT)
    half = np.array([0.5, -0.5])
    expected = np.zeros((2, 2))
    for t, b in itertools.product(range(3), range(2)):
        sign = 1 if ROLLOUT.action[t, b] == 0 else -1
        expected[int(ROLLOUT.observation[t, b])] += sign * half * TO_GO[0.5][t][b] / 2
    np.testing.assert_allclose(after.params["params"]["logits"], 0.1 * expected, rtol=1e-5)
    assert after.info["return"] == (5 + 10) / 2
    np.testing.assert_allclose(after.info["entropy"], np.log(2), rtol=1e-6)


@pytest.mark.parametrize("proximity", [0.0, 3.0])
@pytest.mark.parametrize("baseline", ["value", "td_value"])
def test_values_are_fitted_to_their_targets(baseline: Any, proximity: float) -> None:
    """To the least of Σ (target − V)² / n + λ‖φ − φᵢ‖², which for a table is a weighted mean."""
    start = np.array([1.0, 2.0, 0, 0, 0, 0])
    state = make(
        discount=0.5, baseline=baseline, proximity=proximity, value_steps=4000, value_learning_rate=0.01
    )
    state = dataclasses.replace(state, value_params={"params": {"v": jnp.float32(start)}})
    after = reinforce.update(state, ROLLOUT)
    # Steps that count: of state 0 three, and of state 1 two.
    returns = {0: [3.0, 4.0, 4.0], 1: [4.0, 8.0]}
    one_step = {0: [1 + 0.5 * 2, 2 + 0.5 * 1, 0 + 0.5 * 2], 1: [4.0, 8 + 0.5 * 1]}
    for state_number, targets in (returns if baseline == "value" else one_step).items():
        weight = len(targets) / 5
        least = (weight * np.mean(targets) + proximity * start[state_number]) / (weight + proximity)
        np.testing.assert_allclose(after.value_params["params"]["v"][state_number], least, rtol=1e-3)


def test_steps_after_the_first_episode_change_nothing() -> None:
    other = dataclasses.replace(
        ROLLOUT,
        reward=ROLLOUT.reward.at[2, 0].set(-7.0),
        action=ROLLOUT.action.at[2, 0].set(1),
        observation=ROLLOUT.observation.at[2, 0].set(1),
    )
    for choices in ESTIMATORS.values():
        one, two = (reinforce.update(make(**choices), rollout) for rollout in (ROLLOUT, other))
        jax.tree.map(np.testing.assert_array_equal, (one.params, one.info), (two.params, two.info))


# --- runs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["constant", "value"])
def test_learns_to_balance_a_pole(baseline: Any) -> None:
    settings = Settings(
        total_steps=60 * 16 * 200, num_envs=16, rollout_length=200, num_epochs=1, evaluation_episodes=8
    )
    loop = Loop(
        reinforce,
        Config(learning_rate=1e-2, baseline=baseline, hidden_sizes=(32,)),
        environments.make("CartPole-v1", 16),
        settings,
    )
    keys = jax.random.split(jax.random.key(0), 3)
    metrics = jax.jit(lambda keys: jax.lax.map(loop.train, keys))(keys)[1]
    assert np.all(metrics.evaluation_return[:, -1] > 180)


def test_acts_in_boxes() -> None:
    space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    observations = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
    state = reinforce.init(jax.random.key(0), Config(policy="beta", hidden_sizes=(4,)), observations, space)
    action, extras, _ = reinforce.act(state, jnp.ones((7, 3)), jax.random.key(1), 0)
    assert (action.shape, extras) == ((7, 2), ())
    assert len(np.unique(action, axis=0)) == 7
    greedy, _ = reinforce.greedy(state, jnp.ones((7, 3)))
    np.testing.assert_allclose(greedy, 0.0, atol=0.05)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"returns": "trajectory", "baseline": "time"}, ["baseline='time'", "returns='trajectory'"]),
        ({"returns": "trajectory"}, ["baseline='value'", "returns='trajectory'"]),
        (
            {"returns": "trajectory", "baseline": "none", "discount_steps": True},
            ["discount_steps", "trajectory"],
        ),
        ({"returns": "monte_carlo"}, ["returns", "'monte_carlo'"]),
        ({"baseline": "mean"}, ["baseline", "optimal", "'mean'"]),
        ({"baseline": "none", "value_network": Values()}, ["value_network", "'none'"]),
        ({"network": networks.Value(networks.MLP(()))}, ["policy Categorical [2]", "not []"]),
        ({"proximity": -1.0}, ["proximity", "-1.0"]),
        ({"value_steps": 0}, ["value_steps", "0"]),
        ({"policy": "beta"}, ["REINFORCE", "beta", "Discrete(2)"]),
    ],
)
def test_what_cannot_be_is_named(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        reinforce.init(jax.random.key(0), Config(**config), OBSERVATIONS, DISCRETE)
    for word in words:
        assert word in str(raised.value)
