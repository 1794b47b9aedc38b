"""Prioritised experience replay (Schaul et al. 2016), the proportional variant."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
from flax import struct

from purejaxrl.memory import ring, sum_tree
from purejaxrl.types import Array, Key, Sample, Transition

LEAST, MOST = 1e-30, 1e30  # masses that can be added up by the million


@struct.dataclass
class Priorities:
    """A ring of transitions and the masses of those that may be drawn."""

    transitions: Transition  # [B, slots, T, …]
    tree: sum_tree.Tree  # the mass of a window of n steps is that of the position of its last step
    largest: Array  # [B], the largest mass so far, of all environments


@dataclasses.dataclass(frozen=True)
class PrioritisedReplay:
    """A ring buffer of ``capacity`` transitions, drawn ``batch_size`` at a time in proportion to a mass.

    The mass of a transition is what the agent says, (|δ| + ε)^α in the paper: it is kept as given.
    A new transition has the largest mass so far, or 1 if none was larger. With ``n_step`` above 1 a
    sample is what n steps led to, as in :class:`purejaxrl.memory.Replay`, and a transition is new once
    all n steps are there.

    Source: Schaul et al. (2016), "Prioritized Experience Replay", algorithm 1 and appendix B.2.1: the
    total is cut into ``batch_size`` equal parts, and a row is drawn from each.
    """

    capacity: int
    batch_size: int
    warmup_steps: int
    n_step: int = 1

    def warmup(self, rollout_length: int, num_envs: int) -> int:
        """``warmup_steps``, or more where n steps take more."""
        return ring.warmup(self.warmup_steps, self.n_step, "n_step", rollout_length, num_envs)

    @property
    def environment_axis(self) -> int:
        return 0

    def init(self, transition: Transition, rollout_length: int, num_envs: int) -> Priorities:
        """Raises InvalidInput where rollouts do not divide the buffer, or n steps do not fit."""
        ring.check_number("n_step", self.n_step, 1)
        transitions = ring.empty(self.capacity, self.n_step, transition, rollout_length, num_envs)
        return Priorities(
            transitions=transitions,
            tree=sum_tree.empty(num_envs, self.capacity // num_envs),
            largest=jnp.ones(num_envs),
        )

    def add(self, memory: Priorities, rollout: Transition, count: Array | int) -> Priorities:
        """Writes the rollout ``[T, B]`` over the oldest one; windows that it completes may be drawn."""
        num_envs, slots, length = memory.transitions.reward.shape
        # A window is known by its last step: so those that are complete now are those that end in the
        # rollout, but for the first ones of all, which would begin before it.
        whole = jnp.minimum(count, self.n_step) * length + jnp.arange(length) >= self.n_step - 1
        mass = jnp.where(whole, memory.largest[:, None], 0.0)
        parts = [(count % slots * length, mass)]
        # Those that end less than n steps after the rollout, among the oldest, have lost their first
        # steps to it. The ones that end in whole rollouts after it but for the last were lost before.
        lost = self.n_step - 1
        after = -(-lost // length)
        for slot, width in ((after - 1, length), (after, lost - (after - 1) * length)):
            if slot > 0:
                parts.append(((count + slot) % slots * length, jnp.zeros((num_envs, width))))
        tree = sum_tree.write(memory.tree, parts)
        transitions = ring.write(memory.transitions, rollout, count)
        return Priorities(transitions=transitions, tree=tree, largest=memory.largest)

    def cut(self, memory: Priorities, count: Array | int) -> Priorities:
        """The newest steps are the last of their episodes, of which none then reads on."""
        return dataclasses.replace(memory, transitions=ring.cut(memory.transitions, count))

    def sample(self, memory: Priorities, key: Key, count: Array | int) -> Sample:
        """A batch ``[batch_size]`` of the transitions stored, and how likely each was.

        Raises:
            InvalidInput: nothing, or less than n steps, has been stored (where ``count`` is known
                outside of jit).
        """
        stored = memory.transitions
        ring.check_filled(stored, count, self.n_step)
        num_envs, slots, length = stored.reward.shape
        env, end, mass, total = sum_tree.draw(memory.tree, key, self.batch_size)
        start = (end - (self.n_step - 1)) % (slots * length)
        index = ring.rows(stored, env, start)
        if self.n_step > 1:
            transition = ring.several_steps(stored, env, start, self.n_step)
        else:
            transition = ring.one_step(stored, index)
        number = num_envs * ring.number_of_starts(stored, count, self.n_step)
        return Sample(transition=transition, index=index, probability=number * (mass / total))

    def revise(self, memory: Priorities, batches: Sample, priorities: Array) -> Priorities:
        """Gives the rows of ``[U, batch]`` drawn the masses ``[U, batch]``, finite and at least 0.

        Later updates win over earlier ones, and in a batch that has a row twice the larger mass. A mass
        that is NaN or infinite says nothing of its row, which is as good as new then. All are held
        between 1e-30 and 1e30: what may be drawn stays so, and sums stay finite.
        """
        _, slots, length = memory.transitions.reward.shape
        rows = slots * length
        env, start = batches.index // rows, batches.index % rows
        known = jnp.isfinite(priorities)
        given = jnp.where(known, jnp.clip(priorities, LEAST, MOST), memory.largest[0])
        tree = sum_tree.scatter(memory.tree, env, (start + self.n_step - 1) % rows, given)
        largest = jnp.maximum(memory.largest, jnp.max(given))
        return Priorities(transitions=memory.transitions, tree=tree, largest=largest)
