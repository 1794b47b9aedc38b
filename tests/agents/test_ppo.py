"""PPO: its objective by hand and beside rlax's, what stops it, what it is a case of, and that it learns."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from tables import ROLLOUT, a2c_state, ppo_state, rows, tree

from purejaxrl import environments, losses
from purejaxrl.agents import a2c, ppo
from purejaxrl.optimisers import descend
from purejaxrl.sampling import minibatches
from purejaxrl.training import Loop, Settings
from purejaxrl.types import InvalidInput, Transition


def close(actual: Any, expected: Any, rtol: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=1e-6)


def moved(state: ppo.State) -> Any:
    """Parameters some way from the state's, so that ratios leave the range and values move."""
    logits, v = (state.params["params"][name] for name in ("logits", "v"))
    steps = jnp.arange(8.0)
    return tree(logits=logits + jnp.stack([0.3 * steps, -0.2 * steps], 1), v=v + 0.4 * steps - 1.0)


# The clipped objective: a gain of more than ε is no gain, a loss is a loss however far it goes.
CLIPPED = [
    (np.log(1.5), 2.0, -1.2 * 2.0, 0.0),
    (np.log(0.5), 2.0, -0.5 * 2.0, -0.5 * 2.0),
    (np.log(1.5), -2.0, 1.5 * 2.0, 1.5 * 2.0),
    (np.log(0.5), -2.0, 0.8 * 2.0, 0.0),
    (np.log(1.1), 2.0, -1.1 * 2.0, -1.1 * 2.0),
]


@pytest.mark.parametrize(("log_ratio", "advantage", "value", "slope"), CLIPPED)
def test_the_clipped_objective_by_hand(
    log_ratio: float, advantage: float, value: float, slope: float
) -> None:
    found = jax.value_and_grad(losses.clipped_surrogate)(jnp.float32(log_ratio), jnp.float32(advantage), 0.2)
    close(found, (value, slope))  # by the ratio's logarithm


def test_the_clipped_objective_is_rlax_s() -> None:
    log_ratio, advantage = jax.random.normal(jax.random.key(0), (2, 100))
    ours = jnp.mean(jax.vmap(losses.clipped_surrogate, in_axes=(0, 0, None))(log_ratio, advantage, 0.3))
    close(ours, rlax.clipped_surrogate_pg_loss(jnp.exp(log_ratio), advantage, 0.3))


@pytest.mark.parametrize("value_clip", [None, 0.5])
@pytest.mark.parametrize("normalisation", ["minibatch", "rollout", "none"])
def test_the_objective_term_by_term(normalisation: Any, value_clip: float | None) -> None:
    """Worked out again with NumPy, at parameters that are not those that acted."""
    state = ppo_state(advantage_normalisation=normalisation, value_clip=value_clip, value_coefficient=0.7)
    prepared = ppo.prepare(state, ROLLOUT)
    part = jax.tree.map(lambda leaf: leaf[jnp.array([0, 2, 3, 5])], prepared)
    params = moved(state)
    value, info = ppo.objective(params, state, part)

    def gathered(name: str, given: Any) -> np.ndarray:
        return np.asarray(given["params"][name])[np.asarray(part.step.observation)[:, 0]]

    action = np.asarray(part.step.action)[:, 0]
    old, new = (
        np.asarray(jax.nn.log_softmax(gathered("logits", given)), np.float64)
        for given in (state.params, params)
    )
    advantage = np.asarray(ppo.prepare(ppo_state(advantage_normalisation="none"), ROLLOUT).advantage)[:, 0]
    if normalisation == "rollout":
        advantage = (advantage - advantage.mean()) / advantage.std()
    advantage = advantage[[0, 2, 3, 5]]
    if normalisation == "minibatch":
        advantage = (advantage - advantage.mean()) / advantage.std()
    log_ratio = (new - old)[np.arange(4), action]
    ratio = np.exp(log_ratio)
    assert np.any(np.abs(ratio - 1) > 0.2)
    policy_loss = -np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage).mean()
    v, v_old, target = gathered("v", params), gathered("v", state.params), np.asarray(part.target)[:, 0]
    error = (target - v) ** 2
    if value_clip is not None:
        clipped = (target - np.clip(v, v_old - 0.5, v_old + 0.5)) ** 2
        assert np.any(clipped > error)
        error = np.maximum(error, clipped)
    entropy = -(np.exp(new) * new).sum(-1).mean()
    close(info["policy_loss"], policy_loss)
    close(info["value_loss"], 0.5 * error.mean())
    close(info["entropy"], entropy)
    close(info["kl"], (ratio - 1 - log_ratio).mean())
    close(info["clip_fraction"], np.mean(np.abs(ratio - 1) > 0.2))
    close(value, policy_loss + 0.7 * 0.5 * error.mean() - 0.01 * entropy)


def test_where_it_begins_its_gradient_is_a2c_s() -> None:
    """No ratio has moved: the same advantages, and half the squared error with twice the weight."""
    config: dict[str, Any] = {"gae_lambda": 0.6, "entropy_coefficient": 0.1}
    state = ppo_state(value_coefficient=0.6, advantage_normalisation="none", **config)
    gradients = jax.grad(lambda params: ppo.objective(params, state, ppo.prepare(state, ROLLOUT))[0])(
        state.params
    )
    expected, _ = a2c.gradients(a2c_state(value_coefficient=0.3, **config), ROLLOUT)
    jax.tree.map(close, gradients, expected)


def test_the_order_of_learning_is_drawn_anew() -> None:
    """Every step is learnt once a pass, in another order each pass and each update."""
    state = ppo_state(minibatches=2, passes=3, learning_rate=0.1)
    after = ppo.update(state, ROLLOUT)
    again = ppo.update(dataclasses.replace(state, step=jnp.int32(1)), ROLLOUT)
    other = ppo.update(dataclasses.replace(state, key=jax.random.key(8)), ROLLOUT)
    assert after.info["steps"] == 6
    logits = [np.asarray(each.params["params"]["logits"]) for each in (after, again, other)]
    assert not np.allclose(logits[0], logits[1], atol=1e-4)
    assert not np.allclose(logits[0], logits[2], atol=1e-4)


def test_it_stops_once_the_policy_has_moved_far() -> None:
    """Far on, no step is made any more: the parameters are those of as many steps as were made."""
    big: dict[str, Any] = {"learning_rate": 0.3, "max_gradient_norm": None}
    kls = [ppo.update(ppo_state(passes=passes, **big), ROLLOUT) for passes in (1, 2, 3, 8)]
    stopped = ppo.update(ppo_state(passes=8, target_kl=0.05, **big), ROLLOUT)
    made = int(stopped.info["steps"])
    assert made in (1, 2, 3)
    jax.tree.map(close, stopped.params, kls[made - 1].params)
    jax.tree.map(close, stopped.optimiser_state, kls[made - 1].optimiser_state)
    assert kls[3].info["steps"] == 8
    assert not np.allclose(*[each.params["params"]["logits"] for each in (stopped, kls[3])])
    assert ppo.update(ppo_state(passes=8, target_kl=1e6, **big), ROLLOUT).info["steps"] == 8
    # What it says is of the steps made and the look that ended them, not of those that were left out.
    assert stopped.info["kl"] < kls[3].info["kl"]


def test_the_order_is_another_in_each_pass_and_has_everything_once() -> None:
    orders = np.asarray(minibatches(jax.random.key(0), jnp.int32(3), 4, 2, 10)).reshape(4, 10)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(10), (4, 1)))
    assert len(np.unique(orders, axis=0)) == 4
    next_update = np.asarray(minibatches(jax.random.key(0), jnp.int32(4), 4, 2, 10)).reshape(4, 10)
    assert len(np.unique(np.concatenate([orders, next_update]), axis=0)) == 8


def test_what_is_stopped_stays_stopped() -> None:
    """Minibatch after minibatch by hand: once one is too far, none of those after it counts, near or far."""
    given: dict[str, Any] = {"passes": 4, "minibatches": 2, "learning_rate": 0.3, "clip": 1.0}

    def begun(**config: Any) -> ppo.State:
        return dataclasses.replace(ppo_state(**given, **config), key=jax.random.key(2))

    state = begun()
    prepared, transform = ppo.prepare(state, ROLLOUT), ppo.optimiser(state.config, state.step)
    params, optimiser_state, kls, seen = state.params, state.optimiser_state, [], []
    for part in minibatches(state.key, state.step, 4, 2, 6):
        of_part = jax.tree.map(lambda leaf, part=part: leaf[part], prepared)
        (_, info), gradients = jax.value_and_grad(ppo.objective, has_aux=True)(params, state, of_part)
        kls.append(float(info["kl"]))
        seen.append(params)
        params, optimiser_state, _ = descend(transform, optimiser_state, params, gradients, None, 0.5)
    assert kls[3] > 2 * kls[4]  # the fourth is further off than those around it
    assert kls[3] > 2 * max(kls[:3])
    stopped = ppo.update(begun(target_kl=0.75 * kls[3]), ROLLOUT)
    assert stopped.info["steps"] == 3
    jax.tree.map(close, stopped.params, seen[3])
    close(stopped.info["kl"], np.mean(kls[:4]))  # of the steps made and the look that ended them
    jax.tree.map(close, ppo.update(begun(), ROLLOUT).params, params)


def test_the_greedy_action_is_the_likeliest() -> None:
    state = ppo_state()
    state = dataclasses.replace(state, params=tree(logits=rows([0.1, 0.0], [0.0, 0.1]), v=rows(0.0)))
    seen = jnp.array([0, 1] * 50)
    np.testing.assert_array_equal(ppo.greedy(state, seen)[0], [0, 1] * 50)
    assert len(np.unique(ppo.act(state, seen, jax.random.key(0), 0)[0][::2])) == 2


def test_nothing_is_learnt_of_what_is_all_alike() -> None:
    for value, number in ((3.3, 100), (7.7, 32), (-0.7, 64)):
        np.testing.assert_array_equal(losses.standardise(jnp.full(number, value)), 0.0)


def test_the_clipped_objective_far_out() -> None:
    value, slope = jax.value_and_grad(losses.clipped_surrogate)(jnp.float32(90.0), jnp.float32(1.0), 0.2)
    close((value, slope), (-1.2, 0.0))


def test_what_falls_falls_with_the_updates() -> None:
    """At half of its way the step is half as long; at the end of it there is none."""
    config: dict[str, Any] = {"learning_rate": 0.1, "passes": 1, "learning_rate_steps": 4}
    state = ppo_state(**config)
    lengths = []
    for step in (0, 2, 4, 9):
        after = ppo.update(dataclasses.replace(state, step=jnp.int32(step)), ROLLOUT)
        lengths.append(np.abs(np.asarray(after.params["params"]["v"] - state.params["params"]["v"])).max())
    close(lengths, np.array([0.1, 0.05, 0.0, 0.0]), rtol=1e-3)
    falling = ppo_state(clip=0.4, clip_end=0.1, clip_steps=10)
    part = ppo.prepare(falling, ROLLOUT)
    narrow = ppo_state(clip=0.25)
    halfway = ppo.objective(moved(falling), dataclasses.replace(falling, step=jnp.int32(5)), part)
    jax.tree.map(close, halfway, ppo.objective(moved(narrow), narrow, part))


def test_what_values_tell_of_returns() -> None:
    state = ppo_state()
    given = ppo.prepare(state, ROLLOUT)
    for value, expected in ((given.target, 1.0), (jnp.full_like(given.target, 3.0), 0.0)):
        close(ppo.explained_variance(dataclasses.replace(given, value=value)), expected)
    assert ppo.explained_variance(dataclasses.replace(given, target=jnp.ones_like(given.target))) == 0


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"minibatches": 4}, ["6 steps", "minibatches = 4"]),
        ({"minibatches": 4, "network": None, "cell": "gru"}, ["2 environments", "minibatches = 4"]),
        ({"minibatches": 6}, ["one step", "minibatches than 6", "advantage_normalisation"]),
    ],
)
def test_a_rollout_that_cannot_be_divided(config: dict[str, Any], words: list[str]) -> None:
    given = ppo.Config(hidden_sizes=(4,), **{"network": None, **config})
    space = environments.make("CartPole-v1", 2)
    state = ppo.init(jax.random.key(0), given, space.observation_space, space.action_space)
    rollout = dataclasses.replace(
        ROLLOUT, observation=jnp.zeros((3, 2, 4)), next_observation=jnp.zeros((3, 2, 4))
    )
    with pytest.raises(InvalidInput) as raised:
        ppo.update(state, rollout)
    for word in words:
        assert word in str(raised.value)


BALANCING = Settings(total_steps=24_576, num_envs=8, rollout_length=64, num_epochs=1, evaluation_episodes=8)


def balanced(agent: Any) -> np.ndarray:
    """What three seeds come to on CartPole."""
    config = ppo.Config(
        learning_rate=2e-3, discount=0.98, passes=10, entropy_coefficient=0.0, hidden_sizes=(32,)
    )
    loop = Loop(agent, config, environments.make("CartPole-v1", 8), BALANCING)
    keys = jax.random.split(jax.random.key(0), 3)
    return np.asarray(jax.jit(lambda keys: jax.lax.map(loop.train, keys))(keys)[1].evaluation_return[:, -1])


def test_it_balances_a_pole_and_falls_where_actions_are_taken_for_others() -> None:
    assert np.mean(balanced(ppo)) > 350

    def update(state: ppo.State, rollout: Transition) -> ppo.State:
        return ppo.update(state, dataclasses.replace(rollout, action=1 - rollout.action))

    assert np.mean(balanced(SimpleNamespace(**vars(ppo) | {"update": update}))) < 100


@pytest.mark.parametrize("shape", [(6,), (0, 2), ()])
def test_what_is_no_rollout_says_so(shape: tuple[int, ...]) -> None:
    batch = jax.tree.map(lambda leaf: jnp.zeros(shape, leaf.dtype), ROLLOUT)
    with pytest.raises(InvalidInput, match=r"a rollout has axes \[T, B\]"):
        ppo.update(ppo_state(), batch)


def test_a_rollout_is_learnt_once() -> None:
    settings = dataclasses.replace(BALANCING, updates_per_iteration=2)
    with pytest.raises(InvalidInput, match="updates_per_iteration must be 1, not 2"):
        Loop(ppo, ppo.Config(), environments.make("CartPole-v1", 8), settings)


@pytest.mark.parametrize("name", ["learning_rate", "clip"])
def test_a_run_does_not_go_on_with_nothing_to_learn_by(name: str) -> None:
    config = dataclasses.replace(ppo.Config(), **{f"{name}_steps": 40})
    with pytest.raises(InvalidInput, match=f"{name}_steps=40 leaves nothing .* of the run's 48 updates"):
        Loop(ppo, config, environments.make("CartPole-v1", 8), BALANCING)
    for fine in ({f"{name}_steps": 48}, {f"{name}_steps": 40, f"{name}_end": 1e-4}):
        Loop(ppo, dataclasses.replace(ppo.Config(), **fine), environments.make("CartPole-v1", 8), BALANCING)
    with pytest.raises(InvalidInput, match=f"{name}_end=0.1 does nothing without {name}_steps"):
        ppo_state(**{f"{name}_end": 0.1})
