"""What the queue costs: `python -m tests.bench.bench_jobs`. Prints one line for each figure; a durable PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
import shutil
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import structlog

from stackyn_server import config
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.jobs import Kind, Pool, RetryPolicy
from stackyn_server.jobs.clock import Clock
from stackyn_server.jobs.dispatcher import Dispatcher
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.jobs.run import JobRun
from stackyn_server.store import claims, jobs
from stackyn_server.store.database import Database
from stackyn_server.store.embedded import EmbeddedPostgres
from stackyn_server.store.migrator import migrate

ROWS = 10_000
CLAIMS = 50
LETTERS = 300
SETTINGS = config.Jobs()
POLICY = RetryPolicy(attempts=3, first_seconds=1, factor=2, longest_seconds=10, jitter=0)


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    folder = Path(tempfile.mkdtemp(prefix="stackyn-bench-"))
    postgres = EmbeddedPostgres(folder, config.Database())
    try:
        database = await Database.open(
            await postgres.start(), config.Database(), application_name="stackyn bench"
        )
        async with database.connection() as connection:
            await migrate(connection)
        leadership = await Leadership.take(database, SETTINGS, "bench")
        for tenants in (1, 20, 500):
            await fill(database, tenants)
            await measure(
                f"claim, {ROWS} waiting rows of {tenants} tenants",
                CLAIMS,
                lambda: claim(database, leadership, ROWS),
            )
            await measure("claim when the pool is full", CLAIMS, lambda: claim(database, leadership, 1))
            await measure("place in the queue of one app", CLAIMS, lambda: look(database))
        await clock_start(database)
        await latency(database, leadership)
        await database.close()
    finally:
        await postgres.stop()
        shutil.rmtree(folder)


async def fill(database: Database, tenants: int) -> None:
    async with database.transaction() as connection:
        await connection.execute("TRUNCATE job, turn")
        await connection.execute(
            "INSERT INTO job (kind, subject, tenant, pool, lock, priority)"
            " SELECT 'build', n, ($1::uuid[])[1 + n % $2], 'builds', 'build:' || n, (n % 4 = 0)::int"
            " FROM generate_series(1, $3::int) AS n",
            [uuid4() for _ in range(tenants)],
            tenants,
            ROWS,
        )


async def measure(what: str, times: int, work: Callable[[], Awaitable[object]]) -> None:
    await work()
    seconds = []
    for _ in range(times):
        began = perf_counter()
        await work()
        seconds.append(perf_counter() - began)
    report(what, seconds)


def report(what: str, seconds: list[float]) -> None:
    p95 = statistics.quantiles(seconds, n=20)[-1]
    best, median = min(seconds), statistics.median(seconds)
    print(f"{what}: best {best * 1000:.2f}, median {median * 1000:.2f}, p95 {p95 * 1000:.2f} ms", flush=True)


async def claim(database: Database, leadership: Leadership, cap: int) -> None:
    async with database.transaction() as connection:
        await claims.claim(
            connection, leadership.epoch, Pool.BUILDS, cap, list(Kind), SETTINGS.priority_minutes
        )


async def look(database: Database) -> None:
    """The rows carry no app here, so one is given to the first."""
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL session_replication_role = replica")  # no app row is needed
        await connection.execute(
            "UPDATE job SET app = 1 WHERE id = (SELECT min(id) FROM job WHERE state = 'waiting') AND app IS NULL"
        )
        await jobs.waiting(connection, [AppId(1)], SETTINGS.priority_minutes)


async def clock_start(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("UPDATE job SET run_at = now() + interval '1 day' WHERE state = 'waiting'")
        began = perf_counter()
        alarms = await claims.alarms(connection)
    clock = Clock(list(Kind), lambda _: None)
    clock.load(alarms)
    print(f"load {len(alarms)} alarms at the start: {(perf_counter() - began) * 1000:.0f} ms", flush=True)
    await clock.stop()
    async with database.transaction() as connection:
        await connection.execute("TRUNCATE job, turn")


async def latency(database: Database, leadership: Leadership) -> None:
    """From (and with) the commit that enqueues to the handler, one job after the other; then all at once."""
    began: dict[str, float] = {}
    seconds: list[float] = []
    ran = asyncio.Event()

    async def handler(run: JobRun) -> None:
        seconds.append(perf_counter() - began[run.job.subject])
        ran.set()

    dispatcher = Dispatcher(database, leadership, {Kind.MAIL: handler}, {Pool.MAIL: 4}, POLICY, SETTINGS)
    task = asyncio.create_task(dispatcher.run(), name="dispatcher")
    for number in range(LETTERS):
        ran.clear()
        async with database.transaction() as connection:
            await jobs.enqueue(connection, Kind.MAIL, number)
            began[str(number)] = perf_counter()
        await ran.wait()
    report("from commit to the handler's first line", seconds)
    started = perf_counter()
    async with database.transaction() as connection:
        for number in range(LETTERS, 2 * LETTERS):
            await jobs.enqueue(connection, Kind.MAIL, number)
            began[str(number)] = perf_counter()
    while len(seconds) < 2 * LETTERS:
        ran.clear()
        await ran.wait()
    print(f"{LETTERS} jobs at once: {LETTERS / (perf_counter() - started):.0f} a second", flush=True)
    await dispatcher.stop(1)
    await task


if __name__ == "__main__":
    asyncio.run(main())
