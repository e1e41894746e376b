"""Readers of what an app writes share one stream of the engine, which goes on over deploys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.domain.logs import LogLine
from stackyn_server.journal import runtime_followers
from stackyn_server.journal.runtime_followers import RuntimeFollowers
from stackyn_server.services.runtime_log_stream import follow_runtime_log
from tests.integration.journal.test_runtime_logs import Running, running
from tests.patience import within

__all__ = ["running"]

_LATER = 2 * 10**18  # after any time at which a stream is opened
Lines = AsyncGenerator[list[LogLine], None]


class Readers:
    def __init__(self, running: Running, stack: AsyncExitStack) -> None:
        jobs = config.JobsSettings(pause_first_seconds=0.01, pause_longest_seconds=0.05)
        settings = running.settings.model_copy(update={"jobs": jobs})
        self._running, self._stack = running, stack
        self.followers = RuntimeFollowers(running.database, running.engine, settings)

    async def reader(self, *, since: int | None = None, tail: int = 100) -> Lines:
        source = follow_runtime_log(
            self.followers, self._running.logs, self._running.app, since=since, tail=tail
        )
        return await self._stack.enter_async_context(aclosing(source))


@pytest.fixture
async def readers(running: Running) -> AsyncIterator[Readers]:
    async with AsyncExitStack() as stack:
        yield Readers(running, stack)


async def texts(source: Lines, count: int) -> list[str]:
    """Read until there are `count` lines."""
    lines: list[LogLine] = []
    async with within(10):
        while len(lines) < count:
            lines += await anext(source)
    return [line.text for line in lines]


async def until_followed(running: Running, container: str, times: int = 1) -> None:
    async with within(10):
        while running.scripted.following[container] != times:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_readers_of_a_container_share_one_stream_of_the_engine(
    running: Running, readers: Readers
) -> None:
    _, container = await running.instance()
    container.write("old", 1000)
    sources = [await readers.reader() for _ in range(5)]
    for source in sources:
        assert await texts(source, 1) == ["old"]
    container.write("new", 2000)
    for source in sources:
        assert await texts(source, 1) == ["new"]
    assert running.scripted.following[container.id] == 1
    for source in sources:
        await source.aclose()
    await until_followed(running, container.id, 0)


async def test_lines_written_while_a_reader_begins_come_once(running: Running, readers: Readers) -> None:
    _, container = await running.instance()
    writing = asyncio.create_task(_write(container, 300))
    source = await readers.reader(tail=1000)
    assert await texts(source, 300) == [str(number) for number in range(300)]
    await writing


async def _write(container: Any, count: int) -> None:
    for number in range(count):
        container.write(str(number), 1000 + number)
        await asyncio.sleep(0)


async def test_a_stream_goes_on_with_the_next_container(running: Running, readers: Readers) -> None:
    old, old_container = await running.instance()
    old_container.write("old", 1000)
    source = await readers.reader()
    assert await texts(source, 1) == ["old"]
    _, new_container = await running.instance()  # a deploy: the route serves it now
    new_container.write("boots", 2000)
    assert await texts(source, 1) == ["boots"]
    old_container.write("drains", 3000)
    assert await texts(source, 1) == ["drains"]
    await running.gone(old)
    new_container.write("alone", 4000)
    assert await texts(source, 1) == ["alone"]


async def test_a_stream_waits_while_its_app_sleeps(running: Running, readers: Readers) -> None:
    first, container = await running.instance()
    container.write("awake", 1000)
    source = await readers.reader()
    assert await texts(source, 1) == ["awake"]
    await running.gone(first)
    _, container = await running.instance(of_a_deployment=False)
    container.write("again", 2000)
    assert await texts(source, 1) == ["again"]


async def test_a_hung_stream_is_opened_again_and_repeats_nothing(running: Running, readers: Readers) -> None:
    _, container = await running.instance()
    source = await readers.reader()
    reading = asyncio.ensure_future(anext(source))
    await until_followed(running, container.id)
    container.hangs = True
    container.write("one", _LATER)
    async with within(10):
        await container.withheld.wait()
    container.hangs = False  # the stream that is open has lost this line; the next one brings it
    async with within(10):
        assert [line.text for line in await reading] == ["one"]
    container.write("two", _LATER + 1)
    assert await texts(source, 1) == ["two"]


async def test_a_reader_resumes_after_its_last_line(running: Running, readers: Readers) -> None:
    _, container = await running.instance()
    for number in range(5):
        container.write(str(number), 1000 + number)
    source = await readers.reader(since=1002)
    assert await texts(source, 2) == ["3", "4"]


async def test_a_reader_that_is_too_slow_is_ended(running: Running, readers: Readers) -> None:
    _, container = await running.instance()
    container.write("first", 1000)
    slow, quick = await readers.reader(), await readers.reader()
    assert await texts(slow, 1) == await texts(quick, 1) == ["first"]
    for number in range(200):
        container.write(str(number), 2000 + number)
        assert await texts(quick, 1) == [str(number)]
    with pytest.raises(StopAsyncIteration):
        await texts(slow, 201)


async def test_an_app_that_writes_too_fast_is_read_in_part(
    running: Running, readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_followers, "_FARTHEST_BEHIND_NANOSECONDS", -1)
    _, container = await running.instance()
    container.write("before", 1000)
    source = await readers.reader()
    assert await texts(source, 1) == ["before"]
    container.write("a flood", 10**18)
    flood = await texts(source, 2)
    assert flood == ["a flood", "[Lines are missing here: they came faster than they can be shown.]"]
