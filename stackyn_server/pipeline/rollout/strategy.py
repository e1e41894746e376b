"""How a release takes over from the one that serves: the methods of a rollout strategy, and the choice of one."""

from __future__ import annotations

from abc import ABC, abstractmethod

from stackyn_server.domain.memory import RolloutChoice, choose_strategy, fits_in_memory
from stackyn_server.engine import containers
from stackyn_server.pipeline.context import JobHandler
from stackyn_server.pipeline.rollout.candidate import Candidate
from stackyn_server.pipeline.rollout.memory_reservations import NoMemory
from stackyn_server.pipeline.rollout.situation import memory_mb, read_situation
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import instances, routes
from stackyn_server.store.database import Connection
from stackyn_server.store.instances import InstanceState
from stackyn_server.store.routes import RouteState
from stackyn_server.store.situations import Situation


class RolloutStrategy(JobHandler, ABC):
    """The steps in which the two strategies differ, in the order in which `ReleaseHandler` calls them.

    The two methods with a `transaction` write rows in the transaction that moves the deployment to its next phase.
    """

    async def before_want(self, run: DeploymentRun, situation: Situation) -> None:
        """Free the slot that the candidate will take."""

    @abstractmethod
    async def want(
        self, transaction: Connection, run: DeploymentRun, situation: Situation, ports: tuple[int, ...]
    ) -> None:
        """Record the candidate, whose image exposes `ports`."""

    async def before_boot(self, run: DeploymentRun, situation: Situation, candidate: Candidate) -> None:
        """Prepare the start of the candidate's container."""

    async def found_port(self, situation: Situation, candidate: Candidate) -> None:
        """Handle a candidate that listens on another port than was recorded."""

    async def want_route(self, transaction: Connection, candidate: Candidate) -> None:
        """Record that the route switches to the ready candidate."""

    @abstractmethod
    async def switch(self, run: DeploymentRun, situation: Situation, candidate: Candidate) -> None:
        """Have requests reach the candidate."""

    async def after_live(self, situation: Situation, candidate: Candidate) -> None:
        """Finish the rollout after the deployment is recorded as live."""


class StrategyChoice(JobHandler):
    async def choose(self, run: DeploymentRun, situation: Situation) -> RolloutChoice:
        """Decide how the deployment's release takes over, and reserve its memory. Raises `NoMemory`."""
        app, current = situation.app, situation.route_instance
        reserve_mb, wanted_mb = self._settings.apps.memory_reserve_mb, memory_mb(situation)
        plans = self._settings.plans
        plan = plans.get(situation.account_plan) or plans[self._settings.billing.default_plan]
        may_hold = self._ingress.can_hold and not plan.zero_downtime
        runs_already = await self._runs_already(run)
        available_mb = await self._reservations.available_mb(app.id)
        if current is not None and situation.route is RouteState.HELD:
            # Requests may be held for the slot of `current`, so the next instance must start in that slot.
            is_own = current.deployment == run.deployment.id
            is_possible = is_own or fits_in_memory(available_mb, reserve_mb, wanted_mb)
            strategy = RolloutChoice.IN_PLACE if is_possible else RolloutChoice.WAIT
        elif runs_already:
            strategy = RolloutChoice.SIDE_BY_SIDE
        else:
            serving_mb = current.memory_mb if current else None
            strategy = choose_strategy(available_mb, reserve_mb, wanted_mb, serving_mb, may_hold=may_hold)
        if strategy is RolloutChoice.WAIT:
            raise NoMemory
        self._reservations.reserve(app.id, wanted_mb)
        return strategy

    async def _runs_already(self, run: DeploymentRun) -> bool:
        """Return whether the candidate of an earlier attempt runs: the machine's free memory is without its memory."""
        async with self._database.connection() as connection:
            instance = await instances.of_deployment(connection, run.deployment.id)
        state = await containers.find(self._engine, instance.id) if instance else None
        return state is not None and state.running

    async def need_memory_beside(self, run: DeploymentRun, situation: Situation) -> None:
        """Reserve the memory of a release command, which runs beside the instance that serves. Raises `NoMemory`.

        Where the release will take over in place, the command may use the operator's reserve, but no more than that.
        """
        if await self.choose(run, situation) is not RolloutChoice.IN_PLACE:
            return
        available_mb = await self._reservations.available_mb(situation.app.id)
        if not fits_in_memory(available_mb, 0, memory_mb(situation)):
            raise NoMemory

    async def keep_awake(self, run: DeploymentRun, situation: Situation) -> Situation:
        """Keep the running instance of an app whose sleep was interrupted by a stop of the server, and let its held
        requests pass. Returns the new situation."""
        app, current = situation.app, situation.route_instance
        if current is None or situation.route is not RouteState.HELD or current.state is not InstanceState.UP:
            return situation
        await run.record(lambda transaction: routes.serve(transaction, app.id, current.id))
        self._held_requests.forget(app.id)
        return await read_situation(run)
