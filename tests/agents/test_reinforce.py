"""REINFORCE: estimates beside an exact gradient, steps by hand, and what its choices refuse."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import baseline_variance
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from baseline_variance import (
    DISCOUNT,
    DISCRETE,
    ESTIMATORS,
    OBSERVATIONS,
    Estimate,
    Values,
    exact_gradient,
    learner,
    logits,
    sampled,
)
from studies import comparison, results

from purejaxrl import environments, losses, networks, presets
from purejaxrl.agents import reinforce
from purejaxrl.agents.reinforce import Config
from purejaxrl.memory import Episodic
from purejaxrl.training import Loop, Settings
from purejaxrl.types import InvalidInput, Transition

pytestmark = pytest.mark.optimised


@pytest.fixture(scope="module")
def estimates() -> dict[str, Estimate]:
    return baseline_variance.measure(64_000)


def test_the_script_leaves_a_table_and_a_picture(tmp_path: Any, capsys: Any) -> None:
    assert baseline_variance.main(["--batches", "640", "--output", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "baseline-variance.json",
        "baseline-variance.png",
    }
    assert "trajectory, optimal" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match="batches must be a multiple of 64, not 100"):
        baseline_variance.main(["--batches", "100"])


def test_what_is_published_is_what_the_table_is_made_of(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    with pytest.raises(InvalidInput, match="nothing is published"):
        baseline_variance.main(["--table"])
    mark = baseline_variance.MARK
    results.README.write_text(f"<!-- {mark}: begin -->\n<!-- {mark}: end -->\n")
    assert baseline_variance.main(["--batches", "640", "--publish", "--table"]) == 0
    record = comparison.read(baseline_variance.NAME)
    assert baseline_variance.table(record) in results.README.read_text()
    assert f"{record['estimators']['time']['variance']:.3f}" in results.README.read_text()
    assert (tmp_path / "figures" / "baseline-variance.png").stat().st_size > 5_000
    capsys.readouterr()


def test_the_readme_has_the_table_of_variances() -> None:
    text, record = results.README.read_text(), comparison.read(baseline_variance.NAME)
    stale = "stale: python experiments/baseline_variance.py --table"
    assert results.between(text, baseline_variance.MARK, baseline_variance.table(record)) == text, stale


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_mean_of_an_estimate_is_the_exact_gradient(name: str, estimates: Any) -> None:
    """Within 4 standard errors in each parameter, over a million episodes."""
    assert np.abs(estimates[name].off(exact_gradient(DISCOUNT))).max() < 4


def test_variances_are_ordered_as_theory_says(estimates: Any) -> None:
    spread = {name: estimate.variance.sum() for name, estimate in estimates.items()}
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
            logits(reinforce.estimate(state, reinforce.episodes_of(state.config, rollout))[0])
            for state in (
                learner(discount=discount, baseline="none", discount_steps=True),
                learner(discount=discount, baseline="none", discount_steps=False),
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
    episodes = reinforce.episodes_of(config, ROLLOUT)
    np.testing.assert_array_equal(episodes.counts, [[1, 1], [1, 1], [0, 1]])
    np.testing.assert_allclose(episodes.to_go, TO_GO[0.5])
    np.testing.assert_allclose(episodes.credit, TO_GO[0.5])
    np.testing.assert_allclose(episodes.weight, [[1, 1], [0.5, 0.5], [0, 0.25]])
    whole = reinforce.episodes_of(dataclasses.replace(config, returns="trajectory"), ROLLOUT)
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
    state = learner(discount=0.5, baseline=baseline)
    if baseline == "value":
        state = dataclasses.replace(
            state, value_params={"params": {"v": jnp.array([10.0, 20.0, 0, 0, 0, 0])}}
        )
    found = reinforce.baseline(state, reinforce.episodes_of(state.config, ROLLOUT))
    found = np.broadcast_to(found, (3, 2)) * np.array([[1, 1], [1, 1], [1, 1]])
    alive = np.array([[1, 1], [1, 1], [0, 1]])
    np.testing.assert_allclose(found * alive, np.array(expected) * alive)


def test_a_step_by_hand() -> None:
    """θ + α · mean over episodes of Σ G ∇log π, of which ∇log π is onehot(a) − π."""
    state = learner(discount=0.5, baseline="none", discount_steps=False, optimiser="sgd", learning_rate=0.1)
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
    state = learner(
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
        one, two = (reinforce.update(learner(**choices), rollout) for rollout in (ROLLOUT, other))
        jax.tree.map(np.testing.assert_array_equal, (one.params, one.info), (two.params, two.info))


# Two environments that have been under way: the first ends an episode at the second step and one at the
# third, and the last step's does not end; the second's ends at the third.
ONGOING = Transition(
    observation=jnp.array([[0, 1], [1, 0], [0, 1], [1, 1]]),
    action=jnp.array([[0, 1], [1, 1], [0, 0], [0, 1]]),
    reward=jnp.array([[1.0, 2.0], [4.0, 0.0], [-3.0, 8.0], [50.0, 70.0]]),
    terminated=jnp.array([[False, False], [False, False], [True, False], [False, False]]),
    truncated=jnp.array([[False, False], [True, False], [False, True], [False, False]]),
    next_observation=jnp.array([[1, 0], [0, 1], [1, 0], [1, 1]]),
)
ONGOING_TO_GO = np.array([[3.0, 4.0], [4.0, 4.0], [-3.0, 8.0]])  # with a discount of a half


def ongoing(**config: Any) -> reinforce.State:
    given = {"discount": 0.5, "baseline": "none", "discount_steps": False, "episodes": "all"} | config
    state = learner(**given)
    return dataclasses.replace(state, params={"params": {"logits": jnp.array([[0.3, -0.2], [-0.5, 0.4]])}})


def scores() -> np.ndarray:
    """∇log π of each step of the rollout above, ``[T, B, 2, 2]``: onehot(a) − π, in the row of the state."""
    found, logits = np.zeros((4, 2, 2, 2)), np.array([[0.3, -0.2], [-0.5, 0.4]])
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for t, b in itertools.product(range(4), range(2)):
        state = int(ONGOING.observation[t, b])
        found[t, b, state] = np.eye(2)[int(ONGOING.action[t, b])] - chances[state]
    return found


def test_all_episodes_by_hand() -> None:
    """Every step counts that an end follows, of whichever episode, and nothing flows over an end."""
    episodes = reinforce.episodes_of(ongoing().config, ONGOING)
    np.testing.assert_array_equal(episodes.counts, [[1, 1], [1, 1], [1, 1], [0, 0]])
    np.testing.assert_array_equal(episodes.weight, episodes.counts)
    np.testing.assert_allclose(episodes.to_go[:3], ONGOING_TO_GO)
    np.testing.assert_allclose(episodes.credit[:3], ONGOING_TO_GO)
    after = reinforce.update(ongoing(optimiser="sgd", learning_rate=0.1), ONGOING)
    step = 0.1 * np.einsum("tb,tbij->ij", ONGOING_TO_GO, scores()[:3]) / 2
    np.testing.assert_allclose(logits(after.params) - logits(ongoing().params), step, rtol=1e-4)
    assert after.info["return"] == (1 + 4 - 3 + 2 + 0 + 8) / 2


def test_rollouts_of_all_episodes_go_on() -> None:
    assert isinstance(reinforce.memory(Config()), Episodic)
    assert not isinstance(reinforce.memory(Config(episodes="all", baseline="none")), Episodic)


@pytest.mark.parametrize("baseline", ["none", "value", "td_value"])
def test_nothing_is_learnt_where_no_episode_ends(baseline: Any) -> None:
    no = jnp.zeros((4, 2), bool)
    before = ongoing(baseline=baseline, advantage_normalisation="rollout")
    after = reinforce.update(before, dataclasses.replace(ONGOING, terminated=no, truncated=no))
    jax.tree.map(
        np.testing.assert_array_equal,
        (before.params, before.value_params),
        (after.params, after.value_params),
    )
    assert all(value == 0 for value in after.info.values())


@pytest.mark.parametrize("baseline", ["none", "value"])
def test_normalised_advantages_by_hand(baseline: Any) -> None:
    """With the mean and deviation of the steps that count, baseline taken off first."""
    state = ongoing(
        baseline=baseline,
        advantage_normalisation="rollout",
        optimiser="sgd",
        learning_rate=0.1,
        value_steps=1,
    )
    advantage = ONGOING_TO_GO.copy()
    if baseline == "value":
        state = dataclasses.replace(
            state, value_params={"params": {"v": jnp.array([10.0, 20.0, 0, 0, 0, 0])}}
        )
        advantage -= np.array([[10, 20], [20, 10], [10, 20]])
    after = reinforce.update(state, ONGOING)
    scaled = (advantage - advantage.mean()) / advantage.std()
    step = 0.1 * np.einsum("tb,tbij->ij", scaled, scores()[:3]) / 2
    np.testing.assert_allclose(logits(after.params) - logits(state.params), step, rtol=1e-4)
    np.testing.assert_allclose(after.info["advantage"], np.abs(advantage).mean(), rtol=1e-5)
    assert after.info["return"] == 6


def test_normalised_advantages_of_first_episodes_are_those_of_their_steps() -> None:
    episodes = reinforce.episodes_of(Config(discount=0.5), ROLLOUT)
    normal = np.asarray(losses.standardise(episodes.credit, episodes.counts > 0))[episodes.counts > 0]
    expected = np.array([3.0, 4, 4, 4, 8])
    np.testing.assert_allclose(normal, (expected - expected.mean()) / expected.std(), rtol=1e-5)


@pytest.mark.parametrize(("step", "rate"), [(0, 0.1), (1, 0.08), (3, 0.04), (4, 0.02), (9, 0.02)])
def test_step_size_falls_by_hand(step: int, rate: float) -> None:
    """From 0.1 to 0.02 in four updates."""
    falling = {"learning_rate": 0.1, "learning_rate_end": 0.02, "learning_rate_steps": 4}
    state = dataclasses.replace(ongoing(**falling, optimiser="sgd"), step=jnp.int32(step))
    after = reinforce.update(state, ONGOING)
    expected = rate * np.einsum("tb,tbij->ij", ONGOING_TO_GO, scores()[:3]) / 2
    np.testing.assert_allclose(logits(after.params) - logits(state.params), expected, rtol=1e-4)
    assert after.step == step + 1


@pytest.mark.parametrize(("step", "weight"), [(0, 0.4), (1, 0.3), (2, 0.2), (3, 0.1), (8, 0.1)])
def test_entropy_bonus_falls_by_hand(step: int, weight: float) -> None:
    """Where nothing is paid it is all there is: steps up the entropy, of slope −π (log π + H)."""
    falling = {"entropy_coefficient": 0.4, "entropy_coefficient_end": 0.1, "entropy_coefficient_steps": 3}
    state = dataclasses.replace(ongoing(**falling, optimiser="sgd", learning_rate=1.0), step=jnp.int32(step))
    unpaid = dataclasses.replace(ONGOING, reward=jnp.zeros((4, 2)))
    after = reinforce.update(state, unpaid)
    chances = np.asarray(jax.nn.softmax(logits(state.params)))
    entropy = -np.sum(chances * np.log(chances), axis=1, keepdims=True)
    slope = -chances * (np.log(chances) + entropy)
    visits = np.bincount(np.asarray(ONGOING.observation[:3]).ravel())  # of steps that count
    np.testing.assert_allclose(
        logits(after.params) - logits(state.params), weight * visits[:, None] * slope / 2, rtol=1e-3
    )
    kept = ongoing(entropy_coefficient=0.4, optimiser="sgd", learning_rate=1.0)
    kept = reinforce.update(dataclasses.replace(kept, step=jnp.int32(step)), unpaid)
    np.testing.assert_allclose(
        logits(kept.params) - logits(state.params), 0.4 * visits[:, None] * slope / 2, rtol=1e-3
    )


def test_rmsprop_by_hand() -> None:
    """The first step is g / (√((1 − decay) g²) + ε), as in the post on Pong, which adds ε to the root."""
    plain = reinforce.update(ongoing(optimiser="sgd", learning_rate=1.0), ONGOING)
    gradient = np.asarray(logits(plain.params) - logits(ongoing().params))
    given: dict[str, Any] = {"optimiser": "rmsprop", "learning_rate": 0.1}
    for decay, epsilon in ((0.99, 1e-5), (0.9, 0.5)):
        state = ongoing(**given, optimiser_decay=decay, optimiser_epsilon=epsilon)
        step = logits(reinforce.update(state, ONGOING).params) - logits(state.params)
        expected = 0.1 * gradient / (np.sqrt((1 - decay) * gradient**2) + epsilon)
        np.testing.assert_allclose(step, expected, rtol=1e-3)


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


def test_learns_catch_from_differences_of_frames() -> None:
    """The preset, for a fifth of its steps: balls are caught. Rollouts are of six episodes and two thirds."""
    environment = environments.make("Catch", 16, difference=True)
    preset = presets.get("reinforce", "catch", environment.observation_space)
    sizes = Settings(
        total_steps=144_000, num_envs=16, rollout_length=60, num_epochs=1, evaluation_episodes=50
    )
    loop = Loop(reinforce, preset.config, environment, sizes)
    metrics = jax.jit(jax.vmap(loop.train))(jax.random.split(jax.random.key(0), 2))[1]
    assert np.all(metrics.evaluation_return[:, -1] > 0.9)
    assert np.all(metrics.episodes[:, -1] == 144_000 // 9)  # none is lost between rollouts


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
        ({"episodes": "last"}, ["episodes", "first, all", "'last'"]),
        (
            {"episodes": "all", "returns": "trajectory", "baseline": "none"},
            ["returns='trajectory'", "episodes='all'"],
        ),
        ({"episodes": "all", "baseline": "time"}, ["baseline='time'", "episodes='all'"]),
        ({"episodes": "all", "baseline": "constant"}, ["baseline='constant'", "episodes='all'"]),
        ({"episodes": "all", "baseline": "optimal"}, ["baseline='optimal'", "episodes='all'"]),
        (
            {"episodes": "all", "baseline": "none", "discount_steps": True},
            ["discount_steps=True", "episodes='all'"],
        ),
        (
            {"advantage_normalisation": "rollout", "baseline": "optimal"},
            ["advantage_normalisation='rollout'", "baseline='optimal'"],
        ),
        ({"advantage_normalisation": True}, ["advantage_normalisation", "none, rollout", "True"]),
        ({"optimiser_decay": 1.5}, ["optimiser_decay", "1.5"]),
        ({"optimiser_epsilon": 0.0}, ["optimiser_epsilon", "0.0"]),
        ({"value_steps": 0}, ["value_steps", "0"]),
        ({"learning_rate_end": -0.1}, ["learning_rate_end", "-0.1"]),
        ({"learning_rate_steps": 0}, ["learning_rate_steps", "0"]),
        ({"entropy_coefficient_end": float("inf")}, ["entropy_coefficient_end", "inf"]),
        ({"entropy_coefficient_steps": -1}, ["entropy_coefficient_steps", "-1"]),
        ({"policy": "beta"}, ["REINFORCE", "beta", "Discrete(2)"]),
    ],
)
def test_what_cannot_be_is_named(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        reinforce.init(jax.random.key(0), Config(**config), OBSERVATIONS, DISCRETE)
    for word in words:
        assert word in str(raised.value)
