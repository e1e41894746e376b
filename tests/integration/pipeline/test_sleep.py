"""A sleep that was cancelled leaves nothing behind, also when its cancellation is interrupted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from stackyn_server.domain.ids import InstanceId
from stackyn_server.pipeline.idle import sleep
from stackyn_server.pipeline.idle.held_requests import HeldRequests
from stackyn_server.store.database import Database
from tests.integration.pipeline.parts import Confirming, Refusing, a_context, a_job, nothing
from tests.rows import a_serving_app


async def test_retry_of_a_cancelled_sleep_forgets_the_hold(database: Database) -> None:
    """The first attempt recorded that the app serves, and the proxy did not confirm it."""
    async with database.transaction() as connection:
        app, _ = await a_serving_app(connection)
    held_requests = HeldRequests()
    held_requests.pass_all(app.id)
    held_requests.ask(app.id)
    handler = sleep.Sleep(a_context(database, ingress=Confirming(), held_requests=held_requests))

    await handler(a_job(app.id, attempt=2))

    assert not held_requests.is_used(app.id), "a request that passed long ago cancels no later sleep"


@pytest.mark.parametrize("attempt", [1, 2], ids=["falls asleep", "stays awake"])
async def test_sleep_ends_when_the_host_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch, taken_down: list[InstanceId], attempt: int
) -> None:
    """Nobody reaches the app by that host, asleep or awake, and no other attempt would change that."""

    async def find(_engine: object, _instance: InstanceId) -> SimpleNamespace:
        return SimpleNamespace(running=True, pid=1)

    async def until_quiet(*_: object, **__: object) -> bool:
        return True

    monkeypatch.setattr(sleep.containers, "find", find)
    monkeypatch.setattr(sleep.sockets, "count_accepted", lambda _pid: 0)
    monkeypatch.setattr(sleep, "until_quiet", until_quiet)
    async with database.transaction() as connection:
        app, instance = await a_serving_app(connection)
    handler = sleep.Sleep(a_context(database, ingress=Refusing(), held_requests=HeldRequests()))

    await handler(a_job(app.id, attempt=attempt, finish=nothing))

    assert taken_down == ([instance] if attempt == 1 else [])
