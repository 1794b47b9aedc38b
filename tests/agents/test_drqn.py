"""Recurrent Q-networks: updates by hand, what is remembered and for how long, and tasks that ask for it.

By hand the network is one whose memory is a number, c ← k c + observation, and whose values are w c: what
k's gradient is says through which steps it came.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from probes import Beginnings, Probe
from tables import Fading

from purejaxrl.agents import dqn, drqn
from purejaxrl.agents.drqn import Config
from purejaxrl.environments import vectorise
from purejaxrl.environments.memory_length import MemoryLength
from purejaxrl.training.loop import Loop
from purejaxrl.training.settings import Settings
from purejaxrl.types import Array, InvalidInput, Key, Transition

pytestmark = pytest.mark.optimised

LINE = gymnasium.spaces.Box(-10.0, 10.0, (1,), np.float32)
THREE_ACTIONS = gymnasium.spaces.Discrete(3)
GAMMA, RATE = 0.9, 0.01


def learner(seed: int = 0, **config: Any) -> drqn.State:
    """Fading memories, of the online and the target network, that differ."""
    given: dict[str, Any] = {
        "learning_rate": RATE,
        "discount": GAMMA,
        "max_gradient_norm": None,
        "burn_in": 2,
        "length": 3,
        "network": Fading(3),
    }
    state = drqn.init(jax.random.key(seed), Config(**(given | config)), LINE, THREE_ACTIONS)
    rng = np.random.default_rng(seed)

    def params() -> Any:
        k, w = rng.uniform(0.3, 0.9), rng.normal(size=3)
        return {"params": {"k": jnp.float32(k), "w": jnp.array(w, jnp.float32)}}

    return dataclasses.replace(state, params=params(), target_params=params())


def sequences(seed: int, length: int, batch: int = 3) -> Transition:
    """Sequences ``[batch, length]`` with ends of every kind, and what was remembered at each step."""
    rng = np.random.default_rng(seed)
    flags = rng.choice(4, p=[0.55, 0.15, 0.15, 0.15], size=(batch, length))
    observation, following = rng.normal(size=(2, batch, length, 1))
    for t in range(1, length):
        observation[:, t] = np.where(flags[:, t - 1 : t] > 0, observation[:, t], following[:, t - 1])
    return Transition(
        observation=jnp.array(observation, jnp.float32),
        action=jnp.array(rng.integers(3, size=(batch, length))),
        reward=jnp.array(2 * rng.normal(size=(batch, length)), jnp.float32),
        terminated=jnp.array(flags % 2 == 1),
        truncated=jnp.array(flags >= 2),
        next_observation=jnp.array(following, jnp.float32),
        extras=jnp.array(rng.normal(size=(batch, length, 1)), jnp.float32),
    )


def h(x: float) -> float:
    return np.sign(x) * (np.sqrt(abs(x) + 1) - 1) + x / 1000


def h_inverse(y: float) -> float:
    """By bisection."""
    low, high = -1e6, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if h(middle) < y else (low, middle)
    return low


def by_definition(state: drqn.State, batch: Transition) -> tuple[dict[str, Any], dict[str, float]]:
    """The gradient and the figures of an update, one number after another."""
    config, network = state.config, cast(Fading, state.network)
    online, target = (
        {name: np.asarray(leaf, np.float64) for name, leaf in params["params"].items()}
        for params in (state.params, state.target_params)
    )
    number = len(batch.reward) * config.length
    gradient: dict[str, Any] = {"k": 0.0, "w": np.zeros(3)}
    totals: dict[str, float] = {"loss": 0.0, "td_error": 0.0, "action_value": 0.0}
    for b in range(len(batch.reward)):
        one = jax.tree.map(lambda leaf, b=b: np.asarray(leaf)[b], batch)
        ended = one.terminated | one.truncated
        stored = float(one.extras[0, 0]) if config.stored_state else network.beginning
        remembered = {"online": stored, "target": stored}
        slope = 0.0  # of the online network's memory, with k
        steps = []
        for t in range(len(ended)):
            slope = remembered["online"] + online["k"] * slope
            values, after = {}, {}
            for name, params in (("online", online), ("target", target)):
                c = params["k"] * remembered[name] + one.observation[t, 0]
                values[name] = params["w"] * c
                after[name] = params["w"] * (params["k"] * c + one.next_observation[t, 0])
                remembered[name] = network.beginning if ended[t] else c
                if name == "online":
                    seen = c
            selector = after["online" if config.double else "target"]
            value = after["target"][selector.argmax()]
            steps.append((seen, slope, values["online"], h_inverse(value) if config.rescale else value))
            if ended[t] or t < config.burn_in:  # no gradient flows through the burn-in
                slope = 0.0
        for t in range(config.burn_in, config.burn_in + config.length):
            last = t
            while last < t + config.n_step - 1 and not ended[last]:
                last += 1
            rest = 0.0 if one.terminated[last] else steps[last][3]
            goal = sum(GAMMA ** (i - t) * one.reward[i] for i in range(t, last + 1))
            goal += GAMMA ** (last + 1 - t) * rest
            goal = h(goal) if config.rescale else goal
            c, dc_dk, q, _ = steps[t]
            a = one.action[t]
            delta = goal - q[a]
            huber = config.loss == "huber" and abs(delta) > 1
            pull = np.clip(delta, -1, 1) if config.loss == "huber" else delta
            gradient["w"][a] -= pull * c / number
            gradient["k"] -= pull * online["w"][a] * dc_dk / number
            totals["loss"] += (abs(delta) - 0.5 if huber else delta**2 / 2) / number
            totals["td_error"] += abs(delta) / number
            totals["action_value"] += q[a] / number
    totals["gradient_norm"] = float(np.sqrt(gradient["k"] ** 2 + np.sum(gradient["w"] ** 2)))
    return gradient, totals


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"n_step": 3, "loss": "squared"},
        {"double": False},
        {"rescale": True, "n_step": 2},
        {"stored_state": False, "burn_in": 0},
        {"stored_state": False, "network": Fading(3, beginning=2.0)},
        {"burn_in": 0, "length": 1},
    ],
    ids=lambda config: " ".join(config) or "as given",
)
def test_an_update_is_its_definition(config: dict[str, Any]) -> None:
    for seed in range(10):
        state = learner(seed, **config)
        batch = sequences(seed, drqn.sequence_length(state.config))
        gradient, figures = by_definition(state, batch)
        after = drqn.update(state, batch)
        assert after.info.keys() == figures.keys()
        for name, figure in figures.items():
            np.testing.assert_allclose(after.info[name], figure, rtol=1e-4, atol=1e-5, err_msg=name)
        for name, slope in gradient.items():
            first_moment = after.optimiser_state[0].mu["params"][name]  # type: ignore[index]
            np.testing.assert_allclose(first_moment / 0.1, slope, rtol=1e-4, atol=2e-5, err_msg=name)
            moved = after.params["params"][name] - state.params["params"][name]
            np.testing.assert_allclose(moved, -RATE * np.sign(slope), atol=1e-4)
        assert after.step == 1


def test_sequences_of_the_definition_end_in_every_way() -> None:
    """In the burn-in and after it, or the test above would not look at what it says."""
    batches = [sequences(seed, 5) for seed in range(10)]
    for part in (slice(0, 2), slice(2, 4)):
        terminated = np.stack([batch.terminated[:, part] for batch in batches]).reshape(-1)
        truncated = np.stack([batch.truncated[:, part] for batch in batches]).reshape(-1)
        assert len(set(zip(terminated, truncated, strict=True))) == 4


def test_what_is_learnt_are_the_steps_after_the_burn_in() -> None:
    """Rewards of the burn-in, and of the last step that returns reach over, tell nothing by themselves."""
    state = learner(n_step=2)
    batch = dataclasses.replace(
        sequences(0, 6), terminated=jnp.zeros((3, 6), bool), truncated=jnp.zeros((3, 6), bool)
    )
    before = drqn.update(state, batch).info["td_error"]
    for t, heard in [(0, False), (1, False), (2, True), (4, True), (5, True)]:
        other = dataclasses.replace(batch, reward=batch.reward.at[:, t].add(1.0))
        assert (drqn.update(state, other).info["td_error"] != before) == heard
    # The last step's action is nobody's, and that of the one before it is learnt.
    for t, heard in [(1, False), (4, True), (5, False)]:
        other = dataclasses.replace(batch, action=(batch.action.at[:, t].add(1)) % 3)
        assert (drqn.update(state, other).info["td_error"] != before) == heard


def test_the_burn_in_changes_what_is_remembered_and_has_no_gradient() -> None:
    state, batch = learner(burn_in=2), sequences(1, 5)
    batch = dataclasses.replace(batch, terminated=jnp.zeros((3, 5), bool), truncated=jnp.zeros((3, 5), bool))
    after = drqn.update(state, batch)
    moved = dataclasses.replace(batch, observation=batch.observation.at[:, 0].add(1.0))
    assert drqn.update(state, moved).info["td_error"] != after.info["td_error"]
    # With one step after it c = k c₀ + x, so that k's slope is that of c₀ as a constant.
    state = learner(burn_in=4, length=1)
    k, w = (np.asarray(state.params["params"][name], np.float64) for name in ("k", "w"))
    c = np.asarray(batch.extras[:, 0, 0], np.float64)
    for t in range(4):
        c = k * c + np.asarray(batch.observation[:, t, 0])
    after = drqn.update(state, batch)
    slope = float(after.optimiser_state[0].mu["params"]["k"]) / 0.1  # type: ignore[index]
    by_w = np.asarray(after.optimiser_state[0].mu["params"]["w"]) / 0.1  # type: ignore[index]
    a, seen = np.asarray(batch.action[:, 4]), k * c + np.asarray(batch.observation[:, 4, 0])
    if len(set(a)) == 3:  # each action's slope by w is pull · (k c + x) / 3, and that by k is pull · w c / 3
        np.testing.assert_allclose(slope, np.sum(by_w[a] / seen * w[a] * c), rtol=1e-4)


def test_sequences_begin_where_they_are_told_to() -> None:
    """With stored_state in the first step's memory, and in no other's; without it in nothing."""
    batch = sequences(2, 5)
    shifted = dataclasses.replace(batch, extras=batch.extras.at[:, 0].add(1.0))
    later = dataclasses.replace(batch, extras=batch.extras.at[:, 1:].add(1.0))
    nothing = dataclasses.replace(batch, extras=())
    zeros = dataclasses.replace(batch, extras=jnp.zeros_like(batch.extras))

    def error(given: Transition, **config: Any) -> float:
        return float(drqn.update(learner(**config), given).info["td_error"])

    assert error(shifted) != error(batch) == error(later)
    assert error(nothing) == error(zeros) != error(batch)
    assert error(batch, stored_state=False) == error(shifted, stored_state=False) == error(zeros)


def test_the_target_network_follows_at_its_period() -> None:
    state, batch = learner(target_period=3, tau=0.25), sequences(0, 5)
    target = state.target_params
    for step in range(1, 7):
        state = drqn.update(state, batch)
        if step % 3 == 0:
            target = jax.tree.map(lambda t, o: 0.75 * t + 0.25 * o, target, state.params)
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), state.target_params, target
            )
            target = state.target_params
        jax.tree.map(np.testing.assert_array_equal, state.target_params, target)


def test_gradients_are_clipped_by_their_norm() -> None:
    batch = sequences(0, 5)
    whole, clipped = drqn.update(learner(), batch), drqn.update(learner(max_gradient_norm=1e-3), batch)
    norm = float(whole.info["gradient_norm"])
    np.testing.assert_allclose(clipped.info["gradient_norm"], norm, rtol=1e-6)
    moments = (state.optimiser_state[0].mu for state in (clipped, whole))  # type: ignore[index]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b * 1e-3 / norm, rtol=1e-4), *moments)


# --- scaled values ------------------------------------------------------------------------------


def test_scale_and_unscale() -> None:
    x = jnp.concatenate([-jnp.logspace(-4, 4, 60), jnp.logspace(-4, 4, 60)])
    np.testing.assert_allclose(drqn.unscale(drqn.scale(x)), x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(drqn.scale(drqn.unscale(x)), x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(drqn.scale(x), rlax.signed_hyperbolic(x), rtol=1e-5, atol=2e-7)
    np.testing.assert_allclose(drqn.unscale(x), rlax.signed_parabolic(x), rtol=2e-3, atol=5e-4)
    for given, scaled in [(0.0, 0.0), (3.0, 1.003), (-3.0, -1.003), (99.0, 9.099), (-1e4 + 1, -99 - 9.999)]:
        np.testing.assert_allclose(drqn.scale(jnp.float32(given)), scaled, rtol=1e-6)
        np.testing.assert_allclose(drqn.unscale(jnp.float32(scaled)), given, rtol=1e-5)


# --- acting and unrolling -----------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_unrolling_a_sequence_is_stepping_through_it(cell: Any) -> None:
    """With the true successors looked at on the way, and all forgotten where an episode ends."""
    config = Config(cell=cell, cell_size=5, hidden_sizes=(4,), burn_in=0, length=6, dueling=cell == "gru")
    state = drqn.init(jax.random.key(0), config, LINE, THREE_ACTIONS)
    batch = sequences(0, 6)
    step = jax.jit(lambda carry, observation: drqn.action_values(state, state.params, carry, observation))
    carry = first = drqn.initial_carry(state, 3)
    recorded, expected, expected_next = [], [], []
    for t in range(6):
        recorded.append(carry)
        carry, values = step(carry, batch.observation[:, t])
        expected.append(values)
        expected_next.append(step(carry, batch.next_observation[:, t])[1])
        kept = ~(batch.terminated | batch.truncated)[:, t, None]
        carry = jax.tree.map(lambda leaf, kept=kept: leaf * kept, carry)
    last, q_tm1, q_t = jax.jit(drqn.unroll)(state, state.params, first, batch)
    np.testing.assert_allclose(q_tm1, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(q_t, expected_next, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), last, carry)
    if cell == "lstm":
        return
    # Carries as they are recorded go into an update, which then begins where acting was.
    stored = jax.tree.map(lambda *leaves: jnp.stack(leaves, axis=1), *recorded)
    told = drqn.update(state, dataclasses.replace(batch, extras=stored))
    untold = drqn.update(state, dataclasses.replace(batch, extras=()))
    assert told.info["loss"] == untold.info["loss"]  # this one began with the episode
    begun = dataclasses.replace(batch, extras=jax.tree.map(lambda leaf: leaf + 1, stored))
    assert drqn.update(state, begun).info["loss"] != told.info["loss"]


def test_acting_records_what_was_remembered_before() -> None:
    for stored in (True, False):
        state = learner(epsilon_start=0.0, epsilon_end=0.0, stored_state=stored)
        carry, observation = jnp.array([[1.0], [-2.0]]), jnp.array([[0.5], [0.25]])
        action, extras, after = drqn.act(state, observation, jax.random.key(0), 0, carry)
        k, w = (np.asarray(state.params["params"][name]) for name in ("k", "w"))
        np.testing.assert_allclose(after, k * carry + observation, rtol=1e-6)
        np.testing.assert_array_equal(action, (after * w).argmax(axis=1))
        assert (extras is carry) if stored else (extras == ())
        best, greedily = drqn.greedy(state, observation, carry)
        np.testing.assert_array_equal(best, action)
        np.testing.assert_array_equal(greedily, after)
    np.testing.assert_array_equal(drqn.initial_carry(state, 4), np.zeros((4, 1)))


def test_acts_epsilon_greedily() -> None:
    state = learner(epsilon_start=0.9, epsilon_end=0.3, epsilon_steps=100)
    carry, observation = jnp.ones((20_000, 1)), jnp.zeros((20_000, 1))
    best = drqn.greedy(state, observation[:1], carry[:1])[0][0]
    for step, epsilon in [(0, 0.9), (50, 0.6), (100, 0.3), (900, 0.3)]:
        action, _, _ = drqn.act(state, observation, jax.random.key(step), step, carry)
        np.testing.assert_allclose(np.mean(action != best), epsilon * 2 / 3, atol=0.015)


# --- in the loop --------------------------------------------------------------------------------


def test_what_is_recorded_follows_the_episodes() -> None:
    """Zeros after an end of either kind, and elsewhere what the network made of the step before."""
    config = Config(
        learning_rate=0.0,
        network=Fading(2),  # type: ignore[arg-type]
        burn_in=0,
        length=1,
        batch_size=2,
        buffer_capacity=96,
        warmup_steps=16,
    )
    settings = Settings(total_steps=96, num_envs=2, rollout_length=8, num_epochs=1, evaluation_episodes=4)
    loop = Loop(drqn, config, vectorise(Beginnings(), 2), settings)
    runner, _ = jax.jit(lambda key: loop.trace(key, 5, lambda runner, tally: ()))(jax.random.key(0))
    stored = jax.tree.map(lambda leaf: leaf.reshape(2, 48, *leaf.shape[3:]), runner.memory)
    ended = np.asarray(stored.terminated | stored.truncated)
    assert np.any(stored.terminated & ~stored.truncated)
    assert np.any(stored.truncated & ~stored.terminated)
    flat = jax.tree.map(lambda leaf: leaf.reshape(96, -1), (stored.extras, stored.observation))
    after, _ = drqn.action_values(runner.agent, runner.agent.params, *flat)
    for before, then in zip(jax.tree.leaves(stored.extras), jax.tree.leaves(after), strict=True):
        then = then.reshape(before.shape)
        expected = np.where(ended[:, :-1, None], 0.0, then[:, :-1])
        np.testing.assert_allclose(before[:, 1:], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(before[:, 0], 0.0)  # the first of all
        assert np.all(np.any(then != 0, axis=-1))
    # An evaluation has a memory of its own.
    lost = dataclasses.replace(runner, carry=jax.tree.map(lambda leaf: leaf - 100.0, runner.carry))
    evaluate = jax.jit(loop.evaluate)
    finished, episode = evaluate(runner, jnp.int32(1))
    assert np.all(finished)
    jax.tree.map(np.testing.assert_array_equal, evaluate(lost, jnp.int32(1))[1], episode)


SMALL: dict[str, Any] = {
    "learning_rate": 5e-3,
    "hidden_sizes": (16,),
    "batch_size": 32,
    "buffer_capacity": 4096,
    "warmup_steps": 256,
    "epsilon_end": 0.2,
    "epsilon_steps": 2000,
    "target_period": 20,
}


def test_tells_a_beginning_from_what_follows() -> None:
    """Only if the memory is empty as an episode begins, and not a moment later: in acting and in learning."""
    small = SMALL | {"hidden_sizes": (), "batch_size": 16, "epsilon_end": 0.0, "epsilon_steps": 1600}
    config = Config(discount=0.5, cell_size=8, burn_in=1, length=3, **small)
    settings = Settings(total_steps=256 + 8, num_envs=8, num_epochs=1, evaluation_episodes=0)
    loop = Loop(drqn, config, vectorise(Beginnings(), 8), settings)

    @jax.jit
    @jax.vmap
    def earned(key: Key) -> tuple[Array, Array]:
        """Returns and lengths of all the episodes that ended in each iteration."""
        return loop.trace(key, 300, lambda runner, tally: (tally.episode_return, tally.episode_length))[1]

    returns, lengths = earned(jax.random.split(jax.random.key(0), 3))
    np.testing.assert_array_equal(returns[:, 250:], lengths[:, 250:])


def evaluated(agent: Any, config: Any) -> np.ndarray:
    """Returns of three seeds' evaluations after 2000 updates, means over 64 episodes each."""
    settings = Settings(total_steps=256 + 8 * 2000, num_envs=8, num_epochs=1, evaluation_episodes=64)
    loop = Loop(agent, config, vectorise(MemoryLength(memory_length=4), 8), settings)
    _, metrics = jax.jit(jax.vmap(loop.train))(jax.random.split(jax.random.key(0), 3))
    return np.asarray(metrics.evaluation_return[:, -1])


@pytest.mark.slow
def test_remembers_what_a_feed_forward_network_cannot() -> None:
    """A bit shown at the start is asked for four steps later: 1 to who remembers, 0 on average to others."""
    np.testing.assert_array_equal(evaluated(drqn, Config(cell_size=16, burn_in=1, length=4, **SMALL)), 1.0)
    returns = evaluated(dqn, dqn.Config(**SMALL))
    assert np.all(np.abs(returns) < 0.5)  # four standard deviations of 64 guesses


def test_dueling_streams_have_hidden_layers() -> None:
    """Two linear heads after the cell would be one, written otherwise."""
    config = Config(dueling=True, cell_size=5)
    state = jax.eval_shape(lambda: drqn.init(jax.random.key(0), config, LINE, THREE_ACTIONS))
    heads = jax.tree.map(lambda leaf: leaf.shape, state.params["params"]["network"])
    kernels = {name: layer["kernel"] for name, layer in heads.items()}
    assert kernels == {
        "value_0": (5, 64),
        "value": (64, 1),
        "advantage_0": (5, 64),
        "advantage": (64, 3),
    }


# --- what cannot work ---------------------------------------------------------------------------


def test_sequences_of_another_length_say_so() -> None:
    with pytest.raises(InvalidInput, match=r"must be of 5 steps here \(burn_in.*\), not 4"):
        drqn.update(learner(), sequences(0, 4))


def test_what_cannot_work_says_so_before_anything_is_compiled() -> None:
    settings = Settings(total_steps=2000, num_epochs=1, evaluation_episodes=0)
    with pytest.raises(InvalidInput, match="DRQN needs a Discrete action space, not Box"):
        Loop(drqn, Config(), vectorise(Probe(continuous=True), 1), settings).check()
    with pytest.raises(InvalidInput, match="12 in a row are to be sampled"):
        Loop(drqn, Config(buffer_capacity=10, warmup_steps=4), vectorise(Probe(), 1), settings).check()
