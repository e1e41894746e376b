"""Measure an instance before it is recorded as serving, so that the first answer that says `running` has its usage.

The disk is measured while the proxy confirms the route. What is not known soon after that is left to the sampler: the
measurement delays nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from stackyn_server.engine import container_disk, stats
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.store.instances import Instance
from stackyn_server.store.releases import Release
from stackyn_server.store.samples import NewSample

log = structlog.get_logger()

_MEBIBYTE = 1024 * 1024


@asynccontextmanager
async def first_sample(
    engine: Engine, release: Release, instance: Instance, container: str, *, within_seconds: float
) -> AsyncIterator[Callable[[], Awaitable[list[NewSample]]]]:
    """Measure the disk beside the block, and yield a function that returns the sample.

    It waits for at most `within_seconds`, and returns nothing when a figure is missing or could not be read.
    """
    limit = release.disk_mb * _MEBIBYTE
    written = asyncio.create_task(
        container_disk.used_bytes(engine, container, enough=limit), name="first_sample.disk"
    )

    async def take() -> list[NewSample]:
        try:
            async with asyncio.timeout(within_seconds):
                usage, disk_bytes = await stats.usage(engine, container), await asyncio.shield(written)
        except (StackynError, OSError, ValueError) as error:  # a time-out is an OSError
            log.info("sample.postponed", app=instance.app, instance=instance.id, reason=str(error))
            return []
        if usage is None or disk_bytes is None:
            return []
        return [
            NewSample(
                app=instance.app,
                instance=instance.id,
                cpu=None,
                memory_bytes=usage.memory_bytes,
                received_bytes=None,
                sent_bytes=None,
                disk_bytes=disk_bytes,
            )
        ]

    try:
        yield take
    finally:
        written.cancel()
        await asyncio.gather(written, return_exceptions=True)
