"""Usage of an app: computed from two readings of its container's counters, and as points of a series. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Range(StrEnum):
    """How far back a series goes."""

    HOUR = "1h"
    SIX_HOURS = "6h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"


@dataclass(frozen=True, slots=True)
class UsagePoint:
    """One step of a series, from `at` on: average processor use, highest memory and disk use, network total."""

    at: datetime
    cpu: float | None
    memory_bytes: int
    received_bytes: int | None
    sent_bytes: int | None
    disk_bytes: int


_HOUR = 3600
SECONDS_OF: dict[Range, int] = {
    Range.HOUR: _HOUR,
    Range.SIX_HOURS: 6 * _HOUR,
    Range.DAY: 24 * _HOUR,
    Range.WEEK: 7 * 24 * _HOUR,
    Range.MONTH: 30 * 24 * _HOUR,
}
# Whole minutes and hours, so that a graph's points stay where they are while it is watched. At most 181 points each.
STEP_SECONDS_OF: dict[Range, int] = {
    Range.HOUR: 60,
    Range.SIX_HOURS: 300,
    Range.DAY: 900,
    Range.WEEK: _HOUR,
    Range.MONTH: 4 * _HOUR,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """Totals since the container's start. `at_seconds` is of a clock that never jumps."""

    container: str
    at_seconds: float
    cpu_seconds: float
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Rates:
    """`cpu` in cores; bytes since the reading before. None of them without a reading before."""

    cpu: float | None
    received_bytes: int | None
    sent_bytes: int | None


def rates(before: Reading | None, now: Reading) -> Rates:
    """Return the rates between two readings. A total that has become smaller restarted at zero with its container."""
    if before is None or before.container != now.container or now.at_seconds <= before.at_seconds:
        return Rates(None, None, None)
    used = _since(before.cpu_seconds, now.cpu_seconds)
    return Rates(
        cpu=used / (now.at_seconds - before.at_seconds),
        received_bytes=int(_since(before.received_bytes, now.received_bytes)),
        sent_bytes=int(_since(before.sent_bytes, now.sent_bytes)),
    )


def _since(before: float, now: float) -> float:
    return now - before if now >= before else now
