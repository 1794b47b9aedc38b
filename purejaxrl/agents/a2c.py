"""Advantage actor-critic, synchronous (Mnih et al. 2016, "Asynchronous methods for deep RL")."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import optax
from flax import struct

from purejaxrl import actor_critic, checks, losses, networks
from purejaxrl.action_distributions import PolicyName, make_head
from purejaxrl.checks import static
from purejaxrl.optimisers import descend
from purejaxrl.types import Array, Key, PyTree, Transition


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static.

    The defaults are rl-baselines3-zoo's for CartPole (``benchmark.md``).
    """

    learning_rate: float = 7e-4
    """Step size of the optimiser at the first update."""
    learning_rate_end: float = 0.0
    """Step size once it has fallen."""
    learning_rate_steps: float | None = None
    """Calls of update over which it falls, linearly; None keeps it."""
    discount: float = 0.99
    """γ, the weight of the next step's value, in [0, 1]."""
    gae_lambda: float = 1.0
    """λ of the advantage estimate in [0, 1]; 1 is the n-step return of A2C, 0 the one-step TD error."""
    value_coefficient: float = 0.5
    """Weight of the critic's loss."""
    entropy_coefficient: float = 0.0
    """Weight of the entropy bonus."""
    optimiser_decay: float = 0.99
    """Decay of RMSProp's running mean of squares; Adam ignores it."""
    optimiser_epsilon: float = 1e-5
    """What the optimiser adds to the root of the mean of squares."""
    max_gradient_value: float | None = None
    """Bound on the magnitude of each element of the gradient; None leaves them."""
    max_gradient_norm: float | None = 0.5
    """Bound on the global norm of the gradient; None leaves it."""
    optimiser: Literal["rmsprop", "adam"] = static("rmsprop")
    """Which optimiser takes the step."""
    hidden_sizes: tuple[int, ...] = static((64, 64))
    """Units of the fully connected layers of an MLP; convolutional torsos have those of their papers."""
    activation: networks.ActivationName = static("tanh")
    """Nonlinearity of an MLP; convolutional torsos have ReLU."""
    torso: networks.TorsoName = static("auto")
    """What reads the observation; auto chooses by its shape."""
    initialiser: networks.InitialiserName = static("xavier")
    """How weights begin; heads begin small whatever it is, and cells as LeCun has it."""
    shared_torso: bool = static(False)
    """Whether policy and value share the torso."""
    policy: PolicyName = static("auto")
    """The distribution of actions: categorical where they are Discrete; in a Box gaussian (with deviations
    that do not depend on the observation), state_gaussian (that do), tanh_gaussian or beta (within bounds);
    auto is the first that suits."""
    cell: actor_critic.MemoryName = static("none")
    """What remembers, between torso and heads: nothing, an lstm or a gru. Policy and value remember apart
    unless they share the torso."""
    cell_size: int = static(64)
    """Its units."""
    head_sizes: tuple[int, ...] = static(())
    """Units of fully connected layers after the cell."""
    network: nn.Module | None = static(None)
    """A network of your own: one observation to such a distribution and a value, or, with a method
    ``initial_carry``, what is remembered and an observation to what is remembered and both; None builds
    one."""

    @property
    def steps_per_update(self) -> int:
        """Steps of the optimiser in a call of update."""
        return 1


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    network: nn.Module = struct.field(pytree_node=False)
    params: PyTree
    optimiser_state: PyTree
    step: Array  # updates made
    info: dict[str, Array]  # figures of the last update


def init(
    key: Key, config: Config, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
) -> State:
    """A fresh learner.

    Raises:
        InvalidInput: the policy does not suit the actions, a hyperparameter is out of its range, or the
            network does not suit.
    """
    head = make_head(config.policy, "A2C", action_space)
    check(config)
    network = actor_critic.make_network(config, observation_space, head)
    params = actor_critic.init(network, key, observation_space)
    config = checks.as_leaves(config)
    figures = ("loss", "policy_loss", "value_loss", "entropy", "advantage", "gradient_norm")
    return State(
        config=config,
        network=network,
        params=params,
        optimiser_state=optimiser(config, jnp.int32(0)).init(params),
        step=jnp.int32(0),
        info=dict.fromkeys(figures, jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    weights = ("value_coefficient", "entropy_coefficient")
    checks.within(config, 0, jnp.inf, "learning_rate", "learning_rate_end", *weights)
    checks.finite(config, "learning_rate", "learning_rate_end", *weights, "optimiser_epsilon")
    checks.within(config, 0, 1, "discount", "gae_lambda", "optimiser_decay")
    checks.within(config, 0, jnp.inf, "optimiser_epsilon", "learning_rate_steps", exclusive=True)
    checks.within(config, 0, jnp.inf, "max_gradient_value", "max_gradient_norm", exclusive=True)
    checks.one_of(config, "optimiser", ("rmsprop", "adam"))
    checks.falls(config, "learning_rate_end", "learning_rate_steps")
    checks.flags(config)
    actor_critic.check(config)


memory, initial_carry = actor_critic.memory, actor_critic.initial_carry
act, greedy = actor_critic.act, actor_critic.greedy


@jax.jit
def update(state: State, rollout: Transition) -> State:
    """One step of the optimiser on a rollout ``[T, B]``.

    Advantages bootstrap from the value of each step's true successor: where an episode was cut off
    by a time limit its value counts, where it terminated nothing does.

    Source: Mnih et al. (2016), algorithm S3; Schulman et al. (2016), eq. 16, for ``gae_lambda`` below 1.
    """
    return apply_gradients(state, *gradients(state, rollout))


def gradients(state: State, rollout: Transition) -> tuple[PyTree, dict[str, Array]]:
    """The gradients of a rollout ``[T, B]`` at the state's parameters, and their figures."""
    config, network = state.config, state.network
    rows = actor_critic.trajectories(rollout)

    def loss(params: PyTree) -> tuple[Array, dict[str, Array]]:
        policy, v_tm1, after = actor_critic.read(network, params, rows)
        v_t = actor_critic.successor_values(network, state.params, rows, jax.lax.stop_gradient(after))
        advantage = actor_critic.advantages(rows, config.discount, config.gae_lambda, v_tm1, v_t)
        target = jax.lax.stop_gradient(advantage + v_tm1)
        log_probability = actor_critic.log_probabilities(policy, rows.action)
        policy_loss = actor_critic.policy_loss(log_probability, advantage)
        value_loss = jnp.mean(jnp.square(target - v_tm1))
        entropy = jnp.mean(actor_critic.entropies(policy))
        info = {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "entropy": entropy,
            "advantage": jnp.mean(jnp.abs(advantage)),
        }
        total = policy_loss + config.value_coefficient * value_loss - config.entropy_coefficient * entropy
        return total, info

    (value, info), found = jax.value_and_grad(loss, has_aux=True)(state.params)
    return found, info | {"loss": value}


def apply_gradients(state: State, gradients: PyTree, info: dict[str, Array]) -> State:
    """One step of the optimiser, of gradients at these parameters or at others."""
    config = state.config
    params, optimiser_state, norm = descend(
        optimiser(config, state.step),
        state.optimiser_state,
        state.params,
        gradients,
        config.max_gradient_value,
        config.max_gradient_norm,
    )
    return dataclasses.replace(
        state,
        params=params,
        optimiser_state=optimiser_state,
        step=state.step + 1,
        info=info | {"gradient_norm": norm},
    )


def optimiser(config: Config, step: Array) -> optax.GradientTransformation:
    """RMSProp (Tieleman & Hinton 2012) as PyTorch has it, or Adam (Kingma & Ba 2015), ``step`` steps in."""
    rate: Any = losses.scheduled(
        step / config.steps_per_update,
        config.learning_rate,
        config.learning_rate_end,
        config.learning_rate_steps,
    )
    if config.optimiser == "adam":
        return optax.adam(rate, eps=config.optimiser_epsilon)
    return optax.rmsprop(rate, config.optimiser_decay, config.optimiser_epsilon, eps_in_sqrt=False)
