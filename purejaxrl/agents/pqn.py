"""Parallelised Q-learning (Gallici et al. 2025, "Simplifying deep temporal difference learning").

Many environments in place of a replay buffer, layer normalisation in place of a target network, and
λ-returns of the rollout that was just collected.
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
from purejaxrl.memory import LastRollout
from purejaxrl.optimisers import OptimiserName, descend, make_optimiser
from purejaxrl.sampling import epsilon_greedy, numbered_keys
from purejaxrl.types import Array, InvalidInput, Key, PyTree, Transition


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static.

    The defaults are CleanRL's for classic control (``cleanrl/pqn.py``).
    """

    learning_rate: float = 2.5e-4
    """Step size of the optimiser at the first update."""
    learning_rate_end: float = 0.0
    """Step size once it has fallen."""
    learning_rate_steps: float | None = None
    """Calls of update over which it falls, linearly; None keeps it."""
    discount: float = 0.99
    """γ, the weight of the next step's value, in [0, 1]."""
    trace_decay: float = 0.65
    """λ, the weight of later steps in a return, in [0, 1]."""
    epsilon_start: float = 1.0
    """Probability of a random action at the first environment step."""
    epsilon_end: float = 0.05
    """Probability of a random action once it has decayed."""
    epsilon_steps: float = 250_000
    """Environment steps over which it decays, linearly."""
    max_gradient_norm: float | None = 5.0
    """Bound on the global norm of the gradient; None leaves it. The source has 10, of twice this loss."""
    optimiser_epsilon: float = 1e-8
    """What the optimiser adds to the root of the mean of squares."""
    passes: int = static(4)
    """Times that each step of a rollout is learnt."""
    minibatches: int = static(4)
    """Parts that a rollout is learnt in, one after another."""
    normalisation: Literal["layer", "none"] = static("layer")
    """Of what layers give to their activations, convolutions too: what holds the values without a target
    network."""
    optimiser: OptimiserName = static("radam")
    """Which optimiser takes the step."""
    hidden_sizes: tuple[int, ...] = static((120, 84))
    """Units of the fully connected layers of an MLP; convolutional torsos have those of their papers."""
    torso: networks.TorsoName = static("auto")
    """What reads the observation; auto chooses by its shape."""
    initialiser: networks.InitialiserName = static("lecun")
    """How weights begin; published results began with orthogonal ones."""
    network: nn.Module | None = static(None)
    """A network of your own: one observation to action values; None builds one."""


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    network: nn.Module = struct.field(pytree_node=False)
    params: PyTree
    optimiser_state: PyTree
    key: Key  # of the order in which a rollout is learnt, folded with the update's number and the pass's
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
    num_actions = checks.discrete("PQN", action_space)
    check(config)
    observation, network = networks.example(observation_space), config.network
    if network is None:
        network = make_network(config, observation_space, num_actions)
    else:
        values = jax.ShapeDtypeStruct((num_actions,), jnp.float32)
        value_networks.check_network(network, {"observation": observation}, {"action values": values})
    params_key, order_key = jax.random.split(key)
    params = network.init(params_key, observation)
    config = checks.as_leaves(config)
    return State(
        config=config,
        network=network,
        params=params,
        optimiser_state=optimiser(config, jnp.int32(0)).init(params),
        key=order_key,
        step=jnp.int32(0),
        info=dict.fromkeys(("loss", "td_error", "action_value", "gradient_norm"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "learning_rate", "learning_rate_end", "epsilon_steps")
    checks.within(
        config, 0, jnp.inf, "learning_rate_steps", "optimiser_epsilon", "max_gradient_norm", exclusive=True
    )
    checks.finite(config, "learning_rate", "learning_rate_end")
    checks.within(config, 0, 1, "discount", "trace_decay", "epsilon_start", "epsilon_end")
    checks.one_of(config, "normalisation", ("layer", "none"))
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.one_of(config, "optimiser", get_args(OptimiserName))
    checks.whole(config, 1, "passes", "minibatches", "hidden_sizes")
    checks.beside(config, "network", "normalisation", "hidden_sizes", "torso", "initialiser")
    checks.falls(config, "learning_rate_end", "learning_rate_steps")


def make_network(config: Config, observation_space: gymnasium.Space[Any], num_actions: int) -> nn.Module:
    """The network that a Config describes."""
    torso = networks.make_torso(
        config.torso,
        observation_space,
        config.hidden_sizes,
        initialiser=config.initialiser,
        normalisation=config.normalisation,
    )
    return value_networks.QNetwork(torso, num_actions, networks.INITIALISERS[config.initialiser])


def memory(config: Config) -> LastRollout:
    """The last rollout, which feeds :func:`update`."""
    del config
    return LastRollout()


def act(
    state: State, observation: PyTree, key: Key, step: Array | int, carry: tuple[()] = ()
) -> tuple[Array, tuple[()], tuple[()]]:
    """ε-greedy actions ``[B]`` for observations ``[B, …]``, ``step`` environment steps into a run."""
    config = state.config
    epsilon = losses.linear_schedule(
        jnp.float32(step), config.epsilon_start, config.epsilon_end, config.epsilon_steps
    )
    return epsilon_greedy(key, action_values(state, state.params, observation), epsilon), (), carry


def greedy(state: State, observation: PyTree, carry: tuple[()] = ()) -> tuple[Array, tuple[()]]:
    """The actions ``[B]`` of highest value for observations ``[B, …]``."""
    return jnp.argmax(action_values(state, state.params, observation), axis=-1), carry


def action_values(state: State, params: PyTree, observation: PyTree) -> Array:
    """Action values ``[B, A]`` of observations ``[B, …]`` under ``params``."""
    return networks.apply(state.network, params, observation)


@jax.jit
def update(state: State, rollout: Transition) -> State:
    """``passes`` times ``minibatches`` steps of the optimiser on a rollout ``[T, B]``.

    What the values are moved towards is worked out once, from the parameters at the beginning: λ-returns
    of greedy values, which bootstrap where an episode was cut off and not where it terminated. The loss
    is the mean of half the squared error. ``info`` holds means over the steps.

    Raises:
        InvalidInput: the steps of the rollout cannot be divided into so many minibatches.

    Source: Gallici et al. (2025), algorithm 1.
    """
    config = state.config
    size = rollout.reward.size
    if size % config.minibatches:
        raise InvalidInput(
            f"a rollout of {size} steps cannot be divided into {config.minibatches} minibatches"
        )
    after = jax.vmap(lambda row: action_values(state, state.params, row))(rollout.next_observation)
    target = jax.vmap(targets.lambda_return, in_axes=(1, 1, 1, 1, None), out_axes=1)(
        jnp.asarray(rollout.reward, jnp.float32),
        config.discount * (1.0 - rollout.terminated),
        (1.0 - rollout.terminated) * (1.0 - rollout.truncated),
        jnp.max(after, axis=-1),
        config.trace_decay,
    )
    rows = (rollout.observation, rollout.action, target)
    rows = jax.tree.map(lambda leaf: leaf.reshape(size, *leaf.shape[2:]), rows)
    keys = numbered_keys(state.key, state.step * config.passes, config.passes)
    order = jax.vmap(lambda key: jax.random.permutation(key, size))(keys)

    def learn(carry: tuple[PyTree, PyTree], index: Array) -> tuple[tuple[PyTree, PyTree], dict[str, Array]]:
        params, optimiser_state = carry
        observation, action, target = jax.tree.map(lambda leaf: leaf[index], rows)

        def loss(params: PyTree) -> tuple[Array, dict[str, Array]]:
            prediction = jax.vmap(losses.pick)(action_values(state, params, observation), action)
            td_error = target - prediction
            info = {"td_error": jnp.mean(jnp.abs(td_error)), "action_value": jnp.mean(prediction)}
            return jnp.mean(optax.l2_loss(td_error)), info

        (value, info), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        params, optimiser_state, norm = descend(
            optimiser(config, state.step), optimiser_state, params, gradients, None, config.max_gradient_norm
        )
        return (params, optimiser_state), info | {"loss": value, "gradient_norm": norm}

    parts = order.reshape(config.passes * config.minibatches, -1)
    (params, optimiser_state), infos = jax.lax.scan(learn, (state.params, state.optimiser_state), parts)
    return dataclasses.replace(
        state,
        params=params,
        optimiser_state=optimiser_state,
        step=state.step + 1,
        info=jax.tree.map(jnp.mean, infos),
    )


def optimiser(config: Config, step: Array) -> optax.GradientTransformation:
    """The optimiser that a Config names, ``step`` updates into a run."""
    rate = losses.scheduled(step, config.learning_rate, config.learning_rate_end, config.learning_rate_steps)
    return make_optimiser(config.optimiser, rate, config.optimiser_epsilon)
