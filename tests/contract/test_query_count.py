"""How many statements an answer takes: as many for two hundred apps as for one, whatever is asked for."""

from __future__ import annotations

import pytest

from stackyn_server.api.endpoint import Access, Media
from stackyn_server.api.endpoints import ENDPOINTS
from stackyn_server.domain.deployments import Phase
from stackyn_server.store import events, samples
from stackyn_server.store.apps import App
from stackyn_server.store.samples import NewSample
from tests import rows
from tests.contract.conftest import Person, Platform, Statements
from tests.contract.endpoint_calls import Members, call

MANY = 200
READS = [
    endpoint
    for endpoint in ENDPOINTS
    if endpoint.method == "GET"
    and endpoint.media in (Media.JSON, Media.TEXT)
    and endpoint.access is not Access.PUBLIC
]


async def fill(platform: Platform, owner: Person, apps: int, each: int) -> App:
    """Give the owner serving apps, and to the last one that many deployments and other things."""
    assert owner.id is not None
    async with platform.database.transaction() as connection:
        for _ in range(apps):
            app, instance = await rows.a_serving_app(connection, await rows.an_app(connection, owner.id))
            await samples.record(connection, [NewSample(app.id, instance, 0.1, 2**20, 1, 1, 2**20)])
        for _ in range(each):
            await rows.a_deployment(connection, app, Phase.FETCHING)
            await events.append(connection, "app.changed", tenant=app.tenant, app=app.id)
            await rows.an_account(connection)
    for number in range(each):
        await platform.services.variables.put(owner.id, app.id, f"KEY_{number}", "a value")
        assert (await owner.post("/api/v1/tokens", json={"name": "a token"})).status == 201
    return app


async def counts(statements: Statements, admin: Person, app: App) -> dict[str, int]:
    """How many statements each read takes."""
    members: Members = {"app": app.id, "user": app.tenant, "deployment": 1}
    numbers = {}
    for endpoint in READS:
        await call(admin, endpoint, members)  # some things are read once and kept
        with statements.of() as asked:
            answer = await call(admin, endpoint, members)
        assert answer.status == endpoint.status, answer.text
        numbers[endpoint.name] = len(asked)
    return numbers


async def test_no_read_takes_more_statements_when_there_is_more(
    platform: Platform, statements: Statements
) -> None:
    admin = await platform.person(is_admin=True)
    few = await counts(statements, admin, await fill(platform, admin, 1, 1))
    many = await counts(statements, admin, await fill(platform, admin, MANY - 1, 30))
    assert many == few


@pytest.mark.parametrize(("path", "queries"), [("/api/apps", 1), ("/admin/apps?limit=100", 2)])
async def test_a_page_of_apps_is_one_query_and_its_total_another(
    platform: Platform, statements: Statements, path: str, queries: int
) -> None:
    admin = await platform.person(is_admin=True)
    await fill(platform, admin, MANY, 0)
    assert admin.token
    with statements.of() as signing_in:
        await platform.services.identity.identify(admin.token)
    with statements.of() as asked:
        answer = await admin.get(path)
    assert len(asked) == len(signing_in) + queries, asked
    listed = answer.json if path == "/api/apps" else answer.json["apps"]
    assert len(listed) == (MANY if path == "/api/apps" else 100)
    assert {app["status"] for app in listed} == {"running"}
