"""The engine may be away at any time: what it is needed for waits and says so, and everything else goes on."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.git_server import GitServer
from tests.relay import EngineDoor
from tests.server_process import ServerProcess, running
from tests.tiny import tiny_app


@pytest.fixture
async def door() -> AsyncIterator[EngineDoor]:
    with tempfile.TemporaryDirectory(prefix="stackyn-door-") as folder:
        door = EngineDoor(Path(folder) / "engine.sock")
        yield door
        await door.shut()


async def test_a_deployment_waits_for_the_engine_and_says_so(door: EngineDoor, git: GitServer) -> None:
    url, _ = await git.publish("patient", tiny_app("first"))
    retries = {"first_seconds": 0.5, "factor": 1.0, "attempts": 100}
    async with running(engine={"socket": str(door.path)}, retries=retries) as server:
        app, first = await server.create(url, "Patient")
        await _says_that_it_waits(server, first)
        ready = await server.api("GET", "/health/ready", expect=503)
        assert "engine" in ready["details"]["parts"]["engine"]

        await door.open()
        await server.deployed(first)
        assert await server.visit("patient") == (200, "first")

        await door.shut()
        await git.publish("patient", tiny_app("second"))
        again = await server.api("POST", f"/api/v1/apps/{app}/redeploy", expect=201)
        await _says_that_it_waits(server, again["deployment"]["id"])
        assert await server.visit("patient") == (200, "first"), "what serves needs no engine"
        view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
        assert view["status"] in ("pending", "building")

        await door.open()
        await server.deployed(again["deployment"]["id"])
        assert await server.visit("patient") == (200, "second")
        await _is_ready(server)


async def _says_that_it_waits(server: ServerProcess, deployment: int) -> None:
    async def waits() -> bool:
        found = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
        waiting = found["waiting"]
        return (
            bool(waiting)
            and "engine" in waiting["reason"]
            and waiting["attempt"] >= 1
            and waiting["next_attempt_at"] is not None
        )

    await server.until(waits, 20, "it waits for the engine, with the attempt and the time of the next one")


async def _is_ready(server: ServerProcess) -> None:
    async def ready() -> bool:
        return bool((await server.api("GET", "/health/ready")).get("status") == "ready")

    await server.until(ready, 20, "everything is ready again")
