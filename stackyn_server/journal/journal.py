"""Stores log text in the database. Writers never wait, readers never slow them, memory is bounded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.domain.logs import LogChunk, LogKind
from stackyn_server.domain.notices import LogStored
from stackyn_server.domain.terminal import clean
from stackyn_server.domain.text import storable
from stackyn_server.errors import StackynError
from stackyn_server.journal.stream import CHUNK_BYTES, Key, Stream
from stackyn_server.pause import Pause, is_set_within
from stackyn_server.security.redaction import redact
from stackyn_server.store import logs
from stackyn_server.store.database import Database
from stackyn_server.store.failures import StatementRefused
from stackyn_server.store.logs import NewChunk

log = structlog.get_logger(__name__)

_GATHER_SECONDS = 0.1
_BACKLOG_BYTES = 8 * 1024 * 1024  # of all logs together, while the database is away or slow
PAGE_CHUNKS = 64


@dataclass(slots=True)
class _Unstored:
    """A chunk that may not be in the database yet. It keeps its id, so that storing it is idempotent."""

    key: Key
    text: str
    id: int | None = None


class Journal:
    """The server supervises `run()`. All text that was written before a `flush` is durable after it."""

    def __init__(
        self,
        database: Database,
        settings: config.BuildsSettings,
        *,
        pause: Pause | None = None,
        backlog_bytes: int = _BACKLOG_BYTES,
    ) -> None:
        self._database = database
        self._settings = settings
        self._backlog_bytes = backlog_bytes
        self._pause = pause or Pause.of(config.JobsSettings())
        self._streams: dict[Key, Stream] = {}
        self._unstored: list[_Unstored] = []
        self._unstored_bytes = 0
        self._pending_bytes = 0
        self._dirty = asyncio.Event()
        self._urgent = asyncio.Event()
        self._passes_begun = 0
        self._passes_done = 0
        self._pass_done = asyncio.Condition()

    @property
    def waiting_bytes(self) -> int:
        """How much log text is in memory and not yet certainly in the database."""
        return self._pending_bytes + self._unstored_bytes

    def write(self, app: AppId, deployment: DeploymentId, kind: LogKind, text: str) -> None:
        """Take a piece of a log, whole lines or not. Never waits and never fails."""
        stream = self._stream((app, deployment, kind))
        self._pending_bytes += stream.feed(text, self._free_bytes)
        self._dirty.set()
        if stream.pending_bytes >= CHUNK_BYTES:
            self._urgent.set()

    def as_stored(self, line: str) -> str:
        """Return a whole line as the database has it."""
        return redact(storable(clean(line)))

    async def flush(self, deployment: DeploymentId) -> None:
        """Return when all text of the deployment is in the database, however long that is away."""
        for stream in self._of(deployment):
            self._pending_bytes += stream.end_line(self._free_bytes)
        next_pass = self._passes_begun + 1
        self._dirty.set()
        self._urgent.set()
        async with self._pass_done:
            await self._pass_done.wait_for(lambda: self._passes_done >= next_pass)
        for stream in self._of(deployment):
            if not stream.has_pending:
                del self._streams[stream.key]  # its size is asked for again should it go on

    async def run(self) -> None:
        """Store text 0.1 s after it was written, or when a chunk is full. Never returns."""
        while True:
            await self._dirty.wait()
            await is_set_within(self._urgent, _GATHER_SECONDS)
            self._dirty.clear()
            self._urgent.clear()
            if await self._store():
                self._pause.reset()
            else:
                self._dirty.set()
                await self._pause.wait()

    async def close(self) -> None:
        """Store the rest, after `run` has ended; give up at once when the database is away."""
        for stream in self._streams.values():
            self._pending_bytes += stream.end_line(self._free_bytes)
        if not await self._store():
            log.error("journal.lost", bytes=self._unstored_bytes)

    async def stored_after(
        self, deployment: DeploymentId, after_id: int, kind: LogKind = "build"
    ) -> list[LogChunk]:
        """Return the chunks above `after_id` that are stored, at most `PAGE_CHUNKS`. Later ones are posted as
        `LogStored`, in the order of their ids."""
        async with self._database.connection() as connection:
            return await logs.chunks_after(connection, deployment, kind, after_id, PAGE_CHUNKS)

    async def rest(self, deployment: DeploymentId, after_id: int, kind: LogKind = "build") -> list[LogChunk]:
        """Return the chunks above `after_id` of a deployment that has ended, including text not stored yet."""
        if self._of(deployment):
            await self.flush(deployment)
        rest: list[LogChunk] = []
        async with self._database.connection() as connection:
            while chunks := await logs.chunks_after(connection, deployment, kind, after_id, PAGE_CHUNKS):
                rest += chunks
                after_id = chunks[-1].id
        return rest

    def _stream(self, key: Key) -> Stream:
        if key not in self._streams:
            limit = self._settings.log_limit_bytes if key[2] == "build" else None
            self._streams[key] = Stream(key, redact, limit)
        return self._streams[key]

    def _of(self, deployment: DeploymentId) -> list[Stream]:
        return [stream for key, stream in self._streams.items() if key[1] == deployment]

    @property
    def _free_bytes(self) -> int:
        return self._backlog_bytes - self.waiting_bytes

    async def _store(self) -> bool:
        """Try to store everything that was written until now; False when the database is away."""
        self._passes_begun += 1
        number = self._passes_begun
        try:
            await self._read_sizes()
            self._take()
            await self._write()
        except StatementRefused as error:
            # The database would refuse it again, and all other logs wait behind it.
            log.error("journal.refused", sqlstate=error.sqlstate, bytes=self._unstored_bytes)
        except StackynError as error:
            log.warning("journal.waits", reason=error.message, bytes=self._unstored_bytes)
            return False
        self._forget_stored()
        async with self._pass_done:
            self._passes_done = number
            self._pass_done.notify_all()
        return True

    async def _read_sizes(self) -> None:
        unread = [stream for stream in self._streams.values() if stream.stored is None]
        if not unread:
            return
        async with self._database.connection() as connection:
            for stream in unread:
                _, deployment, kind = stream.key
                stream.stored = await logs.size(connection, deployment, kind)

    def _take(self) -> None:
        for stream in self._streams.values():
            if (
                stream.stored is not None
            ):  # else the log began after the sizes were read: the next pass takes it
                self._pending_bytes -= stream.pending_bytes
                for text in stream.take_chunks():
                    self._unstored.append(_Unstored(stream.key, text))
                    self._unstored_bytes += len(text.encode())

    async def _write(self) -> None:
        if not self._unstored:
            return
        async with self._database.transaction() as connection:
            new_chunks = [chunk for chunk in self._unstored if chunk.id is None]
            for chunk, new_id in zip(
                new_chunks, await logs.reserve_ids(connection, len(new_chunks)), strict=True
            ):
                chunk.id = new_id
            await logs.append(
                connection, [NewChunk(c.id, *c.key, c.text) for c in self._unstored if c.id is not None]
            )
            for chunk in self._unstored:
                if chunk.id is not None:
                    connection.announce(LogStored(*chunk.key, LogChunk(chunk.id, chunk.text)))

    def _forget_stored(self) -> None:
        self._unstored.clear()
        self._unstored_bytes = 0
