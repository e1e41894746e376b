"""Section 5 of the contract: what the CMS sees and does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stackyn_server.domain.deployments import Phase
from stackyn_server.store import audit, deployments
from stackyn_server.store.deployments import Mover, StepResults
from tests.contract.conftest import Person, Platform
from tests.contract.test_apps import a_live_app
from tests.contract.test_conventions import is_error

NINE_KEYS = {
    "id",
    "email",
    "full_name",
    "company_name",
    "email_verified",
    "plan",
    "is_admin",
    "created_at",
    "updated_at",
}


@pytest.fixture
async def admin(platform: Platform) -> Person:
    return await platform.person(email="root@example.test", is_admin=True)


async def actions(platform: Platform) -> list[str]:
    async with platform.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT action, subject, outcome, data FROM audit WHERE action ~ '^(app|user|admin)' ORDER BY id"
        )
    return [
        f"{row['action']} {row['subject']}" + (f" {row['outcome']}" if row["outcome"] != "done" else "")
        for row in rows
    ]


async def test_users_are_listed_newest_first_with_their_quota(platform: Platform, admin: Person) -> None:
    person = await platform.person(full_name="", plan="builder")
    await person.new_app(memory_mb=512)
    listed = (await admin.get("/admin/users")).json
    assert [user["email"] for user in listed["users"]] == [person.email, admin.email]
    assert (listed["total"], listed["limit"], listed["offset"]) == (2, 50, 0)
    user = listed["users"][0]
    assert user["full_name"] == "" and "company_name" not in user
    assert (user["quota"]["app_count"], user["quota"]["total_ram_mb"], user["quota"]["plan"]["max_apps"]) == (
        1,
        512,
        3,
    )
    assert (await admin.get("/admin/users/")).json == listed


async def test_search_is_a_literal_part_of_the_address_in_any_case(platform: Platform, admin: Person) -> None:
    for email in ("a_b@example.test", "AxB@Example.test", "50%@example.test"):
        await platform.person(email=email, password=None)
    emails = {
        text: [user["email"] for user in (await admin.get(f"/admin/users?search={text}")).json["users"]]
        for text in ("a_b", "axb", "%25", "EXAMPLE", "nobody", "'", "%5C")
    }
    assert emails["a_b"] == ["a_b@example.test"] and emails["axb"] == ["AxB@Example.test"]
    assert emails["%25"] == ["50%@example.test"] and len(emails["EXAMPLE"]) == 4
    assert emails["nobody"] == emails["'"] == emails["%5C"] == []


@pytest.mark.parametrize(
    ("query", "effective"),
    [("limit=1", (1, 0)), ("limit=100", (100, 0)), ("limit=101", (50, 0)), ("limit=0", (50, 0)), ("limit=x", (50, 0)),
     ("offset=3", (50, 3)), ("offset=-1", (50, 0)), ("limit=&offset=", (50, 0)), ("offset=9" + "9" * 30, (50, 0))],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["users", "apps"])
async def test_a_page_that_can_not_be_used_is_the_usual_one(
    platform: Platform, admin: Person, kind: str, query: str, effective: tuple[int, int]
) -> None:
    answer = (await admin.get(f"/admin/{kind}?{query}")).json
    assert (answer["limit"], answer["offset"]) == effective
    assert isinstance(answer[kind], list)


async def test_a_plan_change_is_visible_in_the_very_next_list(platform: Platform, admin: Person) -> None:
    person = await platform.person(plan="free")
    changed = await admin.call("PATCH", f"/admin/users/{person.id}/plan", json={"plan": "pro"})
    assert set(changed.json) == {"message", "user_id", "plan", "user", "quota"}
    assert set(changed.json["user"]) == NINE_KEYS and changed.json["plan"] == "pro"
    assert (await admin.get("/admin/users")).json["users"][0]["plan"] == "pro"
    assert (await person.get("/api/user/me")).json["quota"]["plan"]["max_apps"] == 3
    unknown = await admin.call("PATCH", f"/admin/users/{person.id}/plan", json={"plan": "Pro"})
    assert is_error(unknown, 400, "INVALID_REQUEST")
    assert await actions(platform) == [f"user.plan_set {person.id}"]


async def test_a_deleted_user_is_gone_with_everything(platform: Platform, admin: Person) -> None:
    person = await platform.person()
    token = (await person.post("/api/v1/tokens", json={"name": "ci"})).json["token"]
    apps = [await person.new_app() for _ in range(2)]
    answer = await admin.delete(f"/admin/users/{person.id}")
    assert (answer.status, answer.json["user_id"], answer.json["apps_deleted"]) == (200, str(person.id), 2)
    assert (await person.get("/api/user/me")).status == 401
    assert (await Person(platform, token=token).get("/api/user/me")).status == 401
    assert (await admin.get("/admin/users")).json["total"] == 1
    assert (await admin.get("/admin/apps")).json["apps"] == []
    removed = await platform.value(
        "SELECT array_agg(app ORDER BY app) FROM job WHERE kind = 'remove' AND state = 'waiting'"
    )
    assert removed == apps
    assert (
        await platform.nobody.post("/api/auth/signup", json={"email": person.email, "password": "a password"})
    ).status == 201


async def test_an_admin_deletes_neither_themselves_nor_the_last_one(
    platform: Platform, admin: Person
) -> None:
    assert is_error(await admin.delete(f"/admin/users/{admin.id}"), 400, "INVALID_REQUEST")
    second = await platform.person(is_admin=True)
    answers = await asyncio.gather(
        admin.delete(f"/admin/users/{second.id}"), second.delete(f"/admin/users/{admin.id}")
    )
    assert sorted(answer.status for answer in answers) in ([200, 400], [200, 401], [200, 404])
    assert await platform.value("SELECT count(*) FROM account WHERE is_admin AND deleted_at IS NULL") == 1


async def test_apps_are_listed_for_all_with_their_owner(platform: Platform, admin: Person) -> None:
    person = await platform.person()
    app = await person.new_app("listed")
    await person.post(f"/api/v1/apps/{app}/redeploy")
    listed = (await admin.get("/admin/apps?limit=1")).json
    entry = listed["apps"][0]
    assert (entry["id"], entry["name"], entry["status"]) == (str(app), "listed", "pending")
    assert (entry["deployment_count"], entry["latest_status"]) == (2, "pending")
    assert (entry["user_id"], entry["user_email"]) == (str(person.id), person.email)
    assert listed["total"] == 1 and "deployment" not in entry


async def test_every_deed_on_an_app_is_answered_in_json_and_audited(
    platform: Platform, admin: Person
) -> None:
    person = await platform.person(plan="free")
    app = await person.new_app()
    deeds: list[tuple[str, str, int]] = [
        ("POST", "/redeploy", 201), ("POST", "/stop", 200), ("POST", "/start", 409), ("DELETE", "", 200),
    ]  # fmt: skip
    answers: list[Any] = []
    for method, path, status in deeds:
        answer = await admin.call(
            method, f"/admin/apps/{app}{path}", headers={"Content-Type": "application/json"}
        )
        assert answer.status == status, answer.text
        answers.append(answer.json)
    assert answers[0]["deployment"]["status"] == "pending" and answers[1]["stopped_containers"] == 0
    assert all(answer["app_id"] == app and answer["message"] for answer in answers if "code" not in answer)
    assert await actions(platform) == [
        f"app.redeployed {app}",
        f"app.stopped {app}",
        f"app.started {app} refused",
        f"app.deleted {app}",
    ]


async def test_app_that_an_administrator_stopped_says_so(platform: Platform, admin: Person) -> None:
    person = await platform.person()
    app, live = await a_live_app(platform, person)
    assert (await admin.post(f"/admin/apps/{app}/stop")).json["stopped_containers"] == 1
    reason = "An administrator stopped the app."
    shown = (await person.get(f"/api/v1/apps/{app}")).json
    assert (shown["status"], shown["stop_reason"]) == ("stopped", reason)
    async with platform.database.transaction() as connection:  # as the stop job does
        row = await deployments.get(connection, live)
        assert row is not None
        await deployments.advance(
            connection, row, Phase.STOPPED, Mover(0, "1:1"), StepResults(waiting_reason=reason)
        )
    deployment = (await person.get(f"/api/v1/deployments/{live}")).json
    assert (deployment["status"], deployment["phase"]) == ("stopped", "stopped")
    assert deployment["error_message"] == {"String": reason, "Valid": True}
    assert (await person.get(f"/api/v1/deployments/{live}/logs")).json["error_message"] == reason


async def test_a_deed_and_its_record_are_one_transaction(
    platform: Platform, admin: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await platform.person()
    app = await person.new_app()
    deployments = (await person.get(f"/api/v1/apps/{app}/deployments")).json

    async def unrecorded(*_: Any, **__: Any) -> None:
        raise RuntimeError("the audit log can't be written")

    monkeypatch.setattr(audit, "append", unrecorded)
    deeds = [("POST", f"apps/{app}/redeploy"), ("POST", f"apps/{app}/stop"), ("DELETE", f"apps/{app}"),
             ("DELETE", f"users/{person.id}")]  # fmt: skip
    for method, path in deeds:
        assert (await admin.call(method, f"/admin/{path}")).status == 500, path
    assert (await person.get(f"/api/v1/apps/{app}/deployments")).json == deployments


async def test_a_refused_deed_is_recorded_as_refused(platform: Platform, admin: Person) -> None:
    person = await platform.person()
    app = await person.new_app()
    await admin.post(f"/admin/apps/{app}/stop")
    await admin.post(f"/admin/apps/{app}/start")
    await admin.delete(f"/admin/users/{admin.id}")
    await person.delete(f"/admin/users/{admin.id}")
    for _ in range(3):  # asking on and on fills no table
        await person.get("/admin/users")
    assert await actions(platform) == [
        f"app.stopped {app}",
        f"app.started {app} refused",
        f"user.deleted {admin.id} refused",
        "admin.requested admin.delete_user refused",
        "admin.requested admin.list_users refused",
    ]


async def test_the_audit_log_is_paged_and_filtered(platform: Platform, admin: Person) -> None:
    person, other = await platform.person(), await platform.person()
    for each in (person, other):
        await admin.call("PATCH", f"/admin/users/{each.id}/plan", json={"plan": "starter"})
    await person.api_token("read")
    everything = (await admin.get("/admin/audit")).json
    assert (everything["total"], everything["limit"], everything["offset"]) == (3, 50, 0)
    newest = everything["audit"][0]
    assert set(newest) == {
        "id", "actor_id", "actor_email", "action", "subject", "outcome", "data", "created_at",
    }  # fmt: skip
    assert (newest["actor_email"], newest["action"], newest["outcome"]) == (
        person.email,
        "token.made",
        "done",
    )

    async def found(query: str) -> list[str]:
        page = (await admin.get(f"/admin/audit?{query}")).json
        return [entry["action"] for entry in page["audit"]]

    assert await found(f"user={person.id}") == ["token.made", "user.plan_set"]
    assert await found(f"user={admin.id}&action=user.plan_set") == ["user.plan_set"] * 2
    assert await found("action=nothing") == [] and await found("limit=1&offset=1") == ["user.plan_set"]
    assert is_error(await admin.get("/admin/audit?user=x"), 400, "INVALID_REQUEST")


async def test_credentials_that_change_are_in_the_audit_log(platform: Platform, admin: Person) -> None:
    person = await platform.person()
    await person.api_token()
    token = (await person.get("/api/v1/tokens")).json[0]["id"]
    await person.delete(f"/api/v1/tokens/{token}")
    await person.post("/api/auth/update-profile", json={"password": "another password"})
    listed = (await admin.get(f"/admin/audit?user={person.id}")).json["audit"]
    assert [entry["action"] for entry in listed] == ["password.set", "token.deleted", "token.made"]
    assert listed[2]["data"] == {"token": token, "scopes": ["read", "deploy"], "app": None}


async def test_personal_tokens_work_until_they_are_deleted(platform: Platform) -> None:
    person = await platform.person()
    answer = await person.post("/api/v1/tokens", json={"name": "ci", "days": 30})
    assert answer.status == 201 and answer.json["token"].startswith("stk_")
    program = Person(platform, token=answer.json["token"])
    assert (await program.get("/api/user/me")).json["id"] == str(person.id)
    listed = (await person.get("/api/v1/tokens")).json
    assert [token["name"] for token in listed] == ["ci"] and "token" not in listed[0]
    assert listed[0]["last_used_at"] is not None
    stranger = await platform.person()
    assert is_error(await stranger.delete(f"/api/v1/tokens/{listed[0]['id']}"), 404, "NOT_FOUND")
    assert (await person.delete(f"/api/v1/tokens/{listed[0]['id']}")).status == 204
    assert is_error(await program.get("/api/user/me"), 401, "SIGN_IN_REQUIRED")


async def test_a_token_that_ran_out_is_refused(platform: Platform) -> None:
    person = await platform.person()
    answer = await person.post("/api/v1/tokens", json={"name": "ci", "days": 1})
    await platform.execute("UPDATE api_token SET expires_at = now()")
    assert (await Person(platform, token=answer.json["token"]).get("/api/user/me")).status == 401
