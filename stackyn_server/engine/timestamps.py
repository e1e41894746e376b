"""Convert the engine's times: RFC 3339 text with nanoseconds. Python's datetime keeps only microseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

NANOSECONDS = 1_000_000_000
_NEVER = "0001-01-01"
_FRACTION = re.compile(r"\.([0-9]{1,9})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(text: str | None) -> datetime | None:
    """Return the aware time in UTC; None for the engine's zero time. Raises ValueError for anything else."""
    if not text or text.startswith(_NEVER):
        return None
    return datetime.fromisoformat(text).astimezone(UTC)


def parse_nanoseconds(text: str) -> int:
    """Return the exact nanoseconds since 1970. Raises ValueError."""
    match = _FRACTION.search(text)
    fraction = int(match[1].ljust(9, "0")) if match else 0
    whole = datetime.fromisoformat(_FRACTION.sub("", text)).astimezone(UTC) - _EPOCH
    return (whole.days * 86_400 + whole.seconds) * NANOSECONDS + fraction


def to_nanoseconds(moment: datetime) -> int:
    """Return the nanoseconds since 1970 of an aware time."""
    since = moment.astimezone(UTC) - _EPOCH
    return (since.days * 86_400 + since.seconds) * NANOSECONDS + since.microseconds * 1000


def from_nanoseconds(nanoseconds: int) -> datetime:
    """Return the aware time, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def as_parameter(nanoseconds: int) -> str:
    """Return `<seconds>.<nanoseconds>`, the form of the engine's `since` and `until` parameters."""
    return f"{nanoseconds // NANOSECONDS}.{nanoseconds % NANOSECONDS:09d}"
