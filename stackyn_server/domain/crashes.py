"""Crashes: how an instance's end counts, and how many crashes stop an app. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stackyn_server.domain.ids import InstanceId

CRASHED, RESTARTED, REPAIR_FAILED = "app.crashed", "app.restarted", "app.repair_failed"


@dataclass(frozen=True, slots=True)
class Crash:
    """`name` is the event's. `count` of them happened; of those that happened while nobody looked, only one counts
    towards the limit, for nobody knows when the others were."""

    name: str
    reason: str
    count: int = 1
    while_away: bool = False
    exit_code: int | None = None
    out_of_memory: bool = False
    last_lines: str = ""

    def as_event_data(self, instance: InstanceId) -> dict[str, Any]:
        return {
            "instance": instance,
            "reason": self.reason,
            "count": self.count,
            "counted": 1 if self.while_away else self.count,
            "exit_code": self.exit_code,
            "out_of_memory": self.out_of_memory,
            "last_lines": self.last_lines,
        }


def stop_reason(crash: Crash, recent: int, *, limit: int, window_seconds: float) -> str | None:
    """Return why an app is stopped after `recent` crashes within the window. None: the app keeps running."""
    if recent < limit:
        return None
    minutes = max(1, round(window_seconds / 60))
    return f"{crash.reason} That happened {recent} times within {minutes} minutes."
