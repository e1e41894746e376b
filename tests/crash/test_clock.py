"""The clock jumps, forward and back: what was to happen in seconds happens in seconds, and nobody notices."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from tests.crash.app_under_test import AppUnderTest, visited
from tests.crash.audit import is_whole, rows_of, until_idle
from tests.crash.clock import Clock
from tests.git_server import GitServer, Mode
from tests.server_process import ServerProcess, remove_everything
from tests.tiny import DOCKERFILE, tiny_app

BEGINNING, JUMPS = -3, (3, -2)  # hours from the true time
BUILD_SECONDS = 4
RETRIES = {"first_seconds": 8, "factor": 1.0, "attempts": 100}
SWEEP_SECONDS = 3
SOON_SECONDS = 60  # hours are what it takes who believes the clock


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="stackyn-server-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def clock(folder: Path) -> Clock:
    return Clock(folder / "clock", BEGINNING)


@pytest.fixture
async def server(folder: Path, clock: Clock) -> AsyncIterator[ServerProcess]:
    tables = {
        "database": {"binaries": str(clock.programs)},
        "retries": RETRIES,
        "jobs": {"sweep_seconds": SWEEP_SECONDS},
    }
    server = ServerProcess(folder, tables, environment=clock.environment)
    try:
        await server.start()
        await server.sign_in()
        yield server
    finally:
        await server.stop()
        await remove_everything(server)


@pytest.mark.full
@pytest.mark.timeout(400)
async def test_a_retry_and_a_build_end_although_the_clock_jumps(
    server: ServerProcess, git: GitServer, clock: Clock
) -> None:
    retried, built = AppUnderTest(server, git), AppUnderTest(server, git)
    await retried.go_live()
    await built.go_live()
    async with visited(retried, built) as failures:
        for jump in JUMPS:
            git.modes[retried.name] = Mode.BROKEN
            waiting = await _redeploy(retried, f"{jump:+}")
            await _waits_for_a_retry(server, waiting)
            building = await _redeploy(built, f"{jump:+}")
            await _builds(server, building)
            clock.set(jump)
            await server.until(
                lambda: _have_jumped(server, clock), 20, "server and database see the new time"
            )
            git.modes[retried.name] = Mode.SERVE
            await server.deployed(building, seconds=SOON_SECONDS)
            await server.deployed(waiting, seconds=SOON_SECONDS)
            assert [await server.visit(app.name) for app in (retried, built)] == [(200, f"{jump:+}")] * 2
            await server.until(lambda: _is_ready(server), SOON_SECONDS, "nothing is late")
    assert failures == []
    await until_idle(server)
    await is_whole(server)


async def _have_jumped(server: ServerProcess, clock: Clock) -> bool:
    async with rows_of(server) as rows:
        database = await rows.fetchval("SELECT clock_timestamp()")
    timestamp = json.loads(server.last_log(1))["timestamp"]
    return clock.shows(database) and clock.shows(datetime.fromisoformat(timestamp))


async def _redeploy(app: AppUnderTest, greeting: str) -> int:
    slow = DOCKERFILE + f'RUN ["/bin/busybox", "sleep", "{BUILD_SECONDS}"]\n'
    await app.git.publish(app.name, tiny_app(greeting, dockerfile=slow))
    return await app.server.redeploy(app.id)


async def _waits_for_a_retry(server: ServerProcess, deployment: int) -> None:
    async def waits() -> bool:
        view = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
        return bool(view["waiting"]) and view["waiting"]["next_attempt_at"] is not None

    await server.until(waits, 30, "it waits for its next attempt")


async def _builds(server: ServerProcess, deployment: int) -> None:
    async def builds() -> bool:
        view = await server.api("GET", f"/api/v1/deployments/{deployment}", expect=200)
        return bool(view["phase"] == "building")

    await server.until(builds, 30, "it builds")


async def _is_ready(server: ServerProcess) -> bool:
    return bool((await server.api("GET", "/health/ready")).get("status") == "ready")
