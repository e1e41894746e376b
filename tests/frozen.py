"""A database server that answers nothing for a while, as on a machine that has run out of I/O."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from stackyn_server.postgres.embedded import EmbeddedPostgres


@asynccontextmanager
async def frozen(postgres: EmbeddedPostgres) -> AsyncIterator[None]:
    """Stop all its processes, and let them go on at the end."""
    assert postgres.pid is not None, "it runs"
    processes = [postgres.pid, *_children(postgres.pid)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
