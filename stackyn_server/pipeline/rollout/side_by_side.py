"""The rollout strategy side by side: the candidate starts in the free slot, beside the instance that serves. The route
is switched when the candidate is ready, and the other instance ends only after that. No visitor notices."""

from __future__ import annotations

from stackyn_server.pipeline.context import PipelineContext
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.rollout.candidate import Candidate, ensure_candidate
from stackyn_server.pipeline.rollout.strategy import RolloutStrategy
from stackyn_server.pipeline.rollout.switch import RouteSwitch
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import routes
from stackyn_server.store.database import Connection
from stackyn_server.store.situations import Situation


class SideBySide(RolloutStrategy):
    def __init__(self, context: PipelineContext, route_switch: RouteSwitch) -> None:
        super().__init__(context)
        self._route_switch = route_switch

    async def want(
        self, transaction: Connection, run: DeploymentRun, situation: Situation, ports: tuple[int, ...]
    ) -> None:
        await ensure_candidate(
            transaction, self._sealer, self._settings, situation.app, run.deployment, ports
        )

    async def want_route(self, transaction: Connection, candidate: Candidate) -> None:
        await routes.want(transaction, candidate.instance.app, candidate.instance.id)

    async def switch(self, run: DeploymentRun, situation: Situation, candidate: Candidate) -> None:
        await self._route_switch.to(run, situation, candidate)
        crash_point("release.confirmed")
