"""A phase changes only through `advance`, only from where it was read, and only by the server that leads."""

from __future__ import annotations

import pytest

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.failures import Failure, FailureCode
from stackyn_server.errors import StackynError
from stackyn_server.store import deployments, events
from stackyn_server.store.database import Database
from stackyn_server.store.deployments import Moved, Mover, StepResults
from stackyn_server.store.installation import LeadershipLost
from tests.rows import a_deployment, an_app, take_epoch

ME = Mover(0, "7:1")


async def test_a_move_raises_the_version_and_tells_an_event(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        deployment = await a_deployment(connection, app)
        moved = await deployments.advance(connection, deployment, Phase.FETCHING, ME)
        app_events = await events.list_of_app(connection, app.id)
    assert (moved.phase, moved.version, moved.moved_by) == (Phase.FETCHING, 1, "7:1")
    assert [event.name for event in app_events] == ["deployment.fetching", "deployment.queued"]


async def test_an_advance_from_an_older_version_raises_moved(database: Database) -> None:
    async with database.transaction() as connection:
        deployment = await a_deployment(connection, await an_app(connection))
        await deployments.advance(connection, deployment, Phase.FETCHING, ME)
        with pytest.raises(Moved):
            await deployments.advance(connection, deployment, Phase.CANCELLED, ME)


async def test_an_older_epoch_moves_nothing(database: Database) -> None:
    async with database.transaction() as connection:
        deployment = await a_deployment(connection, await an_app(connection))
    await take_epoch(database, 5)
    async with database.transaction() as connection:
        with pytest.raises(LeadershipLost):
            await deployments.advance(connection, deployment, Phase.FETCHING, ME)
        assert await deployments.get(connection, deployment.id) == deployment


async def test_phases_can_not_be_skipped(database: Database) -> None:
    async with database.transaction() as connection:
        deployment = await a_deployment(connection, await an_app(connection))
        with pytest.raises(StackynError):
            await deployments.advance(connection, deployment, Phase.LIVE, ME)


async def test_an_unanswered_commit_that_happened_is_recognised(database: Database) -> None:
    async with database.transaction() as connection:
        before = await a_deployment(connection, await an_app(connection))
        await deployments.advance(connection, before, Phase.FETCHING, ME)
        deployment_row = await deployments.get(connection, before.id)
    assert deployment_row is not None
    assert deployments.was_recorded(deployment_row, before, Phase.FETCHING, ME)
    assert not deployments.was_recorded(deployment_row, before, Phase.FETCHING, Mover(0, "8:1"))


async def test_a_release_command_is_recorded_while_it_runs_only(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        built = await a_deployment(connection, app, Phase.BUILT)
        with pytest.raises(Moved):
            await deployments.set_command(connection, built, ME, container="c1")
        releasing = await deployments.advance(connection, built, Phase.RELEASING, ME)
        begun = await deployments.set_command(connection, releasing, ME, container="c1")
        assert (begun.command_container, begun.command_done_at) == ("c1", None)
        done = await deployments.set_command(connection, begun, ME, is_done=True)
        assert done.command_container == "c1" and done.command_done_at is not None
        assert await deployments.set_command(connection, releasing, ME, is_done=True) == done, (
            "safe to repeat"
        )


async def test_an_older_epoch_records_no_release_command(database: Database) -> None:
    async with database.transaction() as connection:
        releasing = await a_deployment(connection, await an_app(connection), Phase.RELEASING)
    await take_epoch(database, 5)
    async with database.transaction() as connection:
        with pytest.raises(LeadershipLost):
            await deployments.set_command(connection, releasing, ME, container="c1")


async def test_a_failure_keeps_its_evidence_and_ends_the_deployment(database: Database) -> None:
    failure = Failure(FailureCode.BUILD_FAILED, "The build failed.", "Look at the log.", "line\x00 1")
    async with database.transaction() as connection:
        deployment = await a_deployment(connection, await an_app(connection), Phase.BUILDING)
        failed = await deployments.advance(
            connection, deployment, Phase.FAILED, ME, StepResults(failure=failure)
        )
    assert failed.failure == {
        "code": "BUILD_FAILED",
        "phase": "building",
        "message": "The build failed.",
        "hint": "Look at the log.",
        "evidence": "line\ufffd 1",
    }
    assert failed.ended_at is not None


async def test_an_app_has_one_live_deployment(database: Database) -> None:
    async with database.transaction() as connection:
        app = await an_app(connection)
        await a_deployment(connection, app, Phase.LIVE)
        waiting = await a_deployment(connection, app, Phase.SWITCHING)
    with pytest.raises(StackynError):
        async with database.transaction() as connection:
            await deployments.advance(connection, waiting, Phase.LIVE, ME)
