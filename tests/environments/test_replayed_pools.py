"""Simulators on the host, made anew from their seeds and recorded actions."""

from __future__ import annotations

import functools
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import purejaxrl.environments as environments
from purejaxrl.environments import host, pools
from purejaxrl.environments.gymnasium_bridge import GymnasiumPool
from purejaxrl.environments.host import HostEnvironment, concatenate, replay, take_record
from purejaxrl.environments.pools import PoolError, Record
from purejaxrl.types import InvalidInput, TimeStep

pytest.importorskip("envpool")
pytestmark = pytest.mark.timeout(120)
NO_KEY: Any = None  # a bridge's step uses none
SEEDS, ENVS = 4, 2
ATARI = {"episodic_life": True, "reward_clip": True, "repeat_action_probability": 0.25}


@pytest.fixture(autouse=True)
def _no_pools():
    pools.close_pools()
    yield
    pools.close_pools()


def make(name: str, num_envs: int = ENVS, *, recording: bool = True, **options: Any) -> HostEnvironment:
    environment = environments.make(name, num_envs, **options)
    assert isinstance(environment, HostEnvironment)
    return environments.recording(environment) if recording else environment


def draw_actions(environment: HostEnvironment, steps: int, seeds: int = SEEDS) -> np.ndarray:
    """Random actions ``[seeds, T, B, …]``."""
    space, generator = environment.action_space, np.random.default_rng(steps)
    size = (seeds, steps, environment.num_envs)
    if isinstance(space, gymnasium.spaces.Discrete):
        return generator.integers(0, space.n, size, np.int32)
    assert isinstance(space, gymnasium.spaces.Box)
    return generator.uniform(space.low, space.high, (*size, *space.shape)).astype(np.float32)


def lift(function: Callable[..., Any], layout: str) -> Callable[..., Any]:
    """``function`` of one seed, of all seeds: ``vmap`` or ``map``, over 2 devices if ``sharded``."""

    def lifted(*arguments: Any) -> Any:
        if "vmap" in layout:
            return jax.vmap(function)(*arguments)
        return jax.lax.map(lambda one: function(*one), arguments)

    if "sharded" not in layout:
        return jax.jit(lifted)
    mesh = jax.make_mesh((2,), ("seeds",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = PartitionSpec("seeds")
    return jax.jit(jax.shard_map(lifted, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False))


def number_of_pools(layout: str, seeds: int = SEEDS) -> int:
    return seeds if "map" in layout and "vmap" not in layout else 2 if "sharded" in layout else 1


@functools.lru_cache
def programs(environment: Any, layout: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiled: keys to first states, and states and actions to states and TimeSteps."""

    def step_all(state: Any, actions: jax.Array) -> tuple[Any, TimeStep]:
        return jax.lax.scan(lambda state, action: environment.step(NO_KEY, state, action), state, actions)

    return lift(lambda key: environment.reset(key)[0], layout), lift(step_all, layout)


def begin(environment: Any, layout: str = "vmap", seeds: int = SEEDS) -> Any:
    keys = jax.vmap(jax.random.key)(jnp.arange(seeds))
    return programs(environment, layout)[0](keys)


def play(environment: Any, state: Any, actions: Any, layout: str = "vmap") -> Any:
    """Steps all seeds with ``actions`` ``[seeds, T, B, …]``. Returns the state and TimeSteps, in numpy."""
    return jax.tree.map(np.asarray, programs(environment, layout)[1](state, actions))


def same_bits(left: Any, right: Any) -> bool:
    def same(a: Any, b: Any) -> bool:
        return (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())

    return all(jax.tree.leaves(jax.tree.map(same, left, right)))


def part(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], tree)


def held() -> int:
    """How many steps' actions the pools of this process hold."""
    return sum(len(entry.log.steps) for entry in pools.REGISTRY.entries.values() if entry.log)


# What is replayed goes on as if nothing had happened


def check_it_goes_on(
    environment: HostEnvironment, recorded: str, replayed: str, steps: int, seeds: int = SEEDS
) -> None:
    """Records two epochs of ``steps``, replays them, and compares the third with the first pools'."""
    actions = draw_actions(environment, 3 * steps, seeds)
    state = begin(environment, recorded, seeds)
    state, first = play(environment, state, actions[:, :steps], recorded)
    records = [take_record(state)]
    state, second = play(environment, state, actions[:, steps : 2 * steps], recorded)
    records.append(take_record(state))
    record = concatenate(records)  # type: ignore[arg-type]
    expected_state, expected = play(environment, state, actions[:, 2 * steps :], recorded)
    assert first.ended.any() or second.ended.any()  # the replay has resets in it
    assert expected.ended.any()

    number = number_of_pools(replayed, seeds)
    new = replay(environment, state, record, number)
    assert not np.array_equal(new.ticket, state.ticket)
    assert len(np.unique(new.ticket[..., pools.SERIAL])) == number
    new_state, given = play(environment, new, actions[:, 2 * steps :], replayed)
    assert same_bits(given, expected)
    assert same_bits(new_state.episode, expected_state.episode)
    np.testing.assert_array_equal(new_state.ticket[..., pools.TURN], expected_state.ticket[..., pools.TURN])
    # Both go on recording, and have the same to tell.
    assert same_bits(take_record(new_state), take_record(expected_state))


@pytest.mark.parametrize(
    ("name", "options", "steps"),
    [
        ("envpool:CartPole-v1", {}, 40),
        ("envpool:Pendulum-v1", {"max_episode_steps": 11}, 13),
        ("envpool:HalfCheetah-v5", {"max_episode_steps": 11}, 13),
        ("envpool:Pong-v5", {"max_episode_steps": 7}, 9),
        ("envpool:Pong-v5", {"max_episode_steps": 7, **ATARI}, 9),
        ("envpool:Breakout-v5", ATARI, 60),
        ("gymnasium:CartPole-v1", {}, 40),
        ("gymnasium:Pendulum-v1", {"max_episode_steps": 11}, 13),
    ],
)
def test_replayed_simulators_go_on_to_the_bit(name: str, options: dict[str, Any], steps: int):
    check_it_goes_on(make(name, **options), "vmap", "vmap", steps, seeds=2)


@pytest.mark.parametrize(
    ("recorded", "replayed"),
    [
        ("map", "map"),
        ("sharded vmap", "sharded vmap"),
        ("sharded map", "sharded map"),
        ("vmap", "map"),
        ("map", "sharded vmap"),
        ("sharded vmap", "vmap"),
    ],
)
def test_any_layout_is_recorded_and_replayed_in_any(recorded: str, replayed: str):
    check_it_goes_on(make("envpool:CartPole-v1"), recorded, replayed, 40)


def test_simulators_of_many_threads_are_replayed_in_another_layout():
    environment = make("envpool:HalfCheetah-v5", num_threads=2, max_episode_steps=11)
    check_it_goes_on(environment, "sharded vmap", "map", 13)


def test_a_resumed_run_is_resumed_again():
    environment = make("gymnasium:CartPole-v1")
    actions = draw_actions(environment, 90)
    state, _ = play(environment, begin(environment), actions[:, :30])
    records = [take_record(state)]
    for start in (30, 60):
        state = replay(environment, state, concatenate(records), 1)  # type: ignore[arg-type]
        state, given = play(environment, state, actions[:, start : start + 30])
        records.append(take_record(state))
    _, expected = play(environment, begin(environment), actions)
    assert same_bits(given, part(expected, np.s_[:, 60:]))


def test_another_process_goes_on(tmp_path: Path):
    cases = [
        ("envpool:CartPole-v1", {}, 40, 40),
        ("gymnasium:CartPole-v1", {}, 40, 40),
        ("envpool:Pong-v5", {"max_episode_steps": 7, **ATARI}, 9, 9),
    ]
    given = []
    for name, options, before, after in cases:
        environment = make(name, **options)
        actions = draw_actions(environment, before + after, seeds=2)
        state, _ = play(environment, begin(environment, seeds=2), actions[:, :before])
        record = take_record(state)
        _, expected = play(environment, state, actions[:, before:])
        saved = jax.tree.leaves(state)
        given.append((name, options, saved, record, actions[:, before:], jax.tree.leaves(expected)))
    (tmp_path / "checkpoint").write_bytes(pickle.dumps(given))
    code = """
    import pickle, sys
    import jax, numpy as np
    import purejaxrl.environments as environments
    from purejaxrl.environments import host

    for name, options, saved, record, actions, expected in pickle.load(open(sys.argv[1], "rb")):
        environment = environments.make(name, actions.shape[2], **options)
        form = jax.eval_shape(environment.reset, jax.random.key(0))[0]
        state = jax.tree.unflatten(jax.tree.structure(form), saved)
        state = host.replay(environment, state, record, len(actions))
        go_on = lambda state, actions: jax.lax.scan(
            lambda state, action: environment.step(None, state, action), state, actions)[1]
        timesteps = jax.jit(lambda *all: jax.lax.map(lambda one: go_on(*one), all))(state, actions)
        for ours, theirs in zip(jax.tree.leaves(timesteps), expected, strict=True):
            assert np.asarray(ours).tobytes() == theirs.tobytes(), name
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "checkpoint")]
    result = subprocess.run(command, timeout=100, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_rest_of_the_state_and_its_place_are_left_alone():
    environment = make("gymnasium:CartPole-v1")
    state, _ = play(environment, begin(environment), draw_actions(environment, 20))
    record = take_record(state)
    assert record is not None
    device = jax.devices()[1]
    runner = {"state": jax.device_put(state, device), "key": jax.random.key(3), "weights": np.arange(3.0)}
    new = replay(environment, runner, record, 1)
    assert new["key"] is runner["key"]
    assert new["weights"] is runner["weights"]
    assert new["state"].episode is runner["state"].episode
    assert new["state"].ticket.devices() == {device}
    assert new["state"].ticket.dtype == state.ticket.dtype
    assert isinstance(replay(environment, state, record, 1).ticket, np.ndarray)  # as it was given


# What a record has


@pytest.mark.parametrize(
    ("layout", "name", "dtype"),
    [
        ("vmap", "envpool:Pendulum-v1", np.float32),
        ("vmap", "envpool:CartPole-v1", np.uint8),
        ("map", "envpool:CartPole-v1", np.uint8),
        ("sharded vmap", "envpool:CartPole-v1", np.uint8),
        ("sharded map", "envpool:CartPole-v1", np.uint8),
    ],
)
def test_a_record_is_taken_once_in_the_order_of_the_tickets(layout: str, name: str, dtype: Any):
    environment = make(name)
    actions = draw_actions(environment, 8)
    state = begin(environment, layout)
    records = []
    for start, stop in ((0, 4), (4, 8), (8, 8)):
        if stop > start:
            state, _ = play(environment, state, actions[:, start:stop], layout)
        assert held() == (stop - start) * number_of_pools(layout)
        records.append(take_record({"runner": state, "key": jax.random.key(0)}))
        assert held() == 0
        assert records[-1].actions.dtype == dtype
        np.testing.assert_array_equal(records[-1].actions, np.moveaxis(actions[:, start:stop], 0, 1))
    keys = jax.vmap(jax.random.key)(jnp.arange(SEEDS))
    seeds = jax.vmap(lambda key: host.draw_seeds(key, ENVS))(keys)
    record = concatenate(records)
    np.testing.assert_array_equal(record.seeds, seeds)
    np.testing.assert_array_equal(record.actions, np.moveaxis(actions, 0, 1))


def test_a_record_follows_the_tickets_where_they_were_reordered():
    environment = make("envpool:CartPole-v1")
    actions = draw_actions(environment, 8)
    state, _ = play(environment, begin(environment), actions)
    record = take_record(part(state, np.s_[::-1]))
    seeds = [host.draw_seeds(jax.random.key(seed), ENVS) for seed in reversed(range(SEEDS))]
    assert record is not None
    np.testing.assert_array_equal(record.seeds, np.stack(seeds))
    np.testing.assert_array_equal(record.actions, np.moveaxis(actions[::-1], 0, 1))


def test_each_row_has_its_own_actions_however_it_was_stepped():
    environment = make("envpool:CartPole-v1")
    actions = draw_actions(environment, 6, seeds=3)
    state = begin(environment, seeds=3)
    state, _ = play(environment, state, actions[:, :1])
    backwards, _ = play(environment, part(state, np.s_[::-1]), actions[::-1, 1:2])
    middle, _ = play(environment, part(backwards, np.s_[1:2]), actions[1:2, 2:4])
    outer, _ = play(environment, part(backwards, np.s_[::2]), actions[::-2, 2:5])
    both = jax.tree.map(lambda a, b: np.concatenate([a[1:], b, a[:1]]), outer, middle)
    with pytest.raises(PoolError, match="taken from 4 to 5 steps"):
        take_record(both)
    middle, _ = play(environment, middle, actions[1:2, 4:5])
    first, last = part(outer, np.s_[1:]), part(outer, np.s_[:1])
    # Part by part, in any order: what is not asked for stays.
    for state, wanted in ((middle, np.s_[1:2]), (last, np.s_[2:])):
        record = take_record(state)
        assert record is not None
        np.testing.assert_array_equal(record.actions, np.moveaxis(actions[wanted, :5], 0, 1))
    assert held() > 0
    first, _ = play(environment, first, actions[:1, 5:])
    record = take_record(first)
    assert record is not None
    np.testing.assert_array_equal(record.actions, np.moveaxis(actions[:1], 0, 1))
    assert held() == 0


def test_recording_changes_no_bits_and_is_off_unless_asked_for():
    silent, recording = make("envpool:CartPole-v1", recording=False), make("envpool:CartPole-v1")
    assert (silent.recording, recording.recording) == (False, True)
    actions = draw_actions(silent, 40)
    _, expected = play(silent, begin(silent), actions)
    assert held() == 0
    assert all(entry.log is None for entry in pools.REGISTRY.entries.values())
    _, given = play(recording, begin(recording), actions)
    assert same_bits(given, expected)


@pytest.mark.parametrize(
    ("space", "dtype"),
    [
        (gymnasium.spaces.Discrete(256), np.uint8),
        (gymnasium.spaces.Discrete(257), np.uint16),
        (gymnasium.spaces.Discrete(3, start=-1), np.int8),
        (gymnasium.spaces.Discrete(300, start=-1), np.int16),
        (gymnasium.spaces.Box(-1, 1, (2,), np.float32), np.float32),
        (gymnasium.spaces.Box(0, 255, (2,), np.uint8), np.uint8),
    ],
)
def test_actions_are_recorded_as_the_smallest_type_that_holds_them(space: Any, dtype: Any):
    assert pools.compact(space) == dtype


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.float16, jnp.bfloat16])
def test_actions_of_another_type_than_the_space_are_recorded_exactly(dtype: Any):
    environment = make("gymnasium:Pendulum-v1")
    log = pools.Log(environment.recipe, np.zeros(1, np.int32), 0)
    given = np.asarray([[2**24 + 1]], dtype) if dtype == np.int32 else np.asarray([[0.1]], dtype)
    for _ in range(2):
        log.add(None, given)
    given = given.copy()
    (recorded, _) = log.take(np.arange(1), 2)
    np.testing.assert_array_equal(recorded.astype(np.float64), given.astype(np.float64))


# Progress and room


def test_progress_is_reported():
    environment = make("gymnasium:CartPole-v1")
    state, _ = play(environment, begin(environment), draw_actions(environment, 600))
    record = take_record(state)
    assert record is not None
    seen: list[tuple[int, int]] = []
    replay(environment, state, record, 2, lambda done, total: seen.append((done, total)))
    assert seen == [(256, 600), (512, 600), (600, 600)]


def test_no_more_pools_are_made_than_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pools.REGISTRY, "limit", SEEDS)
    environment = make("gymnasium:CartPole-v1")
    actions = draw_actions(environment, 6)
    state, _ = play(environment, begin(environment), actions[:, :3])
    record = take_record(state)
    assert record is not None
    new = replay(environment, state, record, SEEDS)
    assert len(pools.REGISTRY.entries) == SEEDS  # the old pool made room
    play(environment, new, actions[:, 3:], "map")
    monkeypatch.setattr(pools.REGISTRY, "limit", SEEDS - 1)
    with pytest.raises(InvalidInput, match="4 pools are needed, and 3 are kept: see set_pool_limit"):
        replay(environment, state, record, SEEDS)


def test_a_replay_that_fails_leaves_no_pools(monkeypatch: pytest.MonkeyPatch):
    environment = make("gymnasium:CartPole-v1")
    state, _ = play(environment, begin(environment), draw_actions(environment, 3))
    record = take_record(state)
    assert record is not None
    before, closed = dict(pools.REGISTRY.entries), []

    def fail(*_: Any) -> None:
        raise RuntimeError("out of fuel")

    monkeypatch.setattr(GymnasiumPool, "step", fail)
    monkeypatch.setattr(GymnasiumPool, "close", lambda pool: closed.append(pool))
    with pytest.raises(RuntimeError, match="out of fuel"):
        replay(environment, state, record, 2)
    assert len(closed) == 2
    assert pools.REGISTRY.entries == before


# What cannot work says so


def test_which_environments_are_resumable():
    ours, bridge = environments.make("CartPole-v1", 2), make("envpool:CartPole-v1", recording=False)
    assert environments.resumable(ours) == "exactly"
    assert environments.resumable(bridge) == "by replay"
    assert environments.resumable(make("gymnasium:CartPole-v1")) == "by replay"
    assert environments.recording(ours) is ours
    assert take_record(ours.reset(jax.random.key(0))[0]) is None
    if sys.platform == "linux":
        ffi = environments.make("envpool:CartPole-v1", 2, backend="ffi")
        assert environments.resumable(ffi) == "never"
        with pytest.raises(InvalidInput, match="use backend='callback'"):
            environments.recording(ffi)


def test_what_cannot_be_taken():
    silent = make("gymnasium:CartPole-v1", recording=False)
    with pytest.raises(PoolError, match=r"not recorded.*environments\.recording\(environment\)"):
        take_record(begin(silent))
    environment = make("gymnasium:CartPole-v1")
    old, actions = begin(environment), draw_actions(environment, 3)
    new, _ = play(environment, old, actions)
    with pytest.raises(PoolError, match="old environment state"):
        take_record(old)
    with pytest.raises(InvalidInput, match="2 environment states"):
        take_record((old, new))
    other, _ = play(silent, begin(silent), actions)
    with pytest.raises(PoolError, match="not recorded"):
        take_record(jax.tree.map(lambda *leaves: np.concatenate(leaves), new, other))
    assert held() == 3  # nothing was forgotten
    with pytest.raises(jax.errors.TracerArrayConversionError):
        jax.jit(take_record)(new)
    pools.close_pools()
    with pytest.raises(PoolError, match="has been released"):
        take_record(new)
    foreign = new.replace(ticket=new.ticket - np.array([1, 0, 0, 0], np.int32))
    with pytest.raises(PoolError, match=r"another process.*host\.replay"):
        take_record(foreign)


def test_what_cannot_be_replayed(monkeypatch: pytest.MonkeyPatch):
    environment = make("gymnasium:CartPole-v1")
    state, _ = play(environment, begin(environment), draw_actions(environment, 3))
    record = take_record(state)
    assert record is not None
    seeds, actions = record
    monkeypatch.setattr(host, "replay_pools", None)  # nothing of this gets as far
    ours = environments.make("CartPole-v1", 2)
    for arguments, message in [
        ((ours, state, record, 1), "only the simulators of a HostEnvironment"),
        ((environment, ours.reset(jax.random.key(0))[0], record, 1), "no simulators to replay"),
        ((environment, (state, state), record, 1), "2 environment states"),
        (
            (environment, state, Record(seeds, actions[1:]), 1),
            "has 2 steps, and the state is the one after 3",
        ),
        ((environment, state, Record(seeds[1:], actions[:, 1:]), 1), r"has seeds \(3, 2\) and actions"),
        ((environment, state, Record(seeds, actions[..., None]), 1), r"takes \(4, 2\) and \('T', 4, 2\)"),
        ((environment, state, Record(seeds, actions + np.uint8(1)), 1), "takes actions from 0 to 1, not 2"),
        ((environment, state, record, 3), "8 simulators cannot be split into 3 pools"),
        ((environment, state, record, 0), "8 simulators cannot be split into 0 pools"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            replay(*arguments)
    with pytest.raises(InvalidInput, match="their seeds differ"):
        concatenate([record, Record(seeds[::-1], actions)])
    with pytest.raises(InvalidInput, match="no records"):
        concatenate([])
