"""DQN's extensions go with each other: every pair of choices is traced, every part of Rainbow, some train."""

from __future__ import annotations

import itertools
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl import make
from purejaxrl.agents import dqn
from purejaxrl.training import Loop, Settings
from purejaxrl.types import InvalidInput, Sample, Transition

CHOICES: dict[str, tuple[Any, ...]] = {
    "double": (False, True),
    "dueling": (False, True),
    "n_step": (1, 3),
    "prioritised": (False, True),
    "noisy": (False, True),
    "distribution": ("none", "categorical", "quantile", "implicit"),
    "munchausen": (False, True),
    "dropout": ("none", "replay", "acting", "both"),
    "normalisation": ("none", "layer", "batch"),
    "exploration": ("epsilon_greedy", "boltzmann"),
    "architecture": ("shared", "separate", "state_action"),
    "loss": ("squared", "huber"),
    "optimiser": ("adam", "radam", "rmsprop", "sgd"),
    "stream_sizes": ((), (4,)),
}
SMALL: dict[str, Any] = {
    "hidden_sizes": (6,),
    "batch_size": 4,
    "buffer_capacity": 32,
    "warmup_steps": 8,
    "atoms": 5,
    "samples": 3,
    "target_samples": 2,
    "embedding": 4,
}


def legal(config: dict[str, Any]) -> bool:
    """The two pairs that are refused: see test_dqn_extensions.py."""
    if config.get("dueling") and config.get("architecture", "shared") != "shared":
        return False
    return (config.get("architecture"), config.get("normalisation")) != ("state_action", "batch")


def pairs(config: dict[str, Any]) -> set[tuple[tuple[str, Any], ...]]:
    return set(itertools.combinations(config.items(), 2))


def covering() -> list[dict[str, Any]]:
    """Configs in which every pair of choices that is legal is together in some; the same at every call.

    Greedily: of many random Configs that hold a pair not seen yet, the one with the most of those.
    """
    random = np.random.default_rng(0)
    left = {
        ((a, x), (b, y))
        for (a, first), (b, second) in itertools.combinations(CHOICES.items(), 2)
        for x, y in itertools.product(first, second)
        if legal({a: x, b: y})
    }
    found: list[dict[str, Any]] = []
    while left:
        wanted = dict(min(left, key=repr))
        best: dict[str, Any] = {}
        for _ in range(300):
            drawn = {
                name: wanted.get(name, values[random.integers(len(values))])
                for name, values in CHOICES.items()
            }
            if legal(drawn) and len(pairs(drawn) & left) > len(pairs(best) & left):
                best = drawn
        found.append(best)
        left -= pairs(best)
    return found


COVERING = covering()
SETTINGS = Settings(total_steps=24, num_envs=2, rollout_length=2, num_epochs=1, evaluation_episodes=1)


def test_every_pair_of_choices_is_together_somewhere() -> None:
    together = set().union(*map(pairs, COVERING))
    for (a, first), (b, second) in itertools.combinations(CHOICES.items(), 2):
        for x, y in itertools.product(first, second):
            assert (((a, x), (b, y)) in together) == legal({a: x, b: y})
    assert len(COVERING) < 25


@pytest.mark.parametrize("config", COVERING, ids=range(len(COVERING)))
def test_pairs_can_be_run(config: dict[str, Any]) -> None:
    """Traced, not compiled: begin, act, remember, sample, update, revise, evaluate."""
    Loop(dqn, dqn.Config(**SMALL, **config), make("CartPole-v1", num_envs=2), SETTINGS).check()


REFUSED: tuple[dict[str, Any], ...] = (
    {"dueling": True, "architecture": "separate"},
    {"architecture": "state_action", "normalisation": "batch"},
)


@pytest.mark.parametrize("config", REFUSED, ids=repr)
def test_pairs_that_are_refused(config: dict[str, Any]) -> None:
    assert not legal(config)
    with pytest.raises(InvalidInput):
        Loop(dqn, dqn.Config(**SMALL, **config), make("CartPole-v1", num_envs=2), SETTINGS).check()


RAINBOW: dict[str, Any] = {
    "double": True,
    "dueling": True,
    "n_step": 3,
    "prioritised": True,
    "noisy": True,
    "distribution": "categorical",
}


def test_every_part_of_rainbow_is_an_algorithm() -> None:
    """All 64 subsets: shapes and types of what comes in are those of what comes out."""
    space, actions = gymnasium.spaces.Box(-1, 1, (3,), np.float32), gymnasium.spaces.Discrete(2)
    seen = jnp.zeros((4, 3))
    for chosen in itertools.product((False, True), repeat=len(RAINBOW)):
        parts = {name: value for (name, value), on in zip(RAINBOW.items(), chosen, strict=True) if on}
        config = dqn.Config(**SMALL, **parts)
        shape = (4, config.n_step) if config.n_step > 1 else (4,)
        flags = jnp.zeros(shape, bool)
        transition = Transition(seen, jnp.zeros(4, jnp.int32), jnp.zeros(shape), flags, flags, seen)
        batch: Any = transition
        if config.prioritised:
            batch = Sample(transition, jnp.zeros(4, jnp.int32), jnp.ones(4))
        # Not the jitted update: 64 programs that are never run need not be kept.
        state = jax.eval_shape(
            lambda key, config=config: dqn.init(key, config, space, actions), jax.random.key(0)
        )
        after = jax.eval_shape(dqn.update.__wrapped__, state, batch)  # type: ignore[attr-defined]
        assert jax.tree.structure(after) == jax.tree.structure(state)
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), after) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), state
        )
        action, _, _ = jax.eval_shape(dqn.act, state, seen, jax.random.key(0), 0)
        assert (action.shape, action.dtype) == ((4,), jnp.int32)


EVERYTHING: dict[str, dict[str, Any]] = {
    "everything": {
        **RAINBOW,
        "distribution": "implicit",
        "munchausen": True,
        "dropout": "both",
        "normalisation": "batch",
        "stream_sizes": (4,),
        "exploration": "boltzmann",
    },
    "separate": {
        "architecture": "separate",
        "noisy": True,
        "distribution": "implicit",
        "dropout": "both",
        "normalisation": "batch",
        "optimiser": "rmsprop",
    },
    "state_action": {
        "architecture": "state_action",
        "noisy": True,
        "distribution": "quantile",
        "dropout": "replay",
        "normalisation": "layer",
        "prioritised": True,
        "n_step": 3,
        "double": True,
    },
}


@pytest.mark.parametrize("name", EVERYTHING)
def test_some_train(name: str) -> None:
    """A few dozen updates, with the ring going round: all is finite, and everything that learns has moved."""
    settings = Settings(
        total_steps=8 + 160,
        num_envs=2,
        rollout_length=2,
        num_epochs=2,
        evaluation_episodes=0,
    )
    config = dqn.Config(**SMALL, **EVERYTHING[name], target_period=10)
    loop = Loop(dqn, config, make("CartPole-v1", num_envs=2), settings)
    fresh = dqn.init(
        jax.random.key(1), config, loop.environment.observation_space, loop.environment.action_space
    )
    runner, metrics = jax.jit(loop.train)(jax.random.key(0))
    state: dqn.State = runner.agent
    assert int(state.step) == 40
    for leaf in jax.tree.leaves(
        (state.params, state.target_params, state.statistics, state.priority, state.info)
    ):
        assert np.all(np.isfinite(leaf))
    assert int(metrics.nonfinite_iteration[-1]) == -1
    assert all(np.all(np.isfinite(value[1:])) for value in metrics.update.values())
    assert jax.tree.structure(state) == jax.tree.structure(fresh)
    # What no gradient reaches stays as it was for ever.
    moments = state.optimiser_state[0]
    for leaf in jax.tree.leaves(moments.nu):
        assert np.any(np.asarray(leaf) != 0)
    if config.normalisation == "batch":
        assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(state.statistics))
    if config.prioritised:
        leaves = runner.memory.tree[0]
        assert np.all(np.isfinite(leaves))
        assert len(np.unique(leaves)) > 10  # revised by errors
        assert state.priority.shape == (4,)
        assert np.all(np.asarray(state.priority) > 0)
