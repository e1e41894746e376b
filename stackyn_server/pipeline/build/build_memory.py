"""How much memory a build gets, and how builds that use more than the usual amount share the machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.config import Settings
from stackyn_server.domain.ids import DeploymentId
from stackyn_server.domain.memory import build_mb
from stackyn_server.engine import host_memory
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import accounts
from stackyn_server.store.apps import App


class Shares:
    """Shares of a resource that several owners use, in any unit. An owner waits in turn for more than is left."""

    def __init__(self) -> None:
        self._taken: dict[DeploymentId, int] = {}
        self._turn = asyncio.Lock()
        self._freed = asyncio.Condition()

    async def take(self, owner: DeploymentId, amount: int, of: int, on_wait: Callable[[], None]) -> None:
        """Take `amount` as soon as all shares together don't exceed `of`, or as soon as nobody else has a share."""

        def has_share() -> bool:
            return not self._taken or sum(self._taken.values()) + amount <= of

        async with self._turn, self._freed:
            if not has_share():
                on_wait()
            await self._freed.wait_for(has_share)
            self._taken[owner] = amount

    async def give_back(self, owner: DeploymentId) -> None:
        """Idempotent; an owner without a share may call it."""
        async with self._freed:
            self._taken.pop(owner, None)
            self._freed.notify_all()


class BuildMemory:
    """One for the process: builds with more than the usual memory must fit into the machine together."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shares = Shares()

    @asynccontextmanager
    async def reserved(self, run: DeploymentRun, app: App, plan: BuildPlan) -> AsyncIterator[int]:
        """Reserve a build's memory during the block, and yield it in MiB. Waits in turn while other builds use too much
        of the machine; the build log says so. Raises `JobCancelled` when the deployment is cancelled meanwhile."""
        builds, owner = self._settings.builds, run.deployment.id
        machine_mb = await asyncio.to_thread(host_memory.total_mb) - self._settings.apps.memory_reserve_mb
        granted_mb = await self._grant(run, app, plan, machine_mb)
        together_mb = max(machine_mb, builds.memory_mb * builds.concurrency)  # usual ones wait for none

        def on_wait() -> None:
            run.write_log("Waiting until another build has ended: together they would use too much memory.")

        try:
            await run.job.until_cancelled(self._shares.take(owner, granted_mb, together_mb, on_wait))
            yield granted_mb
        finally:
            await self._shares.give_back(owner)

    async def _grant(self, run: DeploymentRun, app: App, plan: BuildPlan, machine_mb: int) -> int:
        usual = self._settings.builds.memory_mb
        asked = app.settings.build_memory_mb or plan.deploying.build_memory_mb
        if asked is None:
            return usual
        account = await run.record(lambda connection: accounts.get(connection, app.tenant))
        plans = self._settings.plans
        billing = plans.get(account.plan if account else "") or plans[self._settings.billing.default_plan]
        given = build_mb(asked, usual, billing.max_build_memory_mb, machine_mb)
        why = (
            f", less than build_memory_mb asks for ({asked}): that is the most here" if given < asked else ""
        )
        run.write_log(f"The build may use {given} MiB of memory{why}.")
        return given
