"""Recurrent Q-networks, for what one observation does not show.

Source: Hausknecht & Stone (2015), "Deep recurrent Q-learning for partially observable MDPs"; Kapturowski
et al. (2019), "Recurrent experience replay in distributed reinforcement learning".

Sequences are replayed from the state that the network was in when it acted, of which the first steps only
bring that state up to date with the present parameters (burn-in).
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import optax
from flax import struct

from purejaxrl import checks, losses, networks, targets, value_networks
from purejaxrl.checks import static
from purejaxrl.environments.base import select
from purejaxrl.memory import SequenceReplay
from purejaxrl.optimisers import descend
from purejaxrl.sampling import epsilon_greedy
from purejaxrl.types import Array, InvalidInput, Key, PyTree, Transition


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static."""

    learning_rate: float = 1e-3
    """Step size of Adam."""
    discount: float = 0.99
    """γ, the weight of the next step's value, in [0, 1]."""
    epsilon_start: float = 1.0
    """Probability of a random action at the first environment step."""
    epsilon_end: float = 0.05
    """Probability of a random action once it has decayed."""
    epsilon_steps: float = 50_000
    """Environment steps over which it decays, linearly."""
    tau: float = 1.0
    """How far the target network moves to the online one at a target update; 1 copies it."""
    target_period: float = 100
    """Updates from one target update to the next."""
    max_gradient_norm: float | None = 10.0
    """Bound on the global norm of the gradient; None leaves it."""
    loss: Literal["squared", "huber"] = static("huber")
    """Penalty on the TD error; huber is linear past an error of 1."""
    double: bool = static(True)
    """Whether the online network chooses the action that the target network values."""
    dueling: bool = static(False)
    """Whether value and advantages have streams of their own, with a hidden layer of 64 units each."""
    n_step: int = static(1)
    """Rewards that are added up before the successor's value stands for the rest."""
    burn_in: int = static(4)
    """Steps of a sequence that only bring the network's state up to date."""
    length: int = static(8)
    """Steps of a sequence that are learnt, after those."""
    stored_state: bool = static(True)
    """Whether a sequence begins in the state that the network was in, or in none."""
    rescale: bool = static(False)
    """Whether the values learnt are those of h(return), h(x) = sign(x)(√(|x| + 1) − 1) + x/1000."""
    cell: networks.CellName = static("lstm")
    """What remembers."""
    cell_size: int = static(64)
    """Its units."""
    hidden_sizes: tuple[int, ...] = static((64,))
    """Units of the fully connected layers before it; convolutional torsos have those of their papers."""
    torso: networks.TorsoName = static("auto")
    """What reads the observation; auto chooses by its shape."""
    initialiser: networks.InitialiserName = static("lecun")
    """How weights begin."""
    batch_size: int = static(32)
    """Sequences in an update."""
    buffer_capacity: int = static(50_000)
    """Transitions that the replay buffer holds."""
    warmup_steps: int = static(1_000)
    """Environment steps before the first update."""
    network: nn.Module | None = static(None)
    """A network of your own: carry and observation to carry and action values, with a method
    ``initial_carry``; None builds one."""


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    network: networks.Recurrent = struct.field(pytree_node=False)
    params: PyTree
    target_params: PyTree
    optimiser_state: PyTree
    step: Array  # updates made
    info: dict[str, Array]  # figures of the last update


def init(
    key: Key, config: Config, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
) -> State:
    """A fresh learner.

    Raises:
        InvalidInput: the actions are not Discrete, a hyperparameter is out of its range, or the network does
            not suit them.
    """
    num_actions = checks.discrete("DRQN", action_space)
    check(config)
    observation = networks.example(observation_space)
    network: Any = config.network
    if network is None:
        network = make_network(config, observation_space, num_actions)
    elif not isinstance(config.network, nn.Module):
        raise InvalidInput(f"network must be a flax module, not {network!r}")
    elif not hasattr(network, "initial_carry"):
        raise InvalidInput(
            f"network {type(network).__name__} must have a method initial_carry, of what it remembers as an"
            " episode begins"
        )
    else:
        carry = network.initial_carry()
        inputs = {"carry": carry, "observation": observation}
        outputs = {"carry": carry, "action values": jax.ShapeDtypeStruct((num_actions,), jnp.float32)}
        value_networks.check_network(network, inputs, outputs)
    params = network.init(key, network.initial_carry(), observation)
    config = checks.as_leaves(config)
    return State(
        config=config,
        network=network,
        params=params,
        target_params=jax.tree.map(jnp.copy, params),
        optimiser_state=optimiser(config).init(params),
        step=jnp.int32(0),
        info=dict.fromkeys(("loss", "td_error", "action_value", "gradient_norm"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "learning_rate", "epsilon_steps")
    checks.finite(config, "learning_rate")
    checks.within(config, 0, 1, "discount", "epsilon_start", "epsilon_end", "tau")
    checks.within(config, 1, jnp.inf, "target_period")
    checks.whole_leaf(config, "target_period", "updates")
    checks.within(config, 0, jnp.inf, "max_gradient_norm", exclusive=True)
    checks.one_of(config, "loss", ("squared", "huber"))
    checks.one_of(config, "cell", get_args(networks.CellName))
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.whole(config, 1, "batch_size", "buffer_capacity", "hidden_sizes", "n_step", "length", "cell_size")
    checks.whole(config, 0, "warmup_steps", "burn_in")
    checks.flags(config)
    checks.beside(config, "network", "dueling", "cell", "cell_size", "hidden_sizes", "torso", "initialiser")


def make_network(config: Config, observation_space: gymnasium.Space[Any], num_actions: int) -> nn.Module:
    """The network that a Config describes."""
    kernel_init = networks.INITIALISERS[config.initialiser]
    streams = value_networks.STREAM_SIZES if config.dueling else ()
    heads = value_networks.QNetwork(
        value_networks.Flat(), num_actions, kernel_init, dueling=config.dueling, stream_sizes=streams
    )
    torso = networks.make_torso(
        config.torso, observation_space, config.hidden_sizes, initialiser=config.initialiser
    )
    return networks.Recurrent(torso, heads, config.cell_size, config.cell)


def memory(config: Config) -> SequenceReplay:
    """The replay buffer of sequences that feeds :func:`update`."""
    return SequenceReplay(
        config.buffer_capacity, config.batch_size, config.warmup_steps, sequence_length(config)
    )


def sequence_length(config: Config) -> int:
    """Steps of a sequence: those of the burn-in, those learnt, and those that their returns reach over."""
    return config.burn_in + config.length + config.n_step - 1


def initial_carry(state: State, num_envs: int) -> PyTree:
    """What the network remembers as its episodes begin, ``[num_envs, …]``."""
    return jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (num_envs, *leaf.shape)), state.network.initial_carry()
    )


def act(
    state: State, observation: PyTree, key: Key, step: Array | int, carry: PyTree
) -> tuple[Array, PyTree, PyTree]:
    """ε-greedy actions ``[B]`` for observations ``[B, …]``, ``step`` environment steps into a run.

    What the network remembered before is recorded with the action, and replayed sequences begin with it.
    """
    config = state.config
    epsilon = losses.linear_schedule(
        jnp.float32(step), config.epsilon_start, config.epsilon_end, config.epsilon_steps
    )
    after, values = action_values(state, state.params, carry, observation)
    return epsilon_greedy(key, values, epsilon), carry if config.stored_state else (), after


def greedy(state: State, observation: PyTree, carry: PyTree) -> tuple[Array, PyTree]:
    """The actions ``[B]`` of highest value for observations ``[B, …]``."""
    carry, values = action_values(state, state.params, carry, observation)
    return jnp.argmax(values, axis=-1), carry


def action_values(state: State, params: PyTree, carry: PyTree, observation: PyTree) -> tuple[PyTree, Array]:
    """What is remembered after observations ``[B, …]``, and their action values ``[B, A]``."""
    return networks.apply(state.network, params, carry, observation)


def unroll(state: State, params: PyTree, carry: PyTree, sequence: Transition) -> tuple[PyTree, Array, Array]:
    """Follows sequences ``[B, L]`` from what was remembered as they began.

    Returns what is remembered at their end; action values ``[L, B, A]`` of the observations; and those of the
    true successors, seen after them. Where an episode ends all is forgotten.
    """
    begun = initial_carry(state, len(sequence.reward))

    def follow(carry: PyTree, step: Transition) -> tuple[PyTree, tuple[Array, Array]]:
        carry, q_tm1 = action_values(state, params, carry, step.observation)
        _, q_t = action_values(state, params, carry, step.next_observation)
        carry = select(step.ended, begun, carry)
        return carry, (q_tm1, q_t)

    steps = jax.tree.map(lambda leaf: jnp.asarray(leaf).swapaxes(0, 1), sequence)
    carry, (q_tm1, q_t) = jax.lax.scan(follow, carry, dataclasses.replace(steps, extras=()))
    return carry, q_tm1, q_t


@jax.jit
def update(state: State, batch: Transition) -> State:
    """One step of Adam on the TD errors of sequences ``[B, burn_in + length + n_step - 1]``.

    The errors are those of ``length`` steps after the burn-in; the loss is the mean of ½δ² or Huber(δ).
    ``extras`` is what was remembered at each step (of which the first is used), or () for nothing.

    Raises:
        InvalidInput: the sequences are of another length.

    Source: Kapturowski et al. (2019), sections 2.3 and 3.
    """
    config = state.config
    if batch.reward.shape[1] != sequence_length(config):
        raise InvalidInput(
            f"sequences must be of {sequence_length(config)} steps here (burn_in + length + n_step - 1), not"
            f" {batch.reward.shape[1]}"
        )
    carry = initial_carry(state, len(batch.reward))
    if config.stored_state and jax.tree.leaves(batch.extras):
        carry = jax.tree.map(lambda leaf: leaf[:, 0], batch.extras)
    early, late = (
        jax.tree.map(lambda leaf, part=part: leaf[:, part], dataclasses.replace(batch, extras=()))
        for part in (slice(None, config.burn_in), slice(config.burn_in, None))
    )
    carry_online = jax.lax.stop_gradient(unroll(state, state.params, carry, early)[0])
    carry_target, _, _ = unroll(state, state.target_params, carry, early)
    _, _, q_t = unroll(state, state.target_params, carry_target, late)
    reward, terminated, truncated = (
        jnp.asarray(each, jnp.float32).T for each in (late.reward, late.terminated, late.truncated)
    )

    def loss(params: PyTree) -> tuple[Array, dict[str, Array]]:
        _, q_tm1, online_t = unroll(state, params, carry_online, late)
        selector = online_t if config.double else q_t
        v_t = jax.vmap(jax.vmap(targets.double_value))(q_t, selector)
        target = jax.vmap(targets.n_step_return, in_axes=(1, 1, 1, 1, None), out_axes=1)(
            reward,
            config.discount * (1 - terminated),
            (1 - terminated) * (1 - truncated),
            unscale(v_t) if config.rescale else v_t,
            config.n_step,
        )
        target = scale(target) if config.rescale else target
        prediction = jax.vmap(jax.vmap(losses.pick))(q_tm1, jnp.asarray(late.action).T)
        td_error = (jax.lax.stop_gradient(target) - prediction)[: config.length]
        penalty = optax.huber_loss(td_error) if config.loss == "huber" else optax.l2_loss(td_error)
        action_value = jnp.mean(prediction[: config.length])
        return jnp.mean(penalty), {"td_error": jnp.mean(jnp.abs(td_error)), "action_value": action_value}

    (value, info), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
    params, optimiser_state, norm = descend(
        optimiser(config), state.optimiser_state, state.params, gradients, None, config.max_gradient_norm
    )
    step = state.step + 1
    tau = jnp.where(step % jnp.int32(config.target_period) == 0, config.tau, 0.0)
    return dataclasses.replace(
        state,
        params=params,
        target_params=optax.incremental_update(params, state.target_params, tau),
        optimiser_state=optimiser_state,
        step=step,
        info=info | {"loss": value, "gradient_norm": norm},
    )


def scale(x: Array) -> Array:
    """h(x), which draws large returns together.

    Source: Pohlen et al. (2018), "Observe and look further", proposition A.2.
    """
    # sign(x) (√(|x| + 1) − 1) is x / (√(|x| + 1) + 1), which loses no digits.
    return x / (jnp.sqrt(jnp.abs(x) + 1) + 1) + 1e-3 * x


def unscale(x: Array) -> Array:
    """The inverse of :func:`scale`."""
    # (√(1 + 4ε s) − 1) / 2ε, with ε = 1/1000, is 2s / (√(1 + 4ε s) + 1), which loses no digits.
    size = jnp.abs(x) + 1 + 1e-3
    return jnp.sign(x) * (jnp.square(2 * size / (jnp.sqrt(1 + 4e-3 * size) + 1)) - 1)


def optimiser(config: Config) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015)."""
    return optax.adam(config.learning_rate)
