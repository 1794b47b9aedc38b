"""The loop, by hand: an environment and an agent so plain that every number is known beforehand."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import chex
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from purejaxrl.agents import a2c, ddpg, dqn, q_learning
from purejaxrl.environments import make
from purejaxrl.environments.base import begin_episodes, extend_episodes, select
from purejaxrl.memory import EpisodeReturns, LastRollout, PrioritisedReplay, Replay
from purejaxrl.training import Loop, Settings
from purejaxrl.training.loop import Runner, Tally, empty_tally
from purejaxrl.types import Array, InvalidInput, Key, Metrics, Sample, TimeStep, Transition

EXPLORE, GREEDY = 1, 2  # the actions of the agent below


@struct.dataclass
class Metronome:
    """Episodes of four steps. The n-th of an environment pays n times the action at every step.

    The observation is the step within the episode, and -n where the n-th episode has ended.
    """

    num_envs: int = struct.field(pytree_node=False, default=1)
    terminates: bool = struct.field(pytree_node=False, default=True)  # or else is cut off
    max_episode_steps: int | None = struct.field(pytree_node=False, default=None)

    @property
    def observation_space(self) -> gymnasium.Space[Any]:
        return gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)

    @property
    def action_space(self) -> gymnasium.Space[Any]:
        return gymnasium.spaces.Discrete(3)

    def reset(self, key: Key) -> tuple[Any, Array]:
        del key
        state = (jnp.zeros(self.num_envs, jnp.int32), jnp.ones(self.num_envs, jnp.int32))
        return (state, begin_episodes(self.num_envs)), jnp.zeros((self.num_envs, 1), jnp.float32)

    def step(self, key: Key, state: Any, action: Array) -> tuple[Any, TimeStep]:
        del key
        (step, number), episode = state
        reward = jnp.float32(number * action)
        ended = step == 3
        episode = extend_episodes(episode, reward)
        timestep = TimeStep(
            observation=jnp.float32(jnp.where(ended, 0, step + 1))[:, None],
            reward=reward,
            terminated=ended & self.terminates,
            truncated=ended & (not self.terminates),
            next_observation=jnp.float32(jnp.where(ended, -number, step + 1))[:, None],
            episode=episode,
            finished=ended,
        )
        state = (jnp.where(ended, 0, step + 1), jnp.where(ended, number + 1, number))
        return (state, select(ended, begin_episodes(self.num_envs), episode)), timestep


@struct.dataclass
class State:
    step: Array
    seen: Array  # the number of transitions in all the batches, and the sum of their rewards
    info: dict[str, Array]


def agent(warmup_steps: int = 0, replay: tuple[int, int] | None = None) -> Any:
    """An agent that counts its updates, explores by one action and exploits by another."""

    def update(state: State, batch: Transition) -> State:
        step = state.step + 1
        seen = state.seen + jnp.array([batch.reward.size, jnp.sum(batch.reward)])
        info = {"squared": jnp.float32(step) ** 2, "step": jnp.float32(step)}
        return State(step=step, seen=seen, info=info)

    return SimpleNamespace(
        init=lambda key, config, observation_space, action_space: State(
            step=jnp.int32(0),
            seen=jnp.zeros(2),
            info={"squared": jnp.float32(0), "step": jnp.float32(0)},
        ),
        memory=lambda config: LastRollout(warmup_steps) if replay is None else Replay(*replay, warmup_steps),
        act=lambda state, observation, key, step, carry: (
            jnp.full(observation.shape[0], EXPLORE, jnp.int32),
            {"environment step": jnp.full(observation.shape[0], step, jnp.int32)},
            carry,
        ),
        greedy=lambda state, observation, carry: (jnp.full(observation.shape[0], GREEDY, jnp.int32), carry),
        update=update,
    )


def train(settings: Settings, agent: Any, **environment: Any) -> tuple[Any, Metrics]:
    loop = Loop(agent, None, Metronome(num_envs=settings.num_envs, **environment), settings)
    loop.check()
    return jax.device_get(jax.jit(loop.train)(jax.random.key(0)))


@pytest.mark.parametrize("terminates", [True, False])
def test_metrics_by_hand(terminates: bool) -> None:
    # 3 environments, 10 steps of each in an epoch: of each, episodes 1 and 2 end in the first, 3, 4
    # and 5 in the second, 6 and 7 in the third. The n-th comes to 4n.
    settings = Settings(
        total_steps=90,
        num_envs=3,
        rollout_length=5,
        updates_per_iteration=2,
        num_epochs=3,
        evaluation_episodes=5,
    )
    runner, metrics = train(settings, agent(), terminates=terminates, max_episode_steps=9)
    np.testing.assert_array_equal(metrics.environment_steps, [0, 30, 60, 90])
    np.testing.assert_array_equal(metrics.updates, [0, 4, 8, 12])
    np.testing.assert_array_equal(metrics.episodes, [0, 6, 9, 6])
    np.testing.assert_array_equal(metrics.episode_return, [np.nan, 6, 16, 26])
    np.testing.assert_array_equal(metrics.episode_length, [np.nan, 4, 4, 4])
    # In 9 steps two episodes end in each of 5 environments: the first counts, 4 steps of greedy 2s.
    np.testing.assert_array_equal(metrics.evaluation_episodes, [5] * 4)
    np.testing.assert_array_equal(metrics.evaluation_return, [4 * GREEDY] * 4)
    np.testing.assert_array_equal(metrics.evaluation_length, [4] * 4)
    # Means over each epoch's 4 updates of what the agent says of itself; none before the first.
    np.testing.assert_array_equal(metrics.update["step"], [0, 2.5, 6.5, 10.5])
    np.testing.assert_array_equal(metrics.update["squared"], [0, 30 / 4, 174 / 4, 446 / 4])
    # The state holds the last update's own, and was fed the rollout of 15 twice in each iteration.
    assert runner.agent.step == 12
    assert runner.agent.info == {"step": 12, "squared": 144}
    # 30 steps of each environment pay 4 × (1 + … + 7) and twice 8.
    np.testing.assert_array_equal(runner.agent.seen, [12 * 15, 2 * 3 * (4 * 28 + 2 * 8)])


def by_slot(stored: np.ndarray) -> np.ndarray:
    """A buffer ``[B, slots, T]`` as ``[slots, T·B]``, in the order of time."""
    return np.moveaxis(stored, 0, -1).reshape(stored.shape[1], -1)


def test_warm_up_fills_the_memory_before_the_first_update() -> None:
    # At least 10 steps in rollouts of 2 × 2: three. 12 of the buffer's 16 places, all 16 later.
    settings = Settings(total_steps=12 + 8, num_envs=2, rollout_length=2, num_epochs=2, evaluation_episodes=0)
    loop = Loop(agent(10, replay=(16, 1)), None, Metronome(num_envs=2), settings)
    runner, metrics = jax.device_get(jax.jit(loop.begin)(jax.random.key(0)))
    assert runner.agent.step == 0
    assert metrics.environment_steps == 12
    assert metrics.updates == 0
    assert metrics.episodes == 2
    assert metrics.episode_return == 4
    np.testing.assert_array_equal(by_slot(runner.memory.reward), [[1] * 4, [1] * 4, [2] * 4, [0] * 4])
    # The step that act is told is the run's, of all environments; it is what schedules go by.
    steps = by_slot(runner.memory.extras["environment step"])[:3]
    np.testing.assert_array_equal(steps, [[0, 0, 2, 2], [4, 4, 6, 6], [8, 8, 10, 10]])
    runner, metrics = jax.device_get(jax.jit(loop.epochs)(runner))
    np.testing.assert_array_equal(metrics.environment_steps, [16, 20])
    np.testing.assert_array_equal(metrics.updates, [1, 2])
    # The fifth rollout went where the first was.
    steps = by_slot(runner.memory.extras["environment step"])
    np.testing.assert_array_equal(steps[[0, 3]], [[16, 16, 18, 18], [12, 12, 14, 14]])


@struct.dataclass
class Telling:
    """The state of an agent that tells a prioritised memory which step it saw, in which update."""

    step: Array
    priority: Array
    info: dict[str, Array]


def test_a_prioritised_memory_is_told_of_each_row_what_its_last_update_said() -> None:
    def told(step: Array | int, when: Array) -> Array:
        return 1.0 + when + 1000.0 * step

    def update(state: Telling, batch: Sample) -> Telling:
        priority = told(state.step, batch.transition.extras["environment step"])
        return Telling(state.step + 1, priority, {"step": jnp.float32(state.step)})

    telling = agent()
    telling.memory = lambda config: PrioritisedReplay(32, 8, 0)
    telling.init = lambda *given: Telling(jnp.int32(0), jnp.zeros(8), {"step": jnp.float32(0)})
    telling.update = update
    settings = Settings(
        total_steps=16,
        num_envs=2,
        rollout_length=4,
        updates_per_iteration=3,
        num_epochs=2,
        evaluation_episodes=0,
    )
    loop = Loop(telling, None, Metronome(num_envs=2), settings)
    runner, _ = loop.begin(jax.random.key(0))
    wanted: dict[int, float] = {}
    for count in range(2):
        runner, _ = loop.collect(runner, empty_tally(runner.agent), jnp.int32(count))
        batches, nothing = loop.sample(runner, jnp.int32(count)), jnp.zeros(1)
        for u in range(3):
            masses = told(3 * count + u, batches.transition.extras["environment step"][u])
            wanted |= dict(zip(batches.index[u].tolist(), masses.tolist(), strict=True))
        runner, _, _ = loop.learn(runner, jnp.int32(count), nothing, nothing)
    leaves = np.ravel(runner.memory.tree[0])  # 16 rows of each environment
    assert leaves.size == 32
    assert 8 < len(wanted) <= 16
    assert {row: leaves[row] for row in wanted} == wanted


def test_transitions_keep_their_true_successor() -> None:
    settings = Settings(total_steps=8, num_envs=1, rollout_length=8, num_epochs=1, evaluation_episodes=0)
    runner, _ = train(settings, agent())
    rollout = jax.tree.map(lambda leaf: leaf[:, 0], runner.memory)
    np.testing.assert_array_equal(rollout.observation[:, 0], [0, 1, 2, 3, 0, 1, 2, 3])
    np.testing.assert_array_equal(rollout.next_observation[:, 0], [1, 2, 3, -1, 1, 2, 3, -2])
    np.testing.assert_array_equal(rollout.terminated, [0, 0, 0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(rollout.truncated, np.zeros(8))


@pytest.mark.parametrize(("steps", "limit"), [(3, 100), (None, 3)])
def test_evaluation_episodes_that_do_not_end_are_not_counted(steps: int | None, limit: int) -> None:
    settings = Settings(total_steps=4, num_epochs=1, evaluation_episodes=2, evaluation_steps=steps)
    _, metrics = train(settings, agent(), max_episode_steps=limit)
    np.testing.assert_array_equal(metrics.evaluation_episodes, [0, 0])
    assert np.all(np.isnan(metrics.evaluation_return))
    assert np.all(np.isnan(metrics.evaluation_length))


def test_evaluation_may_be_left_out() -> None:
    settings = Settings(total_steps=4, num_epochs=1, evaluation_episodes=0)
    _, metrics = train(settings, agent())
    np.testing.assert_array_equal(metrics.evaluation_episodes, [0, 0])
    assert np.all(np.isnan(metrics.evaluation_return))


def test_updates_may_be_left_out() -> None:
    settings = Settings(total_steps=8, updates_per_iteration=0, num_epochs=1, evaluation_episodes=0)
    runner, metrics = train(settings, agent())
    assert runner.agent.step == 0
    np.testing.assert_array_equal(metrics.updates, [0, 0])
    np.testing.assert_array_equal(metrics.episodes, [0, 2])


def test_a_batch_of_another_size_is_refused() -> None:
    settings = Settings(total_steps=40, num_envs=4, num_epochs=1)
    with pytest.raises(InvalidInput, match="the environment is a batch of 2, not of num_envs = 4"):
        Loop(agent(), None, Metronome(num_envs=2), settings).check()


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        (dqn, "Pendulum-v1", "DQN needs a Discrete action space, not Box"),
        (ddpg, "CartPole-v1", r"DDPG needs a continuous \(Box\) action space, not Discrete\(2\)"),
    ],
)
def test_action_spaces_that_do_not_suit_are_refused_before_anything_is_compiled(
    module: Any, name: str, message: str
) -> None:
    settings = Settings(total_steps=20_000, num_epochs=1)
    loop = Loop(module, module.Config(), make(name), settings)
    with pytest.raises(InvalidInput, match=message):
        loop.check()


def test_updates_are_traced_once_in_a_run() -> None:
    module = agent(4, replay=(16, 2))
    chex.clear_trace_counter()  # which goes by name
    module.update = chex.assert_max_traces(module.update, n=1)
    settings = Settings(total_steps=44, updates_per_iteration=3, num_epochs=4, evaluation_episodes=1)
    runner, _ = jax.jit(Loop(module, None, Metronome(), settings).train)(jax.random.key(0))
    assert runner.agent.step == 3 * 40


def test_every_draw_has_a_key_of_its_own() -> None:
    """Actions differ from step to step and from environment to environment; batches from update to update."""
    module = agent(0, replay=(16, 4))
    module.act = lambda state, observation, key, step, carry: (
        jax.random.randint(key, observation.shape[:1], 0, 2**30),
        (),
        carry,
    )
    settings = Settings(
        total_steps=16,
        num_envs=2,
        rollout_length=2,
        updates_per_iteration=8,
        num_epochs=2,
        evaluation_episodes=0,
    )
    loop = Loop(module, None, Metronome(num_envs=2), settings)
    runner, _ = jax.jit(loop.train)(jax.random.key(0))
    assert len(np.unique(runner.memory.action)) == 16

    batches = jax.jit(jax.vmap(loop.sample, in_axes=(None, 0)))(runner, jnp.arange(3, 6))
    rows = np.asarray(batches.action).reshape(3 * 8, 4)
    assert len(np.unique(rows, axis=0)) == 3 * 8
    again, _ = jax.jit(loop.train)(jax.random.key(1))
    assert not np.intersect1d(runner.memory.action, again.memory.action).size


def test_every_evaluation_begins_elsewhere() -> None:
    settings = Settings(total_steps=8, num_epochs=1, evaluation_episodes=6, evaluation_steps=100)
    loop = Loop(a2c, a2c.Config(hidden_sizes=(8,)), make("CartPole-v1"), settings)  # type: ignore[arg-type]

    def evaluate(key: Key) -> Any:
        runner, _ = loop.begin(key)
        return jax.vmap(loop.evaluate, in_axes=(None, 0))(runner, jnp.arange(4))

    finished, episode = jax.jit(evaluate)(jax.random.key(0))
    assert np.all(finished)
    assert len(np.unique(episode.episode_length, axis=0)) == 4
    assert np.all(np.ptp(episode.episode_length, axis=1) > 0), "one evaluation's environments are the same"


def test_a_trace_is_the_run() -> None:
    """Looked at after each iteration, a run is what it is when it is not."""
    settings = Settings(
        total_steps=54,
        num_envs=3,
        rollout_length=2,
        updates_per_iteration=2,
        num_epochs=2,
        evaluation_episodes=0,
    )
    loop = Loop(agent(6), None, Metronome(num_envs=3, terminates=True, max_episode_steps=9), settings)
    whole, metrics = jax.device_get(jax.jit(loop.train)(jax.random.key(0)))

    def look(runner: Runner, tally: Tally) -> Any:
        return runner.agent.step, tally.episodes

    traced, (updates, episodes) = jax.device_get(
        jax.jit(lambda key: loop.trace(key, 8, look))(jax.random.key(0))
    )
    np.testing.assert_array_equal(updates, 2 * np.arange(1, 9))
    assert episodes.sum() == metrics.episodes[1:].sum()
    assert traced.agent.step == whole.agent.step == 16
    np.testing.assert_array_equal(traced.agent.seen, whole.agent.seen)
    np.testing.assert_array_equal(traced.observation, whole.observation)


def test_new_episodes_are_cut_from_those_before() -> None:
    """What is learnt from several steps in a row does not read on from one episode into another."""
    settings = Settings(total_steps=10, num_envs=2, num_epochs=2, evaluation_episodes=0)
    loop = Loop(agent(2, (12, 4)), None, Metronome(num_envs=2), settings)
    runner, _ = loop.begin(jax.random.key(0))
    runner, _ = loop.epoch(runner, jnp.int32(0))
    assert not np.any(runner.memory.truncated)
    renewed = loop.renew(runner, jnp.int32(1))
    # One rollout of warm-up and two more: the third has been cut.
    np.testing.assert_array_equal(renewed.memory.truncated[:, :, 0], [[False, False, True] + [False] * 3] * 2)


@pytest.mark.parametrize("rollout_length", [0, -1, "2", 1.5])
def test_sizes_are_looked_at_before_the_memory_is_asked(rollout_length: Any) -> None:
    settings = Settings(total_steps=12, num_envs=2, num_epochs=2, rollout_length=rollout_length)
    with pytest.raises(InvalidInput, match=f"rollout_length must be .*, not {rollout_length!r}"):
        Loop(agent(2, (12, 4)), None, Metronome(num_envs=2), settings)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (dqn.Config(n_step="3"), ["n_step", "'3'"]),  # type: ignore[arg-type]
        (dqn.Config(warmup_steps=100.5), ["warmup_steps", "100.5"]),  # type: ignore[arg-type]
        (q_learning.Config(n_step="3", target="sarsa"), ["n_step", "'3'"]),  # type: ignore[arg-type]
    ],
)
def test_sizes_of_a_memory_are_named(config: Any, words: list[str]) -> None:
    module: Any = {dqn.Config: dqn, q_learning.Config: q_learning}[type(config)]
    with pytest.raises(InvalidInput) as raised:
        Loop(module, config, make("CartPole-v1", 1), Settings())
    for word in words:
        assert word in str(raised.value)


def test_actions_outside_of_a_box_are_taken_at_its_bounds_and_remembered_as_drawn() -> None:
    """Pendulum turns by 2 at most; a wide Gaussian asks for more."""
    settings = Settings(total_steps=64, num_envs=4, rollout_length=8, num_epochs=1, evaluation_episodes=0)
    loop = Loop(a2c, a2c.Config(hidden_sizes=(4,)), make("Pendulum-v1", 4), settings)
    runner, _ = loop.begin(jax.random.key(0))
    wide = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf + 2 if "log_deviation" in jax.tree_util.keystr(path) else leaf,
        runner.agent.params,
    )
    runner = dataclasses.replace(runner, agent=dataclasses.replace(runner.agent, params=wide))
    after, _ = loop.collect(runner, empty_tally(runner.agent), jnp.int32(0))
    seen = after.memory
    assert np.mean(np.abs(seen.action) > 2) > 0.5
    # Of angle θ, speed v and torque u Pendulum pays −(θ² + v²/10 + u²/1000).
    angle = np.arctan2(seen.observation[..., 1], seen.observation[..., 0])
    paid = -(angle**2 + 0.1 * seen.observation[..., 2] ** 2)
    np.testing.assert_allclose(
        paid - seen.reward, 0.001 * np.clip(seen.action[..., 0], -2, 2) ** 2, atol=1e-4
    )


def test_an_episodic_memory_is_given_the_first_episode_of_every_rollout() -> None:
    """Episodes of four steps, that pay 1 a step in the first of an environment: whole ones alone count."""
    settings = Settings(
        total_steps=2 * 6 * 3, num_envs=2, rollout_length=6, num_epochs=1, evaluation_episodes=0
    )
    whole = agent()
    whole.memory = lambda config: EpisodeReturns()
    loop = Loop(whole, None, Metronome(num_envs=2), settings)
    runner, _ = loop.begin(jax.random.key(0))
    for count in range(3):
        runner, tally = loop.collect(runner, empty_tally(runner.agent), jnp.int32(count))
        # Begun anew each time: else the second rollout would begin in the middle of the second episode.
        np.testing.assert_array_equal(runner.memory, [4.0, 4.0])
        np.testing.assert_array_equal(runner.observation[:, 0], [2.0, 2.0])
        assert tally.episodes == 2


@pytest.mark.parametrize(("terminated", "truncated"), [(True, False), (False, True), (True, True)])
def test_returns_of_first_episodes_by_hand(terminated: bool, truncated: bool) -> None:
    ended = jnp.array([[0, 0, 1], [1, 0, 0], [0, 0, 1]], bool)
    nothing = jnp.zeros((3, 3))
    rollout = Transition(
        observation=nothing,
        action=nothing,
        reward=jnp.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [4.0, 4.0, 4.0]]),
        terminated=ended & terminated,
        truncated=ended & truncated,
        next_observation=nothing,
    )
    memory = EpisodeReturns()
    returns = memory.add(memory.init(rollout, 3, 3), rollout, 0)
    np.testing.assert_array_equal(returns, [3.0, 7.0, 1.0])
    np.testing.assert_array_equal(memory.sample(returns, jax.random.key(0), 1), returns)
    assert memory.warmup(3, 3) == 0
