"""Liveness and readiness."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from stackyn_server.api.wire.base import ResponseBody, read_from, rounded
from stackyn_server.operations.readiness import Readiness


class Alive(ResponseBody):
    status: str


class Chore(ResponseBody):
    """Periodic work. It is late when it has had no success for `late_after_seconds`."""

    name: str
    is_late: bool
    last_success_at: datetime | None = read_from("last_success")
    seconds_without_success: Annotated[float, rounded(1)] = read_from("quiet_seconds")
    late_after_seconds: float = read_from("late_after")
    next_run_at: datetime | None = read_from("next_run")
    error: str | None


class Ready(ResponseBody):
    """`parts` says for each part what it is doing, or what is wrong with it; `periodic` how each chore is doing."""

    status: str
    parts: dict[str, str]
    periodic: list[Chore]

    @classmethod
    def of(cls, state: Readiness) -> Ready:
        chores = [Chore.from_view(chore) for chore in state.periodic]
        return cls(status="ready" if state.is_ready else "not ready", parts=state.parts, periodic=chores)
