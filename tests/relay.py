"""A door before the real engine's socket that a test can shut: for the server, the engine is away then."""

from __future__ import annotations

import asyncio
from pathlib import Path

ENGINE_SOCKET = "/var/run/docker.sock"
CHUNK_BYTES = 65_536


class EngineDoor:
    """Passes every byte between `path` and the engine while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self.path)

    async def shut(self) -> None:
        """Refuse new connections and break those that are there."""
        if self._server is None:
            return
        self._server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)
        self.path.unlink()
        self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_pass(reader, writer), name="engine.door")
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE_SOCKET)
    try:
        await asyncio.gather(_copy(reader, engine_writer), _copy(engine_reader, writer))
    finally:
        engine_writer.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side hangs up. The other one is told, and may still have something to say (a build's output)."""
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except ConnectionError:
        writer.close()
