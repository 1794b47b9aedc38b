"""Runs a task with rejax, on gymnax's environments: one compiled call, as ours is.

Variants: ``shipped`` is rejax as it is; ``replacement`` draws replay batches with replacement, as
everybody else here does, which rejax has no option for and which is the faster.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from measurement import EVALUATION_EPISODES, Clock, Outcome, Task, answer, with_returns
from rejax import DQN, PPO, TD3  # pyright: ignore[reportMissingImports]
from rejax.algos import dqn, td3  # pyright: ignore[reportMissingImports]
from rejax.buffers import ReplayBuffer  # pyright: ignore[reportMissingImports]
from rejax.evaluate import evaluate  # pyright: ignore[reportMissingImports]


def measure(task: Task) -> Outcome:
    """All seeds vmapped, and with several devices that program sharded over them."""
    jax.config.update("jax_num_cpu_devices", task.devices)
    if task.variant == "replacement":
        ReplayBuffer.sample = sample_with_replacement
    keys = jax.random.split(jax.random.PRNGKey(task.root), task.num_seeds)
    mesh = Mesh(np.array(jax.local_devices()), ("seeds",))
    over = PartitionSpec("seeds")

    clock = Clock()
    algorithm = {"w1": make_dqn, "w3": make_td3, "w4": make_ppo}[task.workload](task.total_steps)
    train = jax.vmap(lambda key: algorithm.train(rng=key))
    if task.devices > 1:
        train = jax.shard_map(train, mesh=mesh, in_specs=over, out_specs=over, check_vma=False)
    program = jax.jit(train).lower(keys).compile()
    clock.compiled()
    states, _ = jax.block_until_ready(program(keys))
    outcome = clock.outcome()

    greedy = {"w1": greedy_dqn, "w3": greedy_td3, "w4": greedy_ppo}[task.workload]

    def judge(state: Any, key: Any) -> Any:
        act = lambda observation, _: greedy(algorithm, state, observation)  # noqa: E731
        steps = algorithm.env_params.max_steps_in_episode
        return evaluate(act, key, algorithm.env, algorithm.env_params, EVALUATION_EPISODES, steps)[1]

    return with_returns(outcome, jax.jit(jax.vmap(judge))(states, keys).mean(axis=1))


def make_dqn(total_steps: int) -> Any:
    """DQN of w1. An update an iteration, that is every 10 steps; rejax counts the rest in steps."""
    algorithm = DQN.create(
        env="CartPole-v1",
        total_timesteps=total_steps,
        num_envs=10,
        buffer_size=10_000,
        fill_buffer=10_000,
        batch_size=128,
        learning_rate=2.5e-4,
        gamma=0.99,
        eps_start=1.0,
        eps_end=0.05,
        exploration_fraction=0.5,
        target_update_freq=500,
        polyak=0.0,
        ddqn=False,
        **without_evaluation(total_steps),
    )
    # The sizes of layers are no option of create.
    network = dqn.EpsilonGreedyPolicy(dqn.DiscreteQNetwork)(
        hidden_layer_sizes=(120, 84), action_dim=2, activation=nn.relu
    )
    return algorithm.replace(agent=network, eval_callback=nothing)


def make_td3(total_steps: int) -> Any:
    """TD3 at w3's sizes: two critics where DDPG has one, the actor updated half as often."""
    algorithm = TD3.create(
        env="Pendulum-v1",
        total_timesteps=total_steps,
        num_envs=1,
        buffer_size=200_000,
        fill_buffer=10_000,
        batch_size=256,
        learning_rate=1e-3,
        gamma=0.98,
        polyak=0.995,
        exploration_noise=0.2,  # in the action's units, 0.1 of half its range
        **without_evaluation(total_steps),
    )
    actor = td3.DeterministicPolicy(1, (-2.0, 2.0), hidden_layer_sizes=(400, 300), activation=nn.relu)
    critic = td3.QNetwork(hidden_layer_sizes=(400, 300), activation=nn.relu)
    return algorithm.replace(actor=actor, critic=critic, eval_callback=nothing)


def make_ppo(total_steps: int) -> Any:
    """PPO of w4. Gradients are clipped element by element, and the critic's apart from the actor's."""
    algorithm = PPO.create(
        env="CartPole-v1",
        total_timesteps=total_steps,
        num_envs=4,
        num_steps=128,
        num_epochs=4,
        num_minibatches=4,
        learning_rate=2.5e-4,
        gamma=0.99,
        gae_lambda=0.95,
        clip_eps=0.2,
        vf_coef=0.5,
        ent_coef=0.01,
        max_grad_norm=0.5,
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": (64, 64)},
        **without_evaluation(total_steps),
    )
    return algorithm.replace(eval_callback=nothing)


def without_evaluation(total_steps: int) -> dict[str, Any]:
    """Options for a run that is timed."""
    return {"eval_freq": total_steps, "skip_initial_evaluation": True}


def nothing(algorithm: Any, state: Any, key: Any) -> tuple[()]:
    """The evaluation of a run that is timed."""
    del algorithm, state, key
    return ()


def greedy_dqn(algorithm: Any, state: Any, observation: jax.Array) -> jax.Array:
    """The action of highest value; rejax's own evaluation keeps ε at 0.005."""
    return algorithm.agent.apply(state.q_ts.params, observation[None])[0].argmax()


def greedy_td3(algorithm: Any, state: Any, observation: jax.Array) -> jax.Array:
    """The policy's action."""
    return algorithm.actor.apply(state.actor_ts.params, observation[None])[0]


def greedy_ppo(algorithm: Any, state: Any, observation: jax.Array) -> jax.Array:
    """The likeliest action; rejax's own evaluation draws it."""
    params = state.actor_ts.params
    return algorithm.actor.apply(params, observation[None], method="_action_dist").logits[0].argmax()


def sample_with_replacement(buffer: Any, num: int, key: Any) -> Any:
    """A batch of what the buffer holds; instead of ReplayBuffer.sample."""
    index = jax.random.randint(key, (num,), 0, buffer.num_entries)
    return jax.tree.map(lambda stored: stored[index], buffer.data)


if __name__ == "__main__":
    answer(measure)
