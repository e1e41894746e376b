"""Ends of instances that nobody wanted, as rows: the count survives a restart of this server, and is the app's own."""

from __future__ import annotations

from dataclasses import dataclass

from stackyn_server.config import AppsSettings
from stackyn_server.domain.ids import InstanceId
from stackyn_server.store import events, instances
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.giving_up import give_up
from stackyn_server.store.queries import load

SQL = load("crashes")

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


async def record(
    connection: Connection, app: App, instance: InstanceId, crash: Crash, limits: AppsSettings
) -> bool:
    """Record it and count it; at `restart_limit` within `restart_window_seconds` stop the app, with the reason.

    Returns True when the app was stopped.
    """
    await instances.add_restarts(connection, instance, crash.count)
    data = {
        "instance": instance,
        "reason": crash.reason,
        "count": crash.count,
        "counted": 1 if crash.while_away else crash.count,
        "exit_code": crash.exit_code,
        "out_of_memory": crash.out_of_memory,
        "last_lines": crash.last_lines,
    }
    await events.append(connection, crash.name, tenant=app.tenant, app=app.id, data=data)
    names = [CRASHED, RESTARTED, REPAIR_FAILED]
    recent = int(
        await connection.fetchval(SQL.recent, app.id, str(instance), limits.restart_window_seconds, names)
    )
    if recent < limits.restart_limit:
        return False
    minutes = max(1, round(limits.restart_window_seconds / 60))
    return await give_up(
        connection, app.id, f"{crash.reason} That happened {recent} times within {minutes} minutes."
    )
