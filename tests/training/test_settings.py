"""Settings: what cannot work is refused with a message that names what would, and warm-up is counted."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from purejaxrl.training import Settings
from purejaxrl.types import InvalidInput

NAMES = [field.name for field in dataclasses.fields(Settings)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [-1, 1.0, float("nan"), True, "4", np.float32(3)])
def test_what_is_no_whole_number_is_refused(name: str, value: Any) -> None:
    least = {"evaluation_episodes": 0, "updates_per_iteration": 0}.get(name, 1)
    with pytest.raises(InvalidInput) as caught:
        dataclasses.replace(Settings(), **{name: value}).check(0)
    assert str(caught.value) == f"{name} must be a whole number of at least {least}, not {value!r}"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("evaluation_episodes",)])
def test_zero_is_refused_where_something_must_be_done(name: str) -> None:
    settings = dataclasses.replace(Settings(total_steps=100, num_epochs=1), **{name: 0})
    if name == "updates_per_iteration":
        settings.check(0)  # a run of a fixed policy
    else:
        with pytest.raises(InvalidInput, match=f"^{name} must be a whole number of at least 1, not 0$"):
            settings.check(0)


def test_evaluation_may_be_left_out_and_its_length_to_the_environment() -> None:
    Settings(total_steps=100, num_epochs=1, evaluation_episodes=0).check(0)
    Settings(total_steps=100, num_epochs=1, evaluation_steps=None).check(0)


@pytest.mark.parametrize("total_steps", [1, 8, 12])
def test_a_run_that_ends_in_its_warm_up_is_refused(total_steps: int) -> None:
    # A warm-up of 10 steps takes three rollouts of 2 × 2: 12 steps.
    settings = Settings(total_steps=total_steps, num_envs=2, rollout_length=2, num_epochs=1)
    with pytest.raises(InvalidInput) as caught:
        settings.check(10)
    assert str(caught.value) == f"total_steps must exceed the 12 steps of warm-up, not be {total_steps}"
    dataclasses.replace(settings, total_steps=16).check(10)


def test_the_total_that_is_suggested_is_accepted_and_the_nearest() -> None:
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(2000):
        num_envs, rollout_length, num_epochs = (int(n) for n in random.integers(1, [20, 20, 50]))
        warmup_steps = int(random.integers(0, 3000))
        settings = Settings(
            total_steps=int(random.integers(1, 60_000)),
            num_envs=num_envs,
            rollout_length=rollout_length,
            num_epochs=num_epochs,
        )
        rollout = num_envs * rollout_length
        epoch = rollout * num_epochs
        warmup = next(n for n in range(0, 3000 + rollout, rollout) if n >= warmup_steps)
        learning = settings.total_steps - warmup
        if learning > 0 and learning % epoch == 0:
            settings.check(warmup_steps)
            continue
        refused += 1
        with pytest.raises(InvalidInput) as caught:
            settings.check(warmup_steps)
        message = str(caught.value)
        assert "\n" not in message
        assert str(settings.total_steps) in message
        assert f"{warmup} steps of warm-up" in message
        if learning > 0:
            assert f"{num_envs} × {rollout_length} × {num_epochs} = {epoch}" in message
            suggested = re.search(r"is not, (\d+) is$", message)
            assert suggested is not None
            better = dataclasses.replace(settings, total_steps=int(suggested[1]))
            better.check(warmup_steps)
            assert warmup + better.iterations_per_epoch(warmup_steps) * epoch == better.total_steps
            assert 2 * abs(better.total_steps - settings.total_steps) <= epoch or learning < epoch
    assert refused > 1000


@pytest.mark.parametrize(
    ("warmup_steps", "num_envs", "rollout_length", "expected"),
    [
        (0, 4, 5, 0),
        (1, 1, 1, 1),
        (10, 1, 1, 10),
        (10, 4, 1, 3),
        (20, 4, 5, 1),
        (21, 4, 5, 2),
        (1000, 3, 1, 334),
    ],
)
def test_warm_up_is_enough_rollouts_and_no_more(
    warmup_steps: int, num_envs: int, rollout_length: int, expected: int
) -> None:
    settings = Settings(num_envs=num_envs, rollout_length=rollout_length)
    assert settings.rollout_size == num_envs * rollout_length
    assert settings.warmup_iterations(warmup_steps) == expected


def test_iterations_fill_what_warm_up_leaves() -> None:
    settings = Settings(total_steps=500_000, num_envs=1, rollout_length=10, num_epochs=20)
    settings.check(10_000)
    assert settings.warmup_iterations(10_000) == 1_000
    assert settings.iterations_per_epoch(10_000) == 2_450
