"""A door before the real engine's socket that a test can close, when the engine is away for the server, or where it can
keep requests of one kind waiting, when the engine is slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

CHUNK_BYTES = 65_536


class EngineDoor:
    """Passes every byte between `path` and the engine while it is open."""

    def __init__(self, path: Path, engine: Path = Path("/var/run/docker.sock")) -> None:
        self.path = path
        self._engine = engine
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._kept: bytes | None = None
        self._go_on = asyncio.Event()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self.path)

    async def close(self) -> None:
        """Refuse new connections and break those that are there."""
        if self._server is None:
            return
        self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)
        self.path.unlink()
        self._server = None

    @asynccontextmanager
    async def keeping(self, path: str) -> AsyncIterator[None]:
        """Requests with `path` in their first line reach the engine only after the block, whoever still waits then."""
        self._kept = path.encode()
        self._go_on.clear()
        try:
            yield
        finally:
            self._kept = None
            self._go_on.set()

    async def _turn(self, data: bytes) -> None:
        if self._kept is not None and self._kept in data.partition(b"\r\n")[0]:
            await self._go_on.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass(reader, writer), name="engine.door")
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(self._engine)
        try:
            await asyncio.gather(_copy(reader, engine_writer, self._turn), _copy(engine_reader, writer))
        finally:
            engine_writer.close()
            writer.close()


async def _at_once(_: bytes) -> None:
    """Whose turn it always is."""


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    turn: Callable[[bytes], Awaitable[None]] = _at_once,
) -> None:
    """Until one side hangs up. The other one is told, and may still have something to say (a build's output)."""
    try:
        while data := await reader.read(CHUNK_BYTES):
            await turn(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except ConnectionError:
        writer.close()
