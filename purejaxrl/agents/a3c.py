"""Asynchronous advantage actor-critic: workers with stale copies of what they all improve.

Source: Mnih et al. (2016), "Asynchronous methods for deep reinforcement learning", algorithm S3, and decks 2
and 3. There threads race; here who comes first is drawn from a key inside the compiled program, so that a run
can be repeated, and how stale a copy is can be chosen.

What is asynchronous is in :mod:`purejaxrl.asynchrony`, which asks of an agent that its update be two
functions, ``gradients`` and ``apply_gradients``; this is that of :mod:`.a2c`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl import actor_critic, asynchrony, checks
from purejaxrl.agents import a2c
from purejaxrl.checks import static
from purejaxrl.memory import LastRollout
from purejaxrl.types import Array, Key, PyTree, Transition


@struct.dataclass
class Config(a2c.Config):
    """Hyperparameters: A2C's, and what makes it asynchronous.

    Numbers are leaves, to be swept under vmap; what fixes a shape is static.
    """

    synchronise_every: float = 1
    """Rounds from one copy of the shared parameters to a worker's next; more make it staler."""
    workers: int = static(8)
    """Workers, each with environments and parameters of its own; num_envs is a multiple of it."""

    @property
    def steps_per_update(self) -> int:
        """Steps of the optimiser in a call of update, in which every worker has its turn."""
        return self.workers


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    shared: a2c.State  # θ and its optimiser's statistics
    local: PyTree  # [K, …], the workers' θ'
    key: Key  # of the order of turns, folded with the round
    step: Array  # rounds made, in each of which every worker has had its turn
    info: dict[str, Array]  # figures of the last update

    @property
    def params(self) -> PyTree:
        """The shared parameters, which are what is learnt."""
        return self.shared.params


def init(
    key: Key, config: Config, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
) -> State:
    """A fresh learner, whose workers all begin with the shared parameters.

    Raises:
        InvalidInput: what A2C raises, or the workers cannot be.
    """
    check(config)
    shared = a2c.init(key, config, observation_space, action_space)
    local = jax.tree.map(lambda leaf: jnp.stack([leaf] * config.workers), shared.params)
    return State(
        config=shared.config,  # type: ignore[arg-type]
        shared=shared,
        local=local,
        key=jax.random.fold_in(key, 1),
        step=jnp.int32(0),
        info=shared.info | {"staleness": jnp.float32(0.0)},
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    a2c.check(config)
    checks.whole(config, 1, "workers")
    checks.within(config, 1, jnp.inf, "synchronise_every")
    checks.whole_leaf(config, "synchronise_every", "rounds")


def memory(config: Config) -> LastRollout:
    """The rollout that feeds :func:`update`."""
    return a2c.memory(config)


def initial_carry(state: State, num_envs: int) -> PyTree:
    """What the networks remember as their episodes begin, ``[num_envs, …]``; ``()`` where they do not."""
    return a2c.initial_carry(state.shared, num_envs)


def act(
    state: State, observation: PyTree, key: Key, step: Array | int, carry: PyTree = ()
) -> tuple[Array, PyTree, PyTree]:
    """Actions ``[B, …]``, each worker's drawn from its own policy for the B / K environments that are its."""
    del step
    workers = state.config.workers
    if workers == 1:
        alone = jax.tree.map(lambda leaf: leaf[0], state.local)
        return a2c.act(dataclasses.replace(state.shared, params=alone), observation, key, 0, carry)

    def of_worker(params: PyTree, observation: PyTree, key: Key, carry: PyTree) -> tuple[Array, PyTree]:
        worker = dataclasses.replace(state.shared, params=params)
        action, _, after = a2c.act(worker, observation, key, 0, carry)
        return action, after

    seen, before = asynchrony.share_out((observation, carry), workers)
    action, after = jax.vmap(of_worker)(state.local, seen, jax.random.split(key, workers), before)
    return actor_critic.flat(action), carry, actor_critic.flat(after)


def greedy(state: State, observation: PyTree, carry: PyTree = ()) -> tuple[Array, PyTree]:
    """The likeliest actions ``[B, …]`` of the shared policy for observations ``[B, …]``."""
    return a2c.greedy(state.shared, observation, carry)


@jax.jit
def update(state: State, rollout: Transition) -> State:
    """A round: every worker's gradients are applied to the shared parameters, in an order that is drawn.

    Args:
        state: a learner.
        rollout: ``[T, B]``, of which the first B / K environments are the first worker's.

    Raises:
        InvalidInput: the environments cannot be shared out evenly.
    """
    config = state.config
    known = dataclasses.replace(state.shared, config=config)
    order_key = jax.random.fold_in(state.key, state.step)
    step = state.step + 1
    synchronise = step % jnp.int32(config.synchronise_every) == 0
    shared, local, staleness = asynchrony.turns(
        a2c,
        known,
        state.local,
        asynchrony.share_out(rollout, config.workers, axis=1),
        order_key,
        synchronise,
    )
    return dataclasses.replace(
        state, shared=shared, local=local, step=step, info=shared.info | {"staleness": staleness}
    )
