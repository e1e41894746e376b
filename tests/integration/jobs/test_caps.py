"""The cap of a pool, and what the overview counts in each pool."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from stackyn_server.domain.ids import UserId
from stackyn_server.domain.jobs import Kind, Pool
from stackyn_server.store import claims, jobs
from stackyn_server.store.database import Database
from stackyn_server.store.jobs import Job
from tests.integration.jobs.builders import age, claim, lead, put, rows

CAP = 2


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
