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
# # One transition, from a table to Rainbow
#
# A table, a linear function and a deep network learn by the same rule. We give one transition to each, work
# the new value out on paper, and see where the numbers must agree and where they may not.

# %%
import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from gymnasium import spaces

from purejaxrl import Transition
from purejaxrl.agents import dqn, q_learning
from purejaxrl.value_networks import QNetwork, Table, TileCoding

table_key, linear_key, tiles_key, deep_key, small_key, family_key = jax.random.split(jax.random.key(0), 6)
close = functools.partial(np.testing.assert_allclose, rtol=1e-5)
rate, discount = 0.1, 0.9

# %% [markdown]
# ## The transition
#
# In place 1 of three we took action 0, were paid 1, and came to place 2.

# %%
rollout = Transition(  # [T, B] = [1, 1]: what agents without replay are fed
    observation=jnp.array([[1]]),
    action=jnp.array([[0]]),
    reward=jnp.array([[1.0]]),
    terminated=jnp.array([[False]]),
    truncated=jnp.array([[False]]),
    next_observation=jnp.array([[2]]),
)
batch = jax.tree.map(lambda leaf: leaf[0], rollout)  # [B] = [1]: what agents with replay are fed
places, actions = spaces.Discrete(3), spaces.Discrete(2)

# %% [markdown]
# With these values before it, paper says
#
# $$\delta = r + \gamma \max_a Q(2, a) - Q(1, 0) = 1 + 0.9 \cdot 4 - 2 = 2.6, \qquad
# Q(1, 0) \leftarrow 2 + 0.1 \cdot 2.6 = 2.26.$$

# %%
q = jnp.array([[2.0, 0.0], [2.0, 5.0], [3.0, 4.0]])
delta = 1 + discount * 4 - 2
by_hand = q.at[1, 0].add(rate * delta)
print(f"delta {delta:.4f}, new value {by_hand[1, 0]:.4f}")

# %% [markdown]
# ## Tabular

# %%
config = q_learning.Config(learning_rate=rate, discount=discount)
state = q_learning.init(table_key, config, places, actions)
state = state.replace(params={"params": {"q": q}})
tabular = q_learning.update(state, rollout)
print(tabular.params["params"]["q"])
close(tabular.params["params"]["q"], by_hand)
close(tabular.info["td_error"], delta)

# %% [markdown]
# ## Linear
#
# With one-hot features a linear function IS a table: the same number, to the last bit.

# %%
config = q_learning.Config(learning_rate=rate, discount=discount, approximator="one_hot")
state = q_learning.init(linear_key, config, places, actions)
state = state.replace(params={"params": {"values": {"kernel": q}}})
linear = q_learning.update(state, rollout)
np.testing.assert_array_equal(linear.params["params"]["values"]["kernel"], tabular.params["params"]["q"])

# %% [markdown]
# Tile coding has one feature for each tiling, and each of them takes a step: with 4 tilings the value moves
# four times as far, which is why one divides the step size by their number. And a neighbour that shares
# tiles moves, too: that is generalisation, and here the numbers may not agree.

# %%
line = spaces.Box(0.0, 1.0, (1,))
tiles = TileCoding((0.0,), (1.0,), tilings=4, tiles=4)
network = QNetwork(tiles, 2, kernel_init=jax.nn.initializers.zeros, use_bias=False)
on_the_line = rollout.replace(observation=jnp.array([[[0.40]]]), next_observation=jnp.array([[[0.80]]]))
moved = {}
for name, step_size in (("rate", rate), ("rate / tilings", rate / 4)):
    config = q_learning.Config(learning_rate=step_size, discount=discount, network=network)
    state = q_learning.init(tiles_key, config, line, actions)
    after = q_learning.update(state, on_the_line)
    here, near, far = q_learning.action_values(after, after.params, jnp.array([[0.40], [0.45], [0.90]]))[:, 0]
    moved[name] = here
    print(f"{name:<15} Q(.40) {here:.3f}, its neighbour Q(.45) {near:.3f}, far off Q(.90) {far:.3f}")
close(moved["rate"], 4 * rate * 1.0)  # all values are 0 before, so that the error is the reward
close(moved["rate / tilings"], rate * 1.0)

# %% [markdown]
# ## Deep
#
# DQN minimises the mean over a batch of ½δ². On a table, by plain gradient descent, with the target network
# a copy, that is the tabular rule once more.

# %%
config = dqn.Config(learning_rate=rate, discount=discount, optimiser="sgd", network=Table(3, 2))
state = dqn.init(deep_key, config, places, actions)
state = state.replace(params={"params": {"q": q}}, target_params={"params": {"q": q}})
deep_table = dqn.update(state, batch)
np.testing.assert_array_equal(deep_table.params["params"]["q"], tabular.params["params"]["q"])
print(
    "tabular, linear, deep:",
    *(
        f"{x:.6f}"
        for x in (
            tabular.params["params"]["q"][1, 0],
            linear.params["params"]["values"]["kernel"][1, 0],
            deep_table.params["params"]["q"][1, 0],
        )
    ),
)

# %% [markdown]
# With hidden layers the error is still the same formula of the network's own values. How far the value
# moves is not α δ but, for a small step, α ‖∇Q‖² δ: every weight that has a part in it takes a step.

# %%
config = dqn.Config(learning_rate=1e-4, discount=discount, optimiser="sgd", hidden_sizes=(32, 32))
state = dqn.init(small_key, config, places, actions)


def value(params, observation, action):
    return dqn.action_values(state, params, jnp.array([observation]))[0, action]


before, gradient = jax.value_and_grad(value)(state.params, 1, 0)
bootstrap = jnp.max(dqn.action_values(state, state.target_params, jnp.array([2])))
error = 1 + discount * bootstrap - before
after = dqn.update(state, batch)
close(after.info["td_error"], abs(error))
norm = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient))
change = value(after.params, 1, 0) - before
print(f"Q(1, 0) moved by {change:.6f}; α‖∇Q‖²δ = {1e-4 * norm * error:.6f}")
close(change, 1e-4 * norm * error, rtol=2e-2)

# %% [markdown]
# ## The family
#
# Each extension of DQN is a switch of its Config. On the same table, what each makes of the same transition
# can be worked out on paper, too. The online values are `q`, the target network's are another table.

# %%
q_target = jnp.array([[2.0, 0.0], [2.0, 5.0], [3.5, 1.0]])


def error_of(transition=batch, **choices):
    config = dqn.Config(discount=discount, optimiser="sgd", network=Table(3, 2), **choices)
    state = dqn.init(family_key, config, places, actions)
    state = state.replace(params={"params": {"q": q}}, target_params={"params": {"q": q_target}})
    return float(dqn.update(state, transition).info["td_error"])


two_steps = batch.replace(  # paid 1 and then 2, in place 2 after both
    reward=jnp.array([[1.0, 2.0]]), terminated=jnp.zeros((1, 2), bool), truncated=jnp.zeros((1, 2), bool)
)
ended = two_steps.replace(terminated=jnp.array([[False, True]]))
soft = jax.nn.softmax(q_target[2] / 1.0)
log_policy = jnp.log(soft)
munchausen = 1 + 0.9 * jnp.clip(jax.nn.log_softmax(q_target[1])[0], -1, 0)
errors = {
    "Q-learning": (error_of(), 1 + 0.9 * 3.5 - 2),
    "Double": (error_of(double=True), abs(1 + 0.9 * 1.0 - 2)),  # the online network likes action 1
    "2 steps": (error_of(two_steps, n_step=2), 1 + 0.9 * 2 + 0.81 * 3.5 - 2),
    "2 steps, ended": (error_of(ended, n_step=2), 1 + 0.9 * 2 - 2),
    "Munchausen": (
        error_of(munchausen=True, munchausen_temperature=1.0),
        abs(munchausen + 0.9 * jnp.sum(soft * (q_target[2] - log_policy)) - 2),
    ),
}
for name, (ours, paper) in errors.items():
    print(f"{name:<16} |δ| = {ours:.4f}")
    close(ours, paper)

# %% [markdown]
# A distribution's mean follows the same rule. C51 learns the weights of 51 atoms; whatever they are, the
# error of the mean is that of Q-learning with the mean.

# %%
config = dqn.Config(discount=discount, distribution="categorical", hidden_sizes=(16,))
state = dqn.init(family_key, config, places, actions)
means = dqn.action_values(state, state.params, jnp.array([1, 2]))
after = dqn.update(state, batch)
close(after.info["td_error"], abs(1 + discount * means[1].max() - means[0, 0]), rtol=1e-3)
print(f"error of the mean {after.info['td_error']:.4f}, its cross entropy {after.info['loss']:.4f}")

# %% [markdown]
# ## The picture
#
# What one transition does to all values: a table moves one number; a network moves them all.

# %%
network_state = dqn.init(
    small_key, dqn.Config(learning_rate=0.05, optimiser="sgd", hidden_sizes=(32, 32)), places, actions
)
network_after = dqn.update(network_state, batch)
everywhere = jnp.arange(3)
changes = {
    "table": tabular.params["params"]["q"] - q,
    "network": dqn.action_values(network_after, network_after.params, everywhere)
    - dqn.action_values(network_state, network_state.params, everywhere),
}
figure, panels = plt.subplots(1, 2, figsize=(7, 2.6), layout="constrained")
for axes, (name, change) in zip(panels, changes.items(), strict=True):
    limit = float(jnp.abs(change).max())
    image = axes.imshow(change.T, cmap="coolwarm", vmin=-limit, vmax=limit)
    axes.set(title=f"{name}: change of Q", xlabel="place", ylabel="action", xticks=range(3), yticks=range(2))
    for (place, action), number in np.ndenumerate(np.asarray(change)):
        axes.text(place, action, f"{number:+.3f}", ha="center", va="center", fontsize=9)
plt.show()
