"""Whoever is cancelled or deadline_changed learns of it, wherever the row is just then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from stackyn_server.domain.jobs import JobState, Kind, RetireArguments
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.store import jobs
from stackyn_server.store.database import Connection, Database
from tests.integration.jobs.builders import (
    dispatching,
    forever,
    lead,
    put,
    row,
    rows,
    until,
    until_state,
)
from tests.patience import patient
from tests.rows import an_app


async def test_cancelling_a_running_job_ends_handler_and_row(database: Database) -> None:
    async with dispatching(database, {Kind.BUILD: forever}):
        job = await put(database, Kind.BUILD, 1)
        await until_state(database, job, JobState.RUNNING)
        async with database.transaction() as connection:
            ended = await jobs.request_cancel(connection, kind=Kind.BUILD, subject="1")
        assert ended == [], "a running job keeps its row until its task has cleaned up"
        done = await until_state(database, job, JobState.DONE)
    assert done.attempt == 1


async def test_cancelling_a_waiting_job_ends_it_at_once(database: Database) -> None:
    job = await put(database, Kind.BUILD, 1)
    async with database.transaction() as connection:
        assert await jobs.request_cancel(connection, kind=Kind.BUILD, subject="1") == ["1"]
    assert (await row(database, job)).state is JobState.DONE


async def test_a_job_cancelled_during_its_retry_runs_again_at_once(
    database: Database,
) -> None:
    seen: list[bool] = []

    async def retry_when_cancelled(run: JobRun) -> None:
        seen.append(run.cancel.is_set())
        if run.job.attempt == 1:
            await run.cancel.wait()
            async with database.transaction() as connection:
                await run.retry(connection, run.now() + timedelta(hours=1), "The registry is away.")
            return
        raise JobCancelled

    async with dispatching(database, {Kind.BUILD: retry_when_cancelled}):
        job = await put(database, Kind.BUILD, 1)
        await until_state(database, job, JobState.RUNNING)
        async with database.transaction() as connection:
            await jobs.request_cancel(connection, subject="1")
        await until_state(database, job, JobState.DONE)
    assert seen == [False, True]


async def test_a_shortened_deadline_reaches_the_running_retire(database: Database) -> None:
    far = datetime.now(UTC).timestamp() + 3600
    deadlines = [far]

    async def retire(run: JobRun) -> None:
        while deadlines[-1] == far:  # a sweep tells everybody to look, for nothing mostly
            await run.deadline_changed.wait()
            async with database.connection() as connection:
                deadlines.append(RetireArguments.parse(await run.read_arguments(connection)).deadline)

    async with database.transaction() as connection:
        app = await an_app(connection)
    async with dispatching(database, {Kind.RETIRE: retire}):
        job = await put(database, Kind.RETIRE, 1, app=app.id, arguments=RetireArguments(far))
        await until_state(database, job, JobState.RUNNING)
        async with database.transaction() as connection:
            await jobs.shorten_retire_deadlines(connection, app.id, 5)
            await jobs.shorten_retire_deadlines(connection, app.id, 500)
        await until_state(database, job, JobState.DONE)
    assert deadlines[-1] < far - 3000, "earlier, and never later again"
    assert deadlines[-1] < datetime.now(UTC).timestamp() + 10


async def test_a_cancellation_before_the_task_starts_is_not_lost(
    database: Database,
) -> None:
    """The claim is committed and its answer is still under way when the request cancels the row."""
    committed, go_on = asyncio.Event(), asyncio.Event()

    class SlowAnswer(Database):
        """A database whose COMMIT of a claim that found something is answered late."""

        @asynccontextmanager
        async def transaction(self) -> AsyncIterator[Connection]:
            async with database.transaction() as connection:
                yield connection
            if await rows(database, "state = 'running'") and not committed.is_set():
                committed.set()
                await go_on.wait()

        def __getattribute__(self, name: str) -> object:
            own = name in ("transaction", "__class__")
            return object.__getattribute__(self, name) if own else getattr(database, name)

    slow = object.__new__(SlowAnswer)
    leadership = await lead(database)
    async with dispatching(slow, {Kind.BUILD: forever}, leadership=leadership) as dispatcher:
        job = await put(database, Kind.BUILD, 1)
        try:
            await asyncio.wait_for(committed.wait(), patient(5))
            async with database.transaction() as connection:
                await jobs.request_cancel(connection, subject="1")
            await until(lambda: bool(dispatcher.early_signals), "the notification has arrived")
        finally:
            go_on.set()  # else a failure here leaves the dispatcher waiting for ever
        await until_state(database, job, JobState.DONE)
