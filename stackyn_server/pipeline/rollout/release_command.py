"""The release command of a repository: run once, to its end, before anything of the new release is started.

Its container is created, recorded, and only then started. So whoever goes on after a kill of the server knows what to
do: one that is not recorded was never started, one that is recorded is waited for, and one that is recorded and gone
has ended nobody knows how.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from stackyn_server.diagnosis.transcript import LAST_LINES, LONGEST_RAW
from stackyn_server.domain.deployments import BUILDING_CAUSES
from stackyn_server.domain.failures import DeploymentFailed, TransientFailure
from stackyn_server.engine import containers, endings, logs, release_containers
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.container_state import ContainerState
from stackyn_server.engine.errors import EngineUnavailable
from stackyn_server.engine.labels import Role
from stackyn_server.engine.pacing import LoopPacer
from stackyn_server.engine.start_failures import ImageMissing
from stackyn_server.jobs.run import JobCancelled
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.context import JobHandler, PipelineContext
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.rollout.release_failures import (
    could_not_start,
    end_is_unknown,
    release_failure,
    took_too_long,
)
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import deployments
from stackyn_server.store import logs as stored_logs
from stackyn_server.store.deployments import Deployment

log = structlog.get_logger()

# A cancelled deployment is gone within 2 s; before that, a migration may let go of its lock.
_CANCEL_GRACE_SECONDS = 1
_LEFT_OUT = "[Lines are missing here: the release command wrote more than this log keeps.]"


def release_command(deployment: Deployment) -> str | None:
    """Return the command to run before the deployment's release is started. What has run before needs none."""
    if deployment.cause not in BUILDING_CAUSES:
        return None
    return ((deployment.plan or {}).get("deploying") or {}).get("release_command") or None


class ReleaseCommand(JobHandler):
    def __init__(self, context: PipelineContext, journal: Journal) -> None:
        super().__init__(context)
        self._journal = journal

    @staticmethod
    def is_due(deployment: Deployment) -> bool:
        return release_command(deployment) is not None and deployment.command_done_at is None

    async def run(self, run: DeploymentRun, app_spec: ContainerSpec) -> None:
        """Return when the command has succeeded, that is recorded, and its container is gone.

        `app_spec` is how the app will be started, in the same place. Raises `DeploymentFailed` (RELEASE_FAILED),
        `ImageGone`, `TransientFailure`, and `JobCancelled` when it has been ended.
        """
        spec = replace(app_spec, role=Role.RELEASE, command=release_command(run.deployment))
        try:
            await run.job.until_cancelled(self._run(run, spec))
        except JobCancelled:
            await self._end(run.deployment)
            raise
        crash_point("releasing.ended")
        await self._record(run, is_done=True)
        crash_point("releasing.recorded")
        await self.remove(run.deployment)

    async def remove(self, deployment: Deployment) -> None:
        """Take away what is left of the command, so that its address is free."""
        if deployment.command_container is not None:
            await release_containers.remove_of(self._engine, deployment.id)

    async def _run(self, run: DeploymentRun, spec: ContainerSpec) -> None:
        told = await self._told_before(run, f"Running the release command: {spec.command}")
        container = await self._started(run, spec)
        ended = await self._ended(run, container, told)
        if ended is None:
            raise DeploymentFailed(end_is_unknown())
        if ended.exit_code != 0:
            was_from_outside = await endings.was_ended_from_outside(self._engine, ended)
            lines = await self._last_lines(container)
            raise DeploymentFailed(release_failure(ended, lines, was_from_outside=was_from_outside))
        run.write_log("The release command has succeeded.")

    async def _started(self, run: DeploymentRun, spec: ContainerSpec) -> str:
        """Return the container, which runs or has run. Safe to repeat."""
        recorded = run.deployment.command_container
        if recorded is None:
            found = await release_containers.find(self._engine, run.deployment.id)
        elif (found := await containers.inspect(self._engine, recorded)) is None:
            raise DeploymentFailed(end_is_unknown())
        if found is not None and found.started_at is not None:
            if recorded is None:
                await self._record(run, container=found.id)
            return found.id
        await run.job.still_leading()
        try:
            container = found.id if found is not None else await containers.create(self._engine, spec)
            crash_point("releasing.created")
            if recorded is None:
                await self._record(run, container=container)
            crash_point("releasing.starting")
            await containers.start_created(self._engine, spec, container)
        except (TransientFailure, ImageMissing):
            raise
        except DeploymentFailed as error:
            raise DeploymentFailed(could_not_start(error.failure.evidence)) from error
        crash_point("releasing.started")
        return container

    async def _ended(self, run: DeploymentRun, container: str, told: Iterator[str]) -> ContainerState | None:
        """Return how the command has ended, its output told; None when its container is gone.

        Its time runs from its start, whoever has waited for it so far.
        """
        state = await containers.inspect(self._engine, container)
        try:
            async with asyncio.timeout(self._seconds_left(state)):
                return await self._followed(run, container, told)
        except TimeoutError:
            state = await containers.inspect(self._engine, container)
            if state is None or not state.running:
                return state  # it was in time; only its output is still being read
            await containers.stop(self._engine, container, self._settings.apps.stop_grace_seconds)
            lines = await self._last_lines(container)
            failure = took_too_long(self._settings.deadlines.releasing, lines)
            raise DeploymentFailed(failure) from None

    def _seconds_left(self, state: ContainerState | None) -> float | None:
        """None when it has ended: what is left is to read what it said."""
        if state is None or not state.running or state.started_at is None:
            return None
        passed = (datetime.now(UTC) - state.started_at).total_seconds()
        return max(0.0, self._settings.deadlines.releasing - passed)

    async def _followed(
        self, run: DeploymentRun, container: str, told: Iterator[str]
    ) -> ContainerState | None:
        """Tell what the command writes until it ends, up to half of what a log may hold: more is to follow.

        Its last lines are told in any case. The engine itself loses some when a command writes very fast.
        """
        since: int | None = None
        left = self._settings.builds.log_limit_bytes // 2
        pace = LoopPacer()
        while True:
            if left > 0:
                async with aclosing(logs.follow(self._engine, container, since=since)) as lines:
                    async for line in lines:
                        since = line.nanoseconds if since is None else max(since, line.nanoseconds)
                        self._tell(run, line.text, told)
                        left -= len(line.text) + 1
                        if left <= 0:
                            break
                        await pace.pause_if_due()
            state = await containers.inspect(self._engine, container)
            if state is None or not state.running:
                break
            await asyncio.sleep(self._settings.probe.interval_seconds)
        rest = [line.text async for line in logs.read(self._engine, container, since=since, tail=LAST_LINES)]
        if len(rest) == LAST_LINES:
            run.write_log(_LEFT_OUT)
        for text in rest:
            self._tell(run, text, told)
        return state

    def _tell(self, run: DeploymentRun, line: str, told: Iterator[str]) -> None:
        if self._journal.as_stored(line) not in told:
            run.write_log(line)

    async def _told_before(self, run: DeploymentRun, heading: str) -> Iterator[str]:
        """Return the lines that the build log has had since the command was begun, in order.

        Looked for one after the other, the command's own are found up to the last that was stored: what an
        interruption has lost is told, and nothing twice.
        """
        if run.deployment.command_container is None:
            run.write_log(heading)
            return iter(())
        await self._journal.flush(run.deployment.id)
        most = self._settings.builds.log_limit_bytes
        async with self._database.connection() as connection:
            text = await stored_logs.read_text(connection, run.deployment.id, "build", most)
        _, begun, since = text.partition(f"{self._journal.as_stored(heading)}\n")
        if not begun:
            run.write_log(heading)
        run.write_log("The release command was started before the interruption, and is waited for.")
        return iter(since.split("\n"))

    async def _last_lines(self, container: str) -> str:
        return await containers.last_lines(self._engine, container, LAST_LINES, longest=LONGEST_RAW)

    async def _record(
        self, run: DeploymentRun, *, container: str | None = None, is_done: bool = False
    ) -> None:
        before = run.deployment
        run.deployment = await run.record(
            lambda connection: deployments.set_command(
                connection, before, run.mover, container=container, is_done=is_done
            )
        )

    async def _end(self, deployment: Deployment) -> None:
        """End it at once. What an engine in trouble does not do now is left to the deployment's cleanup."""
        try:
            found = await release_containers.find(self._engine, deployment.id)
            if found is not None:
                await containers.stop(self._engine, found.id, _CANCEL_GRACE_SECONDS)
            await release_containers.remove_of(self._engine, deployment.id)
        except EngineUnavailable as error:
            log.warning("release_command.not_ended", deployment=deployment.id, reason=error.reason)
