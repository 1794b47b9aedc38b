"""What is shown of frames, the choice of actions, and episodes that are points: by hand and beside numpy."""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import chex
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wrapper_cases import HASTE, Tale, episodes, play, some_actions, wrapped

import purejaxrl.environments as environments
from purejaxrl.environments import vectorise
from purejaxrl.environments.cartpole import CartPole
from purejaxrl.environments.frames import Background, Crop, Difference, Downsample
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.environments.wrappers import AllowedActions, EndAtReward
from purejaxrl.types import Array, InvalidInput, Key

Box = gymnasium.spaces.Box
MultiBinary = gymnasium.spaces.MultiBinary


@with_knobs()
class Screen:
    """An image ``[6, 8, 2]`` of bytes, or a board ``[6, 8]``, that looks different at every step and action.

    Steps 2, 5, 8 … of an episode pay 1, -1, 1 …; a game has 7 steps.
    """

    board: bool = False
    max_episode_steps: int | None = None
    action_space: ClassVar[Any] = gymnasium.spaces.Discrete(6)

    @property
    def observation_space(self) -> Any:
        return Box(0, 255, (6, 8) if self.board else (6, 8, 2), np.uint8)

    def show(self, state: Array) -> Array:
        row, column, channel = jnp.ogrid[:6, :8, :2]
        image = (7 * row + 31 * column + 100 * channel + state[0] + 3 * state[1] * row + state[2]) % 256
        return (image[..., 0] if self.board else image).astype(jnp.uint8)

    def reset(self, key: Key) -> tuple[Array, Array]:
        state = jnp.array([jax.random.randint(key, (), 0, 100), 0, 0])
        return state, self.show(state)

    def step(self, key: Key, state: Array, action: Array) -> tuple[Array, Array, Array, Array]:
        state = jnp.array([state[0], state[1] + 1, action])
        reward = jnp.where(state[1] % 3 == 2, jnp.where(state[1] % 2 == 0, 1.0, -1.0), 0.0)
        return state, self.show(state), reward, state[1] >= 7


SCREEN: Any = Screen()


def numpy_differences(first: np.ndarray, raw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of frames ``[B, …]`` and time steps ``[T, B]``: what is shown next, and the true last differences."""
    shown, lasts, before = [], [], first.astype(np.float64)
    for t in range(len(raw.reward)):
        last = raw.next_observation[t] - before
        ended = raw.ended[t].reshape(-1, *[1] * (last.ndim - 1))
        lasts.append(last)
        shown.append(np.where(ended, 0, last))
        before = raw.observation[t].astype(np.float64)
    return np.stack(shown), np.stack(lasts)


# Parts of frames


@pytest.mark.parametrize("board", [False, True])
def test_parts_of_frames_are_numpys(board: bool) -> None:
    screen: Any = Screen(board=board)
    actions = some_actions(2, 16)
    given = {"crop": (1, 6, 2, 7), "downsample": 2, "background": (40, 41, 42, 43.0, 200)}
    environment = environments.wrap(vectorise(screen, 2), **given)
    first, steps = play(environment, actions)
    raw_first, raw = play(vectorise(screen, 2), actions)
    assert raw.ended.any()

    def expected(frames: np.ndarray) -> np.ndarray:
        frames = frames.reshape(-1, *frames.shape[2 if frames.ndim > 4 - board else 1 :])
        part = frames[:, 1:6, 2:7][:, ::2, ::2]
        return np.where(np.isin(part, given["background"]), 0, 1)

    for ours, theirs in (
        (first, raw_first),
        (steps.observation, raw.observation),
        (steps.next_observation, raw.next_observation),
    ):
        np.testing.assert_array_equal(ours.reshape(-1, *ours.shape[-2 - (not board) :]), expected(theirs))
    assert set(np.unique(steps.observation)) == {0, 1}
    assert environment.observation_space == MultiBinary((3, 3) if board else (3, 3, 2))
    assert steps.observation.dtype == np.int8


def test_a_part_of_a_frame_by_hand() -> None:
    tale: Any = Tale(view="board", number=np.uint8)  # [[tag], [time], [action]]
    first, steps = play(wrapped(tale, 1, crop=(1, 3, 0, 1)), np.array([[4], [2]]))
    np.testing.assert_array_equal(first, [[[0], [0]]])
    np.testing.assert_array_equal(steps.observation[:, 0, :, 0], [[1, 4], [2, 2]])
    _, steps = play(wrapped(tale, 1, downsample=2), np.array([[4], [2]]))
    np.testing.assert_array_equal(steps.observation[:, 0, 1, 0], [4, 2])
    _, steps = play(wrapped(tale, 1, background=2), np.array([[4], [2]]))
    np.testing.assert_array_equal(steps.observation[:, 0, 1:, 0], [[1, 1], [0, 0]])


# Differences


def test_differences_by_hand() -> None:
    """Episodes of three steps: the last difference is the old one's, and the next one knows nothing of it."""
    actions = np.array([[1, 4], [2, 3], [4, 0], [3, 1]])
    first, steps = play(wrapped(Tale(), difference=True), actions)
    np.testing.assert_array_equal(first, np.zeros((2, 3)))
    for i in range(2):
        a = actions[:, i]
        np.testing.assert_array_equal(steps.observation[0, i], [0, 1, a[0]])
        np.testing.assert_array_equal(steps.observation[1, i], [0, 1, a[1] - a[0]])
        np.testing.assert_array_equal(steps.next_observation[2, i], [0, 1, a[2] - a[1]])
        np.testing.assert_array_equal(steps.observation[2, i], [0, 0, 0])
        np.testing.assert_array_equal(steps.observation[3, i], [0, 1, a[3]])
        np.testing.assert_array_equal(steps.next_observation[3, i], steps.observation[3, i])


@pytest.mark.parametrize("limit", [None, 4])
@pytest.mark.parametrize("kind", ["bytes", "bits", "floats"])
def test_differences_are_numpys(kind: str, limit: int | None) -> None:
    """At truncations, too; bytes as parts of 255, bits and other numbers as they are."""
    environment: Any = vectorise(Screen(max_episode_steps=limit), 2)  # type: ignore[arg-type]
    if kind == "floats":
        environment = vectorise(Tale(max_episode_steps=limit), 2)
    given = {"background": (50, 60, 70, 80, 90, 100)} if kind == "bits" else {}
    bare = environments.wrap(environment, **given)
    environment = environments.wrap(environment, **given, difference=True)
    actions = some_actions(2, 20)
    first, steps = play(environment, actions)
    shown, lasts = numpy_differences(*play(bare, actions))
    scale = 255 if kind == "bytes" else 1
    assert not first.any()
    np.testing.assert_allclose(steps.observation, shown / scale, rtol=1e-6)
    np.testing.assert_allclose(steps.next_observation, lasts / scale, rtol=1e-6)
    assert steps.truncated.any() == (limit is not None and kind != "floats")
    space = environment.observation_space
    assert steps.observation.dtype == space.dtype == (np.int8 if kind == "bits" else np.float32)
    most = {"bytes": 1, "bits": 1, "floats": 200}[kind]
    assert (space.low.min(), space.high.max()) == (-most, most)
    for observation in (first[0], *steps.observation[:, 0], *steps.next_observation[:, 1]):
        assert space.contains(observation)


def test_spaces_without_bounds_have_differences_without() -> None:
    space = environments.make("CartPole-v1", difference=True).observation_space
    assert np.isinf(space.high[1])  # type: ignore[attr-defined]
    np.testing.assert_allclose(space.high[0], 9.6)  # type: ignore[attr-defined]  # twice 4.8


def test_differences_are_stacked_and_points_are_none_of_their_business() -> None:
    """A stack is of differences; neither begins anew where a point ends an episode for the learner alone."""
    given = {"difference": True, "frame_stack": 2}
    actions = some_actions(2, 16)
    plain, pointed = (
        play(environments.wrap(vectorise(SCREEN, 2), **given, **more), actions)
        for more in ({}, {"end_at_reward": True})
    )
    chex.assert_trees_all_equal(plain[0], pointed[0])
    chex.assert_trees_all_equal(plain[1].observation, pointed[1].observation)
    newest = plain[1].next_observation[..., 2:]
    shown, lasts = numpy_differences(*play(vectorise(SCREEN, 2), actions))
    np.testing.assert_allclose(newest, lasts / 255, rtol=1e-6)
    np.testing.assert_allclose(
        plain[1].observation[1:, ..., :2], shown[:-1] / 255 * lived(plain[1]), rtol=1e-6
    )


def lived(steps: Any) -> np.ndarray:
    """1 where a step after the first one went on with an episode, with axes for an image."""
    return ~steps.ended[1:, :, None, None, None]


# Points and actions


def test_points_are_episodes_by_hand() -> None:
    """Rewards at steps 2 and 5 of 7: the learner sees ends there and at 7, and the game has one."""
    actions = some_actions(1, 9)
    _, steps = play(environments.wrap(vectorise(SCREEN, 1), end_at_reward=True), actions)
    _, raw = play(vectorise(SCREEN, 1), actions)
    np.testing.assert_array_equal(raw.reward[:, 0], [0, 1, 0, 0, -1, 0, 0, 0, 1])
    np.testing.assert_array_equal(steps.terminated[:, 0], [0, 1, 0, 0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(steps.finished[:, 0], [0, 0, 0, 0, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(steps.episode.episode_length[:, 0], [1, 2, 3, 4, 5, 6, 7, 1, 2])
    for name in ("observation", "next_observation", "reward", "truncated", "finished", "episode"):
        chex.assert_trees_all_equal(getattr(steps, name), getattr(raw, name))


def test_actions_are_those_allowed() -> None:
    environment = wrapped(Tale(), 2, allowed_actions=(4, 1, 2))
    assert environment.action_space == gymnasium.spaces.Discrete(3)
    actions = some_actions(2, 12, below=3)
    _, steps = play(environment, actions)
    np.testing.assert_array_equal(steps.next_observation[..., 2], np.array([4, 1, 2])[actions])
    stacked = wrapped(Tale(), 2, allowed_actions=(4, 1), frame_stack=2, stack_actions=True)
    assert stacked.observation_space.shape == (3 + 2 + 3,)  # what is stacked are the learner's actions


# As training uses them


PONG: dict[str, Any] = {"img_height": 210, "img_width": 160, "stack_num": 1, "frame_skip": 1, "noop_max": 1}
SHOWN: dict[str, Any] = {"crop": (35, 195, 0, 160), "downsample": 2}


def test_pong_is_shown_as_in_the_post() -> None:
    """Beside the red channel's two backgrounds; frames are single, for EnvPool blends two by maximum."""
    pytest.importorskip("envpool")
    limit = {"max_episode_steps": 150}
    name = "envpool:Pong-v5"
    grey = environments.make(
        name,
        2,
        **PONG,
        **limit,
        **SHOWN,
        gray_scale=True,
        background=(87, 107),
        difference=True,
        allowed_actions=(2, 3),
    )
    colour = environments.make(name, 2, **PONG, **limit, gray_scale=False)
    assert grey.observation_space == Box(-1, 1, (80, 80, 1), np.int8)
    assert colour.observation_space.shape == (210, 160, 3)
    moves = some_actions(2, 310, below=2)
    first, steps = play(grey, moves)
    raw_first, raw = play(colour, moves + 2)
    assert raw.truncated.sum() == 4

    def foreground(frame: np.ndarray) -> np.ndarray:
        red = frame[..., 35:195:2, ::2, 0]
        return ((red != 144) & (red != 109)).astype(np.int8)[..., None]

    raw = raw.replace(
        observation=foreground(raw.observation), next_observation=foreground(raw.next_observation)
    )
    shown, lasts = numpy_differences(foreground(raw_first), raw)
    np.testing.assert_array_equal(steps.observation, shown)
    np.testing.assert_array_equal(steps.next_observation, lasts)
    assert not first.any()
    assert {-1, 0, 1} == set(np.unique(steps.observation))
    assert foreground(raw_first).mean() < 0.05


def test_an_evaluation_sees_what_training_sees() -> None:
    training = environments.make("Catch", 2, difference=True, background=0, end_at_reward=True)
    evaluation = environments.for_evaluation(training, 3)
    assert evaluation.num_envs == 3
    assert evaluation.observation_space == training.observation_space == Box(-1, 1, (10, 5), np.int8)
    actions = some_actions(3, 20, below=3)
    first, steps = play(evaluation, actions)
    shown, lasts = numpy_differences(*play(environments.make("Catch", 3), actions))
    np.testing.assert_array_equal(first, np.zeros((3, 10, 5)))
    np.testing.assert_array_equal(steps.observation, shown)
    np.testing.assert_array_equal(steps.next_observation, lasts)
    assert steps.finished.sum() == 6


def test_seeds_under_vmap_are_as_they_are_alone() -> None:
    given = {"crop": (0, 6, 1, 8), "downsample": 3, "difference": True, "end_at_reward": True}
    environment = environments.wrap(vectorise(SCREEN, 2), **given)
    actions = jnp.asarray(some_actions(2, 12))
    keys = jax.random.split(jax.random.key(0), 2)

    @functools.partial(jax.jit, compiler_options=HASTE)
    def both(keys: Key) -> Any:
        alone = jax.lax.map(lambda key: episodes(environment, key, actions), jax.random.clone(keys))
        return jax.vmap(lambda key: episodes(environment, key, actions))(keys), alone

    chex.assert_trees_all_equal(*both(keys))


def test_limits_are_ends_by_hand() -> None:
    """Cut off after five steps or three, of games that end by themselves after seven."""
    actions = some_actions(1, 12)
    for limit, ended in ((5, [5, 10]), (7, [7]), (3, [3, 6, 9, 12]), (None, [7])):
        environment: Any = vectorise(Screen(max_episode_steps=limit), 1)  # type: ignore[arg-type]
        _, raw = play(environment, actions)
        _, steps = play(environments.wrap(environment, end_at_limit=True), actions)
        np.testing.assert_array_equal(np.flatnonzero(raw.ended[:, 0]) + 1, ended)
        assert raw.truncated.any() == (limit is not None)
        np.testing.assert_array_equal(np.flatnonzero(steps.terminated[:, 0]) + 1, ended)
        assert not steps.truncated.any()
        for name in ("observation", "next_observation", "reward", "finished", "episode", "ended"):
            chex.assert_trees_all_equal(getattr(steps, name), getattr(raw, name))


def test_the_order_of_wrappers() -> None:
    given = {
        "end_at_limit": True,
        "end_at_reward": True,
        "frame_stack": 2,
        "difference": True,
        "flicker": 0.1,
        "background": 7,
        "downsample": 2,
        "crop": (0, 5, 0, 5),
        "clip_reward": True,
        "sticky_actions": 0.1,
        "allowed_actions": (1, 2),
    }
    environment, names = environments.wrap(vectorise(SCREEN, 1), **given), []
    while hasattr(environment, "environment"):
        names.append(type(environment).__name__)
        environment = environment.environment
    expected = "EndAtLimit EndAtReward FrameStack Difference Flicker Background Downsample Crop ClipReward"
    assert names == [*expected.split(), "StickyActions", "AllowedActions", "Vectorised"]
    off: dict[str, Any] = {"downsample": 1, "difference": False, "crop": None, "end_at_reward": False}
    off["end_at_limit"] = False
    assert environments.wrap(vectorise(SCREEN, 1), **off) == vectorise(SCREEN, 1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"crop": (0, 7, 0, 8)}, r"crop must be \(top, .* within \(0, 6, 0, 8\), not \(0, 7, 0, 8\)"),
        ({"crop": (3, 3, 0, 8)}, r"crop must be .*, not \(3, 3, 0, 8\)"),
        ({"crop": (-1, 3, 0, 8)}, r"crop must be .*, not \(-1, 3, 0, 8\)"),
        ({"crop": (0, 3, 4, 9)}, r"crop must be .*, not \(0, 3, 4, 9\)"),
        ({"crop": (0, 3)}, r"crop must be .*, not \(0, 3\)"),
        ({"crop": [0, 3, 0, 3]}, r"crop must be .*, not \[0, 3, 0, 3\]"),
        ({"crop": (0, 3.0, 0, 3)}, r"crop must be .*, not \(0, 3.0, 0, 3\)"),
        ({"crop": True}, "crop must be .*, not True"),
        ({"downsample": 0}, "downsample must be a whole number of at least 1, not 0"),
        ({"downsample": 1.5}, "downsample must be a whole number of at least 1, not 1.5"),
        ({"background": 256}, r"background must be whole numbers from 0 to 255, .* not \(256,\)"),
        ({"background": (7, "red")}, r"background must be whole numbers .* not \(7, 'red'\)"),
        ({"background": 0.5}, r"background must be whole numbers .* not \(0.5,\)"),
        ({"background": ()}, r"background must be whole numbers .* not \(\)"),
        ({"background": True}, r"background must be whole numbers .* not \(True,\)"),
        ({"difference": 1}, "difference must be True or False, not 1"),
        ({"end_at_reward": "yes"}, "end_at_reward must be True or False, not 'yes'"),
        ({"end_at_limit": 1}, "end_at_limit must be True or False, not 1"),
        ({"allowed_actions": (2, 6)}, r"allowed_actions must be a tuple of actions of .*\(6\).*not \(2, 6\)"),
        ({"allowed_actions": (2, 2)}, r"allowed_actions must be .* each once, not \(2, 2\)"),
        ({"allowed_actions": ()}, r"allowed_actions must be .*, not \(\)"),
        ({"allowed_actions": 2}, "allowed_actions must be .*, not 2"),
        ({"allowed_actions": (2.0, 3)}, r"allowed_actions must be .*, not \(2.0, 3\)"),
    ],
)
def test_bad_options_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{message}$"):
        environments.wrap(vectorise(SCREEN, 1), **given)


def test_wrong_observations_and_actions_are_named() -> None:
    cartpole, pendulum = vectorise(CartPole(), 1), environments.make("Pendulum-v1")
    numbered = environments.make("CliffWalking")
    parts: Any = ((Crop, (0, 1, 0, 1), "crop"), (Downsample, 2, "downsample"))
    for wrapper, given, name in parts:
        with pytest.raises(InvalidInput, match=rf"^{name} takes images .* not observations \(4,\)$"):
            wrapper(cartpole, given)
        with pytest.raises(InvalidInput, match=f"^{name} takes observations of a Box .* not of Discrete"):
            wrapper(numbered, given)
    for wrapper, name in ((Difference, "difference"), (Background, "background")):
        with pytest.raises(InvalidInput, match=f"^{name} takes observations of a Box .* not of Discrete"):
            wrapper(numbered)
    with pytest.raises(InvalidInput, match=r"^allowed_actions are of a Discrete space, not of Box"):
        AllowedActions(pendulum, (0, 1))
    assert EndAtReward(pendulum).action_space == pendulum.action_space
