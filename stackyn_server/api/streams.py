"""Streamed responses: server-sent events (WHATWG HTML, section 9.2) and growing text.

A stream ends when its source ends, when its client has gone, when `idle` says that nothing more will come, or when the
server stops: aiohttp waits for open answers while it shuts down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import structlog
from aiohttp import ClientConnectionResetError, hdrs, web

from stackyn_server.api.failures import request_id
from stackyn_server.errors import StackynError

T = TypeVar("T")

# After so long without output, the client is checked and `idle` is called: the first time, and each time after that.
_FIRST_IDLE_SECONDS = 0.5
_IDLE_SECONDS = 5.0

EVENT_STREAM = "text/event-stream"

CLOSING = web.AppKey("closing", asyncio.Event)

log = structlog.get_logger("stackyn.api")


def install(app: web.Application) -> None:
    """Let the streams of `app` end when it shuts down."""
    app[CLOSING] = asyncio.Event()

    async def close(app: web.Application) -> None:
        app[CLOSING].set()

    app.on_shutdown.append(close)


def event(data: str, *, name: str | None = None, identifier: int | None = None) -> bytes:
    """Encode one event; every line of `data` becomes a field of its own."""
    lines = [f"id: {identifier}"] if identifier is not None else []
    if name is not None:
        lines.append(f"event: {name}")
    # A lone carriage return ends a line for the reader too.
    lines += [f"data: {line}" for line in data.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return ("\n".join(lines) + "\n\n").encode()


STOPPING = "The server is stopping; connect again in a moment."
CLOSING_EVENT = event(STOPPING, name="closing")


def wants_events(request: web.Request) -> bool:
    return EVENT_STREAM in request.headers.get(hdrs.ACCEPT, "")


async def begin(request: web.Request, content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
    response.content_type = content_type
    if content_type != EVENT_STREAM:
        response.charset = "utf-8"
    await response.prepare(request)
    return response


async def pump(
    request: web.Request,
    response: web.StreamResponse,
    source: AsyncIterator[T],
    encode: Callable[[T], bytes],
    *,
    keep_alive: bytes,
    idle: Callable[[], Awaitable[bytes | None]],
    closing_bytes: bytes = CLOSING_EVENT,
) -> web.StreamResponse:
    """Write what `source` gives until the stream ends. `idle` returns the final bytes when nothing more will
    come, else None; `closing_bytes` is written when the server stops."""
    closing = asyncio.create_task(request.app[CLOSING].wait(), name="stream.closing")
    upcoming = asyncio.ensure_future(anext(source))
    silence_seconds = _FIRST_IDLE_SECONDS
    try:
        while True:
            done, _ = await asyncio.wait(
                {upcoming, closing}, timeout=silence_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if closing in done:
                await response.write(closing_bytes)
                break
            if upcoming in done:
                await response.write(encode(upcoming.result()))
                upcoming = asyncio.ensure_future(anext(source))
                silence_seconds = _FIRST_IDLE_SECONDS
                continue
            silence_seconds = _IDLE_SECONDS
            final_bytes = await idle()
            await response.write(keep_alive if final_bytes is None else final_bytes)
            if final_bytes is not None:
                break
    except StopAsyncIteration:
        pass
    except ClientConnectionResetError:
        return response
    except StackynError as error:
        # The answer has begun: all that is left is to end it. Readers with ids go on from the last one.
        log.warning("stream.broken", request_id=request_id(request), code=error.code)
    finally:
        for task in (closing, upcoming):
            task.cancel()
        await asyncio.wait({closing, upcoming})
        if hasattr(source, "aclose"):
            await source.aclose()
    with suppress(ClientConnectionResetError):
        await response.write_eof()
    return response
