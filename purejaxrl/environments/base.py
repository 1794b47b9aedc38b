"""The face that every environment shows, and how a single JAX environment becomes a batch.

A single environment (:class:`Environment`) is two pure functions and two spaces. A batch
(:class:`VectorEnvironment`) adds what training needs of any environment, ours or another's:
episodes that restart by themselves, the true successor observation, and episode statistics.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.sampling import numbered_keys
from purejaxrl.types import Array, EpisodeStatistics, InvalidInput, Key, PyTree, TimeStep

S = TypeVar("S")


class Environment(Protocol[S]):
    """One environment written in JAX: a frozen dataclass registered as a pytree.

    Its leaves are the knobs that change its difficulty and may be swept or differ from seed to
    seed under ``vmap``; what fixes a shape is static.
    """

    @property
    def observation_space(self) -> gymnasium.Space[Any]: ...

    @property
    def action_space(self) -> gymnasium.Space[Any]: ...

    @property
    def max_episode_steps(self) -> int | None:
        """Steps after which an episode is truncated; None where episodes end by themselves."""
        ...

    def reset(self, key: Key) -> tuple[S, PyTree]:
        """Begins an episode. Returns the state and the first observation."""
        ...

    def step(self, key: Key, state: S, action: Array) -> tuple[S, PyTree, Array, Array]:
        """Takes one step. Returns the state, the observation, the reward and ``terminated``."""
        ...


@runtime_checkable
class TimesItself(Protocol):
    """What an environment has besides if its steps alone do not say when its time limit is met."""

    def cut_off(self, state: Any) -> Array:
        """Whether the step that led to ``state`` has met the limit."""
        ...


class VectorEnvironment(Protocol[S]):
    """A batch of ``num_envs`` environments, stepped together; a pytree, like its members."""

    @property
    def num_envs(self) -> int: ...

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        """The space of one environment's observation, without the batch axis."""
        ...

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        """The space of one environment's action, without the batch axis."""
        ...

    @property
    def max_episode_steps(self) -> int | None: ...

    def reset(self, key: Key) -> tuple[S, PyTree]:
        """Begins an episode in every environment. Returns the state and observations ``[B, …]``."""
        ...

    def step(self, key: Key, state: S, action: Array) -> tuple[S, TimeStep]:
        """Steps every environment with ``action`` ``[B, …]``; those that end begin anew."""
        ...


@struct.dataclass
class VectorState:
    """The state of :class:`Vectorised`: the members' states and their running episodes, ``[B]``."""

    inner: PyTree
    episode: EpisodeStatistics


@with_knobs("environment")
class Vectorised(Generic[S]):
    """``num_envs`` copies of one JAX environment; see :func:`vectorise`."""

    environment: Any
    num_envs: int
    # Of the environment, which may be registered as :func:`.with_knobs` warns of.
    kind: type = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        check_num_envs(self.num_envs)
        object.__setattr__(self, "kind", type(self.environment))

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        return self.environment.observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        return self.environment.action_space

    @property
    def max_episode_steps(self) -> int | None:
        return self.environment.max_episode_steps

    def reset(self, key: Key) -> tuple[VectorState, PyTree]:
        inner, observation = jax.vmap(self.environment.reset)(jax.random.split(key, self.num_envs))
        return VectorState(inner=inner, episode=begin_episodes(self.num_envs)), observation

    def step(self, key: Key, state: VectorState, action: Array) -> tuple[VectorState, TimeStep]:
        action = check_action(type(self.environment).__name__, self, action)
        # Two batches of keys, not one of twice the size: most dynamics draw nothing, and then XLA
        # drops the first.
        step_keys = numbered_keys(key, 0, self.num_envs)
        reset_keys = numbered_keys(key, self.num_envs, self.num_envs)
        inner, next_observation, reward, terminated = jax.vmap(self.environment.step)(
            step_keys, state.inner, action
        )
        episode = extend_episodes(state.episode, reward)
        environment = self.environment
        if self.max_episode_steps is None:
            truncated = jnp.zeros_like(terminated)
        elif isinstance(environment, TimesItself):
            truncated = jax.vmap(environment.cut_off)(inner)
        else:
            truncated = episode.episode_length >= self.max_episode_steps
        ended = terminated | truncated
        fresh, first_observation = jax.vmap(self.environment.reset)(reset_keys)
        timestep = TimeStep(
            observation=select(ended, first_observation, next_observation),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            next_observation=next_observation,
            episode=episode,
            finished=ended,
        )
        state = VectorState(
            inner=select(ended, fresh, inner),
            episode=select(ended, begin_episodes(self.num_envs), episode),
        )
        return state, timestep


def vectorise(environment: Environment[S], num_envs: int) -> Vectorised[S]:
    """Makes a batch of ``num_envs`` environments of a single one.

    An environment is reset in the step in which it ends, for either reason, so that no step is
    spent on the reset; its true last observation stays in ``TimeStep.next_observation``.

    Raises:
        InvalidInput: ``num_envs`` is not a positive whole number.
    """
    return Vectorised(environment=environment, num_envs=num_envs)


def check_num_envs(num_envs: int) -> int:
    """Returns ``num_envs``, or raises InvalidInput where it is not a positive whole number."""
    if not isinstance(num_envs, int) or isinstance(num_envs, bool) or num_envs < 1:
        raise InvalidInput(f"num_envs must be a whole number of at least 1, not {num_envs!r}")
    return num_envs


def check_action(name: str, environment: VectorEnvironment[Any], action: Any) -> Array:
    """Returns a batch of actions, or raises InvalidInput where shape or type are not the space's."""
    action, space = jnp.asarray(action), environment.action_space
    shape = (environment.num_envs, *(space.shape or ()))
    if action.shape != shape:
        raise InvalidInput(f"{name} takes actions of shape {shape}, not {action.shape}")
    if np.issubdtype(space.dtype, np.integer) and not jnp.issubdtype(action.dtype, jnp.integer):
        raise InvalidInput(f"{name} takes whole numbers as actions, not {action.dtype}")
    return action


def unknown_environment(name: str, known: list[str], kind: str) -> InvalidInput:
    """The error for a name that is not known, with the nearest ones that are."""
    folded = {candidate.lower(): candidate for candidate in known}
    nearest = [folded[match] for match in difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.4)]
    hint = f"nearest: {', '.join(nearest)}" if nearest else f"known: {', '.join(sorted(known)[:20])}"
    return InvalidInput(f"unknown environment {name!r} among the {kind}; {hint}")


def check_max_episode_steps(steps: int | None) -> None:
    """Raises InvalidInput where ``steps`` is neither None nor a positive whole number."""
    if steps is not None and (not isinstance(steps, int) or isinstance(steps, bool) or steps < 1):
        raise InvalidInput(f"max_episode_steps must be None or a whole number of at least 1, not {steps!r}")


def begin_episodes(num_envs: int) -> EpisodeStatistics:
    """Statistics of ``num_envs`` episodes in which nothing has happened yet."""
    return EpisodeStatistics(
        episode_return=jnp.zeros(num_envs, jnp.float32),
        episode_length=jnp.zeros(num_envs, jnp.int32),
    )


def extend_episodes(episode: EpisodeStatistics, reward: Array) -> EpisodeStatistics:
    """Adds one step's reward ``[B]`` to running statistics."""
    return EpisodeStatistics(
        episode_return=episode.episode_return + reward,
        episode_length=episode.episode_length + 1,
    )


def select(mask: Array, on_true: PyTree, on_false: PyTree) -> PyTree:
    """Chooses row by row between two pytrees of arrays ``[B, …]`` by a mask ``[B]``."""

    def choose(a: Array, b: Array) -> Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim)), a, b)

    return jax.tree.map(choose, on_true, on_false)
