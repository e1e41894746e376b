"""Long responses of the engine and long request bodies, read in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import aiohttp

from stackyn_server.engine.errors import EngineSilent, translated


class EngineStream:
    """An open response of the engine, read in pieces. `Engine.stream` closes it in every case."""

    def __init__(self, response: aiohttp.ClientResponse, silence_seconds: float) -> None:
        self._response = response
        self._silence_seconds = silence_seconds

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield bytes as they arrive. Raises `EngineUnavailable` when the connection breaks before the end, and
        `EngineSilent` when nothing has come for too long."""
        while True:
            with translated():
                try:
                    async with asyncio.timeout(self._silence_seconds):
                        chunk = await self._response.content.readany()
                except TimeoutError as error:
                    raise EngineSilent(self._silence_seconds) from error
            if not chunk:
                return
            yield chunk

    async def json_lines(self) -> AsyncIterator[dict[str, Any]]:
        """Yield one object for each line. Lines may have any length."""
        rest = bytearray()
        async for chunk in self.chunks():
            rest += chunk
            *lines, tail = rest.split(b"\n")
            for line in lines:
                if line.strip():
                    yield json.loads(line)
            rest = bytearray(tail)
        if rest.strip():
            yield json.loads(rest)


class Upload:
    """A request body that keeps the error of its source, which aiohttp reports as a lost connection."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._is_reading = False
        self.error: Exception | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        while True:
            self._is_reading = True
            try:
                piece = await anext(self._pieces)
            except StopAsyncIteration:
                return
            except Exception as error:
                self.error = error
                raise
            finally:
                self._is_reading = False
            yield piece

    async def close(self) -> None:
        """Close the source, unless aiohttp's cancelled writer is reading it: then the cancellation closes it."""
        if isinstance(self._pieces, AsyncGenerator) and not self._is_reading:
            await self._pieces.aclose()
