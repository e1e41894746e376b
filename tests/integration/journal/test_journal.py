"""The journal against a real database, also while that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stackyn_server import config
from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.domain.notices import LogStored
from stackyn_server.journal.journal import Journal
from stackyn_server.pause import Pause
from stackyn_server.postgres.embedded import EmbeddedPostgres
from stackyn_server.store import logs
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.failures import CommitUnknown
from stackyn_server.store.migrator import migrate
from tests.patience import within
from tests.rows import a_deployment, an_app

WHOLE = 10_000_000


class Written:
    """An app and a deployment to write about, and the journal that is running."""

    def __init__(self, database: Database, journal: Journal, app: AppId, deployment: DeploymentId) -> None:
        self.database, self.journal, self.app, self.deployment = database, journal, app, deployment

    def write(self, text: str) -> None:
        self.journal.write(self.app, self.deployment, "build", text)

    async def stored(self, last_bytes: int = WHOLE) -> str:
        async with self.database.connection() as connection:
            return await logs.read_text(connection, self.deployment, "build", last_bytes)


async def about_an_app(database: Database, journal: Journal) -> Written:
    async with database.transaction() as connection:
        app = await an_app(connection)
        deployment = await a_deployment(connection, app)
    return Written(database, journal, app.id, deployment.id)


@pytest.fixture
async def written(database: Database) -> AsyncIterator[Written]:
    journal = Journal(database, config.BuildsSettings(log_limit_bytes=100_000))
    running = asyncio.create_task(journal.run())
    yield await about_an_app(database, journal)
    running.cancel()
    await asyncio.wait([running])


async def test_everything_written_before_a_flush_is_stored_by_it(written: Written) -> None:
    for number in range(1000):
        written.write(f"line {number}\n")
    written.write("no newline")
    await written.journal.flush(written.deployment)
    assert await written.stored() == "".join(f"line {number}\n" for number in range(1000)) + "no newline\n"


async def test_text_is_stored_without_a_flush(written: Written) -> None:
    with written.database.bulletin.subscribe(lambda notice: isinstance(notice, LogStored)) as news:
        written.write("soon\n")
        async with within(5):
            notice = await news.next()
    assert isinstance(notice, LogStored) and notice.chunk.text == "soon\n"
    assert await written.journal.stored_after(written.deployment, 0) == [notice.chunk]


async def test_the_limit_holds_over_a_restart(written: Written) -> None:
    line = "x" * 999 + "\n"
    for _ in range(150):
        written.write(line)
    await written.journal.flush(written.deployment)
    full = await written.stored()
    assert full.count("\n[This log has reached its limit of 0.0954 MiB; the rest is not kept.]\n") == 1
    after_restart = Journal(written.database, config.BuildsSettings(log_limit_bytes=100_000))
    after_restart.write(written.app, written.deployment, "build", "more\n")
    await after_restart.close()
    assert await written.stored() == full


async def test_logs_of_a_deleted_app_are_left_out(written: Written) -> None:
    neighbour = await about_an_app(written.database, written.journal)
    async with written.database.transaction() as connection:
        await connection.execute("DELETE FROM app WHERE id = $1", neighbour.app)
    neighbour.write("for nobody\n")
    written.write("for somebody\n")
    await written.journal.flush(written.deployment)
    assert await written.stored() == "for somebody\n"
    assert await neighbour.stored() == ""


async def test_an_unanswered_commit_stores_nothing_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(database, config.BuildsSettings())
    written = await about_an_app(database, journal)
    written.write("once\n")
    transaction = database.transaction

    @asynccontextmanager
    async def without_answer() -> AsyncIterator[Connection]:
        async with transaction() as connection:
            yield connection
        monkeypatch.setattr(database, "transaction", transaction)
        raise CommitUnknown

    monkeypatch.setattr(database, "transaction", without_answer)
    await journal.close()
    assert await written.stored() == "once\n"
    await journal.close()
    assert await written.stored() == "once\n"


async def test_an_outage_loses_no_log_and_bounds_memory(cluster_dir: object) -> None:
    postgres = EmbeddedPostgres(cluster_dir, config.DatabaseSettings())  # type: ignore[arg-type]
    url = await postgres.start()
    database = await Database.open(url, config.DatabaseSettings(), application_name="journal test")
    async with database.connection() as connection:
        await migrate(connection)
    pause = Pause(0.02, 0.02)
    journal = Journal(database, config.BuildsSettings(), pause=pause, backlog_bytes=50_000)
    written = await about_an_app(database, journal)
    running = asyncio.create_task(journal.run())
    try:
        written.write("before\n")
        await journal.flush(written.deployment)
        await postgres.stop()
        for number in range(10_000):
            written.write(f"{number:08} while it is away\n")
        assert journal.waiting_bytes <= 50_000
        flushing = asyncio.create_task(journal.flush(written.deployment))
        done, _ = await asyncio.wait([flushing], timeout=0.2)
        assert not done, "a flush must wait for the database"
        await postgres.start()
        async with within(10):
            await flushing
        text = await written.stored()
    finally:
        running.cancel()
        await asyncio.wait([running])
        await database.close()
        await postgres.stop()
    lines = text.splitlines()
    kept = [int(line[:8]) for line in lines[1:-1]]
    assert lines[0] == "before" and kept == list(range(len(kept)))
    assert (
        lines[-1]
        == f"[{10_000 - len(kept)} lines are missing here: they came faster than they could be stored.]"
    )


async def test_close_stores_what_is_left(database: Database) -> None:
    journal = Journal(database, config.BuildsSettings())
    written = await about_an_app(database, journal)
    written.write("last words")
    await journal.close()
    assert await written.stored() == "last words\n"
