"""When an app that is asked again and again counts as unhealthy, and when as well again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class Streak:
    """Checks in a row that failed, or succeeded: one of the two is zero."""

    failures: int = 0
    successes: int = 0

    def followed_by(self, answered: bool) -> Streak:
        return Streak(successes=self.successes + 1) if answered else Streak(failures=self.failures + 1)


class HealthChange(Enum):
    NONE = auto()
    UNHEALTHY = auto()
    RECOVERED = auto()


def judge(streak: Streak, *, was_unhealthy: bool, failures: int, successes: int) -> HealthChange:
    """`failures` and `successes` in a row make the difference. After an unhealthy one is started again, a new streak
    begins."""
    if streak.failures >= failures:
        return HealthChange.UNHEALTHY
    if was_unhealthy and streak.successes >= successes:
        return HealthChange.RECOVERED
    return HealthChange.NONE
