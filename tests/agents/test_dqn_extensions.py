"""DQN's extensions, one update of each and of several together, by hand on tables.

Numbers are worked out on paper where that fits a comment, and otherwise by ``expected``, which goes
through a batch transition by transition in plain Python. Plain gradient descent with a step of 1 shows
the gradient. The tables are in tables.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import (
    CHANCES,
    DQN_BATCH,
    OBSERVATIONS,
    TWO_ACTIONS,
    WINDOWS,
    DistributionTable,
    QuantileTable,
    ValueTable,
    dqn_state,
    rows,
    sample,
    tree,
)

from purejaxrl import losses
from purejaxrl.agents import dqn
from purejaxrl.types import InvalidInput, Transition

STEEPEST: dict[str, Any] = {"optimiser": "sgd", "learning_rate": 1.0}
NUM_ATOMS, LOW, HIGH = 4, -3.0, 6.0  # atoms −3, 0, 3, 6


def close(actual: Any, expected: Any, rtol: float = 1e-5, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def descent(before: dqn.State, after: dqn.State, name: str = "q") -> np.ndarray:
    """The gradient of a step of 1."""
    return np.asarray(before.params["params"][name] - after.params["params"][name])


# --- on paper ----------------------------------------------------------------------------------


def test_double_values_the_online_network_s_choice() -> None:
    """In row 1 the online network likes action 0 best, which the target network values at 2, not 6."""
    before = dqn_state(double=True, **STEEPEST)
    before = dataclasses.replace(before, params=tree(q=rows([2.0, 0.5], [9.0, 6.0], [-50.0, -70.0])))
    state = dqn.update(before, DQN_BATCH)
    # 1 + ½·2 − 2 = 0;  1 − 0.5;  0 + ½·2 − 9 = −8, cut off;  9 − 6, terminated
    close(state.info["loss"], 0.5 * (0 + 0.25 + 64 + 9) / 4)
    close(descent(before, state), rows([0, -0.125], [2, -0.75]))
    # The choice is made where the successor is: row 1's own, not row 0's, in which action 0 is best, too.
    other = dataclasses.replace(before, params=tree(q=rows([2.0, 0.5], [6.0, 9.0])))
    close(dqn.update(other, DQN_BATCH).info["loss"], 0.5 * (4 + 0.25 + 9 + 0) / 4)


def test_n_steps_stop_at_an_end_and_bootstrap_where_it_was_cut_off() -> None:
    before = dqn_state(n_step=3, **STEEPEST)
    state = dqn.update(before, WINDOWS)
    errors = np.array(
        [
            1 + 1 + 1 + 0.125 * 6 - 2,
            1 + 1 - 0.5,  # terminated by the second step
            1 + 1 + 0.25 * 6 - 6,  # cut off by it
            8 + 0.5 * 6 - 9,  # cut off by the first
            1 - 2,  # the last step both ended and was cut off
            1 + 0.125 * 6 - 9,  # cut off by the last
        ]
    )
    close(state.info["loss"], 0.5 * np.mean(errors**2))
    close(state.info["td_error"], np.mean(np.abs(errors)))
    slope = np.zeros((8, 2))
    np.add.at(slope, (WINDOWS.observation, WINDOWS.action), -errors / 6)
    close(descent(before, state), slope)


def test_one_step_of_n_is_the_step() -> None:
    """``[B]`` and ``[B, 1]`` are the same batch."""
    wide = dataclasses.replace(
        DQN_BATCH,
        **{name: getattr(DQN_BATCH, name)[:, None] for name in ("reward", "terminated", "truncated")},
    )
    one, other = dqn.update(dqn_state(), DQN_BATCH), dqn.update(dqn_state(), wide)
    np.testing.assert_array_equal(one.params["params"]["q"], other.params["params"]["q"])


def test_priorities_and_importance_weights() -> None:
    """Errors 2, ½, −3 and 0; β = ½ makes of chances 1, 4, ¼ and 1 the weights 1, ½, 2 and 1, over 2."""
    config: dict[str, Any] = {
        "prioritised": True,
        "priority_exponent": 0.5,
        "priority_offset": 1.0,
        "importance_start": 0.5,
        "importance_end": 1.0,
        "importance_steps": 100,
        "batch_size": 4,
    }
    before = dqn_state(**config, **STEEPEST)
    batch = sample(DQN_BATCH, [1, 4, 0.25, 1])
    assert before.priority.shape == (4,)
    state = dqn.update(before, batch)
    close(state.priority, [3**0.5, 1.5**0.5, 2, 1])  # (|δ| + 1)^½, in the order of the batch
    close(state.info["loss"], (0.5 * 4 * 0.5 + 0.5 * 0.25 * 0.25 + 0.5 * 9) / 4)
    close(descent(before, state), rows([-2 * 0.5 / 4, -0.5 * 0.25 / 4], [3 / 4, 0]))
    close(state.info["td_error"], 5.5 / 4)  # figures are of the batch as it is
    # β grows with updates: ¾ after 50, 1 after 100 and for good.
    for step, exponent in [(50, 0.75), (100, 1.0), (1000, 1.0)]:
        later = dqn.update(dataclasses.replace(before, step=jnp.int32(step)), batch)
        weights = np.array([1, 4, 0.25, 1]) ** -exponent
        weights /= weights.max()
        close(later.info["loss"], np.mean(0.5 * weights * np.array([4, 0.25, 9, 0])))
        close(later.priority, state.priority)
    # A batch without chances is one that all were as likely in; a uniform memory's has no priorities.
    plain = dqn.update(before, DQN_BATCH)
    close(plain.info["loss"], 1.65625)
    close(plain.priority, state.priority)
    assert dqn.update(dqn_state(), DQN_BATCH).priority == ()


def test_importance_weights_by_hand() -> None:
    close(losses.importance_weights(jnp.array([1.0, 4.0, 0.25]), jnp.float32(0.5)), [0.5, 0.25, 1])
    close(losses.importance_weights(jnp.array([1.0, 4.0, 0.25]), jnp.float32(0.0)), [1, 1, 1])
    close(losses.importance_weights(jnp.array([2.0, 8.0]), jnp.float32(1.0)), [1, 0.25])


def test_munchausen_by_hand() -> None:
    """With τ = 4 / log 3 the target network's policy is ½, ½ in row 0 and ¼, ¾ in row 1."""
    tau, alpha = 4 / np.log(3), 0.5
    config: dict[str, Any] = {
        "munchausen": True,
        "munchausen_temperature": tau,
        "munchausen_scale": alpha,
        "munchausen_floor": -100.0,
    }
    before = dqn_state(**config, **STEEPEST)
    state = dqn.update(before, DQN_BATCH)
    value = 0.25 * (2 - tau * np.log(0.25)) + 0.75 * (6 - tau * np.log(0.75))  # of row 1
    bonus = alpha * tau * np.log([0.5, 0.5, 0.25, 0.75])
    errors = bonus + np.array([1 + 0.5 * value - 2, 1 - 0.5, 0.5 * value - 6, 9 - 9])
    close(state.info["loss"], 0.5 * np.mean(errors**2))
    close(descent(before, state), -rows(errors[:2], errors[2:]) / 4)
    floored = dqn_state(**config | {"munchausen_floor": -3.0}, **STEEPEST)
    floor = alpha * np.maximum(tau * np.log([0.5, 0.5, 0.25, 0.75]), -3.0)
    assert np.any(floor != bonus)
    close(dqn.update(floored, DQN_BATCH).info["loss"], 0.5 * np.mean((errors - bonus + floor) ** 2))


def distributional(table: Any, online: Any, target: Any, **config: Any) -> dqn.State:
    given = dqn.Config(**({"discount": 0.5, "network": table} | STEEPEST | config))
    state = dqn.init(jax.random.key(0), given, OBSERVATIONS, TWO_ACTIONS)
    return dataclasses.replace(state, params=tree(q=online), target_params=tree(q=target))


TWO_STEPS = jax.tree.map(lambda leaf: leaf[:2], DQN_BATCH)  # (0, 0) to 1; (0, 1) to 2, terminated


def test_categorical_by_hand() -> None:
    """Atoms 0, 1, 2. In row 1 the actions have means 1 and ¾, so that the first is the best."""
    target = rows(np.zeros((2, 3)), np.log([[0.25, 0.5, 0.25], [0.5, 0.25, 0.25]]))
    online = rows(np.log([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]))
    config = {"distribution": "categorical", "atoms": 3, "value_low": 0.0, "value_high": 2.0}
    before = distributional(DistributionTable(3), online, target, **config, prioritised=True, batch_size=2)
    batch = dataclasses.replace(TWO_STEPS, reward=jnp.array([0.5, 3.0]))
    state = dqn.update(before, batch)
    # ½, 1, 1½ with ¼, ½, ¼: each end is shared with the middle. And 3 is beyond the last atom.
    projected = np.array([[0.125, 0.75, 0.125], [0, 0, 1]])
    predicted = np.array([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    loss = -np.sum(projected * np.log(predicted), axis=1)
    close(state.info["loss"], np.mean(loss))
    close(descent(before, state), rows((predicted - projected) / 2))
    close(state.info["action_value"], np.mean([0.75, 1.4]))
    close(state.info["td_error"], np.mean([1 - 0.75, 3 - 1.4]))  # of means, before anything is cut off
    # The priority is the divergence: what is left of the loss where the prediction is right is none of it.
    entropy = -(0.25 * np.log(0.125) + 0.75 * np.log(0.75))
    close(state.priority, (loss - [entropy, 0] + 1e-6) ** 0.6)


def test_priorities_of_right_predictions_are_small() -> None:
    """A divergence that rounds to less than 0 has no power: it would be NaN, which is as good as new."""
    random = np.random.default_rng(0)
    online = jnp.asarray(random.normal(size=(8, 2, 51)) * 2, jnp.float32)
    config = {"distribution": "categorical", "discount": 1.0, "prioritised": True, "batch_size": 8}
    before = distributional(DistributionTable(51), online, online, **config)
    best = jnp.argmax(dqn.action_values(before, before.params, jnp.arange(8)), axis=1)
    nothing = jnp.zeros(8, bool)
    batch = Transition(jnp.arange(8), best, jnp.zeros(8), nothing, nothing, jnp.arange(8))
    priority = dqn.update(before, batch).priority
    assert np.all(priority > 0)
    assert np.all(priority < 1e-2)


def test_quantiles_by_hand() -> None:
    """Quantiles of ¼ and ¾. In row 1 the actions have means 2 and 1½: 1 and 3 is what row 0 is to be."""
    online, target = rows([[0.0, 4.0], [1.0, 1.0]]), rows(np.zeros((2, 2)), [[0.0, 4.0], [1.0, 2.0]])
    batch = dataclasses.replace(TWO_STEPS, reward=jnp.array([1.0, 3.0]))
    for kappa, penalties, slopes, far in [
        # Of 0: errors 1 and 3, with ¼; of 4: −3 and −1, with 1 − ¾. ½u²/κ up to κ, |u| − ½κ beyond.
        # Of 1 and 1, where the task ended with a reward of 3: errors 2, with ¼ and ¾.
        (0.0, 1 + 3, 1 + 1, 2.0),
        (1.0, 0.5 + 2.5, 1 + 1, 1.5),
        (2.0, 0.25 + 2.0, 0.5 + 1, 1.0),
    ]:
        config = {"distribution": "quantile", "atoms": 2, "quantile_threshold": kappa}
        before = distributional(
            DistributionTable(2), online, target, **config, prioritised=True, batch_size=2
        )
        state = dqn.update(before, batch)
        loss = np.array([2 * 0.25 * penalties / 2, far])  # a sum of two quantiles, a mean of two particles
        close(state.info["loss"], np.mean(loss))
        pull = 0.25 * slopes / 2
        close(descent(before, state), rows([[-pull / 2, pull / 2], [-0.25 / 2, -0.75 / 2]]))
        close(state.priority, (loss + 1e-6) ** 0.6)
        close(state.info["action_value"], (2 + 1) / 2)


# --- transition by transition ---------------------------------------------------------------------


def softmax(x: Any) -> np.ndarray:
    powers = np.exp(x - np.max(x))
    return powers / powers.sum()


def particles(config: dict[str, Any], row: Any) -> tuple[np.ndarray, np.ndarray]:
    """One action's return: its values and their weights."""
    kind = config["distribution"]
    if kind == "none":
        return np.array([row]), np.ones(1)
    if kind == "categorical":
        return np.linspace(LOW, HIGH, NUM_ATOMS), softmax(row)
    return np.asarray(row), np.full(len(row), 1 / len(row))


def mean(config: dict[str, Any], row: Any) -> float:
    return float(np.dot(*particles(config, row)))


def projected(values: Any, weights: Any) -> np.ndarray:
    """Each particle to its neighbours, one by one."""
    atoms = np.linspace(LOW, HIGH, NUM_ATOMS)
    shares = np.zeros(NUM_ATOMS)
    for value, weight in zip(np.clip(values, LOW, HIGH), weights, strict=True):
        lower = min(int(np.searchsorted(atoms, value, side="right")) - 1, NUM_ATOMS - 2)
        share = (value - atoms[lower]) / (atoms[lower + 1] - atoms[lower])
        shares[lower] += weight * (1 - share)
        shares[lower + 1] += weight * share
    return shares


def quantile_loss(quantiles: Any, tau: Any, values: Any, weights: Any) -> tuple[float, np.ndarray]:
    """κ = 1, and its slope by each quantile."""
    loss, slope = 0.0, np.zeros(len(quantiles))
    for i, quantile in enumerate(quantiles):
        for value, weight in zip(values, weights, strict=True):
            u = value - quantile
            pull = weight * abs(tau[i] - (u < 0))
            loss += pull * (0.5 * u * u if abs(u) <= 1 else abs(u) - 0.5)
            slope[i] -= pull * np.clip(u, -1, 1)
    return loss, slope


def target_particles(
    config: dict[str, Any], batch: Transition, i: int, target: Any, selector: Any, policy: Any
) -> tuple[np.ndarray, np.ndarray]:
    """What transition ``i`` says of the return: ``target`` describes the successor's actions,

    ``selector`` their means by the network that chooses, ``policy`` the means in the first observation.
    """
    reward, discount = 0.0, 1.0
    for step in range(batch.reward.shape[1]):
        reward += discount * float(batch.reward[i, step])
        discount *= 0.5
        if batch.terminated[i, step]:
            discount = 0.0
        if batch.terminated[i, step] or batch.truncated[i, step]:
            break
    each = [particles(config, row) for row in target]
    if not config.get("munchausen"):
        values, weights = each[int(np.argmax(selector))]
        return reward + discount * values, weights
    tau, alpha, floor = 2.0, 0.9, -1.0
    log_policy = np.log(softmax(policy / tau))[int(batch.action[i])]
    reward += alpha * max(tau * log_policy, floor)
    chances = softmax(selector / tau)
    values = np.concatenate([v - tau * np.log(chances[a]) for a, (v, _) in enumerate(each)])
    weights = np.concatenate([chances[a] * w for a, (_, w) in enumerate(each)])
    return reward + discount * values, weights


def expected(
    config: dict[str, Any], online: Any, target: Any, batch: Transition, chance: Any = None
) -> tuple[float, np.ndarray, np.ndarray]:
    """An update's loss, its gradient and its transitions' priorities."""
    size = len(batch.action)
    weight = np.ones(size) if chance is None else np.asarray(chance) ** -0.4
    weight = weight / weight.max()
    total, gradient, priority = 0.0, np.zeros_like(online), np.zeros(size)
    for i in range(size):
        row, action, following = (
            int(x[i]) for x in (batch.observation, batch.action, batch.next_observation)
        )
        # Munchausen's policy is the target network's, whatever double says: it chooses no action.
        chooser = online if config.get("double") and not config.get("munchausen") else target
        values, weights = target_particles(
            config,
            batch,
            i,
            target[following],
            np.array([mean(config, each) for each in chooser[following]]),
            np.array([mean(config, each) for each in target[row]]),
        )
        taken = online[row, action]
        if config["distribution"] == "none":
            error = float(values @ weights) - taken
            loss, slope, priority[i] = 0.5 * error**2, -error, abs(error)
        elif config["distribution"] == "categorical":
            shares = projected(values, weights)
            loss, slope = -float(shares @ np.log(softmax(taken))), softmax(taken) - shares
            some = shares[shares > 0]
            priority[i] = loss + float(some @ np.log(some))
        else:
            tau = (np.arange(len(taken)) + 0.5) / len(taken)
            loss, slope = quantile_loss(taken, tau, values, weights)
            priority[i] = loss
        total += weight[i] * loss / size
        gradient[row, action] += weight[i] * slope / size
    return total, gradient, (priority + 1e-6) ** 0.6


MUNCHAUSEN = {"munchausen": True, "munchausen_temperature": 2.0}
TOGETHER: list[dict[str, Any]] = [
    {"distribution": "none", "double": True, "prioritised": True} | MUNCHAUSEN,
    {"distribution": "categorical"},
    {"distribution": "categorical", "double": True, "prioritised": True},
    {"distribution": "categorical", "double": True} | MUNCHAUSEN,
    {"distribution": "quantile"},
    {"distribution": "quantile", "double": True, "prioritised": True},
    {"distribution": "quantile", "prioritised": True} | MUNCHAUSEN,
]


@pytest.mark.parametrize("config", TOGETHER, ids=lambda config: " ".join(map(str, config.values())))
def test_extensions_together(config: dict[str, Any]) -> None:
    random = np.random.default_rng(3)
    scalar = config["distribution"] == "none"
    shape = (8, 2) if scalar else (8, 2, NUM_ATOMS)
    online, target = (random.normal(size=shape) * 2 for _ in range(2))
    table = ValueTable() if scalar else DistributionTable(NUM_ATOMS)
    sizes = {"atoms": NUM_ATOMS, "value_low": LOW, "value_high": HIGH, "n_step": 3, "batch_size": 6}
    before = distributional(
        table, jnp.asarray(online, jnp.float32), jnp.asarray(target, jnp.float32), **sizes, **config
    )
    chances = CHANCES if config.get("prioritised") else None
    batch = WINDOWS if chances is None else sample(WINDOWS, chances)
    state = dqn.update(before, batch)
    loss, gradient, priority = expected(config, online, target, WINDOWS, chances)
    close(state.info["loss"], loss)
    close(descent(before, state), gradient)
    if chances is not None:
        close(state.priority, priority, rtol=1e-4)


# --- implicit quantiles ----------------------------------------------------------------------------


def implicit(online: Any, target: Any, **config: Any) -> dqn.State:
    """Of tables of a line's height and slope, each ``[rows, 2]``."""
    given: dict[str, Any] = {
        "network": QuantileTable(),
        "distribution": "implicit",
        "discount": 0.5,
        "atoms": 4,
        "samples": 3,
        "target_samples": 5,
    }
    state = dqn.init(
        jax.random.key(0),
        dqn.Config(**(given | STEEPEST | config)),
        OBSERVATIONS,
        TWO_ACTIONS,
    )
    return dataclasses.replace(
        state,
        params=tree(q=online[0], slope=online[1]),
        target_params=tree(q=target[0], slope=target[1]),
    )


@pytest.mark.parametrize(
    "config",
    [{}, {"double": True}, {"double": True} | MUNCHAUSEN],
    ids=["plain", "double", "munchausen"],
)
def test_implicit_quantiles(config: dict[str, Any]) -> None:
    """With the fractions that the update drew; actions are chosen by the midpoints, ½ in the mean."""
    random = np.random.default_rng(4)
    online, target = (random.normal(size=(2, 8, 2)) * 2 for _ in range(2))
    before = implicit(
        *(jnp.asarray(each, jnp.float32) for each in (online, target)), n_step=3, prioritised=True, **config
    )
    state = dqn.update(before, sample(WINDOWS, CHANCES))
    draw = dqn.draw_for_update(before, 6)
    assert draw.tau is not None
    assert draw.target_tau is not None
    tau, target_tau = np.asarray(draw.tau, np.float64), np.asarray(draw.target_tau, np.float64)
    assert (tau.shape, target_tau.shape) == ((6, 3), (6, 5))
    weight = np.array(CHANCES) ** -0.4
    weight /= weight.max()
    total, heights, slopes = 0.0, np.zeros((8, 2)), np.zeros((8, 2))
    given = {"distribution": "implicit"} | config
    for i in range(6):
        row, action, following = (
            int(x[i]) for x in (WINDOWS.observation, WINDOWS.action, WINDOWS.next_observation)
        )
        chooser = online if config.get("double") and not config.get("munchausen") else target
        values, weights = target_particles(
            given,
            WINDOWS,
            i,
            target[0, following][:, None] + target[1, following][:, None] * target_tau[i],
            chooser[0, following] + 0.5 * chooser[1, following],
            target[0, row] + 0.5 * target[1, row],
        )
        quantiles = online[0, row, action] + online[1, row, action] * tau[i]
        loss, slope = quantile_loss(quantiles, tau[i], values, weights)
        total += weight[i] * loss / 6
        heights[row, action] += weight[i] * slope.sum() / 6
        slopes[row, action] += weight[i] * (slope @ tau[i]) / 6
    close(state.info["loss"], total)
    close(descent(before, state), heights)
    close(descent(before, state, "slope"), slopes)


def test_implicit_quantiles_are_not_chosen_by_those_that_are_valued() -> None:
    """Of an action worth −20 to 20, 0 in the mean, and one worth 1: the second, whatever fraction is drawn.

    By the fraction drawn the first would be chosen whenever that is high, and valued at it.
    """
    target = (rows([0, 0], [-20.0, 1.0]), rows([0, 0], [40.0, 0.0]))
    before = implicit((rows([0, 0]), rows([0, 0])), target, target_samples=1, quantile_threshold=0.0)
    batch = jax.tree.map(lambda leaf: jnp.repeat(leaf[:1], 64, axis=0), DQN_BATCH)
    assert np.mean(np.asarray(dqn.draw_for_update(before, 64).target_tau) > 0.6) > 0.2
    # |1 + ½·1 − 0|, for 3 quantiles weighed by the fractions that are learnt.
    tau = np.asarray(dqn.draw_for_update(before, 64).tau)
    close(dqn.update(before, batch).info["loss"], 1.5 * np.mean(tau.sum(axis=1)))


def test_fractions_are_drawn_anew_for_every_update_and_transition() -> None:
    before = implicit(*[(rows([0, 0]), rows([0, 0]))] * 2)
    draws = [dqn.draw_for_update(dataclasses.replace(before, step=jnp.int32(step)), 6) for step in range(3)]
    tau = np.stack([np.concatenate([draw.tau.ravel(), draw.target_tau.ravel()]) for draw in draws])  # type: ignore[union-attr]
    assert len(np.unique(tau)) == tau.size
    assert 0 <= tau.min() < 0.1
    assert 0.9 < tau.max() < 1
    after = dqn.update(before, DQN_BATCH)
    assert after.step == 1
    np.testing.assert_array_equal(dqn.draw_for_update(after, 6).tau, draws[1].tau)


def test_a_network_that_ignores_the_fraction_learns_a_median() -> None:
    """With slopes of 0 everywhere all quantiles are one number; rewards 0, 0 and 9 pull it down to 0."""
    third = Transition(
        jnp.zeros(3, jnp.int32),
        jnp.zeros(3, jnp.int32),
        jnp.array([0.0, 0.0, 9.0]),
        jnp.ones(3, bool),
        jnp.zeros(3, bool),
        jnp.zeros(3, jnp.int32),
    )
    state = implicit((rows([4.0, 0]), rows([0, 0])), (rows([0, 0]), rows([0, 0])), learning_rate=0.05)
    for _ in range(300):
        state = dqn.update(state, third)
        state = dataclasses.replace(
            state, params=tree(q=state.params["params"]["q"], slope=jnp.zeros((8, 2)))
        )
    assert abs(float(state.params["params"]["q"][0, 0])) < 1.0  # and not 3, the mean


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"value_low": 3.0, "value_high": 3.0}, ["value_low", "value_high", "3.0"]),
        ({"value_low": 5.0, "value_high": -5.0}, ["value_low", "value_high", "-5.0"]),
        ({"atoms": 1, "distribution": "categorical"}, ["atoms", "at least 2", "1"]),
        ({"architecture": "separate", "dueling": True}, ["dueling", "'separate'"]),
        ({"architecture": "state_action", "normalisation": "batch"}, ["state_action", "normalisation"]),
    ],
)
def test_choices_that_cannot_be_combined(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        dqn.init(jax.random.key(0), dqn.Config(**config), OBSERVATIONS, TWO_ACTIONS)
    for word in words:
        assert word in str(raised.value)
    assert "\n" not in str(raised.value)
