"""Deep deterministic policy gradient (Lillicrap et al. 2016, "Continuous control with deep RL")."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import optax
from flax import struct

from purejaxrl import checks, losses, networks
from purejaxrl.checks import static
from purejaxrl.memory import Replay
from purejaxrl.optimisers import descend
from purejaxrl.types import Array, Key, PyTree, Transition
from purejaxrl.value_networks import check_network


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static.

    The defaults are rl-baselines3-zoo's for Pendulum (``hyperparams/ddpg.yml``).
    """

    actor_learning_rate: float = 1e-3
    """Step size of the actor's Adam."""
    critic_learning_rate: float = 1e-3
    """Step size of the critic's Adam."""
    discount: float = 0.98
    """γ, the weight of the next step's value, in [0, 1]."""
    tau: float = 0.005
    """How far the target networks move to the online ones at every update."""
    noise_start: float = 0.1
    """Standard deviation of the exploration noise at first, in halves of the action's range."""
    noise_end: float = 0.1
    """The same, once it has decayed."""
    noise_steps: float = 1
    """Environment steps over which it decays, linearly."""
    max_gradient_value: float | None = None
    """Bound on the magnitude of each element of a gradient; None leaves them."""
    max_gradient_norm: float | None = None
    """Bound on the global norm of a gradient; None leaves it."""
    actor_output_scale: float | None = static(None)
    """The actor's last weights begin uniform within ± this; None is ± one over the root of their number."""
    critic_output_scale: float | None = static(None)
    """The same of the critic's last weights."""
    hidden_sizes: tuple[int, ...] = static((400, 300))
    """Units of the fully connected layers, of the actor and of the critic."""
    initialiser: networks.InitialiserName = static("pytorch")
    """How hidden weights begin."""
    batch_size: int = static(256)
    """Transitions in an update."""
    buffer_capacity: int = static(200_000)
    """Transitions that the replay buffer holds."""
    warmup_steps: int = static(10_000)
    """Environment steps of uniformly random actions before the first update."""
    actor: nn.Module | None = static(None)
    """An actor of your own: one observation to an action in [-1, 1]; None builds one."""
    critic: nn.Module | None = static(None)
    """A critic of your own: one observation and action in [-1, 1] to a value; None builds one."""


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    actor: nn.Module = struct.field(pytree_node=False)
    critic: nn.Module = struct.field(pytree_node=False)
    action_centre: Array  # [A], the middle of the action's range
    action_half_range: Array  # [A]
    actor_params: PyTree
    critic_params: PyTree
    target_actor_params: PyTree
    target_critic_params: PyTree
    actor_optimiser_state: PyTree
    critic_optimiser_state: PyTree
    step: Array  # updates made
    info: dict[str, Array]  # figures of the last update


def init(
    key: Key, config: Config, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
) -> State:
    """A fresh learner.

    Raises:
        InvalidInput: the actions are not a bounded Box, a hyperparameter is out of its range, or a network
            does not suit.
    """
    box = checks.bounded_box("DDPG", action_space)
    check(config)
    low, high = jnp.float32(box.low), jnp.float32(box.high)
    observation, action = networks.example(observation_space), jnp.zeros_like(low)
    actor, critic = config.actor, config.critic
    if actor is not None:
        check_network(actor, {"observation": observation}, {"action": action})
    else:
        output_init = networks.Uniform(config.actor_output_scale)
        actor = networks.DeterministicActor(make_torso(config, observation_space), len(action), output_init)
    if critic is not None:
        check_network(critic, {"observation": observation, "action": action}, {"value": jnp.float32(0.0)})
    else:
        output_init = networks.Uniform(config.critic_output_scale)
        critic = networks.Critic(make_torso(config, observation_space), output_init)
    actor_key, critic_key = jax.random.split(key)
    actor_params = actor.init(actor_key, observation)
    critic_params = critic.init(critic_key, observation, action)
    config = checks.as_leaves(config)
    figures = (
        "critic_loss",
        "actor_loss",
        "td_error",
        "action_value",
        "critic_gradient_norm",
        "actor_gradient_norm",
    )
    return State(
        config=config,
        actor=actor,
        critic=critic,
        action_centre=(low + high) / 2,
        action_half_range=(high - low) / 2,
        actor_params=actor_params,
        critic_params=critic_params,
        target_actor_params=jax.tree.map(jnp.copy, actor_params),
        target_critic_params=jax.tree.map(jnp.copy, critic_params),
        actor_optimiser_state=optax.adam(config.actor_learning_rate).init(actor_params),
        critic_optimiser_state=optax.adam(config.critic_learning_rate).init(critic_params),
        step=jnp.int32(0),
        info=dict.fromkeys(figures, jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "actor_learning_rate", "critic_learning_rate")
    checks.within(config, 0, jnp.inf, "noise_start", "noise_end", "noise_steps")
    checks.finite(config, "actor_learning_rate", "critic_learning_rate", "noise_start", "noise_end")
    checks.one_number(config, "actor_output_scale", "critic_output_scale")
    checks.finite(config, "actor_output_scale", "critic_output_scale")
    checks.within(config, 0, 1, "discount", "tau")
    checks.within(config, 0, jnp.inf, "max_gradient_value", "max_gradient_norm", exclusive=True)
    checks.within(config, 0, jnp.inf, "actor_output_scale", "critic_output_scale", exclusive=True)
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.whole(config, 1, "batch_size", "buffer_capacity", "hidden_sizes")
    checks.whole(config, 0, "warmup_steps")
    checks.beside(config, "actor", "actor_output_scale")
    checks.beside(config, "critic", "critic_output_scale")
    if config.critic is not None:  # and so the critic's torso is not built, either
        checks.beside(config, "actor", "hidden_sizes", "initialiser")


def make_torso(config: Config, observation_space: gymnasium.Space[Any]) -> nn.Module:
    """What reads the observation, of the actor or the critic."""
    return networks.make_torso("mlp", observation_space, config.hidden_sizes, initialiser=config.initialiser)


def memory(config: Config) -> Replay:
    """The replay buffer that feeds :func:`update`."""
    return Replay(config.buffer_capacity, config.batch_size, config.warmup_steps)


def act(
    state: State, observation: PyTree, key: Key, step: Array | int, carry: tuple[()] = ()
) -> tuple[Array, tuple[()], tuple[()]]:
    """Noisy actions ``[B, A]`` for observations ``[B, …]``, ``step`` environment steps into a run.

    Uniformly random during the warm-up; afterwards the policy's with Gaussian noise, clipped to
    the action's range.
    """
    config = state.config
    warmup_key, noise_key = jax.random.split(key)
    action = policy(state, state.actor_params, observation)
    deviation = losses.linear_schedule(
        jnp.float32(step), config.noise_start, config.noise_end, config.noise_steps
    )
    noisy = jnp.clip(action + deviation * jax.random.normal(noise_key, action.shape), -1.0, 1.0)
    uniform = jax.random.uniform(warmup_key, action.shape, minval=-1.0, maxval=1.0)
    action = jnp.where(step < config.warmup_steps, uniform, noisy)
    return state.action_centre + state.action_half_range * action, (), carry


def greedy(state: State, observation: PyTree, carry: tuple[()] = ()) -> tuple[Array, tuple[()]]:
    """The policy's actions ``[B, A]`` for observations ``[B, …]``."""
    action = policy(state, state.actor_params, observation)
    return state.action_centre + state.action_half_range * action, carry


def policy(state: State, params: PyTree, observation: PyTree) -> Array:
    """Actions ``[B, A]`` in [-1, 1] for observations ``[B, …]`` under the actor's ``params``."""
    return networks.apply(state.actor, params, observation)


def action_value(state: State, params: PyTree, observation: PyTree, action: Array) -> Array:
    """Values ``[B]`` of actions ``[B, A]`` in [-1, 1] under the critic's ``params``."""
    return networks.apply(state.critic, params, observation, action)


@jax.jit
def update(state: State, batch: Transition) -> State:
    """One step on the critic, then one on the actor, for a batch ``[B]``; then the targets follow.

    The critic's loss is the batch's mean of ½δ², with
    ``δ = r + γ(1 − terminated) Q(s', μ(s'; φ⁻); θ⁻) − Q(s, a; θ)``: truncation bootstraps. The
    actor's is the mean of ``−Q(s, μ(s; φ); θ)``, with the critic just updated.

    Source: Lillicrap et al. (2016), algorithm 1.
    """
    state, critic_info = update_critic(state, batch)
    state, actor_info = update_actor(state, batch)
    tau = state.config.tau
    return dataclasses.replace(
        state,
        target_actor_params=optax.incremental_update(state.actor_params, state.target_actor_params, tau),
        target_critic_params=optax.incremental_update(state.critic_params, state.target_critic_params, tau),
        step=state.step + 1,
        info=critic_info | actor_info,
    )


def update_critic(state: State, batch: Transition) -> tuple[State, dict[str, Array]]:
    """The critic's part of :func:`update`."""
    config = state.config
    discount_t = config.discount * (1.0 - batch.terminated)
    action_tm1 = (batch.action - state.action_centre) / state.action_half_range
    action_t = policy(state, state.target_actor_params, batch.next_observation)
    q_t = action_value(state, state.target_critic_params, batch.next_observation, action_t)

    def loss(params: PyTree) -> tuple[Array, dict[str, Array]]:
        q_tm1 = action_value(state, params, batch.observation, action_tm1)
        td_error = jax.vmap(losses.td_learning)(q_tm1, batch.reward, discount_t, q_t)
        info = {"td_error": jnp.mean(jnp.abs(td_error)), "action_value": jnp.mean(q_tm1)}
        return jnp.mean(optax.l2_loss(td_error)), info

    (value, info), gradients = jax.value_and_grad(loss, has_aux=True)(state.critic_params)
    params, optimiser_state, norm = descend(
        optax.adam(config.critic_learning_rate),
        state.critic_optimiser_state,
        state.critic_params,
        gradients,
        config.max_gradient_value,
        config.max_gradient_norm,
    )
    info = info | {"critic_loss": value, "critic_gradient_norm": norm}
    return dataclasses.replace(state, critic_params=params, critic_optimiser_state=optimiser_state), info


def update_actor(state: State, batch: Transition) -> tuple[State, dict[str, Array]]:
    """The actor's part of :func:`update`."""
    config = state.config

    def loss(params: PyTree) -> Array:
        action = policy(state, params, batch.observation)
        return -jnp.mean(action_value(state, state.critic_params, batch.observation, action))

    value, gradients = jax.value_and_grad(loss)(state.actor_params)
    params, optimiser_state, norm = descend(
        optax.adam(config.actor_learning_rate),
        state.actor_optimiser_state,
        state.actor_params,
        gradients,
        config.max_gradient_value,
        config.max_gradient_norm,
    )
    info = {"actor_loss": value, "actor_gradient_norm": norm}
    return dataclasses.replace(state, actor_params=params, actor_optimiser_state=optimiser_state), info
