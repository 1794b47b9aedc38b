"""Runs the matrix products of a task's updates and nothing else: the floor under any implementation.

The products of one update, in the order in which they depend on each other, in the loop and under the
seeds that a real run has: no bias, no activation, no optimiser, no replay, no environment. Batches
move by a row at every update, so that no product is the same twice and none leaves the loop.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from measurement import Clock, Outcome, Task, answer

from purejaxrl.training import seeds
from purejaxrl.types import Array, Key, PyTree

Weights = list[Array]  # a matrix for each layer


def measure(task: Task) -> Outcome:
    """The products of ``task.updates`` updates of every seed."""
    jax.config.update("jax_num_cpu_devices", task.devices)
    begin, update = {"w1": (begin_dqn, dqn_products), "w3": (begin_ddpg, ddpg_products)}[task.workload]
    mesh = seeds.mesh(min(task.devices, task.num_seeds))
    keys = seeds.place(seeds.pad(seeds.keys(task.root, task.num_seeds), mesh), mesh)

    def run(key: Key) -> PyTree:
        weights, batch = begin(key)
        return repeat(update, weights, batch, task.updates)

    clock = Clock()
    lifted = seeds.over_seeds(run, seeds.resolve(task.seeds), mesh)  # type: ignore[arg-type]
    program = jax.jit(lifted).lower(keys).compile()
    clock.compiled()
    jax.block_until_ready(program(keys))
    return clock.outcome()


def repeat(update: Callable[[Any, Any], PyTree], weights: PyTree, batch: PyTree, times: int) -> PyTree:
    """The gradients of the last of many updates. Each overwrites those before: there is no optimiser."""

    def iterate(carry: tuple[PyTree, PyTree], _: None) -> tuple[tuple[PyTree, PyTree], None]:
        batch, _ = carry
        batch = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), batch)
        return (batch, update(weights, batch)), None

    gradients = jax.tree.map(jnp.zeros_like, jax.eval_shape(update, weights, batch))
    (_, gradients), _ = jax.lax.scan(iterate, (batch, gradients), length=times)
    return gradients


def begin_dqn(key: Key) -> tuple[PyTree, PyTree]:
    """Networks 4 → 120 → 84 → 2 and batches of 128 observations and their successors."""
    online, target, *batch = jax.random.split(key, 4)
    weights = {name: layers(k, 4, 120, 84, 2) for name, k in (("online", online), ("target", target))}
    return weights, [jax.random.normal(k, (128, 4)) for k in batch]


def dqn_products(weights: dict[str, Weights], batch: list[Array]) -> PyTree:
    """11 products: 3 of either network forward, 5 of the online one backward."""
    observation, next_observation = batch
    hidden = forward(weights["online"], observation)
    error = hidden[-1] - forward(weights["target"], next_observation)[-1]
    return backward(weights["online"], hidden, error)


def begin_ddpg(key: Key) -> tuple[PyTree, PyTree]:
    """Actors 3 → 400 → 300 → 1, critics 4 → 400 → 300 → 1, batches of 256."""
    actor, critic, target_actor, target_critic, *batch = jax.random.split(key, 7)
    weights = {
        "actor": layers(actor, 3, 400, 300, 1),
        "critic": layers(critic, 4, 400, 300, 1),
        "target_actor": layers(target_actor, 3, 400, 300, 1),
        "target_critic": layers(target_critic, 4, 400, 300, 1),
    }
    sizes = (3, 1, 3)  # observation, action, next observation
    return weights, [jax.random.normal(k, (256, n)) for k, n in zip(batch, sizes, strict=True)]


def ddpg_products(weights: dict[str, Weights], batch: list[Array]) -> PyTree:
    """28 products: 11 + 3 of critic and target actor for the critic, 14 of actor and critic for the actor."""
    observation, action, next_observation = batch
    next_action = forward(weights["target_actor"], next_observation)[-1]
    target = forward(weights["target_critic"], jnp.concatenate([next_observation, next_action], axis=1))[-1]
    hidden = forward(weights["critic"], jnp.concatenate([observation, action], axis=1))
    critic = backward(weights["critic"], hidden, hidden[-1] - target)

    hidden = forward(weights["actor"], observation)
    error = forward(weights["critic"], jnp.concatenate([observation, hidden[-1]], axis=1))[-1]
    for weight in reversed(weights["critic"][1:]):
        error = error @ weight.T
    error = error @ weights["critic"][0][3:].T  # the action's column alone
    return critic, backward(weights["actor"], hidden, error)


def layers(key: Key, *sizes: int) -> Weights:
    """Matrices that neither grow nor shrink what goes through them."""
    keys = jax.random.split(key, len(sizes) - 1)
    shapes = itertools.pairwise(sizes)
    return [jax.random.normal(k, shape) / shape[0] ** 0.5 for k, shape in zip(keys, shapes, strict=True)]


def forward(weights: Weights, x: Array) -> list[Array]:
    """The input of every layer, and the output."""
    inputs = [x]
    for weight in weights:
        inputs.append(inputs[-1] @ weight)
    return inputs


def backward(weights: Weights, inputs: list[Array], error: Array) -> Weights:
    """The gradient of every matrix: a product each, and one more for each layer but the first."""
    gradients = []
    for index in reversed(range(len(weights))):
        gradients.append(inputs[index].T @ error)
        if index:
            error = error @ weights[index].T
    return gradients


if __name__ == "__main__":
    answer(measure)
