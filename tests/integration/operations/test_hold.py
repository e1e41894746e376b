"""What the hold endpoint answers the proxy, over HTTP and on real rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from stackyn_server import config
from stackyn_server.api.hold import create_hold_app
from stackyn_server.domain.ids import AppId
from stackyn_server.operations import hold
from stackyn_server.operations.hold import Refusal, RequestHold
from stackyn_server.pipeline.idle.held_requests import HeldRequests
from stackyn_server.store.database import Database
from tests.integration.ingress import rows

TURN_SECONDS = 1.0
MOST = 2
LOOKS = 100
RETRY_SECONDS = 7


@pytest.fixture
def held_requests() -> HeldRequests:
    return HeldRequests()


@pytest.fixture
async def app(database: Database) -> AppId:
    """An idle app."""
    app, _ = await rows.add_app(database, "nap", port=8080, seat=0)
    await rows.hold(database, app)
    async with database.transaction() as connection:
        await connection.execute("UPDATE deployment SET phase = 'live' WHERE app = $1", app)
    return app


@pytest.fixture
async def proxy(
    database: Database, held_requests: HeldRequests, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[TestClient]:  # type: ignore[type-arg]
    monkeypatch.setattr(hold, "HOLD_ROUND_SECONDS", TURN_SECONDS)
    request_hold = RequestHold(database, held_requests, config.HoldSettings(most_per_app=MOST))
    async with TestClient(TestServer(create_hold_app(request_hold, RETRY_SECONDS))) as client:
        yield client


async def _until_waiting(held_requests: HeldRequests, app: AppId, count: int) -> None:
    for _ in range(LOOKS):
        if held_requests.waiting(app) == count:
            return
        await asyncio.sleep(TURN_SECONDS / LOOKS)
    raise AssertionError(f"{held_requests.waiting(app)} wait, not {count}")


async def _wakes(database: Database, app: AppId) -> int:
    async with database.connection() as connection:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM job WHERE kind = 'wake' AND app = $1 AND state = 'waiting'", app
        )
        return count


async def test_a_turn_before_the_last_passes_to_the_next(
    database: Database,
    proxy: TestClient,  # type: ignore[type-arg]
    app: AppId,
) -> None:
    answer = await proxy.get(f"/hold/{app}/1/2")
    assert answer.status == 200
    assert await _wakes(database, app) == 1


async def test_the_last_turn_refuses_with_retry_after(
    database: Database,
    proxy: TestClient,  # type: ignore[type-arg]
    app: AppId,
) -> None:
    answer = await proxy.get(f"/hold/{app}/2/2")
    assert (answer.status, answer.headers["Retry-After"]) == (503, str(RETRY_SECONDS))
    assert await answer.text() == f"{Refusal.STARTING}\n"


async def test_a_waiting_request_passes_when_the_app_is_ready(
    proxy: TestClient,  # type: ignore[type-arg]
    held_requests: HeldRequests,
    app: AppId,
) -> None:
    asking = asyncio.create_task(proxy.get(f"/hold/{app}/2/2"))
    await _until_waiting(held_requests, app, 1)
    held_requests.pass_all(app)
    assert (await asking).status == 200


async def test_requests_above_the_limit_are_refused_at_once(
    proxy: TestClient,  # type: ignore[type-arg]
    held_requests: HeldRequests,
    app: AppId,
) -> None:
    waiting = [asyncio.create_task(proxy.get(f"/hold/{app}/1/2")) for _ in range(MOST)]
    await _until_waiting(held_requests, app, MOST)
    answer = await proxy.get(f"/hold/{app}/1/2")
    assert (answer.status, await answer.text()) == (503, f"{Refusal.CROWDED}\n")
    assert {answer.status for answer in await asyncio.gather(*waiting)} == {200}


async def test_an_app_that_serves_needs_no_wake(
    database: Database,
    proxy: TestClient,  # type: ignore[type-arg]
) -> None:
    """The proxy may hear of it a moment later than the rows say so."""
    app, _ = await rows.add_app(database, "awake", port=8080, seat=0)
    assert (await proxy.get(f"/hold/{app}/1/2")).status == 200
    assert await _wakes(database, app) == 0


@pytest.mark.parametrize(("path", "status"), [("/hold/4711/1/2", 503), ("/hold/x/1/2", 404), ("/", 404)])
async def test_an_unknown_app_or_path_is_refused_at_once(
    proxy: TestClient,  # type: ignore[type-arg]
    path: str,
    status: int,
) -> None:
    assert (await proxy.get(path)).status == status


async def test_a_withdrawn_route_refuses_requests(
    database: Database,
    proxy: TestClient,  # type: ignore[type-arg]
    app: AppId,
) -> None:
    await rows.withdraw(database, app)
    assert (await proxy.get(f"/hold/{app}/1/2")).status == 503
