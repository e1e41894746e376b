"""What an app used over time: contract section 6."""

from __future__ import annotations

from datetime import datetime

from stackyn_server.api.wire.base import Query, ResponseBody
from stackyn_server.domain.usage import Range, UsagePoint
from stackyn_server.services.usage import Series


class MetricsQuery(Query):
    """Anything but these five ranges is refused."""

    range: Range = Range.HOUR


class Point(ResponseBody):
    """One step, from `at` on. `cpu` in cores, on average; memory and disk at their highest; bytes of the network in
    all. `null` where a step has no measurement of it."""

    at: datetime
    cpu: float | None
    memory_bytes: int
    disk_bytes: int
    received_bytes: int | None
    sent_bytes: int | None

    @classmethod
    def of(cls, view: UsagePoint) -> Point:
        return cls(
            at=view.at,
            cpu=None if view.cpu is None else round(view.cpu, 4),
            memory_bytes=view.memory_bytes,
            disk_bytes=view.disk_bytes,
            received_bytes=view.received_bytes,
            sent_bytes=view.sent_bytes,
        )


class Metrics(ResponseBody):
    """At most 181 points, oldest first; a step in which the app did not run has none."""

    app_id: int
    range: Range
    step_seconds: int
    points: list[Point]

    @classmethod
    def of(cls, app: int, series: Series) -> Metrics:
        return cls(
            app_id=app,
            range=series.range,
            step_seconds=series.step_seconds,
            points=[Point.of(point) for point in series.points],
        )
