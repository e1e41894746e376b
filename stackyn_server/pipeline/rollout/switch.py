"""The switch: the route goes to the candidate and the proxy confirms that, or it goes back and that is confirmed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.domain.ids import AppId, InstanceId
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.publisher import NotPublished
from stackyn_server.pause import Pause, is_set_within
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.hosts import confirm_route
from stackyn_server.pipeline.rollout.candidate import Candidate
from stackyn_server.pipeline.rollout.situation import hosts_in
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import routes
from stackyn_server.store.failures import Contention, DatabaseUnavailable
from stackyn_server.store.installation import LeadershipLost
from stackyn_server.store.routes import RouteState
from stackyn_server.store.situations import Situation


class RouteSwitch(JobHandler):
    async def until_possible(self, run: DeploymentRun) -> None:
        """Return when there is an ingress, which a server that has just started may not have yet.

        Raises `TransientFailure` when there is none for as long as a switch may take, `JobCancelled`.
        """
        if self._ingress_ready.is_set():
            return
        run.write_log("Waiting for the server's ingress.")
        seconds = self._settings.deadlines.switching
        if not await run.job.until_cancelled(is_set_within(self._ingress_ready, seconds)):
            raise TransientFailure(_no_ingress())

    async def to(self, run: DeploymentRun, situation: Situation, candidate: Candidate) -> None:
        """Return when every entry point serves the app from the candidate. The rows want that already.

        Raises `DeploymentFailed` when it is not confirmed in time: the rows have the old route again, and either the
        proxy has confirmed that, or the deployment's cleanup goes on asking before it removes the container.
        Raises `TransientFailure` while there is no ingress: the rows have the old route, and the candidate stays.
        """
        app, instance, hosts = situation.app, candidate.instance.id, hosts_in(situation, self._settings)
        await run.job.still_leading()
        began = run.job.now()
        try:
            await self.until_possible(run)
            if not situation.leads_to(instance, RouteState.SWITCHING, RouteState.SERVING):
                raise NotConfirmed("it was turned back already when the server stopped")
            confirmed = self._ingress.apply(dict.fromkeys(hosts, instance))
            await run.step(confirmed, _failure("The proxy did not answer in time."))
        except (DatabaseUnavailable, Contention, LeadershipLost):
            raise  # the rows still want the route, so the next attempt goes on here
        except Exception as error:
            await run.record(lambda transaction: routes.revert(transaction, app.id, instance))
            if not _is_final(error):
                raise
            run.write_log(f"{error} Going back.")
            left = began + timedelta(seconds=self._settings.deadlines.switching) - run.job.now()
            way_back = await self._way_back(run, app.id, hosts, left.total_seconds())
            if not isinstance(error, NotConfirmed):
                raise
            raise DeploymentFailed(_failure(error.message, way_back)) from error

    async def _way_back(self, run: DeploymentRun, app: AppId, hosts: list[str], seconds: float) -> str:
        """Have the proxy confirm the route as it was, while there is time. Returns the sentence for the tenant."""
        try:
            async with asyncio.timeout(max(seconds, 0)) as limit:
                serving = await run.job.until_cancelled(self._until_back(app, hosts))
        except TimeoutError:
            if not limit.expired():
                raise
            return "Nothing was switched off: it is put right as soon as the proxy answers."
        return "The previous release goes on serving." if serving else "No release serves yet."

    async def _until_back(self, app: AppId, hosts: list[str]) -> InstanceId | None:
        """Return the instance that serves again; None when none did before."""
        pause = Pause.of(self._settings.jobs)
        while True:
            async with self._database.connection() as connection:
                route = await routes.get(connection, app)
            serving = route.instance if route else None
            try:
                await confirm_route(self._ingress, hosts, serving)
                return serving
            except (NotConfirmed, NotPublished):
                await pause.wait()


def _is_final(error: Exception) -> bool:
    """Whether the deployment ends with this error, instead of being tried again, cancelled, or a fault of ours."""
    return isinstance(error, NotConfirmed) or (
        isinstance(error, DeploymentFailed) and not isinstance(error, TransientFailure)
    )


def _no_ingress() -> Failure:
    return Failure(
        FailureCode.SWITCH_FAILED,
        "The server's ingress is not ready, so no visitor could reach the release.",
        "Deploy again later; tell the operator if it stays: the server's /health/ready says why.",
    )


def _failure(why: str, way_back: str = "The previous release goes on serving.") -> Failure:
    return Failure(
        FailureCode.SWITCH_FAILED,
        f"The new release was ready, but its address could not be switched to it. {why}",
        f"{way_back} Deploy again; tell the operator if it happens twice.",
    )
