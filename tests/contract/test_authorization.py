"""Who may call what, generated from the route table: every entry as nobody, stranger, owner and admin."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from stackyn_server.api import resources
from stackyn_server.api.binding import bind
from stackyn_server.api.routing import Access, Media, Route
from stackyn_server.api.table import ROUTES
from tests.contract.conftest import Person, Platform
from tests.contract.test_conventions import is_error

NOBODYS_ID = 999_999_999
NOBODYS_ACCOUNT = "00000000-0000-4000-8000-000000000000"

OWNED = [route for route in ROUTES if route.access in (Access.APP_OWNER, Access.DEPLOYMENT_OWNER)]
GUARDED = [route for route in ROUTES if route.access is not Access.PUBLIC]
ADMINS = [route for route in ROUTES if route.access is Access.ADMIN]

# Bodies that pass every check of form, so that only rights decide.
BODIES: dict[str, dict[str, Any]] = {
    "NewApp": {"name": "an app", "repo_url": "https://git.example.test/owner/repository.git"},
    "AppChange": {"name": "another name"},
    "NewVariable": {"key": "KEY", "value": "value"},
    "Rollback": {"release": 1},
    "ProfileChange": {"full_name": "Ada"},
    "PlanChange": {"plan": "pro"},
    "NewToken": {"name": "a token"},
    "NewDomain": {"host": "www.example.test"},
    "TestBilling": {"plan": "pro"},
}


def titles(routes: list[Route]) -> Any:
    return pytest.mark.parametrize("route", routes, ids=lambda route: f"{route.method} {route.path}")


async def call(person: Person, route: Route, *, app: int, deployment: int, user: Any = None) -> Any:
    """Call the route about these ids, with a body that is right in form."""
    members = {"app": app, "deployment": deployment, "user": user or NOBODYS_ACCOUNT}
    binding = bind(route)
    path = route.path
    for name in binding.path:
        path = path.replace(f"{{{name}}}", str(members.get(name, "KEY" if name == "key" else NOBODYS_ID)))
    options = {"json": BODIES[binding.body[1].__name__]} if binding.body else {}
    if route.media is Media.WEBSOCKET:
        path += f"?app_id={app}"
    return await person.call(route.method, path, **options)


async def an_app(person: Person) -> dict[str, int]:
    app = await person.new_app()
    deployments = (await person.get(f"/api/v1/apps/{app}/deployments")).json
    return {"app": app, "deployment": deployments[0]["id"]}


@titles(GUARDED)
async def test_nobody_is_asked_to_sign_in(platform: Platform, route: Route) -> None:
    ids = await an_app(await platform.person())
    assert is_error(await call(platform.nobody, route, **ids), 401, "SIGN_IN_REQUIRED")


@titles(OWNED)
async def test_what_is_somebody_elses_does_not_exist(platform: Platform, route: Route) -> None:
    owner, stranger = await platform.person(), await platform.person()
    ids = await an_app(owner)
    admin = await platform.person(is_admin=True)
    for other in (stranger, admin):
        theirs = await call(other, route, **ids)
        nobodys = await call(other, route, app=NOBODYS_ID, deployment=NOBODYS_ID)
        assert is_error(theirs, 404, "NOT_FOUND") and nobodys.status == 404
        assert theirs.json["error"] == nobodys.json["error"]
    # Nothing was done to it either.
    assert (await owner.get(f"/api/v1/apps/{ids['app']}")).json["name"] != "another name"
    assert (await owner.get(f"/api/v1/apps/{ids['app']}/env")).json == []


@titles(OWNED)
async def test_the_owner_is_let_in(platform: Platform, route: Route) -> None:
    owner = await platform.person()
    ids = await an_app(owner)
    if route.media.value == "text/event-stream":
        await platform.services.apps.stop(owner.id, ids["app"])  # type: ignore[arg-type]
    answer = await call(owner, route, **ids)
    # An app that never ran has no release to start and no container to follow.
    assert answer.status in (route.status, 409) or "is not running" in answer.text, answer.text


@titles(ADMINS)
async def test_only_admins_may_do_what_admins_do(platform: Platform, route: Route) -> None:
    owner = await platform.person()
    ids = await an_app(owner)
    assert is_error(await call(owner, route, **ids, user=owner.id), 403, "FORBIDDEN")
    admin = await platform.person(is_admin=True)
    answer = await call(admin, route, **ids, user=owner.id)
    assert answer.status in (route.status, 409), answer.text
    assert answer.json is not None


@titles([route for route in ADMINS if "{" in route.path])
async def test_an_admin_asking_for_what_is_not_there_gets_404(platform: Platform, route: Route) -> None:
    admin = await platform.person(is_admin=True)
    answer = await call(admin, route, app=NOBODYS_ID, deployment=NOBODYS_ID)
    assert is_error(answer, 404, "NOT_FOUND")


def test_every_handler_has_an_entry_in_the_table() -> None:
    handlers = {
        function
        for _, module in inspect.getmembers(resources, inspect.ismodule)
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert handlers == {route.handler for route in ROUTES}


def test_no_two_entries_are_the_same() -> None:
    entries = [(route.method, route.path) for route in ROUTES]
    assert len(entries) == len(set(entries))
    assert len({route.name for route in ROUTES}) == len(ROUTES)
