"""The switch itself: the route turns to a new instance, the proxy confirms it, or everything goes back the same way."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.domain.ids import InstanceId
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.hosts import confirm_as_it_is, hosts_of
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import routes
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection, DatabaseUnavailable
from stackyn_server.store.installation import LeadershipLost
from stackyn_server.store.instances import Instance

_BACK_AGAIN_SECONDS = 0.5  # between two tries to have the way back confirmed


class Switch(JobHandler):
    """Its rows were written before it begins: the route wants the new instance and knows the one before."""

    async def until_possible(self, run: DeploymentRun) -> None:
        """Return when there is an ingress: a server that has just started may have none yet.

        Raises `TransientFailure` when there is none for as long as a switch may take, `JobCancelled`.
        """
        if self._ingress_ready.is_set():
            return
        run.write_log("Waiting for the server's ingress.")
        try:
            async with asyncio.timeout(self._settings.deadlines.switching):
                await run.job.until_cancelled(self._ingress_ready.wait())
        except TimeoutError as error:
            raise TransientFailure(_no_ingress()) from error

    async def to(self, run: DeploymentRun, app: App, instance: Instance) -> None:
        """Return when every entry point serves the app from `instance`.

        Raises `DeploymentFailed` when that could not be confirmed in time: then the rows have the route back, and the
        proxy has confirmed that too, or the deployment's cleanup goes on asking before it takes the container away.
        Raises `TransientFailure` while there is no ingress: the rows have the route back, and everything else stays.
        """
        await run.job.still_leading()
        began = run.job.now()
        try:
            await self.until_possible(run)
            hosts = await self._hosts_of_wanted(app, instance)
            confirmed = self._ingress.apply({host: instance.id for host in hosts})
            await run.step(confirmed, _failure("The proxy did not answer in time."))
        except (DatabaseUnavailable, LeadershipLost):
            raise  # the rows still want the route, so the next attempt goes on here
        except Exception as error:
            await run.record(lambda connection: _revert(connection, app, instance))
            if not _is_final(error):
                raise
            run.write_log(f"{error} Going back.")
            left = began + timedelta(seconds=self._settings.deadlines.switching) - run.job.now()
            way_back = await self._way_back(run, app, left.total_seconds())
            if not isinstance(error, NotConfirmed):
                raise
            raise DeploymentFailed(_failure(error.message, way_back)) from error

    async def _hosts_of_wanted(self, app: App, instance: Instance) -> list[str]:
        """Return the app's hosts. Raises `NotConfirmed` when a server died after it had turned the route back."""
        async with self._database.connection() as connection:
            route = await routes.get(connection, app.id)
            if route is None or route.instance != instance.id:
                raise NotConfirmed("it was turned back already when the server stopped")
            return await hosts_of(connection, self._settings, app)

    async def _way_back(self, run: DeploymentRun, app: App, seconds: float) -> str:
        """Have the proxy confirm the route as it was, while there is time. Return what to tell of it."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                serving = await run.job.until_cancelled(self._until_back(app))
        except TimeoutError:
            return "Nothing was switched off: it is put right as soon as the proxy answers."
        return "The previous release goes on serving." if serving else "No release serves yet."

    async def _until_back(self, app: App) -> InstanceId | None:
        """Return the instance that serves again; None when none did before."""
        while True:
            async with self._database.connection() as connection:
                hosts = await hosts_of(connection, self._settings, app)
                route = await routes.get(connection, app.id)
            try:
                serving = route.instance if route else None
                await confirm_as_it_is(self._ingress, hosts, serving)
                return serving
            except NotConfirmed:
                await asyncio.sleep(_BACK_AGAIN_SECONDS)


def _is_final(error: Exception) -> bool:
    """Whether the deployment ends with this error, instead of being tried again, cancelled, or a fault of ours."""
    return isinstance(error, NotConfirmed) or (
        isinstance(error, DeploymentFailed) and not isinstance(error, TransientFailure)
    )


async def _revert(connection: Connection, app: App, instance: Instance) -> None:
    await routes.revert(connection, app.id, instance.id)


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
