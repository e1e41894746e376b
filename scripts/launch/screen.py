"""The progress that scripts/run shows, in the columns of scripts/machine.sh."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

TITLE_WIDTH = 72


def say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show a title while something is done, and how long it took."""
    started = time.monotonic()
    say(f"  {title:<{TITLE_WIDTH}}", end="")
    try:
        yield
    except BaseException:
        say(f"{'failed':>9}")
        raise
    say(f"{f'{time.monotonic() - started:.1f} s':>9}")
