"""Proximal policy optimisation with a clipped objective, of networks with a memory or without.

Source: Schulman et al. (2017), "Proximal policy optimization algorithms"; deck 3. What published results
have besides, each a field of Config here, is listed by Andrychowicz et al. (2021), "What matters for
on-policy deep actor-critic methods?".
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
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static.

    The defaults are CleanRL's for classic control (``cleanrl/ppo.py``), without its annealing and its
    clipping of values.
    """

    learning_rate: float = 2.5e-4
    """Step size of Adam at the first update."""
    learning_rate_end: float = 0.0
    """Step size that it goes to."""
    learning_rate_steps: float | None = None
    """Calls of update over which it falls, linearly; None keeps it."""
    discount: float = 0.99
    """γ, the weight of the next step's value, in [0, 1]."""
    gae_lambda: float = 0.95
    """λ of the advantage estimate in [0, 1]."""
    clip: float = 0.2
    """ε: ratios of probabilities count between 1 - ε and 1 + ε."""
    clip_end: float = 0.0
    """What ε goes to."""
    clip_steps: float | None = None
    """Calls of update over which it falls, linearly; None keeps it."""
    value_clip: float | None = None
    """How far a value may move from what it was, as far as its loss counts; None for as far as it likes."""
    value_coefficient: float = 0.5
    """Weight of the critic's loss, half the mean squared error."""
    entropy_coefficient: float = 0.01
    """Weight of the entropy bonus."""
    target_kl: float | None = None
    """Once the KL divergence from the policy that acted, as a minibatch tells it before its step, is above
    this, an update makes no further steps; None lets it go on."""
    max_gradient_norm: float | None = 0.5
    """Bound on the global norm of the gradient; None leaves it."""
    optimiser_epsilon: float = 1e-5
    """What Adam adds to the root of the mean of squares."""
    passes: int = static(4)
    """Times that each step of a rollout is learnt: the paper's epochs."""
    minibatches: int = static(4)
    """Parts that a rollout is learnt in, one after another: of its steps, or of its environments where the
    network has a memory."""
    advantage_normalisation: Literal["minibatch", "rollout", "none"] = static("minibatch")
    """Over what advantages are made to have mean 0 and deviation 1."""
    hidden_sizes: tuple[int, ...] = static((64, 64))
    """Units of the fully connected layers of an MLP; convolutional torsos have those of their papers."""
    activation: networks.ActivationName = static("tanh")
    """Nonlinearity of an MLP; convolutional torsos have ReLU."""
    torso: networks.TorsoName = static("auto")
    """What reads the observation; auto chooses by its shape."""
    initialiser: networks.InitialiserName = static("orthogonal")
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


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    network: nn.Module = struct.field(pytree_node=False)
    params: PyTree
    optimiser_state: PyTree
    key: Key  # of the order in which a rollout is learnt, folded with the pass
    step: Array  # updates made
    info: dict[str, Array]  # figures of the last update


FIGURES = (
    "loss",
    "policy_loss",
    "value_loss",
    "entropy",
    "kl",
    "clip_fraction",
    "explained_variance",
    "gradient_norm",
    "steps",
)
"""What ``info`` has: means over the steps of an update; of ``steps`` how many it made."""


def init(
    key: Key, config: Config, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
) -> State:
    """A fresh learner.

    Raises:
        InvalidInput: the policy does not suit the actions, a hyperparameter is out of its range, or the
            network does not suit.
    """
    head = make_head(config.policy, "PPO", action_space)
    check(config)
    params_key, order_key = jax.random.split(key)
    network = actor_critic.make_network(config, observation_space, head)
    params = actor_critic.init(network, params_key, observation_space)
    config = checks.as_leaves(config)
    return State(
        config=config,
        network=network,
        params=params,
        optimiser_state=optimiser(config, jnp.int32(0)).init(params),
        key=order_key,
        step=jnp.int32(0),
        info=dict.fromkeys(FIGURES, jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    weights = ("value_coefficient", "entropy_coefficient", "clip_end")
    checks.within(config, 0, jnp.inf, "learning_rate", "learning_rate_end", *weights)
    checks.finite(config, "learning_rate", "learning_rate_end", *weights, "optimiser_epsilon")
    checks.within(config, 0, 1, "discount", "gae_lambda")
    checks.within(config, 0, jnp.inf, "clip", "value_clip", "target_kl", exclusive=True)
    checks.within(config, 0, jnp.inf, "optimiser_epsilon", "max_gradient_norm", exclusive=True)
    checks.within(config, 0, jnp.inf, "learning_rate_steps", "clip_steps", exclusive=True)
    checks.whole(config, 1, "passes", "minibatches")
    checks.one_of(config, "advantage_normalisation", ("minibatch", "rollout", "none"))
    checks.falls(config, "learning_rate_end", "learning_rate_steps")
    checks.falls(config, "clip_end", "clip_steps")
    checks.flags(config)
    actor_critic.check(config)


memory, initial_carry = actor_critic.memory, actor_critic.initial_carry
act, greedy = actor_critic.act, actor_critic.greedy


@struct.dataclass
class Rows:
    """What is learnt, ``[N, L]``: the steps of a rollout and what the parameters before made of them."""

    step: Transition
    log_probability: Array  # of the actions
    value: Array
    advantage: Array
    target: Array  # of the value: the λ-return


@jax.jit
def update(state: State, rollout: Transition) -> State:
    """``passes`` times ``minibatches`` steps of Adam on a rollout ``[T, B]``.

    Advantages and the probabilities that ratios are taken to are worked out once, with the parameters that
    acted. Advantages bootstrap from the value of each step's true successor: where an episode was cut off by
    a time limit its value counts, where it terminated nothing does. Without a memory minibatches are of
    steps, drawn from all; with one they are of environments, whose memory begins as it was when the rollout
    did.

    Raises:
        InvalidInput: the rollout cannot be divided into so many minibatches, or not with their advantages
            normalised.

    Source: Schulman et al. (2017), algorithm 1, eqs. 7, 9 and 11.
    """
    config = state.config
    rows = prepare(state, rollout)
    what = "environments" if actor_critic.remembers(state.network) else "steps"
    parts = minibatches(state.key, state.step, config.passes, config.minibatches, len(rows.value), what)
    alone = {"minibatch": config.minibatches, "rollout": 1}.get(config.advantage_normalisation)
    if rows.value.size == alone:
        raise InvalidInput(
            f"advantages cannot be normalised over a {config.advantage_normalisation} of one step: have fewer"
            f" minibatches than {config.minibatches}, longer rollouts, or advantage_normalisation='none'"
        )
    transform = optimiser(config, state.step)

    def learn(
        carry: tuple[PyTree, PyTree, Array], index: Array
    ) -> tuple[tuple[PyTree, PyTree, Array], dict[str, Array]]:
        params, optimiser_state, going = carry
        part = jax.tree.map(lambda leaf: leaf[index], rows)
        (value, info), gradients = jax.value_and_grad(objective, has_aux=True)(params, state, part)
        *after, norm = descend(transform, optimiser_state, params, gradients, None, config.max_gradient_norm)
        if config.target_kl is not None:
            going &= info["kl"] <= config.target_kl
            after = jax.tree.map(lambda new, old: jnp.where(going, new, old), after, [*carry[:2]])
        return (*after, going), info | {"loss": value, "gradient_norm": norm, "steps": going}

    carry = (state.params, state.optimiser_state, jnp.bool_(True))
    (params, optimiser_state, _), infos = jax.lax.scan(learn, carry, parts)
    made = infos.pop("steps").astype(jnp.float32)
    # Of the steps that were made, and of the first that was not, which says why.
    looked_at = jnp.concatenate([jnp.ones(1), made[:-1]]) > 0
    info = jax.tree.map(lambda leaf: jnp.mean(leaf, where=looked_at), infos)
    info |= {"explained_variance": explained_variance(rows), "steps": jnp.sum(made)}
    return dataclasses.replace(
        state, params=params, optimiser_state=optimiser_state, step=state.step + 1, info=info
    )


def prepare(state: State, rollout: Transition) -> Rows:
    """The rows of a rollout ``[T, B]``: one for each environment, or for each step without a memory."""
    config, network = state.config, state.network
    rows = actor_critic.trajectories(rollout)
    policy, value, after = actor_critic.read(network, state.params, rows)
    v_t = actor_critic.successor_values(network, state.params, rows, after)
    advantage = actor_critic.advantages(rows, config.discount, config.gae_lambda, value, v_t)
    log_probability = actor_critic.log_probabilities(policy, rows.action)
    target = advantage + value
    if config.advantage_normalisation == "rollout":
        advantage = losses.standardise(advantage)
    prepared = Rows(rows, log_probability, value, advantage, target)
    if actor_critic.remembers(network):
        return prepared
    return jax.tree.map(lambda leaf: leaf[:, None], actor_critic.flat(prepared))


def objective(params: PyTree, state: State, rows: Rows) -> tuple[Array, dict[str, Array]]:
    """What is to be made small on rows ``[N, L]``, and its figures."""
    config = state.config
    policy, value, _ = actor_critic.read(state.network, params, rows.step)
    advantage = rows.advantage
    if config.advantage_normalisation == "minibatch":
        advantage = losses.standardise(advantage)
    difference = actor_critic.log_probabilities(policy, rows.step.action) - rows.log_probability
    clip = losses.scheduled(state.step, config.clip, config.clip_end, config.clip_steps)
    each = jax.vmap(jax.vmap(losses.clipped_surrogate, in_axes=(0, 0, None)), in_axes=(0, 0, None))
    policy_loss = jnp.mean(each(difference, advantage, clip))
    error = jnp.square(rows.target - value)
    if config.value_clip is not None:
        near = rows.value + jnp.clip(value - rows.value, -config.value_clip, config.value_clip)
        error = jnp.maximum(error, jnp.square(rows.target - near))
    value_loss = 0.5 * jnp.mean(error)
    entropy = jnp.mean(actor_critic.entropies(policy))
    ratio = jnp.exp(difference)
    info = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": entropy,
        # Of actions that the old policy drew; no term is below 0, so that the mean varies little.
        "kl": jnp.mean(ratio - 1 - difference),
        "clip_fraction": jnp.mean(jnp.abs(ratio - 1) > clip),
    }
    total = policy_loss + config.value_coefficient * value_loss - config.entropy_coefficient * entropy
    return total, info


def explained_variance(rows: Rows) -> Array:
    """How much of the variance of returns the values before had told: all is 1, what a constant tells 0."""
    variance = jnp.var(rows.target)
    return jnp.where(variance > 0, 1 - jnp.var(rows.target - rows.value) / variance, 0.0)


def optimiser(config: Config, step: Array) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015), ``step`` updates into a run."""
    rate = losses.scheduled(step, config.learning_rate, config.learning_rate_end, config.learning_rate_steps)
    return optax.adam(rate, eps=config.optimiser_epsilon)
