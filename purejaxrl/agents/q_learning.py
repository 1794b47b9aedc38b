"""Temporal-difference control without replay: Q-learning, SARSA, Expected SARSA, Double Q-learning.

What the values are moved towards, over how many steps, and what they are made of (a table, linear
features, a network) are choices in :class:`Config`. On a table, with one environment and one step between
updates, each is the algorithm of the textbook (Sutton & Barto 2018, chapters 6 and 7).
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
from purejaxrl.memory import Window
from purejaxrl.optimisers import OptimiserName, descend, make_optimiser
from purejaxrl.types import Array, InvalidInput, Key, PyTree, Transition


@struct.dataclass
class Config:
    """Hyperparameters. Numbers are leaves, to be swept under vmap; what fixes a shape is static.

    The defaults are those of the cliff in Sutton & Barto (2018), example 6.6.
    """

    learning_rate: float = 0.5
    """α, the step size; with binary features divide it by how many of them are 1."""
    discount: float = 1.0
    """γ, the weight of the next step's value, in [0, 1]."""
    epsilon_start: float = 0.1
    """Probability of a random action at the first environment step."""
    epsilon_end: float = 0.1
    """Probability of a random action once it has moved."""
    epsilon_steps: float = 1
    """Environment steps over which it moves, linearly."""
    temperature_start: float = 1.0
    """Of Boltzmann exploration at the first environment step: values of this size make a difference."""
    temperature_end: float = 1.0
    """Of Boltzmann exploration once it has moved."""
    temperature_steps: float = 1
    """Environment steps over which it moves, linearly."""
    target_exploration: float | None = None
    """Epsilon, or temperature, of the policy that Expected SARSA and Retrace evaluate (and SARSA where an
    episode was cut off); None takes that by which the actions were drawn."""
    trace_decay: float = 0.9
    """λ, the weight of a rollout's later steps in λ-returns and Retrace, in [0, 1]."""
    max_gradient_norm: float | None = None
    """Bound on the global norm of the gradient; None leaves it."""
    optimiser_epsilon: float = 1e-8
    """What the optimiser adds to the root of the mean of squares; plain gradient descent has none."""
    optimiser_decay: float = 0.99
    """Decay of RMSProp's running means; the others ignore it."""
    target: Literal["q_learning", "sarsa", "expected_sarsa", "double"] = static("q_learning")
    """How a successor is valued: by its best action, the one taken there, what the policy expects, or the
    one that a second set of values likes best."""
    returns: Literal["n_step", "lambda", "retrace"] = static("n_step")
    """How far rewards are added up before that value stands for the rest; the last two reach over the steps
    of a rollout, which then has two at least."""
    n_step: int = static(1)
    """Rewards that n-step returns add up."""
    exploration: Literal["epsilon_greedy", "boltzmann"] = static("epsilon_greedy")
    """How actions are drawn from values; those that are equally good are equally likely."""
    loss: Literal["squared", "huber"] = static("squared")
    """Penalty on the TD error; huber is linear past an error of 1."""
    approximator: Literal["table", "one_hot", "tile_coding", "polynomial", "network"] = static("table")
    """What the values are made of: a table, a linear function of features, or a network."""
    initial_value: float = static(0.0)
    """Of a table; above what can be earned it makes a greedy policy explore."""
    tilings: int = static(8)
    """Grids of a tile coding."""
    tiles: int = static(8)
    """Tiles of each grid along each number observed."""
    order: int = static(3)
    """The highest power of a polynomial."""
    architecture: value_networks.Architecture = static("shared")
    """All actions' values from one network; or a network for each (Lin's); or one that is asked of
    observation and action."""
    hidden_sizes: tuple[int, ...] = static((64, 64))
    """Units of the fully connected layers of an MLP; convolutional torsos have those of their papers."""
    activation: networks.ActivationName = static("relu")
    """Nonlinearity of an MLP; convolutional torsos have ReLU."""
    torso: networks.TorsoName = static("auto")
    """What reads the observation of a network; auto chooses by its shape."""
    initialiser: networks.InitialiserName = static("pytorch")
    """How a network's weights begin."""
    optimiser: OptimiserName = static("sgd")
    """Which optimiser takes the step; plain gradient descent is the textbook's rule."""
    network: nn.Module | None = static(None)
    """A network of your own: one observation to action values; None builds one."""


@struct.dataclass
class State:
    """All that an update needs: nothing else is read, nothing is changed in place.

    For Double Q-learning ``params`` and ``optimiser_state`` have a leading axis of two.
    """

    config: Config
    network: nn.Module = struct.field(pytree_node=False)
    params: PyTree
    optimiser_state: PyTree
    key: Key  # says which of two sets of values is learnt, folded with the update's number; () of one
    step: Array  # updates made
    info: dict[str, Array]  # figures of the last update


@struct.dataclass
class Acted:
    """How an action was drawn."""

    exploration: Array  # epsilon, or the temperature
    probability: Array  # of the action, by the policy that drew it


def init(
    key: Key, config: Config, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]
) -> State:
    """A fresh learner.

    Raises:
        InvalidInput: the actions are not Discrete, the approximator cannot read the observations, a
            hyperparameter is out of its range, or the network does not suit.
    """
    num_actions = checks.discrete("Q-learning", action_space)
    check(config)
    observation, network = networks.example(observation_space), config.network
    if network is None:
        network = make_network(config, observation_space, num_actions)
    else:
        values = jnp.zeros(num_actions)
        value_networks.check_network(network, {"observation": observation}, {"action values": values})
    config = checks.as_leaves(config)
    if config.target == "double":
        # One after the other: see FIELD_NOTES on initialisers under vmap.
        *keys, key = jax.random.split(key, 3)
        params = jax.lax.map(lambda key: network.init(key, observation), jnp.stack(keys))
        optimiser_state = jax.vmap(optimiser(config).init)(params)
    else:
        params = network.init(key, observation)
        optimiser_state = optimiser(config).init(params)
    return State(
        config=config,
        network=network,
        params=params,
        optimiser_state=optimiser_state,
        key=key if config.target == "double" else (),  # type: ignore[arg-type]
        step=jnp.int32(0),
        info=dict.fromkeys(("loss", "td_error", "action_value", "gradient_norm"), jnp.float32(0.0)),
    )


def check(config: Config) -> None:
    """Raises InvalidInput where a hyperparameter is out of its range."""
    checks.within(config, 0, jnp.inf, "learning_rate", "epsilon_steps", "temperature_steps")
    checks.within(config, 0, 1, "discount", "epsilon_start", "epsilon_end", "trace_decay", "optimiser_decay")
    checks.within(config, 0, jnp.inf, "optimiser_epsilon", exclusive=True)
    checks.within(config, 0, jnp.inf, "temperature_start", "temperature_end", exclusive=True)
    if config.exploration == "boltzmann":
        checks.within(config, 0, jnp.inf, "target_exploration", exclusive=True)
    else:
        checks.within(config, 0, 1, "target_exploration")
    checks.within(config, -jnp.inf, jnp.inf, "initial_value")
    checks.finite(config, "learning_rate", "temperature_start", "temperature_end", "target_exploration")
    checks.one_number(config, "initial_value")
    checks.finite(config, "initial_value")
    checks.within(config, 0, jnp.inf, "max_gradient_norm", exclusive=True)
    checks.one_of(config, "target", ("q_learning", "sarsa", "expected_sarsa", "double"))
    checks.one_of(config, "returns", ("n_step", "lambda", "retrace"))
    checks.one_of(config, "exploration", ("epsilon_greedy", "boltzmann"))
    checks.one_of(config, "loss", ("squared", "huber"))
    checks.one_of(config, "approximator", ("table", "one_hot", "tile_coding", "polynomial", "network"))
    checks.one_of(config, "architecture", ("shared", "separate", "state_action"))
    checks.one_of(config, "initialiser", networks.INITIALISERS)
    checks.one_of(config, "activation", networks.ACTIVATIONS)
    checks.one_of(config, "optimiser", get_args(OptimiserName))
    checks.whole(config, 1, "n_step", "tilings", "tiles", "hidden_sizes")
    checks.whole(config, 0, "order")
    checks.beside(config, "network", "approximator", "initial_value", "tilings", "tiles", "order")
    checks.beside(config, "network", "architecture", "hidden_sizes", "activation", "torso", "initialiser")
    if config.returns != "n_step" and config.n_step != 1:
        raise InvalidInput(
            f"n_step={config.n_step} is of returns='n_step'; returns={config.returns!r} reach to the end of"
            " the rollout, and take n_step=1"
        )
    if config.target in ("q_learning", "double") and config.target_exploration is not None:
        raise InvalidInput(
            f"target_exploration={config.target_exploration!r} is of the policy that target='sarsa' and"
            f" 'expected_sarsa' evaluate, and target={config.target!r} evaluates the greedy one"
        )
    if config.returns == "retrace" and config.target != "expected_sarsa":
        raise InvalidInput(
            "returns='retrace' evaluates a policy, and so takes target='expected_sarsa' (with"
            f" target_exploration=0 for the greedy one), not {config.target!r}"
        )


def make_network(config: Config, observation_space: gymnasium.Space[Any], num_actions: int) -> nn.Module:
    """What the values are made of, as a Config describes it.

    Raises:
        InvalidInput: it cannot read such observations.
    """
    if config.approximator == "table":
        if not isinstance(observation_space, gymnasium.spaces.Discrete):
            raise InvalidInput(
                f"a table needs Discrete observations, not {observation_space}; approximator may also be"
                " tile_coding, polynomial or network"
            )
        size, start = int(observation_space.n), int(observation_space.start)
        return value_networks.Table(size, num_actions, start, config.initial_value)
    if config.approximator != "network":
        torso = value_networks.linear_torso(
            config.approximator, observation_space, config.tilings, config.tiles, config.order
        )
        return value_networks.linear(torso, num_actions)
    torso = networks.make_torso(
        config.torso, observation_space, config.hidden_sizes, config.activation, config.initialiser
    )
    return value_networks.of_architecture(
        config.architecture,
        torso,
        num_actions,
        observation_space,
        kernel_init=networks.INITIALISERS[config.initialiser],
    )


def memory(config: Config) -> Window:
    """The last rollout, after as many steps before it as a return reaches over."""
    checks.whole(config, 1, "n_step")
    return Window(later_steps(config), shortest=1 if config.returns == "n_step" else 2)


def later_steps(config: Config) -> int:
    """Steps after the ones that are learnt, at the end of what :func:`update` is given."""
    return (config.n_step - 1 if config.returns == "n_step" else 0) + (config.target == "sarsa")


def act(
    state: State, observation: PyTree, key: Key, step: Array | int, carry: tuple[()] = ()
) -> tuple[Array, Acted, tuple[()]]:
    """Exploring actions ``[B]`` for observations ``[B, …]``, ``step`` environment steps into a run."""
    config, now = state.config, jnp.float32(step)
    if config.exploration == "boltzmann":
        schedule = (config.temperature_start, config.temperature_end, config.temperature_steps)
    else:
        schedule = (config.epsilon_start, config.epsilon_end, config.epsilon_steps)
    exploration = losses.linear_schedule(now, *schedule)
    values = action_values(state, state.params, observation)
    probabilities = jax.vmap(policy, in_axes=(None, 0, None))(config, values, exploration)
    action = jax.random.categorical(key, jnp.log(probabilities))
    taken = jax.vmap(losses.pick)(probabilities, action)
    return action, Acted(jnp.broadcast_to(exploration, action.shape), taken), carry


def greedy(state: State, observation: PyTree, carry: tuple[()] = ()) -> tuple[Array, tuple[()]]:
    """The actions ``[B]`` of highest value for observations ``[B, …]``."""
    return jnp.argmax(action_values(state, state.params, observation), axis=-1), carry


def policy(config: Config, values: Array, exploration: Array | float) -> Array:
    """Probabilities ``[A]`` of the actions by their values."""
    draw = targets.softmax_policy if config.exploration == "boltzmann" else targets.epsilon_greedy_policy
    return draw(values, exploration)


def action_values(state: State, params: PyTree, observation: PyTree) -> Array:
    """Action values ``[B, A]`` of observations ``[B, …]``; of two sets of values the mean."""
    if state.config.target == "double":
        return jnp.mean(jax.vmap(lambda one: networks.apply(state.network, one, observation))(params), axis=0)
    return networks.apply(state.network, params, observation)


@jax.jit
def update(state: State, rollout: Transition) -> State:
    """One step of the optimiser on the TD errors of a rollout ``[T + later_steps, B]``.

    Its first T steps are learnt; those after them are what their returns reach over (see
    :func:`later_steps`). The loss is the mean of ½δ² or Huber(δ), δ being target less prediction.
    SARSA takes the action that follows; where an episode was cut off there is none, and the
    policy's expectation stands for it.

    Raises:
        InvalidInput: the rollout has no step to learn, or Retrace is not told how its actions were drawn.
    """
    config = state.config
    learnt = len(rollout.reward) - later_steps(config)
    if learnt < 1:
        raise InvalidInput(
            f"a rollout must have more than {later_steps(config)} steps here, not {len(rollout.reward)}"
        )
    which = None
    params, optimiser_state = both = (state.params, state.optimiser_state)
    if config.target == "double":
        which = jnp.int32(jax.random.bernoulli(jax.random.fold_in(state.key, state.step)))
        params, optimiser_state = jax.tree.map(lambda leaf: leaf[which], both)
    target = returns(state, rollout, which)[:learnt]
    first = jax.tree.map(lambda leaf: leaf[:learnt].reshape(-1, *leaf.shape[2:]), rollout)

    def loss(params: PyTree) -> tuple[Array, dict[str, Array]]:
        q_tm1 = networks.apply(state.network, params, first.observation)
        prediction = jax.vmap(losses.pick)(q_tm1, first.action)
        td_error = target.reshape(-1) - prediction
        penalty = optax.huber_loss(td_error) if config.loss == "huber" else optax.l2_loss(td_error)
        info = {"td_error": jnp.mean(jnp.abs(td_error)), "action_value": jnp.mean(prediction)}
        return jnp.mean(penalty), info

    (value, info), gradients = jax.value_and_grad(loss, has_aux=True)(params)
    params, optimiser_state, norm = descend(
        optimiser(config), optimiser_state, params, gradients, None, config.max_gradient_norm
    )
    if which is not None:
        learnt_one = (params, optimiser_state)
        params, optimiser_state = jax.tree.map(lambda two, one: two.at[which].set(one), both, learnt_one)
    return dataclasses.replace(
        state,
        params=params,
        optimiser_state=optimiser_state,
        step=state.step + 1,
        info=info | {"loss": value, "gradient_norm": norm},
    )


def returns(state: State, rollout: Transition, which: Array | None = None) -> Array:
    """What the values of a rollout's steps are moved towards, ``[R, B]``, R being the steps that have one.

    Args:
        state: a learner.
        rollout: ``[T + later_steps, B]``.
        which: of two sets of values the one that is learnt, and therefore selects.
    """
    config = state.config

    def values(observation: PyTree, params: PyTree = state.params) -> Array:
        return jax.vmap(lambda row: networks.apply(state.network, params, row))(observation)  # [T, B, A]

    if which is not None:
        selecting, other = (jax.tree.map(lambda leaf, i=i: leaf[i], state.params) for i in (which, 1 - which))
        q_t, selector = values(rollout.next_observation, other), values(rollout.next_observation, selecting)
    else:
        q_t = selector = values(rollout.next_observation)
    pi_t = expectation = q_t
    if config.target in ("sarsa", "expected_sarsa"):
        pi_t = each(policy, (None, 0, 0))(config, q_t, evaluated(config, rollout))
        expectation = each(targets.expected_value)(q_t, pi_t)
    if config.target == "sarsa":
        ended = rollout.ended
        following = jnp.roll(rollout.action, -1, axis=0)  # the last step's is not used: it is cut off below
        v_t = jnp.where(ended, expectation, each(targets.action_value)(q_t, following))
    elif config.target == "expected_sarsa":
        v_t = expectation
    elif config.target == "double":
        v_t = each(targets.double_value)(q_t, selector)
    else:
        v_t = each(targets.greedy_value)(q_t)
    number = len(rollout.reward) - (config.target == "sarsa")
    discount_t = config.discount * (1.0 - rollout.terminated)
    continue_t = (1.0 - rollout.terminated) * (1.0 - rollout.truncated)
    reward = jnp.asarray(rollout.reward, jnp.float32)
    r_t, discount_t, continue_t = (leaf[:number] for leaf in (reward, discount_t, continue_t))
    if config.returns == "n_step":
        return jax.vmap(targets.n_step_return, in_axes=(1, 1, 1, 1, None), out_axes=1)(
            r_t, discount_t, continue_t, v_t[:number], config.n_step
        )
    if config.returns == "lambda":
        return jax.vmap(targets.lambda_return, in_axes=(1, 1, 1, 1, None), out_axes=1)(
            r_t, discount_t, continue_t, v_t[:number], config.trace_decay
        )
    if not isinstance(rollout.extras, Acted):
        raise InvalidInput(
            "Retrace weighs actions by how likely they were: give the rollout extras, as act does (Acted)"
        )
    q_tm1 = values(rollout.observation)
    chance = jax.vmap(jax.vmap(losses.pick))(
        each(policy, (None, 0, 0))(config, q_tm1, evaluated(config, rollout)), rollout.action
    )
    ratio = jnp.minimum(1.0, chance / rollout.extras.probability)
    trace_t = config.trace_decay * jnp.roll(ratio, -1, axis=0)  # of the action in the successor
    return jax.vmap(targets.retrace, in_axes=1, out_axes=1)(
        q_tm1, rollout.action, r_t, discount_t, continue_t, q_t, pi_t, trace_t
    )


def evaluated(config: Config, rollout: Transition) -> Array:
    """Epsilon, or temperature, ``[T, B]`` of the policy that a rollout is to evaluate."""
    if config.target_exploration is not None:
        return jnp.broadcast_to(config.target_exploration, rollout.reward.shape)
    if isinstance(rollout.extras, Acted):
        return rollout.extras.exploration
    raise InvalidInput(
        f"target={config.target!r} takes an expectation under a policy: give the rollout extras, as act does"
        " (Acted), or the Config a target_exploration"
    )


def each(function: Any, in_axes: Any = 0) -> Any:
    """A function of one step, of all steps of a rollout ``[T, B]``."""
    return jax.vmap(jax.vmap(function, in_axes), in_axes)


def optimiser(config: Config) -> optax.GradientTransformation:
    """The optimiser that a Config names."""
    return make_optimiser(
        config.optimiser, config.learning_rate, config.optimiser_epsilon, config.optimiser_decay
    )
