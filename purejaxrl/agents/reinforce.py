"""REINFORCE: the likelihood ratio's gradient of whole episodes, with every baseline of deck 3.

Source: Williams (1992), "Simple statistical gradient-following algorithms for connectionist reinforcement
learning"; deck 3, "Likelihood ratio gradient estimator" to "Estimate V".
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

from purejaxrl import actor_critic, checks, losses, networks
from purejaxrl.action_distributions import PolicyName, make_head
from purejaxrl.checks import static
from purejaxrl.memory import FirstEpisodes, LastRollout, in_first_episode
from purejaxrl.optimisers import OptimiserName, descend, make_optimiser
from purejaxrl.types import Array, InvalidInput, Key, PyTree, Transition


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static."""

    learning_rate: float = 2e-3
    """Step size of the policy's optimiser at the first update."""
    learning_rate_end: float = 0.0
    """Step size once it has fallen."""
    learning_rate_steps: float | None = None
    """Calls of update over which it falls, linearly; None keeps it."""
    discount: float = 0.99
    """γ, the weight of the next step's reward, in [0, 1]."""
    entropy_coefficient: float = 0.0
    """Weight of the entropy bonus at the first update."""
    entropy_coefficient_end: float = 0.0
    """Weight of the entropy bonus once it has fallen."""
    entropy_coefficient_steps: float | None = None
    """Calls of update over which it falls, linearly; None keeps it."""
    value_learning_rate: float = 1e-2
    """Step size of the value's optimiser, which is Adam."""
    proximity: float = 0.0
    """λ of the term λ‖φ − φᵢ‖² that keeps a value's parameters near what they were before the rollout."""
    optimiser_decay: float = 0.95
    """Decay of RMSProp's running means of squares; the others ignore it."""
    optimiser_epsilon: float = 1e-8
    """What the policy's optimiser adds to the root of the mean of squares; sgd ignores it."""
    max_gradient_norm: float | None = None
    """Bound on the global norm of the policy's gradient; None leaves it."""
    episodes: Literal["first", "all"] = static("first")
    """What is learnt from: the first episode of each environment, which begins with the rollout; or all that
    end in the rollout, which then goes on where the last one ended, and should hold many."""
    returns: Literal["trajectory", "reward_to_go"] = static("reward_to_go")
    """What an action is credited with: the return of its whole episode, or what came after it."""
    discount_steps: bool = static(False)
    """Whether the step at time t counts γᵗ, as the gradient of the discounted return has it; rewards to go
    then, and else all steps count alike."""
    baseline: Literal["none", "constant", "optimal", "time", "value", "td_value"] = static("value")
    """What is taken off: nothing; the mean of the other episodes' returns; the constant for each parameter of
    which the variance is least; the mean of what the others had still to come at that time; or the state's
    value, fitted to returns or to one-step targets."""
    advantage_normalisation: Literal["none", "rollout"] = static("none")
    """Whether what an action is credited with, less the baseline, is given a mean of 0 and a deviation of 1
    over all steps of a rollout that are learnt from."""
    value_steps: int = static(10)
    """Steps in which a value is fitted to each rollout."""
    optimiser: OptimiserName = static("adam")
    """Which optimiser takes the policy's step."""
    policy: PolicyName = static("auto")
    """The distribution of actions: categorical where they are Discrete; in a Box gaussian (with deviations
    that do not depend on the observation), state_gaussian (that do), tanh_gaussian or beta (within bounds);
    auto is the first that suits."""
    hidden_sizes: tuple[int, ...] = static((64,))
    """Units of the fully connected layers of an MLP; convolutional torsos have those of their papers."""
    activation: networks.ActivationName = static("tanh")
    """Nonlinearity of an MLP; convolutional torsos have ReLU."""
    torso: networks.TorsoName = static("auto")
    """What reads the observation; auto chooses by its shape."""
    initialiser: networks.InitialiserName = static("xavier")
    """How weights begin."""
    network: nn.Module | None = static(None)
    """A policy of your own: one observation to such a distribution; None builds one."""
    value_network: nn.Module | None = static(None)
    """A value of your own: one observation to a scalar; None builds one where the baseline is a value."""


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    network: nn.Module = struct.field(pytree_node=False)
    value_network: nn.Module | None = struct.field(pytree_node=False)
    params: PyTree
    value_params: PyTree  # () where the baseline is no value
    optimiser_state: PyTree
    value_optimiser_state: PyTree
    step: Array  # updates made
    info: dict[str, Array]  # figures of the last update


def init(
    key: Key, config: Config, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
) -> State:
    """A fresh learner.

    Raises:
        InvalidInput: the policy does not suit the actions, a hyperparameter is out of its range, or a
            network does not suit.
    """
    head = make_head(config.policy, "REINFORCE", action_space)
    check(config)
    observation = networks.example(observation_space)
    network = actor_critic.make_actor(config, observation_space, head)
    params_key, value_key = jax.random.split(key)
    value_network, value_params = None, ()
    if config.baseline in ("value", "td_value"):
        value_network = actor_critic.make_value(config, observation_space)
        value_params = value_network.init(value_key, observation)
    params = network.init(params_key, observation)
    config = checks.as_leaves(config)
    figures = ("loss", "entropy", "return", "advantage", "value_loss", "gradient_norm")
    return State(
        config=config,
        network=network,
        value_network=value_network,
        params=params,
        value_params=value_params,
        optimiser_state=optimiser(config, jnp.int32(0)).init(params),
        value_optimiser_state=optax.adam(config.value_learning_rate).init(value_params),
        step=jnp.int32(0),
        info=dict.fromkeys(figures, jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    rates = ("learning_rate", "learning_rate_end", "value_learning_rate")
    weights = ("entropy_coefficient", "entropy_coefficient_end", "proximity")
    checks.within(config, 0, jnp.inf, *rates, *weights)
    checks.finite(config, *rates, *weights, "optimiser_epsilon")
    checks.within(config, 0, 1, "discount", "optimiser_decay")
    checks.within(config, 0, jnp.inf, "optimiser_epsilon", exclusive=True)
    checks.within(config, 0, jnp.inf, "learning_rate_steps", "entropy_coefficient_steps", exclusive=True)
    checks.one_of(config, "episodes", ("first", "all"))
    checks.one_of(config, "advantage_normalisation", ("none", "rollout"))
    checks.within(config, 0, jnp.inf, "max_gradient_norm", exclusive=True)
    checks.one_of(config, "returns", ("trajectory", "reward_to_go"))
    checks.one_of(config, "baseline", ("none", "constant", "optimal", "time", "value", "td_value"))
    checks.one_of(config, "optimiser", get_args(OptimiserName))
    checks.one_of(config, "activation", networks.ACTIVATIONS)
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.whole(config, 1, "value_steps", "hidden_sizes")
    checks.falls(config, "learning_rate_end", "learning_rate_steps")
    checks.falls(config, "entropy_coefficient_end", "entropy_coefficient_steps")
    checks.flags(config)
    if config.returns == "trajectory" and (config.discount_steps or config.baseline in VALUES_OF_TIMES):
        what = "discount_steps" if config.discount_steps else f"baseline={config.baseline!r}"
        raise InvalidInput(
            f"{what} is of rewards to go, and returns='trajectory' credits every step with the whole return;"
            " it takes baseline='none', 'constant' or 'optimal'"
        )
    if config.episodes == "all":
        whole = {"returns": ("trajectory",), "discount_steps": (True,), "baseline": OF_OTHER_EPISODES}
        for name, refused in whole.items():
            if getattr(config, name) in refused:
                raise InvalidInput(
                    f"{name}={getattr(config, name)!r} is of episodes seen from their first step on, and"
                    " episodes='all' learns from some that began before the rollout; let it be 'first'"
                )
    if config.advantage_normalisation == "rollout" and config.baseline == "optimal":
        raise InvalidInput(
            "advantage_normalisation='rollout' takes off a constant of its own, and does not go with"
            " baseline='optimal'; let it be 'none'"
        )
    if config.value_network is not None and config.baseline not in ("value", "td_value"):
        raise InvalidInput(
            f"value_network is given, and baseline={config.baseline!r} has no value; let it be 'value' or"
            " 'td_value'"
        )
    if config.value_network is not None or config.baseline not in ("value", "td_value"):
        checks.beside(config, "network", "hidden_sizes", "activation", "torso", "initialiser")


VALUES_OF_TIMES = ("time", "value", "td_value")
"""Baselines that differ from step to step."""
OF_OTHER_EPISODES = ("constant", "optimal", "time")
"""Baselines that compare an episode with others that began with it."""


def memory(config: Config) -> LastRollout:
    """The episodes that feed :func:`update`."""
    return FirstEpisodes(once=True) if config.episodes == "first" else LastRollout(once=True)


act, greedy, policy = actor_critic.act_alone, actor_critic.greedy_alone, actor_critic.policy_alone


@struct.dataclass
class Episodes:
    """The episodes of a rollout ``[T, B]`` that are learnt from, and what was still to come in them."""

    transition: Transition
    counts: Array  # [T, B], 1 in these episodes and 0 elsewhere
    to_go: Array  # [T, B], discounted rewards from each step on
    credit: Array  # [T, B], what the step's action is credited with
    weight: Array  # [T, B], how much the step counts: γᵗ or 1, and 0 elsewhere


@jax.jit
def update(state: State, rollout: Transition) -> State:
    """One step along the estimated gradient, and then the value's, where there is one.

    Args:
        state: a learner.
        rollout: ``[T, B]``, of which the first episode of each environment is learnt from, and one that does
            not end in the rollout ends with it; or, with ``episodes="all"``, every one that ends in it.
    """
    config = state.config
    episodes = episodes_of(config, rollout)
    gradients, info = estimate(state, episodes)
    params, optimiser_state, norm = descend(
        optimiser(config, state.step),
        state.optimiser_state,
        state.params,
        gradients,
        None,
        config.max_gradient_norm,
    )
    value_params, value_optimiser_state, value_loss = fit(state, episodes)
    return dataclasses.replace(
        state,
        params=params,
        value_params=value_params,
        optimiser_state=optimiser_state,
        value_optimiser_state=value_optimiser_state,
        step=state.step + 1,
        info=info | {"value_loss": value_loss, "gradient_norm": norm},
    )


def episodes_of(config: Config, rollout: Transition) -> Episodes:
    """What is learnt from in a rollout ``[T, B]``."""
    ended = rollout.ended
    learnt = in_first_episode(rollout) if config.episodes == "first" else ends_later(ended)
    counts = learnt.astype(jnp.float32)
    decay = config.discount * (1.0 - ended)
    to_go = jax.vmap(losses.decayed_sum, in_axes=(1, 1), out_axes=1)(counts * rollout.reward, decay)
    weight, credit = counts, to_go
    if config.returns == "trajectory":
        credit = jnp.broadcast_to(to_go[0], to_go.shape)
    elif config.discount_steps:
        weight = counts * config.discount ** jnp.arange(len(counts), dtype=jnp.float32)[:, None]
    return Episodes(rollout, counts, to_go, credit, weight)


def ends_later(ended: Array) -> Array:
    """Whether a step of a rollout ``[T, B]``, or one after it, ends an episode: then nothing is cut off."""
    return jax.lax.cumsum(ended.astype(jnp.int32), axis=0, reverse=True) > 0


def estimate(state: State, episodes: Episodes) -> tuple[PyTree, dict[str, Array]]:
    """The gradient of minus the return, as the episodes have it, and its figures.

    It is a mean over environments, which have an episode each unless all are learnt from, of sums over
    steps. Baselines that are means leave out the episode that they are taken off, so that the estimate is
    that of the true gradient; normalised advantages do not, and are scaled besides.
    """
    config = state.config
    advantage = episodes.credit - baseline(state, episodes)
    entropy_coefficient = losses.scheduled(
        state.step,
        config.entropy_coefficient,
        config.entropy_coefficient_end,
        config.entropy_coefficient_steps,
    )

    def loss(params: PyTree, credit: Array) -> tuple[Array, Array]:
        log_probability, entropy = of_steps(state, params, episodes.transition)
        surrogate = losses.policy_gradient
        each = jax.vmap(jax.vmap(surrogate))(log_probability, episodes.weight * credit)
        total = jnp.mean(jnp.sum(each - entropy_coefficient * episodes.counts * entropy, axis=0))
        return total, mean_of(entropy, episodes.counts)

    scaled = advantage
    if config.advantage_normalisation == "rollout":
        scaled = losses.standardise(advantage, episodes.counts > 0)
    (value, entropy), gradients = jax.value_and_grad(loss, has_aux=True)(state.params, scaled)
    if config.baseline == "optimal":
        gradients = jax.tree.map(jnp.subtract, gradients, optimal_correction(state, episodes))
    return gradients, {
        "loss": value,
        "entropy": entropy,
        "return": jnp.mean(jnp.sum(episodes.counts * episodes.transition.reward, axis=0)),
        "advantage": mean_of(jnp.abs(advantage), episodes.counts),
    }


def mean_of(x: Array, counts: Array) -> Array:
    """The mean over the steps that count, ``[T, B]``, or 0 where none does."""
    return jnp.sum(counts * x) / jnp.maximum(jnp.sum(counts), 1)


def of_steps(state: State, params: PyTree, rollout: Transition) -> tuple[Array, Array]:
    """Log-probabilities of actions, and entropies, ``[T, B]``."""
    shape = rollout.reward.shape
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (rollout.observation, rollout.action))
    observation, action = flat
    distribution = policy(state, params, observation)
    kind: Any = type(distribution)
    log_probability = jax.vmap(kind.log_probability)(distribution, action)
    return log_probability.reshape(shape), jax.vmap(kind.entropy)(distribution).reshape(shape)


def baseline(state: State, episodes: Episodes) -> Array:
    """What is taken off the credit of every step ``[T, B]``; the optimal constant is a matter of its own."""
    config, counts = state.config, episodes.counts
    if config.baseline == "constant":
        return others_mean(episodes.credit[:1], jnp.ones_like(counts[:1]))
    if config.baseline == "time":
        return others_mean(episodes.to_go, counts)
    if config.baseline in ("value", "td_value"):
        return values(state, state.value_params, episodes.transition.observation)
    return jnp.zeros_like(counts)


def others_mean(x: Array, counts: Array) -> Array:
    """The mean over the other episodes that count, ``[T, B]``, or 0 where there are none."""
    total, number = jnp.sum(counts * x, axis=1, keepdims=True), jnp.sum(counts, axis=1, keepdims=True)
    return (total - counts * x) / jnp.maximum(number - counts, 1)


def optimal_correction(state: State, episodes: Episodes) -> PyTree:
    """What the constant of least variance takes off the gradient of minus the return.

    For each parameter it is that which, times the episode's score S, takes most off the episode's gradient
    g: E[g S] / E[S²], estimated from the other episodes.

    Source: Peters & Schaal (2008), "Reinforcement learning of motor skills with policy gradients", eq. 14;
    Greensmith, Bartlett & Baxter (2004), section 5.
    """

    def of_episode(credit: Array, index: Array) -> PyTree:
        def loss(params: PyTree) -> Array:
            one = jax.tree.map(lambda leaf: leaf[:, index][:, None], episodes.transition)
            log_probability, _ = of_steps(state, params, one)
            return -jnp.sum(episodes.weight[:, index] * credit * log_probability[:, 0])

        return jax.grad(loss)(state.params)

    index = jnp.arange(episodes.counts.shape[1])
    gradient = jax.vmap(of_episode, in_axes=(1, 0))(episodes.credit, index)  # [B, …]
    score = jax.vmap(of_episode, in_axes=(None, 0))(jnp.ones(len(episodes.counts)), index)

    def correct(gradient: Array, score: Array) -> Array:
        product, square = gradient * score, jnp.square(score)
        above, below = jnp.sum(product, axis=0) - product, jnp.sum(square, axis=0) - square
        return jnp.mean(score * above / jnp.where(below > 0, below, 1.0), axis=0)

    return jax.tree.map(correct, gradient, score)


def values(state: State, params: PyTree, observation: PyTree) -> Array:
    """Values ``[T, B]`` of observations ``[T, B, …]``."""
    assert state.value_network is not None
    shape = jax.tree.leaves(observation)[0].shape[:2]
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), observation)
    return networks.apply(state.value_network, params, flat).reshape(shape)


def fit(state: State, episodes: Episodes) -> tuple[PyTree, PyTree, Array]:
    """The value's parameters after some steps of regression, its optimiser's state, and the first loss.

    Towards returns (Monte Carlo), or towards ``r + γ V(s')`` of the parameters before: fitted value
    iteration, of which the proximal term keeps the new parameters near.

    Source: deck 3, "Estimate V".
    """
    config = state.config
    if config.baseline not in ("value", "td_value"):
        return state.value_params, state.value_optimiser_state, jnp.float32(0.0)
    transition, counts = episodes.transition, episodes.counts
    target = episodes.to_go
    if config.baseline == "td_value":
        after = values(state, state.value_params, transition.next_observation)
        target = transition.reward + config.discount * (1.0 - transition.terminated) * after

    def loss(params: PyTree) -> Array:
        error = target - values(state, params, transition.observation)
        moved = jax.tree.map(jnp.subtract, params, state.value_params)
        near = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(moved))
        return mean_of(jnp.square(error), counts) + config.proximity * near

    def step(carry: tuple[PyTree, PyTree], _: None) -> tuple[tuple[PyTree, PyTree], Array]:
        params, optimiser_state = carry
        value, gradients = jax.value_and_grad(loss)(params)
        optimiser = optax.adam(config.value_learning_rate)
        params, optimiser_state, norm = descend(optimiser, optimiser_state, params, gradients)
        del norm
        return (params, optimiser_state), value

    start = (state.value_params, state.value_optimiser_state)
    (params, optimiser_state), errors = jax.lax.scan(step, start, None, config.value_steps)
    return params, optimiser_state, errors[0]


def optimiser(config: Config, step: Array) -> optax.GradientTransformation:
    """The optimiser that a Config names, ``step`` updates into a run."""
    rate = losses.scheduled(step, config.learning_rate, config.learning_rate_end, config.learning_rate_steps)
    return make_optimiser(config.optimiser, rate, config.optimiser_epsilon, config.optimiser_decay)
