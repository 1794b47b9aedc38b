"""MinAtar's Breakout and Asterix against the authors' package, step by step, and what chance does in them."""

from __future__ import annotations

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from minatar import Environment

import purejaxrl.environments as environments
from purejaxrl.environments import minatar_asterix, vectorise
from purejaxrl.environments.minatar_asterix import Asterix
from purejaxrl.environments.minatar_breakout import Breakout
from purejaxrl.types import InvalidInput

STEPS = 12_000


class Diary:
    """The package's random numbers, all as fractions, written down in the order in which it draws them."""

    def __init__(self, seed: int) -> None:
        self.numbers = np.random.RandomState(seed)
        self.drawn: list[float] = []

    def randint(self, below: int) -> int:
        self.drawn.append((self.numbers.randint(below) + 0.5) / below)
        return int(self.drawn[-1] * below)

    def rand(self) -> float:
        self.drawn.append(self.numbers.rand())
        return self.drawn[-1]

    def read(self) -> list[float]:
        drawn, self.drawn = self.drawn, []
        return drawn


def follow_the_ball(game: Any, ahead: bool) -> int:
    """Left, right or stay: under the ball, or where it goes next, for it to bounce off the paddle's edge."""
    aim = np.clip(2 * game.ball_x - game.last_x, 0, 9) if ahead and game.ball_y == 8 else game.ball_x
    return 1 if aim < game.pos else 3 if aim > game.pos else 0


def play_package(name: str, steps: int = STEPS, **options: Any) -> dict[str, np.ndarray]:
    """Play in the package, ``[T, …]``: what was done and drawn, and what came of it.

    Actions are random and stick; in Breakout every other 1000 steps follow the ball, so that walls come
    down. In Asterix most of the later games go on beyond their ends, and so grow hard.
    """
    rng, diary = np.random.RandomState(0), Diary(1)
    package = Environment(name, **options)
    package.random, package.env.random = np.random.RandomState(2), diary
    package.reset()
    first, begun = diary.read(), package.state()
    rows: list[dict[str, Any]] = []
    for t in range(steps):
        able = name == "breakout" and t // 1000 % 2 == 1
        package.sticky_action_prob = 0.0 if able else 0.1
        asked = follow_the_ball(package.env, rng.rand() < 0.3) if able else rng.randint(6)
        reward, terminal = package.act(asked)
        row: dict[str, Any] = {"asked": asked, "action": package.last_action, "reward": reward}
        row |= {"terminal": terminal, "observation": package.state(), "side": 0.0}
        row["draws"] = (diary.read() + [0.5] * 3)[:3]  # fewer where nothing comes, or all rows are taken
        row["begin"] = terminal and (name == "breakout" or t < steps // 3 or rng.rand() < 0.02)
        package.env.terminal = False
        if row["begin"]:
            package.reset()
            row["side"] = sum(diary.read())
        rows.append(row | {"next": package.state()})
    recorded = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    return recorded | {"first": np.array(first), "begun": begun}


def test_breakout_is_the_packages_step_by_step() -> None:
    recorded = play_package("breakout")
    game = Breakout()

    def step(state: Any, given: Any) -> tuple[Any, Any]:
        action, begin, side = given
        state, reward, terminated = game.transition(action, state)
        observation = game.observe(state)
        state = jax.tree.map(lambda a, b: jnp.where(begin, a, b), game.begin(side > 0.5), state)
        return state, (observation, reward, terminated, game.observe(state))

    state = game.begin(jnp.asarray(recorded["first"][0] > 0.5))
    np.testing.assert_array_equal(game.observe(state), recorded["begun"])
    given = tuple(jnp.asarray(recorded[key]) for key in ("action", "begin", "side"))
    ours = jax.jit(lambda state, given: jax.lax.scan(step, state, given)[1])(state, given)
    for array, key in zip(ours, ("observation", "reward", "terminal", "next"), strict=True):
        np.testing.assert_array_equal(array, recorded[key], err_msg=key)
    bricks = recorded["observation"][..., 3].sum((1, 2))
    assert np.sum((bricks[1:] == 30) & (bricks[:-1] == 0)) >= 2  # walls that came down and were built anew
    assert recorded["terminal"].sum() > 500
    assert 0.01 < np.mean(recorded["action"] != recorded["asked"]) < 0.1


def test_breakout_is_the_packages_from_any_state() -> None:
    """Two steps from random boards, with gaps between bricks in which a ball bounces from one to the next."""
    rng, number, package = np.random.RandomState(3), 3000, Environment("breakout", sticky_action_prob=0.0)
    row, column, paddle = rng.randint(0, 9, number), rng.randint(0, 10, number), rng.randint(0, 10, number)
    down, right = rng.rand(number) < 0.5, rng.rand(number) < 0.5
    bricks = rng.rand(number, 3, 10) < 0.6
    under = (row > 0) & (row < 4)
    bricks[under, row[under] - 1, column[under]] = False  # where the ball is there is none
    struck, actions = rng.rand(number) < 0.3, rng.randint(0, 6, (2, number))
    game = Breakout()
    begun = game.begin(jnp.bool_(False))
    given = {"row": row, "column": column, "paddle": paddle, "last_row": row, "last_column": column}
    given |= {"down": down, "right": right, "bricks": bricks, "struck": struck}
    states = jax.vmap(lambda changes: dataclasses.replace(begun, **changes))(jax.tree.map(jnp.asarray, given))
    ours = []
    for action in actions:
        states, *answer = jax.jit(jax.vmap(game.transition))(jnp.asarray(action), states)
        ours.append(jax.device_get((jax.vmap(game.observe)(states), *answer, states.struck)))
    for i in range(number):
        package.reset()
        board = np.zeros((10, 10))
        board[1:4] = bricks[i]
        package.env.brick_map, package.env.strike = board, bool(struck[i])
        package.env.ball_y, package.env.ball_x, package.env.pos = row[i], column[i], paddle[i]
        package.env.ball_dir = (2 if right[i] else 3) if down[i] else (1 if right[i] else 0)
        for action, (observation, reward, terminated, strike) in zip(actions[:, i], ours, strict=True):
            assert package.act(action) == (reward[i], terminated[i])
            np.testing.assert_array_equal(observation[i], package.state())
            assert strike[i] == package.env.strike
            if terminated[i]:
                break
    assert np.sum(ours[0][-1] & ours[1][-1]) > 100


@pytest.mark.parametrize("ramping", [True, False])
def test_asterix_is_the_packages_step_by_step(ramping: bool) -> None:
    recorded = play_package("asterix", difficulty_ramping=ramping)
    game = Asterix(difficulty_ramping=ramping)

    def step(state: Any, given: Any) -> tuple[Any, Any]:
        draws, action, begin = given
        state, reward, terminated = game.transition(minatar_asterix.decide(draws), state, action)
        observation = game.observe(state)
        state = jax.tree.map(lambda a, b: jnp.where(begin, a, b), game.begin(), state)
        return state, (observation, reward, terminated, game.observe(state), state.spawn_every)

    draws = jnp.asarray(recorded["draws"], jnp.float32)
    given = (draws, jnp.asarray(recorded["action"]), jnp.asarray(recorded["begin"]))
    run = jax.jit(lambda given: jax.lax.scan(step, game.begin(), given)[1])
    *ours, spawn_every = run(given)
    for array, key in zip(ours, ("observation", "reward", "terminal", "next"), strict=True):
        np.testing.assert_array_equal(array, recorded[key], err_msg=key)
    np.testing.assert_array_equal(np.unique(spawn_every), np.arange(1, 11) if ramping else [10])
    assert recorded["terminal"].sum() > 100
    assert recorded["reward"].sum() > 50


def test_asterix_is_the_packages_from_any_state() -> None:
    """A step from crowded boards, with every timer about to run out or not, as no play has them together."""
    rng, number, package = np.random.RandomState(4), 3000, Environment("asterix", sticky_action_prob=0.0)
    package.env.random = diary = Diary(5)
    given: dict[str, Any] = {
        name: rng.randint(low, high, number)
        for name, low, high in (
            ("row", 1, 9),
            ("column", 0, 10),
            ("spawn_timer", 0, 3),
            ("move_timer", 0, 3),
            ("ramp_timer", -1, 2),
            ("spawn_every", 1, 4),
            ("move_every", 1, 4),
            ("ramps", 0, 12),
        )
    }
    given["column_of"] = rng.randint(0, 10, (number, 8))
    for name, share in (("there", 0.7), ("right", 0.5), ("gold", 0.5)):
        given[name] = rng.rand(number, 8) < share
    given["there"][:100] = True  # no row is free
    game, actions, rows = Asterix(), rng.randint(0, 6, number), []
    names = {"player_y": "row", "player_x": "column", "spawn_timer": "spawn_timer", "ramp_index": "ramps"}
    names |= {"move_timer": "move_timer", "ramp_timer": "ramp_timer", "spawn_speed": "spawn_every"}
    names["move_speed"] = "move_every"
    for i in range(number):
        package.reset()
        for theirs, ours in names.items():
            setattr(package.env, theirs, int(given[ours][i]))
        columns = zip(
            *(given[name][i].tolist() for name in ("there", "column_of", "right", "gold")), strict=True
        )
        package.env.entities = [
            [column, slot + 1, right, gold] if there else None
            for slot, (there, column, right, gold) in enumerate(columns)
        ]
        reward, terminated = package.act(actions[i])
        after = [getattr(package.env, theirs) for theirs in names]
        rows.append(((diary.read() + [0.5] * 3)[:3], package.state(), reward, terminated, after))
    draws, *expected = (np.array(column) for column in zip(*rows, strict=True))

    @jax.jit
    @jax.vmap
    def step(changes: Any, numbers: jax.Array, action: jax.Array) -> Any:
        state = dataclasses.replace(game.begin(), **changes)
        state, reward, terminated = game.transition(minatar_asterix.decide(numbers), state, action)
        after = jnp.stack([getattr(state, ours) for ours in names.values()])
        return game.observe(state), reward, terminated, after

    ours = step(jax.tree.map(jnp.asarray, given), jnp.asarray(draws, jnp.float32), jnp.asarray(actions))
    for array, theirs in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(array, theirs)
    assert expected[1].sum() > 100
    assert expected[2].sum() > 100


def many_keys(number: int = 20_000) -> jax.Array:
    return jax.random.split(jax.random.key(6), number)


def check_shares(counts: Any, shares: Any) -> None:
    """Whether counts are those of independent draws with such shares: none is 4.5 standard errors off."""
    counts, shares = np.asarray(counts), np.asarray(shares)
    error = (counts - counts.sum() * shares) / np.sqrt(counts.sum() * shares * (1 - shares))
    assert np.all(np.abs(error) < 4.5), (counts, shares)


def test_what_comes_in_asterix_is_drawn_as_the_paper_says() -> None:
    """Side, gold and row of 20 000 things that come where three rows are taken, all independent."""
    game = Asterix()
    taken = jnp.array([False, True, False, False, True, True, False, False])
    state = dataclasses.replace(game.begin(), spawn_timer=jnp.int32(0), there=taken, right=taken)
    step = jax.jit(jax.vmap(lambda key: game.step(key, state, jnp.int32(0))[0]))
    after = step(many_keys())
    came = np.asarray(after.there & ~taken)
    assert np.all(came.sum(1) == 1)
    row = came.argmax(1)
    pick = np.arange(len(row)), row
    right, gold = np.asarray(after.right)[pick], np.asarray(after.gold)[pick]
    np.testing.assert_array_equal(np.asarray(after.column_of)[pick], np.where(right, 0, 9))
    counts = [[np.sum((row == r) & (right == s) & gold) for s in (0, 1)] for r in (0, 2, 3, 6, 7)]
    dull = [[np.sum((row == r) & (right == s) & ~gold) for s in (0, 1)] for r in (0, 2, 3, 6, 7)]
    check_shares(np.ravel([counts, dull]), np.repeat([1 / 30, 2 / 30], 10))


def test_games_are_the_packages_unless_told() -> None:
    for game, name in ((Breakout(), "breakout"), (Asterix(), "asterix")):
        assert game.sticky_action_probability == Environment(name).sticky_action_prob == 0.1
        assert game.max_episode_steps is None
        assert game.action_space.n == Environment(name).num_actions()
        assert environments.make(f"MinAtar-{name.capitalize()}").max_episode_steps is None


def test_what_sticks_in_asterix_says_nothing_of_what_comes() -> None:
    """Of things that come in each of the 8 rows, as many come in a step whose action stuck."""
    game = Asterix(sticky_action_probability=0.5)
    state = dataclasses.replace(game.begin(), spawn_timer=jnp.int32(0), action=jnp.int32(1))
    keys = jax.random.split(jax.random.key(0), 8000)
    after = jax.jit(jax.vmap(lambda key: game.step(key, state, jnp.int32(3))[0]))(keys)
    stuck, row = np.asarray(after.column < state.column), np.argmax(after.there, axis=1)
    assert np.all(np.sum(after.there, axis=1) == 1)
    shares = np.array([stuck[row == slot].mean() for slot in range(8)])
    assert np.all(np.abs(shares - 0.5) < 0.08)  # five standard deviations of a thousand


def test_nothing_comes_where_all_rows_are_taken_and_any_draw_finds_a_free_one() -> None:
    free = jnp.array([True, False, True])
    for draw, expected in ((0.0, 0), (0.499, 0), (0.501, 2), (1.0, 2)):
        np.testing.assert_array_equal(
            minatar_asterix.chosen(free, jnp.float32(draw)), np.arange(3) == expected
        )
    assert not np.any(minatar_asterix.chosen(jnp.zeros(3, bool), jnp.float32(0.3)))


def test_breakout_begins_on_either_side() -> None:
    begun, _ = jax.jit(jax.vmap(Breakout().reset))(many_keys())
    check_shares(np.bincount(np.asarray(begun.right)), [0.5, 0.5])
    np.testing.assert_array_equal(begun.column, np.where(begun.right, 0, 9))


@pytest.mark.parametrize("make", [Breakout, Asterix])
def test_actions_stick_with_the_probabilities_of_several_members(make: Any) -> None:
    """Three probabilities in one program; the action carried out, old or new, moves the player."""
    members = jax.tree.map(
        lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]),
        *(make(sticky_action_probability=p) for p in (0.0, 0.1, 0.6)),
    )

    @jax.jit
    @jax.vmap
    def run(game: Any) -> Any:
        begun = dataclasses.replace(game.reset(jax.random.key(0))[0], action=jnp.int32(1))
        return jax.vmap(lambda key: game.step(key, begun, jnp.int32(3))[0])(many_keys())

    after = run(members)
    place = np.asarray(after.paddle if make is Breakout else after.column)
    stuck = np.asarray(after.action) == 1
    start = 4 if make is Breakout else 5
    np.testing.assert_array_equal(place, np.where(stuck, start - 1, start + 1))
    assert not stuck[0].any()
    for row, probability in zip(stuck[1:], (0.1, 0.6), strict=True):
        check_shares(np.bincount(row), [1 - probability, probability])
    assert np.all(np.asarray(make().reset(jax.random.key(0))[0].action) == 0)


@pytest.mark.parametrize(("name", "minimal"), [("breakout", [0, 1, 3]), ("asterix", [0, 1, 2, 3, 4])])
def test_minimal_actions_are_the_packages(name: str, minimal: list[int]) -> None:
    assert Environment(name).minimal_action_set() == minimal
    full, few = (
        environments.make(f"MinAtar-{name.title()}", actions=actions, sticky_action_probability=0.0)
        for actions in ("full", "minimal")
    )
    assert (full.action_space.n, few.action_space.n) == (6, len(minimal))  # type: ignore[attr-defined]
    state, _ = full.reset(jax.random.key(0))
    one, other = jax.jit(full.step), jax.jit(few.step)
    for number, action in enumerate(minimal):
        expected = one(jax.random.key(1), state, jnp.array([action]))
        chex.assert_trees_all_equal(other(jax.random.key(1), state, jnp.array([number])), expected)


@pytest.mark.parametrize("make", [Breakout, Asterix])
def test_a_member_of_a_batch_plays_as_it_does_alone(make: Any) -> None:
    batch = vectorise(make(), 4)
    actions = jax.random.randint(jax.random.key(0), (200, 4), 0, 6)
    keys = jax.random.split(jax.random.key(1), 200)
    run = jax.jit(lambda state: jax.lax.scan(lambda s, x: batch.step(x[0], s, x[1]), state, (keys, actions)))
    state, _ = batch.reset(jax.random.key(2))
    _, steps = run(state)
    assert steps.terminated.any()
    alone = jax.jit(make().step)
    inner = jax.tree.map(lambda leaf: leaf[1], state.inner)
    for t in range(int(np.argmax(steps.ended[:, 1])) + 1):
        key = jax.random.fold_in(keys[t], 1)
        inner, observation, reward, terminated = alone(key, inner, actions[t, 1])
        np.testing.assert_array_equal(observation, steps.next_observation[t, 1])
        assert (reward, terminated) == (steps.reward[t, 1], steps.terminated[t, 1])


@pytest.mark.parametrize("name", ["MinAtar-Breakout", "MinAtar-Asterix"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actions": "all"}, "actions must be 'full' or 'minimal', not 'all'"),
        (
            {"sticky_action_probability": 1.5},
            "sticky_action_probability must be a number from 0 to 1, not 1.5",
        ),
        (
            {"sticky_action_probability": "often"},
            "sticky_action_probability must be a number .*, not 'often'",
        ),
        ({"difficulty_ramping": 2}, "difficulty_ramping"),
        ({"max_episode_steps": 0}, "max_episode_steps must be None or a whole number of at least 1, not 0"),
    ],
)
def test_bad_options_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        environments.make(name, **options)
