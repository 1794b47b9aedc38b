"""Searches without gradients: each step by hand, what they share, and a hill whose top is known."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl import environments, populations
from purejaxrl.action_distributions import Categorical, Gaussian
from purejaxrl.agents import (
    cross_entropy,
    evolution_strategies,
    finite_differences,
    gait_search,
    genetic,
    hill_climbing,
    random_search,
)
from purejaxrl.training import Loop, Settings
from purejaxrl.types import InvalidInput

OBSERVATIONS = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)
ACTIONS = gymnasium.spaces.Discrete(2)
TOP = np.array([0.7, -0.4])


class Preferences(nn.Module):
    """A policy that looks at nothing: two logits, which are its parameters."""

    @nn.compact
    def __call__(self, observation: Any) -> Categorical:
        return Categorical(self.param("logits", nn.initializers.zeros, (2,)))


# Settings by which each climbs a small hill, and how near its top it comes in 200 generations.
SEARCHES: dict[str, tuple[Any, Any, float]] = {
    "finite differences": (finite_differences, finite_differences.Config(epsilon=1e-3), 0.01),
    "central differences": (
        finite_differences,
        finite_differences.Config(epsilon=1e-2, central=True),
        0.01,
    ),
    "gait search": (gait_search, gait_search.Config(epsilon=0.05, step_size=0.02), 0.1),
    "hill climbing": (hill_climbing, hill_climbing.Config(), 0.01),
    "cross-entropy": (cross_entropy, cross_entropy.Config(), 0.01),
    "genetic": (genetic, genetic.Config(), 0.05),
    "random search": (random_search, random_search.Config(), 0.05),
    "evolution strategies": (evolution_strategies, evolution_strategies.Config(), 0.05),
}


@pytest.fixture(params=SEARCHES)
def search(request: pytest.FixtureRequest) -> tuple[Any, Any, float]:
    return SEARCHES[request.param]


def make(module: Any, config: Any) -> Any:
    own = dataclasses.replace(config, network=Preferences(), hidden_sizes=type(config)().hidden_sizes)
    return module.init(jax.random.key(0), own, OBSERVATIONS, ACTIONS)


def again(state: Any, **more: Any) -> Any:
    """The same search with a key that has not been used."""
    return dataclasses.replace(state, key=jax.random.fold_in(jax.random.key(1), len(more)), **more)


def logits(params: Any) -> Any:
    return params["params"]["logits"]


def tree(logits: Any) -> Any:
    return {"params": {"logits": jnp.asarray(logits, jnp.float32)}}


def placed(state: Any, params: Any, population: Any, **more: Any) -> Any:
    return dataclasses.replace(state, params=tree(params), population=tree(population), **more)


def test_finds_the_top_of_a_hill(search: tuple[Any, Any, float]) -> None:
    """What a policy returns is less by its squared distance from a known one."""
    module, config, near = search

    def generation(state: Any, _: None) -> tuple[Any, None]:
        height = -jnp.sum(jnp.square(logits(state.population) - TOP), axis=1)
        return module.update(state, height), None

    state, _ = jax.lax.scan(generation, make(module, config), None, 200)
    assert np.abs(logits(state.params) - TOP).max() < near
    assert state.step == 200


def test_updates_are_traced_once_and_use_each_key_once(search: tuple[Any, Any, float]) -> None:
    module, config, _ = search
    state = make(module, config)
    keys = [jax.random.key_data(state.key)]
    returns = jnp.arange(float(populations.size(state.population)))
    before = module.update._cache_size()
    for _ in range(2):
        state = module.update(state, returns)
        keys.append(jax.random.key_data(state.key))
    assert module.update._cache_size() <= before + 1
    if module is not finite_differences:  # which draws nothing
        assert len(np.unique(np.stack(keys), axis=0)) == 3


def test_members_act_in_their_environments_and_greedily_the_policy_that_is_kept(
    search: tuple[Any, Any, float],
) -> None:
    module, config, _ = search
    state = make(module, config)
    number = populations.size(state.population)
    prefers = np.arange(number) % 3 == 0
    state = placed(state, [0.0, 1.0], np.stack([prefers, ~prefers], axis=1))
    actions, extras, _ = module.act(state, jnp.zeros((2 * number, 3)), jax.random.key(0), 0)
    assert extras == ()
    np.testing.assert_array_equal(actions, np.repeat(~prefers, 2))
    np.testing.assert_array_equal(module.greedy(state, jnp.zeros((5, 3)))[0], np.ones(5))


def test_members_draw_their_actions_where_they_are_told_to(search: tuple[Any, Any, float]) -> None:
    """Each environment's by itself, as its member's policy has it; the policy that is kept still does not."""
    module, config, _ = search
    state = make(module, dataclasses.replace(config, sample_actions=True))
    number, each = populations.size(state.population), 2000
    chances = np.linspace(0.1, 0.9, number)
    state = placed(state, [1.0, 0.9], np.log(np.stack([1 - chances, chances], axis=1)))

    def drawn(seed: int) -> np.ndarray:
        actions, _, _ = module.act(state, jnp.zeros((number * each, 3)), jax.random.key(seed), 0)
        return np.asarray(actions).reshape(number, each)

    actions = drawn(0)
    np.testing.assert_allclose(actions.mean(axis=1), chances, atol=0.05)
    np.testing.assert_array_equal(actions, drawn(0))
    assert np.mean(actions != drawn(1)) > 0.2
    assert np.abs(np.corrcoef(actions[0], actions[1])[0, 1]) < 0.1  # nor do members draw alike
    np.testing.assert_array_equal(module.greedy(state, jnp.zeros((50, 3)))[0], np.zeros(50))


class Torque(nn.Module):
    """A policy in a Box: the observation's sum, with a deviation that is no parameter."""

    log_deviation: float

    @nn.compact
    def __call__(self, observation: Any) -> Gaussian:
        weight = self.param("weight", nn.initializers.ones, ())
        return Gaussian(weight * jnp.sum(observation)[None], jnp.full(1, self.log_deviation))


@pytest.mark.parametrize("log_deviation", [-np.inf, np.log(0.5)])
def test_what_is_drawn_in_a_box_is_as_sure_as_the_policy(log_deviation: float) -> None:
    """With a deviation of 0 it is what the policy does without exploring, and no NaN."""
    box = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
    observation = jnp.full((3000, 3), 0.1)
    actions = []
    for sample_actions in (False, True):
        config = random_search.Config(
            population=2, best_directions=1, sample_actions=sample_actions, network=Torque(log_deviation)
        )
        state = random_search.init(jax.random.key(0), config, OBSERVATIONS, box)
        actions.append(np.asarray(random_search.act(state, observation, jax.random.key(1), 0)[0]))
    likeliest, drawn = actions
    assert drawn.shape == (3000, 1)
    np.testing.assert_allclose(np.std(drawn - likeliest), np.exp(log_deviation), rtol=0.05)


def test_the_loop_takes_it_as_it_takes_any_agent(search: tuple[Any, Any, float]) -> None:
    module, config, _ = search
    config = dataclasses.replace(config, hidden_sizes=(2,))
    environment = environments.make("CartPole-v1", 1)
    spaces = environment.observation_space, environment.action_space
    state = jax.eval_shape(lambda: module.init(jax.random.key(0), config, *spaces))
    number = 2 * populations.size(state.population)
    settings = Settings(total_steps=number * 10, num_envs=number, rollout_length=10, num_epochs=1)
    Loop(module, config, environments.make("CartPole-v1", number), settings).check()
    odd = dataclasses.replace(settings, num_envs=number + 1, total_steps=(number + 1) * 10)
    with pytest.raises(InvalidInput, match=f"must be a multiple of the population's {number // 2} members"):
        Loop(module, config, environments.make("CartPole-v1", number + 1), odd).check()


POLICY = ("hidden_sizes", "activation", "torso", "initialiser", "network")
OTHER: dict[str, Any] = {  # another value of each field that is a search's own
    "learning_rate": 0.3,
    "learning_rate_decay": 0.5,
    "least_learning_rate": 0.2,
    "noise": 0.37,
    "noise_decay": 0.5,
    "optimiser_momentum": 0.5,
    "weight_decay": 0.5,
    "population": 12,
    "shaping": "standard",
    "optimiser": "sgd",
    "epsilon": 0.3,
    "step_size": 0.7,
    "extra_noise": 0.7,
    "extra_noise_steps": 2,
    "elites": 3,
    "parents": 5,
    "crossover": 0.1,
    "first_noise": 0.1,
    "best_directions": 2,
    "widening": 3.0,
    "narrowing": 0.2,
    "least_noise": 0.2,
    "most_noise": 0.05,
}
# Where a field shows only beside others.
BESIDE: dict[str, dict[str, Any]] = {
    "least_noise": {"narrowing": 0.1, "noise_decay": 0.1},
    "least_learning_rate": {"learning_rate_decay": 0.1},
    "most_noise": {"least_noise": 1e-4},
}
SWITCHES = ("antithetic", "central", "sample_actions")
FEWER = {"elites": 3, "parents": 5, "best_directions": 3}
CONFIGS = {type(config): (module, config) for module, config, _ in SEARCHES.values()}


def searched(module: Any, config: Any) -> list[np.ndarray]:
    """What three generations come to, a plain policy's: hill climbing succeeds twice, and then fails.

    And what the first one's members do.
    """
    state = module.init(
        jax.random.key(0), dataclasses.replace(config, hidden_sizes=(2,)), OBSERVATIONS, ACTIONS
    )
    observation = jnp.ones((5 * populations.size(state.population), 3))
    actions, _, _ = module.act(state, observation, jax.random.key(1), 0)
    for height in (0.0, 1.0, -5.0):
        number = populations.size(state.population)
        state = module.update(state, jnp.sin(3.0 * jnp.arange(number)) + height)
    return [np.asarray(leaf) for leaf in jax.tree.leaves((state.params, state.population, actions))]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (kind, field.name)
        for kind in CONFIGS
        for field in dataclasses.fields(kind)
        if field.name not in POLICY
    ],
    ids=lambda value: value if isinstance(value, str) else value.__module__.rpartition(".")[2],
)
def test_every_field_changes_something(kind: Any, field: str) -> None:
    module, config = CONFIGS[kind]
    beside = {name: value for name, value in BESIDE.get(field, {}).items() if hasattr(config, name)}
    base = dataclasses.replace(config, **beside)
    given = {field: not getattr(base, field) if field in SWITCHES else OTHER[field]}
    if field == "population":  # and what a smaller one has room for
        given |= {name: value for name, value in FEWER.items() if hasattr(config, name)}
    one, other = searched(module, base), searched(module, dataclasses.replace(base, **given))
    shapes = [leaf.shape for leaf in one], [leaf.shape for leaf in other]
    assert shapes[0] != shapes[1] or any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_finite_differences_by_hand() -> None:
    """(U(θ + ε uₖ) − U(θ)) / ε, and U(θ ± ε uₖ) by twice that."""
    config = finite_differences.Config(learning_rate=0.5, epsilon=0.1)
    state = make(finite_differences, config)
    state = dataclasses.replace(state, params=tree([1.0, 2.0]))
    after = finite_differences.update(state, jnp.array([5.0, 5.3, 4.9]))
    np.testing.assert_allclose(logits(after.params), [1 + 0.5 * 3, 2 - 0.5 * 1], rtol=1e-4)
    np.testing.assert_allclose(after.info["gradient_norm"], np.sqrt(10), rtol=1e-4)
    expected = logits(after.params) + np.array([[0, 0], [0.1, 0], [0, 0.1]])
    np.testing.assert_allclose(logits(after.population), expected, rtol=1e-5)
    state = make(finite_differences, config.replace(central=True))  # type: ignore[attr-defined]
    assert logits(state.population).shape == (4, 2)
    state = dataclasses.replace(state, params=tree([1.0, 2.0]))
    after = finite_differences.update(state, jnp.array([5.3, 4.9, 4.7, 5.1]))
    np.testing.assert_allclose(logits(after.params), [1 + 0.5 * 3, 2 - 0.5 * 1], rtol=1e-4)


def test_policies_of_many_parameters_are_not_moved_one_by_one() -> None:
    config = finite_differences.Config(hidden_sizes=(128, 128))
    with pytest.raises(InvalidInput, match=r"4096 at most, and the network has 17282; .* than \(128, 128\)"):
        finite_differences.init(jax.random.key(0), config, OBSERVATIONS, ACTIONS)


# Six policies: each row says where they went, +1, 0 or -1, in one parameter, and the scores are of all.
SCORES = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
WENT = {
    (1, 1, 0, 0, -1, -1): 1.5 - 5.5,
    (-1, 0, 1, -1, 0, 1): 4.5 - 2.5,  # Avg₀ = 3.5 lies between
    (1, -1, 1, -1, 0, 0): 0.0,  # Avg₀ = 5.5 is the largest
    (1, 1, 1, -1, -1, -1): 2.0 - 5.0,  # nobody stayed
    (1, 1, 1, 0, 0, 0): 0.0,  # nobody went down
}


def test_the_adjustment_of_the_gait_search_by_hand() -> None:
    signs = jnp.array(list(WENT), jnp.float32).T
    np.testing.assert_allclose(gait_search.adjust(signs, jnp.array(SCORES)), list(WENT.values()), rtol=1e-6)


def test_a_step_of_the_gait_search_has_length_eta() -> None:
    state = make(gait_search, gait_search.Config(epsilon=0.1, step_size=0.5, population=6))
    signs = np.array([(1, 1, 0, 0, -1, -1), (-1, 0, 1, -1, 0, 1)]).T
    state = placed(state, [1.0, 1.0], 1 + 0.1 * signs, signs=tree(signs))
    after = gait_search.update(state, jnp.array(SCORES))
    np.testing.assert_allclose(logits(after.params), 1 + 0.5 * np.array([-4, 2]) / np.sqrt(20), rtol=1e-5)
    # And all score alike: it stays, and is no NaN.
    still = gait_search.update(again(state), jnp.ones(6))
    np.testing.assert_array_equal(logits(still.params), [1, 1])


def test_perturbations_of_the_gait_search_are_up_down_or_none_as_often() -> None:
    state = make(gait_search, gait_search.Config(epsilon=0.1, population=3000))
    moved = np.round(np.asarray(logits(state.population) - logits(state.params)) / 0.1, 3)
    values, counts = np.unique(moved, return_counts=True)
    np.testing.assert_array_equal(values, [-1, 0, 1])
    np.testing.assert_allclose(counts / 6000, 1 / 3, atol=0.025)


def test_hill_climbing_by_hand() -> None:
    config = hill_climbing.Config(
        noise=0.4, widening=2.0, narrowing=0.5, population=2, least_noise=0.15, most_noise=0.7
    )
    state = make(hill_climbing, config)
    np.testing.assert_array_equal(logits(state.population), np.zeros((2, 2)))  # measured as it is, first
    state = hill_climbing.update(state, jnp.array([3.0, 3.0]))
    assert (state.best, state.noise) == (3, np.float32(0.4))
    state = dataclasses.replace(state, population=tree([[1.0, 0.0], [2.0, 0.0]]))
    worse = hill_climbing.update(state, jnp.array([1.0, 2.9]))
    np.testing.assert_array_equal(logits(worse.params), [0, 0])
    assert (worse.best, worse.noise) == (3, np.float32(0.2))
    assert hill_climbing.update(worse, jnp.zeros(2)).noise == np.float32(0.15)  # the least
    better = hill_climbing.update(again(state), jnp.array([1.0, 3.1]))
    np.testing.assert_array_equal(logits(better.params), [2, 0])
    assert (better.best, better.noise) == (np.float32(3.1), np.float32(0.7))  # the most
    even = dataclasses.replace(better, population=tree([[5.0, 0.0], [6.0, 0.0]]))
    even = hill_climbing.update(even, jnp.array([3.1, 0.0]))  # as good is good enough: plateaus are crossed
    np.testing.assert_array_equal(logits(even.params), [5, 0])
    assert np.std(np.asarray(logits(even.population))) > 0.01


def test_cross_entropy_by_hand() -> None:
    config = cross_entropy.Config(population=4, elites=2, extra_noise=0.1, extra_noise_steps=10)
    state = make(cross_entropy, config)
    state = placed(state, [0.0, 0.0], [[1.0, 5.0], [9.0, 9.0], [3.0, 5.0], [9.0, 9.0]])
    after = cross_entropy.update(
        dataclasses.replace(state, step=jnp.int32(5)), jnp.array([2.0, 0.0, 1.0, -1.0])
    )
    np.testing.assert_allclose(logits(after.params), [2, 5], rtol=1e-6)
    np.testing.assert_allclose(logits(after.deviation), [1 + 0.05, 0.05], rtol=1e-5)
    np.testing.assert_allclose(after.info["deviation"], 0.55, rtol=1e-5)
    wide = make(cross_entropy, cross_entropy.Config(population=4000, noise=0.3))
    np.testing.assert_allclose(np.std(logits(wide.population), axis=0), 0.3, rtol=0.1)


def test_random_search_by_hand() -> None:
    """θ + α/(b σ) Σ (r₊ − r₋) δ over the b best directions (Mania et al. 2018, algorithm 2)."""
    config = random_search.Config(learning_rate=0.3, noise=0.5, population=6, best_directions=2)
    state = make(random_search, config)
    directions = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 1.0]])
    state = placed(state, [1.0, 1.0], 1 + 0.5 * np.concatenate([directions, -directions]))
    forth, back = [4.0, 0.0, 1.0], [1.0, 1.0, 7.0]  # the best ways of each: 4, 1, 7
    after = random_search.update(state, jnp.array(forth + back))
    deviation = np.std([4, 1, 1, 7])
    step = 0.3 / (2 * deviation) * (3 * directions[0] - 6 * directions[2])
    np.testing.assert_allclose(logits(after.params), 1 + step, rtol=1e-5)
    still = random_search.update(again(state), jnp.ones(6))
    np.testing.assert_array_equal(logits(still.params), [1, 1])


def test_a_generation_by_hand() -> None:
    config = genetic.Config(population=6, parents=2, elites=1, noise=0.0, crossover=0.5)
    state = make(genetic, config)
    population = np.arange(12.0).reshape(6, 2)
    state = placed(state, [0.0, 0.0], population)
    children = []
    for _ in range(40):
        after = genetic.update(state, jnp.array([0.0, 5.0, 1.0, 9.0, 2.0, 3.0]))
        np.testing.assert_array_equal(logits(after.params), population[3])
        np.testing.assert_array_equal(logits(after.population)[0], population[3])  # the elite, as it was
        children.append(np.asarray(logits(after.population)[1:]))
        state = dataclasses.replace(state, key=after.key)
    born = np.concatenate(children)
    # Each parameter is one of the two fittest's, members 3 and 1, in all four combinations.
    np.testing.assert_array_equal(np.unique(born[:, 0]), [2, 6])
    np.testing.assert_array_equal(np.unique(born[:, 1]), [3, 7])
    assert len(np.unique(born, axis=0)) == 4
    mixed = np.mean((born[:, 0] == 2) != (born[:, 1] == 3))
    assert 0.12 < mixed < 0.38  # half of the children have two different parents, half of those are mixed


@pytest.mark.parametrize(
    ("module", "config", "words"),
    [
        (cross_entropy, {"elites": 65}, ["elites", "64", "65"]),
        (cross_entropy, {"elites": 1}, ["elites", "at least 2"]),
        (cross_entropy, {"noise": 0.0}, ["noise", "0.0"]),
        (genetic, {"parents": 100}, ["parents", "64", "100"]),
        (genetic, {"elites": 65}, ["elites", "64", "65"]),
        (genetic, {"crossover": 1.5}, ["crossover", "1.5"]),
        (random_search, {"population": 7}, ["population", "even", "7"]),
        (random_search, {"best_directions": 9}, ["best_directions", "8", "9"]),
        (hill_climbing, {"narrowing": 1.5}, ["narrowing", "1.5"]),
        (hill_climbing, {"widening": 0.5}, ["widening", "0.5"]),
        (hill_climbing, {"least_noise": 3.0}, ["least_noise", "most_noise", "3.0"]),
        (gait_search, {"epsilon": 0.0}, ["epsilon", "0.0"]),
        (gait_search, {"population": 1}, ["population", "at least 2"]),
        (finite_differences, {"epsilon": float("nan")}, ["epsilon", "nan"]),
        (finite_differences, {"central": 1}, ["central", "1"]),
        *((module, {"sample_actions": 1}, ["sample_actions", "1"]) for module, _, _ in SEARCHES.values()),
    ],
)
def test_what_cannot_be_is_named(module: Any, config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        module.init(jax.random.key(0), module.Config(**config), OBSERVATIONS, ACTIONS)
    for word in words:
        assert word in str(raised.value)
