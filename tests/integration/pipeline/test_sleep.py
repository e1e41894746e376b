"""A sleep that was cancelled leaves nothing behind, also when its cancellation is interrupted."""

from __future__ import annotations

from types import SimpleNamespace

from stackyn_server.pipeline.idle.held_requests import HeldRequests
from stackyn_server.pipeline.idle.sleep import Sleep
from stackyn_server.store.database import Database
from tests.integration.pipeline.parts import a_context, a_job, nothing
from tests.rows import a_serving_app


async def test_retry_of_a_cancelled_sleep_forgets_the_hold(database: Database) -> None:
    """The first attempt recorded that the app serves, and the proxy did not confirm it."""
    async with database.transaction() as connection:
        app, _ = await a_serving_app(connection)
    held_requests = HeldRequests()
    held_requests.pass_all(app.id)
    held_requests.ask(app.id)
    ingress = SimpleNamespace(apply=nothing)
    sleep = Sleep(a_context(database, ingress=ingress, held_requests=held_requests))

    await sleep(a_job(app.id, attempt=2))

    assert not held_requests.is_used(app.id), "a request that passed long ago cancels no later sleep"
