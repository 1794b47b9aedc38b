"""EnvPool and gymnasium behind the face of our own environments."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl.environments as environments
from purejaxrl.environments import host, pools
from purejaxrl.environments.cartpole import CartPole
from purejaxrl.environments.envpool_ffi import FfiEnvironment, seeds_of
from purejaxrl.environments.host import HostEnvironment, close_pools, draw_seeds, holds_pool, release
from purejaxrl.environments.pendulum import Pendulum
from purejaxrl.types import InvalidInput, TimeStep

envpool = pytest.importorskip("envpool")
pytestmark = pytest.mark.timeout(120)
ffi_only = pytest.mark.skipif(sys.platform != "linux", reason="EnvPool has its XLA functions on Linux only")
NO_KEY: Any = None  # a bridge's step uses none


def make(name: str, num_envs: int = 2, **options: Any) -> HostEnvironment:
    environment = environments.make(name, num_envs, **options)
    assert isinstance(environment, HostEnvironment)
    return environment


def random_action(environment: Any, key: jax.Array) -> jax.Array:
    space, size = environment.action_space, environment.num_envs
    if isinstance(space, gymnasium.spaces.Discrete):
        return jax.random.randint(key, (size,), 0, int(space.n))
    return jax.random.uniform(key, (size, *space.shape), minval=space.low, maxval=space.high)


def rollout(environment: Any, steps: int):
    """A function of a key: the first observation, and actions and TimeSteps ``[T, B, …]``."""

    def run(key: jax.Array) -> tuple[jax.Array, jax.Array, TimeStep]:
        reset_key, loop_key = jax.random.split(key)
        state, observation = environment.reset(reset_key)

        def step(state: Any, index: jax.Array) -> tuple[Any, Any]:
            action_key, step_key = jax.random.split(jax.random.fold_in(loop_key, index))
            action = random_action(environment, action_key)
            state, timestep = environment.step(step_key, state, action)
            return state, (action, timestep)

        _, (actions, timesteps) = jax.lax.scan(step, state, jnp.arange(steps))
        return observation, actions, timesteps

    return run


def keys(*seeds: int) -> jax.Array:
    return jax.vmap(jax.random.key)(jnp.array(seeds))


def same(left: Any, right: Any) -> bool:
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, left, right)))


def acted_on(observation: jax.Array, timesteps: TimeStep) -> jax.Array:
    """What each action of a rollout was chosen in, ``[T, B, …]``."""
    return jnp.concatenate([observation[None], timesteps.observation[:-1]])


def running_sums(reward: np.ndarray, over: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths of episodes so far, computed the plain way from ``[T, B]``."""
    total, length = np.zeros(reward.shape[1], np.float32), np.zeros(reward.shape[1], np.int32)
    totals, lengths = [], []
    for t in range(len(reward)):
        total, length = total + reward[t], length + 1
        totals.append(total)
        lengths.append(length)
        total, length = np.where(over[t], 0, total), np.where(over[t], 0, length)
    return np.stack(totals), np.stack(lengths)


# The face


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize(
    ("prefix", "options"),
    [("envpool:", {}), pytest.param("envpool:", {"backend": "ffi"}, marks=ffi_only), ("gymnasium:", {})],
)
def test_the_face_is_that_of_the_environment_in_jax(name: str, prefix: str, options: dict[str, Any]):
    ours = environments.make(name, 3)
    bridge = environments.make(prefix + name, 3, **options)
    assert jax.eval_shape(rollout(ours, 2), keys(0)[0]) == jax.eval_shape(rollout(bridge, 2), keys(0)[0])
    assert bridge.observation_space.shape == ours.observation_space.shape
    assert bridge.observation_space.dtype == ours.observation_space.dtype
    assert bridge.action_space == ours.action_space
    assert (bridge.num_envs, bridge.max_episode_steps) == (3, ours.max_episode_steps)


def test_float64_is_float32_on_this_side():
    bridge = make("envpool:HalfCheetah-v5")
    assert bridge.observation_space.dtype == bridge.action_space.dtype == np.float32
    _, _, timesteps = jax.eval_shape(rollout(bridge, 2), keys(0)[0])
    assert timesteps.observation.dtype == timesteps.next_observation.dtype == jnp.float32


def test_a_bridge_is_static_and_compared_by_value():
    traces = []

    @jax.jit
    def first(bridge: HostEnvironment, key: jax.Array) -> jax.Array:
        traces.append(None)
        return bridge.reset(key)[1]

    for seed in range(2):
        first(make("gymnasium:FrozenLake-v1", desc=["SF", "FG"]), jax.random.key(seed))
    assert len(traces) == 1
    assert not jax.tree.leaves(make("envpool:CartPole-v1"))
    one, other = (make("gymnasium:FrozenLake-v1", desc=["SF", "FG"]) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert make("envpool:CartPole-v1") != make("envpool:CartPole-v1", max_episode_steps=7)
    assert make("gymnasium:FrozenLake-v1", desc=["SF", "FG"]) != make(
        "gymnasium:FrozenLake-v1", desc=["SG", "FF"]
    )


def test_importing_the_environments_does_not_import_envpool():
    code = "import sys, purejaxrl.environments; sys.exit('envpool' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


# Dynamics


@pytest.mark.parametrize("prefix", ["envpool:", "gymnasium:"])
def test_cartpole_moves_as_ours_does(prefix: str):
    observation, actions, timesteps = rollout(make(prefix + "CartPole-v1", 8), 120)(jax.random.key(0))
    before = acted_on(observation, timesteps)
    step = jax.jit(jax.vmap(jax.vmap(lambda state, action: CartPole().step(NO_KEY, state, action))))
    _, expected, reward, terminated = step(before, actions)
    np.testing.assert_allclose(timesteps.next_observation, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(timesteps.terminated, terminated)
    np.testing.assert_array_equal(timesteps.reward, reward)


@pytest.mark.parametrize("prefix", ["envpool:", "gymnasium:"])
def test_pendulum_is_truncated_at_its_limit_and_shows_its_last_observation(prefix: str):
    observation, actions, timesteps = rollout(make(prefix + "Pendulum-v1"), 201)(jax.random.key(1))
    assert not np.any(timesteps.terminated)
    np.testing.assert_array_equal(np.flatnonzero(timesteps.truncated[:, 0]), [199])
    np.testing.assert_array_equal(timesteps.episode.episode_length[199:, 0], [200, 1])
    before = acted_on(observation, timesteps)
    states = jnp.stack([jnp.arctan2(before[..., 1], before[..., 0]), before[..., 2]], -1)
    step = jax.jit(jax.vmap(jax.vmap(lambda state, action: Pendulum().step(NO_KEY, state, action))))
    _, expected, _, _ = step(states, actions)
    np.testing.assert_allclose(timesteps.next_observation, expected, atol=1e-4)
    assert not np.allclose(timesteps.observation[199], timesteps.next_observation[199], atol=1e-2)


@pytest.mark.parametrize("prefix", ["envpool:", "gymnasium:"])
def test_an_episode_is_reset_in_the_step_in_which_it_ends(prefix: str):
    _, _, timesteps = jax.tree.map(
        np.asarray, rollout(make(prefix + "CartPole-v1", 6), 100)(jax.random.key(2))
    )
    ended = timesteps.ended
    assert ended.sum() > 10
    last, first = timesteps.next_observation[ended], timesteps.observation[ended]
    assert np.all((np.abs(last[:, 0]) > 2.4) | (np.abs(last[:, 2]) > 12 * np.pi / 180))
    assert np.all(np.abs(first) <= 0.05)
    assert len(np.unique(first, axis=0)) == len(first)  # each its own
    np.testing.assert_array_equal(timesteps.observation[~ended], timesteps.next_observation[~ended])
    totals, lengths = running_sums(timesteps.reward, ended)
    np.testing.assert_array_equal(timesteps.episode.episode_return, totals)
    np.testing.assert_array_equal(timesteps.episode.episode_length, lengths)


@pytest.mark.parametrize("prefix", ["envpool:", "gymnasium:"])
def test_options_reach_the_simulator(prefix: str):
    bridge = make(prefix + "CartPole-v1", 2, max_episode_steps=5)
    assert bridge.max_episode_steps == 5
    _, _, timesteps = rollout(bridge, 10)(jax.random.key(3))
    np.testing.assert_array_equal(np.flatnonzero(timesteps.truncated[:, 1]), [4, 9])
    assert not np.any(timesteps.terminated)


def test_several_threads_give_the_bits_of_one():
    one, two = (rollout(make("envpool:HalfCheetah-v5", 4, num_threads=n), 20) for n in (1, 2))
    assert same(one(jax.random.key(4)), two(jax.random.key(4)))


# A pure function of the key, for any number of seeds


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("envpool:CartPole-v1", 60),
        ("envpool:HalfCheetah-v5", 20),
        ("envpool:Pong-v5", 5),
        ("gymnasium:CartPole-v1", 60),
        ("gymnasium:Pendulum-v1", 205),
    ],
)
def test_a_run_is_a_function_of_its_key_alone(name: str, steps: int):
    run = rollout(make(name, 2), steps)
    single = jax.jit(run)
    alone = [single(keys(seed)[0]) for seed in range(3)]
    assert same(alone[0], single(jax.random.key(0)))
    if "Pong" not in name:  # whose first picture is always the same
        assert not same(alone[0][0], alone[1][0])
    together = jax.tree.map(lambda *leaves: np.stack(leaves), *alone)
    assert same(jax.jit(jax.vmap(run))(keys(0, 1, 2)), together)
    assert same(jax.jit(lambda several: jax.lax.map(run, several))(keys(0, 1, 2)), together)
    if "CartPole" in name:
        nested = jax.jit(jax.vmap(jax.vmap(run)))(keys(0, 1, 2).reshape(3, 1))
        assert same(jax.tree.map(lambda leaf: leaf[:, 0], nested), together)


def test_without_the_fast_callback_the_bits_are_the_same(monkeypatch: pytest.MonkeyPatch):
    run = rollout(make("envpool:HalfCheetah-v5", 2), 10)
    fast = jax.jit(jax.vmap(run))(keys(0, 1))
    monkeypatch.setattr(host, "buffer_callback", None)
    assert same(jax.jit(jax.vmap(lambda key: run(key)))(keys(0, 1)), fast)


def test_seeds_share_one_pool_under_vmap_and_have_their_own_with_map():
    bridge = make("envpool:CartPole-v1", 2)
    state, _ = jax.jit(jax.vmap(bridge.reset))(keys(0, 1, 2))
    assert len(np.unique(state.ticket[..., pools.SERIAL])) == 1
    state, _ = jax.jit(lambda several: jax.lax.map(bridge.reset, several))(keys(0, 1, 2))
    assert len(np.unique(state.ticket[..., pools.SERIAL])) == 3


def test_a_state_made_under_vmap_goes_on_mapped_indexed_or_reordered():
    bridge = make("envpool:CartPole-v1", 2)
    actions = jnp.array([[0, 1], [1, 1], [0, 0]])

    def start() -> Any:
        return jax.vmap(bridge.reset)(keys(0, 1, 2))[0]

    def step(state: Any, action: jax.Array) -> TimeStep:
        return bridge.step(NO_KEY, state, action)[1]

    expected = jax.vmap(step)(start(), actions)
    mapped = jax.lax.map(lambda pair: step(*pair), (start(), actions))
    assert same(mapped, expected)
    backwards = jax.vmap(step)(jax.tree.map(lambda leaf: leaf[::-1], start()), actions[::-1])
    assert same(jax.tree.map(lambda leaf: leaf[::-1], backwards), expected)
    one = step(jax.tree.map(lambda leaf: leaf[1], start()), actions[1])
    assert same(one, jax.tree.map(lambda leaf: leaf[1], expected))


def test_seeds_of_several_pools_are_stepped_in_one_call():
    bridge = make("gymnasium:CartPole-v1", 2)
    action = jnp.array([0, 1])

    def start(seed: int) -> Any:
        return bridge.reset(keys(seed)[0])[0]

    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), start(0), start(1))
    _, timestep = jax.vmap(bridge.step, in_axes=(None, 0, None))(NO_KEY, both, action)
    alone = [bridge.step(NO_KEY, start(seed), action)[1] for seed in range(2)]
    assert same(timestep, jax.tree.map(lambda *leaves: np.stack(leaves), *alone))


def test_arguments_that_are_not_mapped_are_shared():
    bridge = make("envpool:Pendulum-v1", 2)
    action = jnp.array([[1.0], [-2.0]])

    def step(state: Any, action: jax.Array) -> TimeStep:
        return bridge.step(NO_KEY, state, action)[1]

    state = jax.vmap(bridge.reset)(keys(0, 1, 2))[0]
    shared = jax.vmap(step, in_axes=(0, None))(state, action)
    state = jax.vmap(bridge.reset)(keys(0, 1, 2))[0]
    assert same(shared, jax.vmap(step)(state, jnp.stack([action] * 3)))


def test_a_gradient_passes_by_the_simulator():
    bridge = make("envpool:Pendulum-v1", 2)

    def objective(parameter: jax.Array, state: Any) -> jax.Array:
        _, timestep = bridge.step(NO_KEY, state, jnp.ones((2, 1)) * parameter)
        return jnp.sum(timestep.reward) * parameter

    state, _ = bridge.reset(jax.random.key(0))
    value, slope = jax.jit(jax.value_and_grad(objective))(jnp.float32(0.5), state)
    np.testing.assert_allclose(slope, value / 0.5, rtol=1e-6)


def test_seeds_are_sharded_over_devices():
    code = """
    import jax, jax.numpy as jnp, numpy as np
    jax.config.update("jax_num_cpu_devices", 2)
    from jax.sharding import PartitionSpec as P
    from purejaxrl.environments import make

    bridge = make("envpool:CartPole-v1", 2)

    def epoch(state):
        def step(state, _):
            state, timestep = bridge.step(None, state, jnp.array([0, 1]))
            return state, timestep
        return jax.lax.scan(step, state, None, 30)

    over = {"vmap": jax.vmap, "map": lambda f: lambda x: jax.lax.map(f, x)}
    keys = lambda: jax.random.split(jax.random.key(0), 4)
    one = jax.jit(jax.vmap(lambda key: epoch(epoch(bridge.reset(key)[0])[0])[1]))(keys())
    mesh = jax.make_mesh((2,), ("seeds",), axis_types=(jax.sharding.AxisType.Auto,))
    for how in over.values():
        def shard(f):
            return jax.jit(jax.shard_map(
                how(f), mesh=mesh, in_specs=P("seeds"), out_specs=P("seeds"), check_vma=False))
        state = shard(lambda key: bridge.reset(key)[0])(keys())
        state, _ = shard(epoch)(state)
        _, timesteps = shard(epoch)(state)
        assert len(timesteps.reward.devices()) == 2
        assert all(jax.tree.leaves(jax.tree.map(np.array_equal, one, timesteps)))
    ffi = make("envpool:CartPole-v1", 2, backend="ffi")
    try:
        jax.shard_map(jax.vmap(lambda key: ffi.reset(key)[1]), mesh=mesh, in_specs=P("seeds"),
            out_specs=P("seeds"), check_vma=False)(keys())
    except ValueError as error:
        assert "cannot be sharded" in str(error)
    else:
        raise AssertionError("sharded a pool that is built into the program")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    result = subprocess.run(command, timeout=100, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


# States that name no simulator


def test_an_old_state_is_refused():
    bridge = make("envpool:CartPole-v1")
    old, _ = bridge.reset(jax.random.key(0))
    new, _ = bridge.step(NO_KEY, old, jnp.array([0, 1]))
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"old environment state.*1 steps.*after 0"):
        jax.block_until_ready(bridge.step(NO_KEY, old, jnp.array([0, 1])))
    bridge.step(NO_KEY, new, jnp.array([0, 1]))  # which does the simulators no harm


def test_one_state_for_many_actions_is_refused():
    bridge = make("gymnasium:CartPole-v1")
    state, _ = bridge.reset(jax.random.key(0))
    many = jax.vmap(bridge.step, in_axes=(None, None, 0))
    with pytest.raises(jax.errors.JaxRuntimeError, match="more than once in a batch"):
        jax.block_until_ready(many(NO_KEY, state, jnp.zeros((3, 2), int)))


def test_a_state_of_another_process_is_refused():
    bridge = make("gymnasium:CartPole-v1")
    state, _ = bridge.reset(jax.random.key(0))
    foreign = host.HostState(state.ticket.at[:, pools.PROCESS].add(-1), state.episode)
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"another process.*env\.reset"):
        jax.block_until_ready(bridge.step(NO_KEY, foreign, jnp.array([0, 1])))


def test_a_state_of_another_environment_is_refused():
    state, _ = make("gymnasium:CartPole-v1").reset(jax.random.key(0))
    other = make("gymnasium:CartPole-v1", max_episode_steps=7)
    with pytest.raises(jax.errors.JaxRuntimeError, match="the state belongs to"):
        jax.block_until_ready(other.step(NO_KEY, state, jnp.array([0, 1])))


@pytest.mark.parametrize("name", ["envpool:CartPole-v1", "gymnasium:CartPole-v1"])
def test_a_closed_pool_is_refused(name: str):
    bridge = make(name)
    state, _ = bridge.reset(jax.random.key(0))
    close_pools()
    with pytest.raises(jax.errors.JaxRuntimeError, match="has been released"):
        jax.block_until_ready(bridge.step(NO_KEY, state, jnp.array([0, 1])))


def test_the_pools_used_last_are_kept(monkeypatch: pytest.MonkeyPatch):
    close_pools()
    monkeypatch.setattr(pools.REGISTRY, "limit", 2)
    bridge, action = make("gymnasium:CartPole-v1"), jnp.array([0, 1])
    first, _ = bridge.reset(jax.random.key(0))
    second, _ = bridge.reset(jax.random.key(1))
    first, _ = bridge.step(NO_KEY, first, action)
    third, _ = bridge.reset(jax.random.key(2))
    for kept in (first, third):
        jax.block_until_ready(bridge.step(NO_KEY, kept, action))
    with pytest.raises(jax.errors.JaxRuntimeError, match="only the 2 pools used last"):
        jax.block_until_ready(bridge.step(NO_KEY, second, action))
    with pytest.raises(InvalidInput, match="at least 1, not 0"):
        host.set_pool_limit(0)
    host.set_pool_limit(1)
    assert len(pools.REGISTRY.entries) == 1


def test_a_released_pool_is_gone_once_none_of_its_simulators_is_left():
    close_pools()
    bridge = make("gymnasium:CartPole-v1")

    @jax.jit
    @jax.vmap
    def evaluate(key: jax.Array) -> jax.Array:
        state, observation = bridge.reset(key)
        state, timestep = bridge.step(NO_KEY, state, jnp.array([0, 1]))
        release({"environment": state, "else": observation})
        return timestep.reward

    jax.block_until_ready(evaluate(keys(0, 1)))
    jax.effects_barrier()
    assert not pools.REGISTRY.entries
    state, _ = jax.vmap(bridge.reset)(keys(0, 1))
    one, other = (jax.tree.map(lambda leaf, i=i: leaf[i], state) for i in range(2))
    release(one)
    jax.block_until_ready(bridge.step(NO_KEY, other, jnp.array([0, 1])))
    with pytest.raises(jax.errors.JaxRuntimeError, match="has been released"):
        jax.block_until_ready(bridge.step(NO_KEY, one, jnp.array([0, 1])))
    release(other)
    assert not pools.REGISTRY.entries
    assert holds_pool((state, 1))
    assert not holds_pool(environments.make("CartPole-v1").reset(jax.random.key(0)))


# Atari


def test_atari_images_have_their_channels_last():
    bridge = make("envpool:Pong-v5", 2)
    assert bridge.observation_space == gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    observation, actions, timesteps = rollout(bridge, 8)(jax.random.key(7))
    seeds = draw_seeds(jax.random.split(jax.random.key(7))[0], 2)
    plain = envpool.make_gymnasium("Pong-v5", num_envs=2, seed=np.asarray(seeds).tolist())
    np.testing.assert_array_equal(observation, np.moveaxis(plain.reset()[0], 1, -1))
    for t in range(8):
        expected = np.moveaxis(plain.step(np.asarray(actions[t]))[0], 1, -1)
        np.testing.assert_array_equal(timesteps.next_observation[t], expected)


def test_statistics_are_of_whole_games_where_lives_are_episodes_and_rewards_are_clipped():
    options = {"episodic_life": True, "reward_clip": True, "repeat_action_probability": 0.25}
    name = "Seaquest-v5"  # four lives, and 20 points a hit
    run = jax.jit(rollout(make(f"envpool:{name}", 2, **options), 700))
    _, actions, timesteps = jax.tree.map(np.asarray, run(jax.random.key(3)))
    seeds = draw_seeds(jax.random.split(jax.random.key(3))[0], 2)
    plain = envpool.make_gymnasium(name, num_envs=2, seed=np.asarray(seeds).tolist(), **options)
    plain.reset()
    scores, over, ended, lives = [], [], [], []
    for action in actions:
        _, _, terminated, truncated, info = plain.step(action)
        scores.append(info["reward"].copy())
        over.append((info["terminated"] == 1) | truncated)
        ended.append(terminated | truncated)
        if ended[-1].any():  # the further step that EnvPool spends on it
            rows = np.flatnonzero(ended[-1]).astype(np.int32)
            lives.extend(plain.step(action[rows], rows)[4]["lives"])
    scores, over, ended = np.stack(scores), np.stack(over), np.stack(ended)
    assert over.sum() >= 2
    assert set(lives) == {1, 2, 3, 4}  # games are played to their ends
    assert scores.max() > 1
    np.testing.assert_array_equal(timesteps.ended, ended)
    np.testing.assert_array_equal(timesteps.reward, np.sign(scores))
    totals, lengths = running_sums(scores, over)
    np.testing.assert_array_equal(timesteps.episode.episode_return, totals)
    np.testing.assert_array_equal(timesteps.episode.episode_length, lengths)


# XLA's foreign function interface


@ffi_only
@pytest.mark.parametrize(
    ("name", "steps", "num_seeds"),
    [
        ("CartPole-v1", 80, 1),
        ("CartPole-v1", 80, 2),
        ("Pendulum-v1", 205, 2),
        ("HalfCheetah-v5", 20, 2),
        ("Pong-v5", 5, 2),
    ],
)
def test_ffi_gives_the_bits_of_the_callback_from_the_same_seeds(
    name: str, steps: int, num_seeds: int, monkeypatch: pytest.MonkeyPatch
):
    ffi = environments.make(f"envpool:{name}", 2, backend="ffi", seed=5)
    assert isinstance(ffi, FfiEnvironment)
    given = jax.jit(jax.vmap(rollout(ffi, steps)))(keys(*range(num_seeds)))
    seeds = jnp.asarray(seeds_of(5, 2 * num_seeds).reshape(num_seeds, 2))
    monkeypatch.setattr(host, "draw_seeds", lambda key, num_envs: seeds[jax.random.key_data(key)[1]])
    callback = make(f"envpool:{name}", 2)

    def replay(seed: jax.Array, actions: jax.Array) -> tuple[jax.Array, jax.Array, TimeStep]:
        state, observation = callback.reset(jax.random.key(seed))

        def step(state: Any, action: jax.Array) -> tuple[Any, TimeStep]:
            return callback.step(NO_KEY, state, action)

        return observation, actions, jax.lax.scan(step, state, actions)[1]

    expected = jax.jit(jax.vmap(replay))(jnp.arange(num_seeds), given[1])
    assert same(given, expected)


@ffi_only
def test_ffi_notices_that_another_seed_has_reset_its_pool():
    ffi = environments.make("envpool:CartPole-v1", 2, backend="ffi")
    state, _ = jax.lax.map(ffi.reset, keys(0, 1))

    def epoch(state: Any) -> Any:
        return jax.lax.scan(lambda s, _: ffi.step(NO_KEY, s, jnp.array([0, 0])), state, None, 20)[1]

    with pytest.raises(jax.errors.JaxRuntimeError, match="another seed has reset"):
        jax.block_until_ready(jax.jit(lambda several: jax.lax.map(epoch, several))(state))


# What cannot work says so


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "envpool:CartPole-v7",
            {},
            "unknown environment 'CartPole-v7' among .* EnvPool; nearest: CartPole-v",
        ),
        ("envpool:CartPole-v1", {"max_episode_steps": 0}, "max_episode_steps must be .*, not 0"),
        ("envpool:CartPole-v1", {"max_episode_steps": -5}, "max_episode_steps must be .*, not -5"),
        ("envpool:CartPole-v1", {"foo": 1}, "CartPole-v1 has no option 'foo'; it has .*max_episode_steps"),
        ("envpool:Pong-v5", {"stack_num": "a"}, "does not take {'stack_num': 'a'}; .*{'stack_num': 4}"),
        ("envpool:CartPole-v1", {"seed": 1}, "seed is not an option here"),
        ("envpool:CartPole-v1", {"batch_size": 1}, "batch_size is not an option here"),
        ("envpool:CartPole-v1", {"backend": "gpu"}, "one of callback, ffi, not 'gpu'"),
        ("envpool:CartPole-v1", {"backend": "ffi", "seed": -1}, "seed must be .* at least 0, not -1"),
        ("envpool:CartPole-v1", {"num_threads": 0}, "num_threads must be .* at least 1, not 0"),
        ("envpool:CartPole-v1", {"num_envs": 0}, "num_envs must be .* at least 1, not 0"),
        ("envpool:AcrobotSwingup-v1", {}, "observation space of AcrobotSwingup-v1 is Dict; only Box"),
        ("envpool:Go9x9-v1", {}, "only Box and Discrete"),
        ("envpool:IntersectionMultiAgent-v0", {}, "has 2 players"),
        ("gymnasium:CartPole-v7", {}, "unknown environment 'CartPole-v7' among .* gymnasium; nearest: Cart"),
        ("gymnasium:CartPole-v1", {"foo": 1}, "CartPole-v1 does not take {'foo': 1}"),
        ("gymnasium:CartPole-v1", {"backend": "ffi"}, "'callback' only, not 'ffi'"),
        ("gymnasium:CartPole-v1", {"num_threads": 2}, "1 thread, not 2"),
        ("gymnasium:CartPole-v1", {"num_envs": 0}, "num_envs must be .* at least 1, not 0"),
        ("gymnasium:Blackjack-v1", {}, "observation space of Blackjack-v1 is Tuple; only Box and Discrete"),
        ("gymnasium:no_such_module:X-v0", {}, "gymnasium cannot make no_such_module:X-v0"),
    ],
)
def test_bad_input_is_named(name: str, options: dict[str, Any], message: str):
    with pytest.raises(InvalidInput, match=message) as caught:
        environments.make(name, **{"num_envs": 2, **options})
    assert "\n" not in str(caught.value)


def test_a_platform_without_envpool_is_told_which_have_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(InvalidInput, match=r"not installed.*Linux.*macOS.*Windows"):
        environments.make("envpool:Acrobot-v1", 2, max_episode_steps=77)  # asked for nowhere else


def test_ffi_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InvalidInput, match="Linux only, not on darwin"):
        environments.make("envpool:CartPole-v1", 2, backend="ffi")


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (jnp.zeros(3, jnp.int32), r"actions of shape \(2,\), not \(3,\)"),
        (jnp.zeros((2, 1), jnp.int32), r"actions of shape \(2,\), not \(2, 1\)"),
        (jnp.zeros(2), "whole numbers as actions, not float32"),
    ],
)
@pytest.mark.parametrize("backend", ["callback", pytest.param("ffi", marks=ffi_only)])
def test_an_action_of_the_wrong_kind_is_refused_before_it_runs(action: Any, message: str, backend: str):
    bridge = environments.make("envpool:CartPole-v1", 2, backend=backend)
    with pytest.raises(InvalidInput, match=message):
        jax.eval_shape(lambda key: bridge.step(NO_KEY, bridge.reset(key)[0], action), jax.random.key(0))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("envpool:Pong-v5", {}),
        ("gymnasium:CartPole-v1", {}),
        pytest.param("envpool:CartPole-v1", {"backend": "ffi"}, marks=ffi_only),
    ],
)
@pytest.mark.parametrize("wrong", [-1, 6])
def test_an_action_out_of_range_is_refused(name: str, options: dict[str, Any], wrong: int):
    bridge = environments.make(name, 2, **options)
    state, _ = bridge.reset(jax.random.key(0))
    with pytest.raises(jax.errors.JaxRuntimeError, match=rf"takes actions from 0 to \d, not {wrong}"):
        jax.block_until_ready(bridge.step(NO_KEY, state, jnp.array([0, wrong])))
