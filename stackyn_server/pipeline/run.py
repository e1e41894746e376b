"""One attempt to bring a deployment forward: what every story that moves a deployment shares.

A run records each step before the next begins, and whatever happens it ends its job row: done, waiting for a
retry, or (at a shutdown) left running for the next server to take up again. What the database refuses to record
ends the deployment as a failure of ours, in words that it does not refuse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.deployments import BUILD_PHASES, OPEN_PHASES, Phase, may_follow
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.domain.ids import DeploymentId
from stackyn_server.domain.jobs import CleanupArguments, Kind
from stackyn_server.errors import StackynError
from stackyn_server.jobs.run import JobCancelled, JobRun, NotRunning
from stackyn_server.journal.journal import Journal
from stackyn_server.store import deployments, jobs
from stackyn_server.store.database import Connection, Database, DatabaseUnavailable
from stackyn_server.store.deployments import Deployment, Moved, Mover
from stackyn_server.store.failures import Contention
from stackyn_server.store.installation import LeadershipLost

log = structlog.get_logger()
T = TypeVar("T")
First = Callable[[Connection], Awaitable[None]]
Also = Callable[[Connection, Deployment], Awaitable[None]]
RestorePrevious = Callable[[JobRun, Deployment], Awaitable[Also | None]]

_RECORD_AGAIN_SECONDS = 0.5  # between tries to record a result while the database is away
# Nothing can be recorded now, or somebody else has decided: the dispatcher knows what to do.
_OUT_OF_OUR_HANDS = (DatabaseUnavailable, LeadershipLost, NotRunning)


class NotRecorded(StackynError):
    """The database answers, and did not take a result within the deadline."""


@dataclass(slots=True)
class DeploymentRun:
    """`deployment` is always as it was last read or moved."""

    job: JobRun
    database: Database
    journal: Journal
    settings: Settings
    deployment: Deployment

    @property
    def mover(self) -> Mover:
        return Mover(self.job.epoch, self.job.moved_by)

    def write_log(self, line: str) -> None:
        """Add a line to the build log that the tenant reads."""
        self.journal.write(self.deployment.app, self.deployment.id, "build", line.rstrip("\n") + "\n")

    async def step(self, work: Awaitable[T], on_timeout: Failure) -> T:
        """Do a step until its phase's deadline or a cancellation. Raises `DeploymentFailed`, `JobCancelled`."""
        seconds = getattr(self.settings.deadlines, self.deployment.phase.value)
        try:
            async with asyncio.timeout(seconds):
                return await self.job.until_cancelled(work)
        except TimeoutError as error:
            raise DeploymentFailed(on_timeout) from error

    async def move(
        self, to: Phase, *, first: First | None = None, also: Also | None = None, **results: Any
    ) -> None:
        """Record a step's result and go to the next phase, with `first` and `also` in the same transaction.

        While the database is away the result is kept in hand. An unanswered COMMIT that did happen is success.
        """
        before = self.deployment

        async def record(connection: Connection) -> Deployment:
            found = await deployments.get(connection, before.id)
            if found is not None and deployments.was_recorded(found, before, to, self.mover):
                return found
            if first is not None:
                await first(connection)
            moved = await deployments.advance(connection, before, to, self.mover, **results)
            if also is not None:
                await also(connection, moved)
            return moved

        self.deployment = await self.record(record)

    async def record(self, write: Callable[[Connection], Awaitable[T]]) -> T:
        """Run `write` in a transaction, again and again while the database is away. It must be safe to repeat.

        Raises `NotRecorded` when the database has answered other questions for `[deadlines] recording` meanwhile.
        """
        clock = asyncio.get_running_loop().time
        answers_since: float | None = None
        while True:
            try:
                async with self.database.transaction() as connection:
                    return await write(connection)
            except (DatabaseUnavailable, Contention) as error:
                log.warning("record.waits", deployment=self.deployment.id, reason=error.message)
                if not await self._database_answers():
                    answers_since = None
                elif answers_since is None:
                    answers_since = clock()
                elif clock() - answers_since >= self.settings.deadlines.recording:
                    raise NotRecorded("The result could not be recorded.") from error
                await asyncio.sleep(_RECORD_AGAIN_SECONDS)

    async def _database_answers(self) -> bool:
        try:
            async with self.database.connection() as connection:
                await deployments.get(connection, self.deployment.id)
        except DatabaseUnavailable:
            return False
        return True


Steps = Callable[[DeploymentRun], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class StepRunner:
    """Runs a story's steps and turns every way they can end into rows. `back_to` is where a retry begins again.

    `restore_previous` undoes what a story has taken away from others, before a deployment ends otherwise than live.
    """

    database: Database
    journal: Journal
    settings: Settings
    back_to: Phase
    restore_previous: RestorePrevious | None = None

    async def run(self, job: JobRun, steps: Steps) -> None:
        async with self.database.connection() as connection:
            deployment = await deployments.get(connection, DeploymentId(int(job.job.subject)))
        if deployment is None or deployment.phase not in OPEN_PHASES:
            return  # ended while the job waited; the dispatcher ends the row
        run = DeploymentRun(job, self.database, self.journal, self.settings, deployment)
        with structlog.contextvars.bound_contextvars(deployment=deployment.id, app=deployment.app):
            try:
                await steps(run)
            except Moved:
                log.info("deployment.moved_elsewhere")
            except JobCancelled:
                run.write_log("Cancelled.")
                await self.end(run, Phase.CANCELLED)
            except TransientFailure as error:
                await self._retry(run, error)
            except DeploymentFailed as error:
                await self._fail(run, error.failure, error.notes)
            except _OUT_OF_OUR_HANDS:
                raise
            except Exception:
                log.exception("deployment.broke")
                await self._fail(run, _our_fault())
            await self._flush(run)

    async def _retry(self, run: DeploymentRun, error: TransientFailure) -> None:
        try:
            await self._wait_for_another_try(run, error)
        except Moved:
            log.info("deployment.moved_elsewhere")
        except (*_OUT_OF_OUR_HANDS, NotRecorded):
            raise
        except Exception:
            log.exception("retry.refused", deployment=run.deployment.id)
            await self._fail(run, _our_fault())

    async def _wait_for_another_try(self, run: DeploymentRun, error: TransientFailure) -> None:
        run_at = run.job.next_attempt()
        if run_at is None or not (
            run.deployment.phase is self.back_to or may_follow(run.deployment.phase, self.back_to)
        ):
            return await self._fail(run, error.failure, error.notes)
        log.info("deployment.tried_again", code=error.failure.code.value, notes=error.notes)
        run.write_log(f"{error.message} Trying again in {(run_at - run.job.now()).total_seconds():.0f} s.")

        async def also(connection: Connection, _: Deployment) -> None:
            await run.job.retry(connection, run_at, error.message)

        if run.deployment.phase is self.back_to:

            async def stay(connection: Connection) -> None:
                await deployments.wait(connection, run.deployment.id, error.message)
                await run.job.retry(connection, run_at, error.message)

            await run.record(stay)
        else:
            await run.move(self.back_to, also=also, waiting_reason=error.message)
        return None

    async def _fail(self, run: DeploymentRun, failure: Failure, notes: str = "") -> None:
        write_failure(run, failure)
        phase = run.deployment.phase
        log.info("deployment.failed", code=failure.code.value, phase=phase.value, notes=notes)
        await self.end(run, Phase.FAILED, failure=failure)

    async def end(self, run: DeploymentRun, to: Phase, **results: Any) -> None:
        """Record the ending, and have what the deployment still holds cleaned up.

        An ending that the database refuses is recorded as a failure of ours: with the cleanup, else without it.
        """
        restore_previous = await self._restore_previous(run)

        async def leave(connection: Connection, ended: Deployment) -> None:
            await jobs.enqueue_for_deployment(
                connection, Kind.CLEANUP, ended, CleanupArguments.after(run.deployment.phase)
            )
            await run.job.finish(connection)

        async def restore_previous_and_leave(connection: Connection, ended: Deployment) -> None:
            if restore_previous is not None:
                await restore_previous(connection, ended)
            await leave(connection, ended)

        await self._flush(run)
        ours: dict[str, Any] = {"failure": _our_fault()}
        endings: tuple[tuple[Phase, Also | None, dict[str, Any]], ...] = (
            (to, restore_previous_and_leave, results),
            (Phase.FAILED, leave, ours),
            (Phase.FAILED, None, ours),
        )
        for phase, also, values in endings:
            try:
                await run.move(phase, also=also, **values)
                return
            except Moved:
                log.info("deployment.moved_elsewhere")
                return
            except _OUT_OF_OUR_HANDS:
                raise
            except Exception:
                log.exception("ending.refused", deployment=run.deployment.id, ending=phase.value)
        raise NotRecorded("The deployment's ending could not be recorded.")

    async def _restore_previous(self, run: DeploymentRun) -> Also | None:
        """Undo what the story took away. What can't be undone now is left to the cleanup, which tries until it is."""
        if self.restore_previous is None:
            return None
        try:
            restore_previous = await self.restore_previous(run.job, run.deployment)
        except _OUT_OF_OUR_HANDS:
            raise
        except Exception as error:
            if isinstance(error, StackynError) and error.retryable:
                raise
            log.exception("put_back.broke", deployment=run.deployment.id)
            return None
        if restore_previous is not None:
            run.write_log("The previous release is started again.")
        return restore_previous

    async def _flush(self, run: DeploymentRun) -> None:
        """Have the log stored before the ending is seen, but no ending waits for a log for ever."""
        try:
            async with asyncio.timeout(self.settings.deadlines.recording):
                await self.journal.flush(run.deployment.id)
        except TimeoutError:
            log.warning("journal.late", deployment=run.deployment.id)


def write_failure(run: DeploymentRun, failure: Failure) -> None:
    """Tell in the build log why the deployment failed. The evidence of a build and of a release command stands there
    already."""
    run.write_log(failure.message)
    if failure.hint:
        run.write_log(failure.hint)
    if run.deployment.phase not in (*BUILD_PHASES, Phase.RELEASING):
        for line in failure.evidence.splitlines():
            run.write_log(f"| {line}")


def _our_fault() -> Failure:
    return Failure(
        FailureCode.INTERNAL,
        "The platform failed while it worked on this deployment.",
        "Deploy again; tell the operator if it happens twice.",
    )
