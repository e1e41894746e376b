"""Streamed responses: server-sent events (WHATWG HTML, section 9.2) and growing text.

A stream ends when its source ends, when its client has gone or takes nothing more, and when it must: the right to it is
lost, or the server stops (aiohttp waits for open answers while it shuts down).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import structlog
from aiohttp import ClientConnectionResetError, hdrs, web

from stackyn_server.api.failures import request_id
from stackyn_server.config import StreamsSettings
from stackyn_server.errors import StackynError
from stackyn_server.services.open_streams import OpenStream, OpenStreams

T = TypeVar("T")

EVENT_STREAM = "text/event-stream"
FAREWELL_SECONDS = 1.0  # for the last bytes

log = structlog.get_logger("stackyn.api")


def install(app: web.Application, open_streams: OpenStreams) -> None:
    """Let the streams of `app` end when it shuts down."""

    async def end(_: web.Application) -> None:
        open_streams.end_all()

    app.on_shutdown.append(end)


def event(data: str, *, name: str | None = None, identifier: int | None = None) -> bytes:
    """Encode one event; every line of `data` becomes a field of its own."""
    lines = [f"id: {identifier}"] if identifier is not None else []
    if name is not None:
        lines.append(f"event: {name}")
    # A lone carriage return ends a line for the reader too.
    lines += [f"data: {line}" for line in data.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return ("\n".join(lines) + "\n\n").encode()


def closing_event(reason: str) -> bytes:
    return event(reason, name="closing")


def wants_events(request: web.Request) -> bool:
    return EVENT_STREAM in request.headers.get(hdrs.ACCEPT, "")


def has_left(request: web.BaseRequest) -> bool:
    """Say whether the client's connection is gone."""
    return request.transport is None or request.transport.is_closing()


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
    stream: OpenStream,
    source: AsyncGenerator[T, None],
    encode: Callable[[T], bytes],
    settings: StreamsSettings,
    *,
    keep_alive: bytes,
    farewell: Callable[[str], bytes] = closing_event,
) -> web.StreamResponse:
    """Write what `source` gives until the stream ends. `farewell` makes the last bytes of a reason to end it.

    A client that takes nothing for `[streams] stalled_seconds` is dropped, and goes on from the last id that it got.
    """

    ended = asyncio.create_task(stream.ended.wait(), name="stream.ended")
    async with aclosing(source):
        upcoming = asyncio.ensure_future(anext(source))
        try:
            while True:
                done, _ = await asyncio.wait(
                    {upcoming, ended},
                    timeout=settings.keep_alive_seconds,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if ended in done:
                    break
                if upcoming in done:
                    await taken(response.write(encode(upcoming.result())), ended, settings)
                    upcoming = asyncio.ensure_future(anext(source))
                else:
                    await taken(response.write(keep_alive), ended, settings)
            async with asyncio.timeout(FAREWELL_SECONDS):
                await response.write(farewell(stream.reason))
        except StopAsyncIteration:
            pass
        except ClientConnectionResetError:
            return response
        except TimeoutError:
            drop(request)
            return response
        except StackynError as error:
            # The answer has begun: all that is left is to end it. Readers with ids go on from the last one.
            log.warning("stream.broken", request_id=request_id(request), code=error.code)
        finally:
            for task in (ended, upcoming):
                task.cancel()
            await asyncio.wait({ended, upcoming})
    with suppress(ClientConnectionResetError):
        await response.write_eof()
    return response


async def taken(
    writing: Coroutine[Any, Any, None], ended: asyncio.Task[Any], settings: StreamsSettings
) -> None:
    """Wait until the client has taken what is written. Raises `TimeoutError` after `[streams] stalled_seconds`, and as
    soon as a stream whose client takes nothing must end."""
    task = asyncio.ensure_future(writing)
    await asyncio.wait({task, ended}, timeout=settings.stalled_seconds, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        raise TimeoutError
    task.result()


def drop(request: web.BaseRequest) -> None:
    """Cut the connection of a client that takes nothing."""
    log.info("stream.dropped", request_id=request_id(request))
    if request.transport is not None:
        request.transport.abort()
