"""Builders for tests of the work engine: a leadership, a dispatcher that runs, and waiting for a condition of rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from stackyn_server import config
from stackyn_server.domain.ids import JobId
from stackyn_server.domain.jobs import Kind, Pool, RetryPolicy
from stackyn_server.jobs.dispatcher import Dispatcher
from stackyn_server.jobs.leadership import Leadership
from stackyn_server.jobs.run import Handler, JobRun
from stackyn_server.store import claims, jobs
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.jobs import Job
from tests.patience import within

# So that nothing in a test waits for what production may wait for.
QUICK = config.JobsSettings(
    sweep_seconds=30,
    heartbeat_seconds=0.2,
    stale_seconds=1,
    take_over_seconds=2,
    ping_seconds=0.5,
    pause_first_seconds=0.02,
    pause_longest_seconds=0.2,
)
POLICY = RetryPolicy(attempts=3, first_seconds=0.05, factor=1.0, longest_seconds=0.05, jitter=0.0)
POOLS = {pool: 4 for pool in Pool}
PATIENCE_SECONDS = 10.0


async def lead(database: Database, host: str = "here", settings: config.JobsSettings = QUICK) -> Leadership:
    return await Leadership.take(database, settings, host)


@asynccontextmanager
async def dispatching(
    database: Database,
    handlers: Mapping[Kind, Handler],
    *,
    leadership: Leadership | None = None,
    pools: Mapping[Pool, int] | None = None,
    settings: config.JobsSettings = QUICK,
    policy: RetryPolicy = POLICY,
    drain_seconds: float = 0,
) -> AsyncIterator[Dispatcher]:
    """A dispatcher that runs in the block; what then still runs is interrupted after `drain_seconds`."""
    leadership = leadership or await lead(database, settings=settings)
    dispatcher = Dispatcher(
        database, leadership, handlers, {**POOLS, **(pools or {})}, policy, settings, jitter=lambda: 0.0
    )
    task = asyncio.create_task(dispatcher.run(), name="dispatcher")
    try:
        yield dispatcher
    finally:
        await dispatcher.stop(drain_seconds)
        await task


async def put(
    database: Database, kind: Kind, subject: str | int, *, is_locked: bool = False, **values: Any
) -> JobId:
    """Enqueue a job; unless `is_locked`, it may run beside others of its app."""
    async with database.transaction() as connection:
        job = await jobs.enqueue(connection, kind, subject, **values)
        assert job is not None, f"an open {kind} of {subject} exists already"
        if not is_locked:
            await connection.execute("UPDATE job SET lock = NULL WHERE id = $1", job)
    return job


async def row(database: Database, job: JobId) -> Job:
    [job_row] = await rows(database, f"id = {job}")
    return job_row


async def rows(database: Database, where: str = "true") -> list[Job]:
    async with database.connection() as connection:
        records = await connection.fetch(f"SELECT * FROM job WHERE {where} ORDER BY id")
    return [Job.from_row(each) for each in records]


async def claim_one(
    connection: Connection, epoch: int, pool: Pool, cap: int, kinds: list[Kind] | None = None
) -> Job | None:
    return await claims.claim(connection, epoch, pool, cap, kinds or list(Kind), QUICK.priority_minutes)


async def claim(database: Database, epoch: int, pool: Pool, cap: int) -> Job | None:
    async with database.transaction() as connection:
        return await claim_one(connection, epoch, pool, cap)


async def served(database: Database, count: int, pool: Pool = Pool.BUILDS) -> list[Job]:
    """Claim and finish one job after the other."""
    order = []
    for _ in range(count):
        job = await claim(database, 1, pool, 1)
        assert job is not None, f"only {len(order)} of {count} could be claimed"
        async with database.transaction() as connection:
            await claims.finish(connection, job, 1)
        order.append(job)
    return order


async def age(database: Database, subject: str, minutes: int) -> None:
    """Let a job wait for some minutes more."""
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE job SET queued_at = queued_at - make_interval(mins => $2) WHERE subject = $1",
            subject,
            minutes,
        )


async def until(holds: Callable[[], Awaitable[bool]] | Callable[[], bool], what: str) -> None:
    """Wait for a condition of the database or of this process; fail naming `what` when it takes too long."""
    try:
        async with within(PATIENCE_SECONDS):
            while True:
                answer = holds()
                if await answer if isinstance(answer, Awaitable) else answer:
                    return
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"did not happen within {PATIENCE_SECONDS:.0f} s: {what}") from None


async def until_waiting_for_a_lock(database: Database) -> None:
    """Wait until a connection of this database waits for a lock that another one has."""

    async def waits() -> bool:
        async with database.connection() as connection:
            return bool(
                await connection.fetchval(
                    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database())"
                )
            )

    await until(waits, "somebody waits for a lock")


async def until_state(database: Database, job: JobId, state: str) -> Job:
    async def reached() -> bool:
        return (await row(database, job)).state == state

    await until(reached, f"job {job} is {state}")
    return await row(database, job)


async def nothing(run: JobRun) -> None:
    """A handler with nothing to do."""


async def forever(run: JobRun) -> None:
    """A handler that ends only by cancellation."""
    await run.until_cancelled(asyncio.Event().wait())
