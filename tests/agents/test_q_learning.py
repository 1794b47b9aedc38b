"""Temporal-difference control: updates against their definitions, runs against the textbook's loops.

Definitions are spelt out in numpy, forwards from each step, where the library adds up backwards; rlax is a
second oracle. Whole runs are held, step by step, against loops of a few lines fed the same transitions.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from purejaxrl.agents import q_learning
from purejaxrl.agents.q_learning import Acted, Config
from purejaxrl.environments import vectorise
from purejaxrl.environments.cliff_walking import CliffWalking
from purejaxrl.environments.mountain_car import MountainCar
from purejaxrl.environments.random_walk import RandomWalk
from purejaxrl.training.loop import Loop
from purejaxrl.training.settings import Settings
from purejaxrl.types import InvalidInput, Transition

pytestmark = pytest.mark.optimised

S, A = 8, 3
STATES, ACTIONS = gymnasium.spaces.Discrete(S), gymnasium.spaces.Discrete(A)
GAMMA, LAMBDA, ALPHA = 0.9, 0.7, 0.5

# --- definitions --------------------------------------------------------------------------------


def policy(config: Config, values: np.ndarray, exploration: float) -> np.ndarray:
    """Probabilities of actions: ε shared by all and the rest by the best, or Boltzmann's."""
    if config.exploration == "boltzmann":
        weights = np.exp((values - values.max()) / exploration)
        return weights / weights.sum()
    best = values == values.max()
    return exploration / len(values) + (1 - exploration) * best / best.sum()


def successor_value(
    config: Config, q: np.ndarray, selector: np.ndarray, rollout: dict[str, np.ndarray], t: int
) -> float:
    """What the true successor of step ``t`` of one environment is worth, were the task to go on there."""
    values = q[rollout["next_observation"][t]]
    if config.target == "q_learning":
        return float(values.max())
    if config.target == "double":
        return float(values[selector[rollout["next_observation"][t]].argmax()])
    cut_off = rollout["truncated"][t] or rollout["terminated"][t]
    if config.target == "sarsa" and not cut_off:
        return float(values[rollout["action"][t + 1]])
    return float(policy(config, values, evaluated(config, rollout, t)) @ values)


def evaluated(config: Config, rollout: dict[str, np.ndarray], t: int) -> float:
    return (
        rollout["exploration"][t] if config.target_exploration is None else float(config.target_exploration)
    )


def target(
    config: Config, q: np.ndarray, selector: np.ndarray, rollout: dict[str, np.ndarray], t: int
) -> float:
    """What step ``t`` is moved towards: sums made forwards, until the episode or the rollout ends."""
    gamma, lambda_ = float(config.discount), float(config.trace_decay)
    last = len(rollout["reward"]) - 1 - (config.target == "sarsa")
    end = next((i for i in range(t, last) if rollout["terminated"][i] or rollout["truncated"][i]), last)

    def rest(i: int) -> float:
        return 0.0 if rollout["terminated"][i] else successor_value(config, q, selector, rollout, i)

    def after(n: int) -> float:
        rewards = sum(gamma**i * rollout["reward"][t + i] for i in range(n))
        return rewards + gamma**n * rest(t + n - 1)

    longest = end - t + 1
    if config.returns == "n_step":
        return after(min(config.n_step, longest))
    if config.returns == "lambda":
        mixed = (1 - lambda_) * sum(lambda_ ** (n - 1) * after(n) for n in range(1, longest))
        return mixed + lambda_ ** (longest - 1) * after(longest)
    total, weight = q[rollout["observation"][t], rollout["action"][t]], 1.0
    for i in range(t, end + 1):
        row, action = q[rollout["observation"][i]], rollout["action"][i]
        if i > t:
            chance = policy(config, row, evaluated(config, rollout, i))[action]
            weight *= gamma * lambda_ * min(1.0, chance / rollout["probability"][i])
        total += weight * (rollout["reward"][i] + gamma * rest(i) - row[action])
    return float(total)


def errors(
    config: Config, q: np.ndarray, selector: np.ndarray, predicted: np.ndarray, rollout: Transition
) -> list[tuple[int, int, float, float]]:
    """Of every step learnt: its observation, its action, its prediction and its TD error."""
    learnt = len(rollout.reward) - q_learning.later_steps(config)
    found = []
    for b in range(rollout.reward.shape[1]):
        extras = {} if rollout.extras == () else {name: getattr(rollout.extras, name) for name in EXTRAS}
        names = ("observation", "action", "reward", "terminated", "truncated", "next_observation")
        given = {name: getattr(rollout, name) for name in names} | extras
        one = {name: np.asarray(leaf)[:, b] for name, leaf in given.items()}
        for t in range(learnt):
            s, a = one["observation"][t], one["action"][t]
            value = predicted[s, a]
            found.append((s, a, value, target(config, q, selector, one, t) - value))
    return found


def moved(predicted: np.ndarray, found: list[tuple[int, int, float, float]]) -> np.ndarray:
    """A table after one step down the mean of ½δ²."""
    table = predicted.copy()
    for s, a, _, delta in found:
        table[s, a] += ALPHA * delta / len(found)
    return table


EXTRAS = ("exploration", "probability")


def rollout_of(seed: int, shape: tuple[int, int], ends: bool = True) -> Transition:
    """Random walks ``[T, B]`` over the states; where ``ends``, with ends of every kind inside."""
    rng = np.random.default_rng(seed)
    flags = rng.choice(4, p=[0.55, 0.15, 0.15, 0.15] if ends else [1, 0, 0, 0], size=shape)
    observation, following = rng.integers(S, size=shape), rng.integers(S, size=shape)
    for t in range(1, shape[0]):
        observation[t] = np.where(flags[t - 1] > 0, observation[t], following[t - 1])
    return Transition(
        observation=jnp.array(observation),
        action=jnp.array(rng.integers(A, size=shape)),
        reward=jnp.array(rng.normal(size=shape), jnp.float32),
        terminated=jnp.array(flags % 2 == 1),
        truncated=jnp.array(flags >= 2),
        next_observation=jnp.array(following),
        extras=Acted(
            jnp.array(rng.uniform(0.1, 0.9, shape), jnp.float32),
            jnp.array(rng.uniform(0.1, 1.0, shape), jnp.float32),
        ),
    )


def learner(seed: int = 0, **config: Any) -> q_learning.State:
    """A learner with a random table, or two."""
    given: dict[str, Any] = {"learning_rate": ALPHA, "discount": GAMMA, "trace_decay": LAMBDA} | config
    state = q_learning.init(jax.random.key(seed), Config(**given), STATES, ACTIONS)
    shape = state.params["params"]["q"].shape
    table = jnp.array(np.random.default_rng(seed).normal(size=shape), jnp.float32)
    return dataclasses.replace(state, params={"params": {"q": table}})


def table(state: q_learning.State) -> np.ndarray:
    return np.asarray(state.params["params"]["q"], np.float64)


def expected(state: q_learning.State, rollout: Transition, which: int = 0) -> np.ndarray:
    """The table, or tables, after an update: by definition."""
    q = table(state)
    if state.config.target != "double":
        return moved(q, errors(state.config, q, q, q, rollout))
    q[which] = moved(q[which], errors(state.config, q[1 - which], q[which], q[which], rollout))
    return q


TARGETS = ("q_learning", "sarsa", "expected_sarsa", "double")
ONE_STEP: dict[str, dict[str, Any]] = {f"{each}, 1 step": {"target": each} for each in TARGETS}
RULES: dict[str, dict[str, Any]] = {
    "q_learning, 3 steps": {"target": "q_learning", "n_step": 3},
    "sarsa, 3 steps": {"target": "sarsa", "n_step": 3},
    "expected_sarsa, 2 steps": {"target": "expected_sarsa", "n_step": 2},
    "double, 2 steps": {"target": "double", "n_step": 2},
    **{f"{each}, λ": {"target": each, "returns": "lambda"} for each in TARGETS},
    "retrace": {"target": "expected_sarsa", "returns": "retrace"},
    "retrace, ε told": {"target": "expected_sarsa", "returns": "retrace", "target_exploration": 0.0},
    "sarsa, ε told": {"target": "sarsa", "target_exploration": 0.5},
    "expected_sarsa, softmax": {"target": "expected_sarsa", "exploration": "boltzmann"},
    "expected_sarsa, softmax told": {
        "target": "expected_sarsa",
        "exploration": "boltzmann",
        "target_exploration": 0.3,
    },
}


def assert_by_definition(rule: dict[str, Any], learnt: int, num_envs: int, seeds: range) -> None:
    for seed in seeds:
        state = learner(seed, **rule)
        rollout = rollout_of(seed, (learnt + q_learning.later_steps(state.config), num_envs))
        after = q_learning.update(state, rollout)
        which = int(np.any(table(after)[1] != table(state)[1]))
        np.testing.assert_allclose(
            table(after), expected(state, rollout, which), rtol=1e-5, atol=1e-5, err_msg=str(seed)
        )


@pytest.mark.parametrize("name", RULES)
def test_an_update_is_its_definition(name: str) -> None:
    """Four steps of two environments, with every kind of end inside."""
    assert_by_definition(RULES[name], 4, 2, range(12))


@pytest.mark.parametrize("name", ONE_STEP)
def test_an_update_of_one_step_is_its_definition(name: str) -> None:
    assert_by_definition(ONE_STEP[name], 1, 1, range(20))


def test_rollouts_of_the_definitions_end_in_every_way() -> None:
    """Or the tests above would not look at what they say."""
    for shape in ((4, 2), (6, 2), (1, 1), (2, 1)):
        learnt = [rollout_of(seed, shape) for seed in range(20)]
        flags = [(bool(r.terminated[t, 0]), bool(r.truncated[t, 0])) for r in learnt for t in range(shape[0])]
        assert len(set(flags)) == 4


@pytest.mark.parametrize("name", ONE_STEP)
def test_one_step_is_rlax_s(name: str) -> None:
    for seed in range(10):
        state = learner(seed, **ONE_STEP[name])
        rollout = rollout_of(seed, (1 + (name == "sarsa, 1 step"), 1), ends=False)
        after = q_learning.update(state, rollout)
        q = state.params["params"]["q"]
        which = int(np.any(table(after)[1] != table(state)[1]))
        learning, other = (q[which], q[1 - which]) if name == "double, 1 step" else (q, q)
        s, a, s_next = rollout.observation[0, 0], rollout.action[0, 0], rollout.next_observation[0, 0]
        reward, gamma = rollout.reward[0, 0], jnp.float32(GAMMA)
        if name == "q_learning, 1 step":
            error = rlax.q_learning(q[s], a, reward, gamma, q[s_next])
        elif name == "sarsa, 1 step":
            error = rlax.sarsa(q[s], a, reward, gamma, q[s_next], rollout.action[1, 0])
        elif name == "expected_sarsa, 1 step":
            epsilon = rollout.extras.exploration[0, 0]
            probabilities = jnp.full(A, epsilon / A).at[jnp.argmax(q[s_next])].add(1 - epsilon)
            error = rlax.expected_sarsa(q[s], a, reward, gamma, q[s_next], probabilities)
        else:
            error = rlax.double_q_learning(learning[s], a, reward, gamma, other[s_next], learning[s_next])
        wanted = np.asarray(learning, np.float64).copy()
        wanted[s, a] += ALPHA * float(error)
        got = table(after)[which] if name == "double, 1 step" else table(after)
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(after.info["td_error"], abs(error), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["q_learning, λ", "sarsa, λ", "retrace, ε told"])
def test_longer_returns_are_rlax_s(name: str) -> None:
    """Where no episode ends: rlax's functions know of no truncation."""
    for seed in range(2):
        told = {"target_exploration": 0.3} if "told" in name else {}
        state = learner(seed, **(RULES[name] | told))
        rollout = rollout_of(seed, (4 + (name == "sarsa, λ"), 2), ends=False)
        after = q_learning.update(state, rollout)
        q, wanted = state.params["params"]["q"], table(state)
        for b in range(2):
            one = jax.tree.map(lambda leaf, b=b: leaf[:, b], rollout)
            action, following = one.action[:4], jnp.roll(one.action, -1)[:4]
            q_tm1, q_t, gamma = q[one.observation[:4]], q[one.next_observation[:4]], jnp.full(4, GAMMA)
            start = (q_tm1, action, one.reward[:4], gamma, q_t)
            if name == "q_learning, λ":
                error = rlax.q_lambda(*start, jnp.full(4, LAMBDA))
            elif name == "sarsa, λ":
                error = rlax.sarsa_lambda(*start, following, jnp.full(4, LAMBDA))
            else:
                pi_t = 0.1 + 0.7 * jax.nn.one_hot(jnp.argmax(q_t, axis=1), A)
                mu_t = jnp.roll(one.extras.probability, -1)
                error = rlax.retrace(q_tm1, q_t, action, following, one.reward, gamma, pi_t, mu_t, LAMBDA)
            for s, a, delta in zip(one.observation, action, np.asarray(error), strict=False):
                wanted[s, a] += ALPHA * delta / 8
        np.testing.assert_allclose(table(after), wanted, rtol=1e-5, atol=1e-5)


def test_steps_that_only_follow_are_not_learnt() -> None:
    """The last steps of a window lend their rewards, or their action, and nothing moves their own values."""
    for name, later in [("q_learning, 3 steps", 2), ("sarsa, 3 steps", 3), ("sarsa, λ", 1), ("retrace", 0)]:
        state = learner(**RULES[name])
        assert q_learning.later_steps(state.config) == later
        rollout = rollout_of(0, (4 + later, 2), ends=False)
        # The first four steps are in states 0 to 3, those after them, and all successors, in 4 to 7.
        first = jnp.arange(4 + later)[:, None] < 4
        rollout = dataclasses.replace(
            rollout,
            observation=jnp.where(first, rollout.observation % 4, 4 + rollout.observation % 4),
            next_observation=4 + rollout.next_observation % 4,
        )
        moved_by = table(q_learning.update(state, rollout)) - table(state)
        assert np.all(moved_by[4:] == 0)
        assert np.any(moved_by[:4] != 0)


def test_figures_losses_and_limits_by_definition() -> None:
    cases: list[dict[str, Any]] = [{"loss": "huber"}, {"max_gradient_norm": 0.1}, {}]
    for config in cases:
        state, rollout = learner(3, **config), rollout_of(3, (4, 2))
        q = table(state)
        rollout = dataclasses.replace(rollout, reward=2 * rollout.reward)  # errors on either side of 1
        s, a, value, delta = (np.array(x) for x in zip(*errors(state.config, q, q, q, rollout), strict=True))
        assert np.any(np.abs(delta) > 1)
        assert np.any(np.abs(delta) < 1)
        after = q_learning.update(state, rollout)
        huber = config.get("loss") == "huber"
        slope = np.clip(delta, -1, 1) if huber else delta
        loss = np.where(huber & (np.abs(delta) > 1), np.abs(delta) - 0.5, delta**2 / 2)
        gradient = np.zeros_like(q)
        np.add.at(gradient, (s, a), slope / len(delta))
        norm = np.linalg.norm(gradient)
        gradient *= min(1.0, config.get("max_gradient_norm", np.inf) / norm)
        np.testing.assert_allclose(table(after), q + ALPHA * gradient, rtol=1e-5, atol=1e-6)
        figures = {
            "loss": loss.mean(),
            "td_error": np.abs(delta).mean(),
            "action_value": value.mean(),
            "gradient_norm": norm,
        }
        assert after.info.keys() == figures.keys()
        for name, figure in figures.items():
            np.testing.assert_allclose(after.info[name], figure, rtol=1e-5, err_msg=name)


def test_double_learns_one_of_two_tables_each_half_of_the_time() -> None:
    rollout, which = rollout_of(0, (1, 1), ends=False), []
    for seed in range(2):
        state = learner(seed, target="double")
        for i in range(200):
            rollout = dataclasses.replace(rollout, reward=jnp.full((1, 1), float(i)))
            before, state = table(state), q_learning.update(state, rollout)
            changed = [bool(np.any(old != new)) for old, new in zip(before, table(state), strict=True)]
            assert sum(changed) == 1
            which.append(changed[1])
    assert 0.4 < np.mean(which) < 0.6
    assert which[:200] != which[200:]  # by its key
    assert 0.4 < np.mean(np.diff(which)) < 0.6  # not by turns


def test_double_acts_by_both_tables() -> None:
    state = learner(target="double")
    q = jnp.zeros((2, S, A)).at[:, 0].set(jnp.array([[3.0, 0.0, 2.0], [0.0, 2.0, 2.0]]))
    state = dataclasses.replace(state, params={"params": {"q": q}})
    assert q_learning.greedy(state, jnp.array([0]))[0] == 2  # the best of neither


def test_double_draws_by_the_mean_of_both_tables() -> None:
    state = learner(target="double", exploration="boltzmann", temperature_start=0.5, temperature_end=0.5)
    q = jnp.zeros((2, S, A)).at[:, 0].set(jnp.array([[1.0, 0.0, 2.0], [0.0, 2.0, 1.0]]))
    state = dataclasses.replace(state, params={"params": {"q": q}})
    action, acted, _ = q_learning.act(state, jnp.zeros(64, jnp.int32), jax.random.key(0), 0)
    chances = np.exp([1.0, 2.0, 3.0])  # means of ½, 1, 1½ at a temperature of ½
    np.testing.assert_allclose(acted.probability, (chances / chances.sum())[action], rtol=1e-5)
    assert len(np.unique(action)) == 3


def test_two_tables_do_not_share_their_beginnings_or_their_key() -> None:
    config = Config(target="double", approximator="network", hidden_sizes=(3,))
    key = jax.random.key(5)
    state = q_learning.init(key, config, STATES, ACTIONS)
    for leaf in jax.tree.leaves(state.params):
        assert np.any(leaf[0] != leaf[1])
    # What chooses between them is no key that a table was made with.
    alone = q_learning.init(state.key, dataclasses.replace(config, target="q_learning"), STATES, ACTIONS)
    for one, two in zip(jax.tree.leaves(alone.params), jax.tree.leaves(state.params), strict=True):
        assert np.all(one != two[0])
        assert np.all(one != two[1])


# --- acting -------------------------------------------------------------------------------------


@pytest.mark.parametrize("exploration", ["epsilon_greedy", "boltzmann"])
def test_actions_are_drawn_by_the_policy(exploration: str) -> None:
    """Equal ones alike; with how likely it was, and by which exploration, told with each."""
    names = {"epsilon_greedy": "epsilon", "boltzmann": "temperature"}
    schedule = {f"{names[exploration]}_{end}": x for end, x in [("start", 0.9), ("end", 0.3), ("steps", 100)]}
    state = learner(exploration=exploration, **schedule)
    values = np.array([1.0, 1.0, 0.5])
    state = dataclasses.replace(state, params={"params": {"q": jnp.zeros((S, A)).at[2].set(values)}})
    act, observation = jax.jit(q_learning.act), jnp.full(20_000, 2)
    for step, now in [(0, 0.9), (50, 0.6), (100, 0.3), (900, 0.3)]:
        action, acted, carry = act(state, observation, jax.random.key(step), step)
        chances = policy(state.config, values, now)
        np.testing.assert_allclose(np.bincount(action, minlength=A) / 20_000, chances, atol=0.015)
        np.testing.assert_allclose(acted.probability, chances[np.asarray(action)], rtol=1e-5)
        np.testing.assert_allclose(acted.exploration, now, rtol=1e-6)
        assert carry == ()
    assert np.all(q_learning.greedy(state, observation[:3])[0] == 0)


def test_without_exploration_only_the_best_are_taken() -> None:
    state = learner(epsilon_start=0.0, epsilon_end=0.0)
    q = jnp.zeros((S, A)).at[0].set(jnp.array([2.0, 2.0, 1.0]))
    state = dataclasses.replace(state, params={"params": {"q": q}})
    action, acted, _ = q_learning.act(state, jnp.zeros(1000, jnp.int32), jax.random.key(0), 0)
    assert set(np.asarray(action)) == {0, 1}
    assert np.all(acted.probability == 0.5)


# --- whole runs against the textbook's loops ----------------------------------------------------

NOISY = {"epsilon_start": 0.3, "epsilon_end": 0.3, "discount": 0.5, "learning_rate": 0.5}
STEPS = 3000


def walked(config: Config, limit: int | None, steps: int = STEPS) -> tuple[Any, np.ndarray, q_learning.State]:
    """A run on a slippery cliff: all its transitions ``[steps]``, and its tables after every update."""
    environment = vectorise(
        CliffWalking(slip=0.6, fall_reward=-9.7, rows=3, columns=3, max_episode_steps=limit), 1
    )
    later = q_learning.later_steps(config)
    settings = Settings(total_steps=steps, evaluation_episodes=0, num_epochs=1)
    loop = Loop(q_learning, config, environment, settings)

    def run(key: jax.Array) -> Any:
        return loop.trace(key, steps - later, lambda runner, tally: (runner.memory, runner.agent.params))

    runner, (windows, params) = jax.jit(run)(jax.random.key(1))
    windows = jax.tree.map(lambda leaf: np.asarray(leaf)[:, :, 0], windows)
    transitions = jax.tree.map(lambda leaf: np.concatenate([leaf[0, :-1], leaf[:, -1]]), windows)
    return transitions, np.asarray(params["params"]["q"]), runner.agent


def loop_of_the_book(config: Config, steps: Any, coins: np.ndarray) -> np.ndarray:
    """The tables after every update, in float32 as there: transitions one after another, no batches."""
    half = np.float32(0.5)  # α and γ
    q = np.zeros((2, 9, 4) if config.target == "double" else (9, 4), np.float32)
    history = []
    for i in range(STEPS - q_learning.later_steps(config)):
        s, a, which = steps.observation[i], steps.action[i], coins[i]
        learnt, other = (q[which], q[1 - which]) if config.target == "double" else (q, q)
        end = i
        while end < i + config.n_step - 1 and not (steps.terminated[end] or steps.truncated[end]):
            end += 1
        values, cut_off = other[steps.next_observation[end]], steps.truncated[end]
        if config.target in ("q_learning", "double"):
            value = values[learnt[steps.next_observation[end]].argmax()]
        elif config.target == "sarsa" and not cut_off:
            value = values[steps.action[end + 1]]
        else:
            value = np.float32(policy(config, values, 0.3) @ values)
        update = np.float32(0) if steps.terminated[end] else value
        for reward in steps.reward[i : end + 1][::-1]:
            update = np.float32(reward + half * update)
        learnt[s, a] += half * (update - learnt[s, a])
        history.append(q.copy())
    return np.stack(history)


@pytest.mark.parametrize(
    ("rule", "limit"),
    [
        ({"target": "q_learning"}, 9),
        ({"target": "double"}, 9),
        ({"target": "sarsa"}, None),
        ({"target": "sarsa", "n_step": 4}, None),
        ({"target": "expected_sarsa"}, 9),
    ],
    ids=lambda given: "-".join(map(str, given.values())) if isinstance(given, dict) else str(given),
)
def test_a_run_is_the_textbook_s_loop(rule: dict[str, Any], limit: int | None) -> None:
    """To the bit in every one of 3000 tables, where no more than additions are rounded.

    With α and γ a half every product is exact, so that it is the same whether XLA fuses it with the addition
    that follows or not. Expectations are sums of four products, whose order is XLA's: there to 1e-6.
    """
    given: dict[str, Any] = NOISY | rule
    config = Config(**given)
    transitions, tables, agent = walked(config, limit)
    assert np.sum(transitions.terminated) > 10
    assert (np.sum(transitions.truncated) > 50) == (limit is not None)
    coins = np.zeros(STEPS, np.int32)
    if config.target == "double":
        flip = jax.vmap(lambda i: jax.random.bernoulli(jax.random.fold_in(agent.key, i)))
        coins = np.asarray(flip(jnp.arange(STEPS))).astype(np.int32)
    wanted = loop_of_the_book(config, transitions, coins)
    assert np.any(wanted[-1] != wanted[-300], axis=-1).sum() > 5  # it never comes to rest
    if config.target == "expected_sarsa":
        np.testing.assert_allclose(tables, wanted, rtol=1e-6, atol=1e-5)
    else:
        np.testing.assert_array_equal(tables, wanted)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.1, 0.9), (0.3, 0.99), (1.0, 0.95)])
def test_any_step_size_is_the_rule_to_the_bit_where_xla_compiles_both(alpha: float, gamma: float) -> None:
    """It fuses a product and a sum into one instruction that rounds once, in either."""
    rng, number = np.random.default_rng(0), 300
    steps = Transition(
        observation=jnp.asarray(rng.integers(S, size=(number, 1, 1))),
        action=jnp.asarray(rng.integers(A, size=(number, 1, 1))),
        reward=jnp.asarray(rng.normal(size=(number, 1, 1)), jnp.float32),
        terminated=jnp.asarray(rng.random((number, 1, 1)) < 0.1),
        truncated=jnp.zeros((number, 1, 1), bool),
        next_observation=jnp.asarray(rng.integers(S, size=(number, 1, 1))),
    )
    state = learner(learning_rate=alpha, discount=gamma)

    def update(state: q_learning.State, step: Transition) -> tuple[q_learning.State, Any]:
        state = q_learning.update(state, step)
        return state, state.params["params"]["q"]

    def rule(q: Any, step: Transition) -> tuple[Any, Any]:
        s, a, following = step.observation[0, 0], step.action[0, 0], step.next_observation[0, 0]
        discount = gamma * (1.0 - step.terminated[0, 0])
        q = q.at[s, a].add(alpha * (step.reward[0, 0] + discount * jnp.max(q[following]) - q[s, a]))
        return q, q

    ours = jax.jit(lambda state: jax.lax.scan(update, state, steps)[1])(state)
    wanted = jax.jit(lambda q: jax.lax.scan(rule, q, steps)[1])(state.params["params"]["q"])
    np.testing.assert_array_equal(ours, wanted)


# --- known answers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", [{"target": "sarsa", "n_step": 3}, {"returns": "lambda", "trace_decay": 0.8}]
)
def test_prediction_comes_to_the_true_values(rule: dict[str, Any]) -> None:
    """With a single action: TD(3 steps) and TD(λ) on the random walk of example 6.2."""
    walk = RandomWalk()
    length = 4 if "returns" in rule else 1
    settings = Settings(
        total_steps=64, num_envs=8, rollout_length=length, num_epochs=1, evaluation_episodes=0
    )
    config = Config(learning_rate=0.4 * length, **rule)
    loop = Loop(q_learning, config, vectorise(walk, settings.num_envs), settings)

    def late(runner: Any, tally: Any) -> Any:
        return runner.agent.params["params"]["q"][:, 0]

    trace = jax.jit(jax.vmap(lambda key: loop.trace(key, 4000, late)))
    _, values = trace(jax.random.split(jax.random.key(0), 4))
    # Of one seed the mean over its last iterations is good to 0.01, and so that of four to half of that.
    np.testing.assert_allclose(np.mean(values[:, 1000:], axis=(0, 1)), walk.true_values, atol=0.02)


@functools.cache
def cliff(target: str) -> tuple[np.ndarray, np.ndarray]:
    """Tables ``[seed, S, A]`` of example 6.6 at a small step size, and mean returns of the last half."""
    config = Config(target=target, learning_rate=0.1)  # type: ignore[arg-type]
    extra = q_learning.later_steps(config)
    settings = Settings(total_steps=20_000 + extra, num_epochs=2, evaluation_episodes=0)
    loop = Loop(q_learning, config, vectorise(CliffWalking(), 1), settings)
    runners, metrics = jax.jit(jax.vmap(loop.train))(jax.random.split(jax.random.key(0), 3))
    return np.asarray(runners.agent.params["params"]["q"]), np.asarray(metrics.episode_return[:, -1])


@jax.jit
def outcomes(cell: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
    there = CliffWalking().outcomes(cell, action)
    return there.state[0], there.terminated[0]


def greedy_path(q: np.ndarray) -> list[int]:
    """The cells that the best actions lead through, from the start to the goal, or 50 of them."""
    cell, path = CliffWalking().start, [CliffWalking().start]
    for _ in range(50):
        there, terminated = outcomes(jnp.int32(cell), jnp.int32(q[cell].argmax()))
        path.append(cell := int(there))
        if terminated:
            break
    return path


def test_the_cliff_s_known_answers() -> None:
    """Example 6.6: Q-learning finds the shortest way, along the edge, and SARSA a longer and safer one."""
    (short, falling), (long, careful) = cliff("q_learning"), cliff("sarsa")
    edge = set(range(25, 35))  # the cells above the cliff
    for q in short:
        path = greedy_path(q)
        assert len(path) - 1 == 13
        assert edge <= set(path)
    for q in long:
        path = greedy_path(q)
        assert 13 < len(path) - 1 <= 19
        assert len(edge & set(path)) <= 4
    assert np.all(careful > falling + 10)


def test_tile_coding_drives_up_the_hill() -> None:
    """Example 10.1: SARSA on eight tilings, with no exploration but that of optimistic values."""
    config = Config(
        target="sarsa", learning_rate=0.5 / 8, approximator="tile_coding", epsilon_start=0.0, epsilon_end=0.0
    )
    settings = Settings(total_steps=24_001, num_epochs=3, evaluation_episodes=0)
    loop = Loop(q_learning, config, vectorise(MountainCar(max_episode_steps=1000), 1), settings)
    _, metrics = jax.jit(loop.train)(jax.random.key(0))
    assert metrics.episode_length[-1] < 180


# --- what cannot work ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"returns": "retrace"}, ["retrace", "expected_sarsa", "'q_learning'"]),
        ({"returns": "retrace", "target": "sarsa"}, ["retrace", "expected_sarsa", "'sarsa'"]),
        ({"returns": "retrace", "target": "double"}, ["retrace", "expected_sarsa", "'double'"]),
        ({"approximator": "table"}, ["table", "Discrete", "Box([-1.2"]),
        ({"approximator": "one_hot"}, ["one_hot", "Discrete", "Box([-1.2"]),
        ({"exploration": "boltzmann", "target_exploration": 0.0}, ["target_exploration", "0.0"]),
        ({"target_exploration": 1.5}, ["target_exploration", "1.5"]),
    ],
)
def test_what_cannot_work_says_so_before_anything_is_compiled(
    config: dict[str, Any], words: list[str]
) -> None:
    settings = Settings(total_steps=100, num_epochs=1, evaluation_episodes=0)
    given: dict[str, Any] = {"approximator": "tile_coding"} | config
    with pytest.raises(InvalidInput) as raised:
        Loop(q_learning, Config(**given), vectorise(MountainCar(), 1), settings).check()
    for word in words:
        assert word in str(raised.value)


def test_rollouts_that_cannot_be_learnt_say_so() -> None:
    with pytest.raises(InvalidInput, match="more than 3 steps here, not 3"):
        q_learning.update(learner(**RULES["sarsa, 3 steps"]), rollout_of(0, (3, 1)))
    for name in ("retrace", "retrace, ε told", "sarsa, λ", "expected_sarsa, λ"):
        rollout = dataclasses.replace(rollout_of(0, (4, 2)), extras=())
        with pytest.raises(InvalidInput, match=r"give the rollout extras.*Acted"):
            q_learning.update(learner(**RULES[name]), rollout)


def test_targets_of_a_known_policy_need_no_extras() -> None:
    state, rollout = learner(**RULES["sarsa, ε told"]), rollout_of(0, (5, 2))
    with_extras = q_learning.update(state, rollout)
    without = q_learning.update(state, dataclasses.replace(rollout, extras=()))
    np.testing.assert_array_equal(table(with_extras), table(without))
