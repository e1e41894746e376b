"""The time limits of tests, longer on a machine slower than the one they were chosen on.

A limit ends a test that hangs, and nothing else. It is never part of the product's settings: a slow machine tests the
same product. A promised number, such as the 2 seconds in which a cancelled build is gone, is asserted as it is.
"""

from __future__ import annotations

import asyncio
import time
from functools import cache

WORK = 100_000
USUAL_SECONDS = 0.02  # of processor time for that work, on two cores of a usual server


@cache
def slowness() -> float:
    """How many times slower this machine computes, at least 1. An emulated machine has about 10."""
    return max(1.0, min(_work_seconds() for _ in range(3)) / USUAL_SECONDS)


def patient(seconds: float) -> float:
    """The time limit `seconds` of a usual machine, scaled to this one."""
    return seconds * slowness()


def within(seconds: float) -> asyncio.Timeout:
    """`asyncio.timeout` with a scaled limit."""
    return asyncio.timeout(patient(seconds))


def _work_seconds() -> float:
    # Processor time, not the clock: whatever runs beside the tests must not count.
    started = time.process_time()
    {str(number): number for number in range(WORK)}
    return time.process_time() - started
