"""PQN: its targets and figures by hand, how often and in which order a rollout is learnt, and CartPole."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from probes import Probe
from tables import ROLLOUT

import purejaxrl
from purejaxrl.agents import pqn
from purejaxrl.agents.pqn import Config
from purejaxrl.environments import vectorise
from purejaxrl.networks import MLP
from purejaxrl.training.loop import Loop
from purejaxrl.training.settings import Settings
from purejaxrl.types import InvalidInput, Transition
from purejaxrl.value_networks import QNetwork, Table

STATES, ACTIONS = gymnasium.spaces.Discrete(8), gymnasium.spaces.Discrete(2)
PLAIN: dict[str, Any] = {"optimiser": "sgd", "max_gradient_norm": None, "passes": 1, "minibatches": 1}
# Of rows 0 to 7, which the rollout's first environment walks through up to 3, and its second to 7.
VALUES = np.array([[1, 0], [2, 1], [0, 4], [8, 6], [2, 2], [4, 0], [6, 3], [5, 8]], np.float32)


def learner(seed: int = 0, **config: Any) -> pqn.State:
    """A table of :data:`VALUES`, learnt by plain gradient descent."""
    given: dict[str, Any] = PLAIN | {
        "network": Table(8, 2),
        "discount": 0.5,
        "trace_decay": 0.5,
        "learning_rate": 0.5,
    }
    state = pqn.init(jax.random.key(seed), Config(**(given | config)), STATES, ACTIONS)
    return dataclasses.replace(state, params={"params": {"q": jnp.array(VALUES)}})


def table(state: pqn.State) -> np.ndarray:
    return np.asarray(state.params["params"]["q"])


# λ = γ = ½, rewards 1 2 3 and 2 3 1, values of the successors 2 4 8 and 4 6 8:
#   first   3 + ½·8 = 7;  2 + ½ (½·4 + ½·7) = 4.75;  1 + ½ (½·2 + ½·4.75) = 2.6875
#   second  1 + ½·8 = 5;  3 + ½ (½·6 + ½·5) = 5.75;  2 + ½ (½·4 + ½·5.75) = 4.4375
# If the first ends with its second step, that is worth 2, or 2 + ½·4 = 4 where it was cut off, and the
# first step 1 + ½ (½·2 + ½·2) = 2, or 1 + ½ (½·2 + ½·4) = 2.5. What begins then leaks nowhere.
SECOND = [4.4375, 5.75, 5.0]
TARGETS = {
    (False, False): [2.6875, 4.75, 7.0],
    (True, False): [2.0, 2.0, 7.0],
    (False, True): [2.5, 4.0, 7.0],
    (True, True): [2.0, 2.0, 7.0],
}


@pytest.mark.parametrize("ending", TARGETS)
def test_targets_and_figures_by_hand(ending: tuple[bool, bool]) -> None:
    rollout = dataclasses.replace(
        ROLLOUT,
        terminated=ROLLOUT.terminated.at[1, 0].set(ending[0]),
        truncated=ROLLOUT.truncated.at[1, 0].set(ending[1]),
    )
    state = pqn.update(learner(), rollout)
    observation, action = np.asarray(rollout.observation).T, np.asarray(rollout.action).T
    predicted = VALUES[observation, action]
    delta = np.array([TARGETS[ending], SECOND]) - predicted
    expected = VALUES.copy()
    expected[observation, action] += 0.5 * delta / 6
    np.testing.assert_allclose(table(state), expected, rtol=1e-6)
    figures = {
        "loss": np.mean(delta**2) / 2,
        "td_error": np.mean(np.abs(delta)),
        "action_value": np.mean(predicted),
        "gradient_norm": np.linalg.norm(delta / 6),
    }
    assert state.info.keys() == figures.keys()
    for name, figure in figures.items():
        np.testing.assert_allclose(state.info[name], figure, rtol=1e-6, err_msg=name)
    assert state.step == 1


def test_a_cut_off_bootstraps_from_its_true_successor() -> None:
    """Cut off on the way to row 3, of value 8, and begun anew in row 2: 2 + ½·8, and 1 + ½ (½·2 + ½·6)."""
    rollout = dataclasses.replace(
        ROLLOUT,
        truncated=ROLLOUT.truncated.at[1, 0].set(True),
        next_observation=ROLLOUT.next_observation.at[1, 0].set(3),
    )
    moved = (table(pqn.update(learner(), rollout)) - VALUES)[[0, 1], [0, 1]]
    np.testing.assert_allclose(moved, 0.5 * (np.array([3.0, 6.0]) - [1.0, 1.0]) / 6, rtol=1e-6)


@pytest.mark.parametrize("trace_decay", [0.0, 0.65, 1.0])
def test_targets_are_rlax_s(trace_decay: float) -> None:
    """Read off a step: random walks that terminate, with values of all rows different."""
    rng = np.random.default_rng(0)
    terminated = rng.random((8, 1)) < 0.2
    rollout = Transition(
        observation=jnp.arange(8)[:, None],
        action=jnp.array(rng.integers(2, size=(8, 1))),
        reward=jnp.array(rng.normal(size=(8, 1)), jnp.float32),
        terminated=jnp.array(terminated),
        truncated=jnp.zeros((8, 1), bool),
        next_observation=jnp.array(rng.integers(8, size=(8, 1))),
    )
    state = learner(trace_decay=trace_decay, learning_rate=8.0)  # a whole step for each of 8 rows
    discount = 0.5 * (1 - terminated[:, 0].astype(np.float32))
    after = VALUES[np.asarray(rollout.next_observation)[:, 0]].max(axis=1)
    expected = rlax.lambda_returns(rollout.reward[:, 0], jnp.array(discount), jnp.array(after), trace_decay)
    learnt = table(pqn.update(state, rollout))[np.arange(8), np.asarray(rollout.action)[:, 0]]
    np.testing.assert_allclose(learnt, expected, rtol=1e-5, atol=1e-5)


# --- passes and minibatches ---------------------------------------------------------------------


@pytest.mark.parametrize(("passes", "minibatches"), [(1, 1), (3, 1), (1, 4), (2, 4), (3, 8)])
def test_every_row_is_learnt_once_in_every_pass(passes: int, minibatches: int) -> None:
    """Eight rows of a table that meet in no entry: each is halfway nearer to its target with every look.

    Targets are those of before the first look, although the rows are each other's successors.
    """
    rollout = Transition(
        observation=jnp.arange(8).reshape(4, 2),
        action=jnp.array([[0, 1], [1, 0], [1, 1], [0, 0]]),
        reward=jnp.arange(8.0).reshape(4, 2),
        terminated=jnp.ones((4, 2), bool).at[0].set(False),
        truncated=jnp.zeros((4, 2), bool),
        next_observation=jnp.arange(2, 10).reshape(4, 2) % 8,
    )
    size = 8 // minibatches
    state = learner(passes=passes, minibatches=minibatches, learning_rate=0.5 * size, trace_decay=0.0)
    place = (np.arange(8), np.asarray(rollout.action).reshape(-1))
    target = np.arange(8.0)
    target[:2] += 0.5 * VALUES[[2, 3]].max(axis=1)
    expected = VALUES.copy()
    expected[place] = target + (VALUES[place] - target) * 0.5**passes
    after = pqn.update(state, rollout)
    np.testing.assert_allclose(table(after), expected, rtol=1e-5, atol=1e-6)
    # Figures are means over all the steps of the optimiser.
    errors = [np.abs(VALUES[place] - target) * 0.5**look for look in range(passes)]
    np.testing.assert_allclose(after.info["td_error"], np.mean(errors), rtol=1e-5)


def test_the_optimiser_takes_a_step_for_every_minibatch() -> None:
    rollout = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), ROLLOUT)
    state = learner(optimiser="radam", passes=3, minibatches=4)
    for updates in range(1, 3):
        state = pqn.update(state, rollout)
        assert state.optimiser_state[0].count == 12 * updates  # type: ignore[index]


HOT = (
    Transition(  # of 8 rows in one entry of the table one has reward 1; [8, 8, 1], the row that has it first
        observation=jnp.zeros((8, 8, 1), jnp.int32),
        action=jnp.zeros((8, 8, 1), jnp.int32),
        reward=jnp.eye(8)[:, :, None],
        terminated=jnp.ones((8, 8, 1), bool),
        truncated=jnp.zeros((8, 8, 1), bool),
        next_observation=jnp.zeros((8, 8, 1), jnp.int32),
    )
)


learn_each = jax.jit(jax.vmap(pqn.update, in_axes=(None, 0)))


def orders(state: pqn.State) -> np.ndarray:
    """The place of each row in each of two passes ``[2, 8]``, read off what an update makes of an entry of 0.

    A row at a time it goes halfway to that row's reward: a 1 seen n looks from the end leaves 2⁻ⁿ⁻¹, so that
    the number is, in binary, where the row was.
    """
    state = dataclasses.replace(state, params={"params": {"q": jnp.zeros((8, 2))}})
    value = table(learn_each(state, HOT))[:, 0, 0]
    digits = ((value * 2**16).astype(np.int64)[:, None] >> np.arange(16)) & 1  # [row, look]
    assert np.all(digits[:, :8].sum(axis=1) == 1)  # once in each pass
    assert np.all(digits[:, 8:].sum(axis=1) == 1)
    return np.stack([digits[:, :8].argmax(axis=1), digits[:, 8:].argmax(axis=1)])


def test_rows_are_in_another_order_in_every_pass_and_update() -> None:
    seen = []
    for seed in range(2):
        state = learner(seed, passes=2, minibatches=8)
        for step in range(3):
            both = orders(dataclasses.replace(state, step=jnp.int32(step)))
            for order in both:
                assert sorted(order) == list(range(8))
                seen.append(tuple(order))
    assert len(set(seen)) == len(seen) == 12


# --- rates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ({}, [0.5, 0.5, 0.5, 0.5]),
        ({"learning_rate_steps": 2}, [0.5, 0.25, 0.0, 0.0]),
        ({"learning_rate_steps": 2, "learning_rate_end": 0.1}, [0.5, 0.3, 0.1, 0.1]),
    ],
)
def test_the_step_size_falls_from_update_to_update(schedule: dict[str, Any], rates: list[float]) -> None:
    state = learner(**schedule)
    whole = table(pqn.update(learner(learning_rate=1.0), ROLLOUT)) - VALUES
    for rate in rates:
        again = dataclasses.replace(state, params={"params": {"q": jnp.array(VALUES)}})
        state = pqn.update(again, ROLLOUT)
        np.testing.assert_allclose(table(state) - VALUES, rate * whole, rtol=1e-5, atol=1e-6)


def test_gradients_are_clipped_by_their_norm() -> None:
    whole, clipped = pqn.update(learner(), ROLLOUT), pqn.update(learner(max_gradient_norm=0.1), ROLLOUT)
    norm = float(whole.info["gradient_norm"])
    assert norm > 0.1
    np.testing.assert_allclose(clipped.info["gradient_norm"], norm)
    shorter = VALUES + (table(whole) - VALUES) * 0.1 / norm
    np.testing.assert_allclose(table(clipped), shorter, rtol=1e-5, atol=1e-6)


def test_acts_epsilon_greedily() -> None:
    state, observation = (
        learner(epsilon_start=0.8, epsilon_end=0.2, epsilon_steps=100),
        jnp.zeros(20_000, int),
    )
    for step, epsilon in [(0, 0.8), (50, 0.5), (100, 0.2), (10_000, 0.2)]:
        action, extras, carry = pqn.act(state, observation, jax.random.key(step), step)
        assert (extras, carry) == ((), ())
        np.testing.assert_allclose(jnp.mean(action), epsilon / 2, atol=0.015)
    np.testing.assert_array_equal(pqn.greedy(state, jnp.arange(8))[0], VALUES.argmax(axis=1))


# --- networks, and what cannot work -------------------------------------------------------------


def test_layers_are_normalised_unless_that_is_off() -> None:
    space, key = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32), jax.random.key(0)
    for normalisation, number in (("layer", 10), ("none", 6)):
        config = Config(normalisation=normalisation)  # type: ignore[arg-type]
        state = pqn.init(jax.random.clone(key), config, space, ACTIONS)
        assert len(jax.tree.leaves(state.params)) == number  # a kernel and a bias, or four with a norm's


def test_a_network_of_one_s_own_may_see_what_no_torso_does() -> None:
    space = gymnasium.spaces.Box(-1.0, 1.0, (2, 1, 2, 1), np.float32)
    network = QNetwork(MLP((3,)), 2)
    state = pqn.init(jax.random.key(0), Config(network=network), space, ACTIONS)
    assert pqn.action_values(state, state.params, jnp.ones((5, *space.shape))).shape == (5, 2)
    with pytest.raises(InvalidInput, match="at most"):
        pqn.init(jax.random.key(0), Config(), space, ACTIONS)


@pytest.mark.parametrize(
    ("rollout_length", "minibatches", "message"),
    [(2, 4, "6 steps cannot be divided into 4 minibatches"), (1, 2, "3 steps .* 2 minibatches")],
)
def test_minibatches_that_do_not_divide_a_rollout_say_so_at_once(
    rollout_length: int, minibatches: int, message: str
) -> None:
    settings = Settings(
        total_steps=60, num_envs=3, rollout_length=rollout_length, num_epochs=1, evaluation_episodes=0
    )
    loop = Loop(pqn, Config(minibatches=minibatches), vectorise(Probe(), 3), settings)
    with pytest.raises(InvalidInput, match=message):
        loop.check()


@pytest.mark.slow
def test_learns_cart_pole() -> None:
    config = Config(learning_rate=1e-3, learning_rate_steps=400, epsilon_steps=50_000, hidden_sizes=(64, 64))
    settings = Settings(
        total_steps=102_400, num_envs=8, rollout_length=32, num_epochs=4, evaluation_episodes=16
    )
    loop = Loop(pqn, config, purejaxrl.make("CartPole-v1", num_envs=8), settings)
    _, metrics = jax.jit(jax.vmap(loop.train))(jax.random.split(jax.random.key(0), 3))
    returns = np.asarray(metrics.evaluation_return)
    assert np.all(returns[:, 0] < 60)
    assert np.all(returns[:, 1:].max(axis=1) > 400)
