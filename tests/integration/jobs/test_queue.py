from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from stackyn_server.domain.ids import UserId
from stackyn_server.domain.jobs import JobState, Kind, Pool
from stackyn_server.store import claims, jobs
from stackyn_server.store.claims import NotRunning
from stackyn_server.store.database import Database
from stackyn_server.store.installation import LeadershipLost
from stackyn_server.store.jobs import Job, WaitReason
from tests.integration.jobs.stage import QUICK, claim, lead, put, row, rows, until
from tests.rows import a_deployment, a_release, an_app

CAP = 2


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


async def test_eight_claimers_at_once_never_exceed_the_cap(database: Database) -> None:
    await lead(database)
    for number in range(40):
        await put(database, Kind.BUILD, number, tenant=UserId(uuid4()))
    claimed: list[Job] = []
    most = 0

    async def claimer() -> None:
        nonlocal most
        for _ in range(10):
            job = await claim(database, 1, Pool.BUILDS, CAP)
            running = len(await rows(database, "state = 'running'"))
            most = max(most, running)
            if job is not None:
                claimed.append(job)
                async with database.transaction() as connection:
                    await claims.finish(connection, job, 1)

    await asyncio.gather(*(claimer() for _ in range(8)))
    assert most == CAP, "the cap is used and never exceeded"
    assert max(Counter(job.id for job in claimed).values()) == 1, "no job was claimed twice"


async def test_twenty_tenants_are_served_round_robin(database: Database) -> None:
    await lead(database)
    tenants = [UserId(uuid4()) for _ in range(20)]
    greedy = tenants[0]
    async with database.transaction() as connection:
        for number in range(120):
            await jobs.enqueue(connection, Kind.BUILD, f"greedy {number}", tenant=greedy)
        for round_ in range(20):
            for tenant in tenants[1:]:
                await jobs.enqueue(connection, Kind.BUILD, f"{tenant} {round_}", tenant=tenant)
    order = [job.tenant for job in await served(database, 500)]
    for round_ in range(20):
        turn = order[round_ * 20 : round_ * 20 + 20]
        assert set(turn) == set(tenants), f"round {round_} leaves {set(tenants) - set(turn)} out"
    assert set(order[400:]) == {greedy}


async def test_within_a_tenant_the_oldest_goes_first(database: Database) -> None:
    await lead(database)
    tenant = UserId(uuid4())
    for number in range(5):
        await put(database, Kind.BUILD, number, tenant=tenant)
    assert [job.subject for job in await served(database, 5)] == ["0", "1", "2", "3", "4"]


async def test_priority_goes_first(database: Database) -> None:
    await lead(database)
    await put(database, Kind.BUILD, "ordinary", tenant=UserId(uuid4()))
    await put(database, Kind.BUILD, "raised", tenant=UserId(uuid4()), priority=1)
    assert [job.subject for job in await served(database, 2)] == ["raised", "ordinary"]


async def test_waiting_raises_the_class_so_nobody_starves(database: Database) -> None:
    await lead(database)
    await put(database, Kind.BUILD, "ordinary", tenant=UserId(uuid4()))
    await age(database, "ordinary", minutes=QUICK.priority_minutes + 1)
    rich = UserId(uuid4())
    for number in range(5):
        await put(database, Kind.BUILD, f"raised {number}", tenant=rich, priority=1)
    order = [job.subject for job in await served(database, 6)]
    assert order.index("ordinary") <= 1, f"one turn of the other's at most: {order}"


async def test_one_tenants_old_queue_does_not_overtake_others(database: Database) -> None:
    await lead(database)
    greedy, late = UserId(uuid4()), UserId(uuid4())
    for number in range(10):
        await put(database, Kind.BUILD, f"greedy {number}", tenant=greedy)
        await age(database, f"greedy {number}", minutes=60)
    await served(database, 1)
    await put(database, Kind.BUILD, "late", tenant=late)
    assert (await served(database, 1))[0].subject == "late"


async def age(database: Database, subject: str, minutes: int) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE job SET queued_at = queued_at - make_interval(mins => $2) WHERE subject = $1",
            subject,
            minutes,
        )


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


@pytest.mark.parametrize("served_before", [0, 1, 2])
@pytest.mark.parametrize("builds", [[4], [4, 2], [2, 4, 3]], ids=str)
async def test_positions_follow_the_order_of_claims(
    database: Database, builds: list[int], served_before: int
) -> None:
    """Tenants with so many builds each, some of whom have had their turn."""
    await lead(database)
    async with database.transaction() as connection:
        apps = [await an_app(connection) for _ in builds]
    for app, count in zip(apps, builds, strict=True):
        for number in range(count):
            await put(database, Kind.BUILD, app.id * 10 + number, app=app.id, tenant=app.tenant)
    await served(database, served_before)
    async with database.connection() as connection:
        waiting_jobs = await jobs.waiting(connection, [app.id for app in apps], QUICK.priority_minutes)
    positions = {waiting.subject: waiting.position for waiting in waiting_jobs}
    order = [job.subject for job in await served(database, sum(builds) - served_before)]
    assert {subject: order.index(subject) + 1 for subject in order} == positions
    assert {waiting.reason for waiting in waiting_jobs} == {WaitReason.PLACE}


async def test_positions_count_a_higher_class_first(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        patient, late = await an_app(connection), await an_app(connection)
    for number in range(2):
        await put(database, Kind.BUILD, 10 + number, app=late.id, tenant=late.tenant)
        await put(database, Kind.BUILD, 20 + number, app=patient.id, tenant=patient.tenant)
    async with database.transaction() as connection:
        await connection.execute(
            "UPDATE job SET queued_at = now() - interval '1 day' WHERE app = $1", patient.id
        )
    async with database.connection() as connection:
        waiting_jobs = await jobs.waiting(connection, [late.id, patient.id], QUICK.priority_minutes)
    assert {waiting.subject: waiting.position for waiting in waiting_jobs} == {
        "20": 1,
        "21": 2,
        "10": 3,
        "11": 4,
    }


async def test_locked_and_future_jobs_name_their_wait_reason(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        app = await an_app(connection)
    await put(database, Kind.BUILD, 1, app=app.id, is_locked=True)
    assert await claim(database, 1, Pool.BUILDS, 9) is not None
    await put(database, Kind.BUILD, 2, app=app.id, is_locked=True)
    later = datetime.now(UTC) + timedelta(hours=1)
    await put(database, Kind.BUILD, 3, app=app.id, run_at=later)
    async with database.connection() as connection:
        waiting_jobs = await jobs.waiting(connection, [app.id], QUICK.priority_minutes)
    assert [(each.subject, each.reason, each.run_at) for each in waiting_jobs] == [
        ("2", WaitReason.LOCK, None),
        ("3", WaitReason.TIME, later),
    ]


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


async def until_waiting_for_a_lock(database: Database) -> None:
    async def waits() -> bool:
        async with database.connection() as connection:
            return bool(
                await connection.fetchval(
                    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database())"
                )
            )

    await until(waits, "the claim waits for the row")


async def test_an_ended_attempt_and_an_old_epoch_end_no_job(database: Database) -> None:
    await lead(database)
    await put(database, Kind.BUILD, 1)
    first = await claim(database, 1, Pool.BUILDS, 9)
    assert first is not None
    async with database.transaction() as connection:
        await claims.retry(connection, first, 1, None, "again")
    second = await claim(database, 1, Pool.BUILDS, 9)
    assert second is not None and second.attempt == 2
    with pytest.raises(NotRunning):
        async with database.transaction() as connection:
            await claims.finish(connection, first, 1)
    await lead(database)
    for ending in (
        claims.finish,
        lambda *args: claims.bury(*args, "x"),
        lambda *args: claims.retry(*args, None, "x"),
        lambda *args: claims.remember(*args, {"x": 1}),
    ):
        with pytest.raises(LeadershipLost):
            async with database.transaction() as connection:
                await ending(connection, second, 1)
    with pytest.raises(LeadershipLost):
        await claim(database, 1, Pool.BUILDS, 9)
    with pytest.raises(LeadershipLost):
        async with database.transaction() as connection:
            await claims.requeue_stalled(connection, 1, [])
    assert (await row(database, second.id)).state is JobState.RUNNING


async def test_running_rows_of_an_older_epoch_wait_again(database: Database) -> None:
    await lead(database)
    await put(database, Kind.BUILD, 1)
    job = await claim(database, 1, Pool.BUILDS, 9)
    assert job is not None
    leadership = await lead(database)
    async with database.transaction() as connection:
        returned = await claims.requeue_stalled(connection, leadership.epoch, [job.id])
    assert [each.id for each in returned] == [job.id], (
        "live in this process, but claimed by the server before"
    )
    again = await row(database, job.id)
    assert (again.state, again.attempt) == (JobState.WAITING, 1)


async def test_retries_move_forward_when_the_clock_jumped_back(database: Database) -> None:
    await lead(database)
    async with database.transaction() as connection:
        await claims.upsert_periodic(connection, 1, {"garbage": 60})
        await connection.execute("UPDATE job SET run_at = now() + interval '61 minutes'")
    mail = await put(database, Kind.MAIL, 1, run_at=datetime.now(UTC) + timedelta(hours=5))
    before = await row(database, mail)
    async with database.transaction() as connection:
        assert await claims.shift(connection, 1, 3600) == 1
    (garbage,) = await rows(database, "schedule IS NOT NULL")
    assert garbage.run_at is not None
    assert garbage.run_at < datetime.now(UTC) + timedelta(minutes=2)
    assert (await row(database, mail)).run_at == before.run_at, "what was meant for a date stays there"


async def test_purging_deletes_what_ended_long_ago(database: Database) -> None:
    await lead(database)
    old, new = await put(database, Kind.MAIL, 1), await put(database, Kind.MAIL, 2)
    await served(database, 2, Pool.MAIL)
    async with database.transaction() as connection:
        await connection.execute("UPDATE job SET ended_at = now() - interval '8 days' WHERE id = $1", old)
        assert await jobs.purge(connection, keep_days=7, limit=100) == 1
    assert [job.id for job in await rows(database)] == [new]


async def test_the_overview_counts_each_pool(database: Database) -> None:
    await lead(database)
    await put(database, Kind.BUILD, 1)
    await put(database, Kind.BUILD, 2)
    await put(database, Kind.BUILD, 3, run_at=datetime.now(UTC) + timedelta(hours=1))
    await claim(database, 1, Pool.BUILDS, 9)
    await age(database, "2", minutes=3)
    async with database.connection() as connection:
        (builds,) = await jobs.overview(connection)
    assert (builds.pool, builds.running, builds.due, builds.later) == ("builds", 1, 1, 1)
    assert 180 <= builds.oldest_seconds < 240


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
