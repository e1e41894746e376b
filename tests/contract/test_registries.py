"""Credentials of image registries: set, listed without their password, used for their own app and host alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.domain.ids import AppId
from stackyn_server.pipeline.build.registries import credentials_for
from stackyn_server.security.sealing import SealBroken, Sealer
from stackyn_server.store import apps
from tests.contract.conftest import KEYS, Person, Platform
from tests.contract.test_conventions import is_error
from tests.contract.test_sign_in import TIME

PATH = "/api/v1/registries"
SECRET = "marmalade-7"


async def put(person: Person, host: str = "ghcr.io", **body: Any) -> Any:
    return await person.post(PATH, json={"host": host, "user": "ada", "password": SECRET, **body})


async def used(platform: Platform, person: Person, app: int) -> list[tuple[str, str, str]]:
    """What a build of the app would sign in with."""
    assert person.id is not None
    async with platform.database.connection() as connection:
        credentials = await credentials_for(connection, Sealer(KEYS.sealing), person.id, AppId(app))
    return [(credential.host, credential.user, credential.password) for credential in credentials]


async def test_password_is_never_shown_and_never_stored_in_clear(
    platform: Platform, records: list[Any]
) -> None:
    person = await platform.person()
    answer = await put(person, "GHCR.io ")
    assert answer.status == 200
    assert answer.json == answer.json | {"host": "ghcr.io", "user": "ada", "app_id": None}
    assert set(answer.json) == {"id", "host", "user", "app_id", "created_at", "updated_at"}
    assert TIME.fullmatch(answer.json["created_at"])
    listed = await person.get(PATH)
    assert listed.json == [answer.json]
    assert SECRET not in answer.text + listed.text + repr(records)
    row = await platform.value("SELECT registry_credential::text FROM registry_credential")
    assert SECRET not in row and SECRET.encode().hex() not in row
    refused = await put(person, "no host", password=SECRET)
    assert refused.status == 400 and SECRET not in refused.text + repr(records)


async def test_same_host_and_app_replaces_and_keeps_the_id(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    first, of_app = (await put(person, "docker.io")).json, (await put(person, "docker.io", app_id=app)).json
    again = (await put(person, "index.docker.io", user="bob", password="other")).json
    assert (again["id"], again["created_at"], again["user"]) == (first["id"], first["created_at"], "bob")
    assert [entry["id"] for entry in (await person.get(PATH)).json] == [of_app["id"], first["id"]]
    assert of_app["app_id"] == app


async def test_an_apps_own_credential_wins_over_the_accounts(platform: Platform) -> None:
    person, stranger = await platform.person(), await platform.person()
    app, other_app = await person.new_app(), await person.new_app()
    await put(person, "ghcr.io", user="account")
    await put(person, "ghcr.io", user="app", password="own", app_id=app)
    await put(person, "quay.io", app_id=other_app)
    await put(stranger, "ghcr.io", user="stranger")
    assert await used(platform, person, app) == [("ghcr.io", "app", "own")]
    assert await used(platform, person, other_app) == [
        ("ghcr.io", "account", SECRET),
        ("quay.io", "ada", SECRET),
    ]
    assert await used(platform, stranger, await stranger.new_app()) == [("ghcr.io", "stranger", SECRET)]


@pytest.mark.parametrize(
    "change",
    ["host = 'evil.example'", "app = NULL", "account = $1"],
    ids=["another host", "all apps", "another account"],
)
async def test_a_password_moved_elsewhere_does_not_open(platform: Platform, change: str) -> None:
    person, stranger = await platform.person(), await platform.person()
    app = await person.new_app()
    await put(person, app_id=app)
    reader = person
    if "$1" in change:
        await platform.execute(f"UPDATE registry_credential SET {change}", stranger.id)
        reader = stranger
    else:
        await platform.execute(f"UPDATE registry_credential SET {change}")
    with pytest.raises(SealBroken):
        await used(platform, reader, app)


@pytest.mark.parametrize(
    "body",
    [{"host": ""}, {"host": "https://ghcr.io"}, {"host": "ghcr.io/owner"}, {"host": "registry"}, {"host": None},
     {"host": "gh\x00cr.io"}, {"user": ""}, {"user": "a:b"}, {"user": 1}, {"password": ""}, {"password": "x" * 16_385},
     {"password": "a\x00b"}, {"password": None}, {"app_id": "five"}, {"app_id": 1.5}],
)  # fmt: skip
async def test_a_wrong_field_is_refused_and_nothing_is_kept(platform: Platform, body: dict[str, Any]) -> None:
    person = await platform.person()
    assert is_error(await put(person, **body), 400, "INVALID_REQUEST")
    assert (await person.get(PATH)).json == []


@pytest.mark.parametrize("app", [0, -1, 999_999_999, 2**63, 2**80])
async def test_an_app_that_is_not_there_is_not_found(platform: Platform, app: int) -> None:
    person = await platform.person()
    assert is_error(await put(person, app_id=app), 404, "NOT_FOUND")


async def test_nobody_sets_or_deletes_somebody_elses(platform: Platform) -> None:
    person, stranger = await platform.person(), await platform.person()
    app = await person.new_app()
    credential = (await put(person, app_id=app)).json
    assert is_error(await put(stranger, app_id=app, user="evil"), 404, "NOT_FOUND")
    assert is_error(await stranger.delete(f"{PATH}/{credential['id']}"), 404, "NOT_FOUND")
    assert (await person.get(PATH)).json == [credential]
    assert (await stranger.get(PATH)).json == []
    assert (await person.delete(f"{PATH}/{credential['id']}")).status == 204
    assert is_error(await person.delete(f"{PATH}/{credential['id']}"), 404, "NOT_FOUND")


async def test_an_account_keeps_so_many_and_no_more(launch: Callable[..., Any]) -> None:
    platform = await launch(builds=config.BuildsSettings(registry_credentials=3))
    person = await platform.person()
    app = await person.new_app()
    answers = await asyncio.gather(
        *(put(person, f"r{number}.example", app_id=app if number % 2 else None) for number in range(10))
    )
    assert sorted(answer.status for answer in answers) == [200] * 3 + [409] * 7
    kept = (await person.get(PATH)).json
    assert (await put(person, kept[0]["host"], app_id=kept[0]["app_id"], user="new")).status == 200
    assert is_error(await put(person, "one-more.example"), 409, "CONFLICT")
    await person.delete(f"{PATH}/{kept[0]['id']}")
    assert (await put(person, "one-more.example")).status == 200


async def test_credentials_go_with_their_app_and_account(platform: Platform) -> None:
    admin, person = await platform.person(is_admin=True), await platform.person()
    app = await person.new_app()
    of_account = (await put(person)).json
    await put(person, app_id=app)
    await person.delete(f"/api/v1/apps/{app}")
    assert (await person.get(PATH)).json == [of_account]
    async with platform.database.transaction() as connection:
        await apps.empty(connection, app)
    assert await platform.value("SELECT count(*) FROM registry_credential") == 1
    await admin.delete(f"/admin/users/{person.id}")
    assert await platform.value("SELECT count(*) FROM registry_credential") == 0


async def test_an_api_token_looks_and_changes_nothing(platform: Platform) -> None:
    person = await platform.person(is_admin=True)
    known = (await put(person)).json
    program = await person.api_token("read", "deploy", "admin")
    assert is_error(await put(program), 403, "FORBIDDEN")
    assert is_error(await program.delete(f"{PATH}/{known['id']}"), 403, "FORBIDDEN")
    assert (await program.get(PATH)).json == [known]
