"""The platform stops an app for a reason that its owner can read: wish, job and event in one transaction."""

from __future__ import annotations

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.jobs import Kind
from stackyn_server.store import apps, events, jobs
from stackyn_server.store.database import Connection


async def give_up(connection: Connection, app: AppId, reason: str) -> bool:
    """Stop the app; its release stays, for `start`. False when it isn't wanted to run any more."""
    found = await apps.lock(connection, app, None)
    if found is None or found.desired is not Desired.RUNNING:
        return False
    await apps.set_desired(connection, app, Desired.STOPPED, stop_reason=reason)
    await jobs.enqueue_for_app(connection, Kind.STOP, app, found.tenant)
    await events.append(connection, "app.given_up", tenant=found.tenant, app=app, data={"reason": reason})
    return True
