"""Hundreds of jobs at once: caps, order and fair shares hold, and nothing is lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from stackyn_server.domain.ids import UserId
from stackyn_server.domain.jobs import Kind, Pool
from stackyn_server.jobs.run import JobRun
from stackyn_server.store import jobs
from stackyn_server.store.database import Database
from tests.integration.jobs.builders import (
    dispatching,
    rows,
    until,
)
from tests.rows import an_app


class Places:
    """How many jobs work at a time. The first one stays until it has company, however slowly others are claimed."""

    def __init__(self, work_seconds: float) -> None:
        self.most = 0
        self._work_seconds = work_seconds
        self._taken = 0
        self._has_company = asyncio.Event()

    async def work(self) -> None:
        self._taken += 1
        self.most = max(self.most, self._taken)
        if self._taken > 1:
            self._has_company.set()
        await self._has_company.wait()
        await asyncio.sleep(self._work_seconds)
        self._taken -= 1


async def test_500_due_at_once_run_under_a_cap_of_2_and_none_is_lost(database: Database) -> None:
    places, done = Places(work_seconds=0.005), 0

    async def count(run: JobRun) -> None:
        nonlocal done
        await places.work()
        done += 1

    due = datetime.now(UTC) + timedelta(seconds=1)
    async with dispatching(database, {Kind.MAIL: count}, pools={Pool.MAIL: 2}):
        async with database.transaction() as connection:
            for number in range(500):
                await jobs.enqueue(connection, Kind.MAIL, number, run_at=due)
        await until(lambda: done == 500, "all 500 have run")
        await until(lambda: _none_open(database), "all 500 rows are ended")
    assert places.most == 2
    assert all(job.attempt == 1 for job in await rows(database))


async def _none_open(database: Database) -> bool:
    return not await rows(database, "state IN ('waiting', 'running')")


async def test_500_jobs_of_20_tenants_keep_cap_order_and_fair_shares(database: Database) -> None:
    """Each of the 20 tenants has 25 builds of one app, queued in one go, with 2 places for all of them."""
    places, order = Places(work_seconds=0.002), list[tuple[UserId | None, int]]()

    async def build(run: JobRun) -> None:
        order.append((run.job.tenant, int(run.job.subject)))
        await places.work()

    async with database.transaction() as connection:
        apps = [await an_app(connection) for _ in range(20)]
    async with dispatching(database, {Kind.BUILD: build}, pools={Pool.BUILDS: 2}):
        async with database.transaction() as connection:
            for app in apps:
                for number in range(25):
                    subject = app.id * 1000 + number
                    await jobs.enqueue(
                        connection,
                        Kind.BUILD,
                        subject,
                        app=app.id,
                        tenant=app.tenant,
                    )
        await until(lambda: len(order) == 500, "all 500 have run")
    assert places.most == 2
    for app in apps:
        own = [subject for tenant, subject in order if tenant == app.tenant]
        assert own == sorted(own), f"builds of app {app.id} ran in another order than they were asked for"
        places = [place for place, (tenant, _) in enumerate(order) if tenant == app.tenant]
        late = [place - 20 * number for number, place in enumerate(places)]
        assert max(late) < 22, f"app {app.id} waited {max(late)} places for a turn that comes each 20"
