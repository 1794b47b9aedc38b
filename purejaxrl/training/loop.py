"""The one loop: collect, remember, update. Pure functions of one seed; see :mod:`.seeds` for many.

Counters never enter the carried state. They come from the scans' own indices, so that they stay
plain unbatched scalars however many seeds are vmapped: a write into a replay buffer then is an
in-place slice, not a scatter, and no branch is ever taken both ways.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import gymnasium
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl import networks
from purejaxrl.environments import VectorEnvironment
from purejaxrl.environments.base import begin_episodes, select
from purejaxrl.memory import Memory
from purejaxrl.training.settings import Settings
from purejaxrl.types import Array, EpisodeStatistics, InvalidInput, Key, Metrics, PyTree, TimeStep, Transition


class Agent(Protocol):
    """What a module of :mod:`purejaxrl.agents` offers; the loop knows no more of an algorithm."""

    def init(
        self,
        key: Key,
        config: Any,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
    ) -> Any: ...

    def memory(self, config: Any) -> Memory[Any]: ...

    def act(self, state: Any, observation: PyTree, key: Key, step: Array | int) -> tuple[Array, PyTree]: ...

    def greedy(self, state: Any, observation: PyTree) -> Array: ...

    def update(self, state: Any, batch: PyTree) -> Any: ...


@struct.dataclass
class Runner:
    """A run of one seed between two iterations: all that it takes to go on."""

    agent: Any  # the algorithm's State
    environment: Any  # the VectorEnvironment, for its knobs
    environment_state: Any
    observation: PyTree  # [B, …], to act on next
    memory: Any
    key: Key  # of the training iterations, folded with their index
    evaluation_key: Key  # folded with the epoch's


@struct.dataclass
class Tally:
    """Sums over the iterations of an epoch, out of which its Metrics are made."""

    episodes: Array
    episode_return: Array
    episode_length: Array
    update: dict[str, Array]


@dataclasses.dataclass(frozen=True)
class Loop:
    """An agent, an environment and settings, joined into pure functions of a key.

    Args:
        agent: a module of :mod:`purejaxrl.agents`.
        config: its Config; leaves may be traced.
        environment: what to learn in, ``settings.num_envs`` of it.
        settings: the sizes of everything.

    Raises:
        InvalidInput: from :meth:`check`, before anything is compiled.
    """

    agent: Agent
    config: Any
    environment: VectorEnvironment[Any]
    settings: Settings

    def check(self) -> None:
        """Traces a whole run without compiling it, so that what cannot work says so at once."""
        self.settings.check(self.memory.warmup_steps)
        if self.environment.num_envs != self.settings.num_envs:
            raise InvalidInput(
                f"the environment is a batch of {self.environment.num_envs}, not of num_envs = {self.settings.num_envs}"
            )
        jax.eval_shape(self.begin, jax.random.key(0))

    @property
    def memory(self) -> Memory[Any]:
        return self.agent.memory(self.config)

    @property
    def warmup_iterations(self) -> int:
        return self.settings.warmup_iterations(self.memory.warmup_steps)

    @property
    def iterations_per_epoch(self) -> int:
        return self.settings.iterations_per_epoch(self.memory.warmup_steps)

    def begin(self, key: Key) -> tuple[Runner, Metrics]:
        """A fresh run after its warm-up, and the metrics of that: the policy before any update."""
        agent_key, reset_key, loop_key, evaluation_key = jax.random.split(key, 4)
        environment = self.environment
        agent = self.agent.init(
            agent_key, self.config, environment.observation_space, environment.action_space
        )
        environment_state, observation = environment.reset(reset_key)
        runner = Runner(
            agent=agent,
            environment=environment,
            environment_state=environment_state,
            observation=observation,
            memory=self.memory.init(
                self.example(agent), self.settings.rollout_length, self.settings.num_envs
            ),
            key=loop_key,
            evaluation_key=evaluation_key,
        )

        def fill(carry: tuple[Runner, Tally], count: Array) -> tuple[tuple[Runner, Tally], None]:
            runner, tally, _ = self.collect(*carry, count)
            return (runner, tally), None

        carry = (runner, empty_tally(agent))
        (runner, tally), _ = jax.lax.scan(fill, carry, jnp.arange(self.warmup_iterations))
        return runner, self.measure(runner, tally, jnp.int32(0))

    def epoch(self, runner: Runner, index: Array) -> tuple[Runner, Metrics]:
        """Epoch ``index``, counted from 0: its iterations, then an evaluation."""
        first = self.warmup_iterations + index * self.iterations_per_epoch

        def iterate(carry: tuple[Runner, Tally], i: Array) -> tuple[tuple[Runner, Tally], None]:
            count = first + i
            runner, tally, keys = self.collect(*carry, count)

            def learn(carry: tuple[Any, Tally], batch: PyTree) -> tuple[tuple[Any, Tally], None]:
                agent, tally = carry
                agent = self.agent.update(agent, batch)
                totals = jax.tree.map(jnp.add, tally.update, agent.info)
                return (agent, tally.replace(update=totals)), None

            # All batches of an iteration are drawn before the scan over them: a buffer that a scan
            # reads would be copied when the next iteration writes to it.
            batches = jax.vmap(self.memory.sample, in_axes=(None, 0, None))(runner.memory, keys, count + 1)
            (agent, tally), _ = jax.lax.scan(learn, (runner.agent, tally), batches)
            return (runner.replace(agent=agent), tally), None

        carry = (runner, empty_tally(runner.agent))
        (runner, tally), _ = jax.lax.scan(iterate, carry, jnp.arange(self.iterations_per_epoch))
        return runner, self.measure(runner, tally, index + 1)

    def train(self, key: Key) -> tuple[Runner, Metrics]:
        """A whole run. Metrics have a leading axis ``[1 + num_epochs]``, the warm-up's first."""
        runner, warmup = self.begin(key)
        runner, epochs = jax.lax.scan(self.epoch, runner, jnp.arange(self.settings.num_epochs))
        return runner, jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), warmup, epochs)

    def collect(self, runner: Runner, tally: Tally, count: Array) -> tuple[Runner, Tally, Key]:
        """Acts for one rollout, the run's ``count``-th, and remembers it.

        Also returns keys, one for each of the updates that may follow.
        """
        length = self.settings.rollout_length
        keys = jax.random.split(
            jax.random.fold_in(runner.key, count), 2 * length + self.settings.updates_per_iteration
        )
        act_keys, step_keys, update_keys = keys[:length], keys[length : 2 * length], keys[2 * length :]
        steps = (count * length + jnp.arange(length)) * self.settings.num_envs
        environment = runner.environment

        def interact(
            carry: tuple[Any, PyTree, Tally], inputs: tuple[Key, Key, Array]
        ) -> tuple[tuple[Any, PyTree, Tally], Transition]:
            state, observation, tally = carry
            act_key, step_key, step = inputs
            action, extras = self.agent.act(runner.agent, observation, act_key, step)
            state, timestep = environment.step(step_key, state, action)
            return (state, timestep.observation, count_episodes(tally, timestep)), Transition(
                observation=observation,
                action=action,
                reward=timestep.reward,
                terminated=timestep.terminated,
                truncated=timestep.truncated,
                next_observation=timestep.next_observation,
                extras=extras,
            )

        (environment_state, observation, tally), rollout = jax.lax.scan(
            interact, (runner.environment_state, runner.observation, tally), (act_keys, step_keys, steps)
        )
        memory = self.memory.add(runner.memory, rollout, count)
        runner = runner.replace(environment_state=environment_state, observation=observation, memory=memory)
        return runner, tally, update_keys

    def evaluate(self, runner: Runner, index: Array) -> tuple[Array, Array, EpisodeStatistics]:
        """The first episode of each evaluation environment under the greedy policy, ``[E]``.

        Evaluation ``index`` has environments and a key of its own, so that training is the same
        with it and without. Returns ``terminated``, ``truncated`` and the statistics of each;
        where an episode did not end within the steps allowed, neither flag is set.
        """
        # The knobs are the runner's, since they may differ from seed to seed.
        environment = runner.environment.replace(num_envs=self.settings.evaluation_episodes)
        steps = self.settings.evaluation_steps or environment.max_episode_steps or 1000
        reset_key, step_key = jax.random.split(jax.random.fold_in(runner.evaluation_key, index))
        state, observation = environment.reset(reset_key)

        def interact(carry: tuple[Any, PyTree, Any], key: Key) -> tuple[tuple[Any, PyTree, Any], None]:
            state, observation, last = carry
            state, timestep = environment.step(key, state, self.agent.greedy(runner.agent, observation))
            now = (timestep.terminated, timestep.truncated, timestep.episode)
            last = select(last[0] | last[1], last, now)
            return (state, timestep.observation, last), None

        no = jnp.zeros(environment.num_envs, bool)
        last = (no, no, begin_episodes(environment.num_envs))
        (_, _, last), _ = jax.lax.scan(
            interact, (state, observation, last), jax.random.split(step_key, steps)
        )
        return last

    def measure(self, runner: Runner, tally: Tally, index: Array) -> Metrics:
        """The metrics of what has been tallied since the last ones, ``index`` epochs into the run."""
        iterations = self.warmup_iterations + index * self.iterations_per_epoch
        per_iteration = self.settings.updates_per_iteration
        updates = jnp.where(index == 0, 1, self.iterations_per_epoch * per_iteration)
        if self.settings.evaluation_episodes:
            terminated, truncated, episode = self.evaluate(runner, index)
            ended = terminated | truncated
        else:
            ended, episode = jnp.zeros(1, bool), begin_episodes(1)
        return Metrics(
            environment_steps=iterations * self.settings.rollout_size,
            updates=index * self.iterations_per_epoch * per_iteration,
            episodes=tally.episodes,
            episode_return=tally.episode_return / tally.episodes,
            episode_length=tally.episode_length / tally.episodes,
            evaluation_episodes=jnp.sum(ended),
            evaluation_return=jnp.mean(episode.episode_return, where=ended),
            evaluation_length=jnp.mean(episode.episode_length, where=ended),
            update=jax.tree.map(lambda total: total / updates, tally.update),
        )

    def example(self, agent: Any) -> Transition:
        """A transition's shapes and types, with arrays that hold nothing."""
        environment = self.environment
        observation = networks.example(environment.observation_space)
        batch = jax.tree.map(lambda leaf: leaf[None], observation)
        action, extras = jax.eval_shape(self.agent.act, agent, batch, jax.random.key(0), 0)
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


def empty_tally(agent: Any) -> Tally:
    """Sums over nothing yet."""
    return Tally(
        episodes=jnp.int32(0),
        episode_return=jnp.float32(0.0),
        episode_length=jnp.int32(0),
        update=jax.tree.map(jnp.zeros_like, agent.info),
    )


def count_episodes(tally: Tally, timestep: TimeStep) -> Tally:
    """Adds the episodes that ended in a step."""
    ended, episode = timestep.ended, timestep.episode
    return tally.replace(
        episodes=tally.episodes + jnp.sum(ended),
        episode_return=tally.episode_return + jnp.sum(episode.episode_return, where=ended),
        episode_length=tally.episode_length + jnp.sum(episode.episode_length, where=ended),
    )
