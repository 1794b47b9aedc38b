"""What is compiled: no calls to the host, writes in place, memory that does not grow, any platform."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from training_cases import EXPERIMENTS, variant

from purejaxrl import training
from purejaxrl.training import Experiment, Programs
from purejaxrl.training import seeds as seeds_

pytestmark = pytest.mark.as_released

AGENTS = ("dqn", "a2c", "ddpg")
REPLAYING = ("dqn", "ddpg")
SLOTS = 53  # of a replay buffer in the tests of its shape: a prime, so that no other array has its shape

# What may be done to a whole replay buffer: make it, write a slice of it, look rows up, hand it on.
# Whatever is not listed (select_n, scatter, cond, copy, …) may read or write all of it.
IN_PLACE = {
    "broadcast_in_dim",
    "dynamic_update_slice",
    "gather",
    "jit",
    "optimization_barrier",
    "reshape",
    "scan",
    "shard_map",
}


def equations(jaxpr: Any) -> Iterator[Any]:
    """Every equation of a jaxpr, those of the jaxprs within it included."""

    def inner(parameter: Any) -> Iterator[Any]:
        if isinstance(parameter, tuple | list):
            for item in parameter:
                yield from inner(item)
        elif hasattr(parameter, "jaxpr"):
            yield from inner(parameter.jaxpr)
        elif hasattr(parameter, "eqns"):
            yield from equations(parameter)

    for equation in jaxpr.eqns:
        yield equation
        for parameter in equation.params.values():
            yield from inner(parameter)


def callbacks(jaxpr: Any) -> set[str]:
    """The primitives in a jaxpr that leave the device while the program runs."""
    names = {equation.primitive.name for equation in equations(jaxpr)}
    return {name for name in names if "callback" in name or name in ("infeed", "outfeed", "debug_print")}


def on_buffers(jaxpr: Any, *axes: int) -> dict[str, int]:
    """How often each primitive takes a whole replay buffer ``[…, B, slots, T, …]``, or flattened."""

    def is_buffer(operand: Any) -> bool:
        shape: tuple[int, ...] = getattr(operand.aval, "shape", ())
        windows = zip(*(shape[i:] for i in range(len(axes))), strict=False)
        return math.prod(axes) in shape or axes in windows

    counts: dict[str, int] = {}
    for equation in equations(jaxpr):
        if any(is_buffer(operand) for operand in equation.invars):
            name = equation.primitive.name
            # JAX writes a slice under vmap as a scatter: of one window, which XLA makes a slice of
            # again, where the index is not batched; of a window for each seed where it is.
            if name == "scatter" and np.prod(equation.invars[1].aval.shape[:-1]) == 1:
                name = "dynamic_update_slice"
            counts[name] = counts.get(name, 0) + 1
    return counts


def runners_of(made: Programs) -> Any:
    """The shapes of the runners that an epoch takes."""
    return jax.eval_shape(made.begin, made.members)[0]


def bytes_of(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def with_capacity(experiment: Experiment[Any], capacity: int) -> Experiment[Any]:
    return dataclasses.replace(experiment, config=experiment.config.replace(buffer_capacity=capacity))


# No call to the host.


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_no_callback_in_a_run_in_an_environment_of_ours(name: str, mode: Any) -> None:
    made = training.programs(variant(name, seeds=mode, num_seeds=2, devices=2))
    jaxpr = jax.make_jaxpr(made.train)(made.members).jaxpr
    assert {"scan", "shard_map", "dot_general"} <= {equation.primitive.name for equation in equations(jaxpr)}
    assert callbacks(jaxpr) == set()


def test_the_callbacks_of_an_envpool_run_are_found() -> None:
    made = training.programs(variant("a2c, EnvPool", num_seeds=2, devices=2))
    assert callbacks(jax.make_jaxpr(made.train)(made.members).jaxpr)


def test_a_callback_deep_in_a_program_is_found() -> None:
    def noisy(x: jax.Array) -> jax.Array:
        def body(carry: jax.Array, _: None) -> tuple[jax.Array, None]:
            jax.lax.cond(carry > 0, lambda: jax.debug.callback(lambda: None), lambda: None)
            return carry + 1, None

        return jax.lax.map(lambda one: jax.lax.scan(jax.jit(body), one, length=3)[0], x)

    assert callbacks(jax.make_jaxpr(noisy)(jnp.zeros(2)).jaxpr)


# Buffers are written in place.


@pytest.mark.parametrize("name", REPLAYING)
@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_nothing_touches_a_whole_buffer(name: str, mode: Any) -> None:
    settings = EXPERIMENTS[name].settings
    made = training.programs(
        with_capacity(variant(name, seeds=mode, num_seeds=3, devices=1), SLOTS * settings.rollout_size)
    )
    jaxpr = jax.make_jaxpr(made.epoch)(runners_of(made), jnp.int32(0)).jaxpr
    counts = on_buffers(jaxpr, settings.num_envs, SLOTS, settings.rollout_length)
    leaves = 6  # observation, action, reward, terminated, truncated, next observation
    if mode == "map":  # a seed's buffer is taken out of all seeds' before its epoch, and put back after it
        assert counts.pop("dynamic_slice") == counts.pop("squeeze") == leaves
        counts["dynamic_update_slice"] -= leaves
    assert counts["dynamic_update_slice"] == leaves
    assert counts["gather"] == leaves
    assert set(counts) <= IN_PLACE, counts
    # Nor is any choice left to both branches: a cond on the counter would have stayed one.
    assert "cond" not in {equation.primitive.name for equation in equations(jaxpr)}


def collect_under_vmap(update: Any) -> dict[str, int]:
    """What a loop of ``update(buffer, row, count, flag)`` under vmap does to its buffers."""

    def loop(buffer: jax.Array, flag: jax.Array, start: jax.Array) -> jax.Array:
        def body(carry: Any, i: jax.Array) -> tuple[Any, None]:
            return update(carry, jnp.full((4, 2), i, jnp.float32), start + i, flag), None

        return jax.lax.scan(body, buffer, jnp.arange(5))[0]

    arguments = (jnp.zeros((3, SLOTS, 4, 2)), jnp.zeros(3, bool), jnp.zeros(3, jnp.int32))
    return on_buffers(jax.make_jaxpr(jax.vmap(loop))(*arguments).jaxpr, SLOTS, 4)


def write(buffer: jax.Array, row: jax.Array, count: Any) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(buffer, row, count % SLOTS, axis=0)


def test_a_buffer_through_a_cond_is_found() -> None:
    counts = collect_under_vmap(
        lambda buffer, row, count, flag: jax.lax.cond(flag, lambda: write(buffer, row, 1), lambda: buffer)
    )
    assert "select_n" in set(counts) - IN_PLACE


def test_a_counter_in_the_vmapped_state_is_found() -> None:
    counts = collect_under_vmap(lambda buffer, row, count, flag: write(buffer, row, count))
    assert "scatter" in set(counts) - IN_PLACE


def test_a_mask_over_the_buffer_is_found() -> None:
    counts = collect_under_vmap(
        lambda buffer, row, count, flag: jnp.where(jnp.arange(SLOTS)[:, None, None] == 1, row, buffer)
    )
    assert "select_n" in set(counts) - IN_PLACE


def compiled_epoch(experiment: Experiment[Any]) -> tuple[str, int, int]:
    """An epoch's program as XLA has it, its temporary bytes, and those of all seeds' buffers."""
    made = training.programs(experiment)
    runners = runners_of(made)
    compiled = made.epoch.lower(runners, jnp.int32(0)).compile()
    memory = compiled.memory_analysis()
    assert memory.alias_size_in_bytes >= bytes_of(runners.memory), "the runners are not donated"
    return compiled.as_text(), memory.temp_size_in_bytes, bytes_of(runners.memory)


@pytest.mark.parametrize("name", ["dqn", pytest.param("ddpg", marks=pytest.mark.slow)])
def test_vmapped_buffers_are_updated_in_place(name: str) -> None:
    """The temporaries of an epoch do not grow with the buffer, of which XLA makes no copy."""
    experiment = variant(name, seeds="vmap", num_seeds=4, devices=1)
    _, small, few = compiled_epoch(with_capacity(experiment, 1_000))
    program, large, many = compiled_epoch(with_capacity(experiment, 100_000))
    assert many == 100 * few
    assert large - small < 0.05 * many / 4, "less than a twentieth of one seed's buffer"
    settings = experiment.settings
    axes = f"{settings.num_envs},{100_000 // settings.rollout_size},{settings.rollout_length}"
    on_whole = re.findall(rf"= \w+\[4,{axes}\b\S* ([\w-]+)\(", program)
    assert on_whole.count("dynamic-update-slice") == 6
    assert set(on_whole) <= {"parameter", "get-tuple-element", "dynamic-update-slice", "fusion", "bitcast"}


@pytest.mark.parametrize("name", ["dqn", pytest.param("ddpg", marks=pytest.mark.slow)])
def test_mapped_buffers_are_copied_one_at_a_time(name: str) -> None:
    """A seed's buffer is sliced out before its epoch and written back after it.

    So the temporaries are one seed's buffer, and half of it again for DDPG, copied once for each epoch
    and seed, and not once for each write.
    """
    experiment = variant(name, seeds="map", num_seeds=4, devices=1)
    _, small, few = compiled_epoch(with_capacity(experiment, 1_000))
    _, large, many = compiled_epoch(with_capacity(experiment, 100_000))
    assert large - small < 1.5 / 4 * (many - few)


# Memory does not grow with the length of a run.


def ten_times(experiment: Experiment[Any]) -> Experiment[Any]:
    """The same with ten times the iterations after the warm-up, in as many epochs."""
    settings = experiment.settings
    warmup = experiment.loop().warmup_iterations * settings.rollout_size
    total = warmup + 10 * (settings.total_steps - warmup)
    return dataclasses.replace(experiment, settings=dataclasses.replace(settings, total_steps=total))


@pytest.mark.parametrize("name", ["dqn", pytest.param("a2c", marks=pytest.mark.slow)])
def test_memory_of_one_call_does_not_grow_with_the_run(name: str) -> None:
    """At ten times the length the output is as large, and so are the temporaries but for a counter.

    The counters of an epoch's iterations, 4 bytes each, are laid out before the scan over them.
    """
    short = variant(name, num_seeds=2, devices=1)
    memory, iterations = [], []
    for experiment in (short, ten_times(short)):
        made = training.programs(experiment)
        memory.append(made.train.lower(made.members).compile().memory_analysis())
        iterations.append(made.loop.iterations_per_epoch)
    assert iterations[1] == 10 * iterations[0]
    assert memory[1].output_size_in_bytes == memory[0].output_size_in_bytes
    grown = memory[1].temp_size_in_bytes - memory[0].temp_size_in_bytes
    assert grown <= 4 * (iterations[1] - iterations[0]) + 64


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_programs_of_a_longer_run_are_no_larger(name: str, mode: Any) -> None:
    """At ten times the length each program has the same equations and results."""
    short = variant(name, seeds=mode, num_seeds=2, devices=1)
    counts, results = [], []
    for experiment in (short, ten_times(short)):
        made = training.programs(experiment)
        traced = made.epoch.trace(runners_of(made), jnp.int32(0)), made.train.trace(made.members)
        counts.append([len(list(equations(each.jaxpr.jaxpr))) for each in traced])
        results.append([each.out_info for each in traced])
    assert counts[0] == counts[1]
    assert results[0] == results[1]


# Any platform.


@pytest.mark.parametrize("name", AGENTS)
def test_a_whole_run_lowers_for_tpu_and_cuda(name: str) -> None:
    """Of one seed and of two together, on a machine that has neither."""
    train = EXPERIMENTS[name].loop().train
    for function, keys in ((train, jax.random.key(0)), (jax.vmap(train), seeds_.keys(0, 2))):
        exported = jax.export.export(jax.jit(function), platforms=["tpu", "cuda"])(keys)
        assert exported.platforms == ("tpu", "cuda")
        assert "stablehlo.while" in exported.mlir_module()
    made = training.programs(variant(name, seeds="vmap", num_seeds=2, devices=1))
    assert jax.export.export(made.train, platforms=["tpu", "cuda"])(made.members).platforms == ("tpu", "cuda")


# Compiled once.


def test_nothing_is_compiled_again_during_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    compiled: dict[tuple[str, int], int] = {}

    def report(progress: training.Progress) -> None:
        so_far = sum("Compiling" in message for message in caplog.messages)
        compiled.setdefault((progress.stage, progress.epoch), so_far)

    experiment = variant("a2c", num_seeds=2, devices=2)
    with jax.log_compiles(True):
        training.run(experiment, tmp_path / "run", report)
    assert compiled["warm-up", 0] >= compiled["compile", 0] + 2, "the log is read: begin and epoch"
    assert compiled["train", 4] == compiled["train", 1]


@pytest.mark.parametrize("devices", [1, 2])
def test_epochs_share_one_compiled_program(devices: int, caplog: pytest.LogCaptureFixture) -> None:
    settings = training.Settings(total_steps=204, num_epochs=4, evaluation_episodes=0)
    made = training.programs(variant("dqn", num_seeds=2, devices=devices, settings=settings))

    def an_epoch(*arguments: Any) -> Any:
        return made.epoch.__wrapped__(*arguments)

    chex.clear_trace_counter()  # which goes by name
    epoch = jax.jit(chex.assert_max_traces(an_epoch, n=1), donate_argnums=0)
    runners, _ = made.begin(made.members)
    with jax.log_compiles(True):
        for index in range(4):
            runners, _ = epoch(runners, jnp.int32(index))
    compiled = [message for message in caplog.messages if "Finished XLA compilation" in message]
    assert sum("an_epoch" in message for message in compiled) == 1
    np.testing.assert_array_equal(runners.agent.step, [4, 4])
