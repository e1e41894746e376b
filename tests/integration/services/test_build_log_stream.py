"""Readers of a growing build log, told by the journal instead of asking the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager

import pytest

from stackyn_server import config
from stackyn_server.domain.deployments import Phase, Status
from stackyn_server.domain.logs import LogChunk
from stackyn_server.domain.notices import Unclear
from stackyn_server.journal.journal import Journal
from stackyn_server.services.build_log_stream import follow_build_log
from stackyn_server.store import deployments
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import Mover
from tests.integration.journal.test_journal import Written, about_an_app
from tests.patience import within

NEVER = 1000.0


@pytest.fixture
async def written(database: Database) -> AsyncIterator[Written]:
    journal = Journal(database, config.BuildsSettings())
    running = asyncio.create_task(journal.run())
    yield await about_an_app(database, journal)
    running.cancel()
    await asyncio.wait([running])


def followed(
    written: Written, after: int = 0, *, reread_seconds: float = NEVER
) -> AsyncGenerator[LogChunk | Status, None]:
    deployment = written.deployment
    return follow_build_log(
        written.database, written.journal, None, deployment, after, reread_seconds=reread_seconds
    )


async def read(source: AsyncGenerator[LogChunk | Status, None]) -> tuple[list[LogChunk], Status]:
    """Read to the end."""
    chunks: list[LogChunk] = []
    async with aclosing(source), within(10):
        async for item in source:
            if isinstance(item, Status):
                return chunks, item
            chunks.append(item)
    raise AssertionError("the stream ended without a status")


async def end(written: Written) -> None:
    async with written.database.transaction() as connection:
        row = await deployments.get(connection, written.deployment)
        assert row is not None
        await deployments.advance(connection, row, Phase.CANCELLED, Mover(0, "test:1"))


@contextmanager
def counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count the connections that are taken from the pool."""
    taken = [0]
    connect = database.connection

    def counting() -> AbstractAsyncContextManager[Connection]:
        taken[0] += 1
        return connect()

    with monkeypatch.context() as patched:
        patched.setattr(database, "connection", counting)
        yield taken


async def test_readers_get_old_and_new_without_gap_or_repetition(written: Written) -> None:
    lines = [f"line {number}\n" for number in range(2000)]
    for line in lines[:700]:
        written.write(line)
    await written.journal.flush(written.deployment)
    readers = [asyncio.create_task(read(followed(written))) for _ in range(3)]
    for number, line in enumerate(lines[700:]):
        written.write(line)
        if number % 100 == 0:
            await written.journal.flush(written.deployment)
    await end(written)
    results = await asyncio.gather(*readers)
    for chunks, status in results:
        assert "".join(chunk.text for chunk in chunks) == "".join(lines)
        ids = [chunk.id for chunk in chunks]
        assert ids == sorted(set(ids)) and status is Status.STOPPED
    middle = results[0][0][3]
    again, _ = await read(followed(written, middle.id))
    assert again == results[0][0][4:]


async def test_waiting_readers_ask_the_database_nothing(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    written.write("first\n")
    await written.journal.flush(written.deployment)
    sources = [followed(written) for _ in range(20)]
    for source in sources:
        await anext(source)
    waiting = [asyncio.ensure_future(anext(source)) for source in sources]
    with counted(written.database, monkeypatch) as taken:
        written.write("second\n")
        async with within(5):
            items = await asyncio.gather(*waiting)
    assert {item.text for item in items if isinstance(item, LogChunk)} == {"second\n"}
    assert taken[0] <= 2, "the journal's own"
    for source in sources:
        await source.aclose()


async def test_a_stalled_reader_delays_nobody_and_misses_nothing(written: Written) -> None:
    written.write("first\n")
    await written.journal.flush(written.deployment)
    slow = followed(written)
    await anext(slow)
    for number in range(100):  # more than are kept for a reader
        written.write(f"{number}\n")
        async with within(5):
            await written.journal.flush(written.deployment)
    await end(written)
    chunks, _ = await read(slow)
    assert "".join(chunk.text for chunk in chunks) == "".join(f"{number}\n" for number in range(100))


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_reader_that_heard_nothing_reads_the_rows(written: Written, is_told: bool) -> None:
    """The answer to a COMMIT was lost, or another process committed."""
    source = followed(written, reread_seconds=NEVER if is_told else 0.05)
    reading = asyncio.create_task(read(source))
    await asyncio.sleep(0)
    async with written.database.transaction() as connection:
        await connection.execute(
            "UPDATE deployment SET phase = 'cancelled' WHERE id = $1", written.deployment
        )
    if is_told:
        written.database.bulletin.post(Unclear(written.app, written.deployment))
    assert await reading == ([], Status.STOPPED)
