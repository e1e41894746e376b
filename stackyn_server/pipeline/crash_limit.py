"""Count the crashes of an app, and stop the app when it can't go on, for a reason that its owner can read."""

from __future__ import annotations

from stackyn_server.config import AppsSettings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.crashes import Crash, stop_reason
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.domain.jobs import Kind
from stackyn_server.store import apps, deployments, events, instances, jobs
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection


async def record_crash(
    connection: Connection, app: App, instance: InstanceId, crash: Crash, limits: AppsSettings
) -> bool:
    """Record and count a crash; at `restart_limit` within `restart_window_seconds` stop the app. True: it was stopped.
    While a deployment of the app is open, the app goes on.

    The count is kept in rows, so it survives a restart of this server.
    """
    window_seconds = limits.restart_window_seconds
    await instances.add_restarts(connection, instance, crash.count)
    data = crash.as_event_data(instance)
    await events.append(connection, crash.name, tenant=app.tenant, app=app.id, data=data)
    recent = await events.count_crashes(connection, app.id, instance, window_seconds)
    reason = stop_reason(crash, recent, limit=limits.restart_limit, window_seconds=window_seconds)
    return reason is not None and await give_up(connection, app.id, reason)


async def give_up(connection: Connection, app_id: AppId, reason: str, *, is_urgent: bool = False) -> bool:
    """Stop an app; its release stays, for `start`. False when the app is not meant to run any more.

    Also False while the app has an open deployment, which the stop would cancel and which may be the owner's remedy;
    an urgent reason stops the app then too.
    """
    app = await apps.lock(connection, app_id, None)
    if app is None or app.desired is not Desired.RUNNING:
        return False
    if not is_urgent and await deployments.has_open(connection, app_id):
        return False
    await apps.set_desired(connection, app_id, Desired.STOPPED, stop_reason=reason)
    await jobs.enqueue_for_app(connection, Kind.STOP, app_id, app.tenant)
    await events.append(connection, "app.given_up", tenant=app.tenant, app=app_id, data={"reason": reason})
    return True
