"""Finite environments: their tables against gymnasium's and plain Python, and values known exactly."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any

import chex
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl.environments as environments
from purejaxrl.environments import exact, four_rooms, vectorise
from purejaxrl.environments.base import VectorState, begin_episodes
from purejaxrl.environments.cliff_walking import CliffWalking
from purejaxrl.environments.deep_sea import DeepSea
from purejaxrl.environments.four_rooms import FourRooms
from purejaxrl.environments.random_walk import RandomWalk, ShortCorridor
from purejaxrl.environments.windy_gridworld import WindyGridworld
from purejaxrl.types import InvalidInput

NAMES: dict[str, Any] = {
    "CliffWalking": CliffWalking,
    "WindyGridworld": WindyGridworld,
    "RandomWalk": RandomWalk,
    "ShortCorridor": ShortCorridor,
    "FourRooms": FourRooms,
}
VARIANTS: list[Any] = [
    CliffWalking(),
    CliffWalking(slip=0.4, fall_reward=-7.0, rows=3, columns=5),
    WindyGridworld(),
    WindyGridworld(gust=2 / 3, moves=9),
    RandomWalk(),
    RandomWalk(states=19, left_reward=-1.0, actions=2),
    ShortCorridor(),
    FourRooms(),
    FourRooms(goal=70, slip=0.0),
]


def stand(environment: Any, states: np.ndarray, actions: np.ndarray, key: int = 0) -> Any:
    """One step of a batch whose members stand in ``states``."""
    batch = vectorise(environment, len(states))
    state = VectorState(jnp.asarray(states, jnp.int32), begin_episodes(len(states)))
    return jax.device_get(jax.jit(batch.step)(jax.random.key(key), state, jnp.asarray(actions, jnp.int32)))


def every(environment: Any) -> tuple[np.ndarray, np.ndarray]:
    """Every state with every action."""
    actions = environment.action_space.n
    return np.repeat(np.arange(environment.num_states), actions), np.tile(
        np.arange(actions), environment.num_states
    )


@pytest.mark.parametrize("name", list(NAMES))
def test_made_by_name(name: str) -> None:
    batch = environments.make(name, num_envs=3, max_episode_steps=5)
    assert isinstance(batch.environment, NAMES[name])  # type: ignore[attr-defined]
    state, observation = jax.jit(batch.reset)(jax.random.key(0))
    chex.assert_shape([state.inner, observation], (3,))
    chex.assert_type([state.inner, observation], jnp.int32)


@pytest.mark.parametrize("environment", VARIANTS, ids=repr)
def test_steps_are_drawn_from_the_tables(environment: Any) -> None:
    """No successor but those that the tables have, each as often; and their mean reward."""
    P, R = exact.tables(environment)
    ends = 1 - np.sum(P, axis=2)
    assert np.all(P >= 0)
    assert np.all((ends > -1e-12) & (ends < 1 + 1e-12))
    assert np.any(ends > 0.1)
    states, actions = every(environment)
    chosen = np.linspace(0, len(states) - 1, min(len(states), 40)).astype(int)
    states, actions = states[chosen], actions[chosen]
    draws = 500
    _, steps = stand(environment, np.repeat(states, draws), np.repeat(actions, draws))
    if isinstance(environment, ShortCorridor):  # whose observation is not the state
        assert not np.any(steps.next_observation)
        return
    for i, (s, a) in enumerate(zip(states, actions, strict=True)):
        row = slice(i * draws, (i + 1) * draws)
        ended = steps.terminated[row]
        seen = np.bincount(steps.next_observation[row][~ended], minlength=environment.num_states) / draws
        expected = np.append(P[s, a], max(ends[s, a], 0.0))
        deviation = np.abs(np.append(seen, np.mean(ended)) - expected)
        assert np.all(deviation <= 4.5 * np.sqrt(expected * (1 - np.minimum(expected, 1)) / draws) + 1e-7)
        spread = np.std(steps.reward[row]) / np.sqrt(draws)
        assert abs(np.mean(steps.reward[row]) - R[s, a]) <= 4.5 * spread + 1e-5


@pytest.mark.parametrize(
    ("name", "knob", "values", "action"),
    [
        ("CliffWalking", "slip", [0.0, 0.3, 1.0], 1),
        ("CliffWalking", "fall_reward", [-100.0, -3.0], 1),
        ("WindyGridworld", "gust", [0.0, 2 / 3], 1),
        ("RandomWalk", "left_reward", [0.0, -1.0], 0),
        ("RandomWalk", "right_reward", [1.0, 5.0], 0),
        ("FourRooms", "slip", [0.0, 0.5], 2),
        ("FourRooms", "goal", [62, 103], 2),
    ],
)
def test_knobs_may_differ_under_vmap(name: str, knob: str, values: list[Any], action: int) -> None:
    """Each member has the same bits as alone, and each value of a knob leads elsewhere."""
    members = [NAMES[name](**{knob: value}) for value in values]

    def walk(environment: Any, key: Any) -> Any:
        batch = vectorise(environment, 4)
        reset_key, key = jax.random.split(key)

        def one(carry: Any, _: None) -> Any:
            state, key = carry
            key, step_key = jax.random.split(key)
            state, step = batch.step(step_key, state, jnp.full(4, action))
            return (state, key), step

        return jax.lax.scan(one, (batch.reset(reset_key)[0], key), length=60)[1]

    stacked = jax.tree.map(lambda *knobs: jnp.stack([jnp.asarray(knob) for knob in knobs]), *members)
    together = jax.jit(jax.vmap(walk, in_axes=(0, None)))(stacked, jax.random.key(1))
    paths = [jax.tree.map(lambda x, i=i: np.asarray(x[i]), together) for i in range(len(members))]
    for member, path in zip(members, paths, strict=True):
        alone = jax.jit(walk)(
            member.__class__(**{knob: jnp.asarray(getattr(member, knob))}), jax.random.key(1)
        )
        chex.assert_trees_all_equal(jax.device_get(alone), path)
    for path in paths[1:]:
        assert not np.array_equal(path.next_observation, paths[0].next_observation) or not np.array_equal(
            path.reward, paths[0].reward
        )


def test_equal_environments() -> None:
    """By value, arrays among the knobs or not; equal ones have one hash, and share a compiled program."""
    for name in environments.REGISTRY:
        one, other = (environments.make(name).environment for _ in range(2))  # type: ignore[attr-defined]
        assert one == other
        assert hash(one) == hash(other)
        assert one != environments.make(name, max_episode_steps=3).environment  # type: ignore[attr-defined]
        assert one != name
    sea = DeepSea(size=3)
    assert DeepSea(size=3, move_cost=0.5) == DeepSea(size=3, move_cost=jnp.float32(0.5))
    assert sea != DeepSea(size=3, move_cost=0.02)
    assert sea != DeepSea(size=3, mapping_seed=1)
    assert sea != DeepSea(size=4)
    assert len({sea, DeepSea(size=3), DeepSea(size=3, mapping_seed=1)}) == 2
    assert vectorise(sea, 2) == vectorise(DeepSea(size=3), 2) != vectorise(sea, 3)
    traces = []

    @jax.jit
    def cost(environment: DeepSea) -> Any:
        traces.append(environment)
        return environment.move_cost

    for environment in (sea, DeepSea(size=3), DeepSea(size=3, mapping_seed=1, move_cost=0.5)):
        assert cost(environment) == np.float32(environment.move_cost)
    assert len(traces) == 1
    assert traces[0] != sea


@pytest.mark.parametrize("name", list(NAMES))
def test_environments_are_pytrees_of_their_knobs(name: str) -> None:
    one, other = jax.tree.structure(NAMES[name]()), jax.tree.structure(NAMES[name]())
    assert one == other
    assert hash(one) == hash(other)
    assert one != jax.tree.structure(NAMES[name](max_episode_steps=3))
    jax.tree.map(lambda _: None, NAMES[name]())  # anything may stand for a leaf


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("CliffWalking", "slip", -0.1),
        ("CliffWalking", "slip", 1.1),
        ("CliffWalking", "slip", "often"),
        ("CliffWalking", "fall_reward", float("inf")),
        ("CliffWalking", "fall_reward", 10**400),
        ("CliffWalking", "rows", (3, 4)),
        ("CliffWalking", "rows", 1),
        ("CliffWalking", "columns", 2.5),
        ("WindyGridworld", "gust", float("nan")),
        ("WindyGridworld", "moves", 5),
        ("WindyGridworld", "moves", 4.0),
        ("WindyGridworld", "moves", True),
        ("RandomWalk", "states", 4),
        ("RandomWalk", "states", -1),
        ("RandomWalk", "actions", 3),
        ("RandomWalk", "actions", True),
        ("RandomWalk", "left_reward", float("nan")),
        ("FourRooms", "goal", 104),
        ("FourRooms", "goal", 3.5),
        ("FourRooms", "slip", 2),
        ("FourRooms", "observation", "sound"),
    ],
)
def test_what_cannot_be_is_refused(name: str, option: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"^{option} must be"):
        environments.make(name, **{option: value})


KNOBS = [
    (name, path[0].name)
    for name in environments.REGISTRY
    for path, _ in jax.tree.leaves_with_path(environments.make(name).environment)  # type: ignore[attr-defined]
    if (name, path[0].name) != ("BsuiteBandit", "values")  # which it makes itself
]


@pytest.mark.parametrize(("name", "knob"), KNOBS)
def test_knobs_are_numbers(name: str, knob: str) -> None:
    """Neither None (but for those that are made then), nor what only looks like a number, as an array may."""
    arrays = {"mapping", "values"}
    impossible = ["x", {}, object(), 1j, jax.random.key(0)]
    if knob not in arrays:
        impossible += [None, [0.1, 0.2], [0, 1], (), np.array([]), np.array(["x"])]
        impossible += [] if knob == "difficulty_ramping" else [True, np.array([True])]
    for value in impossible:
        with pytest.raises(InvalidInput, match=f"^{knob} must be"):
            environments.make(name, **{knob: value})
    knobs = environments.make(name).environment  # type: ignore[attr-defined]
    usual = np.asarray(getattr(knobs, knob))
    for value in (usual, jnp.asarray(usual), np.stack([usual, usual]), jnp.stack([usual, usual])):
        assert dataclasses.replace(knobs, **{knob: value}) is not None

    def traced(value: Any) -> Any:
        return getattr(dataclasses.replace(knobs, **{knob: value}), knob)

    assert jax.eval_shape(traced, jnp.asarray(usual)).shape == usual.shape


# CliffWalking


@pytest.mark.parametrize("name", ["CliffWalking-v1", "CliffWalkingSlippery-v1"])
def test_cliff_walking_equals_gymnasium(name: str) -> None:
    """Its whole table, and (without slipping) a step from every state by every action."""
    theirs: Any = gymnasium.make(name).unwrapped
    ours = CliffWalking(slip=2 / 3 if theirs.is_slippery else 0.0)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    spec = gymnasium.spec(name)
    assert ours.max_episode_steps == spec.max_episode_steps
    P, R = exact.tables(ours)
    expected_P, expected_R = np.zeros_like(P), np.zeros_like(R)
    for s, a in zip(*every(ours), strict=True):
        for probability, successor, reward, terminated in theirs.P[s][a]:
            expected_P[s, a, successor] += probability * (not terminated)
            expected_R[s, a] += probability * reward
    np.testing.assert_allclose(P, expected_P, atol=1e-15)
    np.testing.assert_allclose(R, expected_R, atol=1e-12)
    if not theirs.is_slippery:
        _, steps = stand(ours, *every(ours))
        for i, (s, a) in enumerate(zip(*every(ours), strict=True)):
            theirs.s = s
            observation, reward, terminated, _, _ = theirs.step(a)
            answer = steps.next_observation[i], steps.reward[i], steps.terminated[i]
            assert answer == (observation, reward, terminated), (s, a)
        assert theirs.reset(seed=0)[0] == ours.start == ours.reset(jax.random.key(0))[1]


def test_cliff_walking_values() -> None:
    """The best way is of 13 steps; exploring, it falls so often that the safer way is better."""
    environment = CliffWalking()
    P, R = exact.tables(environment)
    values = exact.optimal_values(P, R)
    assert values[environment.start] == -13
    greedy = exact.greedy_policy(exact.action_values(P, R, values), epsilon=0.1)
    assert exact.policy_values(P, R, greedy)[environment.start] == pytest.approx(-50.80, abs=0.005)
    safe = exact.optimal_values(P, R, epsilon=0.1)
    assert safe[environment.start] == pytest.approx(-20.71, abs=0.005)
    best = exact.greedy_policy(exact.action_values(P, R, safe), epsilon=0.1)
    np.testing.assert_allclose(exact.policy_values(P, R, best), safe, rtol=1e-9)


# WindyGridworld


def shortest(moves: int) -> int:
    """Steps from the start to the goal, by breadth-first search over Sutton & Barto's description."""
    wind = [0, 0, 0, 1, 1, 1, 2, 2, 1, 0]
    steps = [(1, 0), (-1, 0), (0, 1), (0, -1)]
    steps += [(i, j) for i in (-1, 1) for j in (-1, 1)] if moves > 4 else []
    steps += [(0, 0)] if moves == 9 else []
    frontier, seen = deque([((3, 0), 0)]), {(3, 0)}
    while frontier:
        (row, column), length = frontier.popleft()
        if (row, column) == (3, 7):
            return length
        for down, right in steps:
            place = (
                min(max(row + down - wind[column], 0), 6),
                min(max(column + right, 0), 9),
            )
            if place not in seen:
                seen.add(place)
                frontier.append((place, length + 1))
    raise AssertionError("there is no way")


@pytest.mark.parametrize(("moves", "length"), [(4, 15), (8, 7), (9, 7)])
def test_windy_gridworld_values(moves: Any, length: int) -> None:
    P, R = exact.tables(WindyGridworld(moves=moves))
    values = exact.optimal_values(P, R)
    assert shortest(moves) == length
    assert values[WindyGridworld().start] == -length
    if moves == 4:
        exploring = exact.optimal_values(P, R, epsilon=0.1)[WindyGridworld().start]
        assert exploring == pytest.approx(-17.05, abs=0.005)


def test_windy_gridworld_moves() -> None:
    """By hand, as (row, column): every move in still air, and the wind where it blows."""
    environment = WindyGridworld(moves=9)
    centre = [(2, 1), (3, 2), (4, 1), (3, 0), (2, 2), (4, 2), (4, 0), (2, 0), (3, 1)]
    cases = [((3, 1), action, place) for action, place in enumerate(centre)]
    cases += [((3, 8), 3, (2, 7))]  # the book's: left of here is the goal, but it leads above it
    cases += [((4, 8), 3, (3, 7)), ((1, 6), 8, (0, 6)), ((6, 7), 2, (5, 7)), ((0, 9), 5, (1, 9))]
    states, actions, places = zip(*cases, strict=True)
    _, steps = stand(environment, np.array([10 * r + c for r, c in states]), np.array(actions))
    np.testing.assert_array_equal(steps.next_observation, [10 * r + c for r, c in places])
    np.testing.assert_array_equal(steps.terminated, [place == (3, 7) for place in places])
    np.testing.assert_array_equal(steps.reward, -1)
    # A gust: in column 6 the wind is 2, or 1 or 3; in column 1 there is none to change.
    P, _ = exact.tables(WindyGridworld(gust=0.5, moves=9))
    np.testing.assert_allclose(P[56, 8, [16, 26, 36, 46, 56]], [0, 0.25, 0.5, 0.25, 0])
    assert P[51, 8, 51] == 1


# RandomWalk and ShortCorridor


@pytest.mark.parametrize(
    ("walk", "values"),
    [
        (RandomWalk(), np.arange(1, 6) / 6),  # 1/6 to 5/6, as the book says
        (RandomWalk(states=19, left_reward=-1.0), np.arange(-9, 10) / 10),
        (RandomWalk(states=3, left_reward=2.0, right_reward=-2.0), [1, 0, -1]),
    ],
    ids=repr,
)
def test_random_walk_values(walk: RandomWalk, values: Any) -> None:
    P, R = exact.tables(walk)
    np.testing.assert_allclose(exact.policy_values(P, R, np.ones((walk.states, 1))), values, atol=1e-12)
    np.testing.assert_allclose(walk.true_values, values, atol=1e-6)
    P, R = exact.tables(dataclasses.replace(walk, actions=2))
    half = np.full((walk.states, 2), 0.5)
    np.testing.assert_allclose(exact.policy_values(P, R, half), values, atol=1e-12)


def test_random_walk_with_two_actions_goes_where_it_is_sent() -> None:
    walk = RandomWalk(states=3, left_reward=-4.0, actions=2)
    _, steps = stand(walk, np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 1]))
    np.testing.assert_array_equal(steps.next_observation, [0, 1, 0, 2, 1, 2])
    np.testing.assert_array_equal(steps.reward, [-4, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(steps.terminated, [1, 0, 0, 0, 0, 1])


def test_short_corridor_values() -> None:
    """Sutton & Barto's figures: -11.6 at best, -82 and -44 for the two epsilon-greedy policies."""
    corridor = ShortCorridor()
    P, R = exact.tables(corridor)
    rights = np.linspace(0.02, 0.98, 97)
    values = [exact.policy_values(P, R, np.array([[1 - p, p]] * 3))[0] for p in rights]
    np.testing.assert_allclose(values, corridor.value(rights), rtol=1e-9)
    assert np.max(values) == pytest.approx(-11.6, abs=0.1)
    assert rights[np.argmax(values)] == pytest.approx(0.59, abs=0.005)
    assert corridor.value(0.05) == pytest.approx(-82, abs=0.5)
    assert corridor.value(0.95) == pytest.approx(-44, abs=0.5)
    with pytest.raises(InvalidInput, match=r"from states \[0 1 2\] the policy never ends"):
        exact.policy_values(P, R, np.array([[1.0, 0.0]] * 3))
    with pytest.raises(InvalidInput, match=r"from states \[0 1\] the policy never ends"):
        exact.policy_values(P, R, np.array([[0.0, 1.0]] * 3))
    assert exact.policy_values(P, R, np.array([[1.0, 0.0]] * 3), discount=0.5)[0] == pytest.approx(-2)


def test_short_corridor_by_hand() -> None:
    state, steps = stand(ShortCorridor(), np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 1]))
    np.testing.assert_array_equal(steps.terminated, [0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(state.inner, [0, 1, 2, 0, 1, 0])  # the last is a new episode's
    np.testing.assert_array_equal(steps.observation, 0)
    np.testing.assert_array_equal(steps.reward, -1)


# FourRooms


def test_four_rooms_plan() -> None:
    """Four hallways join four rooms of 5x5, 6x5, 5x5 and 4x5 cells, and close any and the rooms part."""
    assert four_rooms.NUM_CELLS == 104 == 25 + 30 + 25 + 20 + 4
    assert four_rooms.WALLS[[0, -1]].all()
    assert four_rooms.WALLS[:, [0, -1]].all()
    assert four_rooms.HALLWAYS == (25, 51, 62, 88)

    def region(start: int, closed: set[int]) -> int:
        seen, frontier = {start}, [start]
        while frontier:
            for cell in map(int, four_rooms.NEIGHBOURS[frontier.pop()]):
                if cell not in seen | closed:
                    seen.add(cell)
                    frontier.append(cell)
        return len(seen)

    assert region(0, set()) == 104
    corners = [int(four_rooms.NUMBERS[place]) for place in ((1, 1), (1, 11), (11, 1), (11, 11))]
    rooms = [region(corner, set(four_rooms.HALLWAYS)) for corner in corners]
    assert rooms == [25, 30, 25, 20]
    assert [region(0, {hallway}) for hallway in four_rooms.HALLWAYS] == [103] * 4  # a ring


def test_four_rooms_moves() -> None:
    """By hand: walls stop, hallways do not; a failed move goes each of the other ways as often."""
    P, R = exact.tables(FourRooms())
    corner, right, below = 0, 1, 10
    np.testing.assert_allclose(P[corner, 0, [corner, right, below]], [2 / 3 + 1 / 9, 1 / 9, 1 / 9])
    np.testing.assert_allclose(P[corner, 1, [corner, right, below]], [2 / 9, 2 / 3, 1 / 9])
    above = int(four_rooms.NUMBERS[6, 9])
    np.testing.assert_allclose(R[above, :], [1 / 9, 1 / 9, 2 / 3, 1 / 9])
    np.testing.assert_allclose(1 - np.sum(P, axis=2), R, atol=1e-12)  # the reward comes with the end
    assert np.flatnonzero(np.delete(R[:, 2], 62)).tolist() == [above, int(four_rooms.NUMBERS[8, 9]) - 1]


def test_four_rooms_values_without_slipping_are_distances() -> None:
    for goal in (62, 0, 103):
        P, R = exact.tables(FourRooms(goal=goal, slip=0.0))
        values = exact.optimal_values(P, R, discount=0.9)
        distance = np.full(104, -1)
        distance[goal], frontier = 0, deque([goal])
        while frontier:
            here = frontier.popleft()
            for there in map(int, four_rooms.NEIGHBOURS[here]):
                if distance[there] < 0:
                    distance[there] = distance[here] + 1
                    frontier.append(there)
        others = np.arange(104) != goal
        np.testing.assert_allclose(values[others], 0.9 ** (distance[others] - 1), rtol=1e-9)


def test_four_rooms_episodes_begin_anywhere_but_at_the_goal() -> None:
    for goal in (62, 0, 103):
        _, first = jax.jit(vectorise(FourRooms(goal=goal), 3000).reset)(jax.random.key(goal))
        assert set(np.asarray(first).tolist()) == set(range(104)) - {goal}


def test_four_rooms_pixels() -> None:
    environment = FourRooms(goal=5, slip=0.0, observation="pixels")
    _, image = environment.reset(jax.random.key(0))
    assert environment.observation_space.contains(np.asarray(image))
    _, steps = stand(environment, np.array([1]), np.array([1]))
    image = steps.next_observation[0]
    np.testing.assert_array_equal(image[..., 0], four_rooms.WALLS)
    np.testing.assert_array_equal(np.argwhere(image[..., 1]), [four_rooms.CELLS[5]])
    np.testing.assert_array_equal(np.argwhere(image[..., 2]), [[1, 3]])


# Tables and values


def test_values_where_there_is_no_end() -> None:
    """By hand: a state that pays 1 and stays is worth 1 / (1 - discount), and without one has no value."""
    P, R = np.ones((1, 1, 1)), np.ones((1, 1))
    policy = np.ones((1, 1))
    assert exact.policy_values(P, R, policy, 0.9)[0] == pytest.approx(10)
    assert exact.optimal_values(P, R, 0.9)[0] == pytest.approx(10)
    with pytest.raises(InvalidInput, match="never ends"):
        exact.policy_values(P, R, policy)


def test_greedy_policy_shares_what_is_equally_good() -> None:
    policy = exact.greedy_policy(np.array([[1.0, 1.0, 0.0, -2.0], [-3.0, -1.0, -2.0, -5.0]]), epsilon=0.2)
    np.testing.assert_allclose(policy, [[0.45, 0.45, 0.05, 0.05], [0.05, 0.85, 0.05, 0.05]])
