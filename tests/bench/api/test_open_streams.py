"""How long the API takes to answer, and what the database is asked, while 400 streams and sockets are open.

A third follows a build log that grows, a third what an app writes, and a third the progress of a deployment.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.bench.api.answers import UNLIMITED, Served, measured, p99
from tests.bench.machine import machine
from tests.crash.audit import rows_of
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running
from tests.tiny import SERVE, tiny_app

STREAMS = 400
TOGETHER = 10  # are opened at once
CLIENTS, ROUNDS = 2, 50
LONGEST_SECONDS = 0.1  # of 99 in 100 answers
QUIET_SECONDS = 20
# One process for all streams looks at their rights each 3 s, and each reader reads its rows each 30 s, in 2 statements.
MOST_QUERIES_PER_SECOND = 2 * STREAMS / 30 + 30

DOCKERFILE = """\
FROM stackyn/python:3.11
RUN while true; do echo a line of a build; sleep 1; done
"""
SPEAK = "(while :; do echo a line of an app; /bin/busybox sleep 1; done) &\n"
LIMITS = {"per_user": STREAMS, "per_app": STREAMS}


@pytest.mark.full
@pytest.mark.timeout(600)
async def test_the_api_while_400_streams_are_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [await machine()]
    async with (
        GitServer(tmp_path) as git,
        running(rates=UNLIMITED, streams=LIMITS) as server,
        rows_of(server) as rows,
    ):

        async def queries_per_second() -> float:
            count = (
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            )
            await rows.execute("SELECT pg_stat_force_next_flush()")
            before, began = await rows.fetchval(count), time.monotonic()
            await asyncio.sleep(QUIET_SECONDS)
            return float((await rows.fetchval(count) - before) / (time.monotonic() - began))

        url, _ = await git.publish("served", tiny_app(start=f"{SPEAK}{SERVE}"))
        app, deployment = await server.create(url, "Served")
        await server.deployed(deployment)
        url, _ = await git.publish("busy", {"Dockerfile": DOCKERFILE})
        building, build = await server.create(url, "Busy")

        async def builds() -> bool:
            return "a line of a build" in await server.build_log(build)

        await server.until(builds, 120, "the build writes lines")
        served = Served(server, "served", app, deployment)
        at_rest, queries_at_rest = (
            (await measured(served, CLIENTS, ROUNDS)).all_of_api,
            await queries_per_second(),
        )
        async with opened(server, app=app, building=building, build=build) as received:
            open_queries = await queries_per_second()
            kinds = Counter(received)
            with_streams = (await measured(served, CLIENTS, ROUNDS)).all_of_api
        await server.api("POST", f"/api/v1/deployments/{build}/cancel", expect=200)
    lines += [
        f"{STREAMS} streams open; pieces received of each kind: {dict(sorted(kinds.items()))}",
        f"p99 of the API: {p99(at_rest) * 1000:.1f} ms without, {p99(with_streams) * 1000:.1f} ms with them",
        f"transactions per second: {queries_at_rest:.1f} without, {open_queries:.1f} with them",
    ]
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert min(kinds.values()) >= STREAMS // 3 and len(kinds) == 3, "every stream is pushed to"
    assert open_queries - queries_at_rest < MOST_QUERIES_PER_SECOND
    assert p99(with_streams) < LONGEST_SECONDS


@asynccontextmanager
async def opened(server: ServerProcess, *, app: int, building: int, build: int) -> AsyncIterator[list[str]]:
    """Open all streams; the list gets the kind of each one with every piece that it receives."""
    received: list[str] = []
    ready: list[asyncio.Event] = []
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/event-stream"}

    async def follow(kind: str, path: str, is_open: asyncio.Event) -> None:
        async with session.get(path) as response:
            assert response.status == 200
            is_open.set()
            async for _ in response.content.iter_any():
                received.append(kind)

    async def watch(is_open: asyncio.Event) -> None:
        async with session.ws_connect(f"/ws/build-status?app_id={building}") as socket:
            is_open.set()
            async for _ in socket:
                received.append("progress")

    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(
            server.api_url, headers=headers, connector=connector, timeout=timeout
        ) as session,
        asyncio.TaskGroup() as group,
    ):
        tasks = []
        for number in range(STREAMS):
            ready.append(asyncio.Event())
            if number % 3 == 0:
                work = follow("build", f"/api/v1/deployments/{build}/logs/stream", ready[-1])
            elif number % 3 == 1:
                work = follow("runtime", f"/api/v1/apps/{app}/logs/runtime/stream", ready[-1])
            else:
                work = watch(ready[-1])
            tasks.append(group.create_task(work, name=f"stream.{number}"))
            if number % TOGETHER == 0:  # as people come, not all in one moment
                await ready[-1].wait()
        for event in ready:
            await event.wait()
        yield received
        for task in tasks:
            task.cancel()
