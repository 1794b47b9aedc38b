"""Deep value-based methods."""

from __future__ import annotations

import dataclasses
from typing import Any

from purejaxrl.agents import dqn
from purejaxrl.training import Experiment, Settings
from studies.base import Figure, Published, Study
from studies.running import Measure, Trained

SEEDS = 8
"""The published figures are of one to three runs."""
CLEANRL_SETTINGS = Settings(
    total_steps=500_000, num_envs=1, rollout_length=10, num_epochs=50, evaluation_episodes=10
)


def cleanrl(task: str, name: str, config: Any, agent: Any, published: Published | None, source: str) -> Study:
    """A study at CleanRL's settings for classic control: 500k steps, an update of 128 every 10.

    Its figure is of the last training episodes, exploration included. Epochs of 9 800 steps make about a
    hundred episodes of five epochs in CartPole, of one in Acrobot, of two in MountainCar.
    """
    epochs = {"CartPole-v1": 5, "Acrobot-v1": 1, "MountainCar-v0": 2}[task]
    return Study(
        name=f"{name}-cleanrl-{task.partition('-')[0].lower()}",
        what=f"{name.upper()}, {task}, 500k steps",
        run=Trained(
            Experiment(agent, config, task, CLEANRL_SETTINGS, num_seeds=SEEDS),
            {"training": Measure("episode_return", epochs), "greedy": Measure("evaluation_return")},
        ),
        figures={
            "training": Figure("return, about the last 100 training episodes", published),
            "greedy": Figure("return, 10 greedy episodes after the run"),
        },
        source=source,
        measure="published: training episodes at the end, with ε = .05; mean ± deviation of 3 seeds",
        cost="minutes",
    )


DQN_CLEANRL = "CleanRL, cleanrl/dqn_jax.py and docs/rl-algorithms/dqn.md"


ZOO_MEASURE = (
    "published: greedy episodes of one trained agent over 150k steps; ± is their standard deviation, which"
    " says nothing of other runs, so that the figure is taken for a threshold"
)
UNIFORM = "the source acts uniformly at random for its first 1 000 steps, here ε falls from the first step"


def threshold(
    name: str,
    what: str,
    task: str,
    config: dqn.Config,
    settings: Settings,
    published: Published | None,
    source: str,
    note: str,
) -> Study:
    """A study whose published figure is one trained agent's, of greedy episodes."""
    return Study(
        name=f"{name}-{task.partition('-')[0].lower()}",
        what=f"{what}, {task}, {round(settings.total_steps, -3) // 1000}k steps",
        run=Trained(
            Experiment(dqn, config, task, settings, num_seeds=SEEDS),
            {"greedy": Measure("evaluation_return"), "training": Measure("episode_return")},
        ),
        figures={
            "greedy": Figure("return, 20 greedy episodes after the run", published),
            "training": Figure("return, training episodes of the last epoch"),
        },
        source=source,
        measure=ZOO_MEASURE,
        note=note,
        cost="minutes",
    )


@dataclasses.dataclass(frozen=True)
class Zoo:
    """What rl-baselines3-zoo sets for DQN on a task; QR-DQN has the same, and quantiles."""

    task: str
    config: dqn.Config
    settings: Settings
    published: Published
    quantiles: int
    of_quantiles: Published | None
    note: str = ""

    def dqn(self) -> Study:
        """DQN, whose gradients are clipped and whose penalty is Huber's."""
        config = dataclasses.replace(self.config, loss="huber", max_gradient_norm=10.0)
        source = "rl-baselines3-zoo, hyperparams/dqn.yml and benchmark.md"
        return threshold(
            "dqn-zoo", "DQN", self.task, config, self.settings, self.published, source, self.note
        )

    def qr_dqn(self) -> Study:
        """QR-DQN, with the paper's epsilon of Adam, and gradients as they are."""
        config = dataclasses.replace(
            self.config,
            distribution="quantile",
            atoms=self.quantiles,
            optimiser_epsilon=0.01 / self.config.batch_size,
        )
        source = "rl-baselines3-zoo, hyperparams/qrdqn.yml and benchmark.md"
        return threshold(
            "qrdqn-zoo", "QR-DQN", self.task, config, self.settings, self.of_quantiles, source, self.note
        )


ZOO = (
    Zoo(
        task="CartPole-v1",
        config=dqn.Config(
            learning_rate=2.3e-3,
            epsilon_end=0.04,
            epsilon_steps=8_000,
            target_period=128,
            hidden_sizes=(256, 256),
            batch_size=64,
            buffer_capacity=50_176,
            warmup_steps=1_024,
        ),
        settings=Settings(
            total_steps=50_176,
            rollout_length=256,
            updates_per_iteration=128,
            num_epochs=16,
            evaluation_episodes=20,
        ),
        published=Published(500.0, 0.0, rule="at least"),
        quantiles=10,
        of_quantiles=Published(500.0, 0.0, rule="at least"),
        note=(
            f"{UNIFORM}; 256 steps a rollout make it 50 176 steps, as in the source; the source's copies of"
            " the target every 10 steps all fall between two rounds of 128 updates, so that one copy a round"
            " is the same; its buffer of 100 000 is never full"
        ),
    ),
    Zoo(
        task="Acrobot-v1",
        config=dqn.Config(
            learning_rate=6.3e-4,
            epsilon_end=0.1,
            epsilon_steps=12_000,
            target_period=250,
            hidden_sizes=(256, 256),
            batch_size=128,
            buffer_capacity=50_000,
            warmup_steps=0,
        ),
        settings=Settings(
            total_steps=100_000,
            rollout_length=4,
            updates_per_iteration=4,
            num_epochs=20,
            evaluation_episodes=20,
        ),
        published=Published(-76.639, 11.8, rule="at least"),
        quantiles=25,
        of_quantiles=None,
    ),
    Zoo(
        task="MountainCar-v0",
        config=dqn.Config(
            learning_rate=4e-3,
            discount=0.98,
            epsilon_end=0.07,
            epsilon_steps=24_000,
            target_period=300,
            hidden_sizes=(256, 256),
            batch_size=128,
            buffer_capacity=10_000,
            warmup_steps=1_000,
        ),
        settings=Settings(
            total_steps=120_000,
            rollout_length=16,
            updates_per_iteration=8,
            num_epochs=37,
            evaluation_episodes=20,
        ),
        published=Published(-100.849, 9.9, rule="at least"),
        quantiles=25,
        of_quantiles=Published(-106.042, 15.5, rule="at least"),
        note=UNIFORM,
    ),
)


def stable_baselines(task: str, epsilon_end: float, prioritised: bool, value: float, spread: float) -> Study:
    """Double, dueling and, but for MountainCar, prioritised DQN, as Stable-Baselines 2's zoo had it."""
    config = dqn.Config(
        learning_rate=1e-3,
        epsilon_end=epsilon_end,
        epsilon_steps=10_000,
        target_period=500,
        max_gradient_norm=10.0,
        loss="huber",
        double=True,
        dueling=True,
        hidden_sizes=(),
        stream_sizes=(64,),
        normalisation="layer",
        initialiser="xavier",
        prioritised=prioritised,
        importance_steps=100_000,
        batch_size=32,
        buffer_capacity=50_000,
        warmup_steps=1_000,
    )
    note = (
        "the source takes a time limit for an end of the task, here it bootstraps; it clips the gradient of"
        " each variable by its norm, here that of all together"
    )
    if not prioritised:
        note += "; it explores by noise on the parameters besides, here by ε alone"
    return threshold(
        "ddqn-sb2",
        f"Double dueling DQN{', prioritised' * prioritised}",
        task,
        config,
        Settings(total_steps=100_000, num_epochs=20, evaluation_episodes=20),
        Published(value, spread, rule="at least"),
        "rl-baselines-zoo (Stable-Baselines 2), hyperparams/dqn.yml, utils/utils.py and benchmark.md",
        note,
    )


C51_CLEANRL = "CleanRL, cleanrl/c51_jax.py and docs/rl-algorithms/c51.md"
C51_CONFIG = dqn.Config(
    distribution="categorical",
    atoms=101,
    value_low=-100.0,
    value_high=100.0,
    optimiser_epsilon=0.01 / 128,
    initialiser="lecun",
)

STUDIES: tuple[Study, ...] = (
    *(
        cleanrl(
            task, "dqn", dqn.Config(initialiser="lecun"), dqn, Published(value, spread, runs=3), DQN_CLEANRL
        )
        for task, value, spread in (
            ("CartPole-v1", 498.38, 2.29),
            ("Acrobot-v1", -88.89, 1.56),
            ("MountainCar-v0", -188.90, 11.78),
        )
    ),
    *(
        cleanrl(task, "c51", C51_CONFIG, dqn, published, C51_CLEANRL)
        for task, published in (
            ("CartPole-v1", Published(491.07, 9.70, runs=3)),
            ("Acrobot-v1", None),
            ("MountainCar-v0", Published(-174.30, 36.35, runs=3)),
        )
    ),
    *(study for zoo in ZOO for study in (zoo.dqn(), zoo.qr_dqn())),
    stable_baselines("CartPole-v1", 0.02, True, 500.0, 0.0),
    stable_baselines("Acrobot-v1", 0.02, True, -88.103, 33.0),
    stable_baselines("MountainCar-v0", 0.1, False, -134.507, 24.7),
)
