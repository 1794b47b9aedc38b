"""Settings that somebody published or taught, by name, each with its source.

A preset is a function of the observation space, since some advice depends on its size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import gymnasium
import numpy as np

from purejaxrl.agents import (
    a2c,
    a3c,
    cross_entropy,
    ddpg,
    dqn,
    drqn,
    evolution_strategies,
    finite_differences,
    gait_search,
    genetic,
    hill_climbing,
    ppo,
    pqn,
    q_learning,
    random_search,
    reinforce,
    trpo,
)
from purejaxrl.training import Settings
from purejaxrl.types import InvalidInput


@dataclasses.dataclass(frozen=True)
class Preset:
    """Hyperparameters and sizes that belong together."""

    config: Any
    settings: Settings
    source: str


def dqn_cleanrl(space: gymnasium.Space[Any]) -> Preset:
    """DQN for classic control: an update every 10 steps, the target copied every 500."""
    del space
    return Preset(
        config=dqn.Config(),
        settings=Settings(total_steps=500_000, num_envs=1, rollout_length=10),
        source="CleanRL, docs/rl-algorithms/dqn.md (its dqn, whose layers begin as PyTorch's do)",
    )


def dqn_parallel(space: gymnasium.Space[Any]) -> Preset:
    """CleanRL's DQN with the 10 steps between updates taken in 10 environments at once: 1.4× faster."""
    preset = dqn_cleanrl(space)
    return dataclasses.replace(
        preset, settings=dataclasses.replace(preset.settings, num_envs=10, rollout_length=1)
    )


def dqn_spell_chart(space: gymnasium.Space[Any]) -> Preset:
    """DQN by the fourth deck: 3×3 convolutions with pooling, Xavier, a slow rate, a soft target.

    The deck's code clamps the gradient of the mean of δ² over batch and actions to ±10; here it is the
    gradient of the batch's mean of ½δ². Buffer and warm-up are ours: it names none.
    """
    image = len(space.shape or ()) in (2, 3)
    return Preset(
        config=dqn.Config(
            learning_rate=1e-4,
            discount=0.99,
            epsilon_start=1.0,
            epsilon_end=0.05,
            epsilon_steps=1_000_000,
            tau=0.001,
            target_period=1,
            max_gradient_value=10.0,
            hidden_sizes=(512,),
            torso="pooling_cnn" if image else "auto",
            initialiser="xavier",
            batch_size=32,
            buffer_capacity=100_000,
            warmup_steps=10_000,
        ),
        settings=Settings(total_steps=10_010_000, num_envs=4, num_epochs=100),
        source="deck 4, the DQN spell chart and its code",
    )


def dqn_rainbow(space: gymnasium.Space[Any]) -> Preset:
    """Every extension of Rainbow, at the rates of the parallel preset: for classic control, not for Atari.

    Its 101 atoms from -100 to 100 are C51's for such tasks, whose rewards of ±1 come to no more at γ = 0.99;
    where returns are smaller, ``value_low`` and ``value_high`` should be, too.
    """
    preset = dqn_parallel(space)
    config = dataclasses.replace(
        _rainbow(preset.config),
        stream_sizes=(64,),
        importance_steps=49_000,  # as many as there are updates
        atoms=101,
        value_low=-100.0,
        value_high=100.0,
    )
    return dataclasses.replace(
        preset, config=config, source="Hessel et al. (2018), its choices; rates and exponents are ours"
    )


def dqn_rainbow_atari(space: gymnasium.Space[Any]) -> Preset:
    """Rainbow as published for Atari; it takes days, and 56.5 GB for a million transitions.

    The rewards it learns from are clipped, which its atoms of ±10 count on, and a lost life ends an episode:
    ``--environment-options reward_clip=True episodic_life=True``.
    """
    del space
    return Preset(
        config=_rainbow(
            dqn.Config(
                learning_rate=6.25e-5,
                optimiser_epsilon=1.5e-4,
                discount=0.99,
                target_period=2_000,
                priority_exponent=0.5,
                importance_start=0.4,
                importance_steps=12_500_000,
                torso="nature_convolutions",
                stream_sizes=(512,),
                initialiser="pytorch",
                batch_size=32,
                buffer_capacity=1_000_000,
                warmup_steps=20_000,
            )
        ),
        settings=Settings(total_steps=50_020_000, rollout_length=4, num_epochs=200, evaluation_episodes=2),
        source="Hessel et al. (2018), table 1",
    )


def _rainbow(config: dqn.Config) -> dqn.Config:
    """A Config with all that Rainbow has; exploration is left to the noise."""
    return dataclasses.replace(
        config,
        double=True,
        dueling=True,
        prioritised=True,
        n_step=3,
        noisy=True,
        distribution="categorical",
        epsilon_start=0.0,
        epsilon_end=0.0,
    )


def dqn_c51(space: gymnasium.Space[Any]) -> Preset:
    """C51 for classic control: 101 atoms from -100 to 100."""
    preset = dqn_cleanrl(space)
    config = dataclasses.replace(
        preset.config,
        distribution="categorical",
        atoms=101,
        value_low=-100.0,
        value_high=100.0,
        optimiser_epsilon=0.01 / 128,
    )
    return dataclasses.replace(preset, config=config, source="CleanRL, docs/rl-algorithms/c51.md (its c51)")


def dqn_minatar(space: gymnasium.Space[Any]) -> Preset:
    """DQN for MinAtar: an update a frame, RMSProp, 16 filters."""
    del space
    return Preset(
        config=dqn.Config(
            learning_rate=2.5e-4,
            discount=0.99,
            epsilon_start=1.0,
            epsilon_end=0.1,
            epsilon_steps=100_000,
            target_period=1_000,
            loss="huber",
            optimiser="centred_rmsprop",
            optimiser_epsilon=0.01,
            optimiser_decay=0.95,  # the source's GRAD_MOMENTUM is that of the running means, no momentum
            torso="small_cnn",
            batch_size=32,
            buffer_capacity=100_000,
            warmup_steps=5_000,
        ),
        settings=Settings(total_steps=1_000_000, num_envs=1, num_epochs=199, evaluation_episodes=5),
        source="Young & Tian (2019), section 3, and their examples/dqn.py before its pull request 37",
    )


def pqn_cleanrl(space: gymnasium.Space[Any]) -> Preset:
    """PQN for classic control: 4 environments, 128 steps, 4 passes in 4 minibatches."""
    del space
    return Preset(
        config=pqn.Config(learning_rate_steps=975, initialiser="orthogonal"),
        settings=Settings(total_steps=499_200, num_envs=4, rollout_length=128, num_epochs=25),
        source="CleanRL, cleanrl/pqn.py",
    )


def q_learning_cliff(space: gymnasium.Space[Any]) -> Preset:
    """A table, one environment, an update a step, for grid worlds."""
    del space
    return Preset(
        config=q_learning.Config(),
        settings=Settings(total_steps=20_000, num_epochs=20),
        source="Sutton & Barto (2018), example 6.6",
    )


def q_learning_tiles(space: gymnasium.Space[Any]) -> Preset:
    """SARSA on eight tilings, for MountainCar; episodes of more than 200 steps need max_episode_steps."""
    del space
    return Preset(
        config=q_learning.Config(
            learning_rate=0.5 / 8,
            target="sarsa",
            approximator="tile_coding",
            epsilon_start=0.0,
            epsilon_end=0.0,
        ),
        settings=Settings(total_steps=100_001, num_epochs=20),
        source="Sutton & Barto (2018), example 10.1",
    )


def drqn_classic(space: gymnasium.Space[Any]) -> Preset:
    """A small recurrent Q-network, for classic control without velocities and for memory tasks."""
    del space
    return Preset(
        config=drqn.Config(),
        settings=Settings(total_steps=101_000, num_envs=4, num_epochs=20),
        source="ours; stored state, burn-in and double are of Kapturowski et al. (2019)",
    )


def a2c_zoo(space: gymnasium.Space[Any]) -> Preset:
    """A2C for CartPole: 8 environments, 5 steps, RMSProp."""
    del space
    return Preset(
        config=a2c.Config(),
        settings=Settings(total_steps=500_000, num_envs=8, rollout_length=5),
        source="rl-baselines3-zoo, hyperparams/a2c.yml (CartPole-v1)",
    )


def a2c_zoo_16(space: gymnasium.Space[Any]) -> Preset:
    """A2C for Acrobot and MountainCar: 16 environments; the zoo normalises what is seen, too."""
    preset = a2c_zoo(space)
    settings = Settings(total_steps=500_000, num_envs=16, rollout_length=5, num_epochs=25)
    return dataclasses.replace(
        preset, settings=settings, source="rl-baselines3-zoo, hyperparams/a2c.yml (Acrobot-v1)"
    )


def a2c_atari(space: gymnasium.Space[Any]) -> Preset:
    """A2C for Atari: a shared convolutional torso, 16 environments, an entropy bonus.

    The zoo clips rewards and takes a life for an episode; for that, give EnvPool the options
    ``reward_clip=True episodic_life=True`` (Pong has neither to lose).
    """
    del space
    return Preset(
        config=a2c.Config(entropy_coefficient=0.01, value_coefficient=0.25, shared_torso=True),
        settings=Settings(
            total_steps=10_000_000,
            num_envs=16,
            rollout_length=5,
            num_epochs=20,
            evaluation_episodes=2,
            evaluation_steps=5_000,  # of 27 000: a game of Pong takes 800 to 3 000
        ),
        source="rl-baselines3-zoo, hyperparams/a2c.yml (atari)",
    )


def ddpg_zoo(space: gymnasium.Space[Any]) -> Preset:
    """DDPG for Pendulum: [400, 300] units, an update a step after 10 000 random ones."""
    del space
    return Preset(
        config=ddpg.Config(),
        settings=Settings(total_steps=20_000, num_envs=1, num_epochs=10),
        source="rl-baselines3-zoo, hyperparams/ddpg.yml (Pendulum-v1)",
    )


def ddpg_spell_chart(space: gymnasium.Space[Any]) -> Preset:
    """DDPG by the fourth deck: a first layer of ten times the state, a second of half that.

    The deck's noise is read as a standard deviation, though it says variance. Batch, buffer and
    warm-up are ours: it names none.
    """
    size = int(np.prod(space.shape or (1,)))
    return Preset(
        config=ddpg.Config(
            actor_learning_rate=1e-4,
            critic_learning_rate=2e-4,
            discount=0.99,
            tau=0.001,
            noise_start=0.5,
            noise_end=0.1,
            noise_steps=1_000_000,
            actor_output_scale=0.3,
            critic_output_scale=0.003,
            hidden_sizes=(10 * size, 5 * size),
            initialiser="xavier",
            batch_size=64,
            warmup_steps=1_000,
        ),
        settings=Settings(total_steps=1_001_000, num_envs=1, num_epochs=100),
        source="deck 4, the DDPG spell chart and its code",
    )


def ppo_cleanrl(space: gymnasium.Space[Any]) -> Preset:
    """PPO for classic control: 4 environments, 128 steps, a step size that falls to 0."""
    del space
    updates = 976  # 500 000 steps are not a whole number of rollouts
    return Preset(
        config=ppo.Config(learning_rate_steps=updates, value_clip=0.2),
        settings=Settings(total_steps=updates * 512, num_envs=4, rollout_length=128, num_epochs=16),
        source="CleanRL, docs/rl-algorithms/ppo.md (ppo.py)",
    )


def ppo_zoo(space: gymnasium.Space[Any]) -> Preset:
    """PPO for CartPole in 100 000 steps: 20 passes over rollouts of 8 × 32 steps, which are not divided.

    Step size and clipping range fall to 0.
    """
    del space
    updates = 390
    return Preset(
        config=ppo.Config(
            learning_rate=1e-3,
            learning_rate_steps=updates,
            clip_steps=updates,
            discount=0.98,
            gae_lambda=0.8,
            value_coefficient=1.0,  # of half the squared error: the zoo has a half of all of it
            entropy_coefficient=0.0,
            passes=20,
            minibatches=1,
        ),
        settings=Settings(total_steps=updates * 256, num_envs=8, rollout_length=32, num_epochs=15),
        source="rl-baselines3-zoo, hyperparams/ppo.yml (CartPole-v1)",
    )


def ppo_zoo_memory(space: gymnasium.Space[Any]) -> Preset:
    """PPO with an LSTM for CartPole without velocities; the zoo normalises what is seen, too."""
    preset = ppo_zoo(space)
    config = preset.config.replace(
        hidden_sizes=(), activation="relu", initialiser="pytorch", cell="lstm", head_sizes=(64,)
    )
    return dataclasses.replace(
        preset, config=config, source="rl-baselines3-zoo, hyperparams/ppo_lstm.yml (CartPoleNoVel-v1)"
    )


def trpo_zoo(space: gymnasium.Space[Any]) -> Preset:
    """TRPO for CartPole: 2 environments, 512 steps, 20 passes of the value over all of them."""
    del space
    return Preset(
        config=trpo.Config(
            gae_lambda=0.98,
            damping=1e-3,
            conjugate_steps=15,
            backtrack_coefficient=0.8,
            passes=20,
            minibatches=2,
        ),
        settings=Settings(total_steps=96 * 1024, num_envs=2, rollout_length=512, num_epochs=16),
        source="rl-baselines3-zoo, hyperparams/trpo.yml (CartPole-v1)",
    )


def a3c_eight(space: gymnasium.Space[Any]) -> Preset:
    """A3C with eight workers of an environment each, at the settings that A2C has for classic control."""
    return Preset(
        config=a3c.Config(),
        settings=a2c_zoo(space).settings,
        source="Mnih et al. (2016), algorithm S3; numbers are those of A2C's preset zoo",
    )


def reinforce_vanilla(space: gymnasium.Space[Any]) -> Preset:
    """REINFORCE as the third deck's "vanilla" policy gradient: rewards to go, less a fitted state value.

    Sixteen episodes an update, of the 500 steps that classic control has at most; sizes and rates are ours.
    """
    del space
    return Preset(
        config=reinforce.Config(learning_rate=1e-2),
        settings=Settings(total_steps=800_000, num_envs=16, rollout_length=500),
        source="deck 3, algorithm 1",
    )


def reinforce_pong(space: gymnasium.Space[Any]) -> Preset:
    """REINFORCE by the third deck's "Pong from pixels": 200 units with ReLU, no baseline.

    The deck has the network; the other numbers are those of the post that it is after: ten games an update,
    each of about a thousand steps at first, RMSProp, returns of points with a mean of 0 and a deviation of 1
    (there over a game, here over all ten). For what it sees, see experiments/reinforce_envpool_pong.py.
    """
    del space
    return Preset(
        config=reinforce.Config(
            learning_rate=1e-4,
            optimiser="rmsprop",
            optimiser_decay=0.99,
            optimiser_epsilon=1e-5,
            episodes="all",
            baseline="none",
            advantage_normalisation="rollout",
            hidden_sizes=(200,),
            activation="relu",
            torso="mlp",
            initialiser="lecun",
        ),
        settings=Settings(
            total_steps=6_000_000,
            num_envs=10,
            rollout_length=1000,
            num_epochs=20,
            evaluation_episodes=2,
            evaluation_steps=5_000,  # of 27 000: a game takes 800 to 3 000
        ),
        source="deck 3, Pong from Pixels; Karpathy (2016), Deep Reinforcement Learning: Pong from Pixels",
    )


def reinforce_catch(space: gymnasium.Space[Any]) -> Preset:
    """The preset pong with larger steps, for a board of a few pixels: 160 balls an update."""
    preset = reinforce_pong(space)
    return dataclasses.replace(
        preset,
        config=dataclasses.replace(preset.config, learning_rate=1e-3),
        settings=Settings(total_steps=720_000, num_envs=16, rollout_length=90),
        source="the preset pong; step size and batch are ours",
    )


def search(config: Any, source: str, episodes: int = 2) -> Preset:
    """A search on classic control: a hundred generations of the Config's population, two episodes each.

    An episode is of 500 steps at most, which are counted whether it takes them or not.
    """
    settings = Settings(
        total_steps=100 * 500 * episodes * config.population,
        num_envs=episodes * config.population,
        rollout_length=500,
        num_epochs=20,
    )
    return Preset(config=config, settings=settings, source=source)


def evolution_strategies_classic(space: gymnasium.Space[Any]) -> Preset:
    """OpenAI's evolution strategies, with a small network and larger steps for classic control."""
    del space
    config = evolution_strategies.Config(learning_rate=0.05, noise=0.1, hidden_sizes=(16,))
    return search(config, "Salimans et al. (2017), algorithm 1; numbers are ours")


def random_search_classic(space: gymnasium.Space[Any]) -> Preset:
    """Augmented random search, of a linear policy."""
    del space
    config = random_search.Config(learning_rate=0.05, noise=0.1)
    return search(config, "Mania et al. (2018), algorithm 2; numbers are ours")


def finite_differences_cartpole(space: gymnasium.Space[Any]) -> Preset:
    """Central differences over all parameters of CartPole's linear policy: twice ten members, three times."""
    del space
    settings = Settings(total_steps=60 * 500 * 60, num_envs=60, rollout_length=500, num_epochs=20)
    return Preset(
        config=finite_differences.Config(central=True, learning_rate=1e-3, epsilon=0.5),
        settings=settings,
        source="deck 3; numbers are ours",
    )


def cross_entropy_classic(space: gymnasium.Space[Any]) -> Preset:
    """The cross-entropy method, with noise that falls for half of the run."""
    del space
    config = cross_entropy.Config(hidden_sizes=(16,))
    return search(config, "Szita & Lőrincz (2006); numbers are ours")


def genetic_classic(space: gymnasium.Space[Any]) -> Preset:
    """A genetic algorithm with elites and crossover."""
    del space
    return search(genetic.Config(hidden_sizes=(16,)), "Such et al. (2017), algorithm 1; numbers are ours")


def hill_climbing_classic(space: gymnasium.Space[Any]) -> Preset:
    """Hill climbing with adaptive noise, of a linear policy."""
    del space
    return search(hill_climbing.Config(hidden_sizes=()), "Rechenberg (1973); numbers are ours")


def gait_search_classic(space: gymnasium.Space[Any]) -> Preset:
    """The gait search of the third deck, of a linear policy."""
    del space
    return search(gait_search.Config(hidden_sizes=()), "deck 3, Kohl & Stone (2004); numbers are ours")


PRESETS: Mapping[str, Mapping[str, Callable[[gymnasium.Space[Any]], Preset]]] = MappingProxyType(
    {
        "dqn": {
            "cleanrl": dqn_cleanrl,
            "parallel": dqn_parallel,
            "spell-chart": dqn_spell_chart,
            "c51": dqn_c51,
            "minatar": dqn_minatar,
            "rainbow": dqn_rainbow,
            "rainbow-atari": dqn_rainbow_atari,
        },
        "drqn": {"classic": drqn_classic},
        "pqn": {"cleanrl": pqn_cleanrl},
        "q_learning": {"cliff": q_learning_cliff, "tiles": q_learning_tiles},
        "a2c": {"zoo": a2c_zoo, "zoo-16": a2c_zoo_16, "atari": a2c_atari},
        "ddpg": {"zoo": ddpg_zoo, "spell-chart": ddpg_spell_chart},
        "a3c": {"eight": a3c_eight},
        "ppo": {"cleanrl": ppo_cleanrl, "zoo": ppo_zoo, "zoo-memory": ppo_zoo_memory},
        "trpo": {"zoo": trpo_zoo},
        "reinforce": {"vanilla": reinforce_vanilla, "pong": reinforce_pong, "catch": reinforce_catch},
        "evolution_strategies": {"classic": evolution_strategies_classic},
        "random_search": {"classic": random_search_classic},
        "finite_differences": {"cartpole": finite_differences_cartpole},
        "cross_entropy": {"classic": cross_entropy_classic},
        "genetic": {"classic": genetic_classic},
        "hill_climbing": {"classic": hill_climbing_classic},
        "gait_search": {"classic": gait_search_classic},
    }
)


def get(agent: str, name: str, observation_space: gymnasium.Space[Any]) -> Preset:
    """A preset by the agent's name and its own.

    Raises:
        InvalidInput: there is none of that name.
    """
    known = PRESETS.get(agent, {})
    if name not in known:
        raise InvalidInput(f"unknown preset {name!r} for {agent}; known: {', '.join(known) or 'none'}")
    return known[name](observation_space)
