"""A build waits for base images that this server has not made yet. Jobs make them; meanwhile another build may run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode
from stackyn_server.domain.jobs import BuildArguments, Kind
from stackyn_server.images.base_image_store import BaseImageStore
from stackyn_server.images.recipes import is_known
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import deployments, jobs
from stackyn_server.store.database import Connection


async def collect_or_wait(run: DeploymentRun, image_store: BaseImageStore) -> dict[str, str] | None:
    """Return the digests of the plan's base images by name when all are here. Otherwise record that the build's job
    waits until the missing ones are made, and return None.

    Raises `DeploymentFailed` when an image can't be made or is not ready by `[deadlines] preparing`, `JobCancelled`.
    """
    plan = BuildPlan.from_json(run.deployment.plan or {})
    entries = await run.job.until_cancelled(asyncio.to_thread(image_store.entries))
    missing = sorted(name for name in plan.base_images if is_known(name) and name not in entries)
    waits_for = BuildArguments.parse(run.job.job.arguments).waits_for
    if missing:
        for name in missing:
            if name not in waits_for:
                run.write_log(f"Making the base image {name}; this happens once on this server.")
        await run.record(lambda connection: _wait_for(connection, run, missing))
        return None
    if waits_for:
        seconds = (run.job.now() - run.deployment.phase_since).total_seconds()
        run.write_log(f"{_sentence_start(waits_for)} made, after {seconds:.0f} s.")
    here = [name for name in plan.base_images if name in entries]
    await asyncio.to_thread(image_store.mark_used, here)
    return {name: entries[name].digest for name in here}


async def _wait_for(connection: Connection, run: DeploymentRun, missing: Sequence[str]) -> None:
    until = run.deployment.phase_since + timedelta(seconds=run.settings.deadlines.preparing)
    for name in missing:
        await _order(connection, run, name)
    if run.job.now() >= until:
        raise DeploymentFailed(_too_late(missing, run.settings.deadlines.preparing))
    reason = f"{_sentence_start(missing)} being made."
    await deployments.set_waiting_reason(connection, run.deployment.id, reason)
    await run.job.wait(connection, until, reason)
    waits_for = {*BuildArguments.parse(run.job.job.arguments).waits_for, *missing}
    await jobs.amend(connection, Kind.BUILD, run.deployment.id, BuildArguments(sorted(waits_for)))


async def _order(connection: Connection, run: DeploymentRun, name: str) -> None:
    """Enqueue the job that makes an image. It can't end before this transaction, so it finds this build to wake.

    Raises `DeploymentFailed` when the job has been given up since the deployment began to wait.
    """
    while not await jobs.lock_open(connection, Kind.IMAGE, name):
        reason = await jobs.given_up_since(connection, Kind.IMAGE, name, run.deployment.phase_since)
        if reason is not None:
            raise DeploymentFailed(_not_made(name, reason))
        await jobs.enqueue(connection, Kind.IMAGE, name)


def _sentence_start(names: Sequence[str]) -> str:
    """Return the beginning of a sentence, up to its verb."""
    return (
        f"The base image {names[0]} is" if len(names) == 1 else f"The base images {' and '.join(names)} are"
    )


def _not_made(name: str, reason: str) -> Failure:
    return Failure(
        FailureCode.VERSION_UNAVAILABLE,
        f"The base image {name} could not be made on this server.",
        "Ask for another version, or deploy again later. The operator finds the reason in the server's log.",
        reason,
    )


def _too_late(names: Sequence[str], seconds: float) -> Failure:
    return Failure(
        FailureCode.BUILD_TIMEOUT,
        f"{_sentence_start(names)} not ready within {seconds / 60:.0f} minutes.",
        "Deploy again later: what is being made meanwhile is kept.",
    )
