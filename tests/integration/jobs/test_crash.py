"""SIGKILL of a whole server, and what the next one makes of it."""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stackyn_server.domain.jobs import JobState, Kind
from stackyn_server.store import jobs
from stackyn_server.store.database import Database
from tests.integration.jobs.builders import put, row, until, until_state
from tests.integration.jobs.process import server


async def attempts(database: Database, subject: str) -> list[int]:
    async with database.connection() as connection:
        records = await connection.fetch("SELECT data FROM audit WHERE subject = $1 ORDER BY id", subject)
    return [each["data"]["attempt"] for each in records]


async def test_running_waiting_and_future_jobs_run_after_sigkill(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    async with server(database_url, tmp_path) as first:
        await first.wait_for_line("leads 1")
        dying = await put(database, Kind.BUILD, "dies in mid-run")
        flaky = await put(database, Kind.MAIL, "fails twice")
        future = await put(
            database, Kind.MAIL, "in the future", run_at=datetime.now(UTC) + timedelta(seconds=1.5)
        )
        async with database.transaction() as connection:
            await jobs.enqueue(connection, Kind.BUILD, "dies in mid-run")
        await first.wait_for_line("run dies in mid-run 1")
        await first.wait_for_line("run fails twice 1")

        async def between_attempts() -> bool:
            job_row = await row(database, flaky)
            return job_row.state is JobState.WAITING and job_row.error is not None

        await until(between_attempts, "the flaky job waits for its next attempt")
        first.send(signal.SIGKILL)
        await first.code()
    assert (await row(database, dying)).state is JobState.RUNNING

    async with server(database_url, tmp_path) as second:
        await second.wait_for_line("leads 2")
        for job in (dying, flaky, future):
            await until_state(database, job, JobState.DONE)
    assert await attempts(database, "dies in mid-run") == [1, 2]
    assert await attempts(database, "fails twice") == [1, 2, 3]
    assert await attempts(database, "in the future") == [1]


async def test_an_orderly_stop_leaves_the_same_work_to_the_next_server(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    job = await put(database, Kind.BUILD, "dies in mid-run")
    async with server(database_url, tmp_path) as first:
        await first.wait_for_line("run dies in mid-run 1")
        first.send(signal.SIGTERM)
        assert await first.code() == 0
    async with server(database_url, tmp_path / "elsewhere") as second:
        await second.wait_for_line("leads 2")  # at once: the first one has resigned
        await until_state(database, job, JobState.DONE)
    assert await attempts(database, "dies in mid-run") == [1, 2]
