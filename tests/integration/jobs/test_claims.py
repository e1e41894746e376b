"""Which job a claim takes, and which it has to leave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from stackyn_server.domain.ids import DeploymentId, UserId
from stackyn_server.domain.jobs import JobState, Kind, Pool
from stackyn_server.store import claims, jobs
from stackyn_server.store.database import Database
from stackyn_server.store.jobs import WaitReason
from tests.integration.jobs.builders import QUICK, claim, lead, put, row, rows, until_waiting_for_a_lock
from tests.rows import a_deployment, a_release, an_app


async def test_jobs_of_one_lock_run_one_after_the_other_across_pools(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        app = await an_app(connection)
    await put(database, Kind.STOP, 1, app=app.id, is_locked=True)
    await put(database, Kind.WAKE, 1, app=app.id, is_locked=True)
    first = await claim(database, 1, Pool.RELEASE, 9)
    assert first is not None
    assert await claim(database, 1, Pool.WAKE, 9) is None
    async with database.transaction() as connection:
        await claims.finish(connection, first, 1)
    assert await claim(database, 1, Pool.WAKE, 9) is not None


async def test_a_kind_and_subject_is_open_only_once(database: Database) -> None:
    await lead(database)
    first = await put(database, Kind.BUILD, 7)
    async with database.transaction() as connection:
        assert await jobs.enqueue(connection, Kind.BUILD, 7) is None
        assert await jobs.enqueue(connection, Kind.RELEASE, 7) is not None
    job = await claim(database, 1, Pool.BUILDS, 9)
    assert job is not None and job.id == first
    async with database.transaction() as connection:
        assert await jobs.enqueue(connection, Kind.BUILD, 7) is None, "running is open too"
        await claims.finish(connection, job, 1)
        assert await jobs.enqueue(connection, Kind.BUILD, 7) is not None


async def test_a_job_before_its_time_is_not_claimed(database: Database) -> None:
    await lead(database)
    await put(database, Kind.MAIL, 1, run_at=datetime.now(UTC) + timedelta(hours=1))
    assert await claim(database, 1, Pool.MAIL, 9) is None
    async with database.connection() as connection:
        assert await claims.due_pools(connection, list(Pool)) == []


async def test_a_release_waits_until_a_slot_is_free_and_says_so(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        app = await an_app(connection)
        old = await a_deployment(connection, app)
        deployment = await a_deployment(connection, app)
        release = await a_release(connection, old)
        for slot in (0, 1):
            await connection.execute(
                "INSERT INTO instance (app, release, deployment, slot, state) VALUES ($1, $2, $3, $4, 'draining')",
                app.id, release.id, old.id, slot,
            )  # fmt: skip
    await put(database, Kind.RELEASE, deployment.id, app=app.id, is_locked=True)
    assert await claim(database, 1, Pool.RELEASE, 9) is None
    async with database.connection() as connection:
        (waiting,) = await jobs.waiting(connection, [app.id], QUICK.priority_minutes)
    assert waiting.reason is WaitReason.SLOT
    async with database.transaction() as connection:
        await connection.execute("UPDATE instance SET state = 'gone' WHERE slot = 1")
    assert await claim(database, 1, Pool.RELEASE, 9) is not None


async def test_a_release_whose_own_candidate_is_there_may_go_on(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        app = await an_app(connection)
        old = await a_deployment(connection, app)
        own = await a_deployment(connection, app)
        release = await a_release(connection, old)
        for slot, deployment in ((0, old), (1, own)):
            await connection.execute(
                "INSERT INTO instance (app, release, deployment, slot, state) VALUES ($1, $2, $3, $4, 'up')",
                app.id, release.id, deployment.id, slot,
            )  # fmt: skip
    await put(database, Kind.RELEASE, own.id, app=app.id, is_locked=True)
    assert await claim(database, 1, Pool.RELEASE, 9) is not None


async def test_superseding_ends_only_the_waiting_ones(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        app, neighbour = await an_app(connection), await an_app(connection)
    running = await put(database, Kind.BUILD, 1, app=app.id)
    await claim(database, 1, Pool.BUILDS, 9)
    await put(database, Kind.BUILD, 2, app=app.id)
    await put(database, Kind.BUILD, 3, app=neighbour.id)
    async with database.transaction() as connection:
        assert await jobs.supersede_waiting(connection, Kind.BUILD, app.id) == ["2"]
    assert (await row(database, running)).state is JobState.RUNNING
    assert [job.subject for job in await rows(database, "state = 'waiting'")] == ["3"]


async def test_superseding_before_a_deployment_spares_later_ones(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
    for deployment in (9, 10, 11):
        await put(database, Kind.RELEASE, deployment, app=app.id)
    async with database.transaction() as connection:
        before = DeploymentId(10)
        assert await jobs.supersede_waiting(connection, Kind.RELEASE, app.id, before=before) == ["9"]
    assert [job.subject for job in await rows(database, "state = 'waiting'")] == ["10", "11"]


async def test_a_concurrent_claim_never_runs_a_superseded_job(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        app = await an_app(connection)
    await put(database, Kind.BUILD, 1, app=app.id, tenant=app.tenant)
    await put(database, Kind.BUILD, 2, tenant=UserId(uuid4()))
    async with database.transaction() as connection:
        await jobs.supersede_waiting(connection, Kind.BUILD, app.id)
        claiming = asyncio.create_task(claim(database, 1, Pool.BUILDS, 9), name="claim")
        await until_waiting_for_a_lock(database)
    claimed = await claiming
    assert claimed is not None and claimed.subject == "2"


async def test_a_claim_reads_few_of_ten_thousand_waiting_rows(database: Database) -> None:
    """Measured: 500 pages and 2 ms on an idle machine; 30,000 pages and 45 ms when it looked at all rows."""
    await lead(database)
    tenants = [uuid4() for _ in range(20)]
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO job (kind, subject, tenant, pool, lock) SELECT 'build', n, ($1::uuid[])[1 + n % 20],"
            " 'builds', 'build:' || n % 3000 FROM generate_series(1, 10000) AS n",
            tenants,
        )
    for _ in range(10):  # locks of other jobs that must be stepped over
        assert await claim(database, 1, Pool.BUILDS, 1000) is not None
    async with database.transaction() as connection:
        explained = await connection.fetchval(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + claims.SQL.claim,
            1, "builds", 1000, 300.0, [kind.value for kind in Kind],
        )  # fmt: skip
    plan = explained[0]["Plan"]
    pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    assert pages < 2000, f"{pages} pages"
    locks = [node["Actual Loops"] for node in nodes_of(plan) if node["Node Type"] == "LockRows"]
    assert locks == [1, 1], (
        "the leader's row and the chosen job are locked once, or more jobs would be marked"
    )


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes_of(part)


async def test_interrupted_attempts_do_not_count_as_failures(database: Database) -> None:
    await lead(database)
    job_id = await put(database, Kind.BUILD, 1)
    for _ in range(3):
        assert await claim(database, 1, Pool.BUILDS, 9) is not None
        async with database.transaction() as connection:
            await claims.requeue_stalled(connection, 1, [])
    job = await claim(database, 1, Pool.BUILDS, 9)
    assert job is not None and (job.id, job.attempt, job.tries) == (job_id, 4, 1)


async def test_job_after_its_apps_work_is_passed_over_until_that_has_ended(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        app = await an_app(connection)
    await put(database, Kind.REMOVE, 1, app=app.id)
    removal = await claim(database, 1, Pool.RELEASE, 9)
    assert removal is not None
    await put(database, Kind.RETIRE, 1, app=app.id)
    async with database.transaction() as connection:
        await claims.wait(connection, removal, 1, None, "Something else comes first.", after_app_work=True)
    assert await claim(database, 1, Pool.RELEASE, 9) is None
    retirement = await claim(database, 1, Pool.RETIRE, 9)
    assert retirement is not None and await claim(database, 1, Pool.RELEASE, 9) is None
    async with database.transaction() as connection:
        await claims.finish(connection, retirement, 1)
    assert await claim(database, 1, Pool.RELEASE, 9) is not None
