"""Every call of the three published clients, replayed as they send it: contracts/clients."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.failures import Failure, FailureCode
from stackyn_server.domain.ids import AppId
from stackyn_server.store import apps
from tests.contract.client_fixture import FIXTURES, ClientFixture, Refusal, faults
from tests.contract.conftest import GENEROUS, PASSWORD, REPOSITORY, Answer, Person, Platform
from tests.contract.test_apps import move
from tests.firebase import ADDRESS, Google, served
from tests.rows import a_serving_app

SHIPPED = config.Settings().plans
ROOMY = {**SHIPPED, "pro": SHIPPED["pro"].model_copy(update={"max_apps": 9, "max_ram_mb": 9999})}
ORIGIN = "https://console.example.test"
# A published client acts on these, whatever it asked for.
NEVER_IN_AN_ERROR = re.compile("401|unauthorized", re.IGNORECASE)
SAMPLE = (
    "INSERT INTO sample (app, instance, cpu, memory_bytes, received_bytes, sent_bytes, disk_bytes) "
    "VALUES ($1, $2, 0.1, 50000000, 1, 1, 1000000)"
)


@dataclass
class Replay:
    """A user on trial with an app in each state, an administrator, and what the placeholders stand for."""

    platform: Platform
    user: Person
    admin: Person
    tokens: dict[str, str]
    apps: dict[str, AppId]
    values: dict[str, str]

    async def send(self, fixture: ClientFixture, state: str, **changes: Any) -> Answer:
        bearer = changes.get("bearer", fixture.bearer)
        headers = {"Origin": ORIGIN, **fixture.headers}
        if bearer:
            headers["Authorization"] = f"Bearer {self.tokens[bearer]}"
        body = changes.get("body", fixture.body)
        deployment = (await self.user.get(f"/api/v1/apps/{self.apps[state]}/deployments")).json[0]["id"]
        values = {**self.values, "app": str(self.apps[state]), "deployment": str(deployment)}

        def filled(text: str) -> str:
            return re.sub(r"\{(\w+)\}", lambda match: values[match[1]], text)

        return await self.platform.nobody.call(
            fixture.method,
            filled(fixture.path),
            headers=headers,
            data=None if body is None else filled(json.dumps(body)),
            skip_auto_headers=["Content-Type"],
        )


async def an_app(platform: Platform, person: Person, state: str) -> AppId:
    """Bring an app into a state, as the pipeline would."""
    app = await person.new_app(state, env_vars=[{"key": "KEY", "value": "value"}])
    first = (await person.get(f"/api/v1/apps/{app}/deployments")).json[0]["id"]
    await platform.execute("DELETE FROM job WHERE subject = $1", str(first))
    if state == "building":
        await move(platform, first, Phase.FETCHING)
    elif state == "failed":
        await move(platform, first, Phase.FAILED, failure=Failure(FailureCode.BUILD_FAILED, "It broke."))
    else:
        await move(platform, first, Phase.CANCELLED)
        async with platform.database.transaction() as connection:
            row = await apps.get(connection, app)
            assert row is not None
            _, instance = await a_serving_app(connection, row)
        await platform.execute(SAMPLE, app, instance)
    if state == "stopped":
        assert (await person.post(f"/api/v1/apps/{app}/stop")).status == 200
    return app


@pytest.fixture(scope="module")
async def firebase() -> AsyncIterator[tuple[Google, config.FirebaseSettings]]:
    async with served() as (google, settings):
        yield google, config.FirebaseSettings(**settings)


@pytest.fixture
async def replay(launch: Callable[..., Any], firebase: tuple[Google, config.FirebaseSettings]) -> Replay:
    google, settings = firebase
    platform = await launch(
        billing=config.BillingSettings(provider="lemonsqueezy"),
        auth=config.AuthSettings(firebase=settings, development_codes=True),
        plans=ROOMY,
        rates=GENEROUS,
    )
    now = datetime.now(UTC)
    user = await platform.person(
        full_name="Ada", billing_status="trial", trial_started_at=now, trial_ends_at=now + timedelta(days=7)
    )
    admin = await platform.person(is_admin=True)
    apps_by_state = {
        state: await an_app(platform, user, state) for state in ("building", "running", "failed", "stopped")
    }
    new = {"email": "new@example.test"}
    code = (await platform.nobody.post("/api/auth/send-otp", json=new)).json["otp"]
    reset = (await platform.nobody.post("/api/auth/forgot-password", json={"email": user.email})).json["otp"]
    values = {
        "email": user.email,
        "password": PASSWORD,
        "repository": REPOSITORY,
        "user": str(user.id),
        "code": code,
        "reset_code": reset,
        "wrong_code": next(wrong for wrong in ("000000", "000001", "000002") if wrong not in (code, reset)),
        "new_id_token": google.token(),
        "new_email": ADDRESS,
    }
    tokens = {
        "session": user.token or "",
        "admin": admin.token or "",
        "firebase": google.token(sub="known", email=user.email),
    }
    return Replay(platform, user, admin, tokens, apps_by_state, values)


@pytest.mark.parametrize("fixture", FIXTURES, ids=str)
async def test_a_client_gets_what_it_reads(replay: Replay, fixture: ClientFixture) -> None:
    await refused_as_it_can_read(replay, fixture)
    seen: set[str] = set()
    for state in fixture.app_states:
        answer = await replay.send(fixture, state)
        assert answer.status in fixture.statuses, answer.text
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        if fixture.may_be_empty and not answer.text:
            continue
        assert answer.headers["Content-Type"] == "application/json"
        assert not (isinstance(answer.json, dict) and "error" in answer.json)
        assert not list(faults(answer.json, fixture.reads, seen)), answer.text
    assert seen == set(fixture.reads), "these were never there to be looked at"


async def refused_as_it_can_read(replay: Replay, fixture: ClientFixture) -> None:
    """Check every refusal that the fixture names, and the missing sign-in."""
    for refusal in [*fixture.refusals, *([Refusal({"bearer": None}, 401)] if fixture.bearer else [])]:
        answer = await replay.send(fixture, fixture.app_states[0], **refusal.changes)
        assert answer.status == refusal.status, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        error = answer.json["error"]
        assert isinstance(error, str) and error and refusal.says in error
        assert not NEVER_IN_AN_ERROR.search(error)
        assert not (refusal.never_says and re.search(refusal.never_says, error))


async def test_a_browser_may_send_all_of_it_from_another_origin(platform: Platform) -> None:
    for fixture in FIXTURES:
        asked = [name.lower() for name in fixture.headers] + ["authorization"] * bool(fixture.bearer)
        headers = {
            "Origin": ORIGIN,
            "Access-Control-Request-Method": fixture.method,
            "Access-Control-Request-Headers": ",".join(asked),
        }
        answer = await platform.nobody.call("OPTIONS", fixture.path.partition("?")[0], headers=headers)
        assert answer.status == 204 and answer.headers["Access-Control-Allow-Origin"] == "*", str(fixture)
        assert fixture.method in answer.headers["Access-Control-Allow-Methods"].split(", ")
        assert set(asked) <= set(answer.headers["Access-Control-Allow-Headers"].lower().split(", "))
        assert int(answer.headers["Access-Control-Max-Age"]) >= 60


def test_the_three_clients_are_there_with_all_their_calls() -> None:
    calls = {client: sum(fixture.client == client for fixture in FIXTURES) for client in
             ("console", "legacy-console", "cms")}  # fmt: skip
    assert calls == {"console": 19, "legacy-console": 15, "cms": 10}


@pytest.mark.parametrize(
    ("answer", "reads", "fault"),
    [
        ({}, {"a": "string"}, "answer.a is missing"),
        ({"a": None}, {"a": "string"}, "answer.a is None"),
        ({"a": True}, {"a": "number"}, "answer.a is True"),
        ({"a": "5"}, {"a": "number"}, "answer.a is '5'"),
        ([{"a": 1}, {}], {"[].a": "number"}, "answer[1].a is missing"),
        ({"a": {}}, {"a": "object?", "a.b": "number"}, "answer.a.b is missing"),
        ({"a": "Building"}, {"a": "status"}, "answer.a is 'Building'"),
        ({"a": 9}, {"a": "deployment reference|null"}, "answer.a is 9"),
        ({"a": None}, {"a": "list"}, "answer.a is None"),
    ],
)
def test_a_fault_is_found(answer: Any, reads: dict[str, str], fault: str) -> None:
    problems = list(faults(answer, reads, set()))
    assert len(problems) == 1 and problems[0].startswith(fault)
