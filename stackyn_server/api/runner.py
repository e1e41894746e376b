"""Runs the application so that even an unreadable HTTP request gets the contract's JSON.

aiohttp answers a malformed request line, a flood of headers or an unknown expectation below the middlewares, in plain
text. `ApiRunner` is an `AppRunner` in which those answers look like all others, and in which a connection ends that
brings no request.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from stackyn_server.api import cors
from stackyn_server.api.connections import HeadDeadline, OpenConnections
from stackyn_server.api.failures import REQUEST_ID_HEADER, error_response, refused_by_aiohttp, request_id
from stackyn_server.api.sentences import about_status
from stackyn_server.config import ServerSettings

log = structlog.get_logger("stackyn.api")


class _Protocol(RequestHandler):
    """One connection."""

    __slots__ = ("_address", "_allowed_origins", "_head", "_open")

    def __init__(
        self,
        *arguments: Any,
        allowed_origins: tuple[str, ...],
        open_connections: OpenConnections,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._allowed_origins = allowed_origins
        self._open = open_connections
        self._head = HeadDeadline(open_connections.header_seconds, self._close_if_idle)
        self._address: str | None = None  # of a connection that is counted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        if not self._open.enter(address):
            self.force_close()
            return
        self._address = address
        self._head.start()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages or self._current_request is not None:
            self._head.stop()
        else:
            self._head.start()

    def _close_if_idle(self) -> None:
        """Close the connection unless a request is being answered; its body has a limit of its own."""
        if self._waiter is not None and not self._messages:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head.stop()
        if self._address is not None:
            self._open.leave(self._address)
            self._address = None
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read as a request, or failed below the middlewares, and close the connection."""
        if status < 500:
            log.info("request.unreadable", peer=request.remote, reason=type(exc).__name__)
        else:
            log.error("request.failed", request_id=request_id(request), exc_info=exc)
        if request.writer is not None and request.writer.output_size > 0:
            raise ConnectionError("the answer was cut off")
        response = error_response(request, status, "", about_status(status))
        response.headers[REQUEST_ID_HEADER] = request_id(request)
        cors.add_headers(response, None, self._allowed_origins)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException) and resp.status >= 400:
            resp = refused_by_aiohttp(request, resp)
        return await super().finish_response(request, resp, start_time)


class _Server(web.Server):
    def __init__(self, *arguments: Any, connection_options: dict[str, Any], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connection_options = connection_options

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._connection_options, **self._kwargs)


class ApiRunner(web.AppRunner):
    """Use it like `web.AppRunner`."""

    __slots__ = ("_connection_options",)

    def __init__(
        self,
        app: web.Application,
        allowed_origins: tuple[str, ...],
        settings: ServerSettings,
        **options: Any,
    ) -> None:
        super().__init__(app, keepalive_timeout=settings.idle_seconds, **options)
        self._connection_options = {
            "allowed_origins": allowed_origins,
            "open_connections": OpenConnections(settings),
        }

    async def _make_server(self) -> web.Server:
        usual = await super()._make_server()
        return _Server(
            usual.request_handler,
            request_factory=usual.request_factory,
            handler_cancellation=usual.handler_cancellation,
            loop=usual._loop,
            connection_options=self._connection_options,
            **usual._kwargs,
        )
