"""Wrappers: what changes a batch of environments, whoever wrote it, between the agent and the simulation.

They wrap the face that all environments show (:class:`.base.VectorEnvironment`), and so those in JAX
and those of EnvPool and gymnasium alike. What holds for a batch holds for a wrapped one:

* ``TimeStep.next_observation`` is the true successor as the wrapper shows it, such as the old
  episode's stack of frames with its last frame, and ``observation`` the new episode's first one;
* ``TimeStep.episode`` and ``finished`` are the environment's own: returns of rewards as they were
  paid, neither clipped nor normalised;
* probabilities, discounts and limits are leaves, which may be swept or differ under ``vmap``.

:func:`wrap` applies them in one order, from the environment outwards: ``action_repeat``,
``allowed_actions``, ``sticky_actions``, ``clip_reward``, ``normalise_reward``, ``crop``, ``downsample``,
``background``, ``normalise_observation``, ``flicker``, ``difference``, ``frame_stack``, ``end_at_reward``,
``end_at_limit``.
:func:`purejaxrl.make` takes the same options for every environment.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import gymnasium
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl.environments.base import select
from purejaxrl.environments.knob_checks import check_choice, check_number
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, InvalidInput, Key, PyTree, TimeStep


class Wrapper:
    """What all wrappers have in common: they are as the environment within, unless they say otherwise."""

    environment: Any  # the VectorEnvironment within

    @property
    def num_envs(self) -> int:
        return self.environment.num_envs

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        return self.environment.observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        return self.environment.action_space

    @property
    def max_episode_steps(self) -> int | None:
        return self.environment.max_episode_steps

    def reset(self, key: Key) -> tuple[Any, PyTree]:
        """Begins an episode in every environment. Returns the state and observations ``[B, …]``."""
        return self.begin(key, {})

    def begin(self, key: Key, known: dict[str, Any]) -> tuple[Any, PyTree]:
        """:meth:`reset`, with the running statistics ``known`` (see :func:`.normalisation.statistics`).

        Here it is the environment's, for wrappers that have no state and show what they are shown.
        """
        return begin(self.environment, key, known)

    def replace(self, **changes: Any) -> Any:
        """A copy with some fields changed, be they the wrapper's or those of the environment within."""
        names = {field.name for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        own = {name: value for name, value in changes.items() if name in names}
        within = {name: value for name, value in changes.items() if name not in names}
        if within:
            own["environment"] = own.get("environment", self.environment).replace(**within)
        return dataclasses.replace(self, **own)  # type: ignore[type-var]


def begin(environment: Any, key: Key, known: dict[str, Any]) -> tuple[Any, PyTree]:
    """Resets any batch, wrapped or not, and normalises from the start with statistics that are ``known``.

    Args:
        environment: the batch.
        key: as for its ``reset``.
        known: of :func:`.normalisation.statistics`; what it has not begins with nothing.

    Returns:
        The state and observations ``[B, …]``.
    """
    return environment.begin(key, known) if isinstance(environment, Wrapper) else environment.reset(key)


def unwrapped(environment: Any) -> Any:
    """The environment inside all wrappers."""
    while isinstance(environment, Wrapper):
        environment = environment.environment
    return environment


@with_knobs("environment")
class AllowedActions(Wrapper):
    """Leaves some of a Discrete space's actions to choose from, counted from 0 in the order given.

    Raises:
        InvalidInput: ``actions`` are not whole numbers in a tuple, each once and each in the space.
    """

    environment: Any
    actions: tuple[int, ...]

    def __post_init__(self) -> None:
        space = self.environment.action_space
        if not isinstance(space, gymnasium.spaces.Discrete):
            raise InvalidInput(f"allowed_actions are of a Discrete space, not of {space}")
        given = self.actions if isinstance(self.actions, tuple) else ()
        whole = all(isinstance(action, int) and not isinstance(action, bool) for action in given)
        if not given or not whole or len(set(given)) < len(given) or not all(map(space.contains, given)):
            raise InvalidInput(
                f"allowed_actions must be a tuple of actions of {space}, such as"
                f" {(int(space.start), int(space.start + space.n - 1))}, each once, not {self.actions!r}"
            )

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(len(self.actions))

    def step(self, key: Key, state: Any, action: Array) -> tuple[Any, TimeStep]:
        return self.environment.step(key, state, jnp.asarray(self.actions, jnp.int32)[action])


@struct.dataclass
class StickyState:
    """The state of :class:`StickyActions`: the action of the last step ``[B, …]``."""

    inner: Any
    action: Array
    fresh: Array  # [B], whether the episode has had no step yet


@with_knobs("environment", "probability")
class StickyActions(Wrapper):
    """Carries out the last step's action instead of the one given, with a probability (Machado et al. 2018).

    The first action of an episode never gives way. Neither the learner's record of its actions nor a
    life's end (where lives are taken for episodes, the game goes on) knows anything of it.

    Raises:
        InvalidInput: ``probability`` is not in [0, 1].
    """

    environment: Any
    probability: float | Array = 0.25

    def __post_init__(self) -> None:
        check_number("probability", self.probability, 0, 1)

    def begin(self, key: Key, known: dict[str, Any]) -> tuple[StickyState, PyTree]:
        inner, observation = begin(self.environment, key, known)
        space = self.action_space
        dtype = jax.dtypes.canonicalize_dtype(space.dtype)
        action = jnp.zeros((self.num_envs, *(space.shape or ())), dtype)
        return StickyState(inner=inner, action=action, fresh=jnp.ones(self.num_envs, bool)), observation

    def step(self, key: Key, state: StickyState, action: Array) -> tuple[StickyState, TimeStep]:
        own_key, key = jax.random.split(key)
        sticks = jax.random.uniform(own_key, (self.num_envs,)) < self.probability
        action = jnp.asarray(action)
        carried_out = select(sticks & ~state.fresh, state.action.astype(action.dtype), action)
        inner, timestep = self.environment.step(key, state.inner, carried_out)
        last = carried_out.astype(state.action.dtype)
        return StickyState(inner=inner, action=last, fresh=timestep.finished), timestep


@with_knobs("environment")
class ClipReward(Wrapper):
    """Clips rewards to [-1, 1], or leaves only their sign (Mnih et al. 2015).

    Raises:
        InvalidInput: ``to`` is neither ``"range"`` nor ``"sign"``.
    """

    environment: Any
    to: Literal["range", "sign"] = "range"

    def __post_init__(self) -> None:
        check_choice("to", self.to, ("range", "sign"))

    def step(self, key: Key, state: Any, action: Array) -> tuple[Any, TimeStep]:
        state, timestep = self.environment.step(key, state, action)
        reward = timestep.reward
        reward = jnp.sign(reward) if self.to == "sign" else jnp.clip(reward, -1.0, 1.0)
        return state, dataclasses.replace(timestep, reward=reward)


@with_knobs("environment")
class EndAtReward(Wrapper):
    """Ends an episode, for the learner, with each reward that is not 0, as in a game of points.

    The game goes on, and ``TimeStep.episode`` and ``finished`` go on telling of whole games.
    """

    environment: Any

    def step(self, key: Key, state: Any, action: Array) -> tuple[Any, TimeStep]:
        state, timestep = self.environment.step(key, state, action)
        return state, dataclasses.replace(timestep, terminated=timestep.terminated | (timestep.reward != 0))


@with_knobs("environment")
class EndAtLimit(Wrapper):
    """Takes a time limit for an end of the task: where an episode is cut off, nothing is bootstrapped.

    That is an error in all but one case, namely that the remaining time is observed (Pardo et al. 2018, "Time
    limits in reinforcement learning"). Stable-Baselines learnt so until version 1.1.0 of its third edition:
    what was published then is to be held against agents that do the same.
    """

    environment: Any

    def step(self, key: Key, state: Any, action: Array) -> tuple[Any, TimeStep]:
        state, timestep = self.environment.step(key, state, action)
        nowhere = jnp.zeros_like(timestep.truncated)
        return state, dataclasses.replace(timestep, terminated=timestep.ended, truncated=nowhere)


@with_knobs("environment", "probability")
class Flicker(Wrapper):
    """Blanks an observation as a whole, to zeros, with a probability (Hausknecht & Stone 2015).

    Raises:
        InvalidInput: ``probability`` is not in [0, 1], or observations are not numbers in an array.
    """

    environment: Any
    probability: float | Array = 0.5

    def __post_init__(self) -> None:
        check_number("probability", self.probability, 0, 1)
        check_arrays("flicker", self.environment)

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        space = self.environment.observation_space
        if not isinstance(space, gymnasium.spaces.Box):
            return space
        low, high = space.low.clip(max=0), space.high.clip(min=0)
        return gymnasium.spaces.Box(low, high, dtype=space.dtype.type)

    def begin(self, key: Key, known: dict[str, Any]) -> tuple[Any, PyTree]:
        own_key, key = jax.random.split(key)
        state, observation = begin(self.environment, key, known)
        return state, self.blank(own_key, observation)

    def step(self, key: Key, state: Any, action: Array) -> tuple[Any, TimeStep]:
        successor_key, first_key, key = jax.random.split(key, 3)
        state, timestep = self.environment.step(key, state, action)
        successor = self.blank(successor_key, timestep.next_observation)
        first = self.blank(first_key, timestep.observation)
        return state, dataclasses.replace(
            timestep,
            next_observation=successor,
            observation=select(timestep.ended, first, successor),  # the same screen where it goes on
        )

    def blank(self, key: Key, observation: Array) -> Array:
        blank = jax.random.uniform(key, (self.num_envs,)) < self.probability
        return select(blank, jnp.zeros_like(observation), observation)


def check_arrays(option: str, environment: Any) -> None:
    """Raises InvalidInput where observations are not arrays of numbers that an option can work on."""
    space = environment.observation_space
    if not isinstance(space, gymnasium.spaces.Box | gymnasium.spaces.MultiBinary):
        raise InvalidInput(f"{option} takes observations of a Box or MultiBinary space, not of {space}")
