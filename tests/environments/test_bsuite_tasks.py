"""DeepSea, MemoryLength and bandits against bsuite, step by step, and by hand; masked observations."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import chex
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from bsuite.environments.bandit import SimpleBandit
from bsuite.environments.deep_sea import DeepSea as BsuiteDeepSea
from bsuite.environments.memory_chain import MemoryChain

import purejaxrl.environments as environments
from purejaxrl.environments import exact, vectorise
from purejaxrl.environments.bandit import Bandit, bsuite_bandit
from purejaxrl.environments.cartpole import CartPole
from purejaxrl.environments.catch import Catch
from purejaxrl.environments.deep_sea import DeepSea
from purejaxrl.environments.masked import Masked
from purejaxrl.environments.memory_length import MemoryLength, MemoryState
from purejaxrl.types import Array, InvalidInput, Key


@jax.jit
def play(environment: Any, key: Key, actions: Array) -> Any:
    """The state and observation of a reset, and what actions ``[T, B]`` lead to."""
    batch = vectorise(environment, actions.shape[1])
    reset_key, key = jax.random.split(key)

    def one(carry: Any, action: Array) -> Any:
        state, key = carry
        key, step_key = jax.random.split(key)
        state, step = batch.step(step_key, state, action)
        return (state, key), step

    state, observation = batch.reset(reset_key)
    return state, observation, jax.lax.scan(one, (state, key), actions)[1]


def stack(*members: Any) -> Any:
    return jax.tree.map(lambda *knobs: jnp.stack([jnp.asarray(knob) for knob in knobs]), *members)


# DeepSea


@pytest.mark.parametrize(
    "options",
    [{"size": 10}, {"size": 7, "mapping_seed": 3}, {"size": 4, "randomise_actions": False}, {"size": 1}],
    ids=str,
)
def test_deep_sea_equals_bsuite(options: dict[str, Any]) -> None:
    """Whole episodes of random and of optimal actions: no observation, reward or end differs."""
    size, seed = options["size"], options.get("mapping_seed", 42)
    randomised = options.get("randomise_actions", True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bsuite warns of actions that are not randomised
        theirs = BsuiteDeepSea(size, mapping_seed=seed, randomize_actions=randomised)
    ours = DeepSea(**options)
    np.testing.assert_array_equal(ours.mapping, theirs._action_mapping)
    count = 40
    actions = np.random.default_rng(0).integers(2, size=(size, count))
    actions[:, 0] = np.diag(np.asarray(ours.mapping))  # to the treasure
    actions[:-1, 1], actions[-1, 1] = actions[:-1, 0], 1 - actions[-1, 0]  # and past it at the last moment
    _, first, steps = play(ours, jax.random.key(1), jnp.asarray(actions))
    for i in range(count):
        np.testing.assert_array_equal(first[i], theirs.reset().observation)
        for t in range(size):
            answer = theirs.step(actions[t, i])
            np.testing.assert_array_equal(steps.next_observation[t, i], answer.observation)
            np.testing.assert_allclose(steps.reward[t, i], answer.reward, rtol=0, atol=6e-8)
            assert steps.terminated[t, i] == answer.last()
    assert steps.episode.episode_return[-1, 0] == pytest.approx(theirs._optimal_return)
    assert ours.diver_return == pytest.approx(theirs._optimal_return)
    spec = theirs.observation_spec()
    assert (ours.observation_space.shape, ours.observation_space.dtype) == (spec.shape, spec.dtype)
    assert ours.action_space == gymnasium.spaces.Discrete(theirs.action_spec().num_values)


def test_stochastic_deep_sea_is_bsuites() -> None:
    """Its successors and mean rewards in every cell, and the noise of the corners, by bsuite's own draws."""
    size, draws = 3, 1500
    theirs = BsuiteDeepSea(size, deterministic=False, mapping_seed=5, seed=0)
    ours = DeepSea(size=size, stochastic=True, mapping_seed=5)
    P, R = exact.tables(ours)
    cells = [(row, column) for row in range(size) for column in range(row + 1)]
    batch = vectorise(ours, 2 * draws)
    step = jax.jit(batch.step)
    begun: Any = batch.reset(jax.random.key(2))[0]
    for n, (row, column) in enumerate(cells):
        state = size * row + column
        inner = jnp.full(2 * draws, state)
        _, steps = step(jax.random.key(n), begun.replace(inner=inner), jnp.arange(2 * draws) % 2)
        for action in (0, 1):
            rewards, columns = [], []
            for _ in range(draws):
                theirs._row, theirs._column = row, column
                rewards.append(theirs._step(action).reward)
                columns.append(theirs._column)
            mine = jax.tree.map(lambda x, a=action: np.asarray(x[a::2]), steps)
            corner = row == size - 1 and column in (0, size - 1)
            for reward in (rewards, mine.reward):
                assert np.mean(reward) == pytest.approx(R[state, action], abs=0.12 if corner else 1e-6)
                assert np.std(reward) == pytest.approx(float(corner), abs=0.1 if corner else 1e-6)
            if row == size - 1:
                assert np.all(mine.terminated)
                assert np.sum(P[state, action]) == 0
            else:
                place = np.argmax(mine.next_observation[:, row + 1], axis=1)
                for seen in (columns, place):
                    share = np.bincount(seen, minlength=size) / draws
                    expected = P[state, action, (row + 1) * size : (row + 2) * size]
                    np.testing.assert_allclose(share, expected, atol=0.06)
    assert np.any((P > 0.1) & (P < 0.9))
    assert ours.diver_return == pytest.approx(theirs._optimal_return)


def test_deep_sea_values() -> None:
    """The best return is the diver's; a random diver finds the treasure in one of 2**size episodes."""
    ours = DeepSea(size=6, mapping_seed=1)
    P, R = exact.tables(ours)
    assert exact.optimal_values(P, R)[0] == pytest.approx(0.99)
    half = exact.policy_values(P, R, np.full((36, 2), 0.5))
    assert half[0] == pytest.approx(2**-6 - 0.005)
    # With chance the diver does as well as one can, but for what giving up in time saves.
    P, R = exact.tables(DeepSea(size=6, stochastic=True))
    assert 0 <= exact.optimal_values(P, R)[0] - DeepSea(size=6, stochastic=True).diver_return < 0.01


def test_deep_sea_knobs_may_differ_under_vmap() -> None:
    """Each member has its own mapping and cost, and the same bits as alone; no reset changes a mapping."""
    members = [DeepSea(size=5, mapping_seed=s, move_cost=0.1 * s, stochastic=True) for s in range(3)]
    actions = jnp.asarray(np.random.default_rng(1).integers(2, size=(30, 4)))
    together = jax.jit(jax.vmap(play, in_axes=(0, None, None)))(stack(*members), jax.random.key(3), actions)
    for i, member in enumerate(members):
        alone = play(member, jax.random.key(3), actions)
        chex.assert_trees_all_close(alone, jax.tree.map(lambda x, i=i: x[i], together), rtol=1e-6)
    paths = np.asarray(together[2].next_observation)
    assert not np.array_equal(paths[0], paths[1])
    diver = jnp.tile(jnp.asarray(np.diag(np.asarray(DeepSea(size=5).mapping))), 4)[:, None]
    steps = play(DeepSea(size=5), jax.random.key(4), diver)[2]
    np.testing.assert_allclose(steps.episode.episode_return[4::5], 0.99, rtol=1e-5)


def test_deep_sea_takes_a_mapping() -> None:
    mapping = [[1, 0], [0, 1]]
    given = DeepSea(size=2, mapping=mapping)  # type: ignore[arg-type]
    np.testing.assert_array_equal(given.mapping, mapping)
    other = dataclasses.replace(given, mapping=None, mapping_seed=9)
    np.testing.assert_array_equal(other.mapping, DeepSea(size=2, mapping_seed=9).mapping)

    @jax.jit
    def total(mapping: Array) -> Array:
        return jnp.sum(jnp.asarray(DeepSea(size=2, mapping=mapping).mapping))

    assert total(jnp.asarray(mapping)) == 2
    for wrong in ([[1, 0]], [[1, 2], [0, 0]], [[0.5, 1], [0, 0]], [[1], [0, 1]], "left"):
        with pytest.raises(InvalidInput, match="mapping must be"):
            DeepSea(size=2, mapping=wrong)  # type: ignore[arg-type]
    for clash in ({"mapping_seed": 3}, {"randomise_actions": False}):
        with pytest.raises(InvalidInput, match="mapping must be None"):
            DeepSea(size=2, mapping=mapping, **clash)  # type: ignore[arg-type]


# MemoryLength


@pytest.mark.parametrize(("length", "bits"), [(1, 1), (4, 1), (3, 3), (7, 5)])
def test_memory_length_equals_bsuite(length: int, bits: int) -> None:
    """Whole episodes of bsuite's contexts and queries with random actions."""
    rng, count = np.random.default_rng(length), 60
    theirs = MemoryChain(length, bits, seed=0)
    ours = MemoryLength(memory_length=length, num_bits=bits, max_num_bits=6)
    actions = rng.integers(2, size=(length + 1, count))
    rewards = set()
    contexts, queries, answers = [], [], []
    for i in range(count):
        answer = [theirs.reset()]
        contexts.append(np.append(theirs._context, np.zeros(6 - bits)))
        queries.append(theirs._query)
        answers.append(answer + [theirs.step(action) for action in actions[:, i]])
    batch = vectorise(ours, count)
    begun, _ = jax.jit(batch.reset)(jax.random.key(0))
    inner = MemoryState(
        time=jnp.zeros(count, jnp.int32),
        context=jnp.asarray(contexts, jnp.int32),
        query=jnp.asarray(queries, jnp.int32),
    )
    first = jax.vmap(lambda state: ours.observe(state, state.time))(inner)
    state, step = begun.replace(inner=inner), jax.jit(batch.step)
    hidden = np.zeros((count, 6 - bits))
    np.testing.assert_array_equal(
        first, np.concatenate([[a[0].observation[0] for a in answers], hidden], axis=1, dtype=np.float32)
    )
    for t in range(length + 1):
        state, ours_at = step(jax.random.key(t), state, jnp.asarray(actions[t]))
        expected = [answer[t + 1] for answer in answers]
        shown = np.concatenate([[a.observation[0] for a in expected], hidden], axis=1, dtype=np.float32)
        np.testing.assert_allclose(ours_at.next_observation[:, 0], shown[:, 0], rtol=0, atol=6e-8)
        np.testing.assert_array_equal(ours_at.next_observation[:, 1:], shown[:, 1:])
        np.testing.assert_array_equal(ours_at.reward, [a.reward for a in expected])
        np.testing.assert_array_equal(ours_at.terminated, [a.last() for a in expected])
        rewards |= set(np.asarray(ours_at.reward).tolist())
    assert rewards == {-1.0, 0.0, 1.0}
    assert ours.observation_space.shape == (8,)
    assert MemoryLength(num_bits=bits).observation_space.shape == theirs.observation_spec().shape[1:]
    assert ours.action_space == gymnasium.spaces.Discrete(theirs.action_spec().num_values)


def test_memory_length_draws_bits_and_queries_alike() -> None:
    state, first = jax.jit(vectorise(MemoryLength(num_bits=3, max_num_bits=4), 3000).reset)(jax.random.key(0))
    np.testing.assert_allclose(np.mean(first[:, 2:5], axis=0), 0, atol=0.08)
    np.testing.assert_array_equal(np.abs(first[:, 2:]), [[1, 1, 1, 0]] * 3000)
    np.testing.assert_allclose(np.bincount(state.inner.query) / 3000, [1 / 3] * 3, atol=0.04)
    assert abs(np.corrcoef(np.asarray(first[:, 2:5]).T)[0, 1]) < 0.08


def test_who_remembers_is_paid_at_every_length() -> None:
    """Lengths and numbers of bits that differ under vmap, each played by one who knows the answer."""
    members = [MemoryLength(memory_length=n, num_bits=b, max_num_bits=3) for n, b in ((1, 1), (4, 3), (9, 2))]

    def one(environment: MemoryLength) -> Any:
        batch = vectorise(environment, 5)

        def remember(carry: Any, _: None) -> Any:
            state, key = carry
            key, step_key = jax.random.split(key)
            inner = state.inner
            answer = jnp.take_along_axis(inner.context, inner.query[:, None], axis=1)[:, 0]
            state, step = batch.step(step_key, state, answer)
            return (state, key), step

        return jax.lax.scan(remember, (batch.reset(jax.random.key(1))[0], jax.random.key(2)), length=30)[1]

    steps = jax.jit(jax.vmap(one))(stack(*members))
    for i, length in enumerate((2, 5, 10)):
        last = np.arange(1, 31) % length == 0
        np.testing.assert_array_equal(steps.terminated[i], last[:, None].repeat(5, axis=1))
        np.testing.assert_array_equal(steps.reward[i], last[:, None].repeat(5, axis=1))


# Bandits


def test_bsuite_bandit_equals_bsuite() -> None:
    for seed in range(20):
        theirs, ours = SimpleBandit(mapping_seed=seed), bsuite_bandit(mapping_seed=seed)
        _, _, steps = play(ours, jax.random.key(0), jnp.arange(11)[None])
        expected: list[Any] = []
        for action in range(11):
            theirs.reset()
            answer = theirs.step(action)
            assert answer.last()
            expected.append(answer.reward)
        np.testing.assert_array_equal(steps.reward[0], np.asarray(expected, np.float32))
        assert np.all(steps.terminated)
        assert ours.best_value == theirs._optimal_return
        np.testing.assert_allclose(ours.regret(jnp.arange(11)), 1 - np.array(expected), atol=1e-6)
        assert ours.action_space == gymnasium.spaces.Discrete(theirs.action_spec().num_values)


def test_no_seed_is_the_same_seed_each_time() -> None:
    """None is what each of them says it is, and nothing comes from the operating system."""
    assert bsuite_bandit(mapping_seed=None) == bsuite_bandit(mapping_seed=0) != bsuite_bandit(mapping_seed=1)
    assert Bandit(values_seed=None) == Bandit(values_seed=0) != Bandit(values_seed=1)
    assert DeepSea(mapping_seed=None) == DeepSea(mapping_seed=42) != DeepSea(mapping_seed=0)


def test_bandit_pays_its_values_and_noise_of_its_own_in_every_pull() -> None:
    bandit = Bandit(arms=3, values_seed=4, noise=2.0)
    values = np.asarray(bandit.values)
    _, first, steps = play(bandit, jax.random.key(1), jnp.tile(jnp.arange(3), (3, 1000)))
    assert not np.any(first)
    assert not np.any(steps.next_observation)
    rewards = np.asarray(steps.reward).reshape(-1, 3)
    np.testing.assert_allclose(np.mean(rewards, axis=0), values, atol=5 * 2 / np.sqrt(3000))
    np.testing.assert_allclose(np.std(rewards, axis=0), 2, atol=0.15)
    assert len(np.unique(rewards)) > 8990
    assert bandit.best_value == np.max(values)
    assert bandit.regret(jnp.int32(np.argmax(values))) == 0


def test_a_testbed_of_problems_is_one_bandit_under_vmap() -> None:
    """2000 of Sutton & Barto's problems, where the best of ten arms is worth 1.54 on average."""
    values = jax.random.normal(jax.random.key(0), (2000, 10))
    testbed = Bandit(values=values)
    assert testbed.best_value.shape == (2000,)
    assert np.mean(testbed.best_value) == pytest.approx(1.54, abs=0.05)
    best = jnp.argmax(values, axis=1)

    def pull(bandit: Bandit, key: Key, action: Array) -> Array:
        return bandit.step(key, (), action)[2]

    every = dataclasses.replace(testbed, noise=jnp.ones(2000))
    rewards = jax.jit(jax.vmap(pull))(every, jax.random.split(jax.random.key(1), 2000), best)
    noise = np.asarray(rewards) - np.asarray(testbed.best_value)
    assert abs(np.mean(noise)) < 0.12
    assert np.std(noise) == pytest.approx(1, abs=0.08)
    drawn = np.concatenate([np.asarray(Bandit(values_seed=seed).values) for seed in range(200)])
    assert abs(np.mean(drawn)) < 0.1
    assert np.std(drawn) == pytest.approx(1, abs=0.08)


def test_bandit_takes_values() -> None:
    given = Bandit(values=[0.0, 2.0, 1.0])  # type: ignore[arg-type]
    assert (given.arms, given.best_value, len(jax.tree.leaves(given))) == (3, 2, 2)
    assert environments.make("Bandit", arms=4).action_space == gymnasium.spaces.Discrete(4)
    for wrong in (3.0, [], [1.0, np.nan], ["a"], [[1.0], [1.0, 2.0]]):
        with pytest.raises(InvalidInput, match=r"(values|arms) must be"):
            Bandit(values=wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"values must be of shape \[4\], not \[3\]"):
        dataclasses.replace(given, arms=4)
    with pytest.raises(InvalidInput, match="values must be None"):
        dataclasses.replace(given, values_seed=1)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("DeepSea", "size", 0),
        ("DeepSea", "size", 2.0),
        ("DeepSea", "stochastic", 1),
        ("DeepSea", "randomise_actions", None),
        ("DeepSea", "mapping_seed", -1),
        ("DeepSea", "mapping_seed", 1.5),
        ("DeepSea", "move_cost", float("nan")),
        ("MemoryLength", "memory_length", 0),
        ("MemoryLength", "memory_length", 2.5),
        ("MemoryLength", "num_bits", 0),
        ("MemoryLength", "max_num_bits", 0),
        ("Bandit", "arms", 0),
        ("Bandit", "noise", -1),
        ("Bandit", "noise", float("inf")),
        ("Bandit", "values_seed", True),
        ("BsuiteBandit", "arms", 0),
        ("BsuiteBandit", "mapping_seed", "x"),
    ],
)
def test_what_cannot_be_is_refused(name: str, option: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"{option} must "):
        environments.make(name, **{option: value})


# Masked observations


@pytest.mark.parametrize(
    ("name", "base", "shown"),
    [("CartPoleNoVel-v1", "CartPole-v1", [0, 2]), ("PendulumNoVel-v1", "Pendulum-v1", [0, 1])],
)
def test_masked_shows_a_part_of_the_same_episodes(name: str, base: str, shown: list[int]) -> None:
    whole: Any = environments.make(base)
    masked: Any = environments.make(name)
    assert masked.max_episode_steps == whole.max_episode_steps
    assert masked.action_space == whole.action_space
    np.testing.assert_array_equal(masked.observation_space.low, whole.observation_space.low[shown])
    np.testing.assert_array_equal(masked.observation_space.high, whole.observation_space.high[shown])
    rng = np.random.default_rng(0)
    actions = rng.integers(2, size=(60, 3)) if base == "CartPole-v1" else rng.uniform(-2, 2, (60, 3, 1))
    played = play(whole.environment, jax.random.key(1), jnp.asarray(actions))
    state, first, steps = play(masked.environment, jax.random.key(1), jnp.asarray(actions))
    chex.assert_trees_all_equal(state, played[0])
    np.testing.assert_array_equal(first, played[1][:, shown])
    assert np.any(steps.terminated) == (base == "CartPole-v1")
    hidden = played[2].replace(
        observation=played[2].observation[..., jnp.array(shown)],
        next_observation=played[2].next_observation[..., jnp.array(shown)],
    )
    chex.assert_trees_all_equal(steps, hidden)


def test_masked_may_show_in_any_order_and_keeps_knobs() -> None:
    masked = Masked(CartPole(), (3, 0))
    _, observation = masked.reset(jax.random.key(0))
    state, _ = CartPole().reset(jax.random.key(0))
    np.testing.assert_array_equal(observation, state[jnp.array([3, 0])])
    knobs = jax.tree.leaves(Masked(Catch(observation="vector", speed=2), (0, 1)))
    assert knobs == jax.tree.leaves(Catch(speed=2))
    assert environments.make("CartPoleNoVel-v1", max_episode_steps=9).max_episode_steps == 9
    for wrong in ((), (4,), (-1,), (0, 0), [0], (True, 0), (0.0,)):
        with pytest.raises(InvalidInput, match="indices must"):
            Masked(CartPole(), wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="Box of one axis"):
        Masked(Catch(), (0,))
    with pytest.raises(InvalidInput, match="gravity"):
        environments.make("CartPoleNoVel-v1", gravity=3)
