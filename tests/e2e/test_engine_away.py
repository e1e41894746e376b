"""The engine may be away at any time: what it is needed for waits and says so, and everything else goes on."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.crash.audit import rows_of
from tests.git_server import GitServer
from tests.relay import EngineRelay
from tests.server_process import ServerProcess, containers_of, running
from tests.tiny import tiny_app


@pytest.fixture
async def relay() -> AsyncIterator[EngineRelay]:
    with tempfile.TemporaryDirectory(prefix="stackyn-relay-") as folder:
        relay = EngineRelay(Path(folder) / "engine.sock")
        yield relay
        await relay.close()


async def test_a_deployment_waits_for_the_engine_and_says_so(relay: EngineRelay, git: GitServer) -> None:
    url, _ = await git.publish("patient", tiny_app("first"))
    retries = {"first_seconds": 0.5, "factor": 1.0, "attempts": 100}
    async with running(engine={"socket": str(relay.path)}, retries=retries) as server:
        app, first = await server.create(url, "Patient")
        await _says_that_it_waits(server, first)
        ready = await server.api("GET", "/health/ready", expect=503)
        assert "engine" in ready["details"]["parts"]["engine"]
        (tried, *_) = [line for line in server.log_file.read_text().splitlines() if "tried_again" in line]
        assert "The engine: " in json.loads(tried)["notes"], "the log tells in the engine's own words"

        await relay.open()
        await server.deployed(first)
        assert await server.visit("patient") == (200, "first")

        await relay.close()
        await git.publish("patient", tiny_app("second"))
        again = await server.redeploy(app)
        await _says_that_it_waits(server, again)
        assert await server.visit("patient") == (200, "first"), "what serves needs no engine"
        view = await server.api("GET", f"/api/v1/apps/{app}", expect=200)
        assert view["status"] in ("pending", "building")

        await relay.open()
        await server.deployed(again)
        assert await server.visit("patient") == (200, "second")
        await _is_ready(server)


async def test_jobs_wait_for_the_first_connection_to_the_engine(relay: EngineRelay, git: GitServer) -> None:
    url, _ = await git.publish("early", tiny_app("here"))
    await relay.open()
    engine = {"socket": str(relay.path)}
    async with AsyncExitStack() as stack:
        async with relay.holding_back("/version"):
            server = await stack.enter_async_context(running(engine=engine, retries={"attempts": 1}))
            _, deployment = await server.create(url, "early")

            async def has_begun() -> bool:
                return await _attempts(server, "build") == 1

            await server.until(has_begun, 20, "its job was taken up")
        await server.deployed(deployment)
        assert await server.visit("early") == (200, "here")


async def test_sleep_job_is_retried_while_the_engine_is_away(relay: EngineRelay, git: GitServer) -> None:
    url, _ = await git.publish("tired", tiny_app("here"))
    await relay.open()
    tables: dict[str, dict[str, object]] = {
        "engine": {"socket": str(relay.path)},
        "retries": {"factor": 1.0, "attempts": 2},
        "plans.pro": {"always_on": False},
        "apps": {"idle_minutes": 1 / 60},
        "reconcile": {"idle_seconds": 0.5},
    }
    async with running(**tables) as server:
        app, deployment = await server.create(url, "tired")
        async with relay.holding_back("/stop"):
            await server.deployed(deployment)

            async def is_on_its_way() -> bool:
                async with rows_of(server) as rows:
                    return bool(await rows.fetchval("SELECT count(*) FROM instance WHERE state = 'draining'"))

            await server.until(is_on_its_way, 30, "it is told to stop")
            await relay.close()

            async def was_tried_often() -> bool:
                return await _attempts(server, "sleep") > 3

            await server.until(was_tried_often, 20, "it is tried more often than what may be given up")
            await relay.open()

        async def sleeps() -> bool:
            return not await containers_of(server, app) and not await _attempts(server, "sleep")

        await server.until(sleeps, 20, "it sleeps")
        assert await server.visit("tired") == (200, "here")


async def _attempts(server: ServerProcess, kind: str) -> int:
    """How often a job of this kind was begun that is not done."""
    async with rows_of(server) as rows:
        attempt = await rows.fetchval(
            "SELECT max(attempt) FROM job WHERE kind = $1 AND state IN ('waiting', 'running')", kind
        )
    return attempt or 0


async def _says_that_it_waits(server: ServerProcess, deployment: int) -> None:
    async def waits() -> bool:
        view = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
        waiting = view["waiting"]
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
