"""Observations and rewards on one scale, by running means and variances.

The statistics are part of the environments' state: a checkpoint holds them, and every seed has its
own. What is frozen uses them and leaves them as they are, as an evaluation should.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.environments.base import select
from purejaxrl.environments.knob_checks import check_number
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.environments.wrappers import Wrapper, begin, check_arrays
from purejaxrl.types import Array, Key, PyTree, TimeStep

EPSILON = 1e-8  # beside a variance


@struct.dataclass
class RunningStatistics:
    """Mean and variance of all that was ever added, number by number; they have no axis of environments."""

    count: Array
    mean: Array
    variance: Array
    of: str = struct.field(pytree_node=False)  # what they are of: "observation" or "reward"

    @property
    def deviation(self) -> Array:
        return jnp.sqrt(self.variance + EPSILON)


def no_statistics(shape: tuple[int, ...], of: str) -> RunningStatistics:
    """Statistics of nothing yet."""
    return RunningStatistics(count=jnp.float32(0.0), mean=jnp.zeros(shape), variance=jnp.ones(shape), of=of)


def add(statistics: RunningStatistics, batch: Array, weight: Array) -> RunningStatistics:
    """Adds those rows of ``batch`` ``[B, …]`` whose ``weight`` ``[B]`` is not 0 (Chan, Golub & LeVeque 1983).

    Beyond 2**24 rows, of which float32 cannot count more one by one, new ones weigh ever so little more than
    they should.
    """
    batch = batch.astype(jnp.float32)
    weight = weight.astype(jnp.float32).reshape(-1, *[1] * (batch.ndim - 1))
    number = jnp.sum(weight)
    mean = jnp.sum(weight * batch, axis=0) / jnp.maximum(number, 1.0)
    variance = jnp.sum(weight * jnp.square(batch - mean), axis=0) / jnp.maximum(number, 1.0)
    count = statistics.count + number
    # Shares of the old and the new, and not sums of squares, which would grow for ever; and a variance
    # of nothing but products that are not negative, for it is often 0.
    some = statistics.count > 0
    share = jnp.where(some, number / jnp.maximum(count, 1.0), number > 0)
    kept = jnp.where(some, jnp.maximum(1.0 - share, 0.0), number == 0)
    delta = mean - statistics.mean
    return RunningStatistics(
        count=count,
        mean=statistics.mean + share * delta,
        variance=kept * statistics.variance + share * (variance + kept * jnp.square(delta)),
        of=statistics.of,
    )


def statistics(state: PyTree) -> dict[str, RunningStatistics]:
    """The running statistics in a state of environments (or any pytree), by what they are of.

    Those of a training state are what an evaluation's environments are to begin with:
    :func:`.wrappers.begin`. A dictionary of them, as this returns, may be given as well.
    """
    leaves = jax.tree.leaves(state, is_leaf=_is_statistics)
    return {leaf.of: leaf for leaf in leaves if _is_statistics(leaf)}


def of_environments(state: PyTree) -> PyTree:
    """Which leaves of a state of environments have an axis of environments: a pytree of its structure."""

    def mark(node: Any) -> Any:
        return jax.tree.map(lambda _: not _is_statistics(node), node)

    return jax.tree.map(mark, state, is_leaf=_is_statistics)


def freeze(environment: Any) -> Any:
    """The same environments, with statistics that stay as they are."""
    if not isinstance(environment, Wrapper):
        return environment
    changes: dict[str, Any] = {"environment": freeze(environment.environment)}
    if isinstance(environment, NormaliseObservation | NormaliseReward):
        changes["frozen"] = True
    return environment.replace(**changes)


def _is_statistics(node: Any) -> bool:
    return isinstance(node, RunningStatistics)


@struct.dataclass
class NormaliseObservationState:
    """The state of :class:`NormaliseObservation`."""

    inner: Any
    statistics: RunningStatistics


@with_knobs("environment", "limit")
class NormaliseObservation(Wrapper):
    """Takes the running mean from each number of an observation, and divides by the deviation.

    Every observation counts once, those of all environments alike, and is normalised with what is
    known once it does; the last observation of an episode, with the same as the next one's first. So
    what a replay buffer holds was normalised with what was known when it was seen.

    Args:
        environment: the batch within; its observations become float32, of a space without bounds.
        limit: normalised observations are clipped to ±limit.
        frozen: whether the statistics stay as they are.

    Raises:
        InvalidInput: ``limit`` is not above 0, or observations are not numbers in an array.
    """

    environment: Any
    limit: float | Array = 10.0
    frozen: bool = False

    def __post_init__(self) -> None:
        check_number("limit", self.limit, above=0, finite=False)
        check_arrays("normalise_observation", self.environment)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        return gymnasium.spaces.Box(-np.inf, np.inf, self.environment.observation_space.shape, np.float32)

    def begin(self, key: Key, known: dict[str, Any]) -> tuple[NormaliseObservationState, PyTree]:
        inner, observation = begin(self.environment, key, known)
        shape = self.environment.observation_space.shape
        statistics = known.get("observation", no_statistics(shape, "observation"))
        if not self.frozen:
            statistics = add(statistics, observation, jnp.ones(self.num_envs))
        return NormaliseObservationState(inner, statistics), self.normalise(statistics, observation)

    def step(
        self, key: Key, state: NormaliseObservationState, action: Array
    ) -> tuple[NormaliseObservationState, TimeStep]:
        inner, timestep = self.environment.step(key, state.inner, action)
        statistics = state.statistics
        last, first = timestep.next_observation, timestep.observation
        if not self.frozen:
            statistics = add(statistics, last, jnp.ones(self.num_envs))
            statistics = add(statistics, first, timestep.ended)
        return NormaliseObservationState(inner, statistics), dataclasses.replace(
            timestep,
            observation=self.normalise(statistics, first),
            next_observation=self.normalise(statistics, last),
        )

    def normalise(self, statistics: RunningStatistics, observation: Array) -> Array:
        normal = (observation.astype(jnp.float32) - statistics.mean) / statistics.deviation
        return jnp.clip(normal, -self.limit, self.limit)


@struct.dataclass
class NormaliseRewardState:
    """The state of :class:`NormaliseReward`: the rewards so far ``[B]``, those long ago discounted."""

    inner: Any
    total: Array
    statistics: RunningStatistics


@with_knobs("environment", "discount", "limit")
class NormaliseReward(Wrapper):
    """Divides rewards by the running deviation of their discounted sum (Engstrom et al. 2020).

    The sum is backward-looking, R ← discount · R + reward, over the steps since the episode began; its
    mean is not taken off, lest signs change.

    Args:
        environment: the batch within.
        discount: the learner's own, from 0 to 1.
        limit: normalised rewards are clipped to ±limit.
        frozen: whether the statistics stay as they are.

    Raises:
        InvalidInput: ``discount`` is not in [0, 1] or ``limit`` not above 0.
    """

    environment: Any
    discount: float | Array = 0.99
    limit: float | Array = 10.0
    frozen: bool = False

    def __post_init__(self) -> None:
        check_number("discount", self.discount, 0, 1)
        check_number("limit", self.limit, above=0, finite=False)

    def begin(self, key: Key, known: dict[str, Any]) -> tuple[NormaliseRewardState, PyTree]:
        inner, observation = begin(self.environment, key, known)
        statistics = known.get("reward", no_statistics((), "reward"))
        return NormaliseRewardState(inner, jnp.zeros(self.num_envs), statistics), observation

    def step(
        self, key: Key, state: NormaliseRewardState, action: Array
    ) -> tuple[NormaliseRewardState, TimeStep]:
        inner, timestep = self.environment.step(key, state.inner, action)
        total = self.discount * state.total + timestep.reward
        statistics = state.statistics
        if not self.frozen:
            statistics = add(statistics, total, jnp.ones(self.num_envs))
        reward = jnp.clip(timestep.reward / statistics.deviation, -self.limit, self.limit)
        total = select(timestep.ended, jnp.zeros_like(total), total)
        state = NormaliseRewardState(inner, total, statistics)
        return state, dataclasses.replace(timestep, reward=reward)
