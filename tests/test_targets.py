"""Targets against hand-worked values, against rlax, and against their definition spelt out step by step."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from purejaxrl import losses, targets

Q = jnp.array([1.0, 4.0, 2.0])
T, A = 12, 3


def trajectory(seed: int, ends: bool = True) -> dict[str, Any]:
    """Twelve random steps; where ``ends``, with episodes that terminate, are cut off, and both."""
    rng = np.random.default_rng(seed)
    terminated = rng.random(T) < (0.2 if ends else 0)
    truncated = rng.random(T) < (0.2 if ends else 0)
    return {
        "r_t": jnp.array(rng.normal(size=T), jnp.float32),
        "discount_t": jnp.array(0.9 * (1 - terminated), jnp.float32),
        "continue_t": jnp.array(~(terminated | truncated)),
        "v_t": jnp.array(rng.normal(size=T), jnp.float32),
    }


def by_definition(steps: dict[str, Any], n: int) -> np.ndarray:
    """n-step returns: rewards added one by one until something ends."""
    r, discount, follows, v = (np.asarray(steps[name], np.float64) for name in steps)
    returns = np.zeros(T)
    for start in range(T):
        weight = 1.0
        for t in range(start, min(start + n, T)):
            returns[start] += weight * r[t]
            weight *= discount[t]
            if not follows[t] or t == min(start + n, T) - 1:
                returns[start] += weight * v[t]
                break
    return returns


# Successors.


def test_successors_by_hand() -> None:
    pi = jnp.array([0.5, 0.25, 0.25])
    assert targets.greedy_value(Q) == 4
    assert targets.action_value(Q, jnp.int32(2)) == 2
    assert targets.expected_value(Q, pi) == 0.5 + 1 + 0.5
    # Selected by another network's liking, valued by this one.
    assert targets.double_value(Q, jnp.array([0.0, 1.0, 5.0])) == 2


def test_a_td_error_of_each_successor_is_rlax_s() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        q_tm1, q_t, selector = (jnp.array(row, jnp.float32) for row in rng.normal(size=(3, A)))
        a_tm1, a_t = (jnp.int32(a) for a in rng.integers(A, size=2))
        r_t, discount_t = jnp.float32(rng.normal()), jnp.float32(rng.choice([0.0, 0.9]))
        pi_t = jax.nn.softmax(jnp.array(rng.normal(size=A), jnp.float32))

        def error(v_t: Any, start: Any = (q_tm1, a_tm1, r_t, discount_t)) -> Any:
            q, a, reward, discount = start
            return losses.td_learning(q[a], reward, discount, v_t)

        pairs = [
            (targets.greedy_value(q_t), rlax.q_learning(q_tm1, a_tm1, r_t, discount_t, q_t)),
            (targets.action_value(q_t, a_t), rlax.sarsa(q_tm1, a_tm1, r_t, discount_t, q_t, a_t)),
            (
                targets.expected_value(q_t, pi_t),
                rlax.expected_sarsa(q_tm1, a_tm1, r_t, discount_t, q_t, pi_t),
            ),
            (
                targets.double_value(q_t, selector),
                rlax.double_q_learning(q_tm1, a_tm1, r_t, discount_t, q_t, selector),
            ),
        ]
        for value, expected in pairs:
            np.testing.assert_allclose(error(value), expected, rtol=1e-5, atol=1e-6)


def test_policies_by_hand() -> None:
    np.testing.assert_allclose(targets.epsilon_greedy_policy(Q, 0.3), [0.1, 0.8, 0.1], rtol=1e-6)
    tied = jnp.array([2.0, 2.0, 1.0, 0.0])
    np.testing.assert_allclose(targets.epsilon_greedy_policy(tied, 0.4), [0.4, 0.4, 0.1, 0.1], rtol=1e-6)
    two = targets.softmax_policy(jnp.array([0.0, jnp.log(3.0)]), 1.0)
    np.testing.assert_allclose(two, [0.25, 0.75], rtol=1e-6)
    cold, hot = targets.softmax_policy(Q, 0.01), targets.softmax_policy(Q, 1e6)
    np.testing.assert_allclose(cold, [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(hot, [1 / 3] * 3, atol=1e-5)


# Returns.


def test_n_step_returns_by_hand() -> None:
    # Three steps of γ = 0.5; the second terminates, or is cut off, or neither.
    def returns(n: int, discounts: list[float], follows: list[int]) -> Any:
        return targets.n_step_return(
            jnp.array([1.0, 2.0, 4.0]),
            jnp.array(discounts),
            jnp.array(follows, bool),
            jnp.array([10.0, 20.0, 40.0]),
            n,
        )

    # 1 + ½·2 + ¼·20; 2 + ½·4 + ¼·40; 4 + ½·40, where the trajectory ends.
    np.testing.assert_allclose(returns(2, [0.5, 0.5, 0.5], [1, 1, 1]), [7, 14, 24])
    np.testing.assert_allclose(returns(2, [0.5, 0.0, 0.5], [1, 0, 1]), [2, 2, 24])  # terminated
    np.testing.assert_allclose(returns(2, [0.5, 0.5, 0.5], [1, 0, 1]), [7, 12, 24])  # cut off
    np.testing.assert_allclose(returns(1, [0.5, 0.5, 0.5], [1, 1, 1]), [6, 12, 24])


@pytest.mark.parametrize("n", [1, 2, 3, 5, T, T + 4])
def test_n_step_returns_are_what_they_are_defined_as(n: int) -> None:
    for seed in range(20):
        steps = trajectory(seed)
        np.testing.assert_allclose(
            targets.n_step_return(**steps, n=n), by_definition(steps, n), rtol=1e-5, atol=1e-5
        )
        whole = trajectory(seed, ends=False)
        expected = rlax.n_step_bootstrapped_returns(whole["r_t"], whole["discount_t"], whole["v_t"], n)
        np.testing.assert_allclose(targets.n_step_return(**whole, n=n), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        # γ = 0.5, rewards 1, 2, 4: of all three, of the first two, of the first.
        ([0, 0, 0], [0, 0, 0], (1 + 1 + 1, 0.125)),
        ([0, 0, 1], [0, 0, 0], (3, 0)),
        ([0, 0, 0], [0, 0, 1], (3, 0.125)),  # cut off: what follows counts
        ([0, 1, 0], [0, 0, 0], (2, 0)),
        ([0, 0, 0], [0, 1, 0], (2, 0.25)),  # γ to the power of the steps that were made
        ([0, 1, 0], [0, 1, 0], (2, 0)),  # both: the task ended
        ([1, 0, 0], [0, 0, 0], (1, 0)),
        ([0, 0, 0], [1, 0, 0], (1, 0.5)),
        # What comes after an end is another episode's.
        ([0, 0, 1], [0, 1, 0], (2, 0.25)),
        ([0, 1, 1], [0, 0, 0], (2, 0)),
        ([0, 1, 0], [1, 0, 1], (1, 0.5)),
    ],
)
def test_n_step_rewards_by_hand(terminated: Any, truncated: Any, expected: Any) -> None:
    rewards = jnp.array([1.0, 2.0, 4.0])
    for flags in (bool, np.float32):  # datasets have them as numbers, too
        given = (jnp.array(terminated, flags), jnp.array(truncated, flags))
        np.testing.assert_allclose(targets.n_step_reward(rewards, *given, 0.5), expected)


def test_n_step_rewards_are_those_of_n_step_returns() -> None:
    """At a window's beginning, with the value of what follows the last step that counts."""
    n, number = 4, 200
    random = np.random.default_rng(5)
    rewards, values = (jnp.asarray(random.normal(size=(number, n)), jnp.float32) for _ in range(2))
    terminated, truncated = (jnp.asarray(random.random((number, n)) < 0.2) for _ in range(2))
    total, discount = jax.jit(jax.vmap(targets.n_step_reward, in_axes=(0, 0, 0, None)))(
        rewards, terminated, truncated, 0.9
    )
    ended = np.asarray(terminated | truncated)
    last = np.where(ended.any(axis=1), ended.argmax(axis=1), n - 1)
    following = np.asarray(values)[np.arange(number), last]
    returns = jax.jit(jax.vmap(lambda *steps: targets.n_step_return(*steps, n=n)))(
        rewards, 0.9 * (1.0 - terminated), ~(terminated | truncated), values
    )
    np.testing.assert_allclose(total + discount * following, returns[:, 0], rtol=1e-4, atol=1e-5)
    whole = ~ended.any(axis=1)
    assert whole.sum() > 10
    expected = jax.jit(jax.vmap(lambda r, v: rlax.n_step_bootstrapped_returns(r, jnp.full(n, 0.9), v, n)))(
        rewards, values
    )
    np.testing.assert_allclose(
        (total + discount * following)[whole], expected[whole, 0], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("lambda_", [0.0, 0.3, 0.9, 1.0])
def test_lambda_returns_mix_n_step_returns(lambda_: float) -> None:
    for seed in range(20):
        steps = trajectory(seed)
        n_step = np.stack([by_definition(steps, n) for n in range(1, T + 1)])
        weights = [(1 - lambda_) * lambda_**n for n in range(T - 1)] + [lambda_ ** (T - 1)]
        mixed = targets.lambda_return(**steps, lambda_=lambda_)
        np.testing.assert_allclose(mixed, np.tensordot(weights, n_step, 1), rtol=1e-4, atol=1e-5)
        whole = trajectory(seed, ends=False)
        expected = rlax.lambda_returns(whole["r_t"], whole["discount_t"], whole["v_t"], lambda_)
        np.testing.assert_allclose(
            targets.lambda_return(**whole, lambda_=lambda_), expected, rtol=1e-4, atol=1e-5
        )


def test_lambda_returns_are_advantages_above_the_values() -> None:
    steps = trajectory(3)
    v_tm1 = jnp.array(np.random.default_rng(9).normal(size=T), jnp.float32)
    chained = {**steps, "v_t": jnp.concatenate([v_tm1[1:], steps["v_t"][-1:]])}
    advantage = losses.generalised_advantage(
        chained["r_t"], chained["discount_t"], jnp.float32(chained["continue_t"]), 0.7, v_tm1, chained["v_t"]
    )
    # The two agree where a step's successor is the next step's beginning, so that one value serves both.
    np.testing.assert_allclose(
        targets.lambda_return(**chained, lambda_=0.7), advantage + v_tm1, rtol=1e-4, atol=1e-5
    )


# Munchausen.


def test_munchausen_bonuses_by_hand() -> None:
    """Of values 0 and τ·log 3 the policy is ¼ and ¾, whatever τ is."""
    for tau in (0.5, 2.0):
        q = jnp.array([0.0, tau * np.log(3)])
        for action, probability in enumerate((0.25, 0.75)):
            bonus = targets.munchausen_bonus(q, jnp.int32(action), 0.9, tau, -100.0)
            np.testing.assert_allclose(bonus, 0.9 * tau * np.log(probability), rtol=1e-5)
            # The floor is under τ log π, before it is scaled.
            floored = targets.munchausen_bonus(q, jnp.int32(action), 0.9, tau, -0.5)
            np.testing.assert_allclose(floored, 0.9 * max(tau * np.log(probability), -0.5), rtol=1e-5)
        same = targets.munchausen_bonus(q + 100, jnp.int32(0), 0.9, tau, -100.0)
        np.testing.assert_allclose(same, 0.9 * tau * np.log(0.25), rtol=1e-4)
    # Of a policy that is sure: no bonus for what it does, and the floor for what it never does.
    sure = jnp.array([0.0, 50.0])
    assert targets.munchausen_bonus(sure, jnp.int32(1), 0.9, 0.03, -1.0) == 0
    np.testing.assert_allclose(targets.munchausen_bonus(sure, jnp.int32(0), 0.9, 0.03, -1.0), -0.9)
    unlimited = targets.munchausen_bonus(sure, jnp.int32(0), 0.9, 0.03, -np.inf)
    np.testing.assert_allclose(unlimited, -0.9 * 50, rtol=1e-5)  # τ log π is the difference of values


# Off-policy.


def off_policy(seed: int, ends: bool = True) -> dict[str, Any]:
    rng = np.random.default_rng(100 + seed)
    steps = trajectory(seed, ends)
    del steps["v_t"]
    q = jnp.array(rng.normal(size=(T + 1, A)), jnp.float32)
    return {
        "q_tm1": q[:-1],
        "a_tm1": jnp.array(rng.integers(A, size=T), jnp.int32),
        **steps,
        "q_t": q[1:],
        "pi_t": jax.nn.softmax(jnp.array(rng.normal(size=(T, A)), jnp.float32)),
    }


@pytest.mark.parametrize("lambda_", [0.0, 0.5, 1.0])
def test_retrace_is_rlax_s(lambda_: float) -> None:
    for seed in range(20):
        steps = off_policy(seed, ends=False)
        rng = np.random.default_rng(seed)
        a_t = jnp.array([*steps["a_tm1"][1:], 0], jnp.int32)
        mu_t = jnp.array(rng.uniform(0.1, 1, size=T), jnp.float32)
        ratio = jax.vmap(losses.pick)(steps["pi_t"], a_t) / mu_t
        ours = targets.retrace(**steps, trace_t=lambda_ * jnp.minimum(1.0, ratio))
        theirs = rlax.retrace(
            steps["q_tm1"],
            steps["q_t"],
            steps["a_tm1"],
            a_t,
            steps["r_t"],
            steps["discount_t"],
            steps["pi_t"],
            mu_t,
            lambda_,
        )
        taken = jax.vmap(losses.pick)(steps["q_tm1"], steps["a_tm1"])
        np.testing.assert_allclose(ours - taken, theirs, rtol=1e-3, atol=1e-4)


def test_retrace_without_traces_is_expected_sarsa_and_stops_at_an_end() -> None:
    steps = off_policy(1)
    none = targets.retrace(**steps, trace_t=jnp.zeros(T))
    values = jax.vmap(targets.expected_value)(steps["q_t"], steps["pi_t"])
    np.testing.assert_allclose(none, steps["r_t"] + steps["discount_t"] * values, rtol=1e-4, atol=1e-5)
    # What comes after an end changes nothing before it, and after being cut off the discount goes on.
    cut_off = ~np.asarray(steps["continue_t"]) & (np.asarray(steps["discount_t"]) > 0)
    (end, *_) = np.flatnonzero(cut_off[:-1])
    full = targets.retrace(**steps, trace_t=jnp.ones(T))
    changed = {**steps, "r_t": steps["r_t"].at[end + 1 :].add(100.0)}
    again = targets.retrace(**changed, trace_t=jnp.ones(T))
    np.testing.assert_array_equal(full[: end + 1], again[: end + 1])
    assert full[end + 1] != again[end + 1]


def test_no_gradient_flows_through_targets() -> None:
    steps, off = trajectory(0), off_policy(0)

    def total(v_t: Any, q_t: Any) -> Any:
        return (
            jnp.sum(targets.n_step_return(**{**steps, "v_t": v_t}, n=3))
            + jnp.sum(targets.lambda_return(**{**steps, "v_t": v_t}, lambda_=0.9))
            + jnp.sum(targets.retrace(**{**off, "q_t": q_t}, trace_t=jnp.ones(T)))
            + targets.greedy_value(q_t[0])
            + targets.double_value(q_t[0], q_t[1])
            + targets.action_value(q_t[0], jnp.int32(1))
            + targets.expected_value(q_t[0], off["pi_t"][0])
            + targets.munchausen_bonus(q_t[0], jnp.int32(1), 0.9, 1.0, -9.0)
        )

    for gradient in jax.grad(total, argnums=(0, 1))(steps["v_t"], off["q_t"]):
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (targets.greedy_value, (jnp.ones((2, 3)),)),
        (targets.action_value, (Q, jnp.float32(1))),
        (targets.expected_value, (Q, jnp.ones(2))),
        (targets.double_value, (Q, jnp.ones(4))),
        (targets.munchausen_bonus, (jnp.ones((2, 3)), jnp.int32(0), 0.9, 0.03, -1.0)),
        (targets.munchausen_bonus, (Q, jnp.float32(0), 0.9, 0.03, -1.0)),
        (targets.n_step_reward, (jnp.ones(3), jnp.ones(2), jnp.ones(3), 0.9)),
        (targets.n_step_reward, (jnp.ones((1, 3)), jnp.ones((1, 3)), jnp.ones((1, 3)), 0.9)),
        (targets.n_step_return, (jnp.ones(3), jnp.ones(3), jnp.ones(3), jnp.ones(2), 1)),
        (targets.lambda_return, (jnp.ones(3), jnp.ones(3), jnp.ones(3), jnp.ones((3, 1)), 0.5)),
    ],
)
def test_wrong_ranks_shapes_and_types_are_refused(function: Any, arguments: Any) -> None:
    with pytest.raises((AssertionError, ValueError)):
        function(*arguments)
