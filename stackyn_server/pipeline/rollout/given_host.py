"""A release waits until the proxy has confirmed that its app's host leads no longer to the deleted app that had it."""

from __future__ import annotations

from datetime import timedelta

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode
from stackyn_server.domain.jobs import Kind, ReleaseArguments
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import apps, deployments, jobs
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection

_REASON = "The deleted app that had this address before is still being taken away from it."


async def waits_for_host(run: DeploymentRun, app: App) -> bool:
    """Have the job wait while a deleted app of the same owner may still have the app's host. Returns whether it waits;
    the deleted app's removal wakes it.

    Raises `DeploymentFailed` when the host is not free by `[deadlines] preparing`.
    """
    until = run.deployment.phase_since + timedelta(seconds=run.settings.deadlines.preparing)
    known = ReleaseArguments.parse(run.job.job.arguments).waits_for

    async def wait(transaction: Connection) -> bool:
        givers = [str(giver) for giver in await apps.lock_givers(transaction, app.slug)]
        if not givers:
            await deployments.set_waiting_reason(transaction, run.deployment.id, None)
            return False
        if run.job.now() >= until:
            raise DeploymentFailed(_too_late(run.settings.deadlines.preparing))
        await deployments.set_waiting_reason(transaction, run.deployment.id, _REASON)
        await run.job.wait(transaction, until, _REASON)
        await jobs.amend(transaction, Kind.RELEASE, run.deployment.id, ReleaseArguments(givers))
        return True

    waits = await run.record(wait)
    if waits and not known:
        run.write_log(f"{_REASON} The release begins when that is done.")
    return waits


def _too_late(seconds: float) -> Failure:
    return Failure(
        FailureCode.SWITCH_FAILED,
        f"The address was not free within {seconds / 60:.0f} minutes: the deleted app that had it still has its route.",
        "Deploy again later; tell the operator if it happens twice.",
    )
