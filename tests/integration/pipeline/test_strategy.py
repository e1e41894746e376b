"""Which strategy a release takes, and whether it has memory for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from stackyn_server.config import Settings
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.failures import TransientFailure
from stackyn_server.domain.memory import RolloutChoice
from stackyn_server.engine import containers, host_memory
from stackyn_server.pipeline.rollout.candidate import ensure_candidate
from stackyn_server.pipeline.rollout.memory_reservations import MemoryReservations, NoMemory
from stackyn_server.pipeline.rollout.strategy import StrategyChoice
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.security.sealing import Sealer
from stackyn_server.store import instances, situations
from stackyn_server.store.database import Database
from tests.integration.pipeline.parts import a_context
from tests.rows import a_deployment, a_release, a_serving_app


@pytest.mark.parametrize("runs", [True, False], ids=["runs", "has ended"])
async def test_retry_does_not_wait_for_the_memory_of_its_own_candidate(
    database: Database, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    async def find(_engine: object, _instance: object) -> SimpleNamespace:
        return SimpleNamespace(running=runs)

    monkeypatch.setattr(containers, "find", find)
    monkeypatch.setattr(host_memory, "available_mb", lambda: 0)
    async with database.transaction() as connection:
        app, _ = await a_serving_app(connection)
        deployment = await a_deployment(connection, app, Phase.BUILT)
        release = await a_release(connection, deployment)
        await instances.insert(connection, app.id, release.id, deployment.id)
        situation = await situations.read(connection, deployment.id)
    assert situation is not None
    run = cast(DeploymentRun, SimpleNamespace(deployment=deployment))
    ingress = SimpleNamespace(can_hold=False)
    choice = StrategyChoice(a_context(database, ingress=ingress, reservations=MemoryReservations()))

    if runs:
        assert await choice.choose(run, situation) is RolloutChoice.SIDE_BY_SIDE
    else:
        with pytest.raises(NoMemory):
            await choice.choose(run, situation)


async def test_candidate_whose_slot_was_just_taken_is_tried_again(database: Database) -> None:
    """A cleanup has set the app idle in that slot at the same moment."""
    async with database.transaction() as connection:
        app, serving = await a_serving_app(connection)
        deployment = await a_deployment(connection, app, Phase.BUILT)
        idle = await instances.get(connection, serving)
    assert idle is not None
    with pytest.raises(TransientFailure):
        async with database.transaction() as connection:
            await ensure_candidate(
                connection, Sealer({1: bytes(32)}), Settings(), app, deployment, (), idle.slot
            )
