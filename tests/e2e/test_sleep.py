"""Apps that nobody uses sleep, and the next request wakes them: through the real proxy, engine and server."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.git_server import GitServer
from tests.server_process import ServerProcess, containers_of, docker, running
from tests.tiny import SERVE, Tree, talking_app, tiny_app

IDLE_SECONDS = 1.5
BODY_BYTES = 3 * 2**20
ASLEEP_SECONDS = 30


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ServerProcess]:
    plan = {"always_on": False, "zero_downtime": False}
    async with running(
        **{
            "plans.pro": plan,
            "apps": {"idle_minutes": IDLE_SECONDS / 60},
            "reconcile": {"idle_seconds": 0.5},
            "hold": {"refuse_seconds": 1},
        }
    ) as server:
        yield server


@pytest.fixture(scope="module")
async def nap(server: ServerProcess, git: GitServer) -> int:
    """An app that answers `awake`."""
    return await deployed(server, git, "nap", talking_app("awake"))


async def test_post_with_a_body_wakes_an_idle_app(server: ServerProcess, nap: int) -> None:
    await asleep(server, nap)
    assert (await view(server, nap))["status"] == "running"

    body = os.urandom(BODY_BYTES)
    secrets = {"Authorization": "Bearer visitors-secret", "Cookie": "session=visitors-secret"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{server.ingress_port}/?token=visitors-secret",
            data=io.BytesIO(body),
            headers={"Host": "nap.localhost", **secrets},
        ) as answer,
    ):
        assert (answer.status, await answer.text()) == (200, hashlib.sha256(body).hexdigest())

    assert await server.visit("nap") == (200, "awake")
    await server.until(lambda: has_phase(server, nap, "live"), 10, "the app is shown as awake")
    assert "visitors-secret" not in server.log_file.read_text()


async def test_a_sleeper_is_woken_once_however_many_come(server: ServerProcess, nap: int) -> None:
    await asleep(server, nap)
    before = await count(server, nap, "app.woken")
    answers = await asyncio.gather(*(server.visit("nap") for _ in range(20)))
    assert set(answers) == {(200, "awake")}
    assert await count(server, nap, "app.woken") == before + 1
    assert len(await containers_of(server, nap)) == 1


async def test_a_deployment_shows_the_container_that_was_woken_for_it(
    server: ServerProcess, git: GitServer
) -> None:
    app, deployment = await server.deploy(
        git, "witness", tiny_app("here", start=f"echo I am $HOSTNAME\n{SERVE}"), "witness"
    )
    first = await shown_container(server, app, deployment)
    await asleep(server, app)
    assert await server.visit("witness") == (200, "here")
    await server.until(lambda: has_phase(server, app, "live"), 10, "it is awake")
    assert await shown_container(server, app, deployment) != first


async def test_a_request_before_the_end_turns_everything_back(server: ServerProcess, nap: int) -> None:
    await server.visit("nap")
    await server.until(lambda: has_phase(server, nap, "live"), 10, "it is awake")
    before, slept = await containers_of(server, nap), await count(server, nap, "app.slept")
    await server.until(lambda: has_phase(server, nap, "sleeping"), ASLEEP_SECONDS, "its requests are held")
    assert await server.visit("nap") == (200, "awake")
    await server.until(lambda: has_phase(server, nap, "live"), 10, "it stays awake")
    assert await containers_of(server, nap) == before
    assert await count(server, nap, "app.slept") == slept


async def test_a_restart_of_the_server_wakes_nobody_and_forgets_nobody(
    server: ServerProcess, nap: int
) -> None:
    await asleep(server, nap)
    await server.kill()
    assert (await server.visit("nap"))[0] == 500, "held routes need this server"
    await server.start()
    assert await containers_of(server, nap) == []
    assert await server.visit("nap") == (200, "awake")


async def test_idle_app_is_deployed_into_the_slot_of_held_requests(
    server: ServerProcess, git: GitServer, nap: int
) -> None:
    await asleep(server, nap)
    bad, good = tiny_app("2", start="/bin/busybox sleep 2\nexit 1\n"), talking_app("awake")
    for tree, status in ((bad, "failed"), (good, "running")):
        await git.publish("nap", tree)
        again = await server.redeploy(nap)
        await server.until(lambda: has_phase(server, nap, "booting", "probing"), 30, "it is being released")
        assert set(await asyncio.gather(*(server.visit("nap") for _ in range(5)))) == {(200, "awake")}
        await server.deployed(again, status)
        assert len(await containers_of(server, nap)) == 1
        await asleep(server, nap)


async def test_a_sleeping_app_can_be_stopped_and_started(server: ServerProcess, nap: int) -> None:
    await asleep(server, nap)
    stopped = await server.api("POST", f"/api/v1/apps/{nap}/stop", expect=200)
    assert (stopped["status"], stopped["phase"]) == ("stopped", "stopped")
    await server.until(lambda: answers(server, "nap", 404), 10, "nobody answers for a stopped app")
    await server.api("POST", f"/api/v1/apps/{nap}/start")
    await server.until(lambda: answers(server, "nap", 200), 30, "it answers after the start")


async def test_open_connection_keeps_an_app_awake_and_upgrade_wakes_it(
    server: ServerProcess, git: GitServer, nap: int
) -> None:
    app = await deployed(server, git, "talk", talking_app())
    await asleep(server, app)
    reader, writer = await upgraded(server, "talk")
    awake = await containers_of(server, app)
    assert len(awake) == 1
    assert await server.visit("nap") == (200, "awake")
    await asleep(server, nap)  # which was used later
    routes = (server.data_dir / "ingress" / "routes" / "routes.yml").read_text()
    assert f"hold-app-{nap}-" in routes and f"hold-app-{app}-" not in routes, "it is not on its way to sleep"
    writer.write(b"still here")
    assert await reader.readexactly(10) == b"still here"
    assert await containers_of(server, app) == awake
    assert await count(server, app, "app.slept") == 1
    writer.close()
    await asleep(server, app)


async def test_an_app_that_can_t_be_woken_says_why_and_can_be_deleted(
    server: ServerProcess, git: GitServer
) -> None:
    app = await deployed(server, git, "coma", tiny_app("back"))
    await asleep(server, app)
    release = (await server.api("GET", f"/api/v1/apps/{app}/releases", expect=200))[0]
    await docker("rmi", "-f", release["image"])
    url = f"http://127.0.0.1:{server.ingress_port}/"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={"Host": "coma.localhost"}) as answer,
    ):
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert "could not be started" in await answer.text()
    shown = await view(server, app)
    assert shown["phase"] == "sleeping"
    assert "could not be woken" in shown["deployment"]["waiting_reason"]
    assert await count(server, app, "app.wake_failed") == 1

    await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)
    await server.until(lambda: answers(server, "coma", 404), 10, "nobody answers for a deleted app")


async def deployed(server: ServerProcess, git: GitServer, name: str, tree: Tree) -> int:
    app, _ = await server.deploy(git, name, tree, name)
    return app


async def asleep(server: ServerProcess, app: int) -> None:
    async def sleeps() -> bool:
        return await has_phase(server, app, "sleeping") and not await containers_of(server, app)

    await server.until(sleeps, ASLEEP_SECONDS, f"app {app} sleeps")


async def shown_container(server: ServerProcess, app: int, deployment: int) -> str:
    """The container that the API shows for a deployment, which is the only one, and whose log ends what it shows."""
    view = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
    logs = await server.api("GET", f"/api/v1/deployments/{deployment}/logs", expect=200)
    name = view["container_id"]["String"][:12]
    assert await containers_of(server, app) == [name]
    assert logs["runtime_log"].splitlines()[-1] == f"I am {name}", "after what earlier containers wrote"
    return str(name)


async def has_phase(server: ServerProcess, app: int, *phases: str) -> bool:
    return (await view(server, app))["phase"] in phases


async def view(server: ServerProcess, app: int) -> dict[str, Any]:
    app_view: dict[str, Any] = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
    return app_view


async def answers(server: ServerProcess, slug: str, status: int) -> bool:
    return (await server.visit(slug))[0] == status


async def count(server: ServerProcess, app: int, name: str) -> int:
    """How many events of this name the app has had."""
    events = await server.api("GET", f"/api/v1/apps/{app}/events", expect=200)
    return sum(event["name"] == name for event in events)


async def upgraded(server: ServerProcess, slug: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Upgrade a connection, as a WebSocket begins."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.ingress_port)
    writer.write(
        f"GET / HTTP/1.1\r\nHost: {slug}.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101"), head
    return reader, writer
