"""A switch that the proxy does not confirm: the deployment fails for that reason, whatever happens on the way back."""

from __future__ import annotations

import asyncio

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.failures import Failure, FailureCode
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.publisher import NotPublished
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.rollout.candidate import Candidate
from stackyn_server.pipeline.rollout.switch import RouteSwitch
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import instances, routes, situations
from stackyn_server.store.database import Database
from tests.integration.pipeline.parts import a_context
from tests.integration.pipeline.test_endings import ended
from tests.rows import a_release

TO_SWITCHING = (
    Phase.FETCHING, Phase.PLANNING, Phase.BUILDING, Phase.BUILT, Phase.BOOTING, Phase.PROBING, Phase.SWITCHING,
)  # fmt: skip


class FullDisk:
    """A proxy that does not confirm, and whose route file can't be written at the first attempt to go back."""

    def __init__(self) -> None:
        self._publications = 0

    async def apply(self, _changed: object) -> int:
        raise NotConfirmed("shop.example.test answered 404")

    async def publish(self) -> int:
        self._publications += 1
        if self._publications == 1:
            raise NotPublished(Failure(FailureCode.SWITCH_FAILED, "The route file could not be written."))
        return self._publications

    async def confirm(self, _number: int, _changed: object) -> None:
        pass


async def test_failed_switch_keeps_its_reason_when_the_way_back_fails(
    database: Database, journal: Journal
) -> None:
    ready = asyncio.Event()
    ready.set()
    switch = RouteSwitch(a_context(database, ingress=FullDisk(), ingress_ready=ready))

    async def steps(run: DeploymentRun) -> None:
        for phase in TO_SWITCHING:
            await run.move(phase)
        async with database.transaction() as connection:
            release = await a_release(connection, run.deployment)
            instance = await instances.insert(connection, run.deployment.app, release.id, run.deployment.id)
            assert instance is not None
            await routes.want(connection, run.deployment.app, instance.id)
            situation = await situations.read(connection, run.deployment.id)
        assert situation is not None
        await switch.to(run, situation, Candidate(release, instance))

    deployment = await ended(database, journal, steps)
    assert (
        deployment.failure is not None and "shop.example.test answered 404" in deployment.failure["message"]
    )
    assert "No release serves yet." in deployment.failure["hint"]
