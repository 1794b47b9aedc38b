"""What every agent promises of ``update(state, batch) -> state``: pure, compiled once, swept under vmap."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import CASES, OBSERVATIONS, ON_POLICY, PLUS_MINUS_TWO, TWO_ACTIONS

from purejaxrl.types import InvalidInput

RATES = dict.fromkeys(CASES, "learning_rate")
RATES |= {"ddpg": "actor_learning_rate", "trpo": "value_learning_rate"}


@pytest.fixture(params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def numbers(tree: Any) -> Any:
    """A pytree with keys as the numbers in them."""
    return jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf,
        tree,
    )


def assert_same(one: Any, other: Any) -> None:
    chex.assert_trees_all_equal(numbers(one), numbers(other))


def learnt(state: Any) -> list[Any]:
    """A state's leaves without its Config's."""
    return jax.tree.leaves(numbers(dataclasses.replace(state, config=None)))


@contextlib.contextmanager
def compiled_at_most_once(agent: Any) -> Iterator[None]:
    before = agent.update._cache_size()
    yield
    assert agent.update._cache_size() <= before + 1


def test_two_states_made_alike_share_one_compiled_update(name: str) -> None:
    agent, make, batch = CASES[name]
    with compiled_at_most_once(agent):
        state = agent.update(make(), batch)
        state = agent.update(state, batch)  # what came out is of the types that went in
        agent.update(make(), batch)  # made alike: static fields compare by value
        agent.update(make(discount=0.25, **{RATES[name]: 1e-4}), batch)  # numbers are leaves


def test_networks_that_init_builds_compare_by_value(name: str) -> None:
    agent, _, batch = CASES[name]
    actions = PLUS_MINUS_TWO if name == "ddpg" else TWO_ACTIONS
    with compiled_at_most_once(agent):
        for seed in range(2):
            parts = {"minibatches": 1} if name in ("pqn", "ppo", "trpo") else {}
            parts |= {"workers": 2} if name == "a3c" else {}
            config = agent.Config(hidden_sizes=(3,), **parts)
            state = agent.init(jax.random.key(seed), config, OBSERVATIONS, actions)
            agent.update(agent.update(state, batch), batch)


def test_a_second_call_is_never_traced_again(name: str) -> None:
    agent, make, batch = CASES[name]
    chex.clear_trace_counter()
    update = jax.jit(chex.assert_max_traces(inspect.unwrap(agent.update), n=1))
    update(update(make(), batch), batch)


def test_nothing_is_changed_in_place(name: str) -> None:
    agent, make, batch = CASES[name]
    state = make()
    leaves = jax.tree.leaves((state, batch))
    before = [np.array(leaf) for leaf in jax.tree.leaves(numbers((state, batch)))]
    again = agent.update(state, batch)
    assert_same(again, agent.update(state, batch))  # nor remembered anywhere
    assert not any(leaf.is_deleted() for leaf in leaves)
    for leaf, copy in zip(jax.tree.leaves(numbers((state, batch))), before, strict=True):
        np.testing.assert_array_equal(leaf, copy)
    assert again is not state
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.step = 7
    with pytest.raises(dataclasses.FrozenInstanceError):
        state.config.discount = 0.5


def test_an_update_keeps_every_type(name: str) -> None:
    agent, make, batch = CASES[name]
    state = make()
    after = agent.update(state, batch)
    chex.assert_trees_all_equal_structs(state, after)
    chex.assert_trees_all_equal_shapes_and_dtypes(numbers(state), numbers(after))
    for leaf in jax.tree.leaves(numbers(state)):
        assert isinstance(leaf, jax.Array)
        assert not leaf.weak_type
    for leaf in jax.tree.leaves(state.config):
        assert leaf.dtype == jnp.float32
    assert (state.step, after.step) == (0, 1)


def test_leaves_keep_their_type_however_they_were_given(name: str) -> None:
    """Whole numbers, NumPy's doubles and arrays are hyperparameters like any other."""
    agent, make, batch = CASES[name]
    with compiled_at_most_once(agent):
        for one in (1, 1.0, np.float64(1), np.int64(1), jnp.float32(1), np.array(1.0)):
            state = make(discount=one, **{RATES[name]: one})
            assert state.config.discount.dtype == jnp.float32
            assert state.config.discount.shape == ()
            agent.update(state, batch)


def test_a_number_is_one_number(name: str) -> None:
    _, make, _ = CASES[name]
    for several in ([1e-3, 1e-2], np.array([1e-3]), jnp.full((1, 1), 1e-3)):
        with pytest.raises(InvalidInput, match=f"{RATES[name]} must be one number, not .*sweep"):
            make(**{RATES[name]: several})


def test_info_holds_finite_scalars(name: str) -> None:
    agent, make, batch = CASES[name]
    state = make()
    assert all(value == 0 for value in state.info.values())
    after = agent.update(state, batch)
    assert state.info.keys() == after.info.keys()
    for value in after.info.values():
        assert value.shape == ()
        assert np.isfinite(value)
    assert any("loss" in figure for figure in after.info)


def test_batches_may_be_numpy_s(name: str) -> None:
    """float64, int64 and bool, as NumPy makes them by hand."""
    agent, make, batch = CASES[name]

    def plain(leaf: Any) -> np.ndarray:
        kinds = {"f": np.float64, "i": np.int64, "b": np.bool_}
        return np.asarray(leaf).astype(kinds[np.asarray(leaf).dtype.kind])

    by_hand = jax.tree.map(plain, batch)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(by_hand)} == {"float64", "int64", "bool"}
    assert_same(agent.update(make(), by_hand), agent.update(make(), batch))


def test_flags_may_be_numbers(name: str) -> None:
    """1.0 and 0.0 for terminated and truncated, as many datasets have them."""
    agent, make, batch = CASES[name]
    flags = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) if leaf.dtype == bool else leaf, batch)
    assert_same(agent.update(make(), flags), agent.update(make(), batch))


def test_vmap_over_learning_rates_is_as_many_updates(name: str) -> None:
    agent, make, batch = CASES[name]
    rates = jnp.geomspace(1e-4, 1.0, 8)
    swept = jax.vmap(lambda rate: make(**{RATES[name]: rate}))(rates)  # init under vmap, too
    together = jax.vmap(agent.update, in_axes=(0, None))(swept, batch)
    together = jax.vmap(agent.update, in_axes=(0, None))(together, batch)
    for i, rate in enumerate(rates):
        alone = agent.update(agent.update(make(**{RATES[name]: rate}), batch), batch)
        one = jax.tree.map(lambda leaf, i=i: leaf[i], together)
        chex.assert_trees_all_close(learnt(one), learnt(alone), rtol=1e-5, atol=1e-6)


def test_the_size_of_a_batch_is_the_caller_s(name: str) -> None:
    """Losses are means over a batch: every transition twice changes nothing."""
    if name == "a3c":
        return  # whose workers would share what is twice among them in another way
    agent, make, batch = CASES[name]
    twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf], axis=int(name in ON_POLICY)), batch)
    after, same = agent.update(make(), twice), agent.update(make(), batch)
    if name == "rainbow":  # which has a priority for each of them
        np.testing.assert_allclose(after.priority, np.tile(same.priority, 2), rtol=1e-5)
        after, same = (dataclasses.replace(state, priority=()) for state in (after, same))
    chex.assert_trees_all_close(learnt(after), learnt(same), rtol=1e-5, atol=1e-6)
