"""Attach to the standard input and outputs of a container, over one upgraded connection to the engine.

This module uses the socket itself: HTTP clients hide an upgraded connection, and a container learns of the end of its
input only when the sending half of the connection is closed.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineUnavailable, refusal, translated

STDOUT, STDERR = 1, 2
_HEADER = struct.Struct(">BxxxI")  # stream number, length of the frame
_PIECE_BYTES = 64 * 1024
_REASON_BYTES = 4096


class Attached:
    """An attached container. Both directions have back-pressure: `write` waits until the container reads, and the
    container waits until the caller of `outputs` reads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def write(self, data: bytes) -> None:
        """Raises `OSError` when the container has ended or closed its input."""
        self._writer.write(data)
        await self._writer.drain()

    def end_input(self) -> None:
        """Raises `OSError` as `write` does."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Break the connection off. A reader of `outputs` gets `EngineUnavailable`, or the end."""
        self._writer.transport.abort()

    async def outputs(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (STDOUT or STDERR, piece) until the container has ended. Raises `EngineUnavailable`."""
        try:
            while header := await self._reader.read(1):
                header += await self._reader.readexactly(_HEADER.size - 1)
                number, remaining = _HEADER.unpack(header)
                while remaining:
                    piece = await self._reader.readexactly(min(remaining, _PIECE_BYTES))
                    remaining -= len(piece)
                    yield number, piece
        except (asyncio.IncompleteReadError, OSError) as error:
            raise EngineUnavailable(f"the connection to a container broke: {error}") from error


@asynccontextmanager
async def attach(engine: Engine, container: str) -> AsyncIterator[Attached]:
    """Connect to a container that was created with an open standard input, before it is started.

    Leaving the block closes the connection. Raises `EngineUnavailable`, `EngineRefused`.
    """
    with translated():
        async with asyncio.timeout(engine.settings.request_seconds):
            reader, writer = await asyncio.open_unix_connection(
                str(engine.settings.socket), limit=_PIECE_BYTES
            )
    try:
        with translated():
            async with asyncio.timeout(engine.settings.request_seconds):
                await _upgrade(engine, container, reader, writer)
        yield Attached(reader, writer)
    finally:
        writer.close()


async def _upgrade(
    engine: Engine, container: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    path = f"{engine.docker.api_version}/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    request = f"POST /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    writer.write(f"{request}Content-Length: 0\r\n\r\n".encode())
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise EngineUnavailable("no answer to a request to attach") from error
    status = int(head.split(maxsplit=2)[1])
    if status not in (HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.OK):
        raise refusal(status, (await reader.read(_REASON_BYTES)).decode("utf-8", "replace"))
