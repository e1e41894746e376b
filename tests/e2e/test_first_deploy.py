"""From a git URL to a live URL, and all the way back to nothing, through the real API, engine and ingress."""

from __future__ import annotations

import asyncio
import json

from tests.git_server import GitServer
from tests.server_process import ServerProcess, containers_of, docker, images_of
from tests.tiny import tiny_app

MEBIBYTE = 1024**2


async def test_a_push_goes_live_and_leaves_nothing_when_deleted(
    server: ServerProcess, git: GitServer
) -> None:
    url, commit = await git.publish("life", tiny_app("first"))
    created = await server.api(
        "POST",
        "/api/v1/apps",
        {
            "name": "Life",
            "slug": "life",
            "repo_url": url,
            "branch": "main",
            "env_vars": [{"key": "GREETING", "value": "hi"}],
        },
        expect=201,
    )
    app, deployment = int(created["app"]["id"]), created["deployment"]["id"]
    assert created["deployment"]["status"] == "pending"
    assert created["app"]["status"] == "pending"

    await server.deployed(deployment)
    assert await server.visit("life") == (200, "first")
    assert await server.visit("life", "/cgi-bin/env") == (200, "GREETING=hi PORT=8080\n")
    view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
    assert view["status"] == "running"
    assert view["deployment"]["active_deployment_id"] == f"dep_{deployment}"
    assert view["url"] == f"http://life.localhost:{server.ingress_port}"
    logs = await server.api("GET", f"/api/v1/deployments/{deployment}/logs", expect=200)
    assert commit in logs["build_log"]
    assert "COPY busybox" in logs["build_log"]

    await git.publish("life", tiny_app("second"))
    again = await server.redeploy(app)
    assert await server.visit("life") == (200, "first"), "the old release serves until the new one is ready"
    await server.deployed(again)
    assert await server.visit("life") == (200, "second")
    await _until_containers(server, app, 1)

    await server.api("POST", f"/api/v1/apps/{app}/env", {"key": "GREETING", "value": "hello"}, expect=200)
    changed = await server.api("PATCH", f"/api/v1/apps/{app}", {"memory_mb": 96, "cpu": 0.25}, expect=200)
    assert changed["settings"]["memory_mb"] == 96
    assert await _limits(server, app) == (64 * MEBIBYTE, 0.5), "what runs is left alone"
    restarted = await server.api("POST", f"/api/v1/apps/{app}/restart", expect=201)
    await server.deployed(restarted["deployment"]["id"])
    await _until_containers(server, app, 1)
    assert await _limits(server, app) == (96 * MEBIBYTE, 0.25)
    assert await server.visit("life", "/cgi-bin/env") == (200, "GREETING=hello PORT=8080\n")

    stopped = await server.api("POST", f"/api/v1/apps/{app}/stop", expect=200)
    assert stopped["status"] == "stopped"
    await _until_containers(server, app, 0)
    assert (await server.visit("life"))[0] == 404
    await server.api("POST", f"/api/v1/apps/{app}/start")

    async def runs_again() -> bool:
        return (await server.visit("life"))[0] == 200

    await server.until(runs_again, 30, "the app answers after start")

    await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)
    await server.api("GET", f"/api/v1/apps/{app}", expect=404)
    await _until_containers(server, app, 0)

    async def images_gone() -> bool:
        return not await images_of(server, app)

    await server.until(images_gone, 30, "the app's images are removed")
    assert (await server.visit("life"))[0] == 404
    assert list((server.data_dir / "clones").glob("*")) == []


async def test_rollback_restores_image_and_environment_of_a_release(
    server: ServerProcess, git: GitServer
) -> None:
    app, _ = await server.deploy(
        git, "back", tiny_app("one"), "Back", env_vars=[{"key": "GREETING", "value": "old"}]
    )
    await git.publish("back", tiny_app("two"))
    await server.api("POST", f"/api/v1/apps/{app}/env", {"key": "GREETING", "value": "new"}, expect=200)
    await server.deployed(await server.redeploy(app))
    assert await server.visit("back") == (200, "two")
    back = await server.api("POST", f"/api/v1/apps/{app}/rollback", {"release": 1}, expect=201)
    await server.deployed(back["deployment"]["id"])
    assert await server.visit("back") == (200, "one")
    assert await server.visit("back", "/cgi-bin/env") == (200, "GREETING=old PORT=8080\n")
    releases = await server.api("GET", f"/api/v1/apps/{app}/releases", expect=200)
    assert [release["release"] for release in releases] == [3, 2, 1]
    assert [release["current"] for release in releases] == [True, False, False]
    assert releases[0]["image"] == releases[2]["image"], "nothing was built"
    logs = await server.api("GET", f"/api/v1/deployments/{back['deployment']['id']}/logs", expect=200)
    assert "COPY busybox" not in logs["build_log"]
    await server.api("POST", f"/api/v1/apps/{app}/rollback", {"release": 9}, expect=409)


async def test_server_restart_drops_no_request_and_keeps_all_state(
    server: ServerProcess, git: GitServer
) -> None:
    app, _ = await server.deploy(git, "stay", tiny_app("stay"), "Stay")
    await git.publish("stay", tiny_app("changed"))
    again = await server.redeploy(app)
    answers: list[tuple[int, str]] = []
    ended = asyncio.Event()

    async def visit_all_the_time() -> None:
        while not ended.is_set():
            answers.append(await server.visit("stay"))

    assert await server.visit("api", "/health") == (200, '{"status":"ok"}')
    visitor = asyncio.create_task(visit_all_the_time())
    await server.kill()
    status, text = await server.visit("api", "/api/apps")
    assert (status, json.loads(text)["code"]) == (503, "TEMPORARILY_UNAVAILABLE"), "the ingress speaks for it"
    await server.start()
    assert (await server.visit("api", "/api/apps"))[0] == 401
    await server.deployed(again)
    assert await server.stop() == 0
    await server.start()
    ended.set()
    await visitor
    assert [answer for answer in answers if answer[0] != 200] == []
    assert await server.visit("stay") == (200, "changed")
    await _until_containers(server, app, 1)


async def _until_containers(server: ServerProcess, app: int, count: int) -> None:
    async def as_many() -> bool:
        return len(await containers_of(server, app)) == count

    await server.until(as_many, 30, f"app {app} has {count} containers")


async def _limits(server: ServerProcess, app: int) -> tuple[int, float]:
    """Memory in bytes and cores of the app's only container."""
    (container,) = await containers_of(server, app)
    memory, nano = (
        await docker("inspect", "--format", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", container)
    ).split()
    return int(memory), int(nano) / 1e9


async def test_the_same_commit_again_needs_no_build(server: ServerProcess, git: GitServer) -> None:
    app, first = await server.deploy(git, "again", tiny_app("same"), "again")

    again = await server.redeploy(app)
    await server.deployed(again)

    views = [
        await server.api("GET", f"/api/v1/deployments/{deployment}/logs", expect=200)
        for deployment in (first, again)
    ]
    assert "COPY" in views[0]["build_log"]
    assert "its image is used, without a build" in views[1]["build_log"]
    assert "COPY" not in views[1]["build_log"]
    assert await server.visit("again") == (200, "same")
