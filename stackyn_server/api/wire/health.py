"""Liveness and readiness."""

from __future__ import annotations

from datetime import datetime

from stackyn_server.api.wire.base import ResponseBody
from stackyn_server.jobs.periodic import PeriodicReport
from stackyn_server.operations.readiness import Readiness


class Alive(ResponseBody):
    status: str


class Chore(ResponseBody):
    """Periodic work. It is late when it has had no success for `late_after_seconds`."""

    name: str
    is_late: bool
    last_success_at: datetime | None
    seconds_without_success: float
    late_after_seconds: float
    next_run_at: datetime | None
    error: str | None

    @classmethod
    def of(cls, view: PeriodicReport) -> Chore:
        return cls(
            name=view.name,
            is_late=view.is_late,
            last_success_at=view.last_success,
            seconds_without_success=round(view.quiet_seconds, 1),
            late_after_seconds=view.late_after,
            next_run_at=view.next_run,
            error=view.error,
        )


class Ready(ResponseBody):
    """`parts` says for each part what it is doing, or what is wrong with it; `periodic` how each chore is doing."""

    status: str
    parts: dict[str, str]
    periodic: list[Chore]

    @classmethod
    def of(cls, state: Readiness) -> Ready:
        chores = [Chore.of(chore) for chore in state.periodic]
        return cls(status="ready" if state.is_ready else "not ready", parts=state.parts, periodic=chores)
