"""Trust region policy optimisation: the natural gradient, as far as the policy may change.

Source: Schulman et al. (2015), "Trust region policy optimization", section 6 and appendix C; deck 3.
"""

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
from purejaxrl.sampling import minibatches
from purejaxrl.types import Array, InvalidInput, Key, PyTree, Transition


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static."""

    discount: float = 0.99
    """γ, the weight of the next step's value, in [0, 1]."""
    gae_lambda: float = 0.95
    """λ of the advantage estimate in [0, 1]."""
    max_kl: float = 0.01
    """δ, how far an update may take the policy: the mean KL divergence over the rollout's observations."""
    damping: float = 0.1
    """What is added to the diagonal of the Fisher matrix."""
    backtrack_coefficient: float = 0.5
    """What a step is multiplied by that goes too far or gains nothing, in (0, 0.99]."""
    value_learning_rate: float = 1e-3
    """Step size of the value's optimiser, which is Adam."""
    conjugate_steps: int = static(10)
    """Steps of the conjugate gradient method at most: it ends where float32 can tell no more. Without
    damping, many more than the policy has curvature for add up rounding errors."""
    backtrack_steps: int = static(10)
    """Lengths that are tried before the policy is left as it is."""
    passes: int = static(10)
    """Times that the value learns each step of a rollout."""
    minibatches: int = static(4)
    """Parts that it learns a rollout in, one after another."""
    advantage_normalisation: Literal["rollout", "none"] = static("rollout")
    """Over what advantages are made to have mean 0 and deviation 1."""
    policy: PolicyName = static("auto")
    """The distribution of actions: categorical where they are Discrete; in a Box gaussian (with deviations
    that do not depend on the observation), state_gaussian (that do), tanh_gaussian or beta (within bounds);
    auto is the first that suits."""
    hidden_sizes: tuple[int, ...] = static((64, 64))
    """Units of the fully connected layers of an MLP; convolutional torsos have those of their papers."""
    activation: networks.ActivationName = static("tanh")
    """Nonlinearity of an MLP; convolutional torsos have ReLU."""
    torso: networks.TorsoName = static("auto")
    """What reads the observation; auto chooses by its shape."""
    initialiser: networks.InitialiserName = static("orthogonal")
    """How weights begin."""
    network: nn.Module | None = static(None)
    """A policy of your own: one observation to such a distribution; None builds one."""
    value_network: nn.Module | None = static(None)
    """A value of your own: one observation to a scalar; None builds one."""


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    network: nn.Module = struct.field(pytree_node=False)
    value_network: nn.Module = struct.field(pytree_node=False)
    params: PyTree
    value_params: PyTree
    value_optimiser_state: PyTree
    key: Key  # of the order in which the value learns, folded with the pass
    step: Array  # updates made
    info: dict[str, Array]  # figures of the last update


RESIDUAL = 1e-6
"""Of the gradient's norm, what the conjugate gradient method may leave: float32 has no better, and steps past
it divide nothing by nothing."""
FIGURES = ("gain", "kl", "entropy", "value_loss", "gradient_norm", "backtracks", "accepted")
"""What ``info`` has: ``gain`` is how much larger the surrogate is than it was; ``backtracks`` how many times
the step was shortened; ``accepted`` 1 where one was taken and 0 where the policy stayed."""


def init(
    key: Key, config: Config, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
) -> State:
    """A fresh learner.

    Raises:
        InvalidInput: the policy does not suit the actions, a hyperparameter is out of its range, or a
            network does not suit.
    """
    head = make_head(config.policy, "TRPO", action_space)
    check(config)
    params_key, value_key, order_key = jax.random.split(key, 3)
    network = actor_critic.make_actor(config, observation_space, head)
    value_network = actor_critic.make_value(config, observation_space)
    observation = networks.example(observation_space)
    value_params = value_network.init(value_key, observation)
    params = network.init(params_key, observation)
    config = checks.as_leaves(config)
    return State(
        config=config,
        network=network,
        value_network=value_network,
        params=params,
        value_params=value_params,
        value_optimiser_state=optax.adam(config.value_learning_rate).init(value_params),
        key=order_key,
        step=jnp.int32(0),
        info=dict.fromkeys(FIGURES, jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, 1, "discount", "gae_lambda")
    checks.within(config, 0, jnp.inf, "max_kl", exclusive=True)
    checks.within(config, 0, jnp.inf, "damping", "value_learning_rate")
    checks.finite(config, "max_kl", "damping", "value_learning_rate")
    checks.within(config, 0, 0.99, "backtrack_coefficient", exclusive=True)
    checks.whole(config, 1, "conjugate_steps", "backtrack_steps", "passes", "minibatches", "hidden_sizes")
    checks.one_of(config, "activation", networks.ACTIVATIONS)
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.one_of(config, "advantage_normalisation", ("rollout", "none"))
    if config.network is not None and config.value_network is not None:
        checks.beside(config, "network", "hidden_sizes", "activation", "torso", "initialiser")


memory = actor_critic.memory
act, greedy, policy = actor_critic.act_alone, actor_critic.greedy_alone, actor_critic.policy_alone


@jax.jit
def update(state: State, rollout: Transition) -> State:
    """A step of the policy on a rollout ``[T, B]``, within its bound, and then the value's steps.

    Advantages bootstrap from the value of each step's true successor: where an episode was cut off by a time
    limit its value counts, where it terminated nothing does.

    Raises:
        InvalidInput: the value cannot learn the rollout in so many minibatches.
    """
    config = state.config
    rows = actor_critic.trajectories(rollout)
    size = rows.reward.size
    parts = minibatches(state.key, state.step, config.passes, config.minibatches, size)
    v_tm1, v_t = (
        networks.apply(state.value_network, state.value_params, actor_critic.flat(seen)).reshape(
            rows.reward.shape
        )
        for seen in (rows.observation, rows.next_observation)
    )
    advantage = actor_critic.advantages(rows, config.discount, config.gae_lambda, v_tm1, v_t)
    observation, action, target = actor_critic.flat((rows.observation, rows.action, advantage + v_tm1))
    if config.advantage_normalisation == "rollout":
        if size == 1:
            raise InvalidInput(
                "advantages cannot be normalised over a rollout of one step: have longer ones, or"
                " advantage_normalisation='none'"
            )
        advantage = losses.standardise(advantage)
    params, info = improve(state, observation, action, advantage.reshape(-1))
    value_params, value_optimiser_state, value_loss = fit(state, observation, target, parts)
    return dataclasses.replace(
        state,
        params=params,
        value_params=value_params,
        value_optimiser_state=value_optimiser_state,
        step=state.step + 1,
        info=info | {"value_loss": value_loss},
    )


def improve(
    state: State, observation: PyTree, action: Array, advantage: Array
) -> tuple[PyTree, dict[str, Array]]:
    """The policy's new parameters, for steps ``[N]``, and the step's figures.

    Along x, (F + damping) x = g, the longest step is tried that a quadratic divergence would allow, and then
    shorter ones, until one gains and stays within the bound as the policy itself has it. If none does, the
    parameters are the old ones.
    """
    config = state.config
    old = policy(state, state.params, observation)
    kind: Any = type(old)
    before = jax.vmap(kind.log_probability)(old, action)

    def surrogate(params: PyTree) -> Array:
        log_probability = jax.vmap(kind.log_probability)(policy(state, params, observation), action)
        return jnp.mean(jnp.exp(log_probability - before) * advantage)

    def divergence(params: PyTree) -> Array:
        return jnp.mean(jax.vmap(kind.divergence)(old, policy(state, params, observation)))

    def curvature(vector: PyTree) -> PyTree:
        """(F + damping) times a vector, F being the divergence's second derivative where it is 0."""
        product = jax.jvp(jax.grad(divergence), (state.params,), (vector,))[1]
        return jax.tree.map(lambda leaf, own: leaf + config.damping * own, product, vector)

    start, gradient = jax.value_and_grad(surrogate)(state.params)
    direction, _ = jax.scipy.sparse.linalg.cg(
        curvature, gradient, tol=RESIDUAL, maxiter=config.conjugate_steps
    )
    square = jnp.asarray(optax.tree.vdot(direction, curvature(direction)), jnp.float32)
    longest = jnp.where(square > 0, jnp.sqrt(2 * config.max_kl / jnp.where(square > 0, square, 1.0)), 0.0)

    def candidate(number: Array) -> PyTree:
        length = longest * config.backtrack_coefficient**number
        return jax.tree.map(lambda leaf, along: leaf + length * along, state.params, direction)

    def accepted(number: Array) -> Array:
        params = candidate(number)
        return (divergence(params) <= config.max_kl) & (surrogate(params) > start)

    def go_on(number: Array) -> Array:
        return (number < config.backtrack_steps) & ~accepted(number)

    number = jax.lax.while_loop(go_on, lambda number: number + 1, jnp.int32(0))
    taken = number < config.backtrack_steps
    params = jax.tree.map(lambda new, leaf: jnp.where(taken, new, leaf), candidate(number), state.params)
    return params, {
        "gain": surrogate(params) - start,
        "kl": divergence(params),
        "entropy": jnp.mean(jax.vmap(kind.entropy)(old)),
        "gradient_norm": optax.tree.norm(gradient),
        "backtracks": number.astype(jnp.float32),
        "accepted": taken.astype(jnp.float32),
    }


def fit(state: State, observation: PyTree, target: Array, parts: Array) -> tuple[PyTree, PyTree, Array]:
    """The value's parameters after a step towards targets ``[N]`` for each of the ``parts`` of them.

    Returns also Adam's state, and the mean loss.
    """
    config = state.config

    def learn(carry: tuple[PyTree, PyTree], index: Array) -> tuple[tuple[PyTree, PyTree], Array]:
        params, optimiser_state = carry
        seen = jax.tree.map(lambda leaf: leaf[index], observation)

        def loss(params: PyTree) -> Array:
            error = target[index] - networks.apply(state.value_network, params, seen)
            return jnp.mean(optax.l2_loss(error))

        value, gradients = jax.value_and_grad(loss)(params)
        optimiser = optax.adam(config.value_learning_rate)
        params, optimiser_state, _ = descend(optimiser, optimiser_state, params, gradients)
        return (params, optimiser_state), value

    start = (state.value_params, state.value_optimiser_state)
    (params, optimiser_state), errors = jax.lax.scan(learn, start, parts)
    return params, optimiser_state, jnp.mean(errors)
