"""What agents with a policy and a value share: their network, with a memory or without, and its reading.

A network without memory maps one observation to a policy, a distribution of actions, and a value. One with
a method ``initial_carry`` remembers: ``carry, observation -> carry, (policy, value)``. What it remembered
before each step is recorded in ``Transition.extras``; without memory that is ``()``.

Trajectories are rows ``[N, L]``, in time from left to right: the rollout of each environment or, where
nothing is remembered, steps in whatever order.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp

from purejaxrl import checks, losses, networks
from purejaxrl.action_distributions import Distribution, Head
from purejaxrl.environments.base import select
from purejaxrl.memory import LastRollout
from purejaxrl.types import Array, InvalidInput, Key, PyTree, Transition
from purejaxrl.value_networks import check_network

MemoryName = Literal["none", "lstm", "gru"]
BUILT = (
    "hidden_sizes",
    "activation",
    "torso",
    "initialiser",
    "shared_torso",
    "cell",
    "cell_size",
    "head_sizes",
)
"""Fields of a Config that say what network is built, where none is given."""


class TorsoConfig(Protocol):
    """The fields of a Config that describe what reads an observation, and what is to be used in its stead."""

    @property
    def hidden_sizes(self) -> tuple[int, ...]: ...
    @property
    def activation(self) -> networks.ActivationName: ...
    @property
    def torso(self) -> networks.TorsoName: ...
    @property
    def initialiser(self) -> networks.InitialiserName: ...
    @property
    def network(self) -> nn.Module | None: ...


class NetworkConfig(TorsoConfig, Protocol):
    """The fields of a Config that :func:`make_network` reads."""

    @property
    def shared_torso(self) -> bool: ...
    @property
    def cell(self) -> MemoryName: ...
    @property
    def cell_size(self) -> int: ...
    @property
    def head_sizes(self) -> tuple[int, ...]: ...


class ApartConfig(TorsoConfig, Protocol):
    """Those of a Config of a policy and a value that are two networks."""

    @property
    def value_network(self) -> nn.Module | None: ...


def check(config: NetworkConfig) -> None:
    """Raises InvalidInput where a field that describes the network is out of its range."""
    checks.one_of(config, "activation", networks.ACTIVATIONS)
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.one_of(config, "cell", get_args(MemoryName))
    checks.whole(config, 1, "hidden_sizes", "cell_size", "head_sizes")
    checks.beside(config, "network", *BUILT)
    if config.cell == "none":
        for name in ("cell_size", "head_sizes"):
            value = getattr(config, name)
            if value != checks.default_of(config, name):
                raise InvalidInput(f"{name}={value!r} is of a memory: let cell be lstm or gru, not 'none'")


def make_network(config: NetworkConfig, observation_space: gymnasium.Space[Any], head: Head) -> nn.Module:
    """The network that a Config describes, or the one that it has.

    Raises:
        InvalidInput: it does not suit the observations or the actions.
    """
    if config.network is not None:
        check_own(config.network, networks.example(observation_space), head)
        return config.network
    kernel_init = networks.INITIALISERS[config.initialiser]

    def torso() -> nn.Module:
        return make_torso(config, observation_space)

    def after() -> nn.Module:
        return networks.MLP(config.head_sizes, networks.ACTIVATIONS[config.activation], kernel_init)

    if config.cell == "none":
        return networks.ActorCritic(torso(), head, None if config.shared_torso else torso())
    if config.shared_torso:
        both = networks.ActorCritic(after(), head)
        return networks.Recurrent(torso(), both, config.cell_size, config.cell)
    return networks.RecurrentActorCritic(
        networks.Recurrent(torso(), networks.Actor(after(), head), config.cell_size, config.cell),
        networks.Recurrent(torso(), networks.Value(after()), config.cell_size, config.cell),
    )


def make_actor(config: TorsoConfig, observation_space: gymnasium.Space[Any], head: Head) -> nn.Module:
    """The policy that a Config describes, or the one that it has: one observation to a distribution.

    Raises:
        InvalidInput: it does not suit the observations or the actions.
    """
    if config.network is None:
        return networks.Actor(make_torso(config, observation_space), head)
    inputs = {"observation": networks.example(observation_space)}
    check_network(config.network, inputs, {"policy": head.example()})
    return config.network


def make_value(config: ApartConfig, observation_space: gymnasium.Space[Any]) -> nn.Module:
    """The value that a Config describes, or the one that it has: one observation to a scalar.

    Raises:
        InvalidInput: it does not suit the observations.
    """
    if config.value_network is None:
        return networks.Value(make_torso(config, observation_space))
    inputs = {"observation": networks.example(observation_space)}
    check_network(config.value_network, inputs, {"value": jnp.float32(0.0)})
    return config.value_network


def make_torso(config: TorsoConfig, observation_space: gymnasium.Space[Any]) -> nn.Module:
    """What reads an observation, as a Config has it."""
    return networks.make_torso(
        config.torso, observation_space, config.hidden_sizes, config.activation, config.initialiser
    )


def check_own(network: nn.Module, observation: Array, head: Head) -> None:
    """Raises InvalidInput where a network of one's own does not give what it should."""
    outputs: Any = {"policy": head.example(), "value": jnp.float32(0.0)}
    inputs: Any = {"observation": observation}
    if isinstance(network, nn.Module) and remembers(network):
        try:
            carry = jax.tree.map(jnp.asarray, network.initial_carry())  # type: ignore[attr-defined]
        except Exception as error:  # whatever a method of somebody's own raises
            raise InvalidInput(
                f"initial_carry of network {type(network).__name__} must be arrays of what it remembers as an"
                f" episode begins: {type(error).__name__}: {error}"
            ) from error
        inputs = {"carry": carry} | inputs
        outputs = {"carry": carry, "policy and value": tuple(outputs.values())}
    check_network(network, inputs, outputs)


def init(network: Any, key: Key, observation_space: gymnasium.Space[Any]) -> PyTree:
    """Its first parameters."""
    observation = networks.example(observation_space)
    if remembers(network):
        return network.init(key, network.initial_carry(), observation)
    return network.init(key, observation)


def remembers(network: nn.Module) -> bool:
    """Whether a network has a memory."""
    return hasattr(network, "initial_carry")


def blank_carry(network: Any, number: int) -> PyTree:
    """What it remembers as episodes begin, ``[number, …]``; ``()`` without a memory."""
    if not remembers(network):
        return ()
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (number, *leaf.shape)), network.initial_carry())


def memory(config: Any) -> LastRollout:
    """The rollout that feeds an agent's update, once."""
    del config
    return LastRollout(once=True)


def initial_carry(state: Any, num_envs: int) -> PyTree:
    """What an agent's network remembers as episodes begin, ``[num_envs, …]``; ``()`` where it does not."""
    return blank_carry(state.network, num_envs)


def act(
    state: Any, observation: PyTree, key: Key, step: Array | int, carry: PyTree = ()
) -> tuple[Array, PyTree, PyTree]:
    """Actions ``[B, …]`` drawn from an agent's policy for observations ``[B, …]``.

    What the network remembered before is recorded with the action: a rollout is read from there.
    """
    del step
    after, policy, _ = look(state.network, state.params, carry, observation)
    return policy.sample(key), carry, after


def greedy(state: Any, observation: PyTree, carry: PyTree = ()) -> tuple[Array, PyTree]:
    """The likeliest actions ``[B, …]`` for observations ``[B, …]``."""
    after, policy, _ = look(state.network, state.params, carry, observation)
    return policy.greedy(), after


def policy_alone(state: Any, params: PyTree, observation: PyTree) -> Distribution:
    """The policies, with a leading axis, of an agent whose ``network`` gives no value and has no memory."""
    return networks.apply(state.network, params, observation)


def act_alone(
    state: Any, observation: PyTree, key: Key, step: Array | int, carry: tuple[()] = ()
) -> tuple[Array, tuple[()], tuple[()]]:
    """Actions ``[B, …]`` drawn from such a policy for observations ``[B, …]``."""
    del step
    return policy_alone(state, state.params, observation).sample(key), (), carry


def greedy_alone(state: Any, observation: PyTree, carry: tuple[()] = ()) -> tuple[Array, tuple[()]]:
    """The likeliest actions ``[B, …]`` of such a policy for observations ``[B, …]``."""
    return policy_alone(state, state.params, observation).greedy(), carry


def look(
    network: nn.Module, params: PyTree, carry: PyTree, observation: PyTree
) -> tuple[PyTree, Distribution, Array]:
    """What is remembered after observations ``[B, …]``, their policies, and their values ``[B]``.

    A ``carry`` of ``()`` is that of episodes that begin.
    """
    if not remembers(network):
        policy, value = networks.apply(network, params, observation)
        return carry, policy, value
    if isinstance(carry, tuple) and not carry:
        carry = blank_carry(network, len(jax.tree.leaves(observation)[0]))
    carry, (policy, value) = networks.apply(network, params, carry, observation)
    return carry, policy, value


def trajectories(rollout: Transition) -> Transition:
    """A rollout ``[T, B]`` as rows ``[B, T]``: an axis B that is sharded over devices stays so.

    Raises:
        InvalidInput: it has other axes, or is empty.
    """
    shape = jnp.shape(rollout.reward)
    if len(shape) != 2 or 0 in shape:
        raise InvalidInput(f"a rollout has axes [T, B], of one step or more; its rewards are {list(shape)}")
    rollout = jax.tree.map(jnp.asarray, rollout)
    return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), rollout)


def read(network: nn.Module, params: PyTree, rows: Transition) -> tuple[Distribution, Array, PyTree]:
    """What a network makes of the observations of rows ``[N, L]``.

    A memory begins with what ``extras`` has of each row's first step, or with nothing where that is ``()``,
    and with nothing again after the end of an episode.

    Returns:
        The policies, with leading axes ``[N, L]``; the values ``[N, L]``; and what was remembered after each
        observation, ``[N, L, …]``.
    """
    number, length = rows.reward.shape
    if not remembers(network):
        _, policy, value = look(network, params, (), flat(rows.observation))
        return unflat(policy, number, length), value.reshape(number, length), ()
    begun = blank_carry(network, number)
    carry = begun
    if jax.tree.leaves(rows.extras):
        carry = jax.tree.map(lambda leaf: leaf[:, 0], rows.extras)

    def follow(
        carry: PyTree, step: tuple[PyTree, Array]
    ) -> tuple[PyTree, tuple[Distribution, Array, PyTree]]:
        observation, ended = step
        after, policy, value = look(network, params, carry, observation)
        return select(ended, begun, after), (policy, value, after)

    steps = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), (rows.observation, rows.ended))
    _, seen = jax.lax.scan(follow, carry, steps)
    return jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), seen)


def successor_values(network: nn.Module, params: PyTree, rows: Transition, after: PyTree) -> Array:
    """Values ``[N, L]`` of the true successors in rows, seen after what :func:`read` says was remembered."""
    _, _, value = look(network, params, flat(after), flat(rows.next_observation))
    return value.reshape(rows.reward.shape)


def advantages(
    rows: Transition, discount: Array | float, gae_lambda: Array | float, v_tm1: Array, v_t: Array
) -> Array:
    """Generalised advantage estimates ``[N, L]`` of rows, given values and successors' values ``[N, L]``."""
    continue_t = (1.0 - rows.terminated) * (1.0 - rows.truncated)
    return jax.vmap(losses.generalised_advantage, in_axes=(0, 0, 0, None, 0, 0))(
        jnp.asarray(rows.reward, jnp.float32),
        discount * (1.0 - rows.terminated),
        continue_t,
        gae_lambda,
        v_tm1,
        v_t,
    )


def policy_loss(log_probability: Array, advantage: Array) -> Array:
    """The mean over ``[N, L]`` of the loss whose gradient is the policy gradient's."""
    return jnp.mean(jax.vmap(jax.vmap(losses.policy_gradient))(log_probability, advantage))


def log_probabilities(policy: Distribution, action: Array) -> Array:
    """``[N, L]``, of actions ``[N, L, …]`` under policies with the same leading axes."""
    return jax.vmap(jax.vmap(type(policy).log_probability))(policy, action)


def entropies(policy: Distribution) -> Array:
    """``[N, L]``, of policies with these leading axes."""
    return jax.vmap(jax.vmap(type(policy).entropy))(policy)


def flat(tree: PyTree) -> PyTree:
    """``[N, L, …]`` as ``[N·L, …]``."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)


def unflat(tree: Any, number: int, length: int) -> Any:
    """``[N·L, …]`` as ``[N, L, …]``."""
    return jax.tree.map(lambda leaf: leaf.reshape(number, length, *leaf.shape[1:]), tree)
