"""Report the progress of making images, step by step."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

TITLE_WIDTH = 72  # the columns of scripts/machine.sh


class Steps(Protocol):
    """`step` is open while its work runs; `say` reports a sentence between steps."""

    def step(self, title: str) -> AbstractContextManager[None]: ...

    def say(self, sentence: str) -> None: ...


class TerminalSteps:
    """Writes steps to a terminal: the title during a step, then its duration."""

    def say(self, sentence: str) -> None:
        self._write(f"  {sentence}\n")

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        started = time.monotonic()
        self._write(f"  {title:<{TITLE_WIDTH}}")
        try:
            yield
        except BaseException:
            self._write(f"{'failed':>9}\n")
            raise
        self._write(f"{f'{time.monotonic() - started:.1f} s':>9}\n")

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
