"""Limits how often a deployment's files are read: files that crash the reading process are not read for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.domain.failures import DeploymentFailed, TransientFailure
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.source import reader

MOST = 2
_READINGS = "readings"  # in the job's arguments


async def plan_with_limit(run: DeploymentRun, read: Callable[[], Awaitable[BuildPlan]]) -> BuildPlan:
    """Plan a commit. Each attempt is counted in the job's row, where the count survives a crash of this server.

    Raises `DeploymentFailed` when the reading process dies a second time. The third attempt fails without reading:
    servers have then ended while they waited for the process.
    """
    earlier = run.job.job.arguments.get(_READINGS, 0)
    attempts = earlier + 1
    await _record(run, attempts)
    if attempts > MOST:
        raise DeploymentFailed(reader.reader_died())
    try:
        return await read()
    except reader.ReaderDied as died:
        if attempts == MOST:
            raise DeploymentFailed(died.failure) from died
        raise
    except TransientFailure:
        await _record(run, earlier)  # git has failed: no process has died
        raise


async def _record(run: DeploymentRun, attempts: int) -> None:
    """Record the number itself: a COMMIT whose answer was lost is repeated, and counts only once."""
    await run.record(lambda connection: run.job.remember(connection, {_READINGS: attempts}))
