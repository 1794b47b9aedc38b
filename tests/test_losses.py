"""Values worked out by hand, then the same functions against rlax on random inputs."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rlax

from purejaxrl import losses

f = jnp.float32


@pytest.fixture(params=[False, True], ids=["eager", "jit"])
def variant(request):
    return jax.jit if request.param else lambda function: function


# --- TD errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("discount", "expected"), [(0.5, 4.0), (0.0, -1.0)])  # 2 + 0.5 * 10 - 3; 2 - 3
def test_td_learning_by_hand(variant, discount, expected):
    error = variant(losses.td_learning)(f(3.0), f(2.0), f(discount), f(10.0))
    np.testing.assert_allclose(error, expected, rtol=1e-6)


def test_td_learning_gradient_reaches_the_prediction_only():
    gradient = jax.grad(losses.td_learning, argnums=(0, 1, 2, 3))(f(3.0), f(2.0), f(0.5), f(10.0))
    np.testing.assert_array_equal(gradient, [-1, 0, 0, 0])


def test_td_errors_agree_with_rlax():
    random = np.random.default_rng(0)
    r_t, v_tm1, v_t = random.normal(size=(3, 32)).astype(np.float32)
    discount_t = jnp.asarray(0.99 * (random.random(32) < 0.7), jnp.float32)
    chex.assert_trees_all_close(
        jax.vmap(losses.td_learning)(v_tm1, r_t, discount_t, v_t),
        jax.vmap(rlax.td_learning)(v_tm1, r_t, discount_t, v_t),
    )


def test_the_losses_of_a_td_error_are_optax_s_as_the_docstring_says():
    errors = jnp.array([-3.0, -0.5, 0.0, 2.0])
    np.testing.assert_allclose(optax.l2_loss(errors), [4.5, 0.125, 0.0, 2.0])
    # Beyond delta = 1 the slope stays at 1: 0.5 + (3 - 1) and 0.5 + (2 - 1).
    np.testing.assert_allclose(optax.huber_loss(errors, delta=f(1.0)), [2.5, 0.125, 0.0, 1.5])
    np.testing.assert_allclose(
        optax.huber_loss(errors, delta=f(0.7)), rlax.huber_loss(errors, 0.7), rtol=1e-6
    )


# --- advantages --------------------------------------------------------------------------------

REWARDS = jnp.array([1.0, 2.0, 3.0])
VALUES = jnp.array([10.0, 20.0, 30.0])
SUCCESSORS = jnp.array([20.0, 30.0, 40.0])


@pytest.mark.parametrize(
    ("discounts", "expected"),
    [
        # Cut off after the third step: every TD error is 9 (1 + 18 - 10, 2 + 27 - 20, 3 + 36 - 30), and the
        # decay is 0.5 * 0.9 = 0.45, so 9, then 9 + 0.45 * 9 = 13.05, then 9 + 0.45 * 13.05 = 14.8725.
        ([0.9, 0.9, 0.9], [14.8725, 13.05, 9.0]),
        # Terminated there: the last error is 3 - 30 = -27, then 9 - 12.15 = -3.15, 9 - 1.4175 = 7.5825.
        ([0.9, 0.9, 0.0], [7.5825, -3.15, -27.0]),
    ],
    ids=["truncated", "terminated"],
)
@pytest.mark.parametrize("last_continues", [False, True])
def test_generalised_advantage_by_hand(variant, discounts, expected, last_continues):
    advantages = variant(losses.generalised_advantage)(
        REWARDS, jnp.array(discounts), jnp.array([True, True, last_continues]), f(0.5), VALUES, SUCCESSORS
    )
    np.testing.assert_allclose(advantages, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [bool, jnp.float32])
def test_a_truncated_episode_bootstraps_and_learns_nothing_from_the_next(variant, dtype):
    # The first episode is cut off after two steps, its true successor worth 30; the second begins in a state
    # worth 5, so its error is 3 + 36 - 5 = 34. Were it to leak, step 1 would have 9 + 0.45 * 34 = 24.3.
    advantages = variant(losses.generalised_advantage)(
        REWARDS,
        jnp.full(3, 0.9),
        jnp.array([True, False, True]).astype(dtype),
        f(0.5),
        jnp.array([10.0, 20.0, 5.0]),
        SUCCESSORS,
    )
    np.testing.assert_allclose(advantages, [13.05, 9.0, 34.0], rtol=1e-6)


def _random_trajectories(seed, length=20, batch=8):
    random = np.random.default_rng(seed)
    r_t, v_tm1, v_t = random.normal(size=(3, batch, length)).astype(np.float32)
    terminated, truncated = random.random((2, batch, length)) < 0.15
    assert np.any(terminated)
    assert np.any(truncated & ~terminated)
    continue_t = ~(terminated | truncated)
    # Where the episode goes on, the successor is the next step's state and has its value.
    v_t[:, :-1] = np.where(continue_t[:, :-1], v_tm1[:, 1:], v_t[:, :-1])
    return r_t, (0.97 * ~terminated).astype(np.float32), continue_t, v_tm1, v_t


_generalised_advantages = jax.jit(jax.vmap(losses.generalised_advantage, in_axes=(0, 0, 0, None, 0, 0)))


def test_lambda_one_is_the_bootstrapped_return_and_lambda_zero_the_td_error():
    r_t, discount_t, continue_t, v_tm1, v_t = _random_trajectories(seed=1)
    expected = np.zeros(r_t.shape)
    for b in range(r_t.shape[0]):
        for t in range(r_t.shape[1]):
            total, weight, n = 0.0, 1.0, t
            while True:  # sum rewards to the episode's end or the trajectory's, then bootstrap
                total += weight * r_t[b, n]
                weight *= discount_t[b, n]
                if not continue_t[b, n] or n == r_t.shape[1] - 1:
                    break
                n += 1
            expected[b, t] = total + weight * v_t[b, n] - v_tm1[b, t]
    advantages = _generalised_advantages(r_t, discount_t, continue_t, f(1.0), v_tm1, v_t)
    np.testing.assert_allclose(advantages, expected, rtol=1e-5, atol=1e-5)

    advantages = _generalised_advantages(r_t, discount_t, continue_t, f(0.0), v_tm1, v_t)
    td_errors = jax.vmap(jax.vmap(losses.td_learning))(v_tm1, r_t, discount_t, v_t)
    np.testing.assert_allclose(advantages, td_errors, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("lambda_", [0.0, 0.8, 1.0])
def test_generalised_advantage_agrees_with_rlax_where_nothing_is_truncated(lambda_):
    random = np.random.default_rng(2)
    r_t = random.normal(size=(8, 20)).astype(np.float32)
    values = random.normal(size=(8, 21)).astype(np.float32)
    terminated = random.random((8, 20)) < 0.2
    discount_t = (0.97 * ~terminated).astype(np.float32)
    theirs = jax.vmap(rlax.truncated_generalized_advantage_estimation, in_axes=(0, 0, None, 0))(
        r_t, discount_t, lambda_, values
    )
    ours = _generalised_advantages(r_t, discount_t, ~terminated, f(lambda_), values[:, :-1], values[:, 1:])
    chex.assert_trees_all_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_no_gradient_flows_through_advantages():
    def total(r_t, v_tm1, v_t):
        return losses.generalised_advantage(
            r_t, jnp.full(3, 0.9), jnp.ones(3, bool), f(0.5), v_tm1, v_t
        ).sum()

    gradients = jax.grad(total, argnums=(0, 1, 2))(REWARDS, VALUES, SUCCESSORS)
    chex.assert_trees_all_equal(gradients, (jnp.zeros(3),) * 3)


# --- policies ----------------------------------------------------------------------------------

# Probabilities 1/8, 5/8, 2/8: logits are their logarithms plus any constant.
PROBABILITIES = np.array([0.125, 0.625, 0.25])
LOGITS = jnp.asarray(np.log(PROBABILITIES) + 3.0, jnp.float32)


def test_log_probability_policy_gradient_and_entropy_by_hand(variant):
    np.testing.assert_allclose(variant(losses.log_probability)(LOGITS, jnp.int32(2)), np.log(0.25), rtol=1e-5)
    # -2 * log(1/4) = 4 log 2
    loss = variant(losses.policy_gradient)(f(np.log(0.25)), f(2.0))
    np.testing.assert_allclose(loss, 4 * np.log(2), rtol=1e-5)
    # (3 + 5 (3 - log2 5) + 2 * 2) / 8 bits
    bits = (3 + 5 * (3 - np.log2(5)) + 4) / 8
    np.testing.assert_allclose(variant(losses.entropy)(LOGITS), bits * np.log(2), rtol=1e-5)
    np.testing.assert_allclose(variant(losses.entropy)(jnp.full(4, -7.0)), np.log(4), rtol=1e-6)


def test_policy_gradient_is_the_score_times_the_advantage():
    def loss(logits, advantage):
        return losses.policy_gradient(losses.log_probability(logits, jnp.int32(2)), advantage)

    gradient, through_advantage = jax.grad(loss, argnums=(0, 1))(LOGITS, f(2.0))
    # The score of a softmax is onehot(a) - pi; descending the loss climbs it.
    np.testing.assert_allclose(gradient, -2 * (np.array([0, 0, 1]) - PROBABILITIES), rtol=1e-5)
    assert through_advantage == 0


def test_policy_losses_agree_with_rlax():
    random = np.random.default_rng(3)
    logits = jnp.asarray(3 * random.normal(size=(16, 5)), jnp.float32)
    a = jnp.asarray(random.integers(5, size=16))
    advantages = jnp.asarray(random.normal(size=16), jnp.float32)
    ours = jax.vmap(losses.policy_gradient)(jax.vmap(losses.log_probability)(logits, a), advantages)
    theirs = rlax.policy_gradient_loss(logits, a, advantages, jnp.ones(16))
    np.testing.assert_allclose(ours.mean(), theirs, rtol=1e-5)
    ours = jax.vmap(losses.entropy)(logits)
    np.testing.assert_allclose(-ours.mean(), rlax.entropy_loss(logits, jnp.ones(16)), rtol=1e-5)


def test_entropy_of_a_certain_policy_is_zero_with_a_finite_gradient():
    entropy, gradient = jax.value_and_grad(losses.entropy)(jnp.array([500.0, 0.0, -500.0]))
    np.testing.assert_allclose(entropy, 0.0, atol=1e-6)
    assert jnp.all(jnp.isfinite(gradient))


# --- schedules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 1.0), (25, 0.775), (50, 0.55), (100, 0.1), (101, 0.1), (10**7, 0.1)]
)
def test_linear_schedule_by_hand(variant, step, expected):  # falls by 0.9 in 100 steps
    value = variant(losses.linear_schedule)(jnp.int32(step), f(1.0), f(0.1), f(100.0))
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_linear_schedule_ends_exactly_and_at_once_if_it_has_no_duration(variant):
    schedule = variant(losses.linear_schedule)
    assert schedule(jnp.int32(0), f(0.7), f(0.1), jnp.int32(0)) == f(0.1)
    assert schedule(jnp.int32(7), f(0.7), f(0.1), jnp.int32(7)) == f(0.1)
    assert schedule(jnp.int32(0), f(0.7), f(0.1), jnp.int32(7)) == f(0.7)


def test_linear_schedule_sweeps_over_durations_under_vmap():
    values = jax.vmap(losses.linear_schedule, in_axes=(None, None, None, 0))(
        jnp.int32(10), f(0.0), f(1.0), jnp.array([0, 10, 20, 40])
    )
    np.testing.assert_allclose(values, [1.0, 1.0, 0.5, 0.25])


def test_what_has_a_duration_is_scheduled_and_the_rest_stays(variant):
    for step, expected in ((0, 1.0), (25, 0.775), (100, 0.1), (200, 0.1)):
        np.testing.assert_allclose(
            variant(losses.scheduled)(jnp.int32(step), f(1.0), f(0.1), f(100.0)), expected, rtol=1e-6
        )
        assert variant(losses.scheduled)(jnp.int32(step), f(1.0), f(0.1), None) == 1


@pytest.mark.parametrize(
    ("start", "decay", "least", "expected"),
    [
        (2.0, 0.5, 0.3, [2.0, 1.0, 0.5, 0.3, 0.3]),
        (2.0, 1.0, 0.3, [2.0, 2.0, 2.0, 2.0, 2.0]),
        (2.0, 0.1, 0.0, [2.0, 0.2, 0.02, 2e-3, 2e-4]),
        (0.2, 0.5, 0.3, [0.2, 0.2, 0.2, 0.2, 0.2]),  # begins below the least
    ],
)
def test_exponential_schedule_by_hand(variant, start, decay, least, expected):
    schedule = variant(jax.vmap(losses.exponential_schedule, in_axes=(0, None, None, None)))
    np.testing.assert_allclose(schedule(jnp.arange(5), f(start), f(decay), f(least)), expected, rtol=1e-6)


def test_exponential_schedule_that_keeps_its_value_keeps_every_bit(variant):
    value = variant(losses.exponential_schedule)(jnp.int32(12_345_678), f(0.1), f(1.0), f(0.0))
    assert value == f(0.1)


def test_exponential_schedule_sweeps_over_decays_under_vmap():
    values = jax.vmap(losses.exponential_schedule, in_axes=(None, None, 0, None))(
        jnp.int32(2), f(1.0), jnp.array([0.5, 0.9, 1.0]), f(0.3)
    )
    np.testing.assert_allclose(values, [0.3, 0.81, 1.0], rtol=1e-6)


# --- what is refused ---------------------------------------------------------------------------


_BATCH, _STEPS = jnp.ones((3, 2)), jnp.ones(3)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (losses.td_learning, (_STEPS, f(0), f(0), f(0))),
        (losses.td_learning, (f(0), f(0), jnp.bool_(True), f(0))),  # a flag where a discount should be
        (losses.generalised_advantage, (_BATCH, _BATCH, _BATCH, f(1), _BATCH, _BATCH)),
        (losses.generalised_advantage, (_STEPS, _STEPS, _STEPS, f(1), _STEPS, jnp.ones(4))),  # T + 1 values
        (losses.policy_gradient, (f(0), jnp.ones(1))),
        (losses.log_probability, (_BATCH, jnp.int32(0))),
        (losses.entropy, (_BATCH,)),
        (losses.linear_schedule, (_STEPS, f(0), f(0), f(0))),
        (losses.exponential_schedule, (_STEPS, f(0), f(0), f(0))),
    ],
)
def test_wrong_ranks_shapes_and_types_are_refused(function, arguments):
    with pytest.raises(AssertionError):
        function(*arguments)
