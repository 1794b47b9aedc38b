"""Batches of environments: resets, statistics, time limits, names and options; and the knobs of Catch."""

from __future__ import annotations

import itertools
from typing import Any

import chex
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import purejaxrl.environments as environments
from purejaxrl.environments import VectorEnvironment, vectorise
from purejaxrl.environments.acrobot import Acrobot
from purejaxrl.environments.cartpole import CartPole
from purejaxrl.environments.catch import Catch
from purejaxrl.environments.envpool_ffi import FfiEnvironment
from purejaxrl.environments.host import HostEnvironment
from purejaxrl.environments.mountain_car import MountainCar, MountainCarContinuous
from purejaxrl.environments.pendulum import Pendulum
from purejaxrl.types import Array, InvalidInput, Key

NUM_ENVS = 5
STEPS = 40


@struct.dataclass
class Countdown:
    """Starts at a random whole number below 9, counts down by the action, and terminates at 0 or below."""

    max_episode_steps: int | None = struct.field(pytree_node=False, default=4)
    observation_space: Any = struct.field(pytree_node=False, default=None)

    @property
    def action_space(self) -> Any:
        return gymnasium.spaces.Discrete(9)

    def reset(self, key: Key) -> tuple[Array, Array]:
        state = jax.random.randint(key, (), 1, 9)
        return state, state.astype(jnp.float32)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        del key
        state = state - action
        return state, state.astype(jnp.float32), 10.0 + state, state <= 0


@jax.jit
def run(environment: VectorEnvironment[Any], key: Key, actions: Array) -> tuple[Array, Any]:
    """The first observations, and the time steps ``[T, B]`` that actions ``[T, B, …]`` lead to."""
    reset_key, key = jax.random.split(key)
    state, observation = environment.reset(reset_key)
    keys = jax.random.split(key, len(actions))
    _, steps = jax.lax.scan(lambda state, x: environment.step(x[0], state, x[1]), state, (keys, actions))
    return observation, steps


@pytest.fixture(scope="module")
def countdown() -> tuple[np.ndarray, Any]:
    environment = vectorise(Countdown(), NUM_ENVS)
    return jax.device_get(run(environment, jax.random.key(0), jnp.ones((STEPS, NUM_ENVS), jnp.int32)))


def test_resets_in_the_step_in_which_an_episode_ends(countdown: tuple[np.ndarray, Any]) -> None:
    """Every number is worked out again, in plain Python, from the observations that began episodes."""
    first, steps = countdown
    ends = {"terminated": 0, "truncated": 0, "both": 0}
    for i in range(NUM_ENVS):
        count, total, length = int(first[i]), 0.0, 0
        for t in range(STEPS):
            count, length = count - 1, length + 1
            total += 10 + count
            assert steps.next_observation[t, i] == count  # the true successor, also where it is the last
            assert steps.reward[t, i] == 10 + count
            assert steps.terminated[t, i] == (count == 0)
            assert steps.truncated[t, i] == (length == 4)
            assert steps.episode.episode_return[t, i] == total
            assert steps.episode.episode_length[t, i] == length
            if count == 0 or length == 4:
                ends[
                    "both" if count == 0 and length == 4 else "terminated" if count == 0 else "truncated"
                ] += 1
                count, total, length = int(steps.observation[t, i]), 0.0, 0
                assert 1 <= count <= 8  # the next episode's first observation
            else:
                assert steps.observation[t, i] == count
    assert all(number > 0 for number in ends.values()), ends  # both flags at once, too


def test_members_and_resets_differ(countdown: tuple[np.ndarray, Any]) -> None:
    first, steps = countdown
    begun = [steps.observation[:, i][steps.terminated[:, i] | steps.truncated[:, i]] for i in range(NUM_ENVS)]
    assert len(set(first)) > 1
    assert len({tuple(episode[:8]) for episode in begun}) == NUM_ENVS
    assert all(len(set(episode)) > 2 for episode in begun)  # each reset draws anew


def test_without_a_time_limit_nothing_is_truncated() -> None:
    environment = vectorise(Countdown(max_episode_steps=None), NUM_ENVS)
    _, steps = run(environment, jax.random.key(0), jnp.ones((STEPS, NUM_ENVS), jnp.int32))
    assert not np.any(steps.truncated)
    assert np.max(steps.episode.episode_length) > 4


# Those of which all episodes begin alike.
ONE_START = {
    "Bandit",
    "BsuiteBandit",
    "CliffWalking",
    "DeepSea",
    "MinAtar-Asterix",
    "RandomWalk",
    "ShortCorridor",
    "WindyGridworld",
}


@pytest.mark.parametrize("name", list(environments.REGISTRY))
def test_every_environment_as_a_batch(name: str) -> None:
    """Shapes and types are the spaces'; members and keys differ; observations lie in their space."""
    environment = environments.make(name, num_envs=NUM_ENVS, max_episode_steps=7)
    space, action_space = environment.observation_space, environment.action_space
    action_space.seed(0)
    actions = jnp.asarray(np.array([[action_space.sample() for _ in range(NUM_ENVS)] for _ in range(STEPS)]))
    first, steps = run(environment, jax.random.key(0), actions)
    other, _ = run(environment, jax.random.key(1), actions)
    again, _ = run(environment, jax.random.key(0), actions)
    assert environment.num_envs == NUM_ENVS
    assert environment.max_episode_steps == 7
    for array in (first, steps.observation[0], steps.next_observation[0]):
        chex.assert_shape(array, (NUM_ENVS, *(space.shape or ())))
        assert array.dtype == jax.dtypes.canonicalize_dtype(space.dtype)  # gymnasium's Discrete has 64 bits
    chex.assert_shape([steps.reward, steps.terminated, steps.truncated], (STEPS, NUM_ENVS))
    assert (steps.reward.dtype, steps.terminated.dtype, steps.truncated.dtype) == (np.float32, bool, bool)
    for observation in np.asarray(steps.next_observation).reshape(STEPS * NUM_ENVS, *(space.shape or ())):
        assert space.contains(observation)
    np.testing.assert_array_equal(first, again)
    assert (len(np.unique(np.asarray(first), axis=0)) > 1) == (name not in ONE_START)
    assert np.array_equal(first, other) == (name in ONE_START)
    np.testing.assert_array_equal(steps.truncated, steps.episode.episode_length == 7)
    lasted = ~np.any(steps.terminated[:6], axis=0)
    assert np.all(steps.truncated[6] == lasted)
    np.testing.assert_array_equal(steps.episode.episode_length[7][lasted], 1)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"'CartPol-v1'.*nearest: CartPole-v1"):
        environments.make("CartPol-v1")
    with pytest.raises(InvalidInput, match=r"'cartpole-v1'.*nearest: CartPole-v1"):
        environments.make("cartpole-v1")
    with pytest.raises(InvalidInput, match=r"'xyz'.*known: Acrobot-v1, .*CartPole-v1"):
        environments.make("xyz")
    with pytest.raises(InvalidInput, match="gravity"):
        environments.make("CartPole-v1", gravity=3)


@pytest.mark.parametrize("num_envs", [0, -1, 2.0, "8", True, None])
def test_num_envs_must_be_a_positive_whole_number(num_envs: Any) -> None:
    with pytest.raises(InvalidInput, match=f"num_envs.*{num_envs!r}"):
        environments.make("CartPole-v1", num_envs=num_envs)
    with pytest.raises(InvalidInput, match=f"num_envs.*{num_envs!r}"):
        vectorise(CartPole(), num_envs)


@pytest.mark.parametrize("number", [0, -1, 2.5])
@pytest.mark.parametrize("name", ["CartPole-v1", "envpool:CartPole-v1"])
def test_evaluations_have_an_environment_or_more(name: str, number: Any) -> None:
    with pytest.raises(InvalidInput, match=f"num_envs must be a whole number of at least 1, not {number}"):
        environments.for_evaluation(environments.make(name, 2), number)


@pytest.mark.parametrize("name", [3, None, b"CartPole-v1"])
def test_names_are_strings(name: Any) -> None:
    with pytest.raises(InvalidInput, match="known by their names, which are strings, not"):
        environments.make(name)


@pytest.mark.parametrize(
    ("name", "options", "knob"),
    [
        ("CliffWalking", {"slip": np.array([0.1, 0.3])}, "slip"),
        ("RandomWalk", {"left_reward": np.array([1.0, 2.0])}, "left_reward"),
        ("FourRooms", {"goal": np.array([1, 2])}, "goal"),
        (
            "MinAtar-Breakout",
            {"sticky_action_probability": np.array([0.1, 0.2])},
            "sticky_action_probability",
        ),
        ("DeepSea", {"size": 2, "mapping": np.zeros((4, 2, 2), int)}, "mapping"),
        ("Bandit", {"values": np.zeros((5, 10))}, "values"),
        ("CartPole-v1", {"sticky_actions": np.array([0.1, 0.2])}, "sticky_actions"),
        ("CartPole-v1", {"flicker": np.array([0.1, 0.2])}, "flicker"),
        (
            "CartPole-v1",
            {"normalise_observation": True, "observation_limit": np.array([5.0, 6.0])},
            "observation_limit",
        ),
    ],
)
def test_knobs_of_several_environments_are_none_of_one(name: str, options: dict[str, Any], knob: str) -> None:
    """They would be broadcast against what one environment has, and be wrong without a word."""
    with pytest.raises(InvalidInput, match=f"{knob} must be .* here, not one of shape .*vmap over the stack"):
        environments.make(name, 1, **options)


@pytest.mark.parametrize(
    ("name", "action", "message"),
    [
        (
            "CartPole-v1",
            jnp.zeros((2, 1), jnp.int32),
            r"CartPole takes actions of shape \(2,\), not \(2, 1\)",
        ),
        ("CartPole-v1", jnp.zeros(3, jnp.int32), r"CartPole takes actions of shape \(2,\), not \(3,\)"),
        ("CartPole-v1", jnp.full(2, 0.3), "CartPole takes whole numbers as actions, not float32"),
        ("Pendulum-v1", jnp.zeros(2), r"Pendulum takes actions of shape \(2, 1\), not \(2,\)"),
        ("Pendulum-v1", jnp.zeros((2, 3)), r"Pendulum takes actions of shape \(2, 1\), not \(2, 3\)"),
    ],
)
def test_actions_that_are_none_of_the_space_are_named(name: str, action: Any, message: str) -> None:
    environment = environments.make(name, 2)
    state, _ = environment.reset(jax.random.key(0))
    with pytest.raises(InvalidInput, match=message):
        environment.step(jax.random.key(1), state, action)


@pytest.mark.parametrize("name", list(environments.REGISTRY))
@pytest.mark.parametrize("steps", [0, -3, 1.5, "9", False])
def test_max_episode_steps_must_be_none_or_a_positive_whole_number(name: str, steps: Any) -> None:
    with pytest.raises(InvalidInput, match=f"max_episode_steps must be None or .*{steps!r}"):
        environments.make(name, max_episode_steps=steps)
    assert environments.make(name, max_episode_steps=None).max_episode_steps is None


def test_no_environment_is_taken_for_another() -> None:
    """jaxlib compares what flax registers without its class; jit then runs one environment for another."""
    single = {name: environments.REGISTRY[name](max_episode_steps=7) for name in environments.REGISTRY}
    batches = {name: vectorise(environment, NUM_ENVS) for name, environment in single.items()}
    for made in (single, batches):
        structures = {name: jax.tree.structure(environment) for name, environment in made.items()}
        for one, other in itertools.combinations(structures, 2):
            if type(single[one]) is not type(single[other]):
                assert structures[one] != structures[other], (one, other)

    @struct.dataclass
    class Countup(Countdown):
        pass

    # Two of a user's own, registered by flax:
    assert jax.tree.structure(vectorise(Countdown(), 2)) != jax.tree.structure(vectorise(Countup(), 2))
    assert jax.tree.structure(vectorise(Countup(), 2)) == jax.tree.structure(vectorise(Countup(), 2))
    # And simulators, called in two ways:
    assert jax.tree.structure(HostEnvironment("a", 2)) != jax.tree.structure(FfiEnvironment("a", 2))


def test_environments_are_pytrees_that_compare_by_value() -> None:
    for make in (Acrobot, CartPole, Catch, MountainCar, MountainCarContinuous, Pendulum):
        one, other = jax.tree.structure(make()), jax.tree.structure(make())
        assert one == other
        assert hash(one) == hash(other)
        assert one != jax.tree.structure(make(max_episode_steps=3))


# Catch. A player who knows the state: under the ball that lands next, as fast as the paddle goes.


def play(environment: Catch, key: Key, steps: int) -> Any:
    """Time steps ``[T, B]`` of the player who catches what can be caught, from reset."""
    batch = vectorise(environment, 8)
    reset_key, key = jax.random.split(key)

    def one(carry: tuple[Any, Key], _: None) -> tuple[tuple[Any, Key], Any]:
        state, key = carry
        key, step_key = jax.random.split(key)
        inner = state.inner
        fallen = jax.vmap(environment.fallen)(inner.time)
        pending = jnp.where(fallen < environment.rows - 1, fallen, -jnp.inf)
        lowest = jnp.argmax(pending, axis=1)
        target = jnp.take_along_axis(inner.ball_column, lowest[:, None], axis=1)[:, 0]
        state, step = batch.step(step_key, state, 1 + jnp.sign(target - inner.paddle))
        return (state, key), step

    # The key is carried: keys as a scan's inputs, vmapped, are transposed, which the key-reuse checker
    # of jax 0.10 takes for a second use.
    return jax.lax.scan(one, (batch.reset(reset_key)[0], key), length=steps)[1]


@jax.jit
@jax.vmap
def play_all(members: Catch, keys: Key) -> Any:
    return play(members, keys, 60)


DIFFICULTIES = [
    {},
    {"rows": 5},
    {"rows": 8, "columns": 9},
    {"columns": 1},
    {"speed": 2},
    {"speed": 4.5},
    {"speed": 0.4},
    {"balls": 3},
    {"rows": 6, "columns": 4, "speed": 1.5, "balls": 4},
    {"noise": 0.3},
    {"rows": 7, "columns": 3, "speed": 0.75, "balls": 2, "noise": 0.5},
]
SIZES: dict[str, Any] = {"max_rows": 10, "max_columns": 9, "max_balls": 4}


def stack(*members: Catch) -> Catch:
    return jax.tree.map(lambda *knobs: jnp.stack([jnp.asarray(knob) for knob in knobs]), *members)


def expected_length(rows: int = 10, columns: int = 5, speed: float = 1, balls: int = 1, **_: Any) -> int:
    return int(np.ceil((rows - 1) / speed)) + (balls - 1) * max(columns - 1, 1)


@pytest.fixture(scope="module")
def games() -> Any:
    """The player's games at every difficulty, in one vmap ``[D, T, B]``."""
    members = stack(*(Catch(**knobs, **SIZES) for knobs in DIFFICULTIES))
    keys = jax.random.split(jax.random.key(2), len(DIFFICULTIES))
    return jax.device_get(play_all(members, keys))


@pytest.mark.parametrize("index", range(len(DIFFICULTIES)), ids=lambda i: str(DIFFICULTIES[i]))
def test_catch_is_won_by_optimal_play_at_every_difficulty(games: Any, index: int) -> None:
    """Episodes end with the last ball's landing, each ball pays its share, and all of them are caught."""
    knobs: dict[str, Any] = DIFFICULTIES[index]
    game, balls = jax.tree.map(lambda x: x[index], games), knobs.get("balls", 1)
    length = expected_length(**knobs)
    expected = np.arange(1, 61) % length == 0
    np.testing.assert_array_equal(game.terminated, expected[:, None].repeat(8, axis=1))
    np.testing.assert_array_equal(game.episode.episode_length[expected], length)
    np.testing.assert_allclose(game.episode.episode_return[expected], 1.0, rtol=1e-6)
    landings = [length - 1 - i * max(knobs.get("columns", 5) - 1, 1) for i in range(balls)]
    rewards = np.zeros(length)
    rewards[landings] = 1 / balls
    np.testing.assert_allclose(game.reward[:length], rewards[:, None].repeat(8, axis=1), rtol=1e-6)


def test_catch_alone_equals_itself_among_others(games: Any) -> None:
    """A difficulty has the same bits as data under vmap and as plain numbers, noise and all."""
    index = len(DIFFICULTIES) - 1
    member = Catch(**DIFFICULTIES[index], **SIZES)  # type: ignore[arg-type]
    key = jax.random.split(jax.random.key(2), len(DIFFICULTIES))[index]
    alone = jax.jit(lambda key: play(member, key, 60))(key)
    chex.assert_trees_all_equal(alone, jax.tree.map(lambda x: x[index], games))


@pytest.mark.parametrize("index", range(len(DIFFICULTIES)), ids=lambda i: str(DIFFICULTIES[i]))
def test_catch_board_lies_inside_the_largest(games: Any, index: int) -> None:
    knobs = DIFFICULTIES[index]
    rows, columns = int(knobs.get("rows", 10)), int(knobs.get("columns", 5))
    board = np.array(games.next_observation[index])
    assert board.shape == (60, 8, 10, 9)
    assert set(np.unique(board)) == {0.0, 1.0}
    assert np.any(board[..., :rows, :columns])
    board[..., :rows, :columns] = 0
    assert not np.any(board)
    if "noise" not in knobs:  # a paddle in the bottom row, and no more pixels than it and the balls
        seen = games.next_observation[index]
        assert np.all(np.any(seen[..., rows - 1, :], axis=-1))
        assert np.all(np.sum(seen, axis=(-2, -1)) <= 1 + knobs.get("balls", 1))


def test_catch_shows_its_balls_where_they_are() -> None:
    """By hand: two balls at 1.5 rows a step on a board of 6 rows and 3 columns, in a larger one."""
    environment = Catch(rows=6, columns=3, speed=1.5, balls=2, max_rows=7, max_columns=4, max_balls=3)
    state, _ = jax.jit(environment.reset)(jax.random.key(3))
    state = state.replace(ball_column=jnp.array([0, 2, 1]))  # type: ignore[attr-defined]
    # The first ball is 0, 1.5, 3, 4.5, then lands (6, so 5); the second follows 2 steps behind it.
    balls = [{(1, 0)}, {(3, 0), (0, 2)}, {(4, 0), (1, 2)}, {(5, 0), (3, 2)}, {(4, 2)}, {(5, 2)}]
    paddles, actions = [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 1]
    rewards = [0, 0, 0, 0.5, 0, -0.5]
    vectors = [
        [0, 0.3, 0, 1, 0, 0, 0],
        [0, 0.6, 0, 1, 0, 1, 1],
        [0, 0.9, 0, 1, 0.3, 1, 1],
        [0, 1.0, 0, 1, 0.6, 1, 1],
        [0.5, 0, 0, 0, 0.9, 1, 1],
        [0.5, 0, 0, 0, 1.0, 1, 1],
    ]
    as_vector = environment.replace(observation="vector")
    step, look = jax.jit(environment.step), jax.jit(as_vector.observe)
    keys = jax.random.split(jax.random.key(4), 2 * len(balls))
    for t in range(len(balls)):
        state, observation, reward, terminated = step(keys[2 * t], state, actions[t])
        board = np.zeros((7, 4))
        for row, column in {*balls[t], (5, paddles[t])}:
            board[row, column] = 1
        np.testing.assert_array_equal(observation, board)
        np.testing.assert_allclose(look(keys[2 * t + 1], state), [*vectors[t], 0, 0, 0], rtol=1e-6)
        assert reward == rewards[t]
        assert terminated == (t == 5)


CHANGES: list[dict[str, Any]] = [
    {"rows": 7},
    {"rows": 5},
    {"columns": 4},
    {"columns": 9},
    {"speed": 2},
    {"speed": 0.5},
    {"speed": 0.4},
    {"balls": 2},
    {"noise": 0.1},
]


@pytest.mark.parametrize("observation", ["pixels", "vector"])
def test_every_knob_of_catch_changes_something(observation: Any) -> None:
    """Played with the same keys, what is seen changes with each knob, and with each but noise and the
    width (all balls are caught) what is paid. A knob set to the value that it has changes nothing."""
    base = Catch(observation=observation, **SIZES)
    same = base.replace(rows=10, columns=5, speed=1, balls=1, noise=0)
    members = stack(base, same, *(base.replace(**change) for change in CHANGES))
    games = play_all(members, jax.random.split(jax.random.key(5), 1)[jnp.zeros(len(CHANGES) + 2, int)])
    usual, again, *changed = [jax.tree.map(lambda x, i=i: x[i], games) for i in range(len(CHANGES) + 2)]
    chex.assert_trees_all_equal(usual, again)
    for change, game in zip(CHANGES, changed, strict=True):
        assert not np.array_equal(usual.next_observation, game.next_observation), change
        assert np.array_equal(usual.reward, game.reward) == bool({"columns", "noise"} & {*change}), change


@pytest.mark.parametrize("observation", ["pixels", "vector"])
def test_catch_noise(observation: Any) -> None:
    """None at 0, to the bit; else as often, or as wide, as asked for, and new at each look."""
    clean = Catch(balls=2, observation=observation, max_rows=12, max_balls=4)
    state, exact = jax.jit(clean.reset)(jax.random.key(6))
    look = jax.jit(jax.vmap(lambda noise, key: clean.replace(noise=noise).observe(key, state), (None, 0)))
    keys = jax.random.split(jax.random.key(7), 1001)
    silent, noisy = look(0.0, keys[:1]), look(0.2, keys[1:])
    np.testing.assert_array_equal(silent[0], exact)
    change = np.asarray(noisy - exact)
    active = np.ones((10, 5)) if observation == "pixels" else np.array([1] * 7 + [0] * 6)
    active = np.pad(active, ((0, 2), (0, 0))) if observation == "pixels" else active
    assert not np.any(change[:, active == 0])
    if observation == "pixels":
        assert set(np.unique(noisy)) == {0.0, 1.0}
        np.testing.assert_allclose(np.mean(np.abs(change), axis=0)[active == 1], 0.2, atol=0.06)
    else:
        np.testing.assert_allclose(np.std(change, axis=0)[active == 1], 0.2, rtol=0.12)
        np.testing.assert_allclose(np.mean(change, axis=0), 0, atol=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 1}, "rows must be a whole number of at least 2, not 1"),
        ({"rows": 5.0}, "rows must be a whole number of at least 2, not 5.0"),
        ({"rows": "ten"}, "rows must be .*'ten'"),
        ({"rows": np.array([5, 0])}, "rows must be .*at least 2"),
        ({"columns": 0}, "columns must be a whole number of at least 1, not 0"),
        ({"balls": -2}, "balls must be a whole number of at least 1, not -2"),
        ({"balls": True}, "balls must be a whole number"),
        ({"speed": 0}, "speed must be a number above 0, not 0"),
        ({"speed": float("nan")}, "speed must be a number above 0, not nan"),
        ({"noise": -0.1}, "noise must be a number from 0 to 1, not -0.1"),
        ({"noise": 1.1}, "noise must be a number from 0 to 1, not 1.1"),
        ({"noise": -1, "observation": "vector"}, "noise must be a number of at least 0, not -1"),
        ({"rows": [5, 8]}, r"rows must be a whole number of at least 2, not \[5, 8\]"),
        ({"speed": None}, "speed must be a number above 0, not None"),
        ({"speed": True}, "speed must be a number above 0, not True"),
        ({"rows": 12, "max_rows": 10}, "rows must be at most max_rows, which is 10, not 12"),
        ({"max_columns": 2.5}, "max_columns must be None or a whole number of at least 1, not 2.5"),
        ({"observation": "image"}, "observation must be 'pixels' or 'vector', not 'image'"),
        ({"row": 5}, "Catch does not take .*row"),
    ],
)
def test_catch_rejects_what_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        environments.make("Catch", **options)
    assert "\n" not in str(error.value)


def test_catch_replaced_is_checked_and_rebuilt_is_not() -> None:
    environment = Catch(rows=8)
    with pytest.raises(InvalidInput, match="rows must be at most max_rows, which is 8"):
        environment.replace(rows=9)
    assert environment.replace(rows=7).sizes == (8, 5, 1)
    leaves, structure = jax.tree.flatten(environment)
    assert jax.tree.unflatten(structure, leaves) == environment
    for anything in (object(), None, 0, -1, "x"):
        assert jax.tree.map(lambda _, anything=anything: anything, environment).rows is anything
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(environment)]
    assert paths == [".rows", ".columns", ".speed", ".balls", ".noise"]


def test_catch_takes_axes_for_some_knobs_and_traced_ones() -> None:
    """Knobs mapped over and knobs held, as a tree of axes; and knobs known only to a trace."""
    environment = Catch(rows=jnp.array([5, 8, 10]))
    assert environment.sizes == (10, 5, 1)
    axes = jax.tree.map(lambda knob: 0 if jnp.ndim(knob) else None, environment)
    keys = jax.random.split(jax.random.key(8), 3)
    terminated = jax.jit(jax.vmap(lambda e, key: play(e, key, 10).terminated, (axes, 0)))(environment, keys)
    first_end = np.argmax(terminated[..., 0], axis=1) + 1
    np.testing.assert_array_equal(first_end, [4, 7, 9])
    with pytest.raises(InvalidInput, match="max_rows must be given where rows is traced"):
        jax.jit(lambda rows: Catch(rows=rows).reset(jax.random.key(9)))(5)
