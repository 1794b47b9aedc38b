"""What each of DQN's extensions is for, on problems whose answers are known and which plain DQN fails.

Batches are made by hand, and many updates are one scan: no environment, no loop.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import chex
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl.agents import dqn
from purejaxrl.types import Array, Key, Transition
from purejaxrl.value_networks import Table

pytestmark = pytest.mark.optimised

ONE_STATE = gymnasium.spaces.Discrete(1)
VECTORS = gymnasium.spaces.Box(-1.0, 1.0, (3,), np.float32)


def close(actual: Any, expected: Any, rtol: float = 0.0, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=rtol, atol=atol)


def make(
    config: dict[str, Any], space: gymnasium.Space[Any], actions: int, key: Key | None = None
) -> dqn.State:
    key = jax.random.key(0) if key is None else key
    return dqn.init(key, dqn.Config(**config), space, gymnasium.spaces.Discrete(actions))


def endings(observation: Any, action: Any, reward: Any) -> Transition:
    """Transitions that end the task, so that the return is the reward."""
    observation, action, reward = jnp.asarray(observation), jnp.asarray(action), jnp.asarray(reward)
    ended = jnp.ones(len(action), bool)
    return Transition(observation, action, jnp.float32(reward), ended, ~ended, observation)


@jax.jit
def learn(state: dqn.State, batch: Transition, number: Any) -> dqn.State:
    """So many updates on one batch."""
    return jax.lax.fori_loop(0, number, lambda _, state: dqn.update(state, batch), state)


# --- tables ------------------------------------------------------------------------------------------

S, A, STEPS = 6, 3, 1000


def random_steps() -> Transition:
    """A thousand batches of one transition."""
    random = np.random.default_rng(0)
    return Transition(
        observation=jnp.asarray(random.integers(S, size=(STEPS, 1))),
        action=jnp.asarray(random.integers(A, size=(STEPS, 1))),
        reward=jnp.asarray(random.normal(size=(STEPS, 1)), jnp.float32),
        terminated=jnp.asarray(random.random((STEPS, 1)) < 0.1),
        truncated=jnp.asarray(random.random((STEPS, 1)) < 0.1),
        next_observation=jnp.asarray(random.integers(S, size=(STEPS, 1))),
    )


def tables(alpha: float, gamma: float) -> np.ndarray:
    """``[STEPS, S, A]``, as updates of batches of one leave them."""
    config = {"optimiser": "sgd", "learning_rate": alpha, "discount": gamma, "target_period": 1}
    state = make({**config, "batch_size": 1, "network": Table(S, A)}, gymnasium.spaces.Discrete(S), A)

    def step(state: dqn.State, batch: Transition) -> tuple[dqn.State, Array]:
        state = dqn.update(state, batch)
        return state, state.params["params"]["q"]

    return np.asarray(jax.jit(lambda state: jax.lax.scan(step, state, random_steps())[1])(state))


def test_a_table_under_gradient_descent_is_watkins_rule() -> None:
    """q ← q + α (r + γ max q' − q), to the bit, where XLA compiles both.

    It fuses a product and a sum into one instruction that rounds once, in either.
    """
    alpha, gamma = 0.1, 0.9

    def step(q: Array, batch: Transition) -> tuple[Array, Array]:
        row, action, following = (x[0] for x in (batch.observation, batch.action, batch.next_observation))
        discount = gamma * (1.0 - batch.terminated[0])
        error = batch.reward[0] + discount * jnp.max(q[following]) - q[row, action]
        q = q.at[row, action].add(alpha * error)
        return q, q

    rule = jax.jit(lambda q: jax.lax.scan(step, q, random_steps())[1])(jnp.zeros((S, A)))
    np.testing.assert_array_equal(tables(alpha, gamma), rule)


def test_a_table_is_watkins_rule_in_numpy_where_products_are_exact() -> None:
    """With α = γ = ½ nothing hangs on how products are rounded, and so on no compiler."""
    half, steps = np.float32(0.5), jax.tree.map(np.asarray, random_steps())
    q, expected = np.zeros((S, A), np.float32), []
    for i in range(STEPS):
        row, action, following = (x[i, 0] for x in (steps.observation, steps.action, steps.next_observation))
        target = steps.reward[i, 0] + half * q[following].max() * np.float32(1 - steps.terminated[i, 0])
        q[row, action] += half * (target - q[row, action])
        expected.append(q.copy())
    np.testing.assert_array_equal(tables(0.5, 0.5), np.stack(expected))


# --- Double ------------------------------------------------------------------------------------------


def test_double_overestimates_less() -> None:
    """Sutton & Barto's example 6.7: left of the start are ten actions, each worth −0.1 in noise.

    The best of ten estimates is worth more than that, and so is the way there; not if the network that
    chooses is not the one that values.
    """
    actions, seeds = 10, 8
    observation = jnp.array([0] + [1] * actions)
    action = jnp.array([0, *range(actions)])
    ends = observation == 1

    def batch(noise: Array) -> Transition:
        reward = jnp.where(ends, -0.1 + jnp.concatenate([jnp.zeros(1), noise]), 0.0)
        return Transition(observation, action, reward, ends, ~ends & False, jnp.ones(actions + 1, jnp.int32))

    def estimate(state: dqn.State, key: Key) -> Array:
        def step(state: dqn.State, noise: Array) -> tuple[dqn.State, Array]:
            state = dqn.update(state, batch(noise))
            return state, state.params["params"]["q"][0, 0]

        noises = jax.random.normal(key, (600, actions))
        return jnp.mean(jax.lax.scan(step, state, noises)[1][100:])

    config = {
        "optimiser": "sgd",
        "learning_rate": 0.3 * (actions + 1),  # 0.3 for each transition
        "discount": 1.0,
        "target_period": 20,
        "network": Table(2, actions),
    }

    def estimates(double: bool) -> np.ndarray:
        state = make({**config, "double": double}, gymnasium.spaces.Discrete(2), actions)
        keys = jax.random.split(jax.random.key(1), seeds)
        return np.asarray(jax.jit(jax.vmap(estimate, in_axes=(None, 0)))(state, keys))

    plain, double = estimates(False), estimates(True)
    assert np.all(plain > 0.35), plain
    assert np.all(np.abs(double + 0.1) < 0.2), double
    assert np.mean(double) < 0.05, double


# --- n steps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_step", "moved"), [(1, [0, 0, 0, 1]), (2, [0, 0, 0.5, 0]), (4, [0.125, 0, 0, 0])])
def test_a_reward_reaches_n_steps_back_in_one_update(n_step: int, moved: list[float]) -> None:
    """A chain of four states with a reward of 1 at its end; what is drawn can be followed by all n."""
    config = {
        "optimiser": "sgd",
        "learning_rate": 1.0,
        "discount": 0.5,
        "n_step": n_step,
        "buffer_capacity": 4,
        "batch_size": 5 - n_step,
        "warmup_steps": 0,
        "network": Table(4, 1),
    }
    state = make(config, gymnasium.spaces.Discrete(4), 1)
    memory: Any = dqn.memory(state.config)
    chain = Transition(
        observation=jnp.arange(4)[:, None],
        action=jnp.zeros((4, 1), jnp.int32),
        reward=jnp.array([0.0, 0.0, 0.0, 1.0])[:, None],
        terminated=jnp.array([False, False, False, True])[:, None],
        truncated=jnp.zeros((4, 1), bool),
        next_observation=jnp.array([1, 2, 3, 3])[:, None],
    )
    stored = memory.add(memory.init(jax.tree.map(lambda leaf: leaf[0, 0], chain), 4, 1), chain, 0)
    # Until a batch has every start in it once, so that the loss is the mean over the chain.
    draw = jax.jit(lambda key: memory.sample(stored, key, 1))
    batches = (draw(jax.random.key(seed)) for seed in range(200))
    whole = next(batch for batch in batches if len(np.unique(batch.observation)) == 5 - n_step)
    q = dqn.update(state, whole).params["params"]["q"][:, 0] * (5 - n_step)
    close(q, moved)


# --- prioritised replay ------------------------------------------------------------------------------


def test_prioritised_replay_learns_a_rare_reward_in_fewer_updates() -> None:
    """The blind cliff walk of Schaul et al. (2016), section 3.1: all ways through eight states but one fall.

    Stored are all of them, so that one transition in 510 has a reward.
    """
    length, updates, seeds = 8, 3000, 4
    # Of the 2^8 ways 2^(8−i−1) fall in state i; those that go on are stored as often as they go on.
    observation, action = [], []
    for i in range(length):
        number = 2 ** (length - i - 1)
        observation += [i] * 2 * number
        action += [0] * number + [1] * number
    observation, action = jnp.array(observation), jnp.array(action)
    fell, last = action == 0, (action == 1) & (observation == length - 1)
    assert (len(action), int(jnp.sum(last))) == (510, 1)
    rollout = Transition(
        observation, action, jnp.float32(last), fell | last, jnp.zeros(510, bool), observation + 1
    )
    rollout = jax.tree.map(lambda leaf: leaf[:, None], rollout)
    discount = 1 - 1 / length
    right = discount ** np.arange(length)[::-1]

    def errors(prioritised: bool) -> np.ndarray:
        """How wrong the right actions' values are, as a root of a mean of squares, ``[seed, update]``."""
        config = {
            "optimiser": "sgd",
            "learning_rate": 0.25 * 4,
            "discount": discount,
            "target_period": 1,
            "buffer_capacity": 510,
            "batch_size": 4,
            "warmup_steps": 0,
            "prioritised": prioritised,
            "network": Table(length + 1, 2),
        }
        state = make(config, gymnasium.spaces.Discrete(length + 1), 2)
        memory: Any = dqn.memory(state.config)

        def step(carry: Any, key: Key) -> tuple[Any, Array]:
            state, stored = carry
            batch = memory.sample(stored, key, 1)
            state = dqn.update(state, batch)
            if prioritised:
                batches = jax.tree.map(lambda leaf: leaf[None], batch)
                stored = memory.revise(stored, batches, state.priority[None])
            values = state.params["params"]["q"][:length, 1]
            return (state, stored), jnp.sqrt(jnp.mean((values - right) ** 2))

        @jax.jit
        def run(key: Key) -> Array:
            example = jax.tree.map(lambda leaf: leaf[0, 0], rollout)
            stored = memory.add(memory.init(example, 510, 1), rollout, 0)
            return jax.lax.scan(step, (state, stored), jax.random.split(key, updates))[1]

        return np.stack([run(jax.random.key(seed)) for seed in range(seeds)])

    def first(curve: np.ndarray) -> int:
        return int(np.argmax(curve < 0.1)) if np.any(curve < 0.1) else updates

    prioritised = np.array([first(curve) for curve in errors(True)])
    uniform = np.array([first(curve) for curve in errors(False)])
    assert np.all(prioritised < updates / 4), (prioritised, uniform)
    assert np.median(uniform) > 3 * np.median(prioritised), (prioritised, uniform)


# --- noisy networks ----------------------------------------------------------------------------------

NOISY: dict[str, Any] = {
    "noisy": True,
    "hidden_sizes": (16,),
    "epsilon_start": 0.0,
    "epsilon_end": 0.0,
    "batch_size": 8,
}


def test_noise_is_fresh_for_every_act_environment_and_update() -> None:
    state = make(NOISY, VECTORS, 50)
    same = jnp.broadcast_to(jnp.array([0.3, -0.2, 0.9]), (64, 3))
    act = jax.jit(dqn.act)
    action = np.asarray(act(state, same, jax.random.key(0), 0)[0])
    assert len(np.unique(action)) > 8  # environments that see the same
    np.testing.assert_array_equal(action, act(state, same, jax.random.key(0), 0)[0])
    assert np.mean(action != act(state, same, jax.random.key(1), 0)[0]) > 0.5
    # Evaluation is by the means.
    greedy = np.asarray(dqn.greedy(state, same)[0])
    assert len(np.unique(greedy)) == 1
    batch = endings(same[:8], jnp.zeros(8, jnp.int32), jnp.ones(8))
    losses = [
        float(dqn.update(dataclasses.replace(state, step=jnp.int32(step)), batch).info["loss"])
        for step in (0, 1, 2, 0)
    ]
    assert len(set(losses)) == 3
    assert losses[0] == losses[3]
    other = dataclasses.replace(state, key=jax.random.key(5))
    assert float(dqn.update(other, batch).info["loss"]) not in losses


def test_an_update_draws_nothing_that_another_drew() -> None:
    """Nor for two purposes: noises of the four passes, features dropped of each transition, fractions."""
    config = {**NOISY, "dropout": "replay", "distribution": "implicit", "samples": 3, "target_samples": 2}
    state = make(config, VECTORS, 2)
    draws = [dqn.draw_for_update(dataclasses.replace(state, step=jnp.int32(i)), 8) for i in range(4)]
    keys: Any = [key for draw in draws for key in (draw.noises, draw.dropout["dropout"])]
    words = np.concatenate([np.asarray(jax.random.key_data(each)) for each in keys])
    assert len(np.unique(words, axis=0)) == len(words) == 4 * (4 + 8)
    fractions: Any = [tau for draw in draws for tau in (draw.tau, draw.target_tau)]
    drawn = np.concatenate([np.ravel(each) for each in fractions])
    assert len(np.unique(drawn)) == len(drawn) == 4 * 8 * (3 + 2)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"dueling": True, "stream_sizes": (5, 4)},
        {"distribution": "implicit", "stream_sizes": (5,)},
        {"distribution": "categorical", "dueling": True, "normalisation": "layer"},
        {"architecture": "separate", "stream_sizes": (5,)},
    ],
    ids=lambda given: "-".join(given) or "plain",
)
def test_every_dense_layer_of_a_noisy_network_has_a_noise(given: dict[str, Any]) -> None:
    params = make({**NOISY, **given}, VECTORS, 2).params
    leaves = [path for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    named = {jax.tree_util.keystr(path) for path in leaves}
    kernels = [name for name in named if name.endswith("['kernel']")]
    assert len(kernels) >= 2
    for name in kernels:
        assert name.replace("['kernel']", "['kernel_deviation']") in named


def test_what_follows_is_valued_with_a_noise_of_its_own() -> None:
    """Fortunato et al. (2018), eq. 16: an update of steps that go on has the target network's noise, too."""
    state = make({**NOISY, "discount": 0.9}, VECTORS, 2)
    batch = endings(jnp.ones((8, 3)), jnp.zeros(8, jnp.int32), jnp.ones(8))
    batch = dataclasses.replace(batch, terminated=jnp.zeros(8, bool))

    def loss(scale: float) -> float:
        def scaled(path: Any, leaf: Array) -> Array:
            return leaf * scale if "deviation" in jax.tree_util.keystr(path) else leaf

        target = jax.tree_util.tree_map_with_path(scaled, state.target_params)
        return float(dqn.update(dataclasses.replace(state, target_params=target), batch).info["loss"])

    assert loss(0.0) != loss(1.0)


def test_noise_explores_where_a_greedy_learner_is_stuck() -> None:
    """Two actions worth 0.2 and 1, of which the first looks better at first. Epsilon is 0."""
    observation = jnp.full((8, 3), 0.5)

    def right(noisy: bool) -> tuple[np.ndarray, np.ndarray]:
        """By seed: whether the second action is the greedy one, and the last acts' share of it."""
        config = {**NOISY, "noisy": noisy, "learning_rate": 3e-3, "target_period": 1}

        def run(key: Key) -> tuple[Array, Array]:
            init_key, act_key = jax.random.split(key)
            state = make(config, VECTORS, 2, init_key)
            params = {"params": dict(state.params["params"])}
            values = params["params"]["values"]
            params["params"]["values"] = {
                **values,
                "kernel": 0.1 * values["kernel"],
                "bias": jnp.array([0.1, -0.1]),
            }
            state = dataclasses.replace(state, params=params)

            def step(state: dqn.State, key: Key) -> tuple[dqn.State, Array]:
                action, _, _ = dqn.act(state, observation, key, 0)
                reward = jnp.where(action == 1, 1.0, 0.2)
                return dqn.update(state, endings(observation, action, reward)), jnp.mean(action)

            state, share = jax.lax.scan(step, state, jax.random.split(act_key, 1000))
            return dqn.greedy(state, observation[:1])[0][0], jnp.mean(share[-100:])

        greedy, share = jax.jit(lambda keys: jax.lax.map(run, keys))(jax.random.split(jax.random.key(3), 6))
        return np.asarray(greedy), np.asarray(share)

    stuck, never = right(False)
    assert np.all(stuck == 0)
    assert np.all(never == 0)
    found, share = right(True)
    assert np.all(found == 1)
    assert np.all(share > 0.9), share  # and the noise of what has been learnt has shrunk


# --- distributions of returns ------------------------------------------------------------------------

# −1 in a quarter of all cases and 2 in the others: 1.25 in the mean.
TWO_POINTS = endings(np.zeros(8, np.int32), np.zeros(8, np.int32), [-1.0, -1.0, *[2.0] * 6])
BY_DESCENT: dict[str, Any] = {"batch_size": 8, "hidden_sizes": (32,), "target_period": 1}


def test_categorical_learns_the_weights_of_two_points() -> None:
    config = {"distribution": "categorical", "atoms": 5, "value_low": -2.0, "value_high": 2.0}
    state = learn(make({**BY_DESCENT, **config, "learning_rate": 0.05}, ONE_STATE, 1), TWO_POINTS, 300)
    output, _ = dqn.forward(state, state.params, jnp.zeros(1, jnp.int32))
    close(jax.nn.softmax(output)[0, 0], [0, 0.25, 0, 0, 0.75], atol=0.01)
    close(dqn.action_values(state, state.params, jnp.zeros(1, jnp.int32)), [[1.25]], atol=0.03)


def test_quantiles_learn_two_points() -> None:
    config = {"distribution": "quantile", "atoms": 8, "quantile_threshold": 0.0, "learning_rate": 2e-3}
    state = learn(make({**BY_DESCENT, **config}, ONE_STATE, 1), TWO_POINTS, 2000)
    output, _ = dqn.forward(state, state.params, jnp.zeros(1, jnp.int32))
    close(jnp.sort(output[0, 0]), [-1, -1, *[2] * 6], atol=0.05)
    close(output[0, 0], jnp.sort(output[0, 0]), atol=0.05)  # each where its fraction is
    close(dqn.action_values(state, state.params, jnp.zeros(1, jnp.int32)), [[1.25]], atol=0.05)


def test_implicit_quantiles_learn_the_inverse_of_the_distribution() -> None:
    config = {
        "distribution": "implicit",
        "atoms": 64,
        "samples": 16,
        "target_samples": 1,  # a reward is one number
        "quantile_threshold": 0.0,
        "learning_rate": 2e-3,
    }
    state = learn(make({**BY_DESCENT, **config}, ONE_STATE, 1), TWO_POINTS, 2000)
    tau = jnp.array([[0.05, 0.15, 0.35, 0.5, 0.7, 0.95]])
    output, _ = dqn.forward(state, state.params, jnp.zeros(1, jnp.int32), tau=tau)
    close(output[0, 0], [-1, -1, 2, 2, 2, 2], atol=0.25)
    close(dqn.action_values(state, state.params, jnp.zeros(1, jnp.int32)), [[1.25]], atol=0.15)


def test_a_mean_tells_nothing_of_two_points() -> None:
    state = learn(make({**BY_DESCENT, "learning_rate": 0.05}, ONE_STATE, 1), TWO_POINTS, 300)
    close(dqn.action_values(state, state.params, jnp.zeros(1, jnp.int32)), [[1.25]], atol=0.01)


# --- Munchausen --------------------------------------------------------------------------------------


def test_munchausen_s_fixed_point() -> None:
    """One state, rewards 1 and 0, γ = 0.8, α = ½: the gap d between the actions is 1 / (1 − α) = 2.

    For q₀ − q₁ = 1 + α τ (log π₀ − log π₁) = 1 + α d. With L = −log π₁ = log(1 + exp(d / τ)) the soft value
    is q₁ + τ L, so that q₁ = −α τ L + γ (q₁ + τ L) = τ L (γ − α) / (1 − γ).
    """
    tau, gamma, alpha = 0.7, 0.8, 0.5
    config = {
        "munchausen": True,
        "munchausen_temperature": tau,
        "munchausen_scale": alpha,
        "munchausen_floor": -100.0,
        "discount": gamma,
        "optimiser": "sgd",
        "learning_rate": 1.0,
        "target_period": 1,
        "network": Table(1, 2),
    }
    zeros, no = jnp.zeros(2, jnp.int32), jnp.zeros(2, bool)
    batch = Transition(zeros, jnp.arange(2), jnp.array([1.0, 0.0]), no, no, zeros)
    state = learn(make(config, ONE_STATE, 2), batch, 400)
    large = np.log1p(np.exp(2 / tau))
    second = tau * large * (gamma - alpha) / (1 - gamma)
    close(state.params["params"]["q"], [[second + 2, second]], atol=1e-3)
    # Without its bonus it would be soft Q-learning, with a gap of 1.
    soft = learn(make({**config, "munchausen_scale": 0.0}, ONE_STATE, 2), batch, 400)
    value = tau * np.log1p(np.exp(1 / tau)) / (1 - gamma)
    close(soft.params["params"]["q"], [[1 + gamma * value, gamma * value]], atol=1e-3)


# --- dropout -----------------------------------------------------------------------------------------

VIEWS = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (32, 3)), jnp.float32)


def dropping(where: str, **config: Any) -> dqn.State:
    given = {"dropout": where, "dropout_rate": 0.5, "hidden_sizes": (32,), "stream_sizes": (16,)}
    # Of so many actions some are nearly as good as the best.
    return make(given | {"epsilon_start": 0.0, "epsilon_end": 0.0} | config, VECTORS, 50)


@pytest.mark.parametrize("where", ["replay", "acting", "both"])
def test_dropout_where_it_is_chosen(where: str) -> None:
    state = dropping(where)
    batch = endings(VIEWS, jnp.zeros(32, jnp.int32), jnp.ones(32))
    greedy = np.asarray(dqn.greedy(state, VIEWS)[0])
    np.testing.assert_array_equal(greedy, dqn.greedy(state, VIEWS)[0])
    act = jax.jit(dqn.act)
    acts = [np.asarray(act(state, VIEWS, jax.random.key(seed), 0)[0]) for seed in (0, 1, 0)]
    np.testing.assert_array_equal(acts[0], acts[2])
    if where == "replay":
        np.testing.assert_array_equal(acts[0], greedy)
        silent = dropping(where, noisy=True, noise_scale=0.0)  # which draws as it acts
        action, _, _ = act(silent, VIEWS, jax.random.key(0), 0)
        np.testing.assert_array_equal(action, dqn.greedy(silent, VIEWS)[0])
    else:
        assert np.any(acts[0] != acts[1])
        # Environments drop features of their own, though they see the same.
        same = jnp.broadcast_to(VIEWS[0], (64, 3))
        assert len(np.unique(act(state, same, jax.random.key(0), 0)[0])) > 1
    after = dqn.update(state, batch)
    chex.assert_trees_all_equal(after.params, dqn.update(state, batch).params)
    if where == "acting":
        assert state.key == ()
    else:
        again = dqn.update(dataclasses.replace(state, step=jnp.int32(1)), batch)
        other = dqn.update(dataclasses.replace(state, key=jax.random.key(9)), batch)
        losses = [float(each.info["loss"]) for each in (after, again, other)]
        assert len(set(losses)) == 3


def test_dropped_features_explore_less_and_less() -> None:
    """The rate falls from ½ to 0 over 100 steps; without an end it stays."""
    same = jnp.broadcast_to(VIEWS[:1], (2000, 3))
    act = jax.jit(dqn.act)

    def share(state: dqn.State, step: int) -> float:
        action = act(state, same, jax.random.key(step), step)[0]
        return float(jnp.mean(action != dqn.greedy(state, same)[0]))

    falling, steady = dropping("acting", dropout_steps=100), dropping("acting")
    shares = [share(falling, step) for step in (0, 50, 90, 100, 1000)]
    assert shares[0] > shares[1] > shares[2] > shares[3] == shares[4] == 0
    close(share(falling, 50), share(dropping("acting", dropout_rate=0.25), 50), atol=1e-6)
    assert share(steady, 1_000_000) > 0.8 * shares[0]


# --- normalisation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config", [{}, {"distribution": "implicit", "atoms": 3, "samples": 2, "dueling": True}]
)
def test_batch_normalisation_acts_by_what_updates_have_seen(config: dict[str, Any]) -> None:
    config = {"normalisation": "batch", "hidden_sizes": (16,), "learning_rate": 5e-3, **config}
    state = make(config, VECTORS, 4)
    means = state.statistics["torso"]["BatchNorm_0"]["mean"]
    close(means, np.zeros(16))
    batch = endings(3 + VIEWS, jnp.zeros(32, jnp.int32), jnp.ones(32))
    after = learn(state, batch, 400)
    dense = state.params["params"]["torso"]["Dense_0"]
    first = np.mean(np.asarray(3 + VIEWS) @ dense["kernel"] + dense["bias"], axis=0)
    one = learn(state, batch, 1).statistics["torso"]["BatchNorm_0"]["mean"]
    close(one, 0.01 * first, atol=1e-4)  # a hundredth of the batch's own
    # Acting goes by the running averages, one observation at a time or many.
    together = dqn.action_values(after, after.params, 3 + VIEWS)
    close(dqn.action_values(after, after.params, 3 + VIEWS[:1])[0], together[0], atol=1e-4)
    moved = dataclasses.replace(after, statistics=jax.tree.map(lambda leaf: leaf + 1, after.statistics))
    assert not np.allclose(dqn.action_values(moved, moved.params, 3 + VIEWS), together, atol=1e-3)
    np.testing.assert_array_equal(
        dqn.act(after.replace(config=after.config.replace(epsilon_end=0.0)), VIEWS, jax.random.key(0), 10**6)[
            0
        ],  # type: ignore[attr-defined]
        dqn.greedy(after, VIEWS)[0],
    )
    # What was learnt of a batch holds for one.
    assert np.mean(np.abs(together[:, 0] - 1)) < 0.3


@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_a_target_network_has_the_statistics_that_it_was_copied_with(tau: float) -> None:
    """They stand still between target updates, and are blended as its parameters are."""
    config = {"normalisation": "batch", "hidden_sizes": (4,), "learning_rate": 0.1, "target_period": 3}
    state = make(config | {"tau": tau}, VECTORS, 2)
    batch = endings(3 + VIEWS, jnp.zeros(32, jnp.int32), jnp.ones(32))
    first = dqn.action_values(state, state.target_params, VIEWS)
    two = dqn.update(dqn.update(state, batch), batch)
    np.testing.assert_array_equal(dqn.action_values(two, two.target_params, VIEWS), first)
    assert not np.allclose(two.statistics["torso"]["BatchNorm_0"]["mean"], 0.0)
    # What updates are moved towards stands still with it: of an update that learns nothing, the same.
    going_on = dataclasses.replace(batch, terminated=jnp.zeros(32, bool))
    errors = [
        dqn.update(dataclasses.replace(state, statistics=of.statistics), going_on).info["td_error"]
        for of in (state, two)
    ]
    assert errors[0] == errors[1]  # an online batch is normalised by its own statistics
    three = dqn.update(two, batch)
    for name, online in (("params", three.params["params"]), ("batch_stats", three.statistics)):
        blended = jax.tree.map(lambda new, old: tau * new + (1 - tau) * old, online, two.target_params[name])
        chex.assert_trees_all_close(three.target_params[name], blended, atol=1e-6)
    if tau == 1:
        values = dqn.action_values(three, three.params, VIEWS)
        np.testing.assert_array_equal(dqn.action_values(three, three.target_params, VIEWS), values)


def test_layer_normalisation_has_no_statistics() -> None:
    state = make({"normalisation": "layer", "hidden_sizes": (16,)}, VECTORS, 4)
    assert state.statistics == ()
    assert "LayerNorm_0" in state.params["params"]["torso"]
    values = dqn.action_values(state, state.params, VIEWS)
    close(dqn.action_values(state, state.params, VIEWS[:1])[0], values[0])


def test_values_of_one_observation_do_not_hang_on_the_others_of_its_batch() -> None:
    """The mistake of dueling heads whose mean is over the batch, too; and of statistics when acting."""
    config = {
        "dueling": True,
        "stream_sizes": (8,),
        "hidden_sizes": (16,),
        "normalisation": "batch",
        "distribution": "quantile",
        "atoms": 3,
    }
    state = make(config, VECTORS, 4)
    together = dqn.action_values(state, state.params, VIEWS)
    mixed = dqn.action_values(state, state.params, jnp.concatenate([VIEWS[:1], 10 * VIEWS[:7]]))
    alone = dqn.action_values(state, state.params, VIEWS[:1])
    close(alone[0], together[0])
    close(mixed[0], together[0])


# --- dueling ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "hidden"), [({}, [64]), ({"stream_sizes": (5, 6)}, [5, 6]), ({"dueling": False}, [])]
)
def test_dueling_streams_have_hidden_layers(given: dict[str, Any], hidden: list[int]) -> None:
    """Two linear heads would be one, written otherwise."""
    config = {"dueling": True, "hidden_sizes": (3,)} | given
    shapes = jax.eval_shape(lambda: make(config, VECTORS, 4)).params["params"]
    streams = {"value": 1, "advantage": 4} if config["dueling"] else {"values": 4}
    assert len(shapes) == 1 + len(streams) * (1 + len(hidden))
    for name, outputs in streams.items():
        layers = [shapes[f"{name}_{i}"]["kernel"].shape for i in range(len(hidden))]
        widths = [3, *hidden, outputs]
        assert [*layers, shapes[name]["kernel"].shape] == list(itertools.pairwise(widths))


# --- exploration -------------------------------------------------------------------------------------


def test_dueling_says_of_actions_not_tried_what_it_learnt_of_the_state() -> None:
    """Wang et al. (2016), section 4.1: of 20 actions that are all alike, 4 are tried.

    A plain network knows of the others what it began with.
    """
    states = jax.random.uniform(jax.random.key(3), (16, 3), minval=-1, maxval=1)
    worth = jnp.sign(states[:, 0])
    batch = endings(jnp.repeat(states, 4, 0), jnp.tile(jnp.arange(4), 16), jnp.repeat(worth, 4))

    def errors(dueling: bool, seed: int) -> tuple[float, float]:
        config = {"dueling": dueling, "hidden_sizes": (32,), "stream_sizes": (32,), "learning_rate": 1e-2}
        state = learn(make({**config, "batch_size": 64}, VECTORS, 20, jax.random.key(seed)), batch, 200)
        wrong = (dqn.action_values(state, state.params, states) - worth[:, None]) ** 2
        return float(wrong[:, :4].mean()), float(wrong[:, 4:].mean())

    plain, dueling = (np.array([errors(which, seed) for seed in range(4)]) for which in (False, True))
    assert max(plain[:, 0].max(), dueling[:, 0].max()) < 1e-3
    assert plain[:, 1].mean() > 0.85
    assert dueling[:, 1].mean() < 0.65


def test_boltzmann_draws_by_a_softmax_at_the_temperature_of_its_schedule() -> None:
    config = {
        "exploration": "boltzmann",
        "temperature_start": 2.0,
        "temperature_end": 0.5,
        "temperature_steps": 100,
        "network": Table(1, 4),
    }
    state = make(config, ONE_STATE, 4)
    q = np.array([0.0, 1.0, -0.5, 0.7])
    state = dataclasses.replace(state, params={"params": {"q": jnp.asarray(q[None], jnp.float32)}})
    number = 20_000
    act = jax.jit(dqn.act)
    for step, temperature in [(0, 2.0), (50, 1.25), (100, 0.5), (10_000, 0.5)]:
        action = act(state, jnp.zeros(number, jnp.int32), jax.random.key(step), step)[0]
        counts = np.bincount(action, minlength=4)
        chances = np.exp(q / temperature) / np.exp(q / temperature).sum()
        distance = np.sum((counts - number * chances) ** 2 / (number * chances))
        assert distance < 16.3, (step, counts / number, chances)  # χ² of three degrees, one in a thousand
    np.testing.assert_array_equal(dqn.greedy(state, jnp.zeros(3, jnp.int32))[0], [1, 1, 1])


# --- architectures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "extra"),
    [("separate", {}), ("separate", {"noisy": True, "dropout": "both"}), ("state_action", {})],
)
def test_what_is_learnt_of_one_action(architecture: str, extra: dict[str, Any]) -> None:
    """With Lin's networks it leaves the others' parameters as they are, to the bit; one network shares it."""
    config = {"architecture": architecture, "hidden_sizes": (16,), "learning_rate": 0.01}
    state = make({**config, **extra}, VECTORS, 3)
    batch = endings(VIEWS, jnp.ones(32, jnp.int32), jnp.ones(32))
    after = learn(state, batch, 3)
    before, now = (jax.tree.leaves(each.params) for each in (state, after))
    if architecture == "separate":
        for old, new in zip(before, now, strict=True):
            assert old.shape[0] == 3
            np.testing.assert_array_equal(old[np.array([0, 2])], new[np.array([0, 2])])
            assert np.any(old[1] != new[1])
    else:
        values = dqn.action_values(state, state.params, VIEWS)
        moved = dqn.action_values(after, after.params, VIEWS)
        assert np.all(np.mean(np.abs(moved - values), axis=0) > 1e-3)
