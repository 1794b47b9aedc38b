"""What is shown of images: a part of them, what is no background, and what has changed since the last."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.environments.base import select
from purejaxrl.environments.knob_checks import check_count
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.environments.wrappers import Wrapper, begin, check_arrays
from purejaxrl.types import Array, InvalidInput, Key, PyTree, TimeStep


class View(Wrapper):
    """What the wrappers have in common that show something else of each observation by itself."""

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        space = self.environment.observation_space
        if isinstance(space, gymnasium.spaces.MultiBinary):
            return gymnasium.spaces.MultiBinary(self.show(np.zeros((1, *space.shape)))[0].shape)
        low, high = (self.show(bound[None])[0] for bound in (space.low, space.high))
        return gymnasium.spaces.Box(low, high, dtype=space.dtype.type)

    def begin(self, key: Key, known: dict[str, Any]) -> tuple[Any, PyTree]:
        state, observation = begin(self.environment, key, known)
        return state, self.show(observation)

    def step(self, key: Key, state: Any, action: Array) -> tuple[Any, TimeStep]:
        state, timestep = self.environment.step(key, state, action)
        first, last = self.show(timestep.observation), self.show(timestep.next_observation)
        return state, dataclasses.replace(timestep, observation=first, next_observation=last)

    def show(self, observation: Any) -> Any:
        """What is shown of observations ``[B, …]``."""
        raise NotImplementedError


@with_knobs("environment")
class Crop(View):
    """Shows a part of an image ``[H, W, C]`` or a board ``[H, W]``.

    Args:
        environment: the batch within.
        edges: top, bottom, left and right: the first row that is shown and the first below that is not,
            and so for columns.

    Raises:
        InvalidInput: ``edges`` are no such numbers, or observations no images.
    """

    environment: Any
    edges: tuple[int, int, int, int]

    def __post_init__(self) -> None:
        height, width = check_images("crop", self.environment)
        given = self.edges if isinstance(self.edges, tuple) else ()
        whole = all(isinstance(edge, int) and not isinstance(edge, bool) for edge in given)
        if len(given) == 4 and whole:
            top, bottom, left, right = given
            if 0 <= top < bottom <= height and 0 <= left < right <= width:
                return
        raise InvalidInput(
            f"crop must be (top, bottom, left, right) within (0, {height}, 0, {width}), not {self.edges!r}"
        )

    def show(self, observation: Any) -> Any:
        top, bottom, left, right = self.edges
        return observation[:, top:bottom, left:right]


@with_knobs("environment")
class Downsample(View):
    """Shows every ``factor``-th row and column of an image ``[H, W, C]`` or a board ``[H, W]``.

    The first of each is among them.

    Raises:
        InvalidInput: ``factor`` is not a whole number of at least 1, or observations are no images.
    """

    environment: Any
    factor: int = 2

    def __post_init__(self) -> None:
        check_count("downsample", self.factor, 1)
        check_images("downsample", self.environment)

    def show(self, observation: Any) -> Any:
        return observation[:, :: self.factor, :: self.factor]


@with_knobs("environment")
class Background(View):
    """Shows each number of an observation as 0 where it is one of ``numbers``, and else as 1.

    Raises:
        InvalidInput: ``numbers`` are none that an observation can have, or observations are not numbers in
            an array.
    """

    environment: Any
    numbers: tuple[float, ...] = (0,)

    def __post_init__(self) -> None:
        check_arrays("background", self.environment)
        space = self.environment.observation_space
        low, high = (0, 1) if isinstance(space, gymnasium.spaces.MultiBinary) else (space.low, space.high)
        least, most = np.min(low), np.max(high)
        whole = not np.issubdtype(space.dtype, np.floating)
        for number in self.numbers or (None,):
            known = isinstance(number, int | float) and not isinstance(number, bool)
            if number is None or not known or not least <= number <= most or (whole and number % 1):
                raise InvalidInput(
                    f"background must be {'whole ' if whole else ''}numbers from {least:g} to {most:g}, as"
                    f" observations are, not {self.numbers!r}"
                )

    @property
    def observation_space(self) -> gymnasium.spaces.MultiBinary:
        return gymnasium.spaces.MultiBinary(self.environment.observation_space.shape)

    def show(self, observation: Any) -> Any:
        background = jnp.asarray(self.numbers, observation.dtype)
        return jnp.all(observation[..., None] != background, axis=-1).astype(jnp.int8)


@struct.dataclass
class DifferenceState:
    """The state of :class:`Difference`: the observation ``[B, …]`` to take off the next one."""

    inner: Any
    frame: Array


@with_knobs("environment")
class Difference(Wrapper):
    """Shows an observation less the one before it: what moves, and which way, and nothing else.

    An episode begins with zeros. Differences of bits are -1, 0 and 1; those of bytes are divided by 255, as
    networks divide bytes.

    Raises:
        InvalidInput: observations that are not numbers in an array.
    """

    environment: Any

    def __post_init__(self) -> None:
        check_arrays("difference", self.environment)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        space, kind, scale = self.environment.observation_space, self.kind, self.scale
        if isinstance(space, gymnasium.spaces.MultiBinary):
            return gymnasium.spaces.Box(-1, 1, space.shape, kind)
        with np.errstate(over="ignore"):  # the largest numbers stand for infinity
            most = (space.high.astype(kind) - space.low.astype(kind)) / scale
        return gymnasium.spaces.Box(-most, most, dtype=kind)

    def begin(self, key: Key, known: dict[str, Any]) -> tuple[DifferenceState, PyTree]:
        inner, frame = begin(self.environment, key, known)
        return DifferenceState(inner, frame), jnp.zeros(frame.shape, self.kind)

    def step(self, key: Key, state: DifferenceState, action: Array) -> tuple[DifferenceState, TimeStep]:
        inner, timestep = self.environment.step(key, state.inner, action)
        difference = timestep.next_observation.astype(self.kind) - state.frame.astype(self.kind)
        difference = difference if self.scale == 1 else difference / self.scale
        shown = select(timestep.ended, jnp.zeros_like(difference), difference)
        state = DifferenceState(inner, timestep.observation)
        return state, dataclasses.replace(timestep, observation=shown, next_observation=difference)

    @property
    def kind(self) -> Any:
        """The type of differences."""
        bits = isinstance(self.environment.observation_space, gymnasium.spaces.MultiBinary)
        return np.int8 if bits else np.float32

    @property
    def scale(self) -> int:
        """What they are divided by."""
        return 255 if self.environment.observation_space.dtype == np.uint8 else 1


def check_images(option: str, environment: Any) -> tuple[int, int]:
    """The height and width of an environment's images, or InvalidInput where it shows none."""
    check_arrays(option, environment)
    shape = environment.observation_space.shape
    if len(shape) not in (2, 3):
        raise InvalidInput(f"{option} takes images [H, W, C] or boards [H, W], not observations {shape}")
    return shape[0], shape[1]
