"""Counts every request by its endpoint and status."""

from __future__ import annotations

import time

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from stackyn_server.operations.metrics import Metrics

CLIENT_LEFT = 499  # nginx logs it with this number, too
UNKNOWN = "unknown"  # one name for all paths that are not in the table: anybody may ask for anything


def counting(metrics: Metrics) -> Middleware:
    """Return the outermost middleware."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        started, status = time.monotonic(), CLIENT_LEFT
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            metrics.count_request(_name(request), status, time.monotonic() - started)

    return count


def _name(request: web.Request) -> str:
    if request.method == hdrs.METH_OPTIONS:
        return hdrs.METH_OPTIONS
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical}" if resource else UNKNOWN
