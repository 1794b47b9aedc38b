"""What a value is moved towards: the value of a successor, and returns over one, several or all steps.

Two choices that go with each other freely. How a successor is valued makes the algorithm: by its
best action (Q-learning), by the action taken there (SARSA), by what a policy expects (Expected
SARSA), by the action that another network likes best (Double). How far rewards are added up before
that value stands in for the rest is the other: one step, n steps, a mixture of all (lambda), or
all with the corrections that an off-policy trajectory needs (Retrace).

As in :mod:`purejaxrl.losses` every function sees ONE transition or ONE trajectory ``[T]``; a
discount carries termination, and ``continue_t`` is 0 where an episode ended for either reason. Where
it was cut off, its true successor is what is bootstrapped. Targets are data: no gradient flows
through them.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from purejaxrl.losses import decayed_sum, pick
from purejaxrl.types import Array


def greedy_value(q_t: Array) -> Array:
    """The value of the best of the actions ``[A]``: Q-learning's.

    Source: Watkins (1989); Sutton & Barto (2018), eq. 6.8.
    """
    chex.assert_rank(q_t, 1)
    chex.assert_type(q_t, float)
    return jax.lax.stop_gradient(jnp.max(q_t))


def action_value(q_t: Array, a_t: Array) -> Array:
    """The value, among those of the actions ``[A]``, of the one that was taken there: SARSA's.

    Source: Rummery & Niranjan (1994); Sutton & Barto (2018), eq. 6.7.
    """
    chex.assert_rank([q_t, a_t], [1, 0])
    chex.assert_type([q_t, a_t], [float, int])
    return jax.lax.stop_gradient(pick(q_t, a_t))


def expected_value(q_t: Array, pi_t: Array) -> Array:
    """The mean of the actions' values ``[A]`` under probabilities ``[A]``: Expected SARSA's.

    Source: van Seijen et al. (2009); Sutton & Barto (2018), eq. 6.9.
    """
    chex.assert_rank([q_t, pi_t], 1)
    chex.assert_type([q_t, pi_t], float)
    chex.assert_equal_shape([q_t, pi_t])
    return jax.lax.stop_gradient(jnp.sum(pi_t * q_t))


def double_value(q_t: Array, selector_t: Array) -> Array:
    """The value in ``q_t`` ``[A]`` of the action that is best in ``selector_t`` ``[A]``: Double Q-learning's.

    In Double DQN the online network selects, and the target network says what that is worth.

    Source: van Hasselt (2010); van Hasselt, Guez & Silver (2016), eq. 4.
    """
    chex.assert_rank([q_t, selector_t], 1)
    chex.assert_type([q_t, selector_t], float)
    chex.assert_equal_shape([q_t, selector_t])
    return jax.lax.stop_gradient(pick(q_t, jnp.argmax(selector_t)))


def epsilon_greedy_policy(q: Array, epsilon: Array | float) -> Array:
    """Probabilities ``[A]`` of a policy that takes a best action, or any with probability ``epsilon``.

    Actions that are equally good share.

    Source: Sutton & Barto (2018), section 2.2.
    """
    chex.assert_rank([q, epsilon], [1, 0])
    chex.assert_type(q, float)
    best = (q == jnp.max(q)).astype(q.dtype)
    return epsilon / q.shape[0] + (1 - epsilon) * best / jnp.sum(best)


def softmax_policy(q: Array, temperature: Array | float) -> Array:
    """Probabilities ``[A]`` that grow with the value, evenly at a high temperature (Boltzmann's).

    Source: Sutton & Barto (2018), section 13.1.
    """
    chex.assert_rank([q, temperature], [1, 0])
    chex.assert_type(q, float)
    return jax.nn.softmax(q / temperature)


def munchausen_bonus(
    q_tm1: Array,
    a_tm1: Array,
    scale: Array | float,
    temperature: Array | float,
    floor: Array | float,
) -> Array:
    """What Munchausen adds to a reward: the scaled log-probability of the action under the softmax policy.

    Args:
        q_tm1: ``[A]``, the target network's values where the action was taken.
        a_tm1: the action.
        scale: α.
        temperature: τ.
        floor: l₀, below which τ times a log-probability is cut.

    Source: Vieillard, Pietquin & Geist (2020), "Munchausen reinforcement learning", eq. 2 and section 3.
    """
    chex.assert_rank([q_tm1, a_tm1, scale, temperature, floor], [1, 0, 0, 0, 0])
    chex.assert_type([q_tm1, a_tm1], [float, int])
    log_policy = temperature * pick(jax.nn.log_softmax(q_tm1 / temperature), a_tm1)
    return jax.lax.stop_gradient(scale * jnp.clip(log_policy, floor, 0.0))


def n_step_reward(
    r_t: Array, terminated_t: Array, truncated_t: Array, discount: Array | float
) -> tuple[Array, Array]:
    """The discounted sum of the rewards up to an episode's end, and the discount of what follows.

    Args:
        r_t: ``[n]``, the rewards of steps that follow each other.
        terminated_t: ``[n]``, whether the task ended there: nothing follows.
        truncated_t: ``[n]``, whether it was cut off there: what follows counts.
        discount: γ.

    Returns:
        ``r_1 + γ r_2 + … + γᵐ⁻¹ r_m`` and γᵐ, or 0 where the task ended, the m-th step being the first that
        ended the episode, or the n-th.

    Source: Sutton & Barto (2018), eq. 7.1.
    """
    chex.assert_rank([r_t, terminated_t, truncated_t, discount], [1, 1, 1, 0])
    chex.assert_equal_shape([r_t, terminated_t, truncated_t])
    total, weight, going_on = jnp.float32(0.0), jnp.float32(1.0), jnp.float32(1.0)
    for reward, terminated, truncated in zip(r_t, terminated_t, truncated_t, strict=True):
        total += going_on * weight * reward
        # A step after the end changes nothing any more.
        weight *= jnp.where(going_on > 0, discount * (1.0 - terminated), 1.0)
        going_on *= (1.0 - terminated) * (1.0 - truncated)
    return total, weight


def n_step_return(r_t: Array, discount_t: Array, continue_t: Array, v_t: Array, n: int) -> Array:
    """Returns of ``n`` steps along a trajectory, which may span several episodes.

    Rewards are added up for ``n`` steps, or to the end of the episode or of the trajectory if that
    comes first; there the value of the true successor stands for the rest, weighted by the product
    of the discounts (γⁿ), unless the task ended.

    Args:
        r_t: ``[T]``, rewards.
        discount_t: ``[T]``, discounts, 0 where the task ended.
        continue_t: ``[T]``, 0 where the episode ended at that step for either reason.
        v_t: ``[T]``, the values of the true successors.
        n: at least 1.

    Returns:
        ``[T]``, a target for the value at each step's beginning.

    Source: Sutton & Barto (2018), eq. 7.1; for action values eqs. 7.4 and 7.7.
    """
    chex.assert_rank([r_t, discount_t, continue_t, v_t], 1)
    chex.assert_type([r_t, discount_t, v_t], float)
    chex.assert_equal_shape([r_t, discount_t, continue_t, v_t])
    length = r_t.shape[0]

    def later(x: Array, steps: int, beyond: Array) -> Array:
        """``x`` so many steps on; what stands beyond the end leaves a return as it is."""
        steps = min(steps, length)
        return jnp.concatenate([x[steps:], jnp.broadcast_to(beyond, (steps,)).astype(x.dtype)])

    target = later(v_t, n - 1, v_t[-1])
    going_on = continue_t.astype(r_t.dtype)
    for step in reversed(range(n)):
        reward, discount = later(r_t, step, jnp.float32(0)), later(discount_t, step, jnp.float32(1))
        follows, value = later(going_on, step, jnp.float32(1)), later(v_t, step, v_t[-1])
        target = reward + discount * (follows * target + (1 - follows) * value)
    return jax.lax.stop_gradient(target)


def lambda_return(
    r_t: Array, discount_t: Array, continue_t: Array, v_t: Array, lambda_: Array | float
) -> Array:
    """λ-returns along a trajectory: n-step returns of all n, the n-th weighted by (1 − λ) λⁿ⁻¹.

    Args:
        r_t: ``[T]``, rewards.
        discount_t: ``[T]``, discounts, 0 where the task ended.
        continue_t: ``[T]``, 0 where the episode ended at that step for either reason.
        v_t: ``[T]``, the values of the true successors.
        lambda_: scalar in [0, 1], or ``[T]``: one for each step.

    Returns:
        ``[T]``, a target for the value at each step's beginning.

    Source: Sutton & Barto (2018), eqs. 12.2-12.3 and 12.18-12.20.
    """
    chex.assert_rank([r_t, discount_t, continue_t, v_t], 1)
    chex.assert_rank(lambda_, {0, 1})
    chex.assert_type([r_t, discount_t, v_t], float)
    chex.assert_equal_shape([r_t, discount_t, continue_t, v_t])
    mixture = lambda_ * continue_t.astype(r_t.dtype)

    def backwards(later: Array, step: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, discount, value, mix = step
        target = reward + discount * ((1 - mix) * value + mix * later)
        return target, target

    _, targets = jax.lax.scan(backwards, v_t[-1], (r_t, discount_t, v_t, mixture), reverse=True)
    return jax.lax.stop_gradient(targets)


def retrace(
    q_tm1: Array,
    a_tm1: Array,
    r_t: Array,
    discount_t: Array,
    continue_t: Array,
    q_t: Array,
    pi_t: Array,
    trace_t: Array,
) -> Array:
    """Targets of Retrace(λ): returns of all lengths, safe whatever policy the trajectory comes from.

    Args:
        q_tm1: ``[T, A]``, the action values where the actions were taken.
        a_tm1: ``[T]``, the actions.
        r_t: ``[T]``, rewards.
        discount_t: ``[T]``, discounts, 0 where the task ended.
        continue_t: ``[T]``, 0 where the episode ended at that step for either reason.
        q_t: ``[T, A]``, the action values of the true successors.
        pi_t: ``[T, A]``, the probabilities there of the policy that is to be evaluated.
        trace_t: ``[T]``, λ min(1, π/μ) of the action that was taken in the successor, π being that
            policy and μ the one that acted; of the last step it is not used. With λ π it is the
            tree backup, with λ it is Q(λ), with π/μ importance sampling.

    Returns:
        ``[T]``, a target for the value of each action taken.

    Source: Munos et al. (2016), "Safe and efficient off-policy reinforcement learning", eqs. 3-4.
    """
    chex.assert_rank(
        [q_tm1, a_tm1, r_t, discount_t, continue_t, q_t, pi_t, trace_t], [2, 1, 1, 1, 1, 2, 2, 1]
    )
    chex.assert_type([q_tm1, r_t, discount_t, q_t, pi_t], float)
    chex.assert_type(a_tm1, int)
    chex.assert_equal_shape([q_tm1, q_t, pi_t])
    chex.assert_equal_shape([a_tm1, r_t, discount_t, continue_t, trace_t])
    taken = jax.vmap(pick)(q_tm1, a_tm1)
    delta = r_t + discount_t * jax.vmap(expected_value)(q_t, pi_t) - taken
    errors = decayed_sum(delta, discount_t * continue_t * trace_t)
    return jax.lax.stop_gradient(taken + errors)
