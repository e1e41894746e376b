"""How long tests wait for what must happen: longer on a machine slower than the one their limits were chosen on.

A limit here ends a test that hangs. It claims nothing about speed: a number that is promised, such as the 2 seconds in
which a cancelled build is gone, stands in its test as it is.
"""

from __future__ import annotations

import asyncio
import time
from functools import cache

WORK = 100_000
USUAL_SECONDS = 0.02  # of processor time for that work, on two cores of a usual server


@cache
def slowness() -> float:
    """How many times slower this machine computes, at least 1. An emulated one is about 10."""
    return max(1.0, min(_work_seconds() for _ in range(3)) / USUAL_SECONDS)


def patient(seconds: float) -> float:
    """`seconds` of a usual machine, as this one needs them."""
    return seconds * slowness()


def within(seconds: float) -> asyncio.Timeout:
    """`asyncio.timeout` for a usual machine's seconds."""
    return asyncio.timeout(patient(seconds))


def _work_seconds() -> float:
    # Processor time, not the clock: whatever runs beside the tests must not count.
    started = time.process_time()
    {str(number): number for number in range(WORK)}
    return time.process_time() - started
