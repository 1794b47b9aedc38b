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

from purejaxrl import checks, losses, networks, value_networks
from purejaxrl.action_distributions import Distribution, PolicyName, make_head
from purejaxrl.checks import static
from purejaxrl.memory import LastRollout
from purejaxrl.optimisers import descend
from purejaxrl.types import Array, Key, PyTree, Transition


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static.

    The defaults are rl-baselines3-zoo's for CartPole (``benchmark.md``).
    """

    learning_rate: float = 7e-4
    """Step size of the optimiser."""
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
    """How weights begin."""
    shared_torso: bool = static(False)
    """Whether policy and value share the torso."""
    policy: PolicyName = static("auto")
    """The distribution of actions: categorical where they are Discrete; in a Box gaussian (with deviations
    that do not depend on the observation), state_gaussian (that do), tanh_gaussian or beta (within bounds);
    auto is the first that suits."""
    network: nn.Module | None = static(None)
    """A network of your own: one observation to such a distribution and a value; None builds one."""


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
    observation, network = networks.example(observation_space), config.network
    if network is None:
        torso = networks.make_torso(
            config.torso, observation_space, config.hidden_sizes, config.activation, config.initialiser
        )
        critic_torso = None if config.shared_torso else torso.copy()
        network = networks.ActorCritic(torso, head, critic_torso)
    else:
        outputs = {"policy": head.example(), "value": jnp.float32(0.0)}
        value_networks.check_network(network, {"observation": observation}, outputs)
    params = network.init(key, observation)
    config = checks.as_leaves(config)
    figures = ("loss", "policy_loss", "value_loss", "entropy", "advantage", "gradient_norm")
    return State(
        config=config,
        network=network,
        params=params,
        optimiser_state=optimiser(config).init(params),
        step=jnp.int32(0),
        info=dict.fromkeys(figures, jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "learning_rate", "value_coefficient", "entropy_coefficient")
    checks.finite(config, "learning_rate", "value_coefficient", "entropy_coefficient", "optimiser_epsilon")
    checks.within(config, 0, 1, "discount", "gae_lambda", "optimiser_decay")
    checks.within(config, 0, jnp.inf, "optimiser_epsilon", exclusive=True)
    checks.within(config, 0, jnp.inf, "max_gradient_value", "max_gradient_norm", exclusive=True)
    checks.one_of(config, "optimiser", ("rmsprop", "adam"))
    checks.one_of(config, "activation", networks.ACTIVATIONS)
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.whole(config, 1, "hidden_sizes")
    checks.flags(config)
    checks.beside(config, "network", "hidden_sizes", "activation", "torso", "initialiser", "shared_torso")


def memory(config: Config) -> LastRollout:
    """The rollout that feeds :func:`update`."""
    del config
    return LastRollout()


def act(
    state: State, observation: PyTree, key: Key, step: Array | int, carry: tuple[()] = ()
) -> tuple[Array, tuple[()], tuple[()]]:
    """Actions ``[B, …]`` drawn from the policy for observations ``[B, …]``."""
    del step
    policy, _ = policy_and_value(state, state.params, observation)
    return policy.sample(key), (), carry


def greedy(state: State, observation: PyTree, carry: tuple[()] = ()) -> tuple[Array, tuple[()]]:
    """The likeliest actions ``[B, …]`` for observations ``[B, …]``."""
    policy, _ = policy_and_value(state, state.params, observation)
    return policy.greedy(), carry


def policy_and_value(state: State, params: PyTree, observation: PyTree) -> tuple[Distribution, Array]:
    """Distributions of actions, with a leading axis, and values ``[B]`` of observations ``[B, …]``."""
    return networks.apply(state.network, params, observation)


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
    config = state.config
    # Trajectory after trajectory, [B·T]: an axis B that is sharded over devices stays so.
    shape = rollout.reward.shape[::-1]
    batch = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1).reshape(-1, *leaf.shape[2:]), rollout)
    discount_t = config.discount * (1.0 - rollout.terminated)
    continue_t = (1.0 - rollout.terminated) * (1.0 - rollout.truncated)
    _, v_t = policy_and_value(state, state.params, batch.next_observation)

    def loss(params: PyTree) -> tuple[Array, dict[str, Array]]:
        policy, v_tm1 = policy_and_value(state, params, batch.observation)
        advantage = jax.vmap(losses.generalised_advantage, in_axes=(1, 1, 1, None, 0, 0))(
            rollout.reward,
            discount_t,
            continue_t,
            config.gae_lambda,
            v_tm1.reshape(shape),
            v_t.reshape(shape),
        ).reshape(-1)
        target = jax.lax.stop_gradient(advantage + v_tm1)
        log_probability = jax.vmap(type(policy).log_probability)(policy, batch.action)
        policy_loss = jnp.mean(jax.vmap(losses.policy_gradient)(log_probability, advantage))
        value_loss = jnp.mean(jnp.square(target - v_tm1))
        entropy = jnp.mean(jax.vmap(type(policy).entropy)(policy))
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
        optimiser(config),
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


def optimiser(config: Config) -> optax.GradientTransformation:
    """RMSProp as PyTorch has it (Tieleman & Hinton 2012), or Adam (Kingma & Ba 2015)."""
    if config.optimiser == "adam":
        return optax.adam(config.learning_rate, eps=config.optimiser_epsilon)
    return optax.rmsprop(
        config.learning_rate, config.optimiser_decay, config.optimiser_epsilon, eps_in_sqrt=False
    )
