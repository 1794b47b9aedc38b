"""Deep Q-networks (Mnih et al. 2015, "Human-level control through deep RL") and their family.

What was added to them since are choices in :class:`Config` that go with each other freely: Double, Dueling,
prioritised replay, n-step returns, noisy networks, distributions of returns (categorical, quantiles,
implicit quantiles), Munchausen, dropout, normalisation. Rainbow is many of them at once.
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

from purejaxrl import checks, distributions, learnt_returns, losses, networks, targets, value_networks
from purejaxrl.checks import static
from purejaxrl.memory import PrioritisedReplay, Replay
from purejaxrl.optimisers import OptimiserName, descend, make_optimiser
from purejaxrl.sampling import epsilon_greedy, numbered_keys
from purejaxrl.types import Array, Key, PyTree, Sample, Transition


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static.

    The defaults are CleanRL's for classic control (``docs/rl-algorithms/dqn.md``), with no extension.
    """

    learning_rate: float = 2.5e-4
    """Step size of the optimiser."""
    discount: float = 0.99
    """γ, the weight of the next step's value, in [0, 1]."""
    epsilon_start: float = 1.0
    """Probability of a random action at the first environment step."""
    epsilon_end: float = 0.05
    """Probability of a random action once it has decayed."""
    epsilon_steps: float = 250_000
    """Environment steps over which it decays, linearly."""
    temperature_start: float = 1.0
    """Of Boltzmann exploration at the first environment step: values of this size make a difference."""
    temperature_end: float = 0.1
    """Of Boltzmann exploration once it has decayed."""
    temperature_steps: float = 250_000
    """Environment steps over which it decays, linearly."""
    tau: float = 1.0
    """How far the target network moves to the online one at a target update; 1 copies it."""
    target_period: float = 50
    """Updates from one target update to the next."""
    max_gradient_value: float | None = None
    """Bound on the magnitude of each element of the gradient; None leaves them."""
    max_gradient_norm: float | None = None
    """Bound on the global norm of the gradient; None leaves it."""
    optimiser_epsilon: float = 1e-8
    """What the optimiser adds to the root of the mean of squares."""
    optimiser_decay: float = 0.95
    """Decay of RMSProp's running means; the others ignore it."""
    optimiser_momentum: float = 0.0
    """Momentum of RMSProp's steps; the others ignore it."""
    priority_exponent: float = 0.6
    """α of prioritised replay: 0 samples uniformly, 1 in proportion to the error."""
    priority_offset: float = 1e-6
    """What is added to an error, so that none is never seen again."""
    importance_start: float = 0.4
    """β of prioritised replay at the first update: how far its bias is corrected."""
    importance_end: float = 1.0
    """β once it has grown."""
    importance_steps: float = 100_000
    """Updates over which it grows, linearly."""
    value_low: float = -10.0
    """The lowest return of a categorical distribution."""
    value_high: float = 10.0
    """The highest return of a categorical distribution."""
    quantile_threshold: float = 1.0
    """κ of the quantiles' loss: errors up to this are penalised by their square; 0 for none."""
    munchausen_scale: float = 0.9
    """α of Munchausen: how much of the action's log-probability is added to its reward."""
    munchausen_temperature: float = 0.03
    """τ of Munchausen, of the policy that is a softmax of the target network's values."""
    munchausen_floor: float = -1.0
    """The lowest that τ times a log-probability counts."""
    dropout_rate: float = 0.1
    """Probability with which a feature is dropped, where dropout is chosen."""
    dropout_steps: float | None = None
    """Environment steps over which the rate falls to 0, linearly, for acting; None keeps it."""
    loss: Literal["squared", "huber"] = static("squared")
    """Penalty on the TD error where no distribution is learnt; huber is linear past an error of 1."""
    double: bool = static(False)
    """Whether the online network chooses the action that the target network values. Munchausen chooses
    none, and so is the same with it."""
    dueling: bool = static(False)
    """Whether value and advantages have streams of their own, with at least a hidden layer each."""
    stream_sizes: tuple[int, ...] = static(())
    """Hidden layers between the torso and each head; of dueling streams () is one of 64 units."""
    n_step: int = static(1)
    """Rewards that are added up before the successor's value stands for the rest."""
    prioritised: bool = static(False)
    """Whether transitions are replayed in proportion to their errors."""
    noisy: bool = static(False)
    """Whether dense layers learn a noise of their own to explore by; epsilon remains what it is."""
    noise_scale: float = static(0.5)
    """σ₀, the scale that this noise begins with."""
    distribution: learnt_returns.DistributionName = static("none")
    """What is learnt of a return: its mean, or its distribution (C51, QR-DQN, IQN)."""
    atoms: int = static(51)
    """Atoms, or quantiles, of a distribution; of implicit quantiles those that actions are chosen by."""
    samples: int = static(64)
    """Implicit quantiles that are learnt in an update, of each transition."""
    target_samples: int = static(64)
    """Implicit quantiles that they are learnt from."""
    embedding: int = static(64)
    """Cosines that the fraction of an implicit quantile is embedded in."""
    munchausen: bool = static(False)
    """Whether rewards have the scaled log-probability of the action added, and values are soft. Of n steps
    the first reward alone has it, the later actions being the replay's and not the policy's."""
    exploration: Literal["epsilon_greedy", "boltzmann"] = static("epsilon_greedy")
    """How actions are drawn from values."""
    dropout: Literal["none", "replay", "acting", "both"] = static("none")
    """Where features are dropped: in updates, when acting (which explores), or in both."""
    normalisation: networks.Normalisation = static("none")
    """Of what layers give to their activations, convolutions too."""
    optimiser: OptimiserName = static("adam")
    """Which optimiser takes the step."""
    architecture: value_networks.Architecture = static("shared")
    """All actions' values from one network; or a network for each (Lin's); or one that is asked of
    observation and action."""
    hidden_sizes: tuple[int, ...] = static((120, 84))
    """Units of the fully connected layers of an MLP; convolutional torsos have those of their papers."""
    torso: networks.TorsoName = static("auto")
    """What reads the observation; auto chooses by its shape."""
    initialiser: networks.InitialiserName = static("pytorch")
    """How weights begin; those of noisy layers begin as their paper has it."""
    batch_size: int = static(128)
    """Transitions in an update."""
    buffer_capacity: int = static(10_000)
    """Transitions that the replay buffer holds."""
    warmup_steps: int = static(10_000)
    """Environment steps before the first update."""
    network: nn.Module | None = static(None)
    """A network of your own: one observation to action values ``[A]``, or to ``[A, atoms]`` where a
    distribution is learnt (and given fractions ``[N]`` too if it is implicit). Where features are
    dropped it is given fractions or None, and the rate. What says how to build one (dueling, noisy and the
    like) is then for it to have, and left alone here. None builds one."""


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place."""

    config: Config
    network: nn.Module = struct.field(pytree_node=False)
    params: PyTree
    target_params: PyTree  # with the statistics, where there are some, that they were copied with
    statistics: PyTree  # running averages of a normalised batch, or ()
    optimiser_state: PyTree
    key: Key  # of noise, dropout and fractions, folded with the update's number; () where there are none
    priority: Array  # [batch_size], of the last update's transitions; () unless replay is prioritised
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
    num_actions = checks.discrete("DQN", action_space)
    check(config)
    network = config.network
    if network is None:
        network = make_network(config, observation_space, num_actions)
    else:
        check_network(config, network, observation_space, num_actions)
    fractions = (jnp.zeros(1),) if config.distribution == "implicit" else ()
    variables = network.init(key, networks.example(observation_space), *fractions)
    params = {name: tree for name, tree in variables.items() if name != "batch_stats"}
    config = checks.as_leaves(config)
    return State(
        config=config,
        network=network,
        params=params,
        target_params=jax.tree.map(jnp.copy, dict(variables)),
        statistics=variables.get("batch_stats", ()),
        optimiser_state=optimiser(config).init(params),
        key=jax.random.fold_in(key, 1) if draws(config) else (),  # type: ignore[arg-type]
        priority=jnp.zeros(config.batch_size) if config.prioritised else (),  # type: ignore[arg-type]
        step=jnp.int32(0),
        info=dict.fromkeys(("loss", "td_error", "action_value", "gradient_norm"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(
        config, 0, jnp.inf, "learning_rate", "epsilon_steps", "temperature_steps", "importance_steps"
    )
    checks.within(config, 0, jnp.inf, "dropout_steps", "quantile_threshold")
    checks.within(config, 0, jnp.inf, "optimiser_epsilon", exclusive=True)
    checks.within(config, 0, jnp.inf, "temperature_start", "temperature_end", exclusive=True)
    checks.within(config, 0, jnp.inf, "munchausen_temperature", "priority_offset", exclusive=True)
    checks.within(config, -jnp.inf, 0, "munchausen_floor")
    checks.within(config, -jnp.inf, jnp.inf, "value_low", "value_high")
    checks.finite(config, "learning_rate", "value_low", "value_high", "priority_offset", "quantile_threshold")
    checks.finite(config, "temperature_start", "temperature_end", "munchausen_temperature", "noise_scale")
    checks.within(config, 0, 1, "discount", "epsilon_start", "epsilon_end", "tau", "munchausen_scale")
    checks.within(config, 0, 1, "importance_start", "importance_end", "priority_exponent", "optimiser_decay")
    checks.within(config, 0, 1, "optimiser_momentum")
    checks.within(config, 0, 1 - 1e-6, "dropout_rate")
    checks.within(config, 1, jnp.inf, "target_period")
    checks.whole_leaf(config, "target_period", "updates")
    checks.in_order(config, "value_low", "value_high", exclusive=True)
    checks.within(config, 0, jnp.inf, "max_gradient_value", "max_gradient_norm", exclusive=True)
    checks.one_of(config, "loss", ("squared", "huber"))
    checks.one_of(config, "distribution", get_args(learnt_returns.DistributionName))
    checks.one_of(config, "exploration", ("epsilon_greedy", "boltzmann"))
    checks.one_of(config, "dropout", ("none", "replay", "acting", "both"))
    checks.one_of(config, "normalisation", ("none", "layer", "batch"))
    checks.one_of(config, "architecture", ("shared", "separate", "state_action"))
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.one_of(config, "optimiser", get_args(OptimiserName))
    checks.whole(config, 1, "batch_size", "buffer_capacity", "hidden_sizes", "stream_sizes", "n_step")
    checks.whole(config, 1, "samples", "target_samples", "embedding")
    checks.whole(config, 2 if config.distribution == "categorical" else 1, "atoms")
    checks.whole(config, 0, "warmup_steps")
    checks.one_number(config, "noise_scale")
    checks.within(config, 0, jnp.inf, "noise_scale")
    checks.flags(config)
    checks.beside(config, "network", "dueling", "stream_sizes", "noisy", "noise_scale", "embedding")
    checks.beside(config, "network", "normalisation", "architecture", "hidden_sizes", "torso", "initialiser")


def check_network(
    config: Config, network: nn.Module, observation_space: gymnasium.Space[Any], num_actions: int
) -> None:
    """Raises InvalidInput where a network of one's own does not give what a Config says is learnt."""
    inputs: dict[str, Any] = {"observation": networks.example(observation_space)}
    called, shape = "action values", (num_actions,)
    if config.distribution == "implicit":
        number = num_actions + 1  # so that neither axis can pass for the other
        inputs["fractions"] = jnp.zeros(number)
        called, shape = "quantiles [actions, fractions] =", (num_actions, number)
    elif config.distribution != "none":
        called, shape = "[actions, atoms] =", (num_actions, config.atoms)
    outputs = {called: jax.ShapeDtypeStruct(shape, jnp.float32)}
    value_networks.check_network(network, inputs, outputs, ("params", "batch_stats"))
    if config.dropout != "none":
        inputs = {"fractions": None, **inputs, "dropout rate": jnp.float32(0.5)}
        inputs = {name: inputs[name] for name in ("observation", "fractions", "dropout rate")}
        value_networks.check_network(network, inputs, outputs, ("params", "batch_stats"))


def make_network(config: Config, observation_space: gymnasium.Space[Any], num_actions: int) -> nn.Module:
    """The network that a Config describes."""
    initialiser = networks.INITIALISERS[config.initialiser]
    noisy = config.noise_scale if config.noisy else None
    torso = networks.make_torso(
        config.torso,
        observation_space,
        config.hidden_sizes,
        initialiser=config.initialiser,
        normalisation=config.normalisation,
        noisy=noisy,
    )
    return value_networks.of_architecture(
        config.architecture,
        torso,
        num_actions,
        observation_space,
        kernel_init=initialiser,
        atoms=config.atoms if config.distribution in ("categorical", "quantile") else None,
        dueling=config.dueling,
        stream_sizes=config.stream_sizes or (value_networks.STREAM_SIZES if config.dueling else ()),
        normalisation=config.normalisation,
        noisy=noisy,
        embedding=config.embedding if config.distribution == "implicit" else None,
    )


def draws(config: Config) -> bool:
    """Whether an update draws random numbers."""
    return config.noisy or config.distribution == "implicit" or config.dropout in ("replay", "both")


def memory(config: Config) -> Replay | PrioritisedReplay:
    """The replay buffer that feeds :func:`update`."""
    kind = PrioritisedReplay if config.prioritised else Replay
    return kind(config.buffer_capacity, config.batch_size, config.warmup_steps, config.n_step)


def act(
    state: State, observation: PyTree, key: Key, step: Array | int, carry: tuple[()] = ()
) -> tuple[Array, tuple[()], tuple[()]]:
    """Exploring actions ``[B]`` for observations ``[B, …]``, ``step`` environment steps into a run.

    A noisy network has fresh noise at every call and for every observation.
    """
    config, now = state.config, jnp.float32(step)
    if config.noisy or config.dropout in ("acting", "both"):
        key, noise_key, dropout_key = jax.random.split(key, 3)
        rngs = {}
        if config.noisy:
            rngs["noise"] = jax.random.split(noise_key, len(jax.tree.leaves(observation)[0]))
        rate = None
        if config.dropout in ("acting", "both"):
            rngs["dropout"] = jax.random.split(dropout_key, len(jax.tree.leaves(observation)[0]))
            rate = config.dropout_rate
            if config.dropout_steps is not None:
                rate = losses.linear_schedule(now, config.dropout_rate, 0.0, config.dropout_steps)
        value = learnt_returns.means(config, forward(state, state.params, observation, rngs, rate)[0])
    else:
        value = action_values(state, state.params, observation)
    if config.exploration == "boltzmann":
        temperature = losses.linear_schedule(
            now, config.temperature_start, config.temperature_end, config.temperature_steps
        )
        return jax.random.categorical(key, value / temperature), (), carry
    epsilon = losses.linear_schedule(now, config.epsilon_start, config.epsilon_end, config.epsilon_steps)
    return epsilon_greedy(key, value, epsilon), (), carry


def greedy(state: State, observation: PyTree, carry: tuple[()] = ()) -> tuple[Array, tuple[()]]:
    """The actions ``[B]`` of highest value for observations ``[B, …]``, without noise or dropout."""
    return jnp.argmax(action_values(state, state.params, observation), axis=-1), carry


def action_values(state: State, params: PyTree, observation: PyTree) -> Array:
    """Action values ``[B, A]`` of observations ``[B, …]`` under ``params``, without noise or dropout."""
    return learnt_returns.means(state.config, forward(state, params, observation)[0])


def forward(
    state: State,
    params: PyTree,
    observation: PyTree,
    rngs: dict[str, Key] | None = None,
    dropout_rate: Array | float | None = None,
    tau: Array | None = None,
    learning: bool = False,
) -> tuple[Array, PyTree]:
    """What the network says of observations ``[B, …]``, and the statistics of what it normalised.

    Args:
        state: whose network and statistics.
        params: the online network's, or the target's, which have their own statistics.
        observation: ``[B, …]``.
        rngs: random numbers by name, a key for all observations or ``[B]``.
        dropout_rate: of the features, if any are to be dropped.
        tau: ``[B, N]``, fractions of implicit quantiles; None takes the midpoints of ``atoms`` parts.
        learning: whether a batch is normalised by its own statistics, which are then counted in.

    Returns:
        ``[B, A]``, or ``[B, A, N]`` numbers that describe a distribution; and the new statistics.
    """
    config, network, rngs = state.config, state.network, rngs or {}
    size = len(jax.tree.leaves(observation)[0])
    extra: tuple[Any, ...] = ()
    if config.distribution == "implicit":
        extra = (jnp.tile(distributions.midpoints(config.atoms), (size, 1)) if tau is None else tau,)
    elif dropout_rate is not None:
        extra = (None,)
    axes: list[Any] = [0 if item is not None else None for item in extra]
    if dropout_rate is not None:
        extra, axes = (*extra, dropout_rate), [*axes, None]
    variables = params
    if state.statistics != () and "batch_stats" not in params:
        variables = {**params, "batch_stats": state.statistics}
    mutable = ["batch_stats"] if learning and state.statistics != () else False

    def one(rngs: dict[str, Key], observation: PyTree, *extra: Any) -> tuple[Array, PyTree]:
        output = network.apply(variables, observation, *extra, rngs=rngs, mutable=mutable)
        if not mutable:
            return output, ()  # type: ignore[return-value]
        return output[0], output[1]["batch_stats"]

    each = {name: 0 if key.ndim else None for name, key in rngs.items()}
    return jax.vmap(one, in_axes=(each, 0, *axes), out_axes=(0, None), axis_name="batch")(
        rngs, observation, *extra
    )


@jax.jit
def update(state: State, batch: Transition | Sample) -> State:
    """One step of the optimiser on a batch ``[B]``, and the target network's share of it.

    Without extensions the loss is the batch's mean of ½δ² or Huber(δ), with
    ``δ = r + γ(1 − terminated) max_a Q(s', a; θ⁻) − Q(s, a; θ)``: truncation bootstraps.

    Args:
        state: a learner.
        batch: of transitions ``[B]``. Rewards and flags may be ``[B, n]``, of the n steps that begin with
            ``observation`` and ``action``: they count up to the first that ended the episode, and
            ``next_observation`` is what followed that one, or the last. A :class:`Sample` has the
            chances by which it was drawn, too, and is weighted by them.

    Source: Mnih et al. (2015), algorithm 1; the extensions' are at the functions that they call.
    """
    config = state.config
    transition = batch.transition if isinstance(batch, Sample) else batch
    probability = batch.probability if isinstance(batch, Sample) else None
    draw = draw_for_update(state, len(transition.action))
    values, weights = target_particles(state, transition, draw)

    def loss(params: PyTree) -> tuple[Array, tuple[Array, PyTree, dict[str, Array]]]:
        rngs = draw.noise(3) | draw.dropout
        rate = config.dropout_rate if draw.dropout else None
        output, statistics = forward(
            state, params, transition.observation, rngs, rate, draw.tau, learning=True
        )
        action_value = jax.vmap(losses.pick)(learnt_returns.means(config, output), transition.action)
        td_error = jnp.sum(weights * values, axis=1) - action_value
        if config.distribution == "none":
            penalty = optax.huber_loss(td_error) if config.loss == "huber" else optax.l2_loss(td_error)
            priority = jnp.abs(td_error)
        else:
            penalty, priority = jax.vmap(learnt_returns.disagreement, in_axes=(None, 0, 0, 0, 0, 0))(
                config, output, transition.action, draw.tau, values, weights
            )
        if probability is not None:
            exponent = losses.linear_schedule(
                state.step, config.importance_start, config.importance_end, config.importance_steps
            )
            penalty *= losses.importance_weights(probability, exponent)
        info = {"td_error": jnp.mean(jnp.abs(td_error)), "action_value": jnp.mean(action_value)}
        return jnp.mean(penalty), (priority, statistics, info)

    (value, (priority, statistics, info)), gradients = jax.value_and_grad(loss, has_aux=True)(state.params)
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
    online = params if statistics == () else {**params, "batch_stats": statistics}
    return dataclasses.replace(
        state,
        params=params,
        target_params=optax.incremental_update(online, state.target_params, tau),
        statistics=statistics,
        optimiser_state=optimiser_state,
        priority=(priority + config.priority_offset) ** config.priority_exponent
        if config.prioritised
        else state.priority,
        step=step,
        info=info | {"loss": value, "gradient_norm": norm},
    )


def target_particles(state: State, transition: Transition, draw: Draw) -> tuple[Array, Array]:
    """What the returns of transitions ``[B]`` are moved towards: particles and their weights ``[B, M]``.

    The rewards of ``n_step`` steps, Munchausen's bonus with the first of them, and what the target network
    says of the successor. A mean is one particle, or one for each action where values are soft.
    """
    config = state.config
    rewards, terminated, truncated = steps(transition)
    reward, discount = jax.vmap(targets.n_step_reward, in_axes=(0, 0, 0, None))(
        rewards, terminated, truncated, config.discount
    )
    if config.munchausen:
        before, _ = forward(state, state.target_params, transition.observation, draw.noise(0))
        reward += jax.vmap(targets.munchausen_bonus, in_axes=(0, 0, None, None, None))(
            learnt_returns.means(config, before),
            transition.action,
            config.munchausen_scale,
            config.munchausen_temperature,
            config.munchausen_floor,
        )
    fractions = draw.target_tau
    # Munchausen's policy is the target network's, in the successor as in the bonus: none is chosen there.
    double = config.double and not config.munchausen
    if fractions is not None and not double:
        middle = jnp.tile(distributions.midpoints(config.atoms), (len(fractions), 1))
        fractions = jnp.concatenate([fractions, middle], axis=1)
    after, _ = forward(state, state.target_params, transition.next_observation, draw.noise(1), tau=fractions)
    chooser = after
    if double:
        chooser, _ = forward(state, state.params, transition.next_observation, draw.noise(2))
    elif fractions is not None:
        # By other fractions than those that are valued: the same would choose what they overestimate.
        after, chooser = jnp.split(after, [config.target_samples], axis=-1)
    selector = learnt_returns.means(config, chooser)
    values, weights = jax.vmap(learnt_returns.successor, in_axes=(None, 0, 0))(config, after, selector)
    return jax.lax.stop_gradient(reward[:, None] + discount[:, None] * values), weights


def steps(transition: Transition) -> list[Array]:
    """Rewards and flags ``[B, n]`` of a batch that has them so, or ``[B]``."""
    given = (transition.reward, transition.terminated, transition.truncated)
    return [jnp.reshape(jnp.asarray(each), (len(each), -1)) for each in given]


@dataclasses.dataclass(frozen=True)
class Draw:
    """The random numbers of one update."""

    noises: Key | None  # [4]: the target network's twice, the online one's as it selects and as it learns
    dropout: dict[str, Key]
    tau: Array | None  # [B, N], the fractions that are learnt
    target_tau: Array | None  # [B, N'], those of the target

    def noise(self, which: int) -> dict[str, Key]:
        return {} if self.noises is None else {"noise": self.noises[which]}


def draw_for_update(state: State, size: int) -> Draw:
    """Fresh noise, dropped features and fractions for an update of ``size`` transitions."""
    config = state.config
    if not draws(config):
        return Draw(None, {}, None, None)
    noise_key, dropout_key, tau_key, target_key = numbered_keys(state.key, 4 * state.step, 4)
    implicit = config.distribution == "implicit"
    replaying = config.dropout in ("replay", "both")
    return Draw(
        noises=jax.random.split(noise_key, 4) if config.noisy else None,
        dropout={"dropout": jax.random.split(dropout_key, size)} if replaying else {},
        tau=jax.random.uniform(tau_key, (size, config.samples)) if implicit else None,
        target_tau=jax.random.uniform(target_key, (size, config.target_samples)) if implicit else None,
    )


def optimiser(config: Config) -> optax.GradientTransformation:
    """The optimiser that a Config names."""
    return make_optimiser(
        config.optimiser,
        config.learning_rate,
        config.optimiser_epsilon,
        config.optimiser_decay,
        config.optimiser_momentum,
    )
