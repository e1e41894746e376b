"""The time limits of tests, longer on a machine slower than the one they were chosen on.

A limit ends a test that hangs, and nothing else. It is never part of the product's settings: a slow machine tests the
same product. A promised number, such as the 2 seconds in which a cancelled build is gone, is asserted in `tests/bench`
as it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cache

WORK = 100_000
USUAL_SECONDS = 0.02  # of processor time for that work, on two cores of a usual server


@cache
def slowness() -> float:
    """How many times slower this machine computes, at least 1. An emulated machine has about 10."""
    work_seconds = min(
        processor_seconds(lambda: {str(number): number for number in range(WORK)}) for _ in range(3)
    )
    return max(1.0, work_seconds / USUAL_SECONDS)


def patient(seconds: float) -> float:
    """The time limit `seconds` of a usual machine, scaled to this one."""
    return seconds * slowness()


def within(seconds: float) -> asyncio.Timeout:
    """`asyncio.timeout` with a scaled limit."""
    return asyncio.timeout(patient(seconds))


def processor_seconds(work: Callable[[], object]) -> float:
    """The processor time that `work` takes: whatever runs beside the tests does not count."""
    began = time.process_time()
    work()
    return time.process_time() - began
