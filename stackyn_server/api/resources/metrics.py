"""What apps use, for their owners."""

from __future__ import annotations

from stackyn_server.api.wire.metrics import Metrics, MetricsQuery
from stackyn_server.domain.ids import AppId
from stackyn_server.services.registry import Services
from stackyn_server.services.sessions import Caller


async def of_app(services: Services, caller: Caller, app: AppId, query: MetricsQuery) -> Metrics:
    """Return what the app used of processor, memory, disk and network over a range of time."""
    return Metrics.of(app, await services.usage.series(caller.id, app, query.range))
