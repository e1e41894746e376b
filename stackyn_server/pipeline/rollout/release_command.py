"""The release command of a repository: it runs once, to its end, before the new release is started.

Its container is created, recorded, and only then started. So the next server knows what to do after a kill: a container
that is not recorded was never started, a recorded one is waited for, and a recorded one that is gone has ended in an
unknown way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from stackyn_server.diagnosis.transcript import LAST_LINES
from stackyn_server.domain.deployments import BUILDING_CAUSES
from stackyn_server.domain.failures import DeploymentFailed, TransientFailure
from stackyn_server.engine import containers, endings, logs
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.container_state import ContainerState
from stackyn_server.engine.errors import EngineUnavailable
from stackyn_server.engine.labels import Role
from stackyn_server.engine.pacing import LoopPacer
from stackyn_server.engine.start_failures import ImageMissing
from stackyn_server.jobs.run import JobCancelled
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.rollout.candidate import deploying_of
from stackyn_server.pipeline.rollout.probe import end_of_log
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

# A cancelled deployment is gone within 2 s, and in that time a migration may release its lock.
_CANCEL_GRACE_SECONDS = 1
_LEFT_OUT = "[Lines are missing here: the release command wrote more than this log keeps.]"


def release_command(deployment: Deployment) -> str | None:
    """Return the command to run before the deployment's release is started; None for a release that has run before."""
    if deployment.cause not in BUILDING_CAUSES:
        return None
    return deploying_of(deployment).release_command or None


class ReleaseCommand(JobHandler):
    @staticmethod
    def is_due(deployment: Deployment) -> bool:
        return release_command(deployment) is not None and deployment.command_done_at is None

    async def run(self, run: DeploymentRun, app_spec: ContainerSpec) -> None:
        """Return when the command has succeeded, that is recorded, and its container is gone.

        `app_spec` is how the app will be started, in the same place. Raises `DeploymentFailed` (RELEASE_FAILED),
        `ImageMissing`, `TransientFailure`, and `JobCancelled` when it has been ended.
        """
        spec = replace(app_spec, role=Role.RELEASE_COMMAND, command=release_command(run.deployment))
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
        """Remove the command's container, so that its address is free."""
        if deployment.command_container is not None:
            await containers.remove_of_role(self._engine, Role.RELEASE_COMMAND, deployment.id)

    async def _run(self, run: DeploymentRun, spec: ContainerSpec) -> None:
        logged = await self._logged_before(run, f"Running the release command: {spec.command}")
        container = await self._started(run, spec)
        state = await self._wait_for_end(run, container, logged)
        if state is None:
            raise DeploymentFailed(end_is_unknown())
        if state.exit_code != 0:
            was_from_outside = await endings.was_ended_from_outside(self._engine, state)
            lines = await end_of_log(self._engine, container)
            raise DeploymentFailed(release_failure(state, lines, was_from_outside=was_from_outside))
        run.write_log("The release command has succeeded.")

    async def _started(self, run: DeploymentRun, spec: ContainerSpec) -> str:
        """Return the container, which runs or has run. Idempotent."""
        recorded = run.deployment.command_container
        if recorded is None:
            existing = await containers.find_release_command(self._engine, run.deployment.id)
        elif (existing := await containers.inspect(self._engine, recorded)) is None:
            raise DeploymentFailed(end_is_unknown())
        if existing is not None and existing.started_at is not None:
            if recorded is None:
                await self._record(run, container=existing.id)
            return existing.id
        await run.job.still_leading()
        try:
            container = existing.id if existing is not None else await containers.create(self._engine, spec)
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

    async def _wait_for_end(
        self, run: DeploymentRun, container: str, logged: Iterator[str]
    ) -> ContainerState | None:
        """Write the command's output to the log and return how it has ended; None when its container is gone.

        Its deadline counts from its start, also when another server has waited for it before.
        """
        state = await containers.inspect(self._engine, container)
        try:
            async with asyncio.timeout(self._seconds_left(state)) as limit:
                return await self._follow_output(run, container, logged)
        except TimeoutError:
            if not limit.expired():
                raise
            state = await containers.inspect(self._engine, container)
            if state is None or not state.running:
                return state  # it was in time; only its output is still being read
            await containers.stop(self._engine, container, self._settings.apps.stop_grace_seconds)
            lines = await end_of_log(self._engine, container)
            failure = took_too_long(self._settings.deadlines.releasing, lines)
            raise DeploymentFailed(failure) from None

    def _seconds_left(self, state: ContainerState | None) -> float | None:
        """Return None when the command has ended, and only its output is left to read."""
        if state is None or not state.running or state.started_at is None:
            return None
        passed = (datetime.now(UTC) - state.started_at).total_seconds()
        return max(0.0, self._settings.deadlines.releasing - passed)

    async def _follow_output(
        self, run: DeploymentRun, container: str, logged: Iterator[str]
    ) -> ContainerState | None:
        """Log the command's output until it ends, up to half of what a log may hold, and its last lines in any case.

        The engine itself loses lines when a command writes very fast.
        """
        since: int | None = None
        left = self._settings.builds.log_limit_bytes // 2
        pace = LoopPacer()
        while True:
            if left > 0:
                async with aclosing(logs.read(self._engine, container, follow=True, since=since)) as lines:
                    async for line in lines:
                        since = line.nanoseconds if since is None else max(since, line.nanoseconds)
                        self._write_new(run, line.text, logged)
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
            self._write_new(run, text, logged)
        return state

    def _write_new(self, run: DeploymentRun, line: str, logged: Iterator[str]) -> None:
        if self._journal.as_stored(line) not in logged:
            run.write_log(line)

    async def _logged_before(self, run: DeploymentRun, heading: str) -> Iterator[str]:
        """Return the lines that the build log got since the command was started, in order.

        The command's lines are searched in it one after the other. So those that an interruption has lost are
        written, and none is written twice.
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
        """End the command at once. If the engine can't, the deployment's cleanup does."""
        try:
            container = await containers.find_release_command(self._engine, deployment.id)
            if container is not None:
                await containers.stop(self._engine, container.id, _CANCEL_GRACE_SECONDS)
            await containers.remove_of_role(self._engine, Role.RELEASE_COMMAND, deployment.id)
        except EngineUnavailable as error:
            log.warning("release_command.not_ended", deployment=deployment.id, reason=error.reason)
