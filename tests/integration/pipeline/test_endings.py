"""Every deployment ends in its row, whatever a tenant wrote and whatever the database refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from stackyn_server import config
from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.config import Settings
from stackyn_server.domain.deployments import OPEN_PHASES, Phase
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.domain.jobs import JobState, Kind
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.build.plan_attempts import plan_with_limit
from stackyn_server.pipeline.run import DeploymentRun, StepRunner, StopCandidate, remember_failure
from stackyn_server.source import reader
from stackyn_server.store import deployments, jobs, logs
from stackyn_server.store.apps import App
from stackyn_server.store.database import Database
from stackyn_server.store.deployments import Deployment, StepResults
from stackyn_server.store.failures import DatabaseUnavailable
from tests.integration.jobs.builders import (
    dispatching,
    put,
    row,
    rows,
    until,
    until_state,
    until_waiting_for_a_lock,
)
from tests.rows import a_deployment, an_app

UTF_16 = "FROM scratch\n".encode("utf-16").decode("utf-8", "surrogateescape")
FAILED = DeploymentFailed(Failure(FailureCode.BUILD_FAILED, "The build failed.", "Look at the log.", "line"))

Steps = Callable[[DeploymentRun], Awaitable[None]]


async def ended(
    database: Database,
    journal: Journal,
    steps: Steps,
    settings: Settings | None = None,
    *,
    app: App | None = None,
    stop_candidate: StopCandidate | None = None,
) -> Deployment:
    """Have the build job of a new deployment of `app` (None: a new one) do `steps`, and return how it ended."""
    runner = StepRunner(database, journal, settings or Settings(), Phase.QUEUED, stop_candidate)

    async def build(run: JobRun) -> None:
        await runner.run(run, steps)

    async with dispatching(database, {Kind.BUILD: build}):
        async with database.transaction() as connection:
            deployment = await a_deployment(connection, app or await an_app(connection))
            await jobs.enqueue_for_deployment(connection, Kind.BUILD, deployment, priority=0)

        async def now() -> Deployment:
            async with database.connection() as connection:
                deployment_row = await deployments.get(connection, deployment.id)
            assert deployment_row is not None
            return deployment_row

        async def has_ended() -> bool:
            return (await now()).phase not in OPEN_PHASES

        await until(has_ended, "the deployment has ended")
        (job,) = await rows(database, "kind = 'build'")
        await until_state(database, job.id, JobState.DONE)
        return await now()


async def refuse(database: Database, table: str, event: str, when: str, instead: str = "") -> None:
    """Have the database refuse some changes, as a constraint that a fault of ours runs against."""
    body = instead or "RAISE EXCEPTION USING ERRCODE = 'check_violation'"
    async with database.connection() as connection:
        await connection.execute(
            f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {body.replace(chr(39), chr(39) * 2)};"
            " RETURN NEW; END'"
        )
        await connection.execute(
            f"CREATE TRIGGER refused BEFORE {event} ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refuse()"
        )


async def test_any_text_of_a_tenant_can_be_recorded(database: Database, journal: Journal) -> None:
    plan = {"dockerfile": "Docker\udcfffile", "generated": UTF_16, "reasons": [UTF_16, "\x00"], "\ud800": 1}

    async def steps(run: DeploymentRun) -> None:
        await run.move(Phase.FETCHING)
        await run.move(Phase.PLANNING, StepResults(commit="c0ffee"))
        await run.move(Phase.BUILDING, StepResults(plan=plan))
        run.write_log(UTF_16)
        raise DeploymentFailed(Failure(FailureCode.DOCKERFILE_INVALID, f"No stage {UTF_16}.", UTF_16, UTF_16))

    deployment = await ended(database, journal, steps)
    assert deployment.phase is Phase.FAILED
    assert deployment.failure is not None and deployment.failure["code"] == "DOCKERFILE_INVALID"
    assert "F\ufffdR\ufffdO\ufffdM" in deployment.failure["evidence"]
    assert deployment.plan is not None and deployment.plan["dockerfile"] == "Docker\ufffdfile"
    async with database.connection() as connection:
        assert "No stage" in await logs.read_text(connection, deployment.id, "build", 10_000)


async def test_any_wait_reason_can_be_recorded(database: Database, journal: Journal) -> None:
    async def steps(run: DeploymentRun) -> None:
        raise TransientFailure(Failure(FailureCode.SOURCE_UNREACHABLE, f"It says {UTF_16}"))

    deployment = await ended(database, journal, steps)
    assert deployment.failure is not None and deployment.failure["code"] == "SOURCE_UNREACHABLE"
    (job,) = await rows(database, "kind = 'build'")
    assert job.attempt == 3


@pytest.mark.parametrize(
    ("table", "event", "when", "has_cleanup"),
    [
        ("deployment", "UPDATE", "NEW.failure ->> 'code' = 'BUILD_FAILED'", True),
        ("event", "INSERT", "NEW.data ->> 'failure' = 'BUILD_FAILED'", True),
        ("job", "INSERT", "NEW.kind = 'cleanup'", False),
    ],
    ids=["its row", "its event", "its cleanup"],
)
async def test_refused_ending_is_recorded_as_our_fault(
    database: Database, journal: Journal, table: str, event: str, when: str, has_cleanup: bool
) -> None:
    async def steps(run: DeploymentRun) -> None:
        await run.move(Phase.FETCHING)
        raise FAILED

    await refuse(database, table, event, when)
    deployment = await ended(database, journal, steps)
    assert deployment.phase is Phase.FAILED
    assert deployment.failure is not None and deployment.failure["code"] == "INTERNAL"
    assert bool(await rows(database, "kind = 'cleanup'")) == has_cleanup


async def test_refused_cancellation_is_recorded_as_our_fault(database: Database, journal: Journal) -> None:
    async def steps(run: DeploymentRun) -> None:
        raise JobCancelled

    await refuse(database, "deployment", "UPDATE", "NEW.phase = 'cancelled'")
    deployment = await ended(database, journal, steps)
    assert deployment.failure is not None and deployment.failure["code"] == "INTERNAL"


async def test_refused_retry_is_recorded_as_our_fault(database: Database, journal: Journal) -> None:
    async def steps(run: DeploymentRun) -> None:
        raise TransientFailure(Failure(FailureCode.SOURCE_UNREACHABLE, "The host is away."))

    await refuse(database, "job", "UPDATE", "NEW.error = 'The host is away.'")
    deployment = await ended(database, journal, steps)
    assert deployment.failure is not None and deployment.failure["code"] == "INTERNAL"


@pytest.mark.parametrize("is_slow", [True, False], ids=["the step's limit", "a limit inside"])
async def test_timeout_inside_a_step_is_not_the_steps_own(
    database: Database, journal: Journal, is_slow: bool
) -> None:
    too_slow = Failure(FailureCode.SOURCE_UNREACHABLE, "The repository could not be fetched in time.")

    async def fetch() -> None:
        if is_slow:
            await asyncio.Event().wait()
        raise TimeoutError

    async def steps(run: DeploymentRun) -> None:
        await run.move(Phase.FETCHING)
        await run.step(fetch(), too_slow)

    settings = Settings(deadlines=config.DeadlinesSettings(fetching=0.1 if is_slow else 60))
    deployment = await ended(database, journal, steps, settings)
    assert deployment.failure is not None
    assert deployment.failure["code"] == ("SOURCE_UNREACHABLE" if is_slow else "INTERNAL")


async def test_recording_has_a_deadline(database_url: str) -> None:
    """A statement that the database ends again and again looks like a database that is away."""
    slow = config.DatabaseSettings(statement_seconds=0.2)
    database = await Database.open(database_url, slow, application_name="stackyn test")
    journal = Journal(database, config.BuildsSettings())
    running = asyncio.create_task(journal.run(), name="journal")
    settings = Settings(deadlines=config.DeadlinesSettings(recording=0.5))

    async def steps(run: DeploymentRun) -> None:
        raise FAILED

    await refuse(
        database, "deployment", "UPDATE", "NEW.failure ->> 'code' = 'BUILD_FAILED'", "PERFORM pg_sleep(60)"
    )
    try:
        deployment = await ended(database, journal, steps, settings)
    finally:
        running.cancel()
        await asyncio.wait([running])
        await database.close()
    assert deployment.failure is not None and deployment.failure["code"] == "INTERNAL"


async def test_candidate_that_cannot_be_stopped_is_left_to_cleanup(
    database: Database, journal: Journal
) -> None:
    async def broken(_run: JobRun, _deployment: Deployment, _failure: Failure | None) -> None:
        raise KeyError("candidate")

    async def steps(run: DeploymentRun) -> None:
        raise FAILED

    deployment = await ended(database, journal, steps, stop_candidate=broken)
    assert deployment.failure is not None and deployment.failure["code"] == "BUILD_FAILED"
    assert len(await rows(database, "kind = 'cleanup'")) == 1


async def test_failure_outlives_a_kill_while_the_candidate_is_stopped(
    database: Database, journal: Journal
) -> None:
    """The next attempt finds no container, which would be another reason."""
    failure = Failure(FailureCode.APP_EXITED, "The app exited with code 1.", "Look below.", "its last line")
    stops: list[str] = []

    async def dies(job: JobRun, deployment: Deployment, reason: Failure | None) -> None:
        assert reason is not None
        stops.append(reason.message)
        async with database.transaction() as connection:
            await remember_failure(connection, job, deployment.phase, reason)
        if job.job.attempt == 1:
            raise DatabaseUnavailable

    async def steps(run: DeploymentRun) -> None:
        assert run.job.job.attempt == 1, "the failure is known"
        raise DeploymentFailed(failure)

    deployment = await ended(database, journal, steps, stop_candidate=dies)
    assert deployment.phase is Phase.FAILED
    assert deployment.failure == failure.as_json(Phase.QUEUED)
    assert stops == [failure.message, failure.message]


async def test_refused_job_error_is_replaced_by_our_words(database: Database) -> None:
    async def fails(run: JobRun) -> None:
        raise DeploymentFailed(Failure(FailureCode.INTERNAL, "in its own words"))

    await refuse(database, "job", "UPDATE", "NEW.error = 'in its own words'")
    async with dispatching(database, {Kind.MAIL: fails}):
        job = await put(database, Kind.MAIL, 1)
        dead = await until_state(database, job, JobState.DEAD)
    assert dead.error == "The platform failed while it worked on this."


async def test_cancel_during_a_hand_over_reaches_one_of_both_jobs(database: Database) -> None:
    """A build that hands over to its release just when somebody cancels."""
    outcomes: list[str] = []
    handing_over, cancelled = asyncio.Event(), asyncio.Event()

    async def hands_over(run: JobRun) -> None:
        handing_over.set()
        await cancelled.wait()
        try:
            async with database.transaction() as connection:
                await run.require_uncancelled(connection)
                await jobs.enqueue(connection, Kind.RELEASE, run.job.subject)
        except JobCancelled:
            outcomes.append("cancelled")
            raise

    async with dispatching(database, {Kind.BUILD: hands_over}):
        job = await put(database, Kind.BUILD, 1)
        await handing_over.wait()
        async with database.transaction() as connection:
            await jobs.request_cancel(connection, kind=Kind.BUILD, subject="1")
            cancelled.set()
            await until_waiting_for_a_lock(database)  # of the row, for the hand-over
            assert outcomes == [] and (await row(database, job)).state is JobState.RUNNING
            await jobs.request_cancel(connection, kind=Kind.RELEASE, subject="1")
        await until_state(database, job, JobState.DONE)
    assert outcomes == ["cancelled"]
    assert await rows(database, "kind = 'release'") == []


def reading(outcomes: list[BuildPlan | TransientFailure]) -> Steps:
    """Steps whose readings of the files end in turn as `outcomes` say, and which succeed by a failing build."""

    async def steps(run: DeploymentRun) -> None:
        async def read() -> BuildPlan:
            outcome = outcomes.pop(0)
            if isinstance(outcome, TransientFailure):
                raise outcome
            return outcome

        await plan_with_limit(run, read)
        raise FAILED

    return steps


PLAN = BuildPlan("static", ("r",), "Dockerfile", None, None)
DIED = reader.ReaderDied(reader.reader_died())
GIT = TransientFailure(Failure(FailureCode.INTERNAL, "The copy could not be read."))


@pytest.mark.parametrize(
    ("outcomes", "left", "words"),
    [
        ([PLAN], 0, "The build failed."),
        ([DIED, PLAN], 0, "The build failed."),
        ([DIED, DIED, PLAN], 1, "was ended before it was done"),
        ([GIT, GIT, PLAN], 0, "The build failed."),
        ([GIT, DIED, PLAN], 0, "The build failed."),
    ],
    ids=["well", "died once", "died twice", "git failed twice", "each once"],
)
async def test_reading_process_that_died_twice_is_not_started_again(
    database: Database, journal: Journal, outcomes: list[BuildPlan | TransientFailure], left: int, words: str
) -> None:
    deployment = await ended(database, journal, reading(outcomes))
    assert deployment.failure is not None and words in deployment.failure["message"]
    assert len(outcomes) == left


async def test_files_that_ended_two_servers_are_not_read_again(database: Database, journal: Journal) -> None:
    """The job's row has counted what no server lived to tell."""
    reads: list[BuildPlan | TransientFailure] = [PLAN]
    steps = reading(reads)

    async def after_two_deaths(run: DeploymentRun) -> None:
        if run.job.job.attempt == 1:
            async with database.transaction() as connection:
                await run.job.remember(connection, {"readings": 2})
            raise GIT
        await steps(run)

    deployment = await ended(database, journal, after_two_deaths)
    assert deployment.failure is not None and "was ended before" in deployment.failure["message"]
    assert reads == [PLAN]
