"""One attempt to bring a deployment forward: record each step, retry, and end the deployment in its row.

Each step's results are recorded before the next step begins. However a run ends, its job row ends too: done, waiting
for a retry, or (at a shutdown) left running for the next server. What the database refuses to record ends the
deployment as a failure of the platform, in words that the database does not refuse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from stackyn_server.config import Settings
from stackyn_server.domain.deployments import BUILD_PHASES, OPEN_PHASES, Phase, may_follow
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.domain.ids import DeploymentId
from stackyn_server.domain.jobs import Kind
from stackyn_server.errors import StackynError
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.idle.idle_app import StoppedCandidate, wake_previous_release
from stackyn_server.pipeline.recording import NotRecorded, Recording
from stackyn_server.store import deployments, jobs
from stackyn_server.store.claims import NotRunning
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.deployments import NO_RESULTS, Deployment, Moved, Mover, StepResults
from stackyn_server.store.failures import Contention, DatabaseUnavailable
from stackyn_server.store.installation import LeadershipLost

log = structlog.get_logger()
T = TypeVar("T")

# Nothing can be recorded now, or somebody else has decided: the dispatcher retries the job or leaves it.
_LEFT_TO_DISPATCHER = (DatabaseUnavailable, Contention, LeadershipLost, NotRunning)


class Superseded(Exception):
    """A deployment that was requested later is live already."""


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

    def write_failure(self, failure: Failure) -> None:
        """Add the reason of a failure to the build log, which has the output of builds and release commands already."""
        self.write_log(failure.message)
        if failure.hint:
            self.write_log(failure.hint)
        if self.deployment.phase not in (*BUILD_PHASES, Phase.RELEASING):
            for line in failure.evidence.splitlines():
                self.write_log(f"| {line}")

    async def flush_log(self) -> None:
        """Store the log before an ending is seen, but let no ending wait for the log without a limit."""
        try:
            async with asyncio.timeout(self.settings.deadlines.recording):
                await self.journal.flush(self.deployment.id)
        except TimeoutError:
            log.warning("journal.late", deployment=self.deployment.id)

    async def step(self, work: Awaitable[T], on_timeout: Failure) -> T:
        """Do a step until its phase's deadline or a cancellation. Raises `DeploymentFailed`, `JobCancelled`."""
        seconds = getattr(self.settings.deadlines, self.deployment.phase.value)
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self.job.until_cancelled(work)
        except TimeoutError as error:
            if not limit.expired():
                raise  # the work's own: a fault of ours
            raise DeploymentFailed(on_timeout) from error

    def recording(self, to: Phase | None = None, results: StepResults = NO_RESULTS) -> Recording:
        """Record a step's results and go to phase `to` (None: stay), in one transaction with what the block writes:

            async for attempt in run.recording(Phase.LIVE):
                async with attempt as transaction:
                    await routes.serve(transaction, app.id, instance.id)

        Raises `Moved`, `LeadershipLost`, `NotRecorded`.
        """
        return Recording(self, to, results)

    async def move(self, to: Phase, results: StepResults = NO_RESULTS) -> None:
        """Record a step's results and go to phase `to`."""
        async for attempt in self.recording(to, results):
            async with attempt:
                pass

    async def record(self, write: Callable[[Connection], Awaitable[T]]) -> T:
        """Return what `write` returns, run like the block of `recording`."""
        async for attempt in self.recording():
            async with attempt as transaction:
                written = await write(transaction)
        return written


Steps = Callable[[DeploymentRun], Awaitable[None]]
StopCandidate = Callable[[JobRun, Deployment, Failure | None], Awaitable[StoppedCandidate | None]]

_FAILURE = "failure"  # in the job's arguments


@dataclass(frozen=True, slots=True)
class StepRunner:
    """Runs the steps of a handler and turns every way they can end into rows. A retry begins again in `back_to`.

    `stop_candidate` is called before a deployment ends otherwise than live: it stops a candidate for whose slot
    requests are held, so that the previous release can be started there. It calls `remember_failure` first.
    """

    database: Database
    journal: Journal
    settings: Settings
    back_to: Phase
    stop_candidate: StopCandidate | None = None

    async def run(self, job: JobRun, steps: Steps) -> DeploymentRun | None:
        """Return the run as it has ended; None for a deployment that doesn't exist."""
        async with self.database.connection() as connection:
            deployment = await deployments.get(connection, DeploymentId(int(job.job.subject)))
        if deployment is None:
            return None
        run = DeploymentRun(job, self.database, self.journal, self.settings, deployment)
        if deployment.phase not in OPEN_PHASES:
            return run  # ended while the job waited; the dispatcher ends the row
        with structlog.contextvars.bound_contextvars(deployment=deployment.id, app=deployment.app):
            try:
                if (stored := job.job.arguments.get(_FAILURE)) is not None:
                    raise DeploymentFailed(
                        Failure.from_json(stored)
                    )  # the server died while it ended the deployment
                await steps(run)
            except Moved:
                log.info("deployment.moved_elsewhere")
            except Superseded:
                run.write_log("A newer deployment is live already.")
                await self._end(run, Phase.SUPERSEDED)
            except JobCancelled:
                run.write_log("Cancelled.")
                await self._end(run, Phase.CANCELLED)
            except TransientFailure as error:
                await self._retry(run, error)
            except DeploymentFailed as error:
                await self._fail(run, error.failure, error.notes)
            except _LEFT_TO_DISPATCHER:
                raise
            except Exception:
                log.exception("deployment.broke")
                await self._fail(run, _our_fault())
            await run.flush_log()
        return run

    async def _retry(self, run: DeploymentRun, error: TransientFailure) -> None:
        """Have the job wait for its next attempt, or fail the deployment when there is none."""
        run_at = run.job.next_attempt()
        is_back = run.deployment.phase is self.back_to
        if run_at is None or not (is_back or may_follow(run.deployment.phase, self.back_to)):
            return await self._fail(run, error.failure, error.notes)
        log.info("deployment.tried_again", code=error.failure.code.value, notes=error.notes)
        run.write_log(f"{error.message} Trying again in {(run_at - run.job.now()).total_seconds():.0f} s.")
        to, results = (None if is_back else self.back_to), StepResults(waiting_reason=error.message)
        try:
            async for attempt in run.recording(to, results):
                async with attempt as transaction:
                    if is_back:
                        await deployments.set_waiting_reason(transaction, run.deployment.id, error.message)
                    await run.job.retry(transaction, run_at, error.message)
        except Moved:
            log.info("deployment.moved_elsewhere")
        except (*_LEFT_TO_DISPATCHER, NotRecorded):
            raise
        except Exception:
            log.exception("retry.refused", deployment=run.deployment.id)
            await self._fail(run, _our_fault())
        return None

    async def _fail(self, run: DeploymentRun, failure: Failure, notes: str = "") -> None:
        run.write_failure(failure)
        phase = run.deployment.phase
        log.info("deployment.failed", code=failure.code.value, phase=phase.value, notes=notes)
        await self._end(run, Phase.FAILED, StepResults(failure=failure))

    async def _end(self, run: DeploymentRun, to: Phase, results: StepResults = NO_RESULTS) -> None:
        """Record the ending, and enqueue the cleanup of what the deployment still holds.

        An ending that the database refuses is recorded as a failure of the platform: with the cleanup, else without.
        """
        stopped = await self._stop_candidate(run, results.failure)
        await run.flush_log()
        ours = StepResults(failure=_our_fault())
        endings = (
            (to, results, stopped, True),
            (Phase.FAILED, ours, None, True),
            (Phase.FAILED, ours, None, False),
        )
        for phase, values, candidate, has_cleanup in endings:
            try:
                async for attempt in run.recording(phase, values):
                    async with attempt as transaction:
                        if candidate is not None:
                            await wake_previous_release(transaction, candidate)
                        if has_cleanup:
                            await jobs.enqueue_for_deployment(transaction, Kind.CLEANUP, run.deployment)
                            await run.job.finish(transaction)
                return
            except Moved:
                log.info("deployment.moved_elsewhere")
                return
            except _LEFT_TO_DISPATCHER:
                raise
            except Exception:
                log.exception("ending.refused", deployment=run.deployment.id, ending=phase.value)
        raise NotRecorded("The deployment's ending could not be recorded.")

    async def _stop_candidate(self, run: DeploymentRun, failure: Failure | None) -> StoppedCandidate | None:
        """Stop the candidate of a deployment that did not go live. If that fails, the cleanup does it, which is retried
        until it is done."""
        if self.stop_candidate is None:
            return None
        try:
            stopped = await self.stop_candidate(run.job, run.deployment, failure)
        except _LEFT_TO_DISPATCHER:
            raise
        except Exception as error:
            if isinstance(error, StackynError) and error.retryable:
                raise
            log.exception("candidate.not_stopped", deployment=run.deployment.id)
            return None
        if stopped is not None:
            run.write_log("The previous release is started again.")
        return stopped


async def remember_failure(connection: Connection, job: JobRun, phase: Phase, failure: Failure) -> None:
    """Remember why the job's deployment fails, before its container is gone, which shows the reason."""
    await job.remember(connection, {_FAILURE: failure.as_json(phase.value)})


def _our_fault() -> Failure:
    return Failure(
        FailureCode.INTERNAL,
        "The platform failed while it worked on this deployment.",
        "Deploy again; tell the operator if it happens twice.",
    )
