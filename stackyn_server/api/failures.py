"""The one place where an error becomes the contract's JSON."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from secrets import token_hex

import structlog
from aiohttp import hdrs, web

from stackyn_server.api.sentences import about_status, sentence
from stackyn_server.api.wire.base import Error
from stackyn_server.errors import RateLimited, StackynError

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = web.RequestKey("request_id", str)
_REQUEST_ID_BYTES = 8
_GIVEN_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

# Section 1 of the contract. Other codes are for logs and operators.
_PUBLISHED = frozenset(
    """INVALID_REQUEST INVALID_JSON BODY_TOO_LARGE SIGN_IN_REQUIRED SESSION_ENDED FORBIDDEN NOT_FOUND METHOD_NOT_ALLOWED
    NAME_TAKEN SLUG_TAKEN EMAIL_TAKEN DOMAIN_TAKEN QUOTA_APPS QUOTA_MEMORY QUOTA_DISK PLAN_LACKS_FEATURE
    PAYMENT_REQUIRED RATE_LIMITED CODE_INVALID CODE_EXPIRED CODE_ATTEMPTS NOT_CONFIGURED CONFLICT
    TEMPORARILY_UNAVAILABLE INTERNAL""".split()
)
_CODE_OF_STATUS = {
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    413: "BODY_TOO_LARGE",
    409: "CONFLICT",
    429: "RATE_LIMITED",
    503: "TEMPORARILY_UNAVAILABLE",
}

log = structlog.get_logger("stackyn.api")

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def request_id(request: web.BaseRequest) -> str:
    """Return the id of this request: the one it came with, if that is harmless, or a new one."""
    known: str | None = request.get(_REQUEST_ID)
    if known is None:
        given = request.headers.get(REQUEST_ID_HEADER, "")
        known = given if _GIVEN_REQUEST_ID.fullmatch(given) else token_hex(_REQUEST_ID_BYTES)
        request[_REQUEST_ID] = known
    return known


def error_response(
    request: web.BaseRequest, status: int, code: str, *parts: str, error: StackynError | None = None
) -> web.Response:
    """Return the contract's error body with one sentence made of `parts`."""
    details = dict(error.details) if error else {}
    billing_status = details.pop("billing_status", None)
    body = Error(
        error=sentence(code, status, *parts),
        code=code,
        request_id=request_id(request),
        details=details or None,
        billing_status=str(billing_status) if billing_status else None,
    )
    return web.Response(status=status, body=body.model_dump_json().encode(), content_type="application/json")


@web.middleware
async def errors_as_json(request: web.Request, handler: Next) -> web.StreamResponse:
    """Answer every failure in JSON. What nobody foresaw is a 500 with a full record in the log."""
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
        log.warning("request.refused", request_id=request_id(request), code=error.code, exc_info=error)
    code = error.code if error.code in _PUBLISHED else _code_of_status(error.status)
    response = error_response(request, error.status, code, error.message, error.hint, error=error)
    if isinstance(error, RateLimited):
        response.headers[hdrs.RETRY_AFTER] = str(error.details.get("retry_after_seconds", 1))
    return response


def refused_by_aiohttp(request: web.BaseRequest, refusal: web.HTTPException) -> web.Response:
    """Translate what aiohttp itself raises: unknown paths and methods, unreadable requests."""
    code = _code_of_status(refusal.status)
    response = error_response(request, refusal.status, code, about_status(refusal.status))
    if hdrs.ALLOW in refusal.headers:
        response.headers[hdrs.ALLOW] = refusal.headers[hdrs.ALLOW]
    return response


def _code_of_status(status: int) -> str:
    return _CODE_OF_STATUS.get(status, "INTERNAL" if status >= 500 else "INVALID_REQUEST")
