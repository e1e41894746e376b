from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from stackyn_server.domain.deployments import BUILD_PHASES, RELEASE_PHASES, Phase
from stackyn_server.domain.ids import UserId
from stackyn_server.domain.jobs import JobState, Kind, Pool, app_lock, build_lock
from stackyn_server.errors import StackynError
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.store import events, jobs
from stackyn_server.store.database import Connection, Database
from tests.integration.jobs.stage import (
    POLICY,
    dispatching,
    forever,
    lead,
    nothing,
    put,
    row,
    rows,
    until,
    until_state,
)
from tests.patience import patient
from tests.rows import a_deployment, an_app, take_epoch


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


async def test_a_job_runs_after_its_commit_and_its_row_is_finished(database: Database) -> None:
    async with dispatching(database, {Kind.MAIL: nothing}):
        job = await put(database, Kind.MAIL, "letter")
        done = await until_state(database, job, JobState.DONE)
    assert done.attempt == 1 and done.ended_at is not None


async def test_a_rolled_back_job_never_runs(database: Database) -> None:
    ran: list[str] = []

    async def note(run: JobRun) -> None:
        ran.append(run.job.subject)

    async with dispatching(database, {Kind.MAIL: note}) as dispatcher:
        with pytest.raises(RuntimeError, match="changed my mind"):
            async with database.transaction() as connection:
                await jobs.enqueue(connection, Kind.MAIL, "withdrawn")
                soon = datetime.now(UTC) + timedelta(seconds=0.05)
                await jobs.enqueue(connection, Kind.MAIL, "withdrawn later", run_at=soon)
                raise RuntimeError("changed my mind")
        job = await put(database, Kind.MAIL, "sent", run_at=datetime.now(UTC) + timedelta(seconds=0.2))
        await until_state(database, job, JobState.DONE)
        dispatcher.wake()
    assert ran == ["sent"]


async def test_a_failure_that_may_pass_is_tried_again_and_then_done(database: Database) -> None:
    handler = Flaky(failures=2)
    async with dispatching(database, {Kind.MAIL: handler}):
        job = await put(database, Kind.MAIL, "letter")
        done = await until_state(database, job, JobState.DONE)
    assert handler.attempts == [1, 2, 3] and done.error is None


async def test_used_up_attempts_bury_the_job_with_its_reason(database: Database) -> None:
    handler = Flaky(failures=99)
    async with dispatching(database, {Kind.MAIL: handler}):
        job = await put(database, Kind.MAIL, "letter")
        dead = await until_state(database, job, JobState.DEAD)
    assert (len(handler.attempts), dead.error) == (POLICY.attempts, "The engine can't be reached.")


async def test_a_lasting_failure_is_not_tried_again(database: Database) -> None:
    handler = Flaky(failures=99, retryable=False)
    async with dispatching(database, {Kind.MAIL: handler}):
        await until_state(database, await put(database, Kind.MAIL, "letter"), JobState.DEAD)
    assert handler.attempts == [1]


async def test_a_bug_in_a_handler_buries_the_job_without_its_text(database: Database) -> None:
    async def broken(run: JobRun) -> None:
        raise KeyError("internal detail")

    async with dispatching(database, {Kind.MAIL: broken}):
        dead = await until_state(database, await put(database, Kind.MAIL, "letter"), JobState.DEAD)
    assert "detail" not in (dead.error or "")


@pytest.mark.parametrize("retryable", [True, False])
async def test_what_takes_something_away_is_never_given_up_and_told_when_it_lasts(
    database: Database, retryable: bool
) -> None:
    handler = Flaky(failures=2 * POLICY.attempts + 1, retryable=retryable)
    async with dispatching(database, {Kind.STOP: handler}):
        async with database.transaction() as connection:
            app = await an_app(connection)
        job = await put(database, Kind.STOP, app.id, app=app.id, tenant=app.tenant)
        done = await until_state(database, job, JobState.DONE)
    assert done.attempt == 2 * POLICY.attempts + 2
    async with database.connection() as connection:
        told = await events.list_of_app(connection, app.id, limit=10)
    reason = "The engine can't be reached."
    assert [event.data for event in told if event.name == "job.overdue"] == [
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


async def test_500_due_at_once_run_under_a_cap_of_2_and_none_is_lost(database: Database) -> None:
    running, most, done = 0, 0, 0

    async def count(run: JobRun) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)  # the work
        running -= 1
        done += 1

    due = datetime.now(UTC) + timedelta(seconds=1)
    async with dispatching(database, {Kind.MAIL: count}, pools={Pool.MAIL: 2}):
        async with database.transaction() as connection:
            for number in range(500):
                await jobs.enqueue(connection, Kind.MAIL, number, run_at=due)
        await until(lambda: done == 500, "all 500 have run")
        await until(lambda: _none_open(database), "all 500 rows are ended")
    assert most == 2
    assert all(job.attempt == 1 for job in await rows(database))


async def _none_open(database: Database) -> bool:
    return not await rows(database, "state IN ('waiting', 'running')")


async def test_cancelling_a_running_job_reaches_its_handler_and_ends_its_row(database: Database) -> None:
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


async def test_a_job_that_was_cancelled_while_it_went_back_to_waiting_learns_of_it_at_once(
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


async def test_stopping_leaves_what_still_runs_to_the_next_server(database: Database) -> None:
    async with dispatching(database, {Kind.BUILD: forever}):
        job = await put(database, Kind.BUILD, 1)
        await until_state(database, job, JobState.RUNNING)
    assert (await row(database, job)).state is JobState.RUNNING
    async with dispatching(database, {Kind.BUILD: nothing}):
        done = await until_state(database, job, JobState.DONE)
    assert done.attempt == 2


async def test_stopping_waits_for_what_ends_in_time_and_claims_nothing_more(database: Database) -> None:
    release = asyncio.Event()

    async def build(run: JobRun) -> None:
        await release.wait()

    async with dispatching(database, {Kind.BUILD: build}, pools={Pool.BUILDS: 1}, drain_seconds=10):
        first = await put(database, Kind.BUILD, 1)
        second = await put(database, Kind.BUILD, 2)
        await until_state(database, first, JobState.RUNNING)
        asyncio.get_running_loop().call_later(0.1, release.set)
    assert (await row(database, first)).state is JobState.DONE
    assert (await row(database, second)).state is JobState.WAITING


async def test_a_row_that_runs_without_a_task_goes_back_by_the_sweep(database: Database) -> None:
    async with dispatching(database, {Kind.MAIL: nothing, Kind.BUILD: forever}) as dispatcher:
        build = await put(database, Kind.BUILD, 1)
        await until_state(database, build, JobState.RUNNING)
        job = await put(database, Kind.MAIL, "letter", run_at=datetime.now(UTC) + timedelta(hours=1))
        async with database.transaction() as connection:
            epoch = await connection.fetchval("SELECT epoch FROM installation")
            await connection.execute(
                "UPDATE job SET state = 'running', epoch = $2, attempt = 1, run_at = NULL WHERE id = $1",
                job, epoch,
            )  # fmt: skip
        dispatcher._sweep_soon()
        done = await until_state(database, job, JobState.DONE)
        assert done.attempt == 2
        assert (await row(database, build)).attempt == 1, "one that has a task stays"


@pytest.mark.parametrize(
    ("phase", "kind"),
    [*((phase, Kind.BUILD) for phase in BUILD_PHASES), *((phase, Kind.RELEASE) for phase in RELEASE_PHASES)],
)
async def test_an_open_deployment_that_lost_its_job_gets_one_again(
    database: Database, phase: Phase, kind: Kind
) -> None:
    await take_epoch(database, 0)
    async with database.transaction() as connection:
        app = await an_app(connection)
        deployment = await a_deployment(connection, app, phase)
    async with dispatching(database, {Kind.BUILD: forever, Kind.RELEASE: forever}):
        await until(lambda: _has_jobs(database, [kind], "running"), "it runs")
    (job,) = await rows(database)
    assert (job.subject, job.app, job.lock) == (
        str(deployment.id),
        app.id,
        build_lock(app.id) if kind is Kind.BUILD else app_lock(app.id),
    )


async def _has_jobs(database: Database, kinds: list[Kind], state: str) -> bool:
    return [job.kind for job in await rows(database, f"state = '{state}'")] == kinds


async def test_a_kind_that_nobody_handles_stays_in_the_queue(database: Database) -> None:
    async with dispatching(database, {Kind.MAIL: nothing}):
        unknown = await put(database, Kind.WEBHOOK, "hook")
        await until_state(database, await put(database, Kind.MAIL, "letter"), JobState.DONE)
    assert (await row(database, unknown)).attempt == 0


async def test_a_handler_may_end_its_row_in_the_transaction_of_its_result(database: Database) -> None:
    async def once(run: JobRun) -> None:
        async with database.transaction() as connection:
            await connection.execute(
                "INSERT INTO audit (action, subject) VALUES ('sent', $1)", run.job.subject
            )
            await run.finish(connection)

    async with dispatching(database, {Kind.MAIL: once}):
        await until_state(database, await put(database, Kind.MAIL, "letter"), JobState.DONE)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM audit") == 1


async def test_a_row_that_vanished_with_its_app_does_not_trouble_its_task(database: Database) -> None:
    started, release = asyncio.Event(), asyncio.Event()

    async def build(run: JobRun) -> None:
        started.set()
        await release.wait()

    async with dispatching(database, {Kind.BUILD: build, Kind.MAIL: nothing}) as dispatcher:
        await put(database, Kind.BUILD, 1)
        await started.wait()
        async with database.transaction() as connection:
            await connection.execute("DELETE FROM job")
        release.set()
        await until(lambda: not dispatcher.status().running, "the task has ended")
        await until_state(database, await put(database, Kind.MAIL, "letter"), JobState.DONE)


async def test_hastening_reaches_the_running_retire(database: Database) -> None:
    far = datetime.now(UTC).timestamp() + 3600
    deadlines = [far]

    async def retire(run: JobRun) -> None:
        while deadlines[-1] == far:  # a sweep tells everybody to look, for nothing mostly
            await run.hastened.wait()
            async with database.connection() as connection:
                deadlines.append((await run.arguments(connection))["deadline"])

    async with database.transaction() as connection:
        app = await an_app(connection)
    async with dispatching(database, {Kind.RETIRE: retire}):
        job = await put(database, Kind.RETIRE, 1, app=app.id, arguments={"deadline": far})
        await until_state(database, job, JobState.RUNNING)
        async with database.transaction() as connection:
            await jobs.hasten_retires(connection, app.id, 5)
            await jobs.hasten_retires(connection, app.id, 500)
        await until_state(database, job, JobState.DONE)
    assert deadlines[-1] < far - 3000, "earlier, and never later again"
    assert deadlines[-1] < datetime.now(UTC).timestamp() + 10


async def test_a_cancellation_between_a_claim_and_the_start_of_its_task_is_not_lost(
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
    async with dispatching(slow, {Kind.BUILD: forever}, leadership=leadership):
        job = await put(database, Kind.BUILD, 1)
        await asyncio.wait_for(committed.wait(), patient(5))
        async with database.transaction() as connection:
            await jobs.request_cancel(connection, subject="1")
        await asyncio.sleep(0.1)  # for the notification to arrive
        go_on.set()
        await until_state(database, job, JobState.DONE)


async def test_500_jobs_of_20_tenants_keep_cap_order_and_fair_shares(database: Database) -> None:
    """Each of the 20 tenants has 25 builds of one app, queued in one go, with 2 places for all of them."""
    most, running, order = 0, 0, list[tuple[UserId | None, int]]()

    async def build(run: JobRun) -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        order.append((run.job.tenant, int(run.job.subject)))
        await asyncio.sleep(0.002)  # the work
        running -= 1

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
                        lock=build_lock(app.id),
                    )
        await until(lambda: len(order) == 500, "all 500 have run")
    assert most == 2
    for app in apps:
        own = [subject for tenant, subject in order if tenant == app.tenant]
        assert own == sorted(own), f"builds of app {app.id} ran in another order than they were asked for"
        places = [place for place, (tenant, _) in enumerate(order) if tenant == app.tenant]
        late = [place - 20 * number for number, place in enumerate(places)]
        assert max(late) < 22, f"app {app.id} waited {max(late)} places for a turn that comes each 20"
