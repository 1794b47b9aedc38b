"""Policies that remember: what is read of a rollout is what was seen in it, and a task that asks for it."""

from __future__ import annotations

import dataclasses
import inspect
from types import SimpleNamespace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Beginnings

from purejaxrl import actor_critic
from purejaxrl.agents import a2c, a3c, ppo
from purejaxrl.environments import vectorise
from purejaxrl.training import Settings, loop
from purejaxrl.types import Array, InvalidInput, Key, PyTree

SMALL: dict[str, Any] = {"hidden_sizes": (), "cell_size": 8}


def collected(config: a2c.Config) -> tuple[a2c.State, Any]:
    """A learner that stays as it is, and the second of its rollouts, which begins amid episodes."""
    settings = Settings(total_steps=96, num_envs=3, rollout_length=16, num_epochs=1, evaluation_episodes=0)
    made = loop.Loop(a2c, config, vectorise(Beginnings(), 3), settings)
    runner, _ = jax.jit(lambda key: made.trace(key, 2, lambda runner, tally: ()))(jax.random.key(1))
    return runner.agent, runner.memory


@pytest.mark.parametrize("shared_torso", [True, False])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_what_is_read_is_what_was_seen(cell: Any, shared_torso: bool) -> None:
    """Step by step, from what was remembered as the rollout began, and from nothing after an end."""
    config = a2c.Config(learning_rate=0.0, cell=cell, shared_torso=shared_torso, head_sizes=(5,), **SMALL)
    state, rollout = collected(config)
    ended = np.asarray(rollout.terminated | rollout.truncated)
    assert np.any(ended[:-1])
    carry = jax.tree.map(lambda leaf: leaf[0], rollout.extras)
    begun = a2c.initial_carry(state, 3)
    assert not np.allclose(jax.tree.leaves(carry)[0], jax.tree.leaves(begun)[0])
    rows = actor_critic.trajectories(rollout)
    policy, value, after = actor_critic.read(state.network, state.params, rows)
    logits: Any = policy.logits  # type: ignore[attr-defined]
    successors = actor_critic.successor_values(state.network, state.params, rows, after)
    look = jax.jit(lambda carry, seen: actor_critic.look(state.network, state.params, carry, seen))
    for t in range(len(rollout.reward)):
        before = jax.tree.map(lambda leaf, t=t: leaf[t], rollout.extras)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), before, carry)
        carry, of_step, value_of_step = look(carry, rollout.observation[t])
        np.testing.assert_allclose(logits[:, t], of_step.logits, atol=1e-6)
        np.testing.assert_allclose(value[:, t], value_of_step, atol=1e-6)
        np.testing.assert_allclose(successors[:, t], look(carry, rollout.next_observation[t])[2], atol=1e-6)
        carry = jax.tree.map(
            lambda leaf, new, t=t: np.where(ended[t].reshape(-1, *[1] * (leaf.ndim - 1)), new, leaf),
            carry,
            begun,
        )
    # Rollouts without a record, such as one makes by hand, are read from nothing.
    _, from_nothing, _ = actor_critic.read(state.network, state.params, dataclasses.replace(rows, extras=()))
    assert np.any(np.abs(from_nothing[:, 0] - value[:, 0]) > 1e-4)
    first = np.argmax(ended, axis=0) + 1  # of the next episode
    for row in range(3):
        np.testing.assert_allclose(from_nothing[row, first[row] :], value[row, first[row] :], atol=1e-6)


def test_without_a_carry_an_episode_begins() -> None:
    state, rollout = collected(a2c.Config(learning_rate=0.0, cell="gru", **SMALL))
    seen, begun = rollout.observation[0], a2c.initial_carry(state, 3)
    jax.tree.map(np.testing.assert_array_equal, a2c.greedy(state, seen), a2c.greedy(state, seen, begun))


@pytest.mark.parametrize("carry", [0.0, "none", TypeError("no")])
def test_a_network_whose_memory_cannot_begin_says_so(carry: Any) -> None:
    class Odd(nn.Module):
        def __call__(self, carry: Any, observation: Any) -> Any:
            return carry, observation

        def initial_carry(self) -> Any:
            if isinstance(carry, Exception):
                raise carry
            return carry

    place = vectorise(Beginnings(), 2)
    with pytest.raises(InvalidInput, match="network Odd"):
        a2c.init(jax.random.key(0), a2c.Config(network=Odd()), place.observation_space, place.action_space)


def test_policy_and_value_remember_apart_unless_they_share_the_torso() -> None:
    for shared, leaves in ((True, 2), (False, 4)):
        state, _ = collected(a2c.Config(cell="lstm", shared_torso=shared, learning_rate=0.0, **SMALL))
        assert len(jax.tree.leaves(a2c.initial_carry(state, 3))) == leaves
    actor, critic = state.params["params"]["actor"], state.params["params"]["critic"]
    assert actor["memory"].keys() == critic["memory"].keys()
    one, other = (np.asarray(jax.tree.leaves(each["memory"])[-1]) for each in (actor, critic))
    assert not np.allclose(one, other)


A2C: dict[str, Any] = {"learning_rate": 2e-2, "discount": 0.5, "optimiser": "adam", "cell": "gru", **SMALL}
AGENTS: dict[str, tuple[Any, Any]] = {
    "a2c": (a2c, a2c.Config(**A2C)),
    "a3c": (a3c, a3c.Config(workers=2, **A2C)),
    "ppo": (
        ppo,
        ppo.Config(learning_rate=2e-2, discount=0.5, passes=2, minibatches=2, cell="lstm", **SMALL),
    ),
}


def keep(mask: Array, on_true: PyTree, on_false: PyTree) -> PyTree:
    del mask, on_true
    return on_false


def forget(mask: Array, on_true: PyTree, on_false: PyTree) -> PyTree:
    del mask, on_false
    return on_true


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("fault", ["none", "never forgets", "always forgets"])
def test_a_beginning_is_told_from_what_follows(
    name: str, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All observations are alike: only who remembers nothing as an episode begins, and then does, can."""
    agent, config = AGENTS[name]
    if fault != "none":
        broken = keep if fault == "never forgets" else forget
        monkeypatch.setattr(loop, "select", broken)
        monkeypatch.setattr(actor_critic, "select", broken)
    # As it is without its own jit, which would remember an update that was compiled whole.
    plain: Any = SimpleNamespace(**vars(agent) | {"update": inspect.unwrap(agent.update)})
    settings = Settings(total_steps=8_000, num_envs=8, rollout_length=5, num_epochs=1, evaluation_episodes=0)
    made = loop.Loop(plain, config, vectorise(Beginnings(), 8), settings)

    @jax.jit
    def earned(keys: Key) -> tuple[Array, Array]:
        """What each step of the last 50 rollouts earned, and how many there were."""

        def train(key: Key) -> tuple[Array, Array]:
            look = made.trace(key, 200, lambda runner, tally: (tally.episode_return, tally.episode_length))[1]
            return jax.tree.map(lambda leaf: jnp.sum(leaf[-50:]), look)

        return jax.lax.map(train, keys)

    returns, lengths = earned(jax.random.split(jax.random.key(0), 3))
    share = np.asarray(returns / lengths)
    # The best of those who cannot tell does the likelier thing: 4/7 of all steps begin an episode.
    assert np.all(share > 0.95) if fault == "none" else np.all(share < 0.75)
