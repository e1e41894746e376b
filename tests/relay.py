"""A relay before the real engine's socket. A test closes it to take the engine away from the server, or holds back
requests of one kind to make the engine slow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

CHUNK_BYTES = 65_536


class EngineRelay:
    """Passes every byte between `path` and the engine while it is open."""

    def __init__(self, path: Path, engine: Path = Path("/var/run/docker.sock")) -> None:
        self.path = path
        self._engine = engine
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._held_path: bytes | None = None
        self._released = asyncio.Event()

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
    async def holding_back(self, path: str) -> AsyncIterator[None]:
        """Requests with `path` in their first line reach the engine only after the block, whoever still waits then."""
        self._held_path = path.encode()
        self._released.clear()
        try:
            yield
        finally:
            self._held_path = None
            self._released.set()

    async def _wait_while_held(self, data: bytes) -> None:
        if self._held_path is not None and self._held_path in data.partition(b"\r\n")[0]:
            await self._released.wait()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass(reader, writer), name="engine.relay")
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        engine_reader, engine_writer = await asyncio.open_unix_connection(self._engine)
        try:
            await asyncio.gather(
                _copy(reader, engine_writer, self._wait_while_held), _copy(engine_reader, writer)
            )
        finally:
            engine_writer.close()
            writer.close()


async def _at_once(_: bytes) -> None:
    """Hold nothing back."""


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    wait: Callable[[bytes], Awaitable[None]] = _at_once,
) -> None:
    """Copy until one side closes. The other side gets EOF, and may still send (a build's output)."""
    try:
        while data := await reader.read(CHUNK_BYTES):
            await wait(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except ConnectionError:
        writer.close()
