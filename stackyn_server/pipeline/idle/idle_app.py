"""The rows of an idle app: its route is held, and the next instance of its release waits in that slot."""

from __future__ import annotations

from dataclasses import dataclass

from stackyn_server.domain.jobs import Kind, WakeArguments
from stackyn_server.errors import StackynError
from stackyn_server.pipeline.teardown.take_down import LastOutput
from stackyn_server.store import instances, jobs, routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.instances import Instance


@dataclass(frozen=True, slots=True)
class StoppedCandidate:
    """A candidate that was taken down while requests are held for its slot.

    `has_moved`: the requests were sent to another port than the current release listens on.
    """

    app: App
    instance: Instance
    last: LastOutput
    has_moved: bool


async def set_idle(connection: Connection, app: App, instance: Instance, last: LastOutput) -> Instance:
    """Replace an instance whose container is gone by the current release's next instance, in the same slot. Requests
    are held for that slot, because they keep the address that they were given."""
    if app.current_release is None:
        raise StackynError("An app that never went live can't be idle.")
    await last.record(connection, instance.id)
    following = await instances.insert_into(connection, app.id, app.current_release, None, instance.slot)
    await routes.hold(connection, app.id, following.id)
    return following


async def wake_previous_release(connection: Connection, stopped: StoppedCandidate) -> None:
    """Enqueue a wake of the app's current release in the candidate's slot, where requests are held.

    When this wake fails, the app has failed and is not woken again.
    """
    await set_idle(connection, stopped.app, stopped.instance, stopped.last)
    arguments = WakeArguments(restores_release=True, has_moved=stopped.has_moved)
    await jobs.enqueue_for_app(connection, Kind.WAKE, stopped.app.id, stopped.app.tenant, arguments)
    # A held request may have enqueued the job already, without these arguments.
    await jobs.amend(connection, Kind.WAKE, stopped.app.id, arguments)
