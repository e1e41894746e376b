"""What happened to an app, for its owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.services.app_access import find_app
from stackyn_server.store import events
from stackyn_server.store.database import Database


@dataclass(frozen=True, slots=True)
class EventView:
    id: int
    name: str
    deployment_id: DeploymentId | None
    data: dict[str, Any]
    created_at: datetime


class Events:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, tenant: UserId | None, app: AppId, *, before: int | None, limit: int
    ) -> list[EventView]:
        """Return the app's events, newest first, from before the event `before` on."""
        async with self._database.connection() as connection:
            await find_app(connection, app, tenant)
            rows = await events.list_of_app(connection, app, before=before, limit=limit)
        return [EventView(row.id, row.name, row.deployment, row.data, row.created_at) for row in rows]
