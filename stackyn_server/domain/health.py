"""When a health-checked app becomes unhealthy, and when it has recovered. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Streak:
    """Consecutive checks with the same result: one of the two numbers is 0."""

    failures: int = 0
    successes: int = 0

    def followed_by(self, answered: bool) -> Streak:
        return Streak(successes=self.successes + 1) if answered else Streak(failures=self.failures + 1)


class HealthChange(Enum):
    NONE = auto()
    UNHEALTHY = auto()
    RECOVERED = auto()


def judge(streak: Streak, *, was_unhealthy: bool, failures: int, successes: int) -> HealthChange:
    """Return what changes after `failures` or `successes` equal results in a row. A restart begins a new streak."""
    if streak.failures >= failures:
        return HealthChange.UNHEALTHY
    if was_unhealthy and streak.successes >= successes:
        return HealthChange.RECOVERED
    return HealthChange.NONE
