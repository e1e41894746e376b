"""An address is nobody else's while a proxy may still send to it.

The misrouting is done on purpose: a request is held by the proxy while its app is deleted and another tenant's app is
created and comes up. Without the quarantine of seats, that tenant answers it (the last test here).
"""

from __future__ import annotations

import asyncio
import os

import aiohttp

from stackyn_server.domain.apps import Desired
from stackyn_server.domain.ids import AppId
from stackyn_server.store import apps
from stackyn_server.store.database import Database
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import IngressSetup, MakeSetup, address
from tests.integration.ingress.parts import backend, free_port, says
from tests.integration.ingress.test_hold import FakeHoldEndpoint
from tests.patience import within

LEFT, CAME = "left.example.test", "came.example.test"
BODY_BYTES = 300_000


async def test_a_request_held_for_a_deleted_app_reaches_no_other(make_setup: MakeSetup) -> None:
    status, text = await _let_go_after_the_deletion(await make_setup(hold_port=free_port()), quarantine=120)

    assert status in (502, 504), text
    assert "other tenant" not in text


async def test_a_seat_whose_quarantine_is_over_is_given_out_again(database: Database) -> None:
    async with database.transaction() as connection:
        assert await apps.free_seat(connection) == 0
    app, _ = await rows.add_app(database, "left", port=80, seat=0)
    quarantine = 0.2
    await _delete(database, app, quarantine)
    async with database.transaction() as connection:
        assert await apps.free_seat(connection) == 1, "the tombstone keeps it"
    async with within(5):
        while True:
            async with database.transaction() as connection:
                if await apps.forget(connection, quarantine, limit=10) == 1:
                    break
    async with database.transaction() as connection:
        assert await apps.free_seat(connection) == 0


async def test_a_stopped_apps_addresses_stay_its_own(database: Database) -> None:
    app, _ = await rows.add_app(database, "left", port=80, seat=0)
    await rows.withdraw(database, app)
    async with database.transaction() as connection:
        await apps.set_desired(connection, app, Desired.STOPPED)
        assert await apps.forget(connection, 0, limit=10) == 0
        assert await apps.free_seat(connection) == 1


async def test_without_quarantine_the_other_tenant_answers_the_request(
    make_setup: MakeSetup,
) -> None:
    """Without the quarantine the first test of this module would fail."""
    setup: IngressSetup = await make_setup(hold_port=free_port())

    assert await _let_go_after_the_deletion(setup, quarantine=0) == (200, "the other tenant")


async def _let_go_after_the_deletion(setup: IngressSetup, quarantine: float) -> tuple[int, str]:
    """Return the response to a request that was held for a deleted app until another app was up."""
    endpoint = FakeHoldEndpoint(25)
    app, instance = await rows.add_app(setup.database, "left", port=setup.port, seat=0)
    await rows.hold(setup.database, app)
    await setup.publisher().apply({LEFT: instance})
    url = f"http://127.0.0.1:{setup.proxy.entry_points[0].port}/"
    assert setup.context.hold_port is not None
    async with (
        aiohttp.ClientSession() as session,
        backend("127.0.0.1", setup.context.hold_port, endpoint.answer),
    ):
        post = session.post(url, headers={"Host": LEFT}, data=os.urandom(BODY_BYTES))
        visit = asyncio.create_task(post.__aenter__())
        await endpoint.arrival()
        await rows.withdraw(setup.database, app)
        await setup.publisher().apply({LEFT: None})
        await _delete(setup.database, app, quarantine)
        async with setup.database.transaction() as connection:
            seat = await apps.free_seat(connection)
        _, came = await rows.add_app(setup.database, "came", port=setup.port, seat=seat)
        async with backend(address(seat), setup.port, says("the other tenant")):
            await setup.publisher().apply({CAME: came})
            endpoint.open.set()
            answer = await visit
            return answer.status, await answer.text()


async def _delete(database: Database, app: AppId, quarantine: float) -> None:
    """Do what the job `remove` and the garbage collection do."""
    async with database.transaction() as connection:
        await apps.set_desired(connection, app, Desired.DELETED)
        await apps.empty(connection, app)
    async with database.transaction() as connection:
        await apps.forget(connection, quarantine, limit=10)
