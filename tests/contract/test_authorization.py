"""Who may call what: each entry of the endpoint table as nobody, as the owner, as another user and as an admin."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.api import resources
from stackyn_server.api.endpoint import Access, Endpoint, Media
from stackyn_server.api.endpoints import ENDPOINTS
from stackyn_server.domain.scopes import Scope
from tests.contract.conftest import Answer, Person, Platform
from tests.contract.endpoint_calls import NOTHING, an_app, call, names_something, titles
from tests.contract.test_conventions import is_error

SIGN_IN = (401, "SIGN_IN_REQUIRED")
FORBIDDEN, NOT_FOUND = (403, "FORBIDDEN"), (404, "NOT_FOUND")
LET_IN = None
SCOPES = ("read", "deploy", "admin")

Refusal = tuple[int, str] | None

OTHERS: dict[Access, dict[str, Refusal]] = {
    Access.USER: {"owner": LET_IN, "stranger": LET_IN, "admin": LET_IN},
    Access.APP_OWNER: {"owner": LET_IN, "stranger": NOT_FOUND, "admin": NOT_FOUND},
    Access.DEPLOYMENT_OWNER: {"owner": LET_IN, "stranger": NOT_FOUND, "admin": NOT_FOUND},
    Access.ADMIN: {"owner": FORBIDDEN, "stranger": FORBIDDEN, "admin": LET_IN},
    Access.OPERATOR: {"owner": FORBIDDEN, "stranger": FORBIDDEN, "admin": LET_IN},
}

GUARDED = [endpoint for endpoint in ENDPOINTS if endpoint.access is not Access.PUBLIC]
PUBLIC = [endpoint for endpoint in ENDPOINTS if endpoint.access is Access.PUBLIC]

# Who is let in meets an app that has never run: there is no release to start and no container to follow. And a socket
# is only opened for a client that asks for one.
NEVER_RAN = {
    "admin.start_app": 409,
    "apps.restart": 409,
    "apps.start": 409,
    "deployments.rollback": 409,
    "logs.follow_runtime": 404,
    "progress.build_status": 400,
}


@pytest.fixture
async def platform(launch: Callable[..., Any]) -> Platform:
    """The API with every endpoint switched on."""
    started: Platform = await launch(billing=config.BillingSettings(test_endpoint=True))
    return started


def callers_of(endpoint: Endpoint) -> dict[str, Refusal]:
    """What each caller is answered who asks about something of the owner's."""
    access = endpoint.access
    if access is Access.USER and names_something(endpoint):
        access = Access.APP_OWNER  # it is about one of the caller's own things
    return {"nobody": SIGN_IN, "bad token": SIGN_IN, **OTHERS[access]}


async def people(platform: Platform) -> dict[str, Person]:
    return {
        "nobody": platform.nobody,
        "bad token": replace(platform.nobody, token="no.good.token"),
        "owner": await platform.person(),
        "stranger": await platform.person(),
        "admin": await platform.person(is_admin=True),
    }


def whole(answer: Answer) -> tuple[int, str, dict[str, str]]:
    """All that a caller can tell two answers apart by."""
    return (
        answer.status,
        answer.text,
        {name: answer.headers[name] for name in answer.headers if name != "Date"},
    )


async def state(owner: Person, app: int) -> list[str]:
    """All that the owner sees."""
    app_path = f"/api/v1/apps/{app}"
    paths = (
        "/api/apps",
        app_path,
        f"{app_path}/env",
        f"{app_path}/deployments",
        f"{app_path}/events",
        "/api/v1/tokens",
        "/api/v1/registries",
        "/api/user/me",
    )
    return [(await owner.get(path)).text for path in paths]


@titles(GUARDED)
async def test_who_is_refused_learns_nothing_and_changes_nothing(
    platform: Platform, endpoint: Endpoint
) -> None:
    who = await people(platform)
    theirs = await an_app(who["owner"])
    before = await state(who["owner"], theirs["app"])
    for name, refusal in callers_of(endpoint).items():
        if refusal is not LET_IN:
            same = {"X-Request-Id": "one-and-the-same"}
            about_theirs = await call(who[name], endpoint, theirs, **same)
            about_nothing = await call(who[name], endpoint, NOTHING, **same)
            assert is_error(about_theirs, *refusal), name
            assert whole(about_theirs) == whole(about_nothing), name
    assert await state(who["owner"], theirs["app"]) == before


@titles(GUARDED)
async def test_who_may_is_let_in(platform: Platform, endpoint: Endpoint) -> None:
    who = await people(platform)
    theirs = await an_app(who["owner"])
    if endpoint.name == "logs.follow_build":  # it would be followed to its end
        await who["owner"].post(f"/api/v1/deployments/{theirs['deployment']}/cancel")
    for name, refusal in callers_of(endpoint).items():
        if refusal is LET_IN:
            answer = await call(who[name], endpoint, theirs)
            assert answer.status == NEVER_RAN.get(endpoint.name, endpoint.status), (name, answer.text)
            assert endpoint.name != "logs.follow_runtime" or "not running" in answer.text


@titles(GUARDED)
async def test_a_token_may_do_what_its_scope_says(platform: Platform, endpoint: Endpoint) -> None:
    admin = await platform.person(is_admin=True)
    theirs = await an_app(admin)
    programs = {scope: await admin.api_token(scope) for scope in SCOPES}
    refused = {
        scope: await call(program, endpoint, theirs)
        for scope, program in programs.items()
        if scope != endpoint.scope
    }
    assert len(refused) == 2 if endpoint.scope in SCOPES else 3
    assert all(is_error(answer, *FORBIDDEN) for answer in refused.values())
    if endpoint.scope in SCOPES and endpoint.media is not Media.STREAM:
        about = (
            {**theirs, "user": (await platform.person()).id} if endpoint.access is Access.ADMIN else theirs
        )
        answer = await call(programs[str(endpoint.scope)], endpoint, about)
        assert answer.status == NEVER_RAN.get(endpoint.name, endpoint.status), answer.text


@titles([endpoint for endpoint in GUARDED if endpoint.scope in (Scope.READ, Scope.DEPLOY)])
async def test_a_token_for_one_app_sees_that_app_alone(platform: Platform, endpoint: Endpoint) -> None:
    owner = await platform.person()
    theirs, others = await an_app(owner), await an_app(owner)
    program = await owner.api_token("read", "deploy", app_id=theirs["app"])
    same = {"X-Request-Id": "one-and-the-same"}
    about_another = await call(program, endpoint, others, **same)
    if endpoint.name == "apps.list_apps":
        assert [app["id"] for app in about_another.json] == [str(theirs["app"])]
    elif endpoint.is_about_an_app or endpoint.narrows_to_app:
        about_nothing = await call(program, endpoint, NOTHING, **same)
        assert is_error(about_another, *NOT_FOUND) and whole(about_another) == whole(about_nothing)
        if endpoint.media is not Media.STREAM:
            answer = await call(program, endpoint, theirs)
            assert answer.status == NEVER_RAN.get(endpoint.name, endpoint.status), answer.text
    else:
        assert is_error(about_another, *FORBIDDEN)


@titles([endpoint for endpoint in ENDPOINTS if endpoint.access is Access.ADMIN and names_something(endpoint)])
async def test_an_admin_asking_for_what_is_not_there_gets_404(platform: Platform, endpoint: Endpoint) -> None:
    admin = await platform.person(is_admin=True)
    assert is_error(await call(admin, endpoint, NOTHING), 404, "NOT_FOUND")


@titles(PUBLIC)
async def test_a_public_address_does_not_ask_who_calls(platform: Platform, endpoint: Endpoint) -> None:
    answers = {name: await call(person, endpoint, {}) for name, person in (await people(platform)).items()}
    outcomes = {name: (answer.status, answer.json.get("code")) for name, answer in answers.items()}
    assert set(outcomes.values()) == {outcomes["nobody"]}, outcomes


def test_every_handler_has_an_entry_in_the_table() -> None:
    handlers = {
        function
        for _, module in inspect.getmembers(resources, inspect.ismodule)
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert handlers == {endpoint.handler for endpoint in ENDPOINTS}


def test_no_two_entries_are_the_same() -> None:
    entries = [(endpoint.method, endpoint.path) for endpoint in ENDPOINTS]
    assert len(entries) == len(set(entries))
    assert len({endpoint.name for endpoint in ENDPOINTS}) == len(ENDPOINTS)
