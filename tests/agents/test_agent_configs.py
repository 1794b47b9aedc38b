"""Every field of every Config does something, and does it where it should; bad ones say what is wrong."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
import types
from typing import Any

import flax.linen as nn
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tables import ON_POLICY, Fading

from purejaxrl import agents, checks, networks, value_networks
from purejaxrl.action_distributions import CategoricalHead
from purejaxrl.agents import a2c, ddpg, dqn, drqn, hill_climbing, ppo, pqn, q_learning, trpo
from purejaxrl.types import InvalidInput, Sample, Transition

AGENTS: dict[str, Any] = {
    "dqn": dqn,
    "a2c": a2c,
    "ppo": ppo,
    "trpo": trpo,
    "ddpg": ddpg,
    "q_learning": q_learning,
    "pqn": pqn,
    "drqn": drqn,
}
BOARD = gymnasium.spaces.Box(-1.0, 1.0, (3, 3), np.float32)  # read by an MLP, or by a small CNN
NUMBERED = gymnasium.spaces.Discrete(4)  # read by a table
THREE_ACTIONS = gymnasium.spaces.Discrete(3)
BOX = gymnasium.spaces.Box(-2.0, 2.0, (1,), np.float32)
SMALL = networks.MLP((3,))

# A Config, then another value for each field and the places where it shows: "init" the first parameters,
# "update" what two updates make of them, "act" the actions of the first parameters, "memory" what the
# memory gives out and from when on. A field that acts only where something is chosen has a third entry,
# the Config in which it is.
BASE: dict[str, Any] = {
    "dqn": dqn.Config(
        learning_rate=0.01,
        epsilon_end=0.1,
        epsilon_steps=10,
        tau=0.5,
        target_period=1,
        hidden_sizes=(4,),
        batch_size=4,
        buffer_capacity=8,
        warmup_steps=2,
    ),
    "a2c": a2c.Config(learning_rate=0.01, learning_rate_steps=4, entropy_coefficient=0.1, hidden_sizes=(4,)),
    "ppo": ppo.Config(
        learning_rate=0.05,
        learning_rate_steps=4,
        clip_steps=4,
        value_clip=0.1,
        target_kl=1.0,
        entropy_coefficient=0.1,
        passes=2,
        minibatches=2,
        hidden_sizes=(4,),
    ),
    "trpo": trpo.Config(max_kl=0.05, damping=0.01, passes=2, minibatches=2, hidden_sizes=(4,)),
    "ddpg": ddpg.Config(
        noise_start=0.5,
        noise_end=0.1,
        noise_steps=10,
        hidden_sizes=(4,),
        batch_size=4,
        buffer_capacity=8,
        warmup_steps=2,
    ),
    "q_learning": q_learning.Config(
        learning_rate=0.01,
        discount=0.9,
        epsilon_start=0.9,
        epsilon_steps=10,
        approximator="network",
        hidden_sizes=(4,),
        order=1,
    ),
    "pqn": pqn.Config(
        learning_rate=0.01,
        learning_rate_steps=4,
        epsilon_steps=10,
        passes=2,
        minibatches=2,
        optimiser="adam",
        hidden_sizes=(4,),
    ),
    "drqn": drqn.Config(
        learning_rate=0.01,
        epsilon_end=0.1,
        epsilon_steps=10,
        tau=0.5,
        target_period=1,
        burn_in=1,
        length=2,
        cell_size=3,
        hidden_sizes=(4,),
        batch_size=4,
        buffer_capacity=8,
        warmup_steps=5,
    ),
}
# Choices that go with each other, so that the fields of all of them are looked at in one program.
EXTENDED = BASE["dqn"].replace(
    prioritised=True,
    importance_steps=2,
    exploration="boltzmann",
    temperature_steps=10,
    distribution="categorical",
    atoms=7,
    munchausen=True,
    munchausen_temperature=1.0,
    munchausen_floor=-0.5,
    dropout="both",
    dropout_steps=10,
    optimiser="rmsprop",
)
QUANTILE = BASE["dqn"].replace(distribution="quantile", atoms=7)
IMPLICIT = BASE["dqn"].replace(distribution="implicit", atoms=3, samples=3, target_samples=3, embedding=4)
NOISY = BASE["dqn"].replace(noisy=True)
APART = BASE["dqn"].replace(learning_rate=1.0, tau=0.0)  # what two networks like best differs at once
EXPECTED = BASE["q_learning"].replace(target="expected_sarsa", optimiser="rmsprop", returns="lambda")
BOLTZMANN = BASE["q_learning"].replace(
    exploration="boltzmann", temperature_start=0.1, temperature_end=0.5, temperature_steps=10
)
TILES = BASE["q_learning"].replace(approximator="tile_coding", tilings=2, tiles=1)
POLYNOMIAL = BASE["q_learning"].replace(approximator="polynomial")
TABLE = BASE["q_learning"].replace(approximator="table")
FADING = BASE["drqn"].replace(network=Fading(3), hidden_sizes=(64,), cell_size=64)
OWN = {"dqn": BASE["dqn"].replace(hidden_sizes=(120, 84)), "pqn": BASE["pqn"].replace(hidden_sizes=(120, 84))}
OWN["drqn"] = BASE["drqn"].replace(hidden_sizes=(64,), cell_size=64)
OWN["a2c"] = BASE["a2c"].replace(hidden_sizes=(64, 64))
OWN["ppo"] = BASE["ppo"].replace(hidden_sizes=(64, 64))
OWN["trpo"] = BASE["trpo"].replace(hidden_sizes=(64, 64), value_network=networks.Value(SMALL))
FAR = BASE["trpo"].replace(max_kl=5.0, damping=0.0)  # a step that is too long
WITH_MEMORY = {name: BASE[name].replace(cell="lstm", cell_size=3) for name in ("a2c", "ppo")}
OWN["q_learning"] = BASE["q_learning"].replace(approximator="table", order=3, hidden_sizes=(64, 64))
APART_DRQN = FADING.replace(learning_rate=1.0, tau=0.0, loss="squared", burn_in=0, length=3)
OTHER: dict[str, dict[str, tuple[Any, ...]]] = {
    "dqn": {
        "learning_rate": (0.02, {"update"}),
        "discount": (0.5, {"update"}),
        "epsilon_start": (0.2, {"act"}),
        "epsilon_end": (0.9, {"act"}),
        "epsilon_steps": (100, {"act"}),
        "tau": (0.25, {"update"}),
        "target_period": (2, {"update"}),
        "max_gradient_value": (1e-3, {"update"}),
        "max_gradient_norm": (1e-3, {"update"}),
        "optimiser_epsilon": (1e-2, {"update"}),
        "optimiser_decay": (0.5, {"update"}, EXTENDED),
        "optimiser_momentum": (0.5, {"update"}, EXTENDED),
        "temperature_start": (2.0, {"act"}, EXTENDED),
        "temperature_end": (0.5, {"act"}, EXTENDED),
        "temperature_steps": (100, {"act"}, EXTENDED),
        "priority_exponent": (0.9, {"update"}, EXTENDED),
        "priority_offset": (0.1, {"update"}, EXTENDED),
        "importance_start": (0.8, {"update"}, EXTENDED),
        "importance_end": (0.5, {"update"}, EXTENDED),
        "importance_steps": (3, {"update"}, EXTENDED),
        "value_low": (-5.0, {"update", "act"}, EXTENDED),
        "value_high": (5.0, {"update", "act"}, EXTENDED),
        "munchausen_scale": (0.5, {"update"}, EXTENDED),
        "munchausen_temperature": (0.5, {"update"}, EXTENDED),
        "munchausen_floor": (-0.1, {"update"}, EXTENDED),
        "dropout_rate": (0.5, {"update", "act"}, EXTENDED),
        "dropout_steps": (100, {"act"}, EXTENDED),
        "quantile_threshold": (5.0, {"update"}, QUANTILE),
        "loss": ("huber", {"update"}),
        "double": (True, {"update"}, APART),
        "dueling": (True, {"init"}),
        "stream_sizes": ((4,), {"init"}),
        "n_step": (2, {"memory"}),
        "prioritised": (True, {"memory"}),
        "noisy": (True, {"init"}),
        "noise_scale": (0.1, {"init"}, NOISY),
        "distribution": ("categorical", {"init"}),
        "atoms": (8, {"init"}, QUANTILE),
        "samples": (4, {"update"}, IMPLICIT),
        "target_samples": (4, {"update"}, IMPLICIT),
        "embedding": (5, {"init"}, IMPLICIT),
        "munchausen": (True, {"update"}),
        "exploration": ("boltzmann", {"act"}),
        "dropout": ("replay", {"update"}),
        "normalisation": ("layer", {"init"}),
        "optimiser": ("sgd", {"update"}),
        "architecture": ("separate", {"init"}),
        "hidden_sizes": ((5,), {"init"}),
        "torso": ("small_cnn", {"init"}),
        "initialiser": ("xavier", {"init"}),
        "batch_size": (5, {"memory"}),
        "buffer_capacity": (16, {"memory"}),
        "warmup_steps": (3, {"memory"}),
        "network": (value_networks.QNetwork(SMALL, 3), {"init"}, OWN["dqn"]),
    },
    "a2c": {
        "learning_rate": (0.02, {"update"}),
        "learning_rate_end": (0.005, {"update"}),
        "learning_rate_steps": (8, {"update"}),
        "discount": (0.5, {"update"}),
        "gae_lambda": (0.5, {"update"}),
        "value_coefficient": (0.9, {"update"}),
        "entropy_coefficient": (0.2, {"update"}),
        "optimiser_decay": (0.9, {"update"}),
        "optimiser_epsilon": (1e-2, {"update"}),
        "max_gradient_value": (1e-3, {"update"}),
        "max_gradient_norm": (None, {"update"}),
        "optimiser": ("adam", {"update"}),
        "hidden_sizes": ((5,), {"init"}),
        "activation": ("relu", {"update"}),
        "torso": ("small_cnn", {"init"}),
        "initialiser": ("pytorch", {"init"}),
        "shared_torso": (True, {"init"}),
        "policy": ("state_gaussian", {"init"}, BASE["a2c"].replace(policy="gaussian")),
        "cell": ("gru", {"init"}),
        "cell_size": (4, {"init"}, WITH_MEMORY["a2c"]),
        "head_sizes": ((4,), {"init"}, WITH_MEMORY["a2c"]),
        "network": (networks.ActorCritic(SMALL, CategoricalHead(3)), {"init"}, OWN["a2c"]),
    },
    "ppo": {
        "learning_rate": (0.02, {"update"}),
        "learning_rate_end": (0.01, {"update"}),
        "learning_rate_steps": (8, {"update"}),
        "discount": (0.5, {"update"}),
        "gae_lambda": (0.5, {"update"}),
        "clip": (0.02, {"update"}),
        "clip_end": (0.1, {"update"}, BASE["ppo"].replace(clip=0.02)),
        "clip_steps": (1, {"update"}, BASE["ppo"].replace(clip=0.02)),
        "value_clip": (None, {"update"}),
        "value_coefficient": (0.9, {"update"}),
        "entropy_coefficient": (0.2, {"update"}),
        "target_kl": (1e-6, {"update"}),
        "max_gradient_norm": (None, {"update"}),
        "optimiser_epsilon": (1e-2, {"update"}),
        "passes": (3, {"update"}),
        "minibatches": (1, {"update"}),
        "advantage_normalisation": ("rollout", {"update"}),
        "hidden_sizes": ((5,), {"init"}),
        "activation": ("relu", {"update"}),
        "torso": ("small_cnn", {"init"}),
        "initialiser": ("pytorch", {"init"}),
        "shared_torso": (True, {"init"}),
        "policy": ("state_gaussian", {"init"}, BASE["ppo"].replace(policy="gaussian")),
        "cell": ("gru", {"init"}),
        "cell_size": (4, {"init"}, WITH_MEMORY["ppo"]),
        "head_sizes": ((4,), {"init"}, WITH_MEMORY["ppo"]),
        "network": (networks.ActorCritic(SMALL, CategoricalHead(3)), {"init"}, OWN["ppo"]),
    },
    "trpo": {
        "discount": (0.5, {"update"}),
        "gae_lambda": (0.5, {"update"}),
        "max_kl": (0.01, {"update"}),
        "damping": (1.0, {"update"}),
        "backtrack_coefficient": (0.9, {"update"}, FAR),
        "value_learning_rate": (1e-2, {"update"}),
        "conjugate_steps": (1, {"update"}),
        "backtrack_steps": (1, {"update"}, FAR),
        "passes": (3, {"update"}),
        "minibatches": (4, {"update"}),
        "advantage_normalisation": ("none", {"update"}),
        "policy": ("state_gaussian", {"init"}, BASE["trpo"].replace(policy="gaussian")),
        "hidden_sizes": ((5,), {"init"}),
        "activation": ("relu", {"update"}),
        "torso": ("small_cnn", {"init"}),
        "initialiser": ("pytorch", {"init"}),
        "network": (networks.Actor(SMALL, CategoricalHead(3)), {"init"}),
        "value_network": (networks.Value(SMALL), {"init"}),
    },
    "ddpg": {
        "actor_learning_rate": (2e-3, {"update"}),
        "critic_learning_rate": (2e-3, {"update"}),
        "discount": (0.5, {"update"}),
        "tau": (0.5, {"update"}),
        "noise_start": (0.9, {"act"}),
        "noise_end": (0.9, {"act"}),
        "noise_steps": (100, {"act"}),
        "max_gradient_value": (1e-3, {"update"}),
        "max_gradient_norm": (1e-3, {"update"}),
        "actor_output_scale": (0.003, {"init"}),
        "critic_output_scale": (0.003, {"init"}),
        "hidden_sizes": ((5,), {"init"}),
        "initialiser": ("xavier", {"init"}),
        "batch_size": (5, {"memory"}),
        "buffer_capacity": (16, {"memory"}),
        "warmup_steps": (4, {"memory", "act"}),
        "actor": (networks.DeterministicActor(SMALL, 1), {"init"}),
        "critic": (networks.Critic(SMALL), {"init"}),
    },
    "q_learning": {
        "learning_rate": (0.02, {"update"}),
        "discount": (0.5, {"update"}),
        "epsilon_start": (0.2, {"act"}),
        "epsilon_end": (0.9, {"act"}),
        "epsilon_steps": (100, {"act"}),
        "temperature_start": (0.3, {"act"}, BOLTZMANN),
        "temperature_end": (0.2, {"act"}, BOLTZMANN),
        "temperature_steps": (100, {"act"}, BOLTZMANN),
        "target_exploration": (0.5, {"update"}, EXPECTED),
        "trace_decay": (0.5, {"update"}, EXPECTED),
        "max_gradient_norm": (1e-3, {"update"}),
        "optimiser_epsilon": (1e-2, {"update"}, EXPECTED),
        "optimiser_decay": (0.5, {"update"}, EXPECTED),
        "target": ("sarsa", {"update", "memory"}),
        "returns": ("lambda", {"update"}),
        "n_step": (2, {"update", "memory"}),
        "exploration": ("boltzmann", {"act"}),
        "loss": ("huber", {"update"}),
        "approximator": ("polynomial", {"init"}),
        "initial_value": (1.5, {"init"}, TABLE),
        "tilings": (4, {"init"}, TILES),
        "tiles": (2, {"init"}, TILES),
        "order": (0, {"init"}, POLYNOMIAL),
        "architecture": ("separate", {"init"}),
        "hidden_sizes": ((5,), {"init"}),
        "activation": ("tanh", {"update"}),
        "torso": ("small_cnn", {"init"}),
        "initialiser": ("xavier", {"init"}),
        "optimiser": ("adam", {"update"}),
        "network": (value_networks.QNetwork(SMALL, 3), {"init"}, OWN["q_learning"]),
    },
    "pqn": {
        "learning_rate": (0.02, {"update"}),
        "learning_rate_end": (0.005, {"update"}),
        "learning_rate_steps": (8, {"update"}),
        "discount": (0.5, {"update"}),
        "trace_decay": (0.5, {"update"}),
        "epsilon_start": (0.2, {"act"}),
        "epsilon_end": (0.9, {"act"}),
        "epsilon_steps": (100, {"act"}),
        "max_gradient_norm": (1e-3, {"update"}),
        "optimiser_epsilon": (1e-2, {"update"}),
        "passes": (3, {"update"}),
        "minibatches": (4, {"update"}),
        "normalisation": ("none", {"init"}),
        "optimiser": ("sgd", {"update"}),
        "hidden_sizes": ((5,), {"init"}),
        "torso": ("small_cnn", {"init"}),
        "initialiser": ("xavier", {"init"}),
        "network": (value_networks.QNetwork(SMALL, 3), {"init"}, OWN["pqn"]),
    },
    "drqn": {
        "learning_rate": (0.02, {"update"}),
        "discount": (0.5, {"update"}),
        "epsilon_start": (0.2, {"act"}),
        "epsilon_end": (0.9, {"act"}),
        "epsilon_steps": (100, {"act"}),
        "tau": (0.25, {"update"}),
        "target_period": (2, {"update"}),
        "max_gradient_norm": (1e-3, {"update"}),
        "loss": ("squared", {"update"}, FADING),
        "double": (False, {"update"}, APART_DRQN),
        "dueling": (True, {"init"}),
        "n_step": (2, {"update", "memory"}, FADING),
        "burn_in": (2, {"update", "memory"}, FADING),
        "length": (3, {"update", "memory"}, FADING),
        "stored_state": (False, {"update"}, FADING),
        "rescale": (True, {"update"}, FADING),
        "cell": ("gru", {"init"}),
        "cell_size": (4, {"init"}),
        "hidden_sizes": ((5,), {"init"}),
        "torso": ("small_cnn", {"init"}),
        "initialiser": ("xavier", {"init"}),
        "batch_size": (5, {"memory"}),
        "buffer_capacity": (16, {"memory"}),
        "warmup_steps": (9, {"memory"}),
        "network": (Fading(3), {"init"}, OWN["drqn"]),
    },
}


def rollout(name: str, seed: int) -> Transition:
    """Four steps of one environment ``[4, 1]``, with an end of each kind."""
    random = np.random.default_rng(seed)
    action = random.uniform(-2, 2, (4, 1, 1)) if name == "ddpg" else random.integers(0, 3, (4, 1))
    return Transition(
        observation=jnp.asarray(random.uniform(-1, 1, (4, 1, 3, 3)), jnp.float32),
        action=jnp.asarray(action),
        reward=jnp.asarray(random.normal(size=(4, 1)) * 5, jnp.float32),
        terminated=jnp.array([[False], [True], [False], [False]]),
        truncated=jnp.array([[False], [False], [False], [True]]),
        next_observation=jnp.asarray(random.uniform(-1, 1, (4, 1, 3, 3)), jnp.float32),
    )


def make(name: str, config: Any) -> Any:
    space = NUMBERED if getattr(config, "approximator", None) == "table" else BOARD
    continuous = name == "ddpg" or "gaussian" in getattr(config, "policy", "auto")
    return AGENTS[name].init(jax.random.key(0), config, space, BOX if continuous else THREE_ACTIONS)


def params(state: Any) -> dict[str, Any]:
    """All of a state's parameters, those of target networks, too, and what it says of its batch."""
    names = [field.name for field in dataclasses.fields(state)]
    return {name: getattr(state, name) for name in names if name.endswith("params") or name == "priority"}


def first_params(name: str, config: Any) -> Any:
    return params(make(name, config))


def first_steps(length: int, leaf: Any) -> Any:
    return leaf[:, :length]


def updated_params(name: str, config: Any) -> Any:
    state = make(name, config)
    for seed in range(2):
        batch = rollout(name, seed)
        if name == "q_learning":
            told = q_learning.Acted(jnp.full((4, 1), 0.2), jnp.full((4, 1), 0.5))
            batch = dataclasses.replace(batch, extras=told)
        elif name == "drqn":
            carry = jax.tree.map(lambda leaf: leaf[:, None] + 0.3, drqn.initial_carry(state, 1))
            batch = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), batch)
            batch = jax.tree.map(functools.partial(first_steps, drqn.sequence_length(config)), batch)
            batch = dataclasses.replace(batch, extras=carry)
        elif name not in ON_POLICY:
            batch = jax.tree.map(lambda leaf: leaf[:, 0], batch)
        if getattr(config, "prioritised", False):
            batch = Sample(batch, index=jnp.arange(4), probability=jnp.array([0.1, 1.0, 2.0, 0.5]))
        state = AGENTS[name].update(state, batch)
    return params(state)


def actions(name: str, config: Any) -> Any:
    act, state = jax.jit(AGENTS[name].act), make(name, config)
    observation = jax.random.uniform(jax.random.key(1), (64, 3, 3), minval=-1.0)
    carry = drqn.initial_carry(state, 64) if name == "drqn" else ()
    return [act(state, observation, jax.random.key(2), step, carry)[0] for step in (0, 3, 7, 50)]


def remembered(name: str, config: Any) -> Any:
    memory = AGENTS[name].memory(config)
    stored = memory.init(jax.tree.map(lambda leaf: leaf[0, 0], rollout(name, 0)), 4, 1)
    for count in range(3):
        stored = memory.add(stored, rollout(name, count), count)
    return memory.warmup(4, 1), memory.sample(stored, jax.random.key(3), 3)


PLACES = {"init": first_params, "update": updated_params, "act": actions, "memory": remembered}


def equal(one: Any, other: Any) -> bool:
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.shape(a) == np.shape(b) and bool(np.all(a == b)) for a, b in leaves)


@functools.cache
def shown(name: str, config: Any, place: str) -> Any:
    return PLACES[place](name, config)


@pytest.mark.parametrize("name", AGENTS)
def test_every_field_is_in_the_table(name: str) -> None:
    assert OTHER[name].keys() == {field.name for field in dataclasses.fields(BASE[name])}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name in AGENTS for field in OTHER[name]])
def test_every_field_changes_what_it_should(name: str, field: str) -> None:
    value, expected, *chosen = OTHER[name][field]
    base = chosen[0] if chosen else BASE[name]
    config = dataclasses.replace(base, **{field: value})
    # A number that may be swept is looked for everywhere, and changes nothing else. Elsewhere a look
    # would cost a compilation, and what comes of other parameters is other, too.
    swept = jax.tree.structure(config) == jax.tree.structure(base)
    looked = PLACES if swept else expected
    changed = {place for place in looked if not equal(shown(name, base, place), PLACES[place](name, config))}
    assert changed == expected


def test_output_scales_bound_the_last_weights() -> None:
    state = make("ddpg", BASE["ddpg"].replace(actor_output_scale=0.02, critic_output_scale=0.001))
    for params, layer, scale in [(state.actor_params, "action", 0.02), (state.critic_params, "value", 0.001)]:
        largest = max(float(jnp.max(jnp.abs(leaf))) for leaf in params["params"][layer].values())
        assert 0.3 * scale < largest <= scale


def test_noise_ends_where_its_steps_do() -> None:
    """With noise_steps 1 it is at its end from step 1 on."""
    config = BASE["ddpg"].replace(noise_start=1.0, noise_end=0.0, noise_steps=1, warmup_steps=0)
    state, observation = make("ddpg", config), jnp.zeros((4, 3, 3))
    assert not np.array_equal(
        ddpg.act(state, observation, jax.random.key(0), 0)[0], ddpg.greedy(state, observation)[0]
    )
    np.testing.assert_array_equal(
        ddpg.act(state, observation, jax.random.key(0), 1)[0], ddpg.greedy(state, observation)[0]
    )


# --- what cannot work ---------------------------------------------------------------------------

NAN = float("nan")
RATES_ETC = {"discount": [-0.1, 1.01, NAN, "high", np.array([0.5, 2.0])]}
CLIPS = {"max_gradient_value": [0.0, -1.0, NAN], "max_gradient_norm": [0.0, -1.0, NAN]}
SIZES = {
    "hidden_sizes": [(0,), (8, -1), (8.0,), (True,), 64, [64], "64"],
    "batch_size": [0, -1, 2.5, True],
    "buffer_capacity": [0, 10.0],
    "warmup_steps": [-1, 0.5],
}
EPSILONS = {"epsilon_start": [-0.1, 1.5, NAN], "epsilon_end": [-0.1, 1.5, NAN], "epsilon_steps": [-1, NAN]}
NETWORKS = {"torso": ["resnet", "nature_cnnn"], "initialiser": ["orthonormal"]}


def switches(*names: str) -> dict[str, list[Any]]:
    """What looks like True or False."""
    return {name: ["no", 1, None] for name in names}


ACTOR_CRITIC = {
    "learning_rate": [-1e-3, NAN, np.inf, "fast"],
    "learning_rate_end": [-1e-3, NAN, np.inf],
    "learning_rate_steps": [0, -1, NAN],
    "gae_lambda": [-0.1, 1.1, NAN],
    "value_coefficient": [-0.5, NAN, np.inf],
    "entropy_coefficient": [-0.5, NAN],
    "optimiser_epsilon": [0.0, -1e-5, NAN],
    "max_gradient_norm": CLIPS["max_gradient_norm"],
    "policy": ["cauchy"],
    "activation": ["gelu"],
    "hidden_sizes": SIZES["hidden_sizes"],
    "cell": ["rnn", None],
    "cell_size": [0, 1.5, 32],  # which there is no cell for
    "head_sizes": [(0,), 64, (32,)],
    **switches("shared_torso"),
    **RATES_ETC,
    **NETWORKS,
}
BAD: dict[str, dict[str, list[Any]]] = {
    "trpo": {
        "gae_lambda": [-0.1, 1.1, NAN],
        "max_kl": [0.0, -0.1, NAN, np.inf],
        "damping": [-0.1, NAN, np.inf],
        "backtrack_coefficient": [0.0, 1.0, NAN],
        "value_learning_rate": [-1e-3, NAN, np.inf],
        "conjugate_steps": [0, 1.5],
        "backtrack_steps": [0, 1.5],
        "passes": [0, 1.5],
        "minibatches": [0, 1.5],
        "policy": ["cauchy"],
        "activation": ["gelu"],
        "hidden_sizes": SIZES["hidden_sizes"],
        "advantage_normalisation": ["minibatch", True],
        **RATES_ETC,
        **NETWORKS,
    },
    "dqn": {
        "learning_rate": [-1e-3, NAN, np.float32(NAN), np.inf, "fast", True],
        "epsilon_start": [-0.1, 1.5, NAN],
        "epsilon_end": [-0.1, 1.5, NAN],
        "epsilon_steps": [-1, NAN],
        "tau": [-0.1, 1.1, NAN],
        "target_period": [0, 0.5, 2.5, NAN],
        "optimiser_epsilon": [0.0, -1e-5, NAN],
        "optimiser_decay": [-0.5, 1.5, NAN],
        "optimiser_momentum": [-0.5, 1.5, NAN],
        "temperature_start": [0.0, -1.0, NAN, np.inf],
        "temperature_end": [0.0, -1.0, NAN, np.inf],
        "temperature_steps": [-1, NAN],
        "priority_exponent": [-0.1, 1.5, NAN],
        "priority_offset": [0.0, -1e-3, NAN, np.inf],
        "importance_start": [-0.1, 1.5, NAN],
        "importance_end": [-0.1, 1.5, NAN],
        "importance_steps": [-1, NAN],
        "value_low": [10.0, 20.0, NAN, -np.inf, "low"],
        "value_high": [-10.0, -20.0, NAN, np.inf, "high"],
        "quantile_threshold": [-1.0, NAN, np.inf],
        "munchausen_scale": [-0.1, 1.5, NAN],
        "munchausen_temperature": [0.0, -0.03, NAN, np.inf],
        "munchausen_floor": [0.5, NAN],
        "dropout_rate": [-0.1, 1.0, NAN],
        "dropout_steps": [-1, NAN],
        "loss": ["absolute", None],
        "stream_sizes": [(0,), (8, -1), (8.0,), 8],
        "n_step": [0, 1.5, True, (1, 2)],
        "noise_scale": [-0.5, NAN, np.inf],
        "distribution": ["gaussian", None],
        "atoms": [0, 2.5],
        "samples": [0, 2.5],
        "target_samples": [0, 2.5],
        "embedding": [0, 2.5],
        "exploration": ["thompson"],
        "dropout": ["always", True],
        "normalisation": ["group"],
        "optimiser": ["lbfgs"],
        "architecture": ["joint"],
        **switches("double", "dueling", "prioritised", "noisy", "munchausen"),
        **NETWORKS,
        **RATES_ETC,
        **CLIPS,
        **SIZES,
    },
    "a2c": {
        "optimiser_decay": [-0.5, 1.5, NAN],
        "optimiser": ["sgd"],
        "max_gradient_value": CLIPS["max_gradient_value"],
        **ACTOR_CRITIC,
    },
    "ppo": {
        "clip": [0.0, -0.2, NAN],
        "clip_end": [-0.2, NAN, np.inf],
        "clip_steps": [0, -1, NAN],
        "value_clip": [0.0, -0.2, NAN],
        "target_kl": [0.0, -0.2, NAN],
        "passes": [0, 1.5],
        "minibatches": [0, 1.5],
        "advantage_normalisation": ["batch", None],
        **ACTOR_CRITIC,
    },
    "ddpg": {
        "actor_learning_rate": [-1e-3, NAN],
        "critic_learning_rate": [-1e-3, NAN, np.inf],
        "tau": [-0.1, 1.1, NAN],
        "noise_start": [-0.1, NAN, np.inf],
        "noise_end": [-0.1, NAN],
        "noise_steps": [-1, NAN],
        "actor_output_scale": [0.0, -1.0, NAN],
        "critic_output_scale": [0.0, -1.0, NAN],
        "initialiser": ["orthonormal"],
        **RATES_ETC,
        **CLIPS,
        **SIZES,
    },
    "q_learning": {
        "learning_rate": [-1e-3, NAN, np.inf, "fast"],
        "temperature_start": [0.0, -1.0, NAN, np.inf],
        "temperature_end": [0.0, -1.0, NAN, np.inf],
        "temperature_steps": [-1, NAN],
        "target_exploration": [-0.1, 1.5, NAN],
        "trace_decay": [-0.1, 1.1, NAN],
        "optimiser_epsilon": [0.0, -1e-5, NAN],
        "optimiser_decay": [-0.5, 1.5, NAN],
        "target": ["watkins", None],
        "returns": ["monte_carlo", "retrace"],
        "n_step": [0, 1.5, True],
        "exploration": ["thompson"],
        "loss": ["absolute"],
        "approximator": ["forest"],
        "initial_value": [NAN, np.inf, "high"],
        "tilings": [0, 2.5],
        "tiles": [0, 2.5],
        "order": [-1, 1.5],
        "architecture": ["joint"],
        "activation": ["gelu"],
        "optimiser": ["lbfgs"],
        "max_gradient_norm": CLIPS["max_gradient_norm"],
        "hidden_sizes": SIZES["hidden_sizes"],
        **EPSILONS,
        **RATES_ETC,
        **NETWORKS,
    },
    "pqn": {
        "learning_rate": [-1e-3, NAN, np.inf, "fast"],
        "learning_rate_end": [-1e-3, NAN, np.inf],
        "learning_rate_steps": [0, -1, NAN],
        "trace_decay": [-0.1, 1.1, NAN],
        "optimiser_epsilon": [0.0, -1e-5, NAN],
        "passes": [0, 1.5],
        "minibatches": [0, 1.5],
        "normalisation": ["batch", "group"],
        "optimiser": ["lbfgs"],
        "max_gradient_norm": CLIPS["max_gradient_norm"],
        "hidden_sizes": SIZES["hidden_sizes"],
        **EPSILONS,
        **RATES_ETC,
        **NETWORKS,
    },
    "drqn": {
        "learning_rate": [-1e-3, NAN, np.inf],
        "tau": [-0.1, 1.1, NAN],
        "target_period": [0, 0.5, 2.5, NAN],
        "loss": ["absolute"],
        "n_step": [0, 1.5, True],
        "burn_in": [-1, 1.5],
        "length": [0, 1.5],
        "cell": ["rnn"],
        "cell_size": [0, 1.5],
        **switches("double", "dueling", "stored_state", "rescale"),
        "max_gradient_norm": CLIPS["max_gradient_norm"],
        **EPSILONS,
        **RATES_ETC,
        **NETWORKS,
        **SIZES,
    },
}


@pytest.fixture
def nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is initialised fails the test."""

    def compiled(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a network was initialised")

    monkeypatch.setattr(nn.Module, "init", compiled)


@pytest.mark.usefixtures("nothing_is_compiled")
@pytest.mark.parametrize(
    ("name", "field", "value"),
    [(name, field, value) for name in AGENTS for field, values in BAD[name].items() for value in values],
)
def test_bad_values_are_named(name: str, field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        make(name, dataclasses.replace(BASE[name], **{field: value}))
    assert field in str(raised.value)
    assert repr(value) in str(raised.value)


EVERY_AGENT = [
    importlib.import_module(f"{agents.__name__}.{module.name}")
    for module in pkgutil.iter_modules(agents.__path__)
]


@pytest.mark.usefixtures("nothing_is_compiled")
@pytest.mark.parametrize("agent", EVERY_AGENT, ids=lambda agent: agent.__name__.rpartition(".")[2])
def test_none_is_refused_where_a_number_is_needed(agent: Any) -> None:
    """optax takes a step size of None for one of −1: it would climb."""
    config = agent.Config()
    actions = BOX if agent in (ddpg,) else THREE_ACTIONS
    leaves = [field for field in dataclasses.fields(config) if field.metadata.get("pytree_node", True)]
    needed = [field.name for field in leaves if "None" not in str(field.type)]
    assert needed or agent is hill_climbing
    space = NUMBERED if agent is q_learning else BOARD
    for name in needed:
        with pytest.raises(InvalidInput, match=f"{name} must be a.* number"):
            agent.init(jax.random.key(0), dataclasses.replace(config, **{name: None}), space, actions)


@pytest.mark.parametrize(
    ("name", "field"),
    [("q_learning", "initial_value"), ("dqn", "noise_scale"), ("ddpg", "actor_output_scale")],
)
def test_static_numbers_are_plain(name: str, field: str) -> None:
    """An array has no hash, and is compared by element: the next jitted call would fail, of any Config."""
    with pytest.raises(InvalidInput, match=f"{field} must be one plain number"):
        make(name, dataclasses.replace(BASE[name], **{field: np.ones(4)}))


def test_every_checkable_field_has_a_bad_value() -> None:
    for name in AGENTS:
        fields = dataclasses.fields(BASE[name])
        unchecked = {"network", "value_network", "actor", "critic"}
        assert BAD[name].keys() == {field.name for field in fields} - unchecked


BOUNDLESS = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)
HALF = gymnasium.spaces.Box(0.0, np.inf, (1,), np.float32)
POINT = gymnasium.spaces.Box(1.0, 1.0, (1,), np.float32)  # a division by a range of zero
FROM_ONE = gymnasium.spaces.Discrete(3, start=1)  # actions 1, 2 and 3
SQUARE = gymnasium.spaces.Box(-1.0, 1.0, (2, 2), np.float32)


@pytest.mark.usefixtures("nothing_is_compiled")
@pytest.mark.parametrize(
    ("name", "space", "words"),
    [
        ("dqn", BOX, ["DQN", "Discrete", "Box"]),
        ("a2c", gymnasium.spaces.MultiDiscrete([2, 2]), ["A2C", "Discrete", "MultiDiscrete"]),
        ("a2c", SQUARE, ["A2C", "one axis", "(2, 2)"]),
        ("dqn", gymnasium.spaces.MultiDiscrete([2, 2]), ["DQN", "Discrete", "MultiDiscrete"]),
        ("ddpg", THREE_ACTIONS, ["DDPG", "Box", "Discrete(3)"]),
        ("ddpg", BOUNDLESS, ["DDPG", "bounded", "inf"]),
        ("ddpg", HALF, ["DDPG", "bounded", "inf"]),
        ("ddpg", SQUARE, ["DDPG", "one axis", "(2, 2)"]),
        ("ddpg", POINT, ["DDPG", "Box(1.0, 1.0"]),
        ("q_learning", BOX, ["Q-learning", "Discrete", "Box"]),
        ("pqn", BOX, ["PQN", "Discrete", "Box"]),
        ("drqn", gymnasium.spaces.MultiDiscrete([2, 2]), ["DRQN", "Discrete", "MultiDiscrete"]),
        ("dqn", FROM_ONE, ["DQN", "start=1"]),
        ("a2c", FROM_ONE, ["A2C", "start=1"]),
        ("ppo", SQUARE, ["PPO", "one axis", "(2, 2)"]),
    ],
)
def test_action_spaces_that_cannot_work(name: str, space: gymnasium.Space[Any], words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        AGENTS[name].init(jax.random.key(0), BASE[name], BOARD, space)
    for word in words:
        assert word in str(raised.value)


@pytest.mark.usefixtures("nothing_is_compiled")
@pytest.mark.parametrize("name", AGENTS)
def test_observation_spaces_that_cannot_work(name: str) -> None:
    space = gymnasium.spaces.Text(3)
    with pytest.raises(InvalidInput, match="Text"):
        AGENTS[name].init(jax.random.key(0), BASE[name], space, BOX if name == "ddpg" else THREE_ACTIONS)


# --- networks of one's own ------------------------------------------------------------------------


class Own(nn.Module):
    """Gives numbers of a shape, whatever it is asked."""

    shape: tuple[int, ...]
    kind: str = "params"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, observation: Any) -> Any:
        return self.variable(self.kind, "q", jnp.zeros, self.shape, self.dtype).value


class Fractions(Own):
    """Is given fractions, too."""

    @nn.compact
    def __call__(self, observation: Any, tau: Any) -> Any:
        return super().__call__(observation)[..., None] + tau


class Remembering(Own):
    """Gives back another memory than it is given."""

    def __call__(self, carry: Any, observation: Any) -> Any:
        return jnp.zeros(5), jnp.zeros(self.shape)

    def initial_carry(self) -> Any:
        return jnp.zeros(4)


class WithoutRate(Own):
    """Is given fractions or None, and no rate."""

    @nn.compact
    def __call__(self, observation: Any, tau: Any = None) -> Any:
        return super().__call__(observation)


class OfABatch(nn.Module):
    """Normalises by the batch as it acts, too."""

    @nn.compact
    def __call__(self, observation: Any) -> Any:
        x = nn.BatchNorm(use_running_average=False, axis_name="batch")(observation.reshape(-1))
        return nn.Dense(3)(x)


CATEGORICAL = OWN["dqn"].replace(distribution="categorical", atoms=7)
QUANTILES = OWN["dqn"].replace(distribution="quantile", atoms=7)
FRACTIONS = OWN["dqn"].replace(distribution="implicit")
POLICY = networks.ActorCritic(SMALL, CategoricalHead(3))
POLICY_OF_FOUR = networks.ActorCritic(SMALL, CategoricalHead(4))
UNSUITABLE: list[tuple[str, Any, Any, list[str]]] = [
    ("dqn", OWN["dqn"], Own((4,)), ["Own", "action values [3]", "[3, 3]", "not [4]"]),
    ("dqn", OWN["dqn"], Own((1,)), ["action values [3]", "not [1]"]),
    ("dqn", OWN["dqn"], Own((3, 1)), ["action values [3]", "not [3, 1]"]),
    ("dqn", OWN["dqn"], Own((3,), dtype=jnp.int32), ["action values [3]", "not [3] of int32"]),
    ("dqn", OWN["dqn"], Own((3,), "memory"), ["variables memory", "params and batch_stats"]),
    ("dqn", OWN["dqn"], Own, ["flax module"]),
    ("dqn", OWN["dqn"], OfABatch(), ["OfABatch", "cannot be given observation [3, 3]"]),
    (
        "dqn",
        OWN["dqn"],
        POLICY,
        ["action values [3]", "not ([3], [])"],
    ),
    ("dqn", OWN["dqn"].replace(dropout="acting"), Own((3,)), ["dropout rate", "Own"]),
    ("dqn", OWN["dqn"].replace(dropout="replay"), WithoutRate((3,)), ["fractions None, dropout rate []"]),
    ("dqn", CATEGORICAL, Own((3,)), ["[actions, atoms] = [3, 7]", "not [3]"]),
    ("dqn", CATEGORICAL, Own((7, 3)), ["[actions, atoms] = [3, 7]", "not [7, 3]"]),
    ("dqn", QUANTILES, Own((3, 51)), ["[actions, atoms] = [3, 7]", "not [3, 51]"]),
    ("dqn", FRACTIONS, Own((3, 4)), ["fractions [4]", "cannot be given"]),
    ("dqn", FRACTIONS, Fractions((2,)), ["[actions, fractions] = [3, 4]", "not [2, 4]"]),
    ("pqn", OWN["pqn"], Own((4,)), ["action values [3]", "not [4]"]),
    ("pqn", OWN["pqn"], Own((3,), "batch_stats"), ["variables batch_stats", "params alone"]),
    ("q_learning", OWN["q_learning"], Own((4,)), ["action values [3]", "not [4]"]),
    ("a2c", OWN["a2c"], Own((3,)), ["policy Categorical [3] and value []", "not [3]"]),
    (
        "a2c",
        OWN["a2c"],
        POLICY_OF_FOUR,
        ["policy Categorical [3] and value []", "not Categorical [4] and []"],
    ),
    (
        "a2c",
        OWN["a2c"],
        Remembering((3,)),
        ["carry [4] and policy and value ([3], [])", "not [5] and [3]"],
    ),
    ("ppo", OWN["ppo"], Own((3,)), ["policy Categorical [3] and value []", "not [3]"]),
    ("ddpg", BASE["ddpg"], networks.DeterministicActor(SMALL, 2), ["action [1]", "not [2]"]),
    ("drqn", OWN["drqn"], Own((3,)), ["initial_carry"]),
    ("drqn", OWN["drqn"], Fading(2), ["carry [1] and action values [3]", "not [1] and [2]"]),
    ("drqn", OWN["drqn"], Remembering((3,)), ["carry [4] and action values [3]", "not [5] and [3]"]),
]


@pytest.mark.usefixtures("nothing_is_compiled")
@pytest.mark.parametrize(("name", "base", "network", "words"), UNSUITABLE, ids=range(len(UNSUITABLE)))
def test_networks_that_do_not_suit(name: str, base: Any, network: Any, words: list[str]) -> None:
    with pytest.raises(InvalidInput) as raised:
        make(name, base.replace(**{"actor" if name == "ddpg" else "network": network}))
    for word in words:
        assert word in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("base", "network"),
    [
        (CATEGORICAL, Own((3, 7))),
        (FRACTIONS, Fractions((3,))),
        (OWN["dqn"].replace(dropout="both"), value_networks.QNetwork(SMALL, 3)),
        (
            OWN["dqn"].replace(dropout="both", distribution="implicit"),
            value_networks.QNetwork(SMALL, 3, embedding=4),
        ),
        (OWN["dqn"], value_networks.QNetwork(networks.MLP((3,), normalisation="batch"), 3)),
    ],
    ids=range(5),
)
def test_networks_that_suit(base: Any, network: Any) -> None:
    state = jax.eval_shape(lambda: make("dqn", base.replace(network=network)))
    assert state.network == network


BUILDING = {
    "dqn": ["dueling", "stream_sizes", "noisy", "noise_scale", "embedding", "normalisation", "architecture"],
    "pqn": ["normalisation"],
    "q_learning": ["approximator", "tilings", "order", "architecture", "activation"],
    "a2c": ["activation", "shared_torso"],
    "ppo": ["activation", "shared_torso", "cell", "cell_size", "head_sizes"],
    "trpo": ["activation"],
    "drqn": ["dueling", "cell", "cell_size"],
}
OWN_NETWORK = {
    "dqn": Own((3,)),
    "pqn": Own((3,)),
    "q_learning": Own((3,)),
    "a2c": POLICY,
    "ppo": POLICY,
    "trpo": networks.Actor(SMALL, CategoricalHead(3)),
    "drqn": Fading(3),
}


@pytest.mark.usefixtures("nothing_is_compiled")
@pytest.mark.parametrize(
    ("name", "field"),
    [(name, x) for name, own in BUILDING.items() for x in (*own, "hidden_sizes", "torso", "initialiser")],
)
def test_what_builds_a_network_is_refused_beside_one(name: str, field: str) -> None:
    """It would do nothing: no noise, say, where exploration is left to it."""
    value = OTHER[name][field][0]
    with pytest.raises(InvalidInput) as raised:
        make(name, OWN[name].replace(network=OWN_NETWORK[name], **{field: value}))
    assert f"{field}={value!r}" in str(raised.value)
    assert "network" in str(raised.value)


# --- checks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["fast", b"1", True, [0.5, [1.0]], object, 1j], ids=repr)
def test_what_is_no_number_says_so(value: Any) -> None:
    given = types.SimpleNamespace(rate=value)
    with pytest.raises(InvalidInput, match="rate must be a number, not"):
        checks.finite(given, "rate")
    with pytest.raises(InvalidInput, match="rate must be a number, not"):
        checks.within(given, 0, 1, "rate")
    with pytest.raises(InvalidInput, match="rate must be a number, not"):
        checks.whole_leaf(given, "rate", "updates")


def test_numbers_that_are_none_or_finite_pass() -> None:
    @dataclasses.dataclass
    class Given:
        rate: float | None

    values: tuple[Any, ...] = (None, 1, 0.5, np.float32(2.0), jnp.ones(3))
    for value in values:
        checks.finite(Given(value), "rate")
