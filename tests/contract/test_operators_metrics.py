"""What Prometheus reads: what an operator needs, for nobody else, and nothing of a tenant."""

from __future__ import annotations

import dataclasses

from prometheus_client.parser import text_string_to_metric_families

from stackyn_server.operations.metrics import Metrics
from stackyn_server.operations.readiness import Readiness
from tests.contract.conftest import OPERATORS_TOKEN, Answer, Person, Platform
from tests.contract.test_conventions import is_error


async def look(person: Person) -> dict[tuple[str, ...], float]:
    """Return the page as (name, label values…) → value."""
    answer = await person.get("/metrics")
    assert answer.status == 200, answer.text
    return parsed(answer)


def parsed(answer: Answer) -> dict[tuple[str, ...], float]:
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_only_administrators_and_the_token_of_the_file_open_it(platform: Platform) -> None:
    assert is_error(await platform.nobody.get("/metrics"), 401, "SIGN_IN_REQUIRED")
    assert is_error(await (await platform.person()).get("/metrics"), 403, "FORBIDDEN")
    admin = await platform.person(is_admin=True)
    assert (await admin.get("/metrics")).status == 200
    token = (await admin.api_token("admin")).token
    for good in (token, OPERATORS_TOKEN):
        assert (await dataclasses.replace(platform.nobody, token=good).get("/metrics")).status == 200
    wrong = dataclasses.replace(platform.nobody, token=OPERATORS_TOKEN + "x")
    assert (await wrong.get("/metrics")).status == 401


async def test_an_unset_token_opens_nothing(platform: Platform) -> None:
    metrics = Metrics(platform.database, platform.services.health, lambda: None, token="")
    assert not metrics.is_operators("")


async def test_requests_are_counted_by_route_and_status(
    platform: Platform,
) -> None:
    person, admin = await platform.person(), await platform.person(is_admin=True)
    app = await person.new_app()
    await person.get(f"/api/v1/apps/{app}")
    await person.get(f"/api/v1/apps/{app + 1000}")
    await person.post("/nowhere")
    await person.get("/made/up")
    page = await look(admin)
    assert page["stackyn_requests_total", "GET /api/v1/apps/{app}", "200"] == 1
    assert page["stackyn_requests_total", "GET /api/v1/apps/{app}", "404"] == 1
    assert sum(value for key, value in page.items() if key[:2] == ("stackyn_requests_total", "unknown")) == 2
    assert page["stackyn_request_seconds_count", "GET /api/v1/apps/{app}"] == 2


async def test_queues_deployments_apps_and_parts_are_shown(platform: Platform) -> None:
    person, admin = await platform.person(), await platform.person(is_admin=True)
    before = await look(admin)
    assert before["stackyn_jobs_due", "builds"] == 0
    app = await person.new_app()
    deployment = (await person.get(f"/api/v1/apps/{app}/deployments")).json[0]["id"]
    await person.post(f"/api/v1/deployments/{deployment}/cancel")
    await person.new_app()
    platform.ready = Readiness(False, {"database": "ok", "engine": "It is away."})
    page = await look(admin)
    assert page["stackyn_jobs_due", "builds"] == 1
    assert page["stackyn_deployments_total", "cancelled"] == 1
    assert page["stackyn_deployments_total", "failed"] == 0
    assert page["stackyn_events_total", "app.created"] == 2
    assert page["stackyn_apps", "not_live"] == 2
    assert (page["stackyn_up", "database"], page["stackyn_up", "engine"]) == (1, 0)
    assert page["stackyn_samples_age_seconds",] == -1
    assert page["process_resident_memory_bytes",] > 0
    again = await look(admin)
    assert again["stackyn_events_total", "app.created"] == 2, "an event is counted once"


async def test_nothing_of_a_tenant_is_on_the_page(platform: Platform) -> None:
    person, admin = await platform.person(email="ada@example.test"), await platform.person(is_admin=True)
    app = await person.new_app("Secret project", slug="hidden-slug")
    await person.post(f"/api/v1/apps/{app}/env", json={"key": "SECRET_KEY", "value": "secret-value"})
    text = (await admin.get("/metrics")).text
    for private in ("ada@", "Secret", "hidden-slug", "SECRET_KEY", "git.example.test", str(person.id)):
        assert private not in text


async def test_without_the_database_the_other_figures_are_shown(platform: Platform) -> None:
    operator = dataclasses.replace(platform.nobody, token=OPERATORS_TOKEN)
    await platform.database.close()
    page = await look(operator)
    assert page["stackyn_up", "database"] == 0
    assert ("stackyn_loop_lag_seconds_count",) in page
