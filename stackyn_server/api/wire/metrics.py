"""What an app used over time: contract section 6."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from stackyn_server.api.wire.base import Query, ResponseBody, read_from, rounded
from stackyn_server.domain.usage import Range


class MetricsQuery(Query):
    """Anything but these five ranges is refused."""

    range: Range = Range.HOUR


class Point(ResponseBody):
    """One step, from `at` on. `cpu` in cores, on average; memory and disk at their highest; bytes of the network in
    all. `null` where a step has no measurement of it."""

    at: datetime
    cpu: Annotated[float, rounded(4)] | None
    memory_bytes: int
    disk_bytes: int
    received_bytes: int | None
    sent_bytes: int | None


class Metrics(ResponseBody):
    """At most 181 points, oldest first; a step in which the app did not run has none."""

    app_id: int = read_from("app")
    range: Range
    step_seconds: int
    points: list[Point]
