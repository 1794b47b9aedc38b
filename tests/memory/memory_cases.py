"""Experience that names itself, and a slow model of what a memory of it holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from purejaxrl.types import Transition

FIELDS: dict[str, Any] = {
    "observation": {"pixels": np.zeros((2, 2), np.uint8), "serial": np.float32(0)},
    "action": np.int32(0),
    "reward": np.float32(0),
    "terminated": np.bool_(False),
    "truncated": np.bool_(False),
    "next_observation": {"pixels": np.zeros((2, 2), np.uint8), "serial": np.float32(0)},
    "extras": {"log_probability": np.float32(0)},
}
EXAMPLE = Transition(**FIELDS)


def observe(serial: np.ndarray) -> dict[str, np.ndarray]:
    """An observation that names the transition it belongs to, twice."""
    pixels = np.broadcast_to((serial % 251)[..., None, None], (*serial.shape, 2, 2))
    return {"pixels": pixels.astype(np.uint8), "serial": serial.astype(np.float32)}


def transitions(serial: np.ndarray, num_envs: int) -> Transition:
    """Experience in which every field is a function of a serial number of at least 1.

    Number s is followed, in its environment, by s + num_envs. Every fifth one ends an episode, by
    termination or by truncation, and then its true successor is -s, which is stored nowhere.
    """
    terminated, truncated = serial % 10 == 3, serial % 10 == 8
    fields: dict[str, Any] = {
        "observation": observe(serial),
        "action": (serial * 7 % 11).astype(np.int32),
        "reward": (2 * serial + 1).astype(np.float32),
        "terminated": terminated,
        "truncated": truncated,
        "next_observation": observe(np.where(terminated | truncated, -serial, serial + num_envs)),
        "extras": {"log_probability": (-serial / 2).astype(np.float32)},
    }
    return Transition(**fields)


def rollout(index: int, length: int, num_envs: int, offset: int = 1) -> Transition:
    """The ``index``-th rollout ``[T, B]`` of a stream whose serial numbers begin at ``offset``."""
    size = length * num_envs
    return transitions(offset + index * size + np.arange(size).reshape(length, num_envs), num_envs)


def serials(sampled: Transition, num_envs: int) -> np.ndarray:
    """The serial numbers in a batch, after a look at every field of every row."""
    found = np.asarray(sampled.observation["serial"]).astype(int)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(sampled), transitions(found, num_envs))
    return found


@dataclasses.dataclass
class Model:
    """What a ring of ``capacity`` transitions holds that was given :func:`rollout` s, by arithmetic alone."""

    capacity: int
    length: int
    num_envs: int
    steps: int
    count: int = 0

    def add(self) -> None:
        self.count += 1

    def starts(self) -> list[int]:
        """Serial numbers of the steps with which windows of ``steps`` begin that are stored."""
        newest = self.count * self.length  # steps that each environment has made
        oldest = max(0, newest - self.capacity // self.num_envs)
        times = range(oldest, newest - self.steps + 1)
        return [1 + time * self.num_envs + env for time in times for env in range(self.num_envs)]

    def n_steps(self, first: np.ndarray) -> Transition:
        """The samples that n-step memories give for windows that begin with serial numbers ``[batch]``."""
        first, rows = np.unique(first, return_inverse=True)
        reward = np.zeros((len(first), self.steps), np.float32)
        terminated, truncated = np.zeros((2, len(first), self.steps), bool)
        last = np.zeros(len(first), int)
        for row, serial in enumerate(first):
            for step in range(self.steps):
                now = transitions(np.array(serial + step * self.num_envs), self.num_envs)
                reward[row, step] = now.reward
                terminated[row, step], truncated[row, step] = now.terminated, now.truncated
                last[row] = serial + step * self.num_envs
                if now.terminated or now.truncated:
                    break
        samples = dataclasses.replace(
            transitions(first, self.num_envs),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            next_observation=transitions(last, self.num_envs).next_observation,
        )
        return jax.tree.map(lambda leaf: leaf[rows], samples)
