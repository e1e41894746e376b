"""Cross-origin rules: aiohttp-cors for the declared routes, completed to what browsers of published clients need.

aiohttp-cors leaves unknown paths, refused methods and a bare `OPTIONS` without headers (a browser then reports a
network error), and never sends `Vary`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp_cors
from aiohttp import hdrs, web

from stackyn_server.api.failures import REQUEST_ID_HEADER
from stackyn_server.config.process import ANY_ORIGIN

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Named one by one: `*` does not cover Authorization (Fetch standard, CORS-preflight fetch).
HEADERS = ("Authorization", "Content-Type", "Accept", "Origin", "X-Requested-With")
EXPOSED = (REQUEST_ID_HEADER, hdrs.RETRY_AFTER)
MAX_AGE_SECONDS = 3600


def install(app: web.Application, allowed_origins: tuple[str, ...]) -> None:
    """Give every answer of `app` its cross-origin headers. Call it when all routes are there."""
    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_credentials=False,
        expose_headers=EXPOSED,
        allow_headers=HEADERS,
        allow_methods=METHODS,
        max_age=MAX_AGE_SECONDS,
    )
    cors = aiohttp_cors.setup(app, defaults={origin: options for origin in allowed_origins})
    for resource in list(app.router.resources()):
        cors.add(resource)

    async def complete(request: web.Request, response: web.StreamResponse) -> None:
        add_headers(response, request.headers.get(hdrs.ORIGIN), allowed_origins)

    app.on_response_prepare.append(complete)


def add_headers(response: web.StreamResponse, origin: str | None, allowed_origins: tuple[str, ...]) -> None:
    """Name the origin that may read this answer: any, the asking one if it is allowed, else the first allowed one."""
    if ANY_ORIGIN in allowed_origins:
        allowed = ANY_ORIGIN
    else:
        allowed = origin if origin in allowed_origins else allowed_origins[0]
    response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = allowed
    response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ", ".join(EXPOSED)
    vary = response.headers.get(hdrs.VARY)
    if vary is None:
        response.headers[hdrs.VARY] = hdrs.ORIGIN
    elif hdrs.ORIGIN.lower() not in vary.lower():
        response.headers[hdrs.VARY] = f"{vary}, {hdrs.ORIGIN}"


@web.middleware
async def answer_preflight(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer any `OPTIONS`, on any path, before anything is checked."""
    if request.method != hdrs.METH_OPTIONS:
        return await handler(request)
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(METHODS),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(HEADERS),
            hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE_SECONDS),
        },
    )
