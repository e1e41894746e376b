"""What is put in runs once it is committed, and no row is left behind, whatever becomes of its task."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from stackyn_server.domain.deployments import BUILD_PHASES, RELEASE_PHASES, Phase
from stackyn_server.domain.jobs import JobState, Kind, Pool
from stackyn_server.jobs.run import JobRun
from stackyn_server.store import jobs
from stackyn_server.store.database import Database
from tests.integration.jobs.builders import (
    dispatching,
    forever,
    nothing,
    put,
    row,
    rows,
    until,
    until_state,
)
from tests.rows import a_deployment, an_app, take_epoch


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


async def test_stopping_leaves_what_still_runs_to_the_next_server(database: Database) -> None:
    async with dispatching(database, {Kind.BUILD: forever}):
        job = await put(database, Kind.BUILD, 1)
        await until_state(database, job, JobState.RUNNING)
    assert (await row(database, job)).state is JobState.RUNNING
    async with dispatching(database, {Kind.BUILD: nothing}):
        done = await until_state(database, job, JobState.DONE)
    assert done.attempt == 2


async def test_stop_drains_running_jobs_and_claims_no_more(database: Database) -> None:
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
        dispatcher.sweep_soon()
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
        f"build:{app.id}" if kind is Kind.BUILD else f"app:{app.id}",
    )


async def _has_jobs(database: Database, kinds: list[Kind], state: str) -> bool:
    return [job.kind for job in await rows(database, f"state = '{state}'")] == kinds


async def test_a_kind_that_nobody_handles_stays_in_the_queue(database: Database) -> None:
    async with dispatching(database, {Kind.MAIL: nothing}):
        unknown = await put(database, Kind.EXPIRY, "account")
        await until_state(database, await put(database, Kind.MAIL, "letter"), JobState.DONE)
    assert (await row(database, unknown)).attempt == 0


async def test_a_handler_ends_its_row_together_with_its_result(database: Database) -> None:
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


async def test_a_row_deleted_with_its_app_does_not_break_its_task(database: Database) -> None:
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
