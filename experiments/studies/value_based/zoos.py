"""DQN, QR-DQN and double dueling DQN at the settings of the zoos of Stable-Baselines 3 and 2."""

from __future__ import annotations

import dataclasses

from purejaxrl.agents import dqn
from purejaxrl.training import Experiment, Settings
from studies.base import Figure, Published, Study
from studies.running import Measure, Trained

SEEDS = 8
"""The published figures are of one run."""
EPISODES = "standard deviation of one run's episodes"
MEASURE = (
    "published: greedy episodes of one trained agent over 150k steps; their standard deviation says nothing"
    " of other runs, so that the figure is taken for a threshold"
)
SOURCE = "rl-baselines3-zoo, hyperparams/dqn.yml, hyperparams/qrdqn.yml and benchmark.md"
END_AT_LIMIT = ("end_at_limit=True",)
"""The published agents are of March 2021 and before. Off-policy, Stable-Baselines took time limits for ends
of the task until version 1.1.0 of its third edition (July 2021)."""
LIMIT_NOTE = "a time limit is an end of the task, as it was in the source when its agents were trained"
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
            Experiment(dqn, config, task, settings, END_AT_LIMIT, num_seeds=SEEDS),
            {"greedy": Measure("evaluation_return"), "training": Measure("episode_return")},
        ),
        figures={
            "greedy": Figure("return, 20 greedy episodes after the run", published),
            "training": Figure("return, training episodes of the last epoch"),
        },
        source=source,
        measure=MEASURE,
        note=f"{LIMIT_NOTE}; {note}" if note else LIMIT_NOTE,
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
        return threshold(
            "dqn-zoo", "DQN", self.task, config, self.settings, self.published, SOURCE, self.note
        )

    def qr_dqn(self) -> Study:
        """QR-DQN, with the paper's epsilon of Adam, and gradients as they are."""
        config = dataclasses.replace(
            self.config,
            distribution="quantile",
            atoms=self.quantiles,
            optimiser_epsilon=0.01 / self.config.batch_size,
        )
        return threshold(
            "qrdqn-zoo", "QR-DQN", self.task, config, self.settings, self.of_quantiles, SOURCE, self.note
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
        published=Published(500.0, 0.0, EPISODES, rule="at least"),
        quantiles=10,
        of_quantiles=Published(500.0, 0.0, EPISODES, rule="at least"),
        note=(
            f"{UNIFORM}; 256 steps a rollout make it 50 176 steps, as in the source; the source's copies of"
            " the target every 10 steps all fall between two rounds of 128 updates, so that one copy a round"
            " is the same, and its first updates come after 1 024 steps, here after 1 280; its buffer of"
            " 100 000 is never full; by their own logs the published agents' training returns were 243 over"
            " the last 3 100 steps of DQN and 471 over those of QR-DQN"
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
        published=Published(-76.639, 11.8, EPISODES, rule="at least"),
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
        published=Published(-100.849, 9.9, EPISODES, rule="at least"),
        quantiles=25,
        of_quantiles=Published(-106.042, 15.5, EPISODES, rule="at least"),
        note=(
            f"{UNIFORM}; by their own logs the published agents' training returns were −119 over the last"
            " 13 000 steps of DQN and −125 over those of QR-DQN, where the seeds here lie from −140 to −119"
            " and from −146 to −119 over their last 15 000, so that these agents are of the better runs"
        ),
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
    note = "the source clips the gradient of each variable by its norm, here that of all together"
    if not prioritised:
        note += "; it explores by noise on the parameters besides, here by ε alone"
    return threshold(
        "ddqn-sb2",
        f"Double dueling DQN{', prioritised' * prioritised}",
        task,
        config,
        Settings(total_steps=100_000, num_epochs=20, evaluation_episodes=20),
        Published(value, spread, EPISODES, rule="at least"),
        "rl-baselines-zoo (Stable-Baselines 2), hyperparams/dqn.yml, utils/utils.py and benchmark.md",
        note,
    )


STUDIES: tuple[Study, ...] = (
    *(study for zoo in ZOO for study in (zoo.dqn(), zoo.qr_dqn())),
    stable_baselines("CartPole-v1", 0.02, True, 500.0, 0.0),
    stable_baselines("Acrobot-v1", 0.02, True, -88.103, 33.0),
    stable_baselines("MountainCar-v0", 0.1, False, -134.507, 24.7),
)
