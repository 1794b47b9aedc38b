"""One run spread over devices: its environments are shared out, its parameters are on every device.

The other use of devices, beside :mod:`.seeds`. No mathematics changes: every array keeps its global
shape, the program is that of one device, and XLA partitions it by where the leaves of a Runner lie.
So all random numbers are the same (JAX's generator draws the same numbers however its output is
sharded), gradients are summed over the devices where a mean over the batch is written, and a run
differs from that of one device only in the order in which sums are rounded.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from purejaxrl.environments import VectorEnvironment, of_environments, resumable
from purejaxrl.memory import Memory
from purejaxrl.types import InvalidInput, PyTree


def sharding(mesh: Mesh, axis: int | None) -> NamedSharding:
    """Axis ``axis`` of an array over the devices of a mesh; None puts all of it on each."""
    if axis is None:
        return NamedSharding(mesh, PartitionSpec())
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, *mesh.axis_names))


def check(environment: VectorEnvironment[Any], mesh: Mesh) -> None:
    """Raises InvalidInput where environments cannot be spread over a mesh."""
    if environment.num_envs % mesh.size:
        raise InvalidInput(
            f"num_envs must be a multiple of the {mesh.size} devices to be spread over them, not"
            f" {environment.num_envs}"
        )
    if resumable(environment) != "exactly":  # not arrays alone
        raise InvalidInput(
            "only environments written in JAX can be spread over devices: simulators of EnvPool and"
            " gymnasium are stepped by the host"
        )
    if jax.process_count() > 1:
        raise InvalidInput("environments are spread over the devices of one process; several share seeds")


def of_runners(runners: PyTree, memory: Memory[Any], mesh: Mesh) -> PyTree:
    """The shardings of Runners with a leading member axis: a pytree of their structure.

    Environments are axis 1 of what they and the agent hand each other. In a memory they are where it
    has them. Everything else, parameters and keys above all, is on every device.
    """
    axes = {"environment_state": 1, "observation": 1, "carry": 1, "memory": 1 + memory.environment_axis}

    def place(name: str) -> PyTree:
        where, whole = sharding(mesh, axes.get(name)), sharding(mesh, None)
        tree = getattr(runners, name)
        if name == "environment_state":  # running statistics are of all environments
            return jax.tree.map(lambda _, own: where if own else whole, tree, of_environments(tree))
        return jax.tree.map(lambda _: where, tree)

    return dataclasses.replace(
        runners, **{field.name: place(field.name) for field in dataclasses.fields(runners)}
    )
