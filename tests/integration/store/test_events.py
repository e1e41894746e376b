"""Events are kept for a while, then go, the oldest first."""

from __future__ import annotations

from stackyn_server.store import events
from stackyn_server.store.database import Database
from tests.rows import an_app


async def test_old_events_go_and_young_ones_stay(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        for name in ("app.first", "app.second", "app.third"):
            await events.append(connection, name, app=app.id)
        await connection.execute(
            "UPDATE event SET created_at = now() - interval '91 days' WHERE name <> 'app.third'"
        )
        await events.purge(connection, 90, 1)
        assert len(await events.list_of_app(connection, app.id)) == 2, "a bounded number at once"
        await events.purge(connection, 90, 10)
        assert [event.name for event in await events.list_of_app(connection, app.id)] == ["app.third"]
