"""Store what apps write before their containers are removed, and when these crash.

The engine keeps the output of a container in files that it rotates. What is in them goes to the database once: the
instance's row says up to which line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.ids import InstanceId
from stackyn_server.domain.logs import LogLine, RuntimeChunk
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineSilent
from stackyn_server.engine.logs import read_batches
from stackyn_server.engine.pacing import LoopPacer
from stackyn_server.journal.runtime_logs import as_shown
from stackyn_server.journal.stream import CHUNK_BYTES
from stackyn_server.pause import Pause
from stackyn_server.store import instances, logs
from stackyn_server.store.database import Database
from stackyn_server.store.failures import Contention, DatabaseUnavailable, StatementRefused

log = structlog.get_logger(__name__)

_TRANSACTION_BYTES = 256 * 1024
_MOST_LINES = 50_000  # of one container at once: each costs about 20 µs of the loop
_AT_ONCE = 2


class RuntimeLogKeeper:
    def __init__(self, database: Database, engine: Engine, settings: Settings) -> None:
        self._database = database
        self._engine = engine
        self._settings = settings
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def keep(self, instance: InstanceId, container: str) -> bool:
        """Store what the container has written since this was last called. What its app has beyond `[apps]
        log_keep_bytes` goes, the oldest first.

        Safe to repeat. Waits for the database, however long that is away. False for a log that hangs: it is given up.
        Raises `EngineUnavailable`.
        """
        pause = Pause.of(self._settings.jobs)
        async with self._places:
            while True:
                try:
                    return await self._keep(instance, container)
                except (DatabaseUnavailable, Contention) as error:
                    log.warning("runtime_log.waits", instance=instance, reason=error.message)
                    await pause.wait()
                except StatementRefused as error:
                    # The database would refuse it again, and nothing would ever take the container down.
                    log.error("runtime_log.refused", instance=instance, sqlstate=error.sqlstate)
                    return True

    async def _keep(self, instance: InstanceId, container: str) -> bool:
        async with self._database.connection() as connection:
            row = await instances.get(connection, instance)
        if row is None:
            return True
        until, size, lines = row.logged_until, 0, list[LogLine]()
        pace, has_answered = LoopPacer(), True
        try:
            async with aclosing(
                read_batches(self._engine, container, since=until, tail=_MOST_LINES)
            ) as batches:
                async for batch in batches:
                    lines += map(as_shown, batch)
                    size += sum(len(line.text) + 1 for line in batch)
                    if size >= _TRANSACTION_BYTES:
                        until = await self._store(instance, lines, until)
                        size, lines = 0, []
                    await pace.pause_if_due()
        except EngineSilent as error:
            log.warning("runtime_log.hangs", instance=instance, reason=error.reason)
            has_answered = False
        if lines:
            await self._store(instance, lines, until)
        return has_answered

    async def _store(self, instance: InstanceId, lines: list[LogLine], until: int | None) -> int | None:
        """Store the lines after `until`, and return the new one. Somebody else may have stored some meanwhile."""
        async with self._database.transaction() as connection:
            output = await instances.output_of(connection, instance)
            if output is None:
                return until
            if output.logged_until != until:
                after = output.logged_until or 0
                lines = [line for line in lines if line.nanoseconds > after]
            if lines:
                await logs.append_runtime(connection, output.app, output.deployment, list(_pieces(lines)))
                until = max([output.logged_until or 0, *(line.nanoseconds for line in lines)])
                await instances.set_logged(connection, instance, until)
                await logs.trim(connection, output.app, "runtime", self._settings.apps.log_keep_bytes)
        return until


def _pieces(lines: list[LogLine]) -> Iterator[RuntimeChunk]:
    piece: list[LogLine] = []
    size = 0
    for line in lines:
        if piece and size + len(line.text.encode()) >= CHUNK_BYTES:
            yield RuntimeChunk.of(piece)
            piece, size = [], 0
        piece.append(line)
        size += len(line.text.encode()) + 1
    yield RuntimeChunk.of(piece)
