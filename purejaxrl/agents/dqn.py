"""Deep Q-networks (Mnih et al. 2015, "Human-level control through deep reinforcement learning")."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import flax.linen as nn
import gymnasium
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from purejaxrl import checks, losses, networks
from purejaxrl.checks import static
from purejaxrl.memory import Replay
from purejaxrl.optimisers import descend
from purejaxrl.types import Array, InvalidInput, Key, PyTree, Transition


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static.

    The defaults are CleanRL's for classic control (``docs/rl-algorithms/dqn.md``).
    """

    learning_rate: float = 2.5e-4
    """Step size of Adam."""
    discount: float = 0.99
    """γ, the weight of the next step's value, in [0, 1]."""
    epsilon_start: float = 1.0
    """Probability of a random action at the first environment step."""
    epsilon_end: float = 0.05
    """Probability of a random action once it has decayed."""
    epsilon_steps: float = 250_000
    """Environment steps over which it decays, linearly."""
    tau: float = 1.0
    """How far the target network moves to the online one at a target update; 1 copies it."""
    target_period: float = 50
    """Updates from one target update to the next."""
    max_gradient_value: float | None = None
    """Bound on the magnitude of each element of the gradient; None leaves them."""
    max_gradient_norm: float | None = None
    """Bound on the global norm of the gradient; None leaves it."""
    loss: Literal["squared", "huber"] = static("squared")
    """Penalty on the TD error; huber is linear past an error of 1."""
    hidden_sizes: tuple[int, ...] = static((120, 84))
    """Units of the fully connected layers of an MLP; convolutional torsos have those of their papers."""
    torso: networks.TorsoName = static("auto")
    """What reads the observation; auto chooses by its shape."""
    initialiser: networks.InitialiserName = static("pytorch")
    """How weights begin."""
    batch_size: int = static(128)
    """Transitions in an update."""
    buffer_capacity: int = static(10_000)
    """Transitions that the replay buffer holds."""
    warmup_steps: int = static(10_000)
    """Environment steps before the first update."""
    network: nn.Module | None = static(None)
    """A network of your own: one observation to action values; None builds one."""


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    network: nn.Module = struct.field(pytree_node=False)
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
        InvalidInput: the actions are not Discrete, or a hyperparameter is out of its range.
    """
    num_actions = checks.discrete("DQN", action_space)
    check(config)
    network = config.network or networks.QNetwork(
        networks.make_torso(
            config.torso, observation_space, config.hidden_sizes, initialiser=config.initialiser
        ),
        num_actions,
        networks.INITIALISERS[config.initialiser],
    )
    params = network.init(key, networks.example(observation_space))
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
    if not isinstance(config.target_period, jax.core.Tracer) and np.any(np.mod(config.target_period, 1) != 0):
        raise InvalidInput(f"target_period must be a whole number of updates, not {config.target_period!r}")
    checks.within(config, 0, jnp.inf, "max_gradient_value", "max_gradient_norm", exclusive=True)
    checks.one_of(config, "loss", ("squared", "huber"))
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.whole(config, 1, "batch_size", "buffer_capacity", "hidden_sizes")
    checks.whole(config, 0, "warmup_steps")


def memory(config: Config) -> Replay:
    """The replay buffer that feeds :func:`update`."""
    return Replay(config.buffer_capacity, config.batch_size, config.warmup_steps)


def act(
    state: State, observation: PyTree, key: Key, step: Array | int, carry: tuple[()] = ()
) -> tuple[Array, tuple[()], tuple[()]]:
    """ε-greedy actions ``[B]`` for observations ``[B, …]``, ``step`` environment steps into a run."""
    value = action_values(state, state.params, observation)
    num_actions = value.shape[-1]
    epsilon = losses.linear_schedule(
        jnp.float32(step), state.config.epsilon_start, state.config.epsilon_end, state.config.epsilon_steps
    )
    chance, choice = jax.random.uniform(key, (2, *value.shape[:-1]))
    random = jnp.minimum(jnp.int32(choice * num_actions), num_actions - 1)
    return jnp.where(chance < epsilon, random, jnp.argmax(value, axis=-1)), (), carry


def greedy(state: State, observation: PyTree, carry: tuple[()] = ()) -> tuple[Array, tuple[()]]:
    """The actions ``[B]`` of highest value for observations ``[B, …]``."""
    return jnp.argmax(action_values(state, state.params, observation), axis=-1), carry


def action_values(state: State, params: PyTree, observation: PyTree) -> Array:
    """Action values ``[B, A]`` of observations ``[B, …]`` under ``params``."""
    return networks.apply(state.network, params, observation)


@jax.jit
def update(state: State, batch: Transition) -> State:
    """One step of Adam on the TD errors of a batch ``[B]``, and the target network's share of it.

    The loss is the batch's mean of ½δ² or Huber(δ), with
    ``δ = r + γ(1 − terminated) max_a Q(s', a; θ⁻) − Q(s, a; θ)``: truncation bootstraps.

    Source: Mnih et al. (2015), algorithm 1.
    """
    config = state.config
    discount_t = config.discount * (1.0 - batch.terminated)
    q_t = action_values(state, state.target_params, batch.next_observation)

    def loss(params: PyTree) -> tuple[Array, dict[str, Array]]:
        q_tm1 = action_values(state, params, batch.observation)
        td_error = jax.vmap(losses.q_learning)(q_tm1, batch.action, batch.reward, discount_t, q_t)
        penalty = optax.huber_loss(td_error) if config.loss == "huber" else optax.l2_loss(td_error)
        taken = jnp.take_along_axis(q_tm1, batch.action[:, None], axis=1)
        info = {"td_error": jnp.mean(jnp.abs(td_error)), "action_value": jnp.mean(taken)}
        return jnp.mean(penalty), info

    (value, info), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
    params, optimiser_state, norm = descend(
        optimiser(config),
        state.optimiser_state,
        state.params,
        gradients,
        config.max_gradient_value,
        config.max_gradient_norm,
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


def optimiser(config: Config) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015)."""
    return optax.adam(config.learning_rate)
