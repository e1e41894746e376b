"""Turns every error into the contract's JSON."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from secrets import token_hex

import structlog
from aiohttp import hdrs, web

from stackyn_server.api.sentences import about_status, sentence
from stackyn_server.api.wire.base import Error
from stackyn_server.api.wire.codes import published
from stackyn_server.errors import RateLimited, StackynError

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = web.RequestKey("request_id", str)
_REQUEST_ID_BYTES = 8
_GIVEN_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

log = structlog.get_logger("stackyn.api")

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def request_id(request: web.BaseRequest) -> str:
    """Return the id of this request: the one it came with, if that is harmless, or a new one."""
    identifier: str | None = request.get(_REQUEST_ID)
    if identifier is None:
        given = request.headers.get(REQUEST_ID_HEADER, "")
        identifier = given if _GIVEN_REQUEST_ID.fullmatch(given) else token_hex(_REQUEST_ID_BYTES)
        request[_REQUEST_ID] = identifier
    return identifier


def error_response(
    request: web.BaseRequest, status: int, code: str, *parts: str, error: StackynError | None = None
) -> web.Response:
    """Return the contract's error body with one sentence made of `parts`. An empty `code` is that of the status."""
    published_code = published(code, status)
    details = dict(error.details) if error else {}
    billing_status = details.pop("billing_status", None)
    body = Error(
        error=sentence(published_code, status, *parts),
        code=published_code,
        request_id=request_id(request),
        details=details or None,
        billing_status=str(billing_status) if billing_status else None,
    )
    return web.Response(status=status, body=body.model_dump_json().encode(), content_type="application/json")


@web.middleware
async def errors_as_json(request: web.Request, handler: Next) -> web.StreamResponse:
    """Answer every failure in JSON. An unexpected exception is a 500 with its traceback in the log."""
    try:
        return await handler(request)
    except StackynError as error:
        return _refused(request, error)
    except web.HTTPException as refusal:
        if refusal.status < 400:
            raise
        return refused_by_aiohttp(request, refusal)
    except Exception:
        log.exception("request.failed", request_id=request_id(request), path=request.path)
        return error_response(request, 500, "INTERNAL", about_status(500))


def _refused(request: web.Request, error: StackynError) -> web.Response:
    if error.status >= 500:
        log.warning(
            "request.refused",
            request_id=request_id(request),
            code=error.code,
            reason=error.message,
            exc_info=error if error.__cause__ else None,  # without a cause, the sentence says it all
        )
    response = error_response(request, error.status, error.code, error.message, error.hint, error=error)
    if isinstance(error, RateLimited):
        response.headers[hdrs.RETRY_AFTER] = str(error.details.get("retry_after_seconds", 1))
    return response


def refused_by_aiohttp(request: web.BaseRequest, refusal: web.HTTPException) -> web.Response:
    """Translate what aiohttp itself raises: unknown paths and methods, unreadable requests."""
    response = error_response(request, refusal.status, "", about_status(refusal.status))
    if hdrs.ALLOW in refusal.headers:
        response.headers[hdrs.ALLOW] = refusal.headers[hdrs.ALLOW]
    return response
