"""Wrappers: by hand, against gymnasium's, at the ends of episodes, and around simulators on the host."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import chex
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wrapper_cases import ALL, HASTE, STEPS, Tale, episodes, play, scaled, some_actions, wrapped

import purejaxrl.environments as environments
from purejaxrl.environments import options, vectorise
from purejaxrl.environments.action_repeat import RepeatedActions
from purejaxrl.environments.base import begin_episodes
from purejaxrl.environments.cartpole import CartPole
from purejaxrl.environments.frame_stack import FrameStack
from purejaxrl.environments.normalisation import NormaliseObservation, NormaliseReward, add, no_statistics
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.environments.wrappers import ClipReward, Flicker, StickyActions
from purejaxrl.types import Array, InvalidInput, Key, TimeStep

Box = gymnasium.spaces.Box


class Tape(gymnasium.Env[Any, Any]):
    """The first of a batch of our environments once more, for gymnasium's wrappers to wrap."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, space: Any, first: np.ndarray, steps: TimeStep) -> None:
        self.first, self.steps, self.time = first, steps, 0
        self.observation_space, self.action_space = space, gymnasium.spaces.Discrete(5)
        self.actions: list[Any] = []

    def reset(self, **_: Any) -> Any:
        return (self.steps.observation[self.time - 1] if self.time else self.first)[0], {}

    def step(self, action: Any) -> Any:
        self.actions.append(action)
        names = ("next_observation", "reward", "terminated", "truncated")
        answer = [getattr(self.steps, name)[self.time, 0] for name in names]
        self.time += 1
        return *answer, {}


def replayed(tale: Any, wrap: Any, actions: np.ndarray) -> tuple[list[Any], list[Any], list[Any]]:
    """What gymnasium's wrapper shows of the episodes of ``tale``: observations, successors, rewards."""
    first, steps = play(vectorise(tale, 1), actions)
    env = wrap(Tape(tale.observation_space, first, steps))
    shown, successors, rewards = [env.reset()[0]], [], []
    for action in actions[:, 0]:
        successor, reward, terminated, truncated, _ = env.step(action)
        successors.append(successor)
        rewards.append(reward)
        shown.append(env.reset()[0] if terminated or truncated else successor)
    return shown, successors, rewards


# Frames


def test_a_stack_of_frames_by_hand() -> None:
    """Two frames over episodes of three steps: the last successor is the old one's."""
    actions = np.array([[1, 4], [2, 3], [3, 2], [4, 1]])
    first, steps = play(wrapped(Tale(), frame_stack=2), actions)
    for i in range(2):
        tag, new = first[i, 0], steps.observation[2, i, 0]
        a = actions[:, i]
        np.testing.assert_array_equal(first[i], [tag, 0, 0] * 2)
        np.testing.assert_array_equal(steps.observation[0, i], [tag, 0, 0, tag, 1, a[0]])
        np.testing.assert_array_equal(steps.observation[1, i], [tag, 1, a[0], tag, 2, a[1]])
        np.testing.assert_array_equal(steps.next_observation[2, i], [tag, 2, a[1], tag, 3, a[2]])
        np.testing.assert_array_equal(steps.observation[2, i], [new, 0, 0] * 2)
        np.testing.assert_array_equal(steps.observation[3, i], [new, 0, 0, new, 1, a[3]])
        np.testing.assert_array_equal(steps.next_observation[3, i], steps.observation[3, i])


def test_actions_between_frames_by_hand() -> None:
    actions = np.array([[1], [2], [3], [4]])
    first, steps = play(wrapped(Tale(), 1, frame_stack=3, stack_actions=True), actions)
    one = np.eye(5)
    tag, new = first[0, 0], steps.observation[2, 0, 0]

    def frame(tag: float, time: int) -> list[float]:
        return [tag, time, actions[time - 1, 0] if time else 0]

    none = [0] * 5
    np.testing.assert_array_equal(first[0], [*frame(tag, 0), *none, *frame(tag, 0), *none, *frame(tag, 0)])
    expected = [*frame(tag, 0), *none, *frame(tag, 0), *one[1], *frame(tag, 1)]
    np.testing.assert_array_equal(steps.observation[0, 0], expected)
    expected = [*frame(tag, 1), *one[2], *frame(tag, 2), *one[3], *frame(tag, 3)]
    np.testing.assert_array_equal(steps.next_observation[2, 0], expected)
    np.testing.assert_array_equal(steps.observation[2, 0], [*[new, 0, 0, *none] * 2, new, 0, 0])
    expected = [new, 0, 0, *none, new, 0, 0, *one[4], new, 1, 4]
    np.testing.assert_array_equal(steps.observation[3, 0], expected)


@pytest.mark.parametrize(("view", "limit"), [("vector", None), ("board", 2), ("image", 2)])
def test_a_stack_of_frames_is_gymnasiums(view: str, limit: int | None) -> None:
    """Also where episodes are truncated."""
    tale, actions = Tale(view=view, max_episode_steps=limit), some_actions(1)
    first, steps = play(wrapped(tale, 1, frame_stack=4), actions)
    stack = gymnasium.wrappers.FrameStackObservation
    shown, successors, _ = replayed(tale, lambda env: stack(env, 4), actions)
    ours = [first[0], *steps.observation[:, 0]]

    def along_the_last(frames_first: np.ndarray) -> np.ndarray:
        joined = [frame if view != "board" else frame[..., None] for frame in frames_first]
        return np.concatenate(joined, axis=-1)

    np.testing.assert_array_equal(ours, [along_the_last(each) for each in shown])
    np.testing.assert_array_equal(steps.next_observation[:, 0], [along_the_last(each) for each in successors])
    np.testing.assert_array_equal(steps.truncated.any(), limit is not None)


@pytest.mark.parametrize(
    ("view", "number", "shape"),
    [
        ("vector", np.float32, (3 * 3 + 2 * 5,)),
        ("board", np.uint8, (3, 1, 3 + 2 * 5)),
        ("image", np.uint8, (1, 3, 3 * 2 + 2 * 5)),
    ],
)
def test_stacked_spaces_hold_what_is_shown(view: str, number: Any, shape: tuple[int, ...]) -> None:
    environment = wrapped(Tale(view=view, number=number), frame_stack=3, stack_actions=True)
    space = environment.observation_space
    assert (space.shape, space.dtype) == (shape, number)
    first, steps = play(environment, some_actions(2))
    for observation in (*first, *steps.next_observation[:, 0], *steps.observation[:, 1]):
        assert space.contains(observation)
    if number == np.uint8:  # the newest action's planes: 255 in one of them, all over the picture
        channels = {"board": 1, "image": 2}[view]
        planes = steps.next_observation[:, 0][..., -5 - channels : -channels]
        assert set(np.unique(planes)) == {0, 255}
        np.testing.assert_array_equal(planes[:, 0, 0].argmax(-1), some_actions(2)[:, 0])
        np.testing.assert_array_equal(planes, np.broadcast_to(planes[:, :1, :1], planes.shape))


def test_stacks_of_bits_and_of_continuous_actions() -> None:
    game = environments.make("MinAtar-Asterix", 2, frame_stack=2, stack_actions=True)
    assert game.observation_space == gymnasium.spaces.MultiBinary((10, 10, 4 + 6 + 4))
    _, steps = play(game, some_actions(2))
    assert steps.observation.dtype == np.int8
    np.testing.assert_array_equal(steps.next_observation[..., 4:10].sum(-1), 1)
    pendulum = environments.make("Pendulum-v1", 2, frame_stack=2, stack_actions=True)
    assert pendulum.observation_space.shape == (3 + 1 + 3,)
    actions = np.random.default_rng(0).uniform(-2, 2, (5, 2, 1)).astype(np.float32)
    _, steps = play(pendulum, actions)
    np.testing.assert_array_equal(steps.next_observation[..., 3:4], actions)
    np.testing.assert_array_equal(steps.next_observation[1:, :, :3], steps.next_observation[:-1, :, 4:])


# Actions


def test_sticky_actions_repeat_the_action_carried_out() -> None:
    """Each step carries out its own action or the last step's; an episode's first one always its own."""
    actions = some_actions(2000, 12)
    _, steps = play(wrapped(Tale(length=4), 2000, sticky_actions=0.25), actions)
    done = steps.next_observation[..., 2]
    fresh = steps.next_observation[..., 1] == 1
    np.testing.assert_array_equal(done[fresh], actions[fresh])
    own, last = done[1:] == actions[1:], done[1:] == done[:-1]
    assert np.all(own | last | fresh[1:])
    decided = ~fresh[1:] & (actions[1:] != done[:-1])
    assert abs(np.mean(~own[decided]) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / decided.sum())
    np.testing.assert_array_equal(steps.reward, 10 * steps.next_observation[..., 1] + done)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_sticky_actions_are_gymnasiums(probability: float) -> None:
    actions = some_actions(1)
    tale = Tale(length=7)
    _, steps = play(wrapped(tale, 1, sticky_actions=probability), actions)
    first, raw = play(vectorise(tale, 1), actions)
    tape = Tape(tale.observation_space, first, raw)
    env = gymnasium.wrappers.StickyAction(tape, min(probability, 1 - 1e-9))
    env.reset(seed=0)
    for action in actions[:, 0]:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    np.testing.assert_array_equal(steps.next_observation[:, 0, 2], tape.actions)


def test_two_sticky_probabilities_in_one_program() -> None:
    batch = vectorise(Tale(length=4), 500)
    members = [StickyActions(batch, probability) for probability in (0.0, 0.9)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *members)
    actions = some_actions(500, 8)
    keys = jax.random.split(jax.random.key(0), 2)
    _, steps = jax.jit(jax.vmap(episodes, in_axes=(0, 0, None)), compiler_options=HASTE)(
        stacked, keys, jnp.asarray(actions)
    )
    differs = np.asarray(steps.next_observation[..., 2] != actions).mean((1, 2))
    assert differs[0] == 0
    assert (
        abs(differs[1] - 0.9 * 0.8 * 0.75) < 0.03
    )  # not in the first of four steps, nor where they are equal
    assert not np.array_equal(steps.observation[0, ..., 0], steps.observation[1, ..., 0])


@pytest.mark.parametrize("limit", [None, 5, 4, 7])
def test_repeated_actions_stop_at_the_end_of_the_episode(limit: int | None) -> None:
    """By hand: an episode of 8 steps in threes, or of fewer where the limit comes first."""
    environment = wrapped(Tale(length=8, max_episode_steps=limit), action_repeat=3)
    actions = some_actions(2)
    first, steps = play(environment, actions)
    last = 8 if limit is None else limit
    assert environment.max_episode_steps == (None if limit is None else -(-limit // 3))
    per_episode = -(-last // 3)
    for i in range(2):
        tag, total = first[i, 0], 0.0
        for t in range(STEPS):
            place = t % per_episode
            times = range(3 * place + 1, min(3 * place + 3, last) + 1)
            reward = sum(10 * time + actions[t, i] for time in times)
            total = reward if place == 0 else total + reward
            assert steps.reward[t, i] == reward
            np.testing.assert_array_equal(steps.next_observation[t, i], [tag, times[-1], actions[t, i]])
            ends = place == per_episode - 1
            assert steps.terminated[t, i] == (ends and limit is None)
            assert steps.truncated[t, i] == (ends and limit is not None)
            assert steps.episode.episode_return[t, i] == total
            assert steps.episode.episode_length[t, i] == place + 1
            if ends:
                tag = steps.observation[t, i, 0]
                np.testing.assert_array_equal(steps.observation[t, i], [tag, 0, 0])


def test_a_repeat_that_ends_before_the_limit_is_not_cut_off() -> None:
    """After 4 steps, in the second of three; 5 would be the limit, which lies in the same three."""
    environment = wrapped(Tale(length=4, max_episode_steps=5), action_repeat=3)
    _, steps = play(environment, some_actions(2))
    assert environment.max_episode_steps == 2
    np.testing.assert_array_equal(steps.terminated[:4], [[False] * 2, [True] * 2] * 2)
    assert not steps.truncated.any()
    _, steps = play(wrapped(Tale(length=5, max_episode_steps=5), action_repeat=3), some_actions(2))
    np.testing.assert_array_equal(steps.truncated, steps.terminated)  # both at once, as without repeats


@with_knobs()
class Dice:
    """Pays what is thrown."""

    max_episode_steps: int | None = None
    observation_space = gymnasium.spaces.Box(0, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(5)

    def reset(self, key: Key) -> tuple[Array, Array]:
        return jnp.zeros(1), jnp.zeros(1)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        thrown = jax.random.uniform(key, (1,))
        return thrown, thrown, thrown[0], jnp.bool_(False)


def test_chance_is_drawn_anew_for_each_repeat() -> None:
    _, steps = play(environments.wrap(vectorise(Dice(), 2), action_repeat=2), some_actions(2))
    before = steps.reward - steps.next_observation[..., 0]  # what was thrown first
    assert np.all((before >= 0) & (before <= 1))
    assert np.abs(before - steps.next_observation[..., 0]).min() > 1e-4


def test_what_sticks_is_drawn_apart_from_what_happens() -> None:
    class Told:
        """Shows the key that it was given, and the action that was carried out."""

        num_envs, max_episode_steps = 50, None
        observation_space, action_space = gymnasium.spaces.Box(0, 9, (1,)), gymnasium.spaces.Discrete(5)

        def reset(self, key: Key) -> Any:
            return jnp.int32(0), jnp.zeros((50, 1))

        def step(self, key: Key, state: Array, action: Array) -> Any:
            no = jnp.zeros(50, bool)
            draws = jax.random.uniform(key, (50,))
            return state, TimeStep(draws, jnp.float32(action), no, no, draws, begin_episodes(50), no)

    environment: Any = StickyActions(Told(), 0.5)
    state, _ = environment.reset(jax.random.key(0))
    state, _ = environment.step(jax.random.key(1), state, jnp.zeros(50, jnp.int32))
    agree = []
    for t in range(1, 5):
        state, steps = environment.step(jax.random.key(1 + t), state, jnp.full(50, t))
        agree.append(np.mean((steps.reward != t) == (steps.observation < 0.5)))
    assert max(agree) < 0.8
    assert min(agree) > 0.2


def test_one_repeat_is_the_environment_itself() -> None:
    actions = some_actions(2)
    chex.assert_trees_all_equal(
        play(vectorise(RepeatedActions(Tale(), 1), 2), actions), play(vectorise(Tale(), 2), actions)
    )


# Observations and rewards


def test_flicker_blanks_whole_observations() -> None:
    environment = wrapped(Tale(length=4), 1000, flicker=0.3)
    first, steps = play(environment, some_actions(1000, 12))
    everything = np.concatenate([first[None], steps.next_observation])
    blank: Any = ~everything.any(-1)
    assert np.all((everything[..., 0] >= 20) | blank)  # the tag tells a blank one
    assert abs(blank[1:].mean() - 0.3) < 4 * np.sqrt(0.21 / blank[1:].size)
    assert abs(blank[0].mean() - 0.3) < 4 * np.sqrt(0.21 / 1000)
    going = ~steps.ended
    np.testing.assert_array_equal(steps.observation[going], steps.next_observation[going])
    gone, new = (~each[steps.ended].any(-1) for each in (steps.next_observation, steps.observation))
    assert abs(new.mean() - 0.3) < 0.05
    assert abs(np.mean(gone & new) - 0.09) < 0.04  # two draws, where one episode ends and another begins
    assert 0 in environment.observation_space.low


def test_running_statistics_are_those_of_all_rows() -> None:
    """Against numpy, in float64, for batches of unequal weights, none at all among them; far from 0, too."""
    rng = np.random.default_rng(0)
    batches = rng.normal([1000.0, 0.0, -3.0], [0.5, 1e-3, 40.0], (50, 4, 3)).astype(np.float32)
    weights = rng.integers(0, 2, (50, 4))
    weights[7] = 0
    added = no_statistics((3,), "observation")
    step = jax.jit(add)
    for batch, weight in zip(batches, weights, strict=True):
        added = step(added, batch, weight)
    rows = batches[weights == 1].astype(np.float64)
    assert added.count == len(rows)
    np.testing.assert_allclose(added.mean, rows.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(added.variance, rows.var(0), rtol=1e-3)
    many = dataclasses.replace(added, count=jnp.float32(2**24))  # float32 counts no further one by one
    after = jax.lax.fori_loop(0, 1000, lambda _, s: step(s, batches[0][:1], jnp.ones(1)), many)
    assert np.all(np.asarray(after.variance) <= np.asarray(many.variance) * 1.01)


def test_normalised_observations_are_gymnasiums() -> None:
    tale, actions = Tale(length=9), some_actions(1, 60)
    _, steps = play(wrapped(tale, 1, normalise_observation=True, observation_limit=1e6), actions)
    shown, successors, _ = replayed(tale, gymnasium.wrappers.NormalizeObservation, actions)
    later = slice(20, None)  # gymnasium begins with a ten thousandth of an observation
    np.testing.assert_allclose(steps.observation[later, 0], shown[1:][later], rtol=2e-3, atol=2e-3)
    going = ~steps.ended[later, 0]
    expected = np.array(successors[later])[going]
    np.testing.assert_allclose(steps.next_observation[later, 0][going], expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("limit", [None, 2])
def test_normalised_observations_by_numpy(limit: int | None) -> None:
    """Every observation counts once; an ended episode's last is normalised as the next one's first."""
    tale, actions = Tale(max_episode_steps=limit), some_actions(3)
    first, steps = play(wrapped(tale, 3, normalise_observation=True, observation_limit=1.5), actions)
    raw_first, raw = play(vectorise(tale, 3), actions)
    seen = [*raw_first]
    np.testing.assert_allclose(first, np.clip(scaled(raw_first, seen), -1.5, 1.5), atol=2e-5)
    for t in range(STEPS):
        seen += [*raw.next_observation[t], *raw.observation[t][raw.ended[t]]]
        for ours, theirs in (
            (steps.observation, raw.observation),
            (steps.next_observation, raw.next_observation),
        ):
            np.testing.assert_allclose(ours[t], np.clip(scaled(theirs[t], seen), -1.5, 1.5), atol=1e-3)
    assert np.abs(steps.observation).max() == 1.5
    np.testing.assert_array_equal(steps.reward, raw.reward)


def test_normalised_rewards_by_numpy() -> None:
    """Divided by the deviation of discounted sums, which begin anew with each episode; statistics are raw."""
    tale, actions = Tale(), some_actions(3)
    given = {"normalise_reward": True, "reward_discount": 0.9, "reward_limit": 2.0}
    _, steps = play(wrapped(tale, 3, **given), actions)
    _, raw = play(vectorise(tale, 3), actions)
    totals, total = [], np.zeros(3)
    for t in range(STEPS):
        total = 0.9 * total + raw.reward[t]
        totals += [*total]
        expected = np.clip(raw.reward[t] / np.sqrt(np.var(totals) + 1e-8), -2, 2)
        np.testing.assert_allclose(steps.reward[t], expected, rtol=1e-4)
        total = np.where(raw.ended[t], 0.0, total)
    assert steps.reward.max() == 2.0
    chex.assert_trees_all_equal(steps.episode, raw.episode)


def test_normalised_rewards_are_gymnasiums() -> None:
    """Within an episode: beyond its end gymnasium's sum goes on where no return does."""
    tale, actions = Tale(length=40), some_actions(1, 39)
    given = {"normalise_reward": True, "reward_limit": 1e6}
    _, steps = play(wrapped(tale, 1, **given), actions)
    _, _, rewards = replayed(tale, gymnasium.wrappers.NormalizeReward, actions)
    np.testing.assert_allclose(steps.reward[10:, 0], np.ravel(rewards)[10:], rtol=1e-3)


@with_knobs()
class Gain:
    """Pays the action less 2, halved."""

    max_episode_steps: int | None = 6
    observation_space: ClassVar[Any] = Box(0, 1, (1,))
    action_space: ClassVar[Any] = gymnasium.spaces.Discrete(9)

    def reset(self, key: Key) -> tuple[Array, Array]:
        return jnp.int32(0), jnp.zeros(1)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        return state, jnp.zeros(1), (action - 2) / 2.0, jnp.bool_(False)


GAIN: Any = Gain()


def test_clipped_rewards() -> None:
    actions = some_actions(1, below=9)
    raw = (actions - 2) / 2
    for given, expected in (
        (True, np.clip(raw, -1, 1)),
        ("range", np.clip(raw, -1, 1)),
        ("sign", np.sign(raw)),
    ):
        _, steps = play(environments.wrap(vectorise(GAIN, 1), clip_reward=given), actions)
        np.testing.assert_array_equal(steps.reward, expected)
        np.testing.assert_array_equal(steps.episode.episode_return[:6, 0], np.cumsum(raw[:6, 0]))
    first, plain = play(vectorise(GAIN, 1), actions)
    env = gymnasium.wrappers.ClipReward(Tape(GAIN.observation_space, first, plain), -1, 1)
    np.testing.assert_array_equal(
        [env.step(action)[1] for action in actions[:, 0]], np.clip(raw, -1, 1)[:, 0]
    )


# All together


def layers(environment: Any) -> list[str]:
    names = [type(environment).__name__]
    while hasattr(environment, "environment"):
        environment = environment.environment
        names.append(type(environment).__name__)
    return names


def test_wrappers_go_on_in_one_order() -> None:
    expected = ["FrameStack", "Flicker", "NormaliseObservation", "NormaliseReward", "ClipReward"]
    expected += ["StickyActions", "Vectorised", "RepeatedActions", "CartPole"]
    backwards = dict(reversed(ALL.items()))
    for given in (ALL, backwards):
        assert layers(environments.make("CartPole-v1", 2, **given)) == expected
    off: dict[str, Any] = {"frame_stack": 1, "action_repeat": 1, "clip_reward": False, "flicker": None}
    assert layers(environments.make("CartPole-v1", 2, **off)) == ["Vectorised", "CartPole"]
    assert layers(environments.make("CartPole-v1", 2, flicker=0.0))[0] == "Flicker"  # to be swept


def test_seeds_under_vmap_are_as_they_are_alone() -> None:
    """All wrappers at once, with leaves that differ from seed to seed."""
    members = [environments.make("CartPole-v1", 2, **{**ALL, "flicker": p}) for p in (0.1, 0.5, 0.9)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *members)
    actions = jnp.asarray(some_actions(2, 40, below=2))

    @functools.partial(jax.jit, compiler_options=HASTE)
    def both(stacked: Any, key: Key) -> Any:
        keys = jax.random.split(key, 3)
        alone = jax.lax.map(
            lambda pair: episodes(pair[0], pair[1], actions), (stacked, jax.random.clone(keys))
        )
        return jax.vmap(episodes, in_axes=(0, 0, None))(stacked, keys, actions), alone

    together, alone = both(stacked, jax.random.key(0))
    chex.assert_trees_all_close(together, alone, rtol=2e-5, atol=2e-5)
    blank = np.asarray(together[1].observation[..., -4:] == 0).all(-1).mean((1, 2))
    assert blank[0] < blank[1] < blank[2]


def test_which_leaves_have_an_axis_of_environments() -> None:
    environment = environments.make("CartPole-v1", 7, **ALL)
    state, _ = jax.eval_shape(environment.reset, jax.random.key(0))
    marks = environments.of_environments(state)
    assert jax.tree.structure(marks) == jax.tree.structure(state)
    for leaf, mark in zip(jax.tree.leaves(state), jax.tree.leaves(marks), strict=True):
        assert (leaf.shape[:1] == (7,)) == mark
    assert sum(not mark for mark in jax.tree.leaves(marks)) == 6
    bare, _ = jax.eval_shape(vectorise(Tale(), 2).reset, jax.random.key(0))
    assert all(jax.tree.leaves(environments.of_environments(bare)))


# What cannot work says so


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("CartPole-v1", {"sticky_actions": 1.5}, "sticky_actions must be a number from 0 to 1, not 1.5"),
        ("CartPole-v1", {"sticky_actions": True}, "sticky_actions must be a number .*, not True"),
        ("CartPole-v1", {"sticky_actions": [0.1, 0.2]}, r"sticky_actions must be .*, not \[0.1, 0.2\]"),
        ("CartPole-v1", {"flicker": "often"}, "flicker must be a number from 0 to 1, not 'often'"),
        ("CartPole-v1", {"flicker": -1}, "flicker must be a number from 0 to 1, not -1"),
        ("CartPole-v1", {"frame_stack": 2.5}, "frame_stack must be a whole number of at least 1, not 2.5"),
        ("CartPole-v1", {"frame_stack": 1.0}, "frame_stack must be a whole number of at least 1, not 1.0"),
        ("CartPole-v1", {"frame_stack": (2, 3)}, r"frame_stack must be a whole number .* not \(2, 3\)"),
        ("CartPole-v1", {"frame_stack": 0}, "frame_stack must be a whole number of at least 1, not 0"),
        ("CartPole-v1", {"action_repeat": 0}, "action_repeat must be a whole number of at least 1, not 0"),
        ("gymnasium:CartPole-v1", {"action_repeat": -1}, "action_repeat must be a whole number .* not -1"),
        ("CartPole-v1", {"clip_reward": "both"}, "clip_reward must be True, 'range' or 'sign', not 'both'"),
        ("CartPole-v1", {"clip_reward": 1}, "clip_reward must be True, 'range' or 'sign', not 1"),
        ("CartPole-v1", {"normalise_reward": 1}, "normalise_reward must be True or False, not 1"),
        ("CartPole-v1", {"reward_discount": 0.9}, "reward_discount is of no use without normalise_reward"),
        ("CartPole-v1", {"stack_actions": True}, "stack_actions is of no use without frame_stack"),
        ("CartPole-v1", {"frame_stack": 1, "stack_actions": True}, "stack_actions is of no use with a fr"),
        (
            "CartPole-v1",
            {"normalise_observation": True, "observation_limit": 0},
            "observation_limit must be a number above 0, not 0",
        ),
        (
            "CartPole-v1",
            {"normalise_reward": True, "reward_limit": float("nan")},
            "reward_limit must be a number above 0, not nan",
        ),
        (
            "CartPole-v1",
            {"normalise_reward": True, "reward_discount": 2},
            "reward_discount must be a number from 0 to 1, not 2",
        ),
        ("gymnasium:CliffWalking-v1", {"frame_stack": 2}, "frame_stack takes .*, not of Discrete"),
        ("gymnasium:CliffWalking-v1", {"flicker": 0.5}, "flicker takes .*, not of Discrete"),
        ("CartPole-v1", {"frame_skip": 2}, "CartPole-v1 does not take .*frame_skip"),
    ],
)
def test_bad_options_are_named(name: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{message}"):
        environments.make(name, 2, **given)


@pytest.mark.parametrize(
    ("wrapper", "given", "message"),
    [
        (StickyActions, {"probability": 1.5}, "probability must be a number from 0 to 1, not 1.5"),
        (Flicker, {"probability": [0.1]}, r"probability must be a number from 0 to 1, not \[0.1\]"),
        (ClipReward, {"to": True}, "to must be 'range' or 'sign', not True"),
        (NormaliseObservation, {"limit": 0}, "limit must be a number above 0, not 0"),
        (NormaliseReward, {"limit": None}, "limit must be a number above 0, not None"),
        (NormaliseReward, {"discount": None}, "discount must be a number from 0 to 1, not None"),
        (FrameStack, {"frames": 0}, "frames must be a whole number of at least 1, not 0"),
        (RepeatedActions, {"repeats": 0}, "repeats must be a whole number of at least 1, not 0"),
    ],
)
def test_bad_fields_are_named(wrapper: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{message}$"):
        wrapper(vectorise(CartPole(), 2), **given)


def test_what_else_cannot_be_wrapped() -> None:
    with pytest.raises(InvalidInput, match="'frames' is no wrapper; they are action_repeat"):
        wrapped(Tale(), frames=2)
    with pytest.raises(InvalidInput, match="before any other wrapper"):
        environments.wrap(wrapped(Tale(), flicker=0.5), action_repeat=2)
    words: Any = Words()
    with pytest.raises(InvalidInput, match=r"cannot put the numbers of Box.* among observations of uint8"):
        environments.wrap(vectorise(words, 1), frame_stack=2, stack_actions=True)


@with_knobs()
class Words:
    max_episode_steps: int | None = None
    observation_space: ClassVar[Any] = Box(0, 255, (2,), np.uint8)
    action_space: ClassVar[Any] = Box(-1, 1, (1,))


def test_names_of_wrappers_are_theirs_in_every_environment() -> None:
    """None of ours has a knob of such a name; a simulator's own has its name said before."""
    for name in environments.REGISTRY:
        knobs = {field.name for field in dataclasses.fields(environments.make(name).environment)}  # type: ignore[attr-defined]
        assert not knobs & set(options.OPTIONS), name
    assert environments.make("envpool:Ant-v4", frame_stack=3).observation_space.shape == (81,)
    bare = environments.make("envpool:Ant-v4", simulator_frame_stack=2)
    assert bare.recipe.options == {"frame_stack": 2}  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match=r"no option 'simulator_flicker'|no option 'flicker'"):
        environments.make("envpool:CartPole-v1", simulator_flicker=2)
