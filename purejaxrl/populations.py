"""What searches for policies without gradients share: members of a population that act side by side.

A population is a policy's parameters with a leading axis ``[N]``. The environments of a run are shared out in
order: with ``B = N·k`` of them, the first k are the first member's. An agent's State has the field
``population``, and its Config says with ``hidden_sizes``, ``activation``, ``torso`` and ``initialiser``, or
with a ``network``, what is searched over, and with ``sample_actions`` how members act.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp

from purejaxrl import checks, losses, networks
from purejaxrl.action_distributions import make_head
from purejaxrl.asynchrony import share_out
from purejaxrl.memory import EpisodeReturns
from purejaxrl.types import Array, InvalidInput, Key, PyTree
from purejaxrl.value_networks import check_network


class Searching(Protocol):
    """The fields of a State by which its members act."""

    config: Any
    network: nn.Module
    params: PyTree
    population: PyTree


def make_policy(
    key: Key,
    config: Any,
    algorithm: str,
    observation_space: gymnasium.Space[Any],
    action_space: gymnasium.Space[Any],
) -> tuple[nn.Module, PyTree]:
    """The network that is searched over, and first parameters for it.

    Raises:
        InvalidInput: the spaces suit no policy, or a field that says what the network is.
    """
    head, network = make_head("auto", algorithm, action_space), config.network
    observation = networks.example(observation_space)
    if network is None:
        torso = networks.make_torso(
            config.torso, observation_space, config.hidden_sizes, config.activation, config.initialiser
        )
        network = networks.Actor(torso, head)
    else:
        check_network(network, {"observation": observation}, {"policy": head.example()})
    return network, network.init(key, observation)


def check_policy(config: Any) -> None:
    """Raises InvalidInput where the fields that say what is searched over, or a switch, cannot be."""
    checks.flags(config)
    checks.one_of(config, "activation", networks.ACTIVATIONS)
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.whole(config, 1, "hidden_sizes")
    checks.beside(config, "network", "hidden_sizes", "activation", "torso", "initialiser")


def memory(config: Any) -> EpisodeReturns:
    """The returns that feed a search's update."""
    del config
    return EpisodeReturns()


def act(
    state: Searching, observation: PyTree, key: Key, step: Array | int, carry: tuple[()] = ()
) -> tuple[Array, tuple[()], tuple[()]]:
    """The actions ``[B, …]`` of the population for observations ``[B, …]``, of B / N environments each.

    Where they are drawn, each environment's is drawn by itself, those of one member, too.

    Raises:
        InvalidInput: the environments cannot be shared out evenly.
    """
    del step
    shared = share_out(observation, size(state.population), "the population's {} members")
    policy = jax.vmap(networks.apply, in_axes=(None, 0, 0))(state.network, state.population, shared)
    action = policy.sample(key) if state.config.sample_actions else policy.greedy()
    return action.reshape(-1, *action.shape[2:]), (), carry


def greedy(state: Searching, observation: PyTree, carry: tuple[()] = ()) -> tuple[Array, tuple[()]]:
    """The actions ``[B, …]`` of the policy that is kept, for observations ``[B, …]``."""
    return networks.apply(state.network, state.params, observation).greedy(), carry


def fitness(returns: Array, members: int) -> Array:
    """Each member's mean return ``[N]``, of the returns ``[B]`` of the environments.

    Raises:
        InvalidInput: the returns cannot be shared out evenly.
    """
    if returns.ndim != 1 or len(returns) == 0 or len(returns) % members:
        raise InvalidInput(
            f"the returns of a population of {members} are [{members}] or a multiple of that, not"
            f" {list(returns.shape)}"
        )
    return jnp.mean(returns.reshape(members, -1), axis=1)


def shape(fitness: Array, how: Literal["ranks", "standard", "none"]) -> Array:
    """What stands for the members' fitness ``[N]`` in a search.

    Ranks go evenly from -½ to ½ (Salimans et al. 2017, section 2.1); of those that are as fit as each other
    the first counts for less. Standard ones have mean 0 and deviation 1, or are 0 where all are as fit.
    """
    if how == "ranks":
        return jnp.argsort(jnp.argsort(fitness)) / (len(fitness) - 1) - 0.5
    if how == "standard":
        return losses.standardise(fitness)
    return fitness


def size(population: PyTree) -> int:
    """How many members there are."""
    return len(jax.tree.leaves(population)[0])


def noise(key: Key, params: PyTree, members: int) -> PyTree:
    """Standard normal noise ``[N, …]`` in the shape of parameters."""
    return drawn(jax.random.normal, key, params, members)


def chances(key: Key, params: PyTree, members: int) -> PyTree:
    """Numbers ``[N, …]``, uniform in [0, 1), in the shape of parameters."""
    return drawn(jax.random.uniform, key, params, members)


def signs(key: Key, params: PyTree, members: int) -> PyTree:
    """Numbers ``[N, …]`` that are -1, 0 or 1 with equal chances, in the shape of parameters."""
    return jax.tree.map(lambda chance: jnp.floor(3 * chance) - 1, chances(key, params, members))


def drawn(draw: Callable[..., Array], key: Key, params: PyTree, members: int) -> PyTree:
    """Draws ``[N, …]`` in the shape of parameters, each leaf's with a key of its own."""
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure, [draw(k, (members, *leaf.shape), leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
    )


def fittest(population: PyTree, fitness: Array, number: int) -> PyTree:
    """The ``number`` fittest members, the fittest first."""
    _, index = jax.lax.top_k(fitness, number)
    return jax.tree.map(lambda leaf: leaf[index], population)


def check_parents(config: Any, *names: str) -> None:
    """Raises InvalidInput where a field is more than the members of the population."""
    for name in names:
        if getattr(config, name) > config.population:
            raise InvalidInput(
                f"{name} must be at most the population's {config.population} members, not"
                f" {getattr(config, name)}"
            )


def weighted_sum(weights: Array, population: PyTree) -> PyTree:
    """The members' sum, each times its weight ``[N]``."""
    return jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, axes=1), population)


def best(population: PyTree, scores: Array) -> PyTree:
    """The member whose score is highest; the first of these."""
    return jax.tree.map(lambda leaf: leaf[jnp.argmax(scores)], population)
