"""Progress of the newest deployment over a WebSocket, and the check of what serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import ClientConnectionResetError, WSCloseCode, WSMsgType, web

from stackyn_server.api import streams
from stackyn_server.api.identity import offered_protocols
from stackyn_server.api.services import Services
from stackyn_server.api.wire.progress import BuildStatus, BuildStatusQuery, Verification
from stackyn_server.config import StreamsSettings
from stackyn_server.domain.ids import AppId, parse_id
from stackyn_server.errors import InvalidRequest, StackynError
from stackyn_server.services.app_access import NoSuchApp
from stackyn_server.services.open_streams import STOPPING, OpenStream
from stackyn_server.services.progress import Progress
from stackyn_server.services.sessions import Caller

_HEARTBEAT_SECONDS = 30.0
_CLOSE_SECONDS = 2.0


async def verify(services: Services, caller: Caller, app: AppId) -> Verification:
    """Say whether container and route of an app are as they should be."""
    return Verification.from_view(await services.progress.verify(caller.id, app))


async def build_status(
    services: Services, caller: Caller, query: BuildStatusQuery, request: web.Request
) -> web.StreamResponse:
    """Send a frame for each change of the newest deployment, until the client or the app goes."""
    number = parse_id(query.app_id) if query.app_id else None
    if number is None:
        raise NoSuchApp
    app = AppId(number)
    if not caller.sees(app):
        raise NoSuchApp
    await services.progress.newest(caller.id, app)
    socket = web.WebSocketResponse(
        timeout=_CLOSE_SECONDS, heartbeat=_HEARTBEAT_SECONDS, protocols=offered_protocols(request)
    )
    if not socket.can_prepare(request):
        raise InvalidRequest("This address speaks WebSocket.")
    with services.streams.open(caller, app, has_left=lambda: streams.has_left(request)) as stream:
        await socket.prepare(request)
        source = services.progress.follow(caller.id, app)
        ended = asyncio.create_task(_ended(socket, stream), name="build_status.ended")
        try:
            async with aclosing(source):
                await _send_changes(source, app, socket, ended, services.streams.limits)
        except (StackynError, ClientConnectionResetError):
            pass  # the app or the client has gone, or the database is away: the client connects again
        except TimeoutError:
            streams.drop(request)
        finally:
            ended.cancel()
            await asyncio.wait({ended})
        if not stream.ended.is_set():
            await socket.close()
        elif stream.reason == STOPPING:
            await socket.close(code=WSCloseCode.GOING_AWAY, message=stream.reason.encode())
        else:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=stream.reason.encode())
    return socket


async def _send_changes(
    source: AsyncGenerator[Progress, None],
    app: AppId,
    socket: web.WebSocketResponse,
    ended: asyncio.Task[None],
    limits: StreamsSettings,
) -> None:
    upcoming = asyncio.ensure_future(anext(source))
    try:
        while True:
            await asyncio.wait({upcoming, ended}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                return
            frame = BuildStatus.of(app, upcoming.result()).model_dump_json()
            await streams.taken(socket.send_str(frame), ended, limits)
            upcoming = asyncio.ensure_future(anext(source))
    finally:
        upcoming.cancel()
        await asyncio.wait({upcoming})


async def _ended(socket: web.WebSocketResponse, stream: OpenStream) -> None:
    """Return when the client closes, or the stream must end."""
    reading = asyncio.create_task(_read(socket), name="build_status.read")
    ending = asyncio.create_task(stream.ended.wait(), name="build_status.must_end")
    try:
        await asyncio.wait({reading, ending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (reading, ending):
            task.cancel()
        await asyncio.wait({reading, ending})


async def _read(socket: web.WebSocketResponse) -> None:
    """Read until the client closes; what it says means nothing here."""
    while True:
        message = await socket.receive()
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return
