"""MemoryLength: what was seen at the start is asked for at the end (Osband et al. 2020), as in bsuite."""

from __future__ import annotations

from typing import cast

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl.environments.base import check_max_episode_steps
from purejaxrl.environments.knob_checks import check_size, check_whole_knob
from purejaxrl.environments.pytrees import with_knobs
from purejaxrl.types import Array, Key


@struct.dataclass
class MemoryState:
    """Where an episode stands, and what is to be remembered in it."""

    time: Array  # steps since the episode began
    context: Array  # [max_num_bits] of 0 or 1
    query: Array  # which of the bits is asked for


@with_knobs("memory_length", "num_bits")
class MemoryLength:
    """Bits are shown at the start; in the last step the action must be the one that is asked for.

    Reward 1 if it is and -1 if not, at the end of an episode of ``memory_length + 1`` steps, and 0
    before; who remembers nothing earns 0 on average. As in bsuite, whose memory_len this is with one
    bit and memory_size with more of them, what is shown lags one step behind: the context is seen at
    the reset and again after the first step, the query before the last step.

    Observation ``[2 + max_num_bits]``: the time left, from 1 down to 0; the number of the bit that is
    asked for, and 0 before it is; the bits as -1 or 1, and 0 after the start or where there is none.
    (bsuite's has an axis of length 1 before that.) Action: 0 or 1, the bit that was seen as -1 or 1.

    Args:
        memory_length: steps from the first look at the bits to the query, at least 1.
        num_bits: how many are shown, at least 1.
        max_num_bits: static, the largest number of bits; None for ``num_bits``.
        max_episode_steps: static; episodes end by themselves, so that None does no harm.

    Raises:
        InvalidInput: a value outside of what is said above, where it is known (what is traced by
            jax is not looked at); a traced ``num_bits`` without ``max_num_bits``.
    """

    memory_length: int | Array = 10
    num_bits: int | Array = 1
    max_num_bits: int | None = None
    max_episode_steps: int | None = None

    def __post_init__(self) -> None:
        check_whole_knob("memory_length", self.memory_length, 1)
        size = check_size("num_bits", self.num_bits, 1, self.max_num_bits)
        object.__setattr__(self, "max_num_bits", size)
        check_max_episode_steps(self.max_episode_steps)

    @property
    def size(self) -> int:
        """What fixes a shape: the largest number of bits."""
        return cast("int", self.max_num_bits)

    @property
    def observation_space(self) -> gymnasium.spaces.Box:
        low = np.array([0, 0, *[-1] * self.size], np.float32)
        high = np.array([1, self.size - 1, *[1] * self.size], np.float32)
        return gymnasium.spaces.Box(low, high, dtype=np.float32)

    @property
    def action_space(self) -> gymnasium.spaces.Discrete:
        return gymnasium.spaces.Discrete(2)

    def reset(self, key: Key) -> tuple[MemoryState, Array]:
        context_key, query_key = jax.random.split(key)
        state = MemoryState(
            time=jnp.int32(0),
            context=jax.random.bernoulli(context_key, 0.5, (self.size,)).astype(jnp.int32),
            query=jax.random.randint(query_key, (), 0, self.num_bits, jnp.int32),
        )
        return state, self.observe(state, state.time)

    def step(self, key: Key, state: MemoryState, action: Array) -> tuple[MemoryState, Array, Array, Array]:
        del key  # all of an episode's chance is drawn at its start
        observation = self.observe(state, state.time)  # one step behind, see above
        terminated = state.time >= self.memory_length
        payment = jnp.where(action == state.context[state.query], 1.0, -1.0)
        reward = jnp.where(terminated, payment, 0.0).astype(jnp.float32)
        state = state.replace(time=state.time + 1)  # pyright: ignore[reportAttributeAccessIssue]
        return state, observation, reward, terminated

    def observe(self, state: MemoryState, time: Array) -> Array:
        """What is shown at a time."""
        left = (self.memory_length - time) / self.memory_length
        query = jnp.where(time == self.memory_length - 1, state.query, 0)
        shown = (time == 0) & (jnp.arange(self.size) < self.num_bits)
        bits = jnp.where(shown, 2 * state.context - 1, 0)
        return jnp.concatenate([jnp.stack([left, query]), bits]).astype(jnp.float32)
