"""Wrappers around simulators on the host, and wrapped environments as training uses them."""

from __future__ import annotations

import dataclasses
from typing import Any

import chex
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from wrapper_cases import ALL, STEPS, Tale, play, scaled, some_actions

import purejaxrl.environments as environments
from purejaxrl.environments import host, vectorise
from purejaxrl.environments.base import begin_episodes
from purejaxrl.environments.frame_stack import FrameStack
from purejaxrl.environments.wrappers import StickyActions
from purejaxrl.types import Array, InvalidInput, Key, TimeStep


@pytest.mark.parametrize("name", ["CartPole-v1", "envpool:CartPole-v1"])
def test_an_evaluation_has_the_statistics_of_training_and_leaves_them(name: str) -> None:
    """Frozen, from the first observation on, and with returns of rewards as they were paid."""
    training = environments.make(name, 4, normalise_observation=True, normalise_reward=True, frame_stack=2)
    state, _ = training.reset(jax.random.key(0))
    run = jax.jit(
        lambda state, actions: jax.lax.scan(
            lambda s, a: training.step(jax.random.key(3), s, a), state, actions
        )
    )
    state, _ = run(state, jnp.asarray(some_actions(4, below=2)))
    known = environments.statistics(state)
    assert set(known) == {"observation", "reward"}
    assert known["observation"].count > 4 * STEPS
    evaluation = environments.for_evaluation(training, 2)
    assert evaluation.num_envs == 2
    begun, first = environments.begin(evaluation, jax.random.key(1), known)
    plain = environments.make(name, 2)
    raw_state, raw_first = plain.reset(jax.random.key(1))
    mean, deviation = known["observation"].mean, known["observation"].deviation
    np.testing.assert_allclose(first, jnp.tile((raw_first - mean) / deviation, 2), rtol=1e-5, atol=1e-6)
    step, plain_step = jax.jit(evaluation.step), jax.jit(plain.step)
    for action in some_actions(2, 9, below=2):
        begun, timestep = step(jax.random.key(3), begun, jnp.asarray(action))
        raw_state, raw = plain_step(jax.random.key(3), raw_state, jnp.asarray(action))
        shown = (raw.next_observation - mean) / deviation
        np.testing.assert_allclose(timestep.next_observation[:, 4:], shown, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(timestep.reward, raw.reward / known["reward"].deviation, rtol=1e-5)
        chex.assert_trees_all_equal(timestep.episode, raw.episode)
    chex.assert_trees_all_equal(environments.statistics(begun), known)
    chex.assert_trees_all_equal(environments.statistics(known), known)
    again, _ = environments.begin(training, jax.random.key(2), known)  # not frozen: it goes on
    assert environments.statistics(again)["observation"].count == known["observation"].count + 4
    assert environments.begin(plain, jax.random.key(1), known)[1].shape == raw_first.shape


def test_flicker_hands_on_what_training_knows() -> None:
    training = environments.make("CartPole-v1", 4, normalise_observation=True, flicker=0.5, frame_stack=2)
    state, _ = training.reset(jax.random.key(0))
    state, _ = jax.jit(training.step)(jax.random.key(1), state, jnp.zeros(4, jnp.int32))
    known = environments.statistics(state)
    assert known["observation"].count == 8
    begun, _ = environments.begin(environments.for_evaluation(training, 2), jax.random.key(2), known)
    chex.assert_trees_all_equal(environments.statistics(begun), known)


# Simulators on the host


def plain_episodes(name: str, seed: int, actions: np.ndarray, repeats: int) -> list[tuple[Any, ...]]:
    """Steps of ``repeats`` of gymnasium's own: successor, reward, ends, and what is shown next."""
    env = gymnasium.make(name, max_episode_steps=30)
    env.reset(seed=seed)
    rows = []
    for action in actions:
        total, terminated, truncated = 0.0, False, False
        for _ in range(repeats):
            successor, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        shown = env.reset()[0] if terminated or truncated else successor
        rows.append((successor, total, terminated, truncated, shown))
    return rows


def test_simulators_repeat_actions_up_to_an_episodes_end() -> None:
    environment = environments.make("gymnasium:CartPole-v1", 3, max_episode_steps=30, action_repeat=4)
    assert environment.max_episode_steps == 8
    actions = some_actions(3, 40, below=2)
    _, steps = play(environment, actions)
    seeds = host.draw_seeds(jax.random.split(jax.random.key(0))[0], 3)
    for i in range(3):
        rows = plain_episodes("CartPole-v1", int(seeds[i]), actions[:, i], 4)
        names = ("next_observation", "reward", "terminated", "truncated", "observation")
        for name, expected in zip(names, zip(*rows, strict=True), strict=True):
            np.testing.assert_allclose(getattr(steps, name)[:, i], np.stack(expected), rtol=1e-6)
        total = 0.0
        for t in range(len(actions)):
            total += steps.reward[t, i]
            assert steps.episode.episode_return[t, i] == total
            total *= 1 - steps.finished[t, i]
    assert steps.terminated.any()
    lengths = np.unique(steps.reward)
    assert {1.0, 2.0, 3.0} & set(lengths)  # an end inside a step
    assert lengths.max() == 4


@pytest.mark.parametrize("name", ["envpool:CartPole-v1", "gymnasium:CartPole-v1"])
def test_simulators_are_wrapped_as_our_own_are(name: str) -> None:
    """Stack and normalisation of what the bare simulators show, given the same seeds and actions."""
    given = {"normalise_observation": True, "normalise_reward": True, "frame_stack": 2}
    environment, bare = environments.make(name, 3, **given), environments.make(name, 3)
    actions = some_actions(3, 60, below=2)
    first, steps = play(environment, actions)
    raw_first, raw = play(bare, actions)
    assert raw.ended.any()
    seen, last = [*raw_first], scaled(raw_first, [*raw_first])
    for t in range(len(actions)):
        seen += [*raw.next_observation[t], *raw.observation[t][raw.ended[t]]]
        newest = np.clip(scaled(raw.next_observation[t], seen), -10, 10)
        np.testing.assert_allclose(steps.next_observation[t, :, 4:], newest, rtol=1e-3, atol=1e-3)
        begun = np.clip(scaled(raw.observation[t], seen), -10, 10)
        shown = np.where(raw.ended[t][:, None], begun, steps.next_observation[t, :, :4])
        np.testing.assert_allclose(steps.observation[t, :, :4], shown, rtol=1e-3, atol=1e-3)
        if t:
            ended = raw.ended[t - 1]
            old = np.where(ended[:, None], last, steps.next_observation[t - 1, :, 4:])
            np.testing.assert_allclose(steps.next_observation[t, :, :4], old, rtol=1e-3, atol=1e-3)
        last = begun
    chex.assert_trees_all_equal(steps.episode, raw.episode)
    np.testing.assert_array_equal(steps.finished, raw.finished)
    assert first.shape == (3, 8)


def test_lives_taken_for_episodes_survive() -> None:
    """A life's end ends a stack and a reward's sum, and neither the game nor what sticks."""

    class Lives:
        num_envs, max_episode_steps = 1, None
        observation_space, action_space = gymnasium.spaces.Box(0, 9, (1,)), gymnasium.spaces.Discrete(5)

        def reset(self, key: Key) -> Any:
            return jnp.int32(0), jnp.zeros((1, 1))

        def step(self, key: Key, state: Array, action: Array) -> tuple[Array, TimeStep]:
            state = state + 1
            life, game = (state % 2 == 0)[None], (state % 4 == 0)[None]
            shown = state.astype(jnp.float32).reshape(1, 1)
            episode = begin_episodes(1)
            episode = dataclasses.replace(episode, episode_return=action.astype(jnp.float32))
            no = jnp.zeros(1, bool)
            begun = jnp.where(life[:, None], shown + 0.5, shown)
            return state, TimeStep(begun, jnp.ones(1), life, no, shown, episode, game)

    environment: Any = FrameStack(StickyActions(Lives(), 1.0), 2)
    state, _ = environment.reset(jax.random.key(0))
    seen, done, finished = [], [], []
    for t in range(6):
        state, timestep = environment.step(jax.random.key(t), state, jnp.array([t % 5]))
        seen.append(timestep.observation[0].tolist())
        done.append(int(timestep.episode.episode_return[0]))
        finished.append(bool(timestep.finished[0]))
    assert seen == [[0, 1], [2.5, 2.5], [2.5, 3], [4.5, 4.5], [4.5, 5], [6.5, 6.5]]
    assert done == [0, 0, 0, 0, 4, 4]  # the game's first action sticks, life by life, until it is over
    assert finished == [False, False, False, True, False, False]


def test_wrapped_simulators_are_recorded_and_replayed() -> None:
    given = {**ALL, "max_episode_steps": 50}
    environment = environments.recording(environments.make("envpool:CartPole-v1", 2, **given))
    assert environments.unwrapped(environment).recording
    assert environments.resumable(environment) == "by replay"
    assert not environments.unwrapped(environments.for_evaluation(environment, 3)).recording
    state, _ = environment.reset(jax.random.key(0))

    @jax.jit
    def run(state: Any, actions: Array) -> Any:
        return jax.lax.scan(lambda s, a: environment.step(jax.random.key(5), s, a), state, actions)

    actions = jnp.asarray(some_actions(2, 40, below=2))
    state, _ = run(state, actions)
    record = host.take_record(state)
    assert record is not None
    renewed = host.replay(environments.unwrapped(environment), state, record, 1)
    chex.assert_trees_all_equal(run(renewed, actions)[1], run(state, actions)[1])
    assert host.holds_pool(state)
    environments.release(renewed)
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"old environment state|has been released"):
        jax.block_until_ready(run(renewed, actions))


def test_wrapped_environments_are_asked_what_those_within_can() -> None:
    ours = environments.make("CartPole-v1", 2, **ALL)
    assert environments.resumable(ours) == "exactly"
    assert environments.recording(ours) is ours
    assert isinstance(environments.unwrapped(ours), type(vectorise(Tale(), 1)))
    assert ours.replace(num_envs=5).num_envs == 5  # type: ignore[attr-defined]
    assert (ours.max_episode_steps, ours.action_space) == (250, environments.make("CartPole-v1").action_space)
    one, other = (jax.tree.structure(environments.make("CartPole-v1", 2, **ALL)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.skipif("sys.platform != 'linux'")
def test_the_ffi_is_wrapped_but_not_repeated() -> None:
    ffi = environments.make("envpool:CartPole-v1", 2, backend="ffi", frame_stack=2)
    assert environments.resumable(ffi) == "never"
    with pytest.raises(InvalidInput, match="cannot be resumed"):
        environments.recording(ffi)
    with pytest.raises(InvalidInput, match=r"action_repeat goes into .* not into FfiEnvironment"):
        environments.make("envpool:CartPole-v1", 2, backend="ffi", action_repeat=2)
