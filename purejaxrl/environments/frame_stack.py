"""The last few observations as one, with the actions in between if asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.environments.base import select
from purejaxrl.environments.knob_checks import check_count
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.environments.wrappers import Wrapper, begin, check_arrays
from purejaxrl.types import Array, InvalidInput, Key, PyTree, TimeStep


@struct.dataclass
class StackState:
    """The state of :class:`FrameStack`: the observation ``[B, …]`` that was shown last."""

    inner: Any
    stack: Array


@with_knobs("environment")
class FrameStack(Wrapper):
    """Shows the last ``frames`` observations along the last axis, the newest one last.

    An image ``[H, W, C]`` becomes ``[H, W, frames * C]``, a board ``[H, W]`` becomes ``[H, W, frames]``,
    a vector ``[D]`` becomes ``[frames * D]``. An episode begins with its first observation in all
    places; so does what follows the end of a life where lives are taken for episodes.

    With ``actions`` it is the n-gram heuristic for what cannot be seen at once: each action lies between
    the observation that it was taken in and the next one. A discrete action is one-hot (255 among bytes, so
    that it is 1 once they are scaled); in images and boards each of its numbers is a plane. Zeros stand for
    the actions before the episode.

    Raises:
        InvalidInput: ``frames`` is not a whole number of at least 1; observations that are not numbers
            in an array of one to three axes; actions that cannot be shown among such observations.
    """

    environment: Any
    frames: int = 4
    actions: bool = False

    def __post_init__(self) -> None:
        check_count("frames", self.frames, 1)
        check_arrays("frame_stack", self.environment)
        space, action_space = self.environment.observation_space, self.environment.action_space
        if not 1 <= len(space.shape) <= 3:
            raise InvalidInput(f"frame_stack takes observations of one to three axes, not {space.shape}")
        if not self.actions:
            return
        numbers = isinstance(action_space, gymnasium.spaces.Box) and len(action_space.shape) == 1
        if not (isinstance(action_space, gymnasium.spaces.Discrete) or numbers):
            raise InvalidInput(
                f"stack_actions takes a Discrete space, or a Box of one axis, not {action_space}"
            )
        if numbers and not np.issubdtype(space.dtype, np.floating):
            raise InvalidInput(
                f"stack_actions cannot put the numbers of {action_space} among observations of {space.dtype}"
            )

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        space = self.environment.observation_space
        if isinstance(space, gymnasium.spaces.MultiBinary):
            low, high = np.zeros(space.shape, space.dtype), np.ones(space.shape, space.dtype)
        else:
            low, high = space.low, space.high
        low, high = (self.channels(bound) for bound in (low, high))
        action_low, action_high = self.action_bounds()
        planes = (*low.shape[:-1], len(action_low))

        def stack(frame: Any, action: Any) -> np.ndarray:
            action = np.broadcast_to(action.astype(frame.dtype), planes)
            return np.concatenate([*[frame, action] * (self.frames - 1), frame], axis=-1)

        low, high = stack(low, action_low), stack(high, action_high)
        if isinstance(space, gymnasium.spaces.MultiBinary):
            return gymnasium.spaces.MultiBinary(low.shape)
        return gymnasium.spaces.Box(low, high, dtype=space.dtype.type)

    def begin(self, key: Key, known: dict[str, Any]) -> tuple[StackState, PyTree]:
        inner, observation = begin(self.environment, key, known)
        stack = self.fill(observation)
        return StackState(inner=inner, stack=stack), stack

    def step(self, key: Key, state: StackState, action: Array) -> tuple[StackState, TimeStep]:
        inner, timestep = self.environment.step(key, state.inner, action)
        # Between barriers, or XLA works out a frame anew for each place that it has in a stack: on a CPU
        # that is ten times the cost of a game of MinAtar.
        last, first = jax.lax.optimization_barrier((timestep.next_observation, timestep.observation))
        frame = self.channels(last, 1)
        newest = [self.planes(action, frame), frame] if self.actions else [frame]
        dropped = sum(part.shape[-1] for part in newest)
        successor = jnp.concatenate([state.stack[..., dropped:], *newest], axis=-1)
        if self.frames == 1:
            successor = frame
        successor, filled = jax.lax.optimization_barrier((successor, self.fill(first)))
        stack = select(timestep.ended, filled, successor)
        return StackState(inner=inner, stack=stack), dataclasses.replace(
            timestep, observation=stack, next_observation=successor
        )

    def channels(self, observation: Any, batch: int = 0) -> Any:
        """An observation with an axis of channels, which boards do not have."""
        return observation[..., None] if observation.ndim - batch == 2 else observation

    def fill(self, observation: Array) -> Array:
        """A stack of nothing but first observations ``[B, …]``, and of no actions."""
        frame = self.channels(observation, 1)
        if not self.actions:
            return jnp.tile(frame, self.frames)
        nothing = jnp.zeros((*frame.shape[:-1], len(self.action_bounds()[0])), frame.dtype)
        before = jnp.tile(jnp.concatenate([frame, nothing], axis=-1), self.frames - 1)
        return jnp.concatenate([before, frame], axis=-1)

    def planes(self, action: Array, frame: Array) -> Array:
        """Actions ``[B, …]`` as channels of frames ``[B, …, C]``."""
        space, (_, high) = self.environment.action_space, self.action_bounds()
        if isinstance(space, gymnasium.spaces.Discrete):
            numbers = (jnp.asarray(action)[:, None] == space.start + jnp.arange(space.n)) * high
        else:
            numbers = jnp.asarray(action)
        numbers = jax.lax.stop_gradient(numbers).astype(frame.dtype)
        numbers = numbers.reshape(numbers.shape[0], *[1] * (frame.ndim - 2), -1)
        return jnp.broadcast_to(numbers, (*frame.shape[:-1], numbers.shape[-1]))

    def action_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest of each number that shows an action ``[A]``."""
        space = self.environment.action_space
        if not self.actions:
            return np.zeros(0), np.zeros(0)
        if isinstance(space, gymnasium.spaces.Discrete):
            one = 255 if self.environment.observation_space.dtype == np.uint8 else 1
            return np.zeros(int(space.n), np.int32), np.full(int(space.n), one, np.int32)
        return np.minimum(space.low, 0), np.maximum(space.high, 0)
