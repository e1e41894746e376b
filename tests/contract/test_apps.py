"""Section 3 of the contract: apps, deployments and variables, as far as requests decide them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.config.accounts import shipped_plans
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.failures import Failure, FailureCode
from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.store import apps, deployments
from stackyn_server.store.deployments import Mover, StepResults
from tests.contract.conftest import REPOSITORY, Person, Platform
from tests.contract.test_conventions import is_error
from tests.contract.test_sign_in import TIME
from tests.rows import a_serving_app

NULLABLE = ("image_name", "container_id", "subdomain", "build_log", "runtime_log", "error_message")
NOTHING = {"String": "", "Valid": False}


async def create(person: Person, **body: Any) -> Any:
    return await person.post("/api/v1/apps", json={"name": "My App", "repo_url": REPOSITORY, **body})


async def move(platform: Platform, deployment: int, *phases: Phase, failure: Failure | None = None) -> None:
    """Walk a deployment through phases, as the pipeline would."""
    for phase in phases:
        async with platform.database.transaction() as connection:
            row = await deployments.get(connection, DeploymentId(deployment))
            assert row is not None
            await deployments.advance(
                connection, row, phase, Mover(0, "test:1"), StepResults(failure=failure)
            )


async def a_live_app(platform: Platform, person: Person) -> tuple[int, DeploymentId]:
    """Return an app of the person that serves, and its live deployment."""
    app = await person.new_app()
    async with platform.database.transaction() as connection:
        row = await apps.get(connection, AppId(app))
        assert row is not None
        await connection.execute("UPDATE deployment SET phase = 'superseded' WHERE app = $1", app)
        await connection.execute("DELETE FROM job WHERE app = $1", app)
        await a_serving_app(connection, row)
        live = await deployments.live_of_app(connection, AppId(app))
    assert live is not None
    return app, live.id


async def test_url_and_time_of_the_last_release_survive_stop_and_failure(platform: Platform) -> None:
    person = await platform.person()
    app, live = await a_live_app(platform, person)
    path = f"/api/v1/apps/{app}"

    async def shown() -> tuple[str, str | None]:
        view = (await person.get(path)).json
        return view["url"], view["deployment"]["last_deployed_at"]

    url, live_at = await shown()
    assert url.startswith("http://") and live_at is not None and TIME.fullmatch(live_at)

    failed = (await person.post(f"{path}/redeploy")).json["deployment"]["id"]
    assert await shown() == (url, live_at)
    await move(platform, failed, Phase.FAILED, failure=Failure(FailureCode.BUILD_FAILED, "It failed."))
    assert await shown() == (url, live_at)
    await platform.execute("DELETE FROM job")
    await person.post(f"{path}/stop")
    await move(platform, live, Phase.STOPPED)  # as the stop job does
    assert (await person.get(path)).json["status"] == "stopped"
    assert await shown() == (url, live_at)


async def test_create_answers_with_the_app_and_its_pending_deployment(platform: Platform) -> None:
    person = await platform.person()
    answer = await create(person, branch="", slug="", env_vars=[{"key": "A", "value": "1"}])
    assert answer.status == 201
    app, deployment = answer.json["app"], answer.json["deployment"]
    assert app | {"id": "5"} == app | {"id": "5", "name": "My App", "slug": "my-app", "status": "pending",
                                       "branch": "HEAD", "repo_url": REPOSITORY}  # fmt: skip
    assert isinstance(app["id"], str) and app["url"] == ""
    assert deployment["status"] == "pending" and deployment["app_id"] == int(app["id"])
    assert {name: deployment[name] for name in NULLABLE} == dict.fromkeys(NULLABLE, NOTHING)
    assert TIME.fullmatch(app["created_at"]) and TIME.fullmatch(deployment["updated_at"])
    job = await platform.value(
        "SELECT state FROM job WHERE kind = 'build' AND subject = $1", str(deployment["id"])
    )
    assert job == "waiting"
    assert (await person.get(f"/api/v1/apps/{app['id']}/env")).json[0]["value"] == "1"


async def test_the_view_shows_the_active_deployment(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app("first")
    listed, shown = (await person.get("/api/apps")).json, (await person.get(f"/api/v1/apps/{app}")).json
    assert listed == [shown]
    deployment = (await person.get(f"/api/v1/apps/{app}/deployments")).json[0]
    assert shown["deployment"] | {"waiting_reason": None} == {
        "active_deployment_id": f"dep_{deployment['id']}",
        "last_deployed_at": None,
        "state": "pending",
        "waiting_reason": None,
    }
    assert shown["settings"]["memory_mb"] == 256
    await move(platform, deployment["id"], Phase.FETCHING)
    assert (await person.get(f"/api/v1/apps/{app}")).json["status"] == "building"


async def test_lists_are_newest_first(platform: Platform) -> None:
    person = await platform.person()
    names = ["one", "two", "three"]
    for name in names:
        app = await person.new_app(name)
    assert [entry["name"] for entry in (await person.get("/api/apps")).json] == names[::-1]
    for _ in range(2):
        await person.post(f"/api/v1/apps/{app}/redeploy")
    ids = [entry["id"] for entry in (await person.get(f"/api/v1/apps/{app}/deployments")).json]
    assert ids == sorted(ids, reverse=True) and len(ids) == 3


@pytest.mark.parametrize(
    "body",
    [{"name": ""}, {"name": "  "}, {"name": "x" * 101}, {"name": "a\nb"}, {"repo_url": ""}, {"repo_url": "no url"},
     {"repo_url": "file:///etc/passwd"}, {"repo_url": "https://user:pass@git.example.test/a"},
     {"repo_url": "ext::sh -c id"}, {"branch": "-x"}, {"branch": "a..b"}, {"branch": "a b"}, {"slug": "Not A Slug"},
     {"slug": "-x-"},  {"env_vars": [{"key": "1A", "value": ""}]},
     {"env_vars": [{"key": "A B", "value": ""}]}, {"memory_mb": 0}, {"port": 70000}, {"cpu": 0}, {"cpu": 0.001},
     {"root_directory": "../.."}, {"health_path": "no-slash"},
     {"install_command": "a\nb"}, {"build_command": "x" * 4097}, {"runtime": "cobol"}, {"runtime_version": "x" * 61},
     {"publish_directory": "../x"}, {"use_dockerfile": "yes"}, {"health_timeout_seconds": 0},
     {"health_timeout_seconds": 3601}, {"build_memory_mb": 63}, {"release_command": "a\tb"},
     {"build_target": "a b"}, {"build_target": "-x"}, {"build_target": "x" * 129}, {"protocol": "spdy"}],
)  # fmt: skip
async def test_a_wrong_field_is_400_and_leaves_nothing_behind(
    platform: Platform, body: dict[str, Any]
) -> None:
    person = await platform.person()
    assert is_error(await create(person, **body), 400, "INVALID_REQUEST")
    assert (await person.get("/api/apps")).json == []


async def test_a_name_is_taken_by_one_user_only(platform: Platform) -> None:
    person, stranger = await platform.person(), await platform.person()
    await create(person)
    assert is_error(await create(person, name=" My App "), 409, "NAME_TAKEN")
    answer = await create(stranger)
    assert answer.status == 201 and answer.json["app"]["slug"] != "my-app"


@pytest.mark.parametrize(
    ("name", "slug"), [("Other", "chosen"), ("Chosen", "chosen"), ("Other", "admin"), ("API", "api")]
)
async def test_slug_that_was_sent_is_promised_or_refused(platform: Platform, name: str, slug: str) -> None:
    await create(await platform.person(), slug="chosen")
    person = await platform.person()
    refused = await create(person, name=name, slug=slug)
    assert is_error(refused, 409, "SLUG_TAKEN")
    free = refused.json["details"]["free"]
    assert free.startswith(f"{slug}-") and free in refused.json["error"]
    created = await create(person, name=name, slug=free)
    assert created.status == 201 and created.json["app"]["slug"] == free


@pytest.mark.parametrize(("name", "slug"), [("Chosen", "chosen"), ("API", "api")])
async def test_slug_that_was_not_sent_gets_a_suffix_when_it_is_taken(
    platform: Platform, name: str, slug: str
) -> None:
    await create(await platform.person(), slug="chosen")
    created = await create(await platform.person(), name=name)
    assert created.status == 201 and created.json["app"]["slug"].startswith(f"{slug}-")


async def test_long_slug_that_was_sent_is_cut(platform: Platform) -> None:
    created = await create(await platform.person(), slug="x" * 62 + "-" + "y" * 9)
    assert created.status == 201 and created.json["app"]["slug"] == "x" * 62


async def test_own_name_is_refused_before_its_slug(platform: Platform) -> None:
    person = await platform.person()
    await create(person, slug="my-app")
    assert is_error(await create(person, slug="my-app"), 409, "NAME_TAKEN")


async def test_deleted_app_gives_its_slug_to_its_owner_alone(platform: Platform) -> None:
    person = await platform.person()
    deleted = (await create(person, slug="shop")).json["app"]["id"]
    await person.delete(f"/api/v1/apps/{deleted}")

    assert is_error(await create(await platform.person(), slug="shop"), 409, "SLUG_TAKEN")
    again = await create(person, slug="shop")
    assert again.status == 201 and again.json["app"]["slug"] == "shop"
    assert again.json["app"]["id"] != deleted


async def test_the_plan_limits_apps_and_memory_and_says_which(platform: Platform) -> None:
    person = await platform.person(plan="free")
    assert is_error(await create(person, memory_mb=512), 403, "QUOTA_MEMORY")
    assert is_error(await create(person, disk_mb=2048), 403, "QUOTA_DISK")
    app = await person.new_app()
    assert is_error(await create(person), 403, "QUOTA_APPS")
    assert is_error(
        await person.call("PATCH", f"/api/v1/apps/{app}", json={"memory_mb": 300}), 403, "QUOTA_MEMORY"
    )
    assert (await person.delete(f"/api/v1/apps/{app}")).json["app_id"] == app
    assert (await create(person)).status == 201


async def test_plan_limits_the_processor_cores_of_all_apps(launch: Callable[..., Any]) -> None:
    plan = shipped_plans()["builder"].model_copy(update={"max_cpu": 1.2})
    platform = await launch(plans={**shipped_plans(), "builder": plan})
    person = await platform.person(plan="builder")
    refused = await create(person, cpu=1.3)
    assert is_error(refused, 403, "QUOTA_CPU") and "1.2 processor cores" in refused.json["error"]
    app = await person.new_app(cpu=0.7)
    path = f"/api/v1/apps/{app}"
    assert is_error(await create(person, name="Second", cpu=0.6), 403, "QUOTA_CPU")
    assert (await create(person, name="Second", cpu=0.5)).status == 201
    assert is_error(await person.call("PATCH", path, json={"cpu": 0.8}), 403, "QUOTA_CPU")
    assert (await person.get("/api/user/me")).json["quota"]["total_cpu"] == 1.2


async def test_no_app_has_more_processor_cores_than_the_machine(
    launch: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    plan = shipped_plans()["pro"].model_copy(update={"max_cpu": 0})
    person = await (await launch(plans={**shipped_plans(), "pro": plan})).person(plan="pro")
    refused = await create(person, cpu=64)
    assert is_error(refused, 400, "INVALID_REQUEST") and "2 processor cores" in refused.json["error"]
    app = await person.new_app(cpu=2)
    path = f"/api/v1/apps/{app}"
    assert is_error(await person.call("PATCH", path, json={"cpu": 2.5}), 400, "INVALID_REQUEST")


async def test_what_exceeds_a_smaller_plan_can_still_be_renamed(launch: Callable[..., Any]) -> None:
    platform = await launch()
    person = await platform.person(plan="pro")
    app = await person.new_app(memory_mb=2048)
    async with platform.database.transaction() as connection:
        await connection.execute("UPDATE account SET plan = 'free'")
    answer = await person.call("PATCH", f"/api/v1/apps/{app}", json={"name": "Renamed"})
    assert answer.status == 200


async def test_the_plan_limits_the_memory_of_builds(platform: Platform) -> None:
    person = await platform.person(plan="starter")
    answer = await create(person, build_memory_mb=2049)
    assert is_error(answer, 403, "QUOTA_MEMORY") and "2048" in answer.json["error"]
    app = await person.new_app(build_memory_mb=2048)
    path = f"/api/v1/apps/{app}"
    assert is_error(await person.call("PATCH", path, json={"build_memory_mb": 4096}), 403, "QUOTA_MEMORY")


async def test_200_parallel_creates_make_as_many_apps_as_the_plan_has(
    launch: Callable[..., Any],
) -> None:
    platform = await launch(rates=config.RatesSettings(write_per_user="1000/minute"))
    person = await platform.person(plan="builder")
    answers = await asyncio.gather(*(create(person, name=f"app {number}") for number in range(200)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [403] * 197


async def test_settings_change_within_the_plan_and_null_resets(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app(port=3000, start_command="npm start")
    path = f"/api/v1/apps/{app}"
    changed = await person.call(
        "PATCH", path, json={"name": "Renamed", "memory_mb": 512, "port": None, "cpu": 1}
    )
    assert changed.status == 200, changed.text
    assert (changed.json["name"], changed.json["slug"]) == ("Renamed", (await person.get(path)).json["slug"])
    settings = changed.json["settings"]
    assert (settings["memory_mb"], settings["port"], settings["start_command"]) == (512, None, "npm start")
    assert (await person.get("/api/user/me")).json["quota"]["total_ram_mb"] == 512


async def test_build_target_and_protocol_are_settings(platform: Platform) -> None:
    person = await platform.person()
    path = f"/api/v1/apps/{await person.new_app(build_target=' web ', protocol='h2c')}"
    settings = (await person.get(path)).json["settings"]
    assert (settings["build_target"], settings["protocol"]) == ("web", "h2c")
    kept = await person.call("PATCH", path, json={"port": 3000})
    assert (kept.json["settings"]["build_target"], kept.json["settings"]["protocol"]) == ("web", "h2c")
    reset = await person.call("PATCH", path, json={"build_target": "", "protocol": None})
    assert (reset.json["settings"]["build_target"], reset.json["settings"]["protocol"]) == (None, "http")


BUILD_SETTINGS: dict[str, Any] = {
    "runtime": "node",
    "runtime_version": ">=20",
    "install_command": "npm ci",
    "build_command": "npm run build && cp -r dist /app/public",
    "release_command": "node migrate.js",
    "publish_directory": "dist",
    "use_dockerfile": False,
    "health_timeout_seconds": 300,
    "build_memory_mb": 2048,
}


async def test_build_settings_are_kept_and_null_clears_them(platform: Platform) -> None:
    person = await platform.person()
    path = f"/api/v1/apps/{await person.new_app(**BUILD_SETTINGS, dockerfile_path='./docker/Dockerfile')}"
    settings = (await person.get(path)).json["settings"]
    assert {name: settings[name] for name in BUILD_SETTINGS} == BUILD_SETTINGS
    assert settings["dockerfile_path"] == "docker/Dockerfile"
    kept = await person.call("PATCH", path, json={"runtime_version": " 22 ", "root_directory": "./"})
    assert kept.json["settings"] == {**settings, "runtime_version": "22", "root_directory": None}
    cleared = await person.call("PATCH", path, json=dict.fromkeys(BUILD_SETTINGS))
    assert {name: cleared.json["settings"][name] for name in BUILD_SETTINGS} == dict.fromkeys(BUILD_SETTINGS)


async def test_wrong_runtime_is_told_the_right_ones(platform: Platform) -> None:
    answer = await create(await platform.person(), runtime="cobol")
    assert is_error(answer, 400, "INVALID_REQUEST")
    assert "dockerfile" in answer.json["error"] and "python" in answer.json["error"]


async def test_wrong_protocol_is_told_the_right_ones(platform: Platform) -> None:
    answer = await create(await platform.person(), protocol="grpc")
    assert is_error(answer, 400, "INVALID_REQUEST")
    assert "'http' or 'h2c'" in answer.json["error"]


async def test_a_deleted_app_is_invisible_at_once(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app("gone")
    assert (await person.delete(f"/api/v1/apps/{app}")).status == 200
    assert (await person.get("/api/apps")).json == []
    assert is_error(await person.get(f"/api/v1/apps/{app}"), 404, "NOT_FOUND")
    assert is_error(await person.delete(f"/api/v1/apps/{app}"), 404, "NOT_FOUND")
    assert await platform.value("SELECT count(*) FROM job WHERE kind = 'remove' AND app = $1", app) == 1
    assert (await create(person, name="gone")).status == 201


async def test_a_redeploy_supersedes_what_still_waits(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    answer = await person.post(f"/api/v1/apps/{app}/redeploy")
    assert (answer.status, answer.json["deployment"]["status"], answer.json["app"]["status"]) == (
        201,
        "pending",
        "pending",
    )
    assert answer.json["message"]
    newer, older = (await person.get(f"/api/v1/apps/{app}/deployments")).json
    assert (newer["status"], older["status"], older["phase"]) == ("pending", "stopped", "superseded")


async def test_a_failed_deployment_says_why_everywhere(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    deployment = (await person.get(f"/api/v1/apps/{app}/deployments")).json[0]["id"]
    failure = Failure(
        FailureCode.BUILD_FAILED, "The build ended with code 1.", "Read the build log.", "line 1"
    )
    await move(platform, deployment, Phase.FETCHING)
    await move(platform, deployment, Phase.FAILED, failure=failure)
    expected = {"String": "The build ended with code 1. Read the build log.", "Valid": True}
    listed = (await person.get(f"/api/v1/apps/{app}/deployments")).json[0]
    shown = (await person.get(f"/api/v1/deployments/{deployment}")).json
    assert listed["error_message"] == shown["error_message"] == expected
    assert shown["failure"] == {"code": "BUILD_FAILED", "phase": "fetching", "message": failure.message,
                                "hint": failure.hint, "evidence": "line 1"}  # fmt: skip
    assert (await person.get(f"/api/v1/apps/{app}")).json["status"] == "failed"
    logs = (await person.get(f"/api/v1/deployments/{deployment}/logs")).json
    assert logs["error_message"] == expected["String"]


async def test_cancel_is_idempotent(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    deployment = (await person.get(f"/api/v1/apps/{app}/deployments")).json[0]["id"]
    for _ in range(2):
        answer = await person.post(f"/api/v1/deployments/{deployment}/cancel")
        assert (answer.status, answer.json["status"], answer.json["phase"]) == (200, "stopped", "cancelled")


async def test_stop_cancels_and_start_without_a_release_is_409(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    assert (await person.post(f"/api/v1/apps/{app}/stop")).json["status"] == "stopped"
    assert (await person.get(f"/api/v1/apps/{app}/deployments")).json[0]["phase"] == "cancelled"
    for verb in ("start", "restart"):
        assert is_error(await person.post(f"/api/v1/apps/{app}/{verb}"), 409, "CONFLICT")
    assert is_error(await person.post(f"/api/v1/apps/{app}/rollback", json={"release": 1}), 409, "CONFLICT")
    assert (await person.get(f"/api/v1/apps/{app}/releases")).json == []


# Variables ------------------------------------------------------------------------------------------------------


async def put(person: Person, app: AppId, key: Any, value: Any = "") -> Any:
    return await person.post(f"/api/v1/apps/{app}/env", json={"key": key, "value": value})


async def test_a_variable_is_replaced_in_place(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    first = (await put(person, app, " KEY ", "one")).json
    second = (await put(person, app, "KEY", "two\nlines ✓")).json
    assert (first["id"], first["created_at"], first["key"]) == (second["id"], second["created_at"], "KEY")
    assert datetime.fromisoformat(second["updated_at"]) > datetime.fromisoformat(first["updated_at"])
    assert (await person.get(f"/api/v1/apps/{app}/env")).json == [second]
    sealed = await platform.value("SELECT sealed FROM variable WHERE app = $1", app)
    assert b"two" not in sealed


async def test_variables_have_a_limit_in_number_and_bytes(launch: Any) -> None:
    platform = await launch(apps=config.AppsSettings(variables=3, variables_bytes=100))
    person = await platform.person()
    too_many = [{"key": f"K{number}", "value": ""} for number in range(4)]
    assert is_error(await create(person, env_vars=too_many), 400, "INVALID_REQUEST")
    assert is_error(await create(person, env_vars=[{"key": "K", "value": "x" * 100}]), 400, "INVALID_REQUEST")
    app = int((await create(person, env_vars=[{"key": "A", "value": "x" * 80}])).json["app"]["id"])

    assert (await put(person, app, "B", "é" * 9)).status == 200
    assert is_error(await put(person, app, "C", ""), 400, "INVALID_REQUEST")
    assert (await put(person, app, "A", "x" * 79)).status == 200, "the value that it replaces doesn't count"
    assert (await put(person, app, "C", "")).status == 200
    answer = await put(person, app, "D", "")
    assert is_error(answer, 400, "INVALID_REQUEST") and "3 variables" in answer.json["error"]


@pytest.mark.parametrize(
    ("limits", "kept"),
    [({"variables": 5}, 5), ({"variables_bytes": 50}, 5)],
    ids=["number", "bytes"],
)
async def test_parallel_variables_do_not_exceed_the_limit_together(
    launch: Any, limits: dict[str, int], kept: int
) -> None:
    """As the legacy console posts them after it has made an app; each has 10 bytes."""
    platform = await launch(apps=config.AppsSettings(**limits))
    person = await platform.person()
    app = await person.new_app()
    answers = await asyncio.gather(*(put(person, app, f"K{number:02}", "x" * 7) for number in range(15)))
    assert sorted(answer.status for answer in answers) == [200] * kept + [400] * (15 - kept)
    assert len((await person.get(f"/api/v1/apps/{app}/env")).json) == kept


async def test_a_key_with_a_dot_is_told_what_would_do(platform: Platform) -> None:
    person = await platform.person()
    answer = await put(person, await person.new_app(), "app.url", "")
    assert is_error(answer, 400, "INVALID_REQUEST") and "app_url" in answer.json["error"]


async def test_many_variables_at_once_are_all_kept_and_listed_by_key(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    keys = [f"KEY_{number:02}" for number in range(20)]
    answers = await asyncio.gather(*(put(person, app, key, key) for key in reversed(keys)))
    assert {answer.status for answer in answers} == {200}
    assert [row["key"] for row in (await person.get(f"/api/v1/apps/{app}/env")).json] == keys


@pytest.mark.parametrize(
    ("key", "value"), [("", ""), ("1A", ""), ("A-B", ""), ("A/B", ""), ("Ä", ""), ("A" * 256, ""), ("A", "x" * 65_537),
                       ("A", "nul\0"), (None, ""), ("A", 1)]
)  # fmt: skip
async def test_a_bad_variable_is_400(platform: Platform, key: Any, value: Any) -> None:
    person = await platform.person()
    app = await person.new_app()
    assert is_error(await put(person, app, key, value), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    "key",
    ["ABSENT", "A%2FB", "A%20B%2FC", "%7Bx%7D", "%00", "%252F", "%ED%A0%80", "%0A", "..%2F..", "a" * 3000],
)
async def test_deleting_an_absent_key_is_204(platform: Platform, key: str) -> None:
    person = await platform.person()
    app = await person.new_app()
    answer = await person.delete(f"/api/v1/apps/{app}/env/{key}")
    assert (answer.status, answer.text) == (204, "")


async def test_a_key_in_the_path_is_decoded_exactly_once(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    await put(person, app, "A", "kept")
    # Rows of an import may have keys that nobody can set any more; they must be deletable.
    for key in ("A B/C", "%41", "A"):
        await platform.execute(
            "INSERT INTO variable (app, key, sealed) VALUES ($1, $2, '') ON CONFLICT DO NOTHING", app, key
        )
    await person.delete(f"/api/v1/apps/{app}/env/%2541")
    await person.delete(f"/api/v1/apps/{app}/env/A%20B%2FC")
    assert [row["key"] for row in (await person.get(f"/api/v1/apps/{app}/env")).json] == ["A"]


async def test_a_shortened_path_of_a_variable_deletes_no_app(platform: Platform) -> None:
    person = await platform.person()
    app = await person.new_app()
    assert is_error(await person.delete(f"/api/v1/apps/{app}/"), 404, "NOT_FOUND")
    assert (await person.get(f"/api/v1/apps/{app}")).status == 200


async def test_polling_and_typing_for_a_minute_meet_no_rate_limit(launch: Any) -> None:
    """All of it from one account, and within the minute that is counted."""
    platform = await launch(rates=config.RatesSettings())
    admin = await platform.person(is_admin=True)
    app = await admin.new_app()
    deployment = (await admin.get(f"/api/v1/apps/{app}/deployments")).json[0]["id"]
    page = (
        f"/api/v1/apps/{app}",
        f"/api/v1/apps/{app}/deployments",
        f"/api/v1/deployments/{deployment}/logs",
    )
    for second in range(60):
        strokes = [f"/admin/users?search={'a' * (second % 9)}&stroke={number}" for number in range(6)]
        answers = await asyncio.gather(*(admin.get(path) for path in (*page, *strokes)))
        assert {answer.status for answer in answers} == {200}, second
