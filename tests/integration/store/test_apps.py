"""Apps: their seats, their slugs, and the status that is derived from the rows."""

from __future__ import annotations

import pytest

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase
from stackyn_server.store import apps, deployments, instances, releases, routes
from stackyn_server.store.database import Database
from stackyn_server.store.deployments import Mover
from stackyn_server.store.failures import Duplicate, StatementRefused
from stackyn_server.store.routes import RouteState
from tests.rows import a_deployment, a_release, a_serving_app, an_account, an_app


async def test_seats_are_filled_from_the_lowest_gap(database: Database) -> None:
    async with database.transaction() as connection:
        first, second, third = [await an_app(connection) for _ in range(3)]
        assert [first.seat, second.seat, third.seat] == [0, 1, 2]
        await connection.execute("UPDATE app SET seat = NULL WHERE id = $1", second.id)
        assert await apps.free_seat(connection) == 1


async def test_slug_and_seat_stay_taken_until_the_teardown(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        await apps.set_desired(connection, app.id, Desired.DELETED)
        stranger = await an_account(connection)
        assert not await apps.slug_is_free(connection, app.slug, "a.localhost", stranger)
        await apps.empty(connection, app.id)
        assert await apps.slug_is_free(connection, app.slug, "a.localhost", stranger)
        assert await apps.free_seat(connection) == 1, "its seat is still in quarantine"
        assert await apps.forget(connection, quarantine_seconds=3600, limit=10) == 0
    async with database.transaction() as connection:
        assert await apps.forget(connection, quarantine_seconds=0, limit=10) == 1
        assert await apps.free_seat(connection) == 0


async def test_two_living_apps_of_a_tenant_can_not_share_a_name(database: Database) -> None:
    async with database.transaction() as connection:
        tenant = await an_account(connection)
        app = await an_app(connection, tenant, name="Shop")
    with pytest.raises(Duplicate) as caught:
        async with database.transaction() as connection:
            await an_app(connection, tenant, name="Shop")
    assert caught.value.constraint == "app_name"
    async with database.transaction() as connection:
        await apps.set_desired(connection, app.id, Desired.DELETED)
        await an_app(connection, tenant, name="Shop")


async def test_active_is_the_open_then_live_then_newest_deployment(
    database: Database,
) -> None:
    async with database.transaction() as connection:
        app, _ = await a_serving_app(connection)
        live = await deployments.live_of_app(connection, app.id)
        assert live is not None
        waiting = await a_deployment(connection, app)
        (state,) = await apps.view(connection, app=app.id)
        assert (state.active_id, state.active_phase) == (waiting.id, Phase.QUEUED)
        await deployments.advance(connection, waiting, Phase.CANCELLED, Mover(0, "1:1"))
        (state,) = await apps.view(connection, app=app.id)
        assert (state.active_id, state.active_phase) == (live.id, Phase.LIVE)
        assert state.newest_phase is Phase.CANCELLED
        assert state.last_deployed_at == live.live_at
        await deployments.advance(connection, live, Phase.REPLACED, Mover(0, "1:1"))
        (state,) = await apps.view(connection, app=app.id)
        assert state.active_id == waiting.id


async def test_both_slots_taken_leaves_no_instance_to_make(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        release = await a_release(connection, await a_deployment(connection, app, Phase.BOOTING))
        first = await instances.insert(connection, app.id, release.id, None)
        second = await instances.insert(connection, app.id, release.id, None)
        assert first is not None and second is not None
        assert (first.slot, second.slot) == (0, 1)
        assert await instances.insert(connection, app.id, release.id, None) is None
        await instances.keep_state(connection, first.id, {"exit_code": 0})
        await instances.set_gone(connection, first.id)
        again = await instances.insert(connection, app.id, release.id, None)
        assert again is not None and again.slot == 0


async def test_a_route_goes_back_to_what_served_before(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        release = await a_release(connection, await a_deployment(connection, app, Phase.BOOTING))
        old = await instances.insert(connection, app.id, release.id, None)
        new = await instances.insert(connection, app.id, release.id, None)
        assert old is not None and new is not None
        await routes.want(connection, app.id, old.id)
        await routes.serve(connection, app.id, old.id)
        await routes.want(connection, app.id, new.id)
        await routes.want(connection, app.id, new.id)  # the step is repeated after a crash
        (row,) = await routes.snapshot(connection)
        assert (row.instance, row.state, row.slot) == (new.id, RouteState.SWITCHING, 1)
        await routes.revert(connection, app.id, new.id)
        route = await routes.get(connection, app.id)
        assert route is not None and (route.instance, route.state) == (old.id, RouteState.SERVING)


async def test_a_first_route_that_is_reverted_is_withdrawn(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        release = await a_release(connection, await a_deployment(connection, app, Phase.BOOTING))
        only = await instances.insert(connection, app.id, release.id, None)
        assert only is not None
        await routes.want(connection, app.id, only.id)
        await routes.revert(connection, app.id, only.id)
        assert await routes.snapshot(connection) == []


async def test_a_numbered_release_never_changes(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        release = await a_release(connection, await a_deployment(connection, app, Phase.BOOTING))
        numbered = await releases.number(connection, release.id, app.id)
        assert numbered is not None and numbered.number == 1
        assert await releases.number(connection, release.id, app.id) is None
        await releases.image_removed(connection, app.id, release.image)
    with pytest.raises(StatementRefused):
        async with database.transaction() as connection:
            await connection.execute("UPDATE release SET port = 1 WHERE id = $1", release.id)
