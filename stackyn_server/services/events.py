"""What happened to an app, for its owner."""

from __future__ import annotations

from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.services.app_access import find_app
from stackyn_server.store import events
from stackyn_server.store.database import Database
from stackyn_server.store.events import EventRow


class Events:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, tenant: UserId | None, app: AppId, *, before: int | None, limit: int
    ) -> list[EventRow]:
        """Return the app's events, newest first, from before the event `before` on."""
        async with self._database.connection() as connection:
            await find_app(connection, app, tenant)
            return await events.list_of_app(connection, app, before=before, limit=limit)
