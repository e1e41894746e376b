"""A part of the machine fails for a while under a whole server: what can't be served is refused with a sentence, what
can wait is queued, visitors notice nothing, and it recovers by itself."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import pytest

from stackyn_server import config
from stackyn_server.postgres.embedded import EmbeddedPostgres
from tests.crash.app_under_test import AppUnderTest, redeploy, visited
from tests.frozen import frozen
from tests.git_server import GitServer
from tests.server_process import ServerProcess, remove_everything, running
from tests.tiny import DOCKERFILE, tiny_app

AWAY_SECONDS, ASK_SECONDS = 3.0, 0.1
DISK = "size=700m,mode=711"
ENOUGH_MB, MEBIBYTE = 48, 1024**2
QUICK = {"first_seconds": 0.5, "factor": 1.0, "attempts": 100}


@pytest.fixture
async def postgres(cluster_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    """The operator's own database, as far as the server knows."""
    postgres = EmbeddedPostgres(cluster_dir, config.DatabaseSettings())
    yield postgres
    await postgres.stop()


async def test_a_database_that_is_frozen_and_then_gone(git: GitServer, postgres: EmbeddedPostgres) -> None:
    await _recovers_from(git, postgres, frozen, _gone, seconds=AWAY_SECONDS)


@pytest.mark.full
@pytest.mark.timeout(300)
async def test_a_database_that_is_gone_for_a_minute(git: GitServer, postgres: EmbeddedPostgres) -> None:
    await _recovers_from(git, postgres, _gone, seconds=60)


async def _recovers_from(git: GitServer, postgres: EmbeddedPostgres, *faults: Fault, seconds: float) -> None:
    """Have the database fail in mid-build, each time for so long: the build's result is kept in hand meanwhile."""
    url = await postgres.start()
    limits = {"statement_seconds": 2, "connect_seconds": 2}
    async with running(database={"url": url, **limits}, retries=QUICK) as server:
        app = AppUnderTest(server, git)
        await app.go_live()
        async with visited(app) as failures:
            for fault in faults:
                slow = tiny_app(
                    fault.__name__, dockerfile=DOCKERFILE + 'RUN ["/bin/busybox", "sleep", "2"]\n'
                )
                await git.publish(app.name, slow)
                asked = await server.redeploy(app.id)
                await _is_under_way(server, asked)
                async with fault(postgres):
                    back_at = time.monotonic() + seconds
                    while time.monotonic() < back_at:
                        await _is_refused_with_a_sentence(server)
                        await asyncio.sleep(ASK_SECONDS)
                await server.deployed(asked)
                assert (await server.visit(app.name))[1] == fault.__name__
            attempts = await _build_attempts(url)
        assert failures == []
    assert attempts == [1] * (1 + len(faults)), "no build was done twice"


Fault = Callable[[EmbeddedPostgres], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def _gone(postgres: EmbeddedPostgres) -> AsyncIterator[None]:
    await postgres.stop()
    yield
    await postgres.start()


async def _build_attempts(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [
            row["attempt"]
            for row in await connection.fetch("SELECT attempt FROM job WHERE kind = 'build' ORDER BY id")
        ]
    finally:
        await connection.close()


async def _is_under_way(server: ServerProcess, deployment: int) -> None:
    async def builds() -> bool:
        return bool((await server.api("GET", f"/api/v1/deployments/{deployment}"))["phase"] == "building")

    await server.until(builds, 30, "it builds")


async def _is_refused_with_a_sentence(server: ServerProcess) -> None:
    answer = await server.api("GET", "/api/apps", expect=503)
    assert answer["code"] == "TEMPORARILY_UNAVAILABLE" and answer["error"].endswith(".")
    assert (await server.api("GET", "/health", expect=200)) == {"status": "ok"}


@pytest.mark.full
async def test_a_disk_that_is_full(git: GitServer, tmp_path: Path) -> None:
    with _small_disk(tmp_path) as folder:
        server = ServerProcess(folder, {"builds": {"free_disk_mb": ENOUGH_MB}, "retries": QUICK})
        try:
            await server.start()
            await server.sign_in()
            app = AppUnderTest(server, git)
            await app.go_live()
            ballast = folder / "ballast"
            async with visited(app) as failures:
                await asyncio.to_thread(_fill, ballast)
                await redeploy(app)
                await _refuses_or_waits(server, app)
                ballast.unlink()
                await server.until(_answers_again(server, app), 60, "it takes orders again")
                await server.deployed(await server.redeploy(app.id))
                assert (await server.visit(app.name))[1] == "2"
            assert failures == []
        finally:
            await server.stop()
            await remove_everything(server)


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path]:
    """A file system of its own, in a folder that the embedded database's user may pass through."""
    for parent in (folder, *folder.parents):
        if parent.is_relative_to("/tmp") and parent != Path("/tmp"):
            parent.chmod(0o711)
    disk = folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill(file: Path) -> None:
    with file.open("wb") as writing:
        try:
            while True:
                writing.write(b"\0" * MEBIBYTE)
                writing.flush()
        except OSError:
            return


async def _refuses_or_waits(server: ServerProcess, app: AppUnderTest) -> None:
    """The database may have room for one more row, or not: either is said in a sentence, and nothing is a fault."""

    async def says_so() -> bool:
        deployments = await server.api("GET", f"/api/v1/apps/{app.id}/deployments")
        change = {"key": "FILL", "value": "x" * 30_000}
        asked = await server.api("POST", f"/api/v1/apps/{app.id}/env", change)
        for answer in (deployments, asked):
            if isinstance(answer, dict) and "code" in answer:
                assert answer["code"] == "TEMPORARILY_UNAVAILABLE", answer
                return True
        return bool(deployments[0]["waiting"]) and "disk space" in deployments[0]["waiting"]["reason"]

    await server.until(says_so, 60, "it refuses, or the deployment waits for disk space")


def _answers_again(server: ServerProcess, app: AppUnderTest) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        asked = await server.api("POST", f"/api/v1/apps/{app.id}/env", {"key": "ROOM", "value": "again"})
        return isinstance(asked, dict) and "code" not in asked

    return answers
