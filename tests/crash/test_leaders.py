"""One server leads: one that was frozen while another took over does no more."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from pathlib import Path

import asyncpg
import pytest

from stackyn_server import config
from stackyn_server.postgres.embedded import EmbeddedPostgres
from stackyn_server.store.claims import CLAIM_LOCK
from tests.crash.app_under_test import AppUnderTest, redeploy
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker, running

LEADERSHIP_LOST = 75


@pytest.mark.full
async def test_a_server_frozen_in_a_claim_does_nothing_after_take_over(
    git: GitServer, cluster_dir: Path
) -> None:
    postgres = EmbeddedPostgres(cluster_dir, config.DatabaseSettings())
    url = await postgres.start()
    tables = {
        "database": {"url": url},
        "jobs": {"heartbeat_seconds": 0.5, "stale_seconds": 3, "sweep_seconds": 5},
    }
    try:
        async with running(**tables) as first:
            app = AppUnderTest(first, git)
            await app.go_live()
            await _freeze_in_a_claim(first, app, url)
            with tempfile.TemporaryDirectory(prefix="stackyn-server-") as folder:
                second = await _beside(first, Path(folder))
                app.server = second
                await second.until(
                    lambda: _serves(app, "2"), 60, "the second server finishes what the first began"
                )
                await second.until(lambda: _rests(url), 60, "the second server has nothing more to do")
                before = await _picture(first, url)
                assert first.process is not None
                first.process.send_signal(signal.SIGCONT)
                assert await first.died() == LEADERSHIP_LOST
                assert await _picture(first, url) == before
                assert await _serves(app, "2")
                await second.stop()
    finally:
        await postgres.stop()


async def _freeze_in_a_claim(server: ServerProcess, app: AppUnderTest, url: str) -> None:
    """Hold the lock that every claim takes, until the server waits for it in mid-claim; then stop the process."""
    holder = await asyncpg.connect(url)
    await holder.execute("SELECT pg_advisory_lock($1)", CLAIM_LOCK)
    await redeploy(app)

    async def waits() -> bool:
        return bool(
            await holder.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        )

    await server.until(waits, 10, "it is in the middle of a claim")
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    await holder.close()


async def _beside(first: ServerProcess, folder: Path) -> ServerProcess:
    """A server with a data directory of its own for the same installation; it needs the same keys."""
    tables = {**first.tables, "network": first.settings["network"], "ingress": first.settings["ingress"]}
    second = ServerProcess(folder, tables, token=first.token)
    assert second.config
    shutil.copytree(first.data_dir / "keys", second.data_dir / "keys")

    async def leads() -> bool:
        """It is refused as long as the first one's last sign of life is fresh."""
        await second.start(wait=False)
        assert second.process is not None
        while second.process.returncode is None:
            if await second.answers():
                return True
            await asyncio.sleep(0.1)
        return False

    await second.until(leads, 30, "it takes over")
    return second


async def _serves(app: AppUnderTest, text: str) -> bool:
    return await app.server.visit(app.name) == (200, text)


async def _rests(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return not await connection.fetchval(
            "SELECT count(*) FROM job WHERE state IN ('waiting', 'running') AND schedule IS NULL"
        )
    finally:
        await connection.close()


async def _picture(server: ServerProcess, url: str) -> tuple[object, ...]:
    """Every container and what the rows say about work."""
    mine = f"label=io.stackyn.installation={server.installation}"
    containers = await docker("ps", "-a", "--no-trunc", "--filter", mine, "--format", "{{.ID}} {{.State}}")
    connection = await asyncpg.connect(url)
    try:
        moves = await connection.fetch("SELECT id, phase, version, moved_by FROM deployment ORDER BY id")
        runs = await connection.fetch(
            "SELECT id, state, attempt, epoch FROM job WHERE schedule IS NULL ORDER BY id"
        )
    finally:
        await connection.close()
    return sorted(containers.split("\n")), [tuple(row) for row in moves], [tuple(row) for row in runs]
