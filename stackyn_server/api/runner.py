"""Runs the application so that even an unreadable HTTP request gets the contract's JSON.

aiohttp answers a malformed request line, a flood of headers or an unknown expectation below the middlewares, in plain
text. `ApiRunner` is an `AppRunner` in which those answers look like all others.
"""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from stackyn_server.api import cors
from stackyn_server.api.failures import REQUEST_ID_HEADER, error_response, refused_by_aiohttp, request_id
from stackyn_server.api.sentences import about_status

log = structlog.get_logger("stackyn.api")


class _Protocol(RequestHandler):
    """One connection."""

    __slots__ = ("_allowed_origins",)

    def __init__(self, *arguments: Any, allowed_origins: tuple[str, ...], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._allowed_origins = allowed_origins

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
    def __init__(self, *arguments: Any, allowed_origins: tuple[str, ...], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._allowed_origins = allowed_origins

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, allowed_origins=self._allowed_origins, **self._kwargs)


class ApiRunner(web.AppRunner):
    """Use it like `web.AppRunner`."""

    __slots__ = ("_allowed_origins",)

    def __init__(self, app: web.Application, allowed_origins: tuple[str, ...], **options: Any) -> None:
        super().__init__(app, **options)
        self._allowed_origins = allowed_origins

    async def _make_server(self) -> web.Server:
        usual = await super()._make_server()
        return _Server(
            usual.request_handler,
            request_factory=usual.request_factory,
            handler_cancellation=usual.handler_cancellation,
            loop=usual._loop,
            allowed_origins=self._allowed_origins,
            **usual._kwargs,
        )
