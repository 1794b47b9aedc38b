"""Presets: each fits together, and has the numbers of its source."""

from __future__ import annotations

import importlib
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl import presets
from purejaxrl.agents import dqn, pqn, reinforce
from purejaxrl.networks import INITIALISERS
from purejaxrl.presets import PRESETS
from purejaxrl.training import Experiment, Settings
from purejaxrl.types import InvalidInput

AGENTS: dict[str, Any] = {agent: importlib.import_module(f"purejaxrl.agents.{agent}") for agent in PRESETS}
VECTOR = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
IMAGE = gymnasium.spaces.Box(0, 255, (96, 96, 4), np.uint8)
# An environment that each is meant for, and another where there is one.
SUITABLE = {
    ("dqn", "cleanrl"): ["CartPole-v1", "MountainCar-v0"],
    ("dqn", "parallel"): ["CartPole-v1", "Catch"],
    ("dqn", "spell-chart"): ["Catch", "CartPole-v1"],
    ("dqn", "c51"): ["CartPole-v1", "Acrobot-v1"],
    ("dqn", "minatar"): ["MinAtar-Breakout", "MinAtar-Asterix"],
    ("dqn", "rainbow"): ["CartPole-v1", "Catch"],
    ("dqn", "rainbow-atari"): ["envpool:Breakout-v5"],
    ("drqn", "classic"): ["CartPoleNoVel-v1", "MemoryLength"],
    ("pqn", "cleanrl"): ["CartPole-v1", "MinAtar-Breakout"],
    ("q_learning", "cliff"): ["CliffWalking", "FourRooms"],
    ("q_learning", "tiles"): ["MountainCar-v0"],
    ("a2c", "zoo"): ["CartPole-v1", "Catch"],
    ("a2c", "zoo-16"): ["Acrobot-v1", "MountainCar-v0"],
    ("a2c", "atari"): ["Catch", "envpool:Pong-v5"],
    ("ddpg", "zoo"): ["Pendulum-v1", "MountainCarContinuous-v0"],
    ("ddpg", "spell-chart"): ["Pendulum-v1", "MountainCarContinuous-v0"],
    ("a3c", "eight"): ["CartPole-v1", "Catch"],
    ("ppo", "cleanrl"): ["CartPole-v1", "Catch"],
    ("ppo", "zoo"): ["CartPole-v1", "Pendulum-v1"],
    ("ppo", "zoo-memory"): ["CartPoleNoVel-v1", "PendulumNoVel-v1"],
    ("trpo", "zoo"): ["CartPole-v1", "Pendulum-v1"],
    ("reinforce", "vanilla"): ["CartPole-v1", "Pendulum-v1"],
    ("reinforce", "pong"): ["envpool:Pong-v5", "Catch"],
    ("reinforce", "catch"): ["Catch"],
    ("evolution_strategies", "classic"): ["CartPole-v1", "Pendulum-v1"],
    ("random_search", "classic"): ["CartPole-v1", "Pendulum-v1"],
    ("finite_differences", "cartpole"): ["CartPole-v1"],
    ("cross_entropy", "classic"): ["CartPole-v1"],
    ("genetic", "classic"): ["CartPole-v1"],
    ("hill_climbing", "classic"): ["CartPole-v1"],
    ("gait_search", "classic"): ["CartPole-v1"],
}


def fields(value: Any, **expected: Any) -> None:
    """Asserts that a Config or Settings has these values."""
    assert {name: getattr(value, name) for name in expected} == expected


def test_every_preset_is_tried() -> None:
    assert set(SUITABLE) == {(agent, name) for agent, named in PRESETS.items() for name in named}


@pytest.mark.parametrize(
    ("agent", "name", "environment"),
    [(*preset, environment) for preset, chosen in SUITABLE.items() for environment in chosen],
)
def test_a_preset_fits_together(agent: str, name: str, environment: str) -> None:
    """A whole run of it is checked and traced; nothing is compiled."""
    if environment.startswith("envpool:"):
        pytest.importorskip("envpool")
    module = AGENTS[agent]
    made = Experiment(module, module.Config(), environment, Settings(total_steps=20_000, num_epochs=1))
    preset = presets.get(agent, name, made.loop().environment.observation_space)
    assert isinstance(preset.config, module.Config)
    assert preset.source
    loop = Experiment(module, preset.config, environment, preset.settings).loop()  # checks itself
    assert loop.iterations_per_epoch >= 1


@pytest.mark.parametrize("agent", [*AGENTS, "sarsa"])
def test_an_unknown_preset_is_refused_with_the_known_ones(agent: str) -> None:
    known = ", ".join(PRESETS.get(agent, {})) or "none"
    with pytest.raises(InvalidInput) as caught:
        presets.get(agent, "magic", VECTOR)
    assert str(caught.value) == f"unknown preset 'magic' for {agent}; known: {known}"


@pytest.mark.parametrize(("space", "torso"), [(VECTOR, "auto"), (IMAGE, "pooling_cnn")])
def test_the_spell_chart_of_dqn(space: gymnasium.Space[Any], torso: str) -> None:
    """Deck 4: η 1e-4, soft τ 0.001, ε 1 → 0.05 in 1M steps, Xavier, batch 32, γ 0.99, gradients ± 10, 10M."""
    preset = presets.get("dqn", "spell-chart", space)
    fields(
        preset.config,
        learning_rate=1e-4,
        discount=0.99,
        epsilon_start=1.0,
        epsilon_end=0.05,
        epsilon_steps=1_000_000,
        tau=0.001,
        target_period=1,
        max_gradient_value=10.0,
        max_gradient_norm=None,
        loss="squared",
        batch_size=32,
        initialiser="xavier",
        hidden_sizes=(512,),
        torso=torso,
    )
    warmup = preset.settings.warmup_iterations(preset.config.warmup_steps) * preset.settings.rollout_size
    assert preset.settings.total_steps - warmup == 10_000_000
    assert preset.config.initialiser in INITIALISERS


@pytest.mark.parametrize(("size", "hidden_sizes"), [(3, (30, 15)), (17, (170, 85)), (1, (10, 5))])
def test_the_spell_chart_of_ddpg(size: int, hidden_sizes: tuple[int, int]) -> None:
    """Deck 4: ten times the state, then half; outputs ± 0.3 and ± 0.003; noise 0.5 → 0.1 in 1M; τ 0.001."""
    preset = presets.get("ddpg", "spell-chart", gymnasium.spaces.Box(-1, 1, (size,), np.float32))
    fields(
        preset.config,
        actor_learning_rate=1e-4,
        critic_learning_rate=2e-4,
        tau=0.001,
        noise_start=0.5,
        noise_end=0.1,
        noise_steps=1_000_000,
        actor_output_scale=0.3,
        critic_output_scale=0.003,
        hidden_sizes=hidden_sizes,
        initialiser="xavier",
        max_gradient_value=None,
        max_gradient_norm=None,
    )


def test_cleanrl() -> None:
    """dqn.py: 500k steps, 10k of them before learning, an update every 10, a target copy every 500."""
    preset = presets.get("dqn", "cleanrl", VECTOR)
    fields(
        preset.config,
        learning_rate=2.5e-4,
        discount=0.99,
        epsilon_start=1.0,
        epsilon_end=0.05,
        epsilon_steps=500_000 * 0.5,
        tau=1.0,
        loss="squared",
        hidden_sizes=(120, 84),
        batch_size=128,
        buffer_capacity=10_000,
        warmup_steps=10_000,
        max_gradient_norm=None,
        max_gradient_value=None,
    )
    fields(preset.settings, total_steps=500_000, num_envs=1, rollout_length=10, updates_per_iteration=1)
    assert preset.config.target_period * preset.settings.rollout_size == 500


def test_parallel_is_cleanrl_with_ten_environments() -> None:
    one, ten = (presets.get("dqn", name, VECTOR) for name in ("cleanrl", "parallel"))
    assert ten.config == one.config
    assert ten.settings.rollout_size == one.settings.rollout_size == 10
    fields(ten.settings, num_envs=10, rollout_length=1, total_steps=one.settings.total_steps)


def test_rainbow_is_whole() -> None:
    """β is 1 at the last update, streams are streams, and returns of classic control have atoms."""
    preset = presets.get("dqn", "rainbow", VECTOR)
    settings, config = preset.settings, preset.config
    updates = (settings.total_steps - config.warmup_steps) // settings.rollout_size
    assert config.importance_steps == updates * settings.updates_per_iteration == 49_000
    assert config.stream_sizes == (64,)
    most = sum(config.discount**step for step in range(500))  # of CartPole; of Acrobot its opposite
    assert config.value_low <= -most < 0 < most <= config.value_high
    fields(config, double=True, dueling=True, prioritised=True, n_step=3, noisy=True, epsilon_start=0.0)


def test_rainbow_s_streams_of_atari_follow_the_convolutions() -> None:
    """Hessel et al. (2018): of 7 × 7 × 64 features each stream makes 512 in a noisy layer of its own."""
    space = gymnasium.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    network = dqn.make_network(presets.get("dqn", "rainbow-atari", space).config, space, 4)
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros(space.shape, space.dtype))["params"]
    for stream in ("value", "advantage"):
        assert params[f"{stream}_0"]["kernel_deviation"].shape == (7 * 7 * 64, 512)
    assert set(params["torso"]) == {"Conv_0", "Conv_1", "Conv_2"}


def test_pqn_begins_with_orthogonal_weights() -> None:
    """layer_init of CleanRL's pqn.py: gain √2, the last layer's, too."""
    preset = presets.get("pqn", "cleanrl", VECTOR)
    fields(preset.config, initialiser="orthogonal", normalisation="layer", learning_rate_steps=975)
    state = pqn.init(jax.random.key(0), preset.config, VECTOR, gymnasium.spaces.Discrete(2))
    kernel = np.asarray(state.params["params"]["values"]["kernel"], np.float64)
    np.testing.assert_allclose(kernel.T @ kernel, 2 * np.eye(2), atol=1e-5)


@pytest.mark.parametrize(("name", "num_envs", "total_steps"), [("zoo", 8, 500_000), ("zoo-16", 16, 500_000)])
def test_a2c_of_the_zoo(name: str, num_envs: int, total_steps: int) -> None:
    """a2c.yml for CartPole and Acrobot, over the defaults of stable-baselines3's A2C."""
    preset = presets.get("a2c", name, VECTOR)
    fields(
        preset.config,
        learning_rate=7e-4,
        discount=0.99,
        gae_lambda=1.0,
        entropy_coefficient=0.0,
        value_coefficient=0.5,
        max_gradient_norm=0.5,
        optimiser="rmsprop",
        optimiser_decay=0.99,
        optimiser_epsilon=1e-5,
        hidden_sizes=(64, 64),
        activation="tanh",
        shared_torso=False,
    )
    fields(preset.settings, num_envs=num_envs, rollout_length=5, total_steps=total_steps)


def test_a2c_of_the_zoo_for_atari() -> None:
    preset = presets.get("a2c", "atari", IMAGE)
    fields(preset.config, entropy_coefficient=0.01, value_coefficient=0.25, shared_torso=True)
    fields(preset.settings, num_envs=16, rollout_length=5, total_steps=10_000_000)


def test_ddpg_of_the_zoo() -> None:
    """ddpg.yml for Pendulum, over the defaults of stable-baselines3's DDPG."""
    preset = presets.get("ddpg", "zoo", VECTOR)
    fields(
        preset.config,
        actor_learning_rate=1e-3,
        critic_learning_rate=1e-3,
        discount=0.98,
        tau=0.005,
        noise_start=0.1,
        noise_end=0.1,
        hidden_sizes=(400, 300),
        batch_size=256,
        buffer_capacity=200_000,
        warmup_steps=10_000,
    )
    fields(preset.settings, total_steps=20_000, num_envs=1, rollout_length=1, updates_per_iteration=1)


def test_reinforce_on_pong() -> None:
    """Deck 3: 200 units, about 1.3M parameters. The post: RMSProp at 1e-4, decay 0.99, ε 1e-5, γ 0.99."""
    space = gymnasium.spaces.Box(-1, 1, (80, 80, 1), np.int8)
    preset = presets.get("reinforce", "pong", space)
    fields(
        preset.config,
        learning_rate=1e-4,
        discount=0.99,
        optimiser="rmsprop",
        optimiser_decay=0.99,
        optimiser_epsilon=1e-5,
        baseline="none",
        advantage_normalisation="rollout",
        activation="relu",
    )
    params = reinforce.init(jax.random.key(0), preset.config, space, gymnasium.spaces.Discrete(2)).params
    number = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert number == 80 * 80 * 200 + 200 + 200 * 2 + 2  # the deck's one output, of up, is two here


@pytest.mark.parametrize("name", ["cleanrl", "zoo", "zoo-memory"])
def test_what_falls_ends_with_the_run_of_ppo(name: str) -> None:
    """CleanRL: 976 updates of 512 steps; the zoo: 390 of 256."""
    preset = presets.get("ppo", name, VECTOR)
    updates = preset.settings.total_steps // preset.settings.rollout_size
    assert preset.config.learning_rate_steps == updates == (976 if name == "cleanrl" else 390)
    assert preset.config.clip_steps == (None if name == "cleanrl" else updates)
