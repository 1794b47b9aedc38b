"""Runs a task, one seed, with Stable-Baselines3 (PyTorch) or SBX (the same in JAX) on gymnasium.

Variants: ``sb3`` and ``sbx``. Neither compiles ahead of the run. JAX itself counts what it spends on
compilation in the midst of SBX's, and that is taken out of the run's seconds.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
import sbx  # pyright: ignore[reportMissingImports]
import stable_baselines3 as sb3  # pyright: ignore[reportMissingImports]
from measurement import EVALUATION_EPISODES, Clock, Outcome, Task, answer, with_returns
from stable_baselines3.common.env_util import make_vec_env  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.evaluation import evaluate_policy  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.noise import NormalActionNoise  # pyright: ignore[reportMissingImports]


def measure(task: Task) -> Outcome:
    """One run; there are no several seeds."""
    compilation = 0.0

    def count(event: str, duration_secs: float, **kwargs: Any) -> None:
        nonlocal compilation
        if event.startswith("/jax/core/compile/"):
            compilation += duration_secs

    jax.monitoring.register_event_duration_secs_listener(count)
    clock = Clock()
    makers = {"w1": make_dqn, "w2": make_a2c, "w3": make_ddpg, "w4": make_ppo}
    model = makers[task.workload](task)
    clock.compiled()
    before = compilation
    model.learn(total_timesteps=task.total_steps)
    outcome = clock.outcome(lambda: compilation - before)

    environment = make_vec_env(str(model.get_env().envs[0].spec.id), n_envs=1, seed=task.root + 1000)
    value, _ = evaluate_policy(model, environment, n_eval_episodes=EVALUATION_EPISODES, deterministic=True)
    return with_returns(outcome, [float(np.mean(value))])


def make_dqn(task: Task) -> Any:
    """DQN of w1. Both have Huber's loss and no other; SBX's second layer is as wide as the first."""
    options: dict[str, Any] = {} if task.variant == "sbx" else {"max_grad_norm": math.inf, "device": "cpu"}
    return {"sb3": sb3.DQN, "sbx": sbx.DQN}[task.variant](
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=10, seed=task.root),
        learning_rate=2.5e-4,
        buffer_size=10_000,
        learning_starts=10_000,
        batch_size=128,
        gamma=0.99,
        train_freq=1,
        gradient_steps=1,
        target_update_interval=500,
        exploration_fraction=0.5,
        exploration_final_eps=0.05,
        policy_kwargs={"net_arch": [120, 84]},
        seed=task.root,
        **options,
    )


def make_a2c(task: Task) -> Any:
    """A2C of w2, which is Stable-Baselines3's own defaults in 8 environments."""
    environment = make_vec_env("CartPole-v1", n_envs=8, seed=task.root)
    return sb3.A2C("MlpPolicy", environment, seed=task.root, device="cpu")


def make_ddpg(task: Task) -> Any:
    """DDPG of w3."""
    options: dict[str, Any] = {"qf_learning_rate": 1e-3} if task.variant == "sbx" else {"device": "cpu"}
    return {"sb3": sb3.DDPG, "sbx": sbx.DDPG}[task.variant](
        "MlpPolicy",
        make_vec_env("Pendulum-v1", n_envs=1, seed=task.root),
        learning_rate=1e-3,
        buffer_size=200_000,
        learning_starts=10_000,
        batch_size=256,
        tau=0.005,
        gamma=0.98,
        train_freq=1,
        gradient_steps=1,
        action_noise=NormalActionNoise(np.zeros(1), 0.1 * np.ones(1)),
        policy_kwargs={"net_arch": [400, 300]},
        seed=task.root,
        **options,
    )


def make_ppo(task: Task) -> Any:
    """PPO of w4. SBX does not clip values."""
    options: dict[str, Any] = {} if task.variant == "sbx" else {"clip_range_vf": 0.2, "device": "cpu"}
    return {"sb3": sb3.PPO, "sbx": sbx.PPO}[task.variant](
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=4, seed=task.root),
        learning_rate=2.5e-4,
        n_steps=128,
        batch_size=128,
        n_epochs=4,
        gamma=0.99,
        gae_lambda=0.95,
        clip_range=0.2,
        ent_coef=0.01,
        vf_coef=0.25,  # of the whole squared error, where the others have a half
        max_grad_norm=0.5,
        seed=task.root,
        **options,
    )


if __name__ == "__main__":
    answer(measure)
