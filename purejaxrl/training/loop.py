"""The one loop: collect, remember, update. Pure functions of one seed; see :mod:`.seeds` for many.

Counters never enter the carried state. They come from the scans' own indices, so that they stay
plain unbatched scalars however many seeds are vmapped: a write into a replay buffer then is an
in-place slice, not a scatter, and no branch is ever taken both ways.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import gymnasium
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl import networks
from purejaxrl.environments import (
    VectorEnvironment,
    begin,
    for_evaluation,
    of_environments,
    release,
    statistics,
)
from purejaxrl.environments.base import begin_episodes, select
from purejaxrl.memory import Episodic, Memory, Prioritised
from purejaxrl.sampling import numbered_keys
from purejaxrl.training import spread
from purejaxrl.training.settings import Settings
from purejaxrl.types import Array, EpisodeStatistics, InvalidInput, Key, Metrics, PyTree, TimeStep, Transition


class Agent(Protocol):
    """What a module of :mod:`purejaxrl.agents` offers; the loop knows no more of an algorithm.

    ``carry`` is what a policy remembers of its episode, ``[B, …]``; one that remembers nothing, and so
    is no :class:`Recurrent`, is given ``()`` and gives that back.
    """

    def init(
        self,
        key: Key,
        config: Any,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
    ) -> Any: ...

    def memory(self, config: Any) -> Memory[Any]: ...

    def act(
        self, state: Any, observation: PyTree, key: Key, step: Array | int, carry: PyTree
    ) -> tuple[Array, PyTree, PyTree]: ...

    def greedy(self, state: Any, observation: PyTree, carry: PyTree) -> tuple[Array, PyTree]: ...

    def update(self, state: Any, batch: PyTree) -> Any: ...


@runtime_checkable
class Recurrent(Protocol):
    """What an agent has besides if its policy remembers."""

    def initial_carry(self, state: Any, num_envs: int) -> PyTree:
        """What is remembered as an episode begins, ``[num_envs, …]``."""
        ...


@struct.dataclass
class Runner:
    """A run of one seed between two iterations: all that it takes to go on."""

    agent: Any  # the algorithm's State
    environment: Any  # the VectorEnvironment, for its knobs
    environment_state: Any
    observation: PyTree  # [B, …], to act on next
    carry: PyTree  # [B, …], what the policy remembers of the episodes that are under way
    memory: Any
    key: Key  # of acting and of the environment, folded with twice the step's index and one more
    update_key: Key  # folded with the update's
    evaluation_key: Key  # folded with the epoch's
    episode_key: Key  # folded with the rollout's, where each begins new episodes


@struct.dataclass
class Tally:
    """Sums over the iterations of an epoch, out of which its Metrics are made."""

    episodes: Array
    episode_return: Array
    episode_length: Array
    sums: Array  # [2 + K], of rewards, of observations, of the figures in the agent's info
    finite: Array  # [2 + K], the iterations before each of the sums was NaN or infinite


@dataclasses.dataclass(frozen=True)
class Loop:
    """An agent, an environment and settings, joined into pure functions of a key.

    Args:
        agent: a module of :mod:`purejaxrl.agents`.
        config: its Config; leaves may be traced.
        environment: what to learn in, ``settings.num_envs`` of it.
        settings: the sizes of everything.
        mesh: devices that share the environments of the run; None is the device that the run is on.

    Raises:
        InvalidInput: the settings cannot work, or do not fit the environment.
    """

    agent: Agent
    config: Any
    environment: VectorEnvironment[Any]
    settings: Settings
    mesh: jax.sharding.Mesh | None = None

    def __post_init__(self) -> None:
        self.settings.check_sizes()
        self.settings.check(self.warmup_steps)
        if self.environment.num_envs != self.settings.num_envs:
            raise InvalidInput(
                f"the environment is a batch of {self.environment.num_envs}, not of"
                f" num_envs = {self.settings.num_envs}"
            )
        updates = self.settings.updates_per_iteration
        if getattr(self.memory, "once", False) and updates != 1:
            raise InvalidInput(
                f"updates_per_iteration must be 1, not {updates}: an update is of the policy that acted, and"
                " the first one changes it"
            )
        self.check_schedules(updates * self.settings.num_epochs * self.iterations_per_epoch)

    def check_schedules(self, updates: int) -> None:
        """Raises InvalidInput where a step that falls to 0 is there long before the run's end."""
        for name in ("learning_rate", "clip"):
            steps, end = (getattr(self.config, f"{name}_{what}", None) for what in ("steps", "end"))
            if steps is None or isinstance(steps, jax.core.Tracer) or isinstance(end, jax.core.Tracer):
                continue
            if np.any((np.asarray(steps) < updates) & (np.asarray(end) == 0)):
                raise InvalidInput(
                    f"{name}_steps={steps!r} leaves nothing to learn by after as many of the run's {updates}"
                    f" updates: let it be {updates}, or {name}_end more than 0"
                )

    def check(self) -> None:
        """Traces a run without compiling it, so that what cannot work says so at once."""
        runner, _ = jax.eval_shape(self.begin, jax.random.key(0))
        jax.eval_shape(self.epoch, runner, jnp.int32(0))

    def check_agent(self) -> None:
        """The same for the agent alone, for the further members of a program that has been checked."""
        environment = self.environment
        jax.eval_shape(
            lambda key: self.agent.init(
                key, self.config, environment.observation_space, environment.action_space
            ),
            jax.random.key(0),
        )

    @property
    def memory(self) -> Memory[Any]:
        return self.agent.memory(self.config)

    @property
    def warmup_steps(self) -> int:
        """Environment steps before the first update."""
        return self.memory.warmup(self.settings.rollout_length, self.settings.num_envs)

    @property
    def warmup_iterations(self) -> int:
        return self.settings.warmup_iterations(self.warmup_steps)

    @property
    def iterations_per_epoch(self) -> int:
        return self.settings.iterations_per_epoch(self.warmup_steps)

    def begin(self, key: Key) -> tuple[Runner, Metrics]:
        """A fresh run after its warm-up, and the metrics of that: the policy before any update."""
        agent_key, reset_key, step_key, update_key, evaluation_key, episode_key = jax.random.split(key, 6)
        environment = self.environment
        agent = self.agent.init(
            agent_key, self.config, environment.observation_space, environment.action_space
        )
        environment_state, observation = self.spread_episodes(environment.reset(reset_key))
        runner = Runner(
            agent=agent,
            environment=environment,
            environment_state=environment_state,
            observation=observation,
            carry=self.spread(self.initial_carry(agent, self.settings.num_envs)),
            memory=self.memory.init(
                self.example(agent), self.settings.rollout_length, self.settings.num_envs
            ),
            key=step_key,
            update_key=update_key,
            evaluation_key=evaluation_key,
            episode_key=episode_key,
        )

        def fill(carry: tuple[Runner, Tally], count: Array) -> tuple[tuple[Runner, Tally], None]:
            runner, tally = self.collect(*carry, count)
            return (runner, count_finite(tally, count)), None

        carry = (runner, empty_tally(agent))
        (runner, tally), _ = jax.lax.scan(fill, carry, jnp.arange(self.warmup_iterations))
        return runner, self.measure(runner, tally, jnp.int32(0))

    def epoch(self, runner: Runner, index: Array) -> tuple[Runner, Metrics]:
        """Epoch ``index``, counted from 0: its iterations, then an evaluation."""
        first = self.warmup_iterations + index * self.iterations_per_epoch

        # The figures of updates travel as one array, not as many scalars: every array that a loop
        # carries costs it time, and the scalars of DQN cost a small network's loop a twentieth.
        info = runner.agent.info

        def iterate(carry: tuple[Runner, Tally, Array], i: Array) -> tuple[tuple[Runner, Tally, Array], None]:
            runner, tally, last = carry
            runner, tally = self.collect(runner, tally, first + i)
            runner, last, total = self.learn(runner, first + i, last, tally.sums[2:])
            tally = dataclasses.replace(tally, sums=jnp.concatenate([tally.sums[:2], total]))
            return (runner, count_finite(tally, i), last), None

        carry = (runner, empty_tally(runner.agent), stack(info))
        (runner, tally, last), _ = jax.lax.scan(iterate, carry, jnp.arange(self.iterations_per_epoch))
        agent = dataclasses.replace(runner.agent, info=unstack(last, info))
        runner = dataclasses.replace(runner, agent=agent)
        return runner, self.measure(runner, tally, index + 1)

    def renew(self, runner: Runner, index: Array) -> Runner:
        """The same run after ``index`` epochs with new episodes: for simulators that could not be saved."""
        # Evaluations fold in small numbers, the number of epochs done.
        key = jax.random.fold_in(runner.evaluation_key, jnp.uint32(2**31) + index.astype(jnp.uint32))
        count = self.warmup_iterations + index * self.iterations_per_epoch
        runner = self.begin_episodes(runner, key)
        return dataclasses.replace(runner, memory=self.memory.cut(runner.memory, count))

    def begin_episodes(self, runner: Runner, key: Key) -> Runner:
        """The same run with a new episode in every environment; running statistics go on."""
        known = statistics(runner.environment_state)
        environment_state, observation = self.spread_episodes(begin(runner.environment, key, known))
        return dataclasses.replace(
            runner,
            environment_state=environment_state,
            observation=observation,
            carry=self.spread(self.initial_carry(runner.agent, self.settings.num_envs)),
        )

    def epochs(self, runner: Runner) -> tuple[Runner, Metrics]:
        """Every epoch of a run that has begun. Metrics have a leading axis ``[num_epochs]``."""
        return jax.lax.scan(self.epoch, runner, jnp.arange(self.settings.num_epochs))

    def train(self, key: Key) -> tuple[Runner, Metrics]:
        """A whole run. Metrics have a leading axis ``[1 + num_epochs]``, the warm-up's first."""
        runner, warmup = self.begin(key)
        runner, epochs = self.epochs(runner)
        return runner, jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), warmup, epochs)

    def trace(
        self, key: Key, iterations: int, look: Callable[[Runner, Tally], PyTree]
    ) -> tuple[Runner, PyTree]:
        """A run that is looked at after every iteration: for small ones, in which each step counts.

        Args:
            key: of the run.
            iterations: rollouts, each with its updates, after the warm-up.
            look: what is to be seen of the run as it stands, and of the iteration's episodes.

        Returns:
            The run at its end, and what was seen, with a leading axis ``[iterations]``.
        """
        runner, _ = self.begin(key)
        info = runner.agent.info

        def iterate(runner: Runner, count: Array) -> tuple[Runner, PyTree]:
            runner, tally = self.collect(runner, empty_tally(runner.agent), count)
            runner, last, _ = self.learn(runner, count, stack(runner.agent.info), tally.sums[2:])
            agent = dataclasses.replace(runner.agent, info=unstack(last, info))
            runner = dataclasses.replace(runner, agent=agent)
            return runner, look(runner, tally)

        return jax.lax.scan(iterate, runner, self.warmup_iterations + jnp.arange(iterations))

    def learn(self, runner: Runner, count: Array, last: Array, total: Array) -> tuple[Runner, Array, Array]:
        """The updates of the run's ``count``-th iteration, whose figures travel beside the agent.

        Args:
            runner: a run that has collected that iteration's rollout.
            count: the iteration.
            last: ``[K]``, the figures of the last update before.
            total: ``[K]``, the sum of those before.

        Returns:
            The run, its agent's ``info`` as it was; the last update's figures; and the new sum.
        """
        info = runner.agent.info

        def update(carry: tuple[Any, Array, Array], batch: PyTree) -> tuple[tuple[Any, Array, Array], PyTree]:
            agent, _, total = carry
            agent = self.agent.update(agent, batch)
            last = stack(agent.info)
            return (dataclasses.replace(agent, info=info), last, total + last), self.priority(agent)

        # All batches of an iteration are drawn before the scan over them: a buffer that a scan reads
        # would be copied when the next iteration writes to it.
        batches = self.sample(runner, count)
        (agent, last, total), priorities = jax.lax.scan(update, (runner.agent, last, total), batches)
        return self.revise(dataclasses.replace(runner, agent=agent), batches, priorities), last, total

    def priority(self, agent: Any) -> PyTree:
        """What a prioritised memory is to be told of the last update, ``()`` for any other."""
        return agent.priority if isinstance(self.memory, Prioritised) else ()

    def revise(self, runner: Runner, batches: PyTree, priorities: PyTree) -> Runner:
        """Tells a prioritised memory what became of its batches, with a leading axis of updates."""
        if not isinstance(self.memory, Prioritised):
            return runner
        return dataclasses.replace(runner, memory=self.memory.revise(runner.memory, batches, priorities))

    def sample(self, runner: Runner, count: Array) -> PyTree:
        """What the updates of the run's ``count``-th iteration are fed, with a leading axis of updates."""
        number = self.settings.updates_per_iteration
        keys = numbered_keys(runner.update_key, count * number, number)
        batches = jax.vmap(self.memory.sample, in_axes=(None, 0, None))(runner.memory, keys, count + 1)
        axis = 1 + self.memory.environment_axis
        if axis == 1:
            # Drawn from the rows of all environments: whole on every device first, then its share.
            # Asked for its share at once, XLA would exchange the indices of every field besides.
            batches = self.spread(batches, None)
        return self.spread(batches, axis)

    def spread(self, tree: PyTree, axis: int | None = 0) -> PyTree:
        """Shards ``axis`` of every leaf over the mesh, if there is one that divides it; None repeats it.

        XLA carries a sharding on from what it is told: an axis that nothing has sharded yet, such as
        that of fresh environments, is computed whole on every device.
        """
        leaves = jax.tree.leaves(tree)
        if self.mesh is None or not leaves or (axis is not None and leaves[0].shape[axis] % self.mesh.size):
            return tree
        return jax.lax.with_sharding_constraint(tree, spread.sharding(self.mesh, axis))

    def spread_episodes(self, begun: tuple[Any, PyTree]) -> tuple[Any, PyTree]:
        """Shards environments that have been reset, and their observations; running statistics are of all."""
        state, observation = begun
        state = jax.tree.map(
            lambda leaf, own: self.spread(leaf, 0 if own else None), state, of_environments(state)
        )
        return state, self.spread(observation)

    def collect(self, runner: Runner, tally: Tally, count: Array) -> tuple[Runner, Tally]:
        """Acts for one rollout, the run's ``count``-th, and remembers it."""
        if isinstance(self.memory, Episodic):
            runner = self.begin_episodes(runner, jax.random.fold_in(runner.episode_key, count))
        length = self.settings.rollout_length
        environment = runner.environment
        begun = self.initial_carry(runner.agent, self.settings.num_envs)

        def interact(
            carried: tuple[Any, PyTree, PyTree, Tally], index: Array
        ) -> tuple[tuple[Any, PyTree, PyTree, Tally], Transition]:
            state, observation, carry, tally = carried
            act_key, step_key = numbered_keys(runner.key, 2 * index, 2)
            step = index * self.settings.num_envs
            action, extras, carry = self.agent.act(runner.agent, observation, act_key, step, carry)
            # What is remembered is what was drawn: its probability is that of no other action.
            state, timestep = environment.step(step_key, state, within(environment.action_space, action))
            carry = select(timestep.ended, begun, carry)
            carried = (state, timestep.observation, carry, count_episodes(tally, timestep))
            return carried, timestep.transition(observation, action, extras)

        (environment_state, observation, carry, tally), rollout = jax.lax.scan(
            interact,
            (runner.environment_state, runner.observation, runner.carry, tally),
            count * length + jnp.arange(length),
        )
        tally = dataclasses.replace(tally, sums=tally.sums.at[:2].add(experience_sums(rollout)))
        memory = self.memory.add(runner.memory, rollout, count)
        runner = dataclasses.replace(
            runner, environment_state=environment_state, observation=observation, carry=carry, memory=memory
        )
        return runner, tally

    def evaluate(self, runner: Runner, index: Array) -> tuple[Array, EpisodeStatistics]:
        """The first episode of each evaluation environment under the greedy policy, ``[E]``.

        Evaluation ``index`` has environments and a key of its own, so that training is the same
        with it and without. Returns whether each episode finished within the steps allowed, and
        its statistics.
        """
        # The knobs are the runner's, since they may differ from seed to seed.
        environment: Any = for_evaluation(runner.environment, self.settings.evaluation_episodes)
        steps = self.settings.evaluation_steps or environment.max_episode_steps or 1000
        reset_key, step_key = jax.random.split(jax.random.fold_in(runner.evaluation_key, index))
        # What observations are normalised by is what training knows, and does not change here.
        state, observation = self.spread_episodes(
            begin(environment, reset_key, statistics(runner.environment_state))
        )

        begun = self.initial_carry(runner.agent, environment.num_envs)

        def interact(
            carried: tuple[Any, PyTree, PyTree, Any], i: Array
        ) -> tuple[tuple[Any, PyTree, PyTree, Any], None]:
            state, observation, carry, first = carried
            action, carry = self.agent.greedy(runner.agent, observation, carry)
            action = within(environment.action_space, action)
            state, timestep = environment.step(jax.random.fold_in(step_key, i), state, action)
            carry = select(timestep.ended, begun, carry)
            first = select(first[0], first, (timestep.finished, timestep.episode))
            return (state, timestep.observation, carry, first), None

        first = (jnp.zeros(environment.num_envs, bool), begin_episodes(environment.num_envs))
        (state, _, _, first), _ = jax.lax.scan(
            interact, (state, observation, begun, first), jnp.arange(steps)
        )
        release(state)  # simulators on the host, where there are any
        return first

    def measure(self, runner: Runner, tally: Tally, index: Array) -> Metrics:
        """The metrics of what has been tallied since the last ones, ``index`` epochs into the run."""
        iterations = self.warmup_iterations + index * self.iterations_per_epoch
        per_iteration = self.settings.updates_per_iteration
        updates = jnp.where(index == 0, 1, self.iterations_per_epoch * per_iteration)
        if self.settings.evaluation_episodes:
            finished, episode = self.evaluate(runner, index)
        else:
            finished, episode = jnp.zeros(1, bool), begin_episodes(1)
        since = jnp.where(index == 0, self.warmup_iterations, self.iterations_per_epoch)
        offence, quantity = first_offence(tally, runner.agent, since)
        return Metrics(
            environment_steps=iterations * self.settings.rollout_size,
            updates=index * self.iterations_per_epoch * per_iteration,
            episodes=tally.episodes,
            episode_return=tally.episode_return / tally.episodes,
            episode_length=tally.episode_length / tally.episodes,
            evaluation_episodes=jnp.sum(finished),
            evaluation_return=jnp.mean(episode.episode_return, where=finished),
            evaluation_length=jnp.mean(episode.episode_length, where=finished),
            nonfinite_iteration=jnp.where(offence < 0, -1, iterations - since + offence),
            nonfinite_quantity=quantity,
            update=unstack(tally.sums[2:] / updates, runner.agent.info),
        )

    def initial_carry(self, agent: Any, num_envs: int) -> PyTree:
        """What the policy remembers as its episodes begin, ``[num_envs, …]``; ``()`` if it never does."""
        return self.agent.initial_carry(agent, num_envs) if isinstance(self.agent, Recurrent) else ()

    def example(self, agent: Any) -> Transition:
        """A transition's shapes and types, with arrays that hold nothing."""
        environment = self.environment
        observation = networks.example(environment.observation_space)
        number = self.settings.num_envs
        batch = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (number, *leaf.shape)), observation)
        carry = self.initial_carry(agent, number)
        action, extras, _ = jax.eval_shape(self.agent.act, agent, batch, jax.random.key(0), 0, carry)
        no = jnp.bool_(False)
        return Transition(
            observation=observation,
            action=jnp.zeros(action.shape[1:], action.dtype),
            reward=jnp.float32(0.0),
            terminated=no,
            truncated=no,
            next_observation=observation,
            extras=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), extras),
        )


def within(space: gymnasium.Space[Any], action: Array) -> Array:
    """The nearest actions in a Box, which those of a policy without bounds may lie outside of."""
    if not isinstance(space, gymnasium.spaces.Box):
        return action
    return jnp.clip(action, space.low, space.high)


def empty_tally(agent: Any) -> Tally:
    """Sums over nothing yet."""
    number = 2 + len(agent.info)
    return Tally(
        episodes=jnp.int32(0),
        episode_return=jnp.float32(0.0),
        episode_length=jnp.int32(0),
        sums=jnp.zeros(number),
        finite=jnp.zeros(number, jnp.int32),
    )


def experience_sums(rollout: Transition) -> Array:
    """Rewards and observations of a rollout, added up: two numbers that are finite if all of them are."""
    observations = jax.tree.leaves(rollout.next_observation)
    inexact = [leaf for leaf in observations if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.stack([jnp.sum(rollout.reward), sum((jnp.sum(leaf) for leaf in inexact), jnp.float32(0.0))])


def count_finite(tally: Tally, iteration: Array) -> Tally:
    """Counts an iteration, the tally's ``iteration``-th, for the sums that still are finite after it."""
    # A sum that is NaN or infinite remains so, and its count stands still from then on.
    return dataclasses.replace(tally, finite=tally.finite + jnp.isfinite(tally.sums))


def figures_in_order(info: dict[str, Any]) -> list[str]:
    """Names of an agent's figures as they arise: what is differentiated before its gradient."""
    return sorted(info, key=lambda name: (name.startswith("gradient"), name))


def quantities(agent: Any) -> tuple[str, ...]:
    """What is watched for NaN and infinity, in the order in which an iteration works it out."""
    return ("reward", "observation", *(f"update/{name}" for name in figures_in_order(agent.info)), "params")


def first_offence(tally: Tally, agent: Any, iterations: Array) -> tuple[Array, Array]:
    """When, in a tally of so many iterations, something first was NaN or infinite, and what.

    Returns the iteration, counted from 0, and the place in :func:`quantities`; -1 and -1 where all
    was finite. The agent's parameters and its optimiser's are looked at only as the tally ends.
    """
    figures = unstack(tally.finite[2:], agent.info)
    learnt = [  # an infinite hyperparameter may well be meant
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(agent)
        if jax.tree_util.keystr(path[:1]) != ".config" and jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    sound = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in learnt]))
    params = jnp.where(sound, iterations, iterations - 1)
    counts = jnp.stack([*tally.finite[:2], *(figures[name] for name in figures_in_order(agent.info)), params])
    first = jnp.argmin(counts).astype(jnp.int32)
    finite = counts[first] >= iterations
    return jnp.where(finite, -1, jnp.maximum(counts[first], 0)), jnp.where(finite, -1, first)


def count_episodes(tally: Tally, timestep: TimeStep) -> Tally:
    """Adds the episodes that ended in a step."""
    finished, episode = timestep.finished, timestep.episode
    return dataclasses.replace(
        tally,
        episodes=tally.episodes + jnp.sum(finished),
        episode_return=tally.episode_return + jnp.sum(episode.episode_return, where=finished),
        episode_length=tally.episode_length + jnp.sum(episode.episode_length, where=finished),
    )


def stack(info: dict[str, Array]) -> Array:
    """Figures by name as one array ``[K]``."""
    return jnp.stack(jax.tree.leaves(info))


def unstack(figures: Array, info: dict[str, Array]) -> dict[str, Array]:
    """The reverse of :func:`stack`, for figures of the same names."""
    return jax.tree.unflatten(jax.tree.structure(info), list(figures))
