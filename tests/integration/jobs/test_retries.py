"""A failure that may pass is tried again; what lasts ends the job, or is told of when it must not be given up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stackyn_server.domain.jobs import JobState, Kind
from stackyn_server.errors import StackynError
from stackyn_server.jobs.run import JobRun
from stackyn_server.store import events
from stackyn_server.store.database import Database
from tests.integration.jobs.builders import (
    POLICY,
    dispatching,
    put,
    row,
    rows,
    until,
    until_state,
)
from tests.rows import an_app


class Flaky:
    """A handler that fails so many times with an error that says a retry may help."""

    def __init__(self, failures: int, retryable: bool = True) -> None:
        self.failures = failures
        self.retryable = retryable
        self.attempts: list[int] = []

    async def __call__(self, run: JobRun) -> None:
        self.attempts.append(run.job.attempt)
        if len(self.attempts) <= self.failures:
            raise StackynError("The engine can't be reached.", retryable=self.retryable)


async def test_a_transient_failure_is_retried_until_it_is_done(database: Database) -> None:
    handler = Flaky(failures=2)
    async with dispatching(database, {Kind.MAIL: handler}):
        job = await put(database, Kind.MAIL, "letter")
        done = await until_state(database, job, JobState.DONE)
    assert handler.attempts == [1, 2, 3] and done.error is None


async def test_the_last_attempt_ends_the_job_with_its_reason(database: Database) -> None:
    handler = Flaky(failures=99)
    async with dispatching(database, {Kind.MAIL: handler}):
        job = await put(database, Kind.MAIL, "letter")
        dead = await until_state(database, job, JobState.DEAD)
    assert (len(handler.attempts), dead.error) == (POLICY.attempts, "The engine can't be reached.")


async def test_a_permanent_failure_is_not_retried(database: Database) -> None:
    handler = Flaky(failures=99, retryable=False)
    async with dispatching(database, {Kind.MAIL: handler}):
        await until_state(database, await put(database, Kind.MAIL, "letter"), JobState.DEAD)
    assert handler.attempts == [1]


async def test_a_bug_in_a_handler_ends_the_job_without_its_text(database: Database) -> None:
    async def broken(run: JobRun) -> None:
        raise KeyError("internal detail")

    async with dispatching(database, {Kind.MAIL: broken}):
        dead = await until_state(database, await put(database, Kind.MAIL, "letter"), JobState.DEAD)
    assert "detail" not in (dead.error or "")


@pytest.mark.parametrize("retryable", [True, False])
async def test_a_failing_stop_is_retried_for_ever_and_reported(database: Database, retryable: bool) -> None:
    handler = Flaky(failures=2 * POLICY.attempts + 1, retryable=retryable)
    async with dispatching(database, {Kind.STOP: handler}):
        async with database.transaction() as connection:
            app = await an_app(connection)
        job = await put(database, Kind.STOP, app.id, app=app.id, tenant=app.tenant)
        done = await until_state(database, job, JobState.DONE)
    assert done.attempt == 2 * POLICY.attempts + 2
    async with database.connection() as connection:
        app_events = await events.list_of_app(connection, app.id, limit=10)
    reason = "The engine can't be reached."
    assert [event.data for event in app_events if event.name == "job.overdue"] == [
        {"kind": "stop", "attempts": attempts, "reason": reason}
        for attempts in (2 * POLICY.attempts, POLICY.attempts)
    ]


async def test_a_retry_waits_with_its_reason_and_time(database: Database) -> None:
    async def later(run: JobRun) -> None:
        async with database.transaction() as connection:
            await run.retry(connection, run.now() + timedelta(hours=1), "The registry is away.")

    async with dispatching(database, {Kind.MAIL: later}):
        job = await put(database, Kind.MAIL, "letter")
        waiting = await until_state(database, job, JobState.WAITING)
        await until(lambda: _has_error(database, job), "the retry is recorded")
        waiting = await row(database, job)
    assert waiting.error == "The registry is away." and waiting.run_at is not None
    assert timedelta(minutes=59) < waiting.run_at - waiting.queued_at < timedelta(minutes=61)


async def _has_error(database: Database, job: int) -> bool:
    return (await rows(database, f"id = {job}"))[0].error is not None


async def test_waiting_for_work_does_not_count_as_an_attempt(database: Database) -> None:
    tries: list[int] = []

    async def waits_often(run: JobRun) -> None:
        tries.append(run.job.tries)
        if len(tries) <= 2 * POLICY.attempts:
            async with database.transaction() as connection:
                await run.wait(connection, run.now(), "Something else comes first.")
        elif len(tries) <= 2 * POLICY.attempts + 1:
            raise StackynError("The engine can't be reached.", retryable=True)

    async with dispatching(database, {Kind.MAIL: waits_often}):
        job = await put(database, Kind.MAIL, "letter")
        await until_state(database, job, JobState.DONE)
    assert tries == [1] * (2 * POLICY.attempts + 1) + [2]
