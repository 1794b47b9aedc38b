# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Update functions, called by hand
#
# An agent is a module of pure functions: `init` makes a state, `update(state, batch)` returns the next one.
# Here we call them on batches small enough to check with a pencil, then sweep, train and look.

# %%
import dataclasses
import functools
import math

import chex
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from gymnasium import spaces

import purejaxrl
from purejaxrl import Transition
from purejaxrl.agents import a2c, ddpg, dqn
from purejaxrl.training import Loop, Settings

# One key for each purpose, each used once.
dqn_key, a2c_key, ddpg_key, collect_key, sweep_key, train_key = jax.random.split(jax.random.key(0), 6)

close = functools.partial(np.testing.assert_allclose, rtol=1e-4)  # with room for float32


def show(info):
    print(", ".join(f"{name} {figure:.4f}" for name, figure in info.items()))


# %% [markdown]
# ## A world of three places
#
# With one-hot observations and no hidden layers a network is a table, and we can fill it in ourselves.

# %%
place = jnp.eye(3)  # three places, each seen as a one-hot vector
observation_space = spaces.Box(0.0, 1.0, (3,))

# %% [markdown]
# ## DQN: a batch `[B]` of transitions

# %%
config = dqn.Config(learning_rate=0.1, discount=0.9, hidden_sizes=())
state = dqn.init(dqn_key, config, observation_space, spaces.Discrete(2))
print(jax.tree.map(jnp.shape, state.params))

# %% [markdown]
# The state is an immutable pytree, so a table goes in with `replace`: one row a place, one column an action.

# %%
q = jnp.array([[2.0, 0.0], [5.0, 2.0], [3.0, 4.0]])
table = {"params": {"values": {"kernel": q, "bias": jnp.zeros(2)}}}
state = state.replace(params=table, target_params=table)
chex.assert_trees_all_equal(dqn.action_values(state, state.params, place), q)

# %% [markdown]
# Three steps in the columns below. `terminated` says that nothing is to be earned from there on, `truncated`
# only that somebody stopped watching.

# %%
batch = Transition(
    observation=place[jnp.array([0, 1, 2])],
    action=jnp.array([0, 1, 0]),
    reward=jnp.array([1.0, 1.0, 1.0]),
    next_observation=place[jnp.array([1, 2, 0])],
    terminated=jnp.array([False, True, False]),  # the second target is the reward alone
    truncated=jnp.array([False, False, True]),  # the third bootstraps like any other
)
predicted = np.array([2.0, 2.0, 3.0])  # q[0, 0], q[1, 1], q[2, 0]
target = np.array([1 + 0.9 * 5, 1.0, 1 + 0.9 * 2])  # 5.5, 1.0, 2.8
td_error = target - predicted  # 3.5, -1.0, -0.2

# %% [markdown]
# `update` takes the whole state and returns the next one. What it measured on the way is in `info`.

# %%
before = jax.tree.map(np.array, state)
updated = dqn.update(state, batch)
show(updated.info)
close(updated.info["loss"], np.mean(td_error**2 / 2))
close(updated.info["td_error"], np.mean(np.abs(td_error)))
close(updated.info["action_value"], np.mean(predicted))  # of the actions taken

# %% [markdown]
# Adam's first step is `learning_rate` long in every weight that has a gradient: the three entries that were
# visited move towards their targets, and the other three stay.

# %%
moved = updated.params["params"]["values"]["kernel"] - q
print(moved)
close(moved, [[0.1, 0.0], [0.0, -0.1], [-0.1, 0.0]])

# %% [markdown]
# Nothing happened to the old state, nobody can write to it, and the same arguments give the same bits.

# %%
chex.assert_trees_all_equal(state, before)
chex.assert_trees_all_equal(dqn.update(state, batch), updated)
try:
    state.step = 1
except dataclasses.FrozenInstanceError as error:
    print(error)
else:
    raise AssertionError("a state must be immutable")

# %% [markdown]
# ## A2C: a rollout `[T, B]`
#
# Two environments take the same three steps and earn 1 at each. After the second step an episode ends and
# another begins: it is terminated in the first environment, truncated in the other.

# %%
config = a2c.Config(learning_rate=0.1, discount=0.5, hidden_sizes=())
state = a2c.init(a2c_key, config, observation_space, spaces.Discrete(2))
even = {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}  # a policy that tosses a coin
value = {"kernel": jnp.array([[1.0], [2.0], [4.0]]), "bias": jnp.zeros(1)}
state = state.replace(params={"params": {"policy": even, "value": value}})

both = jnp.ones(2, int)
rollout = Transition(
    observation=place[jnp.outer(jnp.array([0, 1, 0]), both)],
    action=jnp.outer(jnp.array([1, 1, 1]), both),
    reward=jnp.ones((3, 2)),
    next_observation=place[jnp.outer(jnp.array([1, 2, 1]), both)],  # place 2 is the old episode's last
    terminated=jnp.array([[False, False], [True, False], [False, False]]),
    truncated=jnp.array([[False, False], [False, True], [False, False]]),
)

# %% [markdown]
# Returns are summed backwards from the value of the last successor. A termination adds nothing to its step's
# reward, a truncation the value of the true successor, and neither lets anything of the next episode through.

# %%
returns = np.array(
    [
        [1 + 0.5 * 1, 1 + 0.5 * 3],
        [1, 1 + 0.5 * 4],  # terminated | truncated, where the value is 4
        [1 + 0.5 * 2, 1 + 0.5 * 2],
    ]
)
advantage = returns - np.array([[1], [2], [1]])
before = jax.tree.map(np.array, state)
updated = a2c.update(state, rollout)
print(advantage)
show(updated.info)

policy_loss, value_loss = math.log(2) * np.mean(advantage), np.mean(advantage**2)
close(updated.info["advantage"], np.mean(np.abs(advantage)))
close(updated.info["policy_loss"], policy_loss)
close(updated.info["value_loss"], value_loss)
close(updated.info["entropy"], math.log(2))
close(updated.info["loss"], policy_loss + 0.5 * value_loss)
chex.assert_trees_all_equal(a2c.update(state, rollout), updated)
chex.assert_trees_all_equal(state, before)

# %% [markdown]
# ## DDPG: continuous actions
#
# An actor that always answers 0, and a critic that adds to a place's value the action in halves of its range.

# %%
config = ddpg.Config(
    actor_learning_rate=0.1, critic_learning_rate=1e-3, discount=0.9, tau=0.25, hidden_sizes=()
)
state = ddpg.init(ddpg_key, config, observation_space, spaces.Box(-2.0, 2.0, (1,)))
actor = {"params": {"action": {"kernel": jnp.zeros((3, 1)), "bias": jnp.zeros(1)}}}
critic = {"params": {"value": {"kernel": jnp.array([[2.0], [5.0], [4.0], [1.0]]), "bias": jnp.zeros(1)}}}
state = state.replace(
    actor_params=actor, target_actor_params=actor, critic_params=critic, target_critic_params=critic
)

batch = batch.replace(action=jnp.array([[2.0], [0.0], [-2.0]]))
before = jax.tree.map(np.array, state)
updated = ddpg.update(state, batch)
predicted = np.array([2 + 1, 5 + 0, 4 - 1])
target = np.array([1 + 0.9 * 5, 1.0, 1 + 0.9 * 2])  # as before: only `terminated` stops the bootstrap
show(updated.info)
close(updated.info["critic_loss"], np.mean((target - predicted) ** 2 / 2))
close(updated.info["action_value"], np.mean(predicted))
chex.assert_trees_all_equal(ddpg.update(state, batch), updated)
chex.assert_trees_all_equal(state, before)

# %% [markdown]
# The critic likes large actions, so the actor climbs: weight and bias by 0.1 each, then a tanh, then the
# range of ±2. The target networks follow a quarter of the way.

# %%
print(ddpg.greedy(state, place)[0].ravel(), "→", ddpg.greedy(updated, place)[0].ravel())
close(ddpg.greedy(updated, place)[0], 2 * math.tanh(0.1 + 0.1))
chex.assert_trees_all_close(
    updated.target_critic_params,
    jax.tree.map(lambda new, old: 0.25 * new + 0.75 * old, updated.critic_params, critic),
    rtol=1e-6,
)

# %% [markdown]
# ## A sweep is a vmap
#
# First 400 steps of CartPole under a random policy, collected by the environment's own functions and stored
# by the memory's.

# %%
environment = purejaxrl.make("CartPole-v1", num_envs=8)
memory = dqn.memory(dqn.Config(buffer_capacity=400, batch_size=64))


def interact(carry, key):
    environment_state, observation = carry
    act_key, step_key = jax.random.split(key)
    action = jax.random.randint(act_key, (8,), 0, 2)
    environment_state, timestep = environment.step(step_key, environment_state, action)
    return (environment_state, timestep.observation), timestep.transition(observation, action)


reset_key, step_key = jax.random.split(collect_key)
_, rollout = jax.lax.scan(interact, jax.jit(environment.reset)(reset_key), jax.random.split(step_key, 50))
example = jax.tree.map(lambda leaf: leaf[0, 0], rollout)  # the shapes of one transition
stored = memory.add(memory.init(example, 50, 8), rollout, 0)

goes_on = ~rollout.terminated[:-1]  # there the successor is what is seen next
chex.assert_trees_all_equal(rollout.next_observation[:-1][goes_on], rollout.observation[1:][goes_on])
print(f"{rollout.reward.size} steps, {int(rollout.terminated.sum())} poles fell")

# %% [markdown]
# The learning rate is a leaf of the config, so `vmap` of `init` makes eight learners with the same first
# weights, and `vmap` of `update` teaches them side by side on 300 samples that all share.

# %%
rates = jnp.geomspace(1e-5, 1e-1, 8)
init_key, sample_key = jax.random.split(sweep_key)


def learner(rate):
    config = dqn.Config(learning_rate=rate, hidden_sizes=(64, 64))
    return dqn.init(init_key, config, environment.observation_space, environment.action_space)


@jax.jit
def learn(state, batches):
    def step(state, batch):
        state = dqn.update(state, batch)
        return state, state.info

    return jax.lax.scan(step, state, batches)


learners = jax.jit(jax.vmap(learner))(rates)
batches = jax.vmap(memory.sample, in_axes=(None, 0, None))(stored, jax.random.split(sample_key, 300), 1)
swept, info = jax.vmap(learn, in_axes=(0, None))(learners, batches)  # info: [8, 300]
assert swept.step.tolist() == [300] * 8

alone = jax.tree.map(lambda leaf: leaf[5], learners)  # one rate by itself learns the same
for i in range(10):
    alone = dqn.update(alone, jax.tree.map(lambda leaf, i=i: leaf[i], batches))
close(alone.info["loss"], info["loss"][5, 9], rtol=1e-3)

# %% [markdown]
# Every step of CartPole pays 1. After k copies of the target network, one every 50 updates, k + 1 steps can
# have been counted: 1 + γ + … + γᵏ, a staircase that a good rate climbs and a small one does not.

# %%
updates = np.arange(300)
staircase = (1 - 0.99 ** (updates // 50 + 1)) / (1 - 0.99)
upright = jax.vmap(lambda state: dqn.action_values(state, state.params, jnp.zeros((1, 4))))(swept)

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
colours = plt.colormaps["viridis"](np.linspace(0.0, 0.92, 8))
smooth = jax.tree.map(lambda figures: figures.reshape(8, 60, 5).mean(axis=-1), info)  # of every five updates
for rate, colour, loss, value in zip(rates, colours, smooth["loss"], smooth["action_value"], strict=True):
    left.plot(updates[2::5], loss, color=colour, label=f"{rate:.1e}")
    middle.plot(updates[2::5], value, color=colour)
middle.plot(updates, staircase, "k--", label="1 + γ + … + γᵏ")
right.plot(rates, upright[:, 0, 0], "o-", label="push left")
right.plot(rates, upright[:, 0, 1], "x--", label="push right")
left.set(xlabel="update", ylabel="loss", yscale="log")
middle.set(xlabel="update", ylabel="mean action value", ylim=(-0.5, 8.0))
right.set(xlabel="learning rate", ylabel="action value, pole upright and at rest", xscale="log")
figure.legend(*left.get_legend_handles_labels(), title="learning rate", loc="outside left center")
middle.legend()
right.legend()
plt.show()

plateaus = (
    info["action_value"].reshape(8, 6, 50)[:, :, -10:].mean(-1)
)  # the last ten updates before each copy
close(plateaus[4:7], np.broadcast_to(staircase[::50], (3, 6)), rtol=0.15)
assert (plateaus[:2] < 1).all()

# %% [markdown]
# ## A value function, looked at
#
# `Loop` joins an agent, an environment and settings into a pure function of a key, so three seeds are one
# compiled call.

# %%
config = dqn.Config(
    learning_rate=1e-3, epsilon_steps=10_000, hidden_sizes=(64, 64), batch_size=64, warmup_steps=1_000
)
settings = Settings(total_steps=41_000, num_envs=8, num_epochs=8, evaluation_episodes=4)
loop = Loop(dqn, config, environment, settings)
train = jax.jit(lambda keys: jax.lax.map(loop.train, keys))  # on an accelerator, jax.vmap(loop.train)
runner, metrics = train(jax.random.split(train_key, 3))
agents = runner.agent  # three States in one, with a leading axis

# %% [markdown]
# The value with the cart at rest in the middle. Above its white line each seed pushes right, below it left,
# and so keeps the pole on the yellow ridge.

# %%
degrees, speed = np.meshgrid(np.linspace(-12, 12, 81), np.linspace(-2.5, 2.5, 81))
still = np.zeros_like(speed)
grid = np.stack([still, still, np.radians(degrees), speed], axis=-1).reshape(-1, 4)
q = jax.vmap(lambda state: dqn.action_values(state, state.params, grid))(agents).reshape(3, 81, 81, 2)
value = q.max(axis=-1)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for seed in range(3):
    thousands = metrics.environment_steps[seed] / 1000
    left.plot(thousands, metrics.evaluation_return[seed], "o-", label=f"seed {seed}")
    right.contour(degrees, speed, q[seed, ..., 1] - q[seed, ..., 0], [0.0], colors="white", linewidths=1)
image = right.contourf(degrees, speed, value.mean(axis=0), levels=24, zorder=0)
left.set(xlabel="thousands of environment steps", ylabel="return of the greedy policy", ylim=(0, 500))
right.set(xlabel="angle of the pole (degrees)", ylabel="angular velocity (rad/s)")
figure.colorbar(image, label="max over actions of Q, mean of three seeds")
left.legend(loc="lower right")
plt.show()

# %% [markdown]
# What must be so: no value passes 1 / (1 - γ) = 100, an upright pole is worth more than a falling one, and
# the cart moves to the side on which the pole falls.

# %%
falling = jnp.array([[0.0, 0.0, 0.15, 1.5], [0.0, 0.0, -0.15, -1.5]])  # to the right, to the left
pushes, _ = jax.vmap(dqn.greedy, in_axes=(0, None))(agents, falling)
assert pushes.tolist() == [[1, 0]] * 3
assert (value[:, 40, 40] > jnp.maximum(value[:, -1, -1], value[:, 0, 0])).all()
assert (value < 100).all()
assert (metrics.evaluation_return.max(axis=1) > 10 * metrics.evaluation_return[:, 0]).all()
