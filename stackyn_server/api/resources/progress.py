"""Progress of the newest deployment over a WebSocket, and the check of what serves."""

from __future__ import annotations

import asyncio

from aiohttp import ClientConnectionResetError, WSCloseCode, WSMsgType, web

from stackyn_server.api import streams
from stackyn_server.api.identity import offered_protocols
from stackyn_server.api.services import Services
from stackyn_server.api.wire.progress import BuildStatus, BuildStatusQuery, Verification
from stackyn_server.domain.ids import AppId, parse_id
from stackyn_server.errors import InvalidRequest, StackynError
from stackyn_server.services.app_access import NoSuchApp
from stackyn_server.services.sessions import Caller

_POLL_SECONDS = 1.0
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
    await socket.prepare(request)
    reading = asyncio.create_task(_read(socket), name="build_status.read")
    closing = asyncio.create_task(request.app[streams.CLOSING].wait(), name="build_status.closing")
    try:
        await _send_changes(services, caller, app, socket, {reading, closing})
    except (StackynError, ClientConnectionResetError):
        pass  # the app or the client has gone, or the database is away: the client connects again
    finally:
        for task in (reading, closing):
            task.cancel()
        await asyncio.wait({reading, closing})
    if request.app[streams.CLOSING].is_set():
        await socket.close(code=WSCloseCode.GOING_AWAY, message=streams.STOPPING.encode())
    else:
        await socket.close()
    return socket


async def _send_changes(
    services: Services,
    caller: Caller,
    app: AppId,
    socket: web.WebSocketResponse,
    ends: set[asyncio.Task[bool]],
) -> None:
    last_sent = None
    while not any(task.done() for task in ends):
        progress = await services.progress.newest(caller.id, app)
        if progress is not None and progress != last_sent:
            await socket.send_str(BuildStatus.of(app, progress).model_dump_json())
            last_sent = progress
        await asyncio.wait(ends, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)


async def _read(socket: web.WebSocketResponse) -> bool:
    """Read until the client closes; what it says means nothing here."""
    while True:
        message = await socket.receive()
        if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
            return True
