"""A3C: turns by hand, A2C where nobody else is, and a run that can be repeated."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import OBSERVATIONS, ROLLOUT, SGD, TWO_ACTIONS, PolicyTable

from purejaxrl import asynchrony, environments
from purejaxrl.agents import a2c, a3c
from purejaxrl.training import Loop, Settings
from purejaxrl.types import InvalidInput

pytestmark = pytest.mark.optimised


def make(workers: int, **config: Any) -> a3c.State:
    given: dict[str, Any] = {"network": PolicyTable(), "discount": 0.5, **SGD, "workers": workers, **config}
    return a3c.init(jax.random.key(0), a3c.Config(**given), OBSERVATIONS, TWO_ACTIONS)


def one_environment(number: int) -> Any:
    return jax.tree.map(lambda leaf: leaf[:, number : number + 1], ROLLOUT)


def by_turns(state: a3c.State, order: tuple[int, ...]) -> tuple[Any, list[Any]]:
    """The same as a round, one worker after another, by A2C's own functions."""
    shared: Any = state.shared
    copies: list[Any] = [jax.tree.map(lambda leaf, k=k: leaf[k], state.local) for k in order]
    for place, worker in enumerate(order):
        own = dataclasses.replace(shared, params=copies[place])
        shared = a2c.apply_gradients(shared, *a2c.gradients(own, one_environment(worker)))
        copies[place] = shared.params
    return shared, copies


def close(one: Any, other: Any) -> bool:
    return all(
        np.allclose(a, b, rtol=1e-5, atol=1e-6)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    )


def test_a_round_is_one_turn_after_another() -> None:
    """Gradients are of the copies as they were, steps of the shared parameters as they have become."""
    # Adam, whose steps hang on those before; values of the copies differ, and so do their gradients.
    before = make(2, optimiser="adam", learning_rate=0.1)
    local = jax.tree.map(lambda leaf: leaf + jnp.arange(2.0).reshape(2, *[1] * (leaf.ndim - 1)), before.local)
    before = dataclasses.replace(before, local=local)
    seen = set()
    for number in range(8):
        state = dataclasses.replace(before, key=jax.random.key(number))
        after = a3c.update(state, ROLLOUT)
        expected = {order: by_turns(before, order) for order in ((0, 1), (1, 0))}
        matching = [order for order, (shared, _) in expected.items() if close(after.params, shared.params)]
        assert len(matching) == 1  # the order shows
        (order,) = matching
        _, copies = expected[order]
        for place, worker in enumerate(order):
            assert close(jax.tree.map(lambda leaf, k=worker: leaf[k], after.local), copies[place])
        seen.add(order)
    assert seen == {(0, 1), (1, 0)}


def test_each_worker_acts_by_its_own_copy_where_its_gradients_are_of() -> None:
    state = make(2)
    sure = jnp.stack([jnp.tile(jnp.array([20.0, -20.0]), (8, 1)), jnp.tile(jnp.array([-20.0, 20.0]), (8, 1))])
    local: Any = {"params": {"logits": sure, "v": jnp.zeros((2, 8))}}
    shared: Any = {"params": {"logits": jnp.tile(jnp.array([0.0, 1.0]), (8, 1)), "v": jnp.zeros(8)}}
    state = dataclasses.replace(state, local=local, shared=dataclasses.replace(state.shared, params=shared))
    seen = jnp.zeros(6, jnp.int32)
    np.testing.assert_array_equal(a3c.act(state, seen, jax.random.key(0), 0)[0], [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(a3c.greedy(state, seen)[0], 1)  # what is shared


def test_figures_are_of_all_workers_and_hyperparameters_of_the_state() -> None:
    state = make(2, learning_rate=0.0)
    alone = [a2c.update(state.shared, one_environment(worker)).info["value_loss"] for worker in range(2)]
    assert alone[0] != alone[1]
    np.testing.assert_allclose(a3c.update(state, ROLLOUT).info["value_loss"], np.mean(alone), rtol=1e-6)
    moving = make(2, learning_rate=1.0)
    still = dataclasses.replace(moving, config=dataclasses.replace(moving.config, learning_rate=0.0))
    assert close(a3c.update(still, ROLLOUT).params, moving.params)
    assert not close(a3c.update(moving, ROLLOUT).params, moving.params)


def test_staleness_is_the_distance_of_the_copies() -> None:
    state = make(1)
    moved = jax.tree.map(lambda leaf: leaf + 3.0, state.local)
    number = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    after = a3c.update(dataclasses.replace(state, local=moved), one_environment(0))
    np.testing.assert_allclose(after.info["staleness"], 3 * np.sqrt(number), rtol=1e-5)
    assert a3c.update(after, one_environment(0)).info["staleness"] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_copies_are_made_as_often_as_asked(workers: int) -> None:
    state = make(workers, synchronise_every=2, learning_rate=0.1)
    rollout = ROLLOUT if workers == 2 else one_environment(0)
    once = a3c.update(state, rollout)
    assert close(once.local, state.local)
    assert not close(once.params, state.params)
    twice = a3c.update(once, rollout)
    newest = [
        close(jax.tree.map(lambda leaf, k=k: leaf[k], twice.local), twice.params) for k in range(workers)
    ]
    assert sum(newest) == 1  # the last one's; the other's is a turn behind
    assert not close(twice.local, once.local)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_step_sizes_fall_over_rounds_however_many_turns_these_have(workers: int) -> None:
    """From 1 to 0 in two rounds, a little at every turn: with two workers 1, 3/4, 1/2, 1/4."""
    state = make(workers, learning_rate_steps=2)
    shared, ones = state.shared, jax.tree.map(jnp.ones_like, state.params)
    for turn in range(3 * workers):
        after = a2c.apply_gradients(shared, ones, {})
        for new, old in zip(jax.tree.leaves(after.params), jax.tree.leaves(shared.params), strict=True):
            np.testing.assert_allclose(old - new, max(1 - turn / (2 * workers), 0.0), rtol=1e-5, atol=1e-6)
        shared = after
    rollout = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf], axis=1), ROLLOUT)
    assert a3c.update(state, rollout).shared.step == workers


SETTINGS = Settings(total_steps=4000, num_envs=8, rollout_length=5, num_epochs=2, evaluation_episodes=2)


def run(agent: Any, config: Any) -> Any:
    loop = Loop(agent, config, environments.make("CartPole-v1", 8), SETTINGS)
    return jax.device_get(jax.jit(loop.train)(jax.random.key(3)))


def test_with_one_worker_it_is_a2c_to_the_bit() -> None:
    falling: dict[str, Any] = {"hidden_sizes": (8,), "learning_rate_steps": 60, "learning_rate_end": 1e-4}
    alone, metrics = run(a3c, a3c.Config(**falling, workers=1))
    expected, others = run(a2c, a2c.Config(**falling))
    jax.tree.map(np.testing.assert_array_equal, alone.agent.params, expected.agent.params)
    jax.tree.map(
        np.testing.assert_array_equal, alone.agent.shared.optimiser_state, expected.agent.optimiser_state
    )
    np.testing.assert_array_equal(metrics.episode_return, others.episode_return)
    np.testing.assert_array_equal(metrics.evaluation_return, others.evaluation_return)


def test_a_run_can_be_repeated_and_workers_are_stale() -> None:
    config = a3c.Config(hidden_sizes=(8,), workers=4)
    (one, metrics), (other, _) = run(a3c, config), run(a3c, config)
    jax.tree.map(np.testing.assert_array_equal, one.agent.params, other.agent.params)
    assert np.all(metrics.update["staleness"][1:] > 0)
    local = jax.tree.leaves(one.agent.local)[0]
    assert len(np.unique(local.reshape(4, -1), axis=0)) == 4  # nobody's copy is anybody else's


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"workers": 0}, ["workers", "at least 1", "0"]),
        ({"synchronise_every": 0.5}, ["synchronise_every", "0.5"]),
        ({"synchronise_every": 1.5}, ["synchronise_every", "whole", "1.5"]),
        ({"discount": 2.0}, ["discount", "2.0"]),
    ],
)
def test_what_cannot_be_is_named(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        make(**{"workers": 2, **config})
    for word in words:
        assert word in str(raised.value)


def test_environments_are_shared_out_evenly_or_not_at_all() -> None:
    shared = asynchrony.share_out(jnp.arange(12).reshape(2, 6), 3, axis=1)
    np.testing.assert_array_equal(shared, [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]])
    loop = Loop(a3c, a3c.Config(workers=3), environments.make("CartPole-v1", 8), SETTINGS)
    with pytest.raises(InvalidInput, match="num_envs must be a multiple of the 3 workers, not 8"):
        loop.check()
