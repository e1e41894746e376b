"""What containers write: both streams, whole lines, exact times, and many followers at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest

from stackyn_server.domain.logs import LogLine, StreamName
from stackyn_server.engine import containers, logs
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.logs import LineJoiner
from tests.patience import within

Spec = Callable[..., ContainerSpec]


async def everything(engine: Engine, container: str, since: int | None = None) -> list[LogLine]:
    return [line async for line in logs.read(engine, container, follow=True, since=since)]


async def ran(engine: Engine, spec: Spec, script: str) -> str:
    container = await containers.start(engine, spec(command=script))
    await engine.ask(engine.docker.containers.container(container).wait())
    return container


async def test_each_line_says_which_stream_it_came_from(engine: Engine, spec: Spec) -> None:
    container = await ran(engine, spec, "echo one; usleep 20000; echo two >&2; usleep 20000; echo three")

    lines = await everything(engine, container)

    assert [(line.stream, line.text) for line in lines] == [
        ("stdout", "one"),
        ("stderr", "two"),
        ("stdout", "three"),
    ]
    assert lines == sorted(lines, key=lambda line: line.nanoseconds)


async def test_going_on_from_a_line_repeats_none_and_misses_none(engine: Engine, spec: Spec) -> None:
    container = await ran(engine, spec, "seq 200")
    lines = await everything(engine, container)
    middle = lines[100]

    rest = await everything(engine, container, since=middle.nanoseconds)

    assert len(lines) == 200
    assert [line.text for line in rest] == [
        line.text for line in lines if line.nanoseconds > middle.nanoseconds
    ]
    assert middle.text not in {line.text for line in rest}


async def test_a_time_counts_as_seen_too(engine: Engine, spec: Spec) -> None:
    container = await ran(engine, spec, "echo old; sleep 0.1; echo new")
    old, new = await everything(engine, container)

    assert [line.text async for line in logs.read(engine, container, since=old.at)][-1] == new.text
    assert [line async for line in logs.read(engine, container, since=new.nanoseconds)] == []


async def test_a_line_that_the_engine_cuts_comes_out_whole(engine: Engine, spec: Spec) -> None:
    container = await ran(engine, spec, "head -c 40000 /dev/zero | tr '\\0' x; echo; echo after")

    lines = await everything(engine, container)

    assert [len(line.text) for line in lines] == [40000, 5]


async def test_unfinished_line_comes_when_the_container_stops(engine: Engine, spec: Spec) -> None:
    container = await ran(engine, spec, "echo first; echo -n unfinished")

    assert (await containers.last_lines(engine, container)) == "first\nunfinished"


async def test_the_last_lines_are_as_many_as_asked_for(engine: Engine, spec: Spec) -> None:
    container = await ran(engine, spec, "seq 30")

    assert await containers.last_lines(engine, container, 3) == "28\n29\n30"


async def test_new_lines_arrive_while_it_runs(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec(command="while :; do echo tick; usleep 50000; done"))
    seen = 0
    async with aclosing(logs.read(engine, container, follow=True, tail=0)) as lines, within(10):
        async for _ in lines:
            seen += 1
            if seen == 5:
                break

    assert seen == 5


async def test_150_followers_leave_room_for_calls_and_close(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec(command="while :; do echo tick; usleep 100000; done"))
    first_line: list[asyncio.Event] = [asyncio.Event() for _ in range(150)]

    async def follow(number: int) -> None:
        async with aclosing(logs.read(engine, container, follow=True, tail=1)) as lines:
            async for _ in lines:
                first_line[number].set()

    tasks = [asyncio.create_task(follow(number)) for number in range(150)]
    try:
        async with within(30):
            await asyncio.gather(*(event.wait() for event in first_line))
            assert await containers.inspect(engine, container) is not None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    connector = engine.docker.session.connector
    assert connector is not None
    assert len(connector._acquired) == 0


async def test_an_absent_container_has_no_lines(engine: Engine) -> None:
    assert await everything(engine, "no-such-container") == []


@pytest.mark.parametrize("size", [logs.LONGEST_LINE_BYTES, logs.LONGEST_LINE_BYTES * 3])
def test_a_line_without_end_does_not_grow_for_ever(size: int) -> None:
    joiner, lines = LineJoiner(), []
    stamp = b"2026-01-02T03:04:05.000000006Z "
    for _ in range(size // 16384):
        lines.append(joiner.feed("stdout", stamp + b"x" * 16384))

    whole = [line for line in lines if line is not None]
    assert sum(len(line.text) for line in whole) == size
    assert max(len(line.text) for line in whole) <= logs.LONGEST_LINE_BYTES
    assert whole[0].nanoseconds % 1000 == 6


def test_streams_that_interleave_in_mid_line_are_kept_apart() -> None:
    joiner, stamp = LineJoiner(), b"2026-01-02T03:04:05.1Z "

    assert joiner.feed("stdout", stamp + b"out-") is None
    assert joiner.feed("stderr", stamp + b"err\n") == _line("stderr", "err")
    assert joiner.feed("stdout", stamp + b"put\r\n") == _line("stdout", "out-put")
    assert joiner.unfinished() == []


def _line(stream: StreamName, text: str) -> LogLine:
    whole = LineJoiner().feed(stream, b"2026-01-02T03:04:05.1Z " + text.encode() + b"\n")
    assert whole is not None
    return whole
