"""The order in which waiting jobs are claimed, and the positions and wait reasons that tenants read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from stackyn_server.domain.ids import UserId
from stackyn_server.domain.jobs import Kind, Pool
from stackyn_server.store import jobs
from stackyn_server.store.database import Database
from stackyn_server.store.jobs import WaitReason
from tests.integration.jobs.builders import QUICK, age, claim, lead, put, served
from tests.rows import an_app


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
