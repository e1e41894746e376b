"""The aiohttp application, built from the endpoint table."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from stackyn_server.api import cors, reference, streams
from stackyn_server.api.counting import counting
from stackyn_server.api.endpoint import Endpoint
from stackyn_server.api.endpoints import ENDPOINTS
from stackyn_server.api.failures import REQUEST_ID_HEADER, errors_as_json, request_id
from stackyn_server.api.request_handler import request_handler
from stackyn_server.api.services import Services
from stackyn_server.api.throttling import Throttle
from stackyn_server.config import Settings

if TYPE_CHECKING:
    from aiohttp.web_request import Request

SERVICES = web.AppKey("services", Services)

_MEMBER = re.compile(r"\{(\w+)\}")
# aiohttp's own pattern for a member has no braces; a decoded env key may have them.
_ANY_MEMBER = r"{\1:[^/]+}"


def create_app(
    services: Services, settings: Settings, endpoints: tuple[Endpoint, ...] = ENDPOINTS
) -> web.Application:
    """Return the application that answers `endpoints`; the caller runs it and owns what is in `services`."""
    app = web.Application(
        middlewares=[counting(services.metrics), cors.answer_preflight, errors_as_json],
        client_max_size=settings.server.body_limit_bytes,
    )
    app[SERVICES] = services
    throttle = Throttle(settings.rates, settings.ingress.trusted_proxies)
    for path, of_path in _by_path(endpoints).items():
        resource = app.router.add_resource(_MEMBER.sub(_ANY_MEMBER, path))
        for endpoint in of_path:
            resource.add_route(
                endpoint.method,
                request_handler(endpoint, services, settings.server, throttle),
                expect_handler=_continue,
            )
    reference.install(app, endpoints)
    streams.install(app, services.streams)
    cors.install(app, settings.allowed_origins)
    app.on_response_prepare.append(_mark)
    return app


def _by_path(endpoints: tuple[Endpoint, ...]) -> dict[str, list[Endpoint]]:
    """Group the endpoints by path: aiohttp-cors refuses the preflight of a path that is registered twice."""
    paths: dict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in endpoints:
        paths[endpoint.path].append(endpoint)
        if endpoint.has_slash_alias:
            paths[f"{endpoint.path}/"].append(endpoint)
    return paths


async def _continue(request: Request) -> None:
    """Send `100 Continue` when the client expects it; ignore other expectations."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


async def _mark(request: web.Request, response: web.StreamResponse) -> None:
    response.headers[REQUEST_ID_HEADER] = request_id(request)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
