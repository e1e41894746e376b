"""An app at rest: its route is held, and leads to the slot where the row of its next instance is already."""

from __future__ import annotations

from typing import Any

from stackyn_server.domain.jobs import Kind, WakeArguments
from stackyn_server.errors import StackynError
from stackyn_server.store import instances, jobs, routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.instances import Instance


async def set_idle(
    connection: Connection,
    app: App,
    instance: Instance,
    *,
    last_lines: str | None,
    last_state: dict[str, Any] | None,
) -> Instance:
    """The instance's container is gone. Let the current release's next instance follow in the same slot, for which
    requests are held; they keep the address that they were given."""
    if app.current_release is None:
        raise StackynError("An app that never went live can't rest.")
    await instances.set_gone(connection, instance.id, last_lines=last_lines, last_state=last_state)
    following = await instances.insert_into(connection, app.id, app.current_release, None, instance.slot)
    await routes.hold(connection, app.id, following.id)
    return following


async def enqueue_wake(
    connection: Connection, app: App, *, is_last_resort: bool = False, has_moved: bool = False
) -> None:
    """Have the app woken after a deployment. `is_last_resort`: when that fails, the app has failed, and nobody tries
    again. `has_moved`: the requests that wait were given the address of another port."""
    arguments = WakeArguments(is_last_resort, has_moved)
    await jobs.enqueue_for_app(connection, Kind.WAKE, app.id, app.tenant, arguments)
    await jobs.amend(connection, Kind.WAKE, app.id, arguments)  # a held request may have been earlier
