"""What apps use, for their owners, and how the server does, for its operator."""

from __future__ import annotations

from aiohttp import hdrs, web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from stackyn_server.api.services import Services
from stackyn_server.api.wire.metrics import Metrics, MetricsQuery
from stackyn_server.domain.ids import AppId
from stackyn_server.services.sessions import Caller


async def of_server(services: Services) -> web.Response:
    """Return the server's own figures for Prometheus, in its text format."""
    page = await services.metrics.render()
    return web.Response(body=page, headers={hdrs.CONTENT_TYPE: CONTENT_TYPE_PLAIN_0_0_4})


async def of_app(services: Services, caller: Caller, app: AppId, query: MetricsQuery) -> Metrics:
    """Return what the app used of processor, memory, disk and network over a range of time."""
    return Metrics.from_view(await services.usage.series(caller.id, app, query.range))
