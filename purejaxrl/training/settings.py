"""How much of everything: the numbers of a run that belong to no algorithm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from purejaxrl.types import InvalidInput


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the loop does, of one seed; every field fixes the shape of the program."""

    total_steps: int = 500_000
    """Environment steps of each seed, warm-up included."""
    num_envs: int = 1
    """Environments that each seed steps together."""
    rollout_length: int = 1
    """Steps of each environment between updates."""
    updates_per_iteration: int = 1
    """Updates after each rollout."""
    num_epochs: int = 20
    """Times that the run stops to evaluate, report and write its metrics, at equal distances."""
    evaluation_episodes: int = 10
    """Greedy episodes at each evaluation, one on each of so many environments; 0 leaves it out."""
    evaluation_steps: int | None = None
    """Steps after which an evaluation episode is given up; None takes the environment's limit, or 1000."""

    @property
    def rollout_size(self) -> int:
        """Transitions in a rollout."""
        return self.num_envs * self.rollout_length

    def warmup_iterations(self, warmup_steps: int) -> int:
        """Rollouts before the first update: enough to hold ``warmup_steps``."""
        return -(-warmup_steps // self.rollout_size)

    def iterations_per_epoch(self, warmup_steps: int) -> int:
        """Rollouts, each with its updates, in an epoch."""
        total = self.total_steps // self.rollout_size
        return (total - self.warmup_iterations(warmup_steps)) // self.num_epochs

    def check_sizes(self) -> None:
        """Raises InvalidInput where a number is out of its range."""
        least = {"evaluation_episodes": 0, "updates_per_iteration": 0}
        for name, value in self._whole_numbers():
            if isinstance(value, bool) or not isinstance(value, int) or value < least.get(name, 1):
                raise InvalidInput(
                    f"{name} must be a whole number of at least {least.get(name, 1)}, not {value!r}"
                )
        if self.total_steps >= 2**31:
            raise InvalidInput(f"total_steps must be below 2**31, not {self.total_steps}: steps are int32")

    def check(self, warmup_steps: int) -> None:
        """Raises InvalidInput where a number is out of range or does not divide what it must."""
        self.check_sizes()
        warmup = self.warmup_iterations(warmup_steps) * self.rollout_size
        epoch = self.rollout_size * self.num_epochs
        if self.total_steps <= warmup:
            raise InvalidInput(
                f"total_steps must exceed the {warmup} steps of warm-up, not be {self.total_steps}"
            )
        if (self.total_steps - warmup) % epoch:
            nearest = warmup + max(1, round((self.total_steps - warmup) / epoch)) * epoch
            raise InvalidInput(
                f"total_steps less {warmup} steps of warm-up must be a multiple of num_envs × rollout_length"
                f" × num_epochs = {self.num_envs} × {self.rollout_length} × {self.num_epochs} = {epoch};"
                f" {self.total_steps} is not, {nearest} is"
            )

    def _whole_numbers(self) -> Iterator[tuple[str, Any]]:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None or field.name != "evaluation_steps":
                yield field.name, value
