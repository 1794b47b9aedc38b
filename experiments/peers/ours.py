"""Runs a task with purejaxrl itself: the whole experiment as one compiled call."""

from __future__ import annotations

import dataclasses

import jax
from measurement import EVALUATION_EPISODES, Clock, Outcome, Task, answer, with_returns

from purejaxrl import environments, presets, training
from purejaxrl.agents import a2c, ddpg, dqn, ppo
from purejaxrl.training import seeds

WORKLOADS = {
    "w1": (dqn, "parallel", "CartPole-v1"),
    "w2": (a2c, "zoo", "CartPole-v1"),
    "w3": (ddpg, "zoo", "Pendulum-v1"),
    "w4": (ppo, "cleanrl", "CartPole-v1"),
}


def measure(task: Task) -> Outcome:
    """One run of a preset, without evaluation on the way."""
    jax.config.update("jax_num_cpu_devices", task.devices)
    agent, preset, environment = WORKLOADS[task.workload]
    chosen = presets.get(
        agent.__name__.rpartition(".")[2], preset, environments.make(environment).observation_space
    )
    config = chosen.config
    if isinstance(config, dqn.Config):  # ε falls over half of the run, however long that is
        config = config.replace(epsilon_steps=task.total_steps / 2)  # type: ignore[attr-defined]
    if isinstance(config, ppo.Config):  # nobody's step size falls
        config = config.replace(learning_rate_steps=None)  # type: ignore[attr-defined]
    settings = dataclasses.replace(
        chosen.settings, total_steps=task.total_steps, num_epochs=1, evaluation_episodes=0
    )
    experiment = training.Experiment(
        agent=agent,
        config=config,
        environment=environment,
        settings=settings,
        num_seeds=task.num_seeds,
        seed=task.root,
        seeds=task.seeds,  # type: ignore[arg-type]
    )
    clock = Clock()
    made = training.programs(experiment)
    program = made.train.lower(made.members).compile()
    clock.compiled()
    runners, _ = jax.block_until_ready(program(made.members))
    outcome = clock.outcome()

    runners = seeds.first(runners, task.num_seeds)
    judge = dataclasses.replace(
        made.loop, settings=dataclasses.replace(settings, evaluation_episodes=EVALUATION_EPISODES)
    )
    _, episode = jax.jit(jax.vmap(judge.evaluate, in_axes=(0, None)))(runners, 0)
    return with_returns(outcome, episode.episode_return.mean(axis=1))


if __name__ == "__main__":
    answer(measure)
