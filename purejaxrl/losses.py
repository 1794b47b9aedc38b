"""The mathematics of an update: TD errors, advantages, policy gradients and schedules.

Every function sees ONE transition or ONE trajectory ``[T]``; the caller vmaps. Time is in the
names: the action ``a_tm1`` taken in the observation of ``v_tm1`` or ``q_tm1`` was answered by the
reward ``r_t``, the discount ``discount_t`` and the successor's ``v_t`` or ``q_t``. A discount carries
termination, ``discount * (1 - terminated)``; truncation leaves it alone, for the bootstrap goes on.

Losses of a TD error are optax's: ``optax.l2_loss`` (half the square) and ``optax.huber_loss``.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from purejaxrl.types import Array


def td_learning(v_tm1: Array, r_t: Array, discount_t: Array, v_t: Array) -> Array:
    """The TD error of a value given the value of its successor: target minus prediction.

    Serves every critic: ``v_t`` may be a state value, or an action value under a target policy
    (DDPG: ``Q'(s_t, mu'(s_t))``). No gradient flows through the target.

    Args:
        v_tm1: the value being learnt.
        r_t: the reward that followed.
        discount_t: the discount, 0 where the task ended.
        v_t: the value of the true successor.

    Returns:
        ``r_t + discount_t * v_t - v_tm1``.

    Source: Sutton & Barto (2018), "Reinforcement learning", eq. 6.5; Lillicrap et al. (2016),
    "Continuous control with deep reinforcement learning", eqs. 4-5.
    """
    chex.assert_rank([v_tm1, r_t, discount_t, v_t], 0)
    chex.assert_type([v_tm1, r_t, discount_t, v_t], float)
    return jax.lax.stop_gradient(r_t + discount_t * v_t) - v_tm1


def generalised_advantage(
    r_t: Array, discount_t: Array, continue_t: Array, lambda_: Array | float, v_tm1: Array, v_t: Array
) -> Array:
    """Generalised advantage estimates of one trajectory, which may span several episodes.

    ``lambda_=1`` gives the return to the end of the episode or of the trajectory, bootstrapped
    there, less the baseline (A2C's n-step advantage); ``lambda_=0`` gives the one-step TD error.
    Advantages are data: no gradient flows through them. Added to ``v_tm1`` they are the critic's
    targets, the lambda-returns.

    Args:
        r_t: ``[T]``, rewards.
        discount_t: ``[T]``, discounts, 0 where the task ended (terminated) and not where it was cut off.
        continue_t: ``[T]``, False or 0 where the episode ended at that step for either reason, so that
            nothing of the next episode leaks into this one.
        lambda_: scalar in [0, 1], the weight of later TD errors.
        v_tm1: ``[T]``, the values where the actions were taken.
        v_t: ``[T]``, the values of the TRUE successors; at a truncation this is what is bootstrapped.

    Returns:
        ``[T]``, the advantages.

    Source: Schulman et al. (2016), "High-dimensional continuous control using generalized advantage
    estimation", eqs. 11-16.
    """
    chex.assert_rank([r_t, discount_t, continue_t, lambda_, v_tm1, v_t], [1, 1, 1, 0, 1, 1])
    chex.assert_type([r_t, discount_t, lambda_, v_tm1, v_t], float)
    chex.assert_equal_shape([r_t, discount_t, continue_t, v_tm1, v_t])
    delta_t = r_t + discount_t * v_t - v_tm1
    decay_t = lambda_ * discount_t * continue_t
    return jax.lax.stop_gradient(decayed_sum(delta_t, decay_t))


def log_probability(logits: Array, a: Array) -> Array:
    """The log-probability of action ``a`` under a categorical policy with ``logits`` ``[A]``."""
    chex.assert_rank([logits, a], [1, 0])
    chex.assert_type([logits, a], [float, int])
    return pick(jax.nn.log_softmax(logits), a)


def policy_gradient(log_probability: Array, advantage: Array) -> Array:
    """The loss whose gradient is the policy gradient's.

    Args:
        log_probability: scalar, of the action that was taken, under the policy that is learnt.
        advantage: how much better than expected it was; no gradient flows through it.

    Returns:
        ``-log pi(a) * advantage``, to be minimised.

    Source: Williams (1992); Sutton & Barto (2018), "Reinforcement learning", eq. 13.11; Mnih et al.
    (2016), "Asynchronous methods for deep reinforcement learning", section 4.
    """
    chex.assert_rank([log_probability, advantage], 0)
    chex.assert_type([log_probability, advantage], float)
    return -log_probability * jax.lax.stop_gradient(advantage)


def clipped_surrogate(log_ratio: Array, advantage: Array, clip: Array | float) -> Array:
    """PPO's loss of one action: no gain for a probability that is further from the old one than ``clip``.

    Args:
        log_ratio: scalar, the action's log-probability less what it was under the policy that drew it.
        advantage: how much better than expected it was; no gradient flows through it.
        clip: scalar above 0, ε.

    Returns:
        ``-min(r A, clip(r, 1 - ε, 1 + ε) A)``, r being the ratio, to be minimised.

    Source: Schulman et al. (2017), "Proximal policy optimization algorithms", eq. 7.
    """
    chex.assert_rank([log_ratio, advantage, clip], 0)
    chex.assert_type([log_ratio, advantage, clip], float)
    advantage = jax.lax.stop_gradient(advantage)
    ratio = jnp.exp(jnp.minimum(log_ratio, 80.0))  # beyond which 0 · ∞ would be its gradient
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)


def standardise(x: Array, where: Array | None = None) -> Array:
    """Numbers of any shape less their mean, over their deviation; 0 where all that count are equal.

    Args:
        x: the numbers.
        where: of the same shape, which count; None for all.
    """
    # Of equal numbers mean and deviation are both off by rounding, and a quotient of these errors is no 0.
    equal = jnp.max(x, where=where, initial=-jnp.inf) <= jnp.min(x, where=where, initial=jnp.inf)
    return jnp.where(equal, 0.0, (x - jnp.mean(x, where=where)) / (jnp.std(x, where=where) + 1e-8))


def entropy(logits: Array) -> Array:
    """The entropy in nats of a categorical policy with ``logits`` ``[A]``: a bonus, to be maximised.

    Source: Williams & Peng (1991), "Function optimization using connectionist reinforcement learning
    algorithms"; Mnih et al. (2016), section 4.
    """
    chex.assert_rank(logits, 1)
    chex.assert_type(logits, float)
    log_probabilities = jax.nn.log_softmax(logits)
    return -jnp.sum(jnp.exp(log_probabilities) * log_probabilities)


def linear_schedule(step: Array, start: Array | float, end: Array | float, duration: Array | float) -> Array:
    """A value that moves in a straight line from ``start`` to ``end`` and stays there.

    All four may be traced, so that a sweep may vmap over them (``optax.linear_schedule`` branches
    on its duration in Python).

    Args:
        step: scalar, steps so far, of the environment or of updates.
        start: scalar, the value at step 0.
        end: scalar, the value from step ``duration`` on.
        duration: scalar, in these steps; 0 gives ``end`` at once.
    """
    chex.assert_rank([step, start, end, duration], 0)
    fraction = jnp.where(step >= duration, 1.0, step / jnp.maximum(duration, 1))
    return (1 - fraction) * start + fraction * end


def scheduled(
    step: Array, start: Array | float, end: Array | float, duration: Array | float | None
) -> Array | float:
    """The same where there is a duration; without one, None, the value stays ``start``."""
    if duration is None:
        return start
    return linear_schedule(jnp.float32(step), start, end, duration)


def exponential_schedule(
    step: Array, start: Array | float, decay: Array | float, least: Array | float
) -> Array:
    """A value that is multiplied with ``decay`` at every step, and is never less than ``least``.

    One that begins below that stays where it begins. All four may be traced, as those above.

    Args:
        step: scalar, steps so far.
        start: scalar, the value at step 0.
        decay: scalar in (0, 1].
        least: scalar.
    """
    chex.assert_rank([step, start, decay, least], 0)
    return jnp.maximum(start * decay ** jnp.float32(step), jnp.minimum(least, start))


def decayed_sum(delta_t: Array, decay_t: Array) -> Array:
    """``[T]``: what each step brings, and what the steps after it do, ``delta + decay * later``."""

    def backwards(later: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, decay = step
        total = delta + decay * later
        return total, total

    return jax.lax.scan(backwards, jnp.zeros_like(delta_t[0]), (delta_t, decay_t), reverse=True)[1]


def pick(x: Array, index: Array) -> Array:
    """``x[index]``, without the scatter that is its gradient: an eighth of an update of a small network."""
    return jnp.sum(jnp.where(jnp.arange(x.shape[0]) == index, x, 0))


def pick_row(x: Array, index: Array) -> Array:
    """``x[index]`` of ``[A, K]``, likewise."""
    return jnp.sum(jnp.where((jnp.arange(x.shape[0]) == index)[:, None], x, 0), axis=0)


def importance_weights(probability: Array, exponent: Array) -> Array:
    """What makes a mean over a prioritised batch ``[B]`` one over a uniform one, 1 at most.

    Source: Schaul et al. (2016), "Prioritized experience replay", section 3.4.
    """
    weight = probability**-exponent
    return weight / jnp.max(weight)
