"""Every number that an update works out, by hand, on tables: errors, losses, gradients, steps, targets.

Adam's first step moves a parameter by the learning rate against the sign of its gradient, so that its
first moment, a tenth of the gradient, is looked at, too. The tables are in tables.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import (
    A2C_VALUES,
    DDPG_BATCH,
    DQN_BATCH,
    PLUS_MINUS_TWO,
    ROLLOUT,
    a2c_state,
    ddpg_state,
    dqn_state,
    rows,
    tree,
)

from purejaxrl.agents import a2c, ddpg, dqn


def close(actual: Any, expected: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def gradient(optimiser_state: Any, name: str) -> Any:
    """What Adam was given at its first step, after clipping."""
    return optimiser_state[0].mu["params"][name] / 0.1


# --- DQN ---------------------------------------------------------------------------------------
#
# discount 0.5; the target network has max Q(1) = 6 and max Q(2) = 300
#   (0, 0), reward 1, to 1               1 + 0.5 · 6 − 2   =  2
#   (0, 1), reward 1, to 2, terminated   1 − 0.5           =  0.5
#   (1, 0), reward 0, to 1, truncated    0 + 0.5 · 6 − 6   = −3
#   (1, 1), reward 9, to 2, both         9 − 9             =  0


@pytest.mark.parametrize(
    ("loss", "value", "slope"),
    [
        # ½(4 + 0.25 + 9 + 0) / 4, and the gradient of each action value is −δ / 4
        ("squared", 1.65625, [[-0.5, -0.125], [0.75, 0.0]]),
        # (1.5 + 0.125 + 2.5 + 0) / 4: linear past 1, where the gradient is that of an error of 1
        ("huber", 1.03125, [[-0.25, -0.125], [0.25, 0.0]]),
    ],
)
def test_dqn_loss_and_step_by_hand(loss: str, value: float, slope: list[list[float]]) -> None:
    before = dqn_state(loss=loss)
    state = dqn.update(before, DQN_BATCH)
    close(state.info["loss"], value)
    close(state.info["td_error"], 5.5 / 4)  # of magnitudes
    close(state.info["action_value"], (2 + 0.5 + 6 + 9) / 4)  # of the actions taken
    close(state.info["gradient_norm"], np.linalg.norm(slope))
    close(gradient(state.optimiser_state, "q"), rows(*slope))
    # Nothing in row 2, which is a successor only: no gradient flows through the target.
    close(state.params["params"]["q"], before.params["params"]["q"] - 0.1 * np.sign(rows(*slope)))
    assert state.step == 1


def test_dqn_action_value_is_of_the_action_taken() -> None:
    one = jax.tree.map(lambda leaf: leaf[:1], DQN_BATCH)
    close(dqn.update(dqn_state(), one).info["action_value"], 2.0)


def test_dqn_targets_are_the_target_network_s() -> None:
    before = dqn_state()
    # With a target of 10 for row 1 the errors that bootstrap are 4 and −1.
    moved = dataclasses.replace(before, target_params=tree(q=rows([0.0, 0.0], [2.0, 10.0])))
    close(dqn.update(moved, DQN_BATCH).info["loss"], 0.5 * (16 + 0.25 + 1) / 4)
    # The online network's values where nothing was taken are read by nobody.
    online = dataclasses.replace(before, params=tree(q=rows([2.0, 0.5], [6.0, 9.0], [1e3, 1e3])))
    close(dqn.update(online, DQN_BATCH).info["loss"], 1.65625)


@pytest.mark.parametrize(
    ("limits", "slope"),
    [
        ({"max_gradient_value": 0.3}, [[-0.3, -0.125], [0.3, 0.0]]),
        ({"max_gradient_norm": 0.455}, [[-0.25, -0.0625], [0.375, 0.0]]),  # half of its norm, 0.91
        ({"max_gradient_norm": 1.0}, [[-0.5, -0.125], [0.75, 0.0]]),  # short enough already
    ],
)
def test_dqn_clips_gradients(limits: dict[str, Any], slope: list[list[float]]) -> None:
    state = dqn.update(dqn_state(**limits), DQN_BATCH)
    close(gradient(state.optimiser_state, "q"), rows(*slope), rtol=1e-3)
    close(state.info["gradient_norm"], 0.9100, rtol=1e-3)  # of before: √(0.25 + 0.015625 + 0.5625)


@pytest.mark.parametrize("period", [1, 3, 4])
def test_dqn_copies_the_target_every_period(period: int) -> None:
    state = dqn_state(target_period=period)
    target = state.target_params["params"]["q"]
    for step in range(1, 9):
        state = dqn.update(state, DQN_BATCH)
        if step % period == 0:
            target = state.params["params"]["q"]  # as it is after the step
        np.testing.assert_array_equal(state.target_params["params"]["q"], target)


def test_dqn_moves_the_target_by_tau() -> None:
    state = dqn_state(tau=0.25, target_period=2)
    before = state.target_params["params"]["q"]
    state = dqn.update(state, DQN_BATCH)
    np.testing.assert_array_equal(state.target_params["params"]["q"], before)
    state = dqn.update(state, DQN_BATCH)
    close(state.target_params["params"]["q"], 0.75 * before + 0.25 * state.params["params"]["q"])


def test_dqn_acts_epsilon_greedily() -> None:
    state = dqn_state(epsilon_start=0.8, epsilon_end=0.2, epsilon_steps=100)
    observation = jnp.zeros(20_000, jnp.int32)  # where action 0 is the best
    # Of the random actions half are the best: epsilon falls from 0.8 by 0.006 a step.
    for step, epsilon in [(0, 0.8), (50, 0.5), (100, 0.2), (10_000, 0.2)]:
        action, extras, _ = dqn.act(state, observation, jax.random.key(step), step)
        assert extras == ()
        close(jnp.mean(action), epsilon / 2, rtol=0, atol=0.015)
    np.testing.assert_array_equal(dqn.greedy(state, jnp.array([0, 1, 2]))[0], [0, 1, 0])
    flipped = dataclasses.replace(state, params=tree(q=rows([2.0, 3.5], [6.0, 1.0], [-50.0, 0.0])))
    np.testing.assert_array_equal(dqn.greedy(flipped, jnp.array([0, 1, 2]))[0], [1, 0, 1])


# --- A2C ---------------------------------------------------------------------------------------
#
# discount 0.5, values 1 2 4 8 along the first environment's walk and 2 4 6 8 along the second's
#   first   δ = 1 + 1 − 1, 2 + 2 − 2, 3 + 4 − 4 = 1, 2, 3
#   second  δ = 2 + 2 − 2, 3 + 3 − 4, 1 + 4 − 6 = 2, 2, −1
# With λ = 1 each adds half of the one after it, with λ = 0.5 a quarter. The first may end with its
# second step: terminated, δ = 2 − 2; cut off by a time limit, δ stays 2. Either way nothing of the
# third step leaks back.

ADVANTAGES = {
    ("neither", 0.0): ([1.0, 2.0, 3.0], [2.0, 2.0, -1.0]),
    ("neither", 0.5): ([1.6875, 2.75, 3.0], [2.4375, 1.75, -1.0]),
    ("neither", 1.0): ([2.75, 3.5, 3.0], [2.75, 1.5, -1.0]),
    ("terminated", 0.0): ([1.0, 0.0, 3.0], [2.0, 2.0, -1.0]),
    ("terminated", 1.0): ([1.0, 0.0, 3.0], [2.75, 1.5, -1.0]),
    ("truncated", 0.0): ([1.0, 2.0, 3.0], [2.0, 2.0, -1.0]),
    ("truncated", 1.0): ([2.0, 2.0, 3.0], [2.75, 1.5, -1.0]),
    ("both", 1.0): ([1.0, 0.0, 3.0], [2.75, 1.5, -1.0]),
}
ENDINGS = {
    "neither": (False, False),
    "terminated": (True, False),
    "truncated": (False, True),
    "both": (True, True),
}


@pytest.mark.parametrize(("ending", "gae_lambda"), ADVANTAGES)
def test_a2c_advantages_by_hand(ending: str, gae_lambda: float) -> None:
    """They are read off the step: of values 2c·A/6, of preferences ±½A/6, with 6 transitions."""
    terminated, truncated = ENDINGS[ending]
    rollout = dataclasses.replace(
        ROLLOUT,
        terminated=ROLLOUT.terminated.at[1, 0].set(terminated),
        truncated=ROLLOUT.truncated.at[1, 0].set(truncated),
    )
    first, second = ADVANTAGES[ending, gae_lambda]
    state = a2c.update(a2c_state(gae_lambda=gae_lambda, value_coefficient=0.75), rollout)
    # Rows 3 and 7 are successors only: no gradient flows through a bootstrap.
    advantage = np.array([*first, 0.0, *second, 0.0])
    close(state.params["params"]["v"], A2C_VALUES + 2 * 0.75 * advantage / 6)
    sign = np.array([1, -1, 1, 0, -1, 1, -1, 0])  # up with action 0 where that was taken
    close(state.params["params"]["logits"], np.outer(sign * advantage / 12, [1, -1]))
    value_loss, policy_loss = np.mean(np.square(first + second)), np.log(2) * np.mean(first + second)
    close(state.info["advantage"], np.mean(np.abs(first + second)))
    close(state.info["value_loss"], value_loss)
    close(state.info["policy_loss"], policy_loss)
    close(state.info["entropy"], np.log(2))
    close(state.info["loss"], policy_loss + 0.75 * value_loss)


def test_a2c_bootstraps_from_the_true_successor() -> None:
    """Cut off on the way to row 3, of value 8, and begun anew in row 2: 2 + 0.5 · 8 − 2 = 4."""
    rollout = dataclasses.replace(
        ROLLOUT,
        truncated=ROLLOUT.truncated.at[1, 0].set(True),
        next_observation=ROLLOUT.next_observation.at[1, 0].set(3),
    )
    state = a2c.update(a2c_state(gae_lambda=1.0, value_coefficient=0.5), rollout)
    close(state.params["params"]["v"][:3] - np.array(A2C_VALUES[:3]), np.array([3.0, 4.0, 3.0]) / 6)


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 2.0])
def test_a2c_entropy_bonus_by_hand(coefficient: float) -> None:
    """With p = (¼, ¾) the entropy's slope is p₀p₁·log 3 for action 0, and the reverse for action 1."""
    before = a2c_state(discount=0.0, entropy_coefficient=coefficient)
    before = dataclasses.replace(before, params=tree(logits=rows([0.0, np.log(3)]), v=rows(1.0)))
    one = jax.tree.map(lambda leaf: leaf[:1, :1], ROLLOUT)  # reward 1 where 1 is expected: no advantage
    state = a2c.update(before, one)
    slope = coefficient * 3 / 16 * np.log(3)
    close(state.params["params"]["logits"][0], [slope, np.log(3) - slope])
    close(state.params["params"]["v"], rows(1.0))
    entropy = 0.25 * np.log(4) + 0.75 * np.log(4 / 3)
    close(state.info["entropy"], entropy)
    close(state.info["loss"], -coefficient * entropy)


@pytest.mark.parametrize(
    ("config", "step"),
    [
        # One value, of slope −2 · ½ · (3 − 1) = −2, and one step, up.
        ({"optimiser": "adam", "optimiser_epsilon": 1e-8}, 0.1),
        ({"optimiser": "adam", "optimiser_epsilon": 2.0}, 0.1 * 2 / (2 + 2)),
        ({"optimiser_decay": 0.99, "optimiser_epsilon": 1e-8}, 0.1 * 2 / 0.2),  # √(0.01 · 4)
        ({"optimiser_decay": 0.75, "optimiser_epsilon": 1e-8}, 0.1 * 2 / 1.0),  # √(0.25 · 4)
        ({"optimiser_decay": 0.75, "optimiser_epsilon": 1.0}, 0.1 * 2 / (1.0 + 1.0)),
        ({"optimiser_decay": 1.0, "optimiser_epsilon": 1.0, "max_gradient_value": 1.5}, 0.1 * 1.5),
        # Preferences have slopes ∓½ · 2 = ∓1, so that the norm is √(4 + 1 + 1).
        ({"optimiser_decay": 1.0, "optimiser_epsilon": 1.0, "max_gradient_norm": 1.5}, 0.1 * 3 / 6**0.5),
    ],
)
def test_a2c_optimiser_s_step_by_hand(config: dict[str, Any], step: float) -> None:
    before = a2c_state(**{"discount": 0.0, "learning_rate": 0.1, "value_coefficient": 0.5} | config)
    one = jax.tree.map(lambda leaf: leaf[:1, :1], ROLLOUT).replace(reward=jnp.array([[3.0]]))
    state = a2c.update(before, one)
    close(state.params["params"]["v"][0], 1 + step)
    close(state.info["gradient_norm"], 6**0.5)  # before it is clipped


@pytest.mark.parametrize("optimiser", ["rmsprop", "adam"])
@pytest.mark.parametrize(("step", "rate"), [(0, 0.1), (1, 0.08), (3, 0.04), (4, 0.02), (9, 0.02)])
def test_a2c_step_size_falls_by_hand(step: int, rate: float, optimiser: str) -> None:
    """From 0.1 to 0.02 in four updates. Either optimiser's first step is then as long as its step size."""
    falling = {"learning_rate": 0.1, "learning_rate_end": 0.02, "learning_rate_steps": 4}
    before = a2c_state(
        **falling, discount=0.0, optimiser=optimiser, optimiser_decay=0.0, optimiser_epsilon=1e-8
    )
    one = jax.tree.map(lambda leaf: leaf[:1, :1], ROLLOUT).replace(reward=jnp.array([[3.0]]))
    state = a2c.update(dataclasses.replace(before, step=jnp.int32(step)), one)
    close(state.params["params"]["v"][0], 1 + rate)
    assert state.step == step + 1


def test_a2c_acts_by_its_policy() -> None:
    state = a2c_state()
    state = dataclasses.replace(state, params=tree(logits=rows([0.0, np.log(3)], [5.0, -5.0]), v=rows(0.0)))
    action, extras, _ = a2c.act(state, jnp.zeros(20_000, jnp.int32), jax.random.key(0), 0)
    assert extras == ()
    close(jnp.mean(action), 0.75, rtol=0, atol=0.01)
    np.testing.assert_array_equal(a2c.greedy(state, jnp.array([0, 1]))[0], [1, 0])


# --- DDPG --------------------------------------------------------------------------------------
#
# discount 0.5; the target networks give Q(1, μ(1)) = 3 + 4 · −0.5 = 1
#   0, action 0.5, reward 1, to 1               1 + 0.5 − (1 + 2 · 0.5) = −0.5
#   1, action −1, reward 2, to 2, terminated    2 − (2 − 1)             =  1
#   0, action 0, reward 0, to 1, truncated      0 + 0.5 − 1             = −0.5
#   1, action 1, reward 1, to 2, both           1 − (2 + 1)             = −2
# so that the critic's loss has slopes −δa/4 for w: (0.25, 0)/4, (1, 2)/4 and −δ/4 for b: 1/4, 1/4.

W_SLOPE, B_SLOPE = [[0.0625], [0.75]], [0.25, 0.25]


def test_ddpg_critic_by_hand() -> None:
    state = ddpg.update(ddpg_state(), DDPG_BATCH)
    close(state.info["critic_loss"], 0.5 * (0.25 + 1 + 0.25 + 4) / 4)
    close(state.info["td_error"], 1.0)
    close(state.info["action_value"], (2 + 1 + 1 + 3) / 4)
    close(state.info["critic_gradient_norm"], (0.0625**2 + 0.75**2 + 2 * 0.25**2) ** 0.5)
    close(gradient(state.critic_optimiser_state, "w"), rows(*W_SLOPE))
    close(gradient(state.critic_optimiser_state, "b"), rows(*B_SLOPE))
    close(state.critic_params["params"]["w"], rows([1.9], [0.9], [-30.0]))  # Adam, by 0.1
    close(state.critic_params["params"]["b"], rows(0.9, 1.9, -40.0))


def test_ddpg_actor_climbs_the_critic_just_updated() -> None:
    state = ddpg.update(ddpg_state(), DDPG_BATCH)
    # The critic's step came first: 0.9 + 1.9 · 0.5 = 1.85 and 1.9 + 0.9 · 0.25 = 2.125, each twice.
    close(state.info["actor_loss"], -(1.85 + 2.125) / 2)
    close(gradient(state.actor_optimiser_state, "mu"), rows([-1.9 / 2], [-0.9 / 2]))
    close(state.info["actor_gradient_norm"], (0.95**2 + 0.45**2) ** 0.5)
    close(state.actor_params["params"]["mu"], rows([0.7], [0.45]))  # uphill, by 0.2


def test_ddpg_targets_follow_by_tau() -> None:
    before = ddpg_state(tau=0.25)
    state = ddpg.update(before, DDPG_BATCH)
    for name in ("actor", "critic"):
        old, target, new = (
            getattr(before, f"target_{name}_params"),
            getattr(state, f"target_{name}_params"),
            getattr(state, f"{name}_params"),
        )
        jax.tree.map(lambda t, o, n: close(t, 0.75 * o + 0.25 * n), target, old, new)


def test_ddpg_targets_are_the_target_networks() -> None:
    before = ddpg_state()
    # μ⁻(1) = 1 makes Q⁻ 7, and errors −0.5 + 3 where it is bootstrapped; b⁻(1) = 5 makes it 3, and +1.
    actor = dataclasses.replace(before, target_actor_params=tree(mu=rows([0.0], [1.0])))
    close(ddpg.update(actor, DDPG_BATCH).info["critic_loss"], 0.5 * (6.25 + 1 + 6.25 + 4) / 4)
    critic = dataclasses.replace(before, target_critic_params=tree(w=rows([0.0], [4.0]), b=rows(0.0, 5.0)))
    close(ddpg.update(critic, DDPG_BATCH).info["critic_loss"], 0.5 * (0.25 + 1 + 0.25 + 4) / 4)
    close(ddpg.update(critic, DDPG_BATCH).info["td_error"], (0.5 + 1 + 0.5 + 2) / 4)
    # The online actor has no say in the critic's targets.
    online = dataclasses.replace(before, actor_params=tree(mu=rows([-1.0], [1.0])))
    close(ddpg.update(online, DDPG_BATCH).info["critic_loss"], 0.6875)


@pytest.mark.parametrize(
    ("limits", "w", "mu"),
    [
        ({"max_gradient_value": 0.5}, [[0.0625], [0.5]], [[-0.5], [-0.45]]),
        # Adam steps by 0.1 however short the gradient, so that the actor still sees w = 1.9 and 0.9.
        (
            {"max_gradient_norm": 0.5},
            np.multiply(W_SLOPE, 0.5 / np.linalg.norm([0.0625, 0.75, 0.25, 0.25])),
            np.multiply([[-0.95], [-0.45]], 0.5 / np.linalg.norm([0.95, 0.45])),
        ),
    ],
)
def test_ddpg_clips_gradients(limits: dict[str, Any], w: Any, mu: Any) -> None:
    state = ddpg.update(ddpg_state(**limits), DDPG_BATCH)
    close(gradient(state.critic_optimiser_state, "w"), rows(*w), rtol=1e-4)
    close(gradient(state.actor_optimiser_state, "mu"), rows(*mu), rtol=1e-4)


ASYMMETRIC = gymnasium.spaces.Box(np.array([0, -2, 5], np.float32), np.array([10, 2, 6], np.float32))


def test_ddpg_critic_sees_actions_in_plus_minus_one() -> None:
    """The bounds of an asymmetric Box become ±1, its centre 0; the value is a sum over w = 1."""
    state = ddpg_state(ASYMMETRIC, discount=0.0)
    state = dataclasses.replace(state, critic_params=tree(w=rows([1.0, 10.0, 100.0]), b=rows(0.0)))
    for action, seen in [
        ([0, -2, 5], [-1, -1, -1]),
        ([10, 2, 6], [1, 1, 1]),
        ([5, 0, 5.5], [0, 0, 0]),
        ([7.5, -1, 5.75], [0.5, -0.5, 0.5]),
    ]:
        batch = jax.tree.map(lambda leaf: leaf[:1], DDPG_BATCH).replace(
            action=jnp.array([action], jnp.float32)
        )
        close(ddpg.update(state, batch).info["action_value"], np.dot(seen, [1, 10, 100]))


def test_ddpg_acts_in_the_range_of_the_space() -> None:
    state = ddpg_state(ASYMMETRIC, noise_start=0.0, noise_end=0.0, warmup_steps=0)
    state = dataclasses.replace(state, actor_params=tree(mu=rows([-1.0, 0.0, 1.0], [0.5, 0.5, -0.5])))
    expected = [[0.0, 0.0, 6.0], [7.5, 1.0, 5.25]]
    close(ddpg.greedy(state, jnp.array([0, 1]))[0], expected)
    action, extras, _ = ddpg.act(state, jnp.array([0, 1]), jax.random.key(0), 0)
    assert extras == ()
    close(action, expected)  # without noise, what is acted is what is greedy
    loud = ddpg_state(ASYMMETRIC, noise_start=1.0, noise_end=1.0, warmup_steps=0)
    action, _, _ = ddpg.act(loud, jnp.zeros(2_000, jnp.int32), jax.random.key(0), 0)
    close(jnp.min(action, 0), ASYMMETRIC.low)  # clipped at the bounds, and reaching them
    close(jnp.max(action, 0), ASYMMETRIC.high)


def test_ddpg_noise_follows_its_schedule() -> None:
    """In halves of the range, which is 2 here; independent for every environment."""
    state = ddpg_state(noise_start=0.2, noise_end=0.1, noise_steps=100, warmup_steps=0)
    state = dataclasses.replace(state, actor_params=tree(mu=rows([0.25])))
    for step, deviation in [(0, 0.4), (50, 0.3), (100, 0.2), (10_000, 0.2)]:
        action, _, _ = ddpg.act(state, jnp.zeros(20_000, jnp.int32), jax.random.key(step), step)
        close(jnp.std(action), deviation, rtol=0.03)
        close(jnp.mean(action), 0.5, rtol=0, atol=0.01)


@pytest.mark.parametrize("space", [PLUS_MINUS_TWO, ASYMMETRIC])
def test_ddpg_warm_up_is_uniform_over_the_whole_range(space: gymnasium.spaces.Box) -> None:
    state = ddpg_state(space, warmup_steps=100, noise_start=0.0, noise_end=0.0)
    observation = jnp.zeros(20_000, jnp.int32)
    for step in (0, 99):
        action, _, _ = ddpg.act(state, observation, jax.random.key(step), step)
        share = (np.asarray(action) - space.low) / (space.high - space.low)
        assert share.min() >= 0
        assert share.max() <= 1
        for i in range(space.shape[0]):
            counts, _ = np.histogram(share[:, i], bins=10, range=(0, 1))
            close(counts / 20_000, np.full(10, 0.1), rtol=0, atol=0.01)
    action, _, _ = ddpg.act(state, observation, jax.random.key(0), 100)  # the first step of the policy
    close(action, ddpg.greedy(state, observation)[0])
