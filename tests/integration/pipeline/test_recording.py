"""A step's result is recorded in spite of contention and of a COMMIT whose answer was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain, repeat
from types import SimpleNamespace
from typing import cast

import pytest

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.deployments import Phase
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.build.plan_attempts import plan_with_limit
from stackyn_server.pipeline.run import DeploymentRun
from stackyn_server.store import apps
from stackyn_server.store.database import Connection, Database
from stackyn_server.store.failures import CommitUnknown, Contention, translated
from tests.integration.jobs.builders import rows
from tests.integration.pipeline.test_endings import FAILED, PLAN, ended, refuse

CONTENTION = "IF nextval('attempts') <= 2 THEN RAISE EXCEPTION USING ERRCODE = '40001'; END IF"


async def test_step_is_repeated_after_contention(database: Database, journal: Journal) -> None:
    blocks = 0

    async def steps(run: DeploymentRun) -> None:
        nonlocal blocks
        async for attempt in run.recording(Phase.FETCHING):
            async with attempt as transaction:
                blocks += 1
                await apps.remember_branch(transaction, run.deployment.app, "trunk")
        raise FAILED

    async with database.connection() as connection:
        await connection.execute("CREATE SEQUENCE attempts")
    await refuse(database, "event", "INSERT", "NEW.name = 'deployment.fetching'", CONTENTION)
    deployment = await ended(database, journal, steps)
    assert blocks == 3
    assert deployment.failure is not None and deployment.failure["code"] == "BUILD_FAILED"


async def test_step_is_repeated_after_contention_that_its_block_translated(
    database: Database, journal: Journal
) -> None:
    """As when a candidate's slot is taken at the same time."""
    blocks = 0

    async def steps(run: DeploymentRun) -> None:
        nonlocal blocks
        async for attempt in run.recording(Phase.FETCHING):
            async with attempt as transaction:
                blocks += 1
                with translated():
                    await apps.set_desired(transaction, run.deployment.app, Desired.STOPPED)
        assert run.deployment.phase is Phase.FETCHING
        raise FAILED

    async with database.connection() as connection:
        await connection.execute("CREATE SEQUENCE attempts")
    await refuse(database, "app", "UPDATE", "NEW.desired = 'stopped'", CONTENTION)
    deployment = await ended(database, journal, steps)
    (job,) = await rows(database, "kind = 'build'")
    assert (blocks, job.attempt) == (3, 1)
    assert deployment.failure is not None and deployment.failure["code"] == "BUILD_FAILED"


async def test_contention_between_steps_retries_the_job(database: Database, journal: Journal) -> None:
    """As while the database is away: the deployment stays in its phase, and the next attempt goes on there."""
    phases: list[Phase] = []

    async def steps(run: DeploymentRun) -> None:
        phases.append(run.deployment.phase)
        if run.deployment.phase is Phase.QUEUED:
            await run.move(Phase.FETCHING)
            raise Contention("Somebody changed the same thing at the same time.")
        raise FAILED

    deployment = await ended(database, journal, steps)
    assert phases == [Phase.QUEUED, Phase.FETCHING]
    assert deployment.failure is not None and deployment.failure["code"] == "BUILD_FAILED"


async def test_commit_without_an_answer_is_not_repeated(
    database: Database, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = 0

    async def steps(run: DeploymentRun) -> None:
        nonlocal blocks
        with monkeypatch.context() as patch:
            patch.setattr(database, "transaction", _without_answer(database))
            async for attempt in run.recording(Phase.FETCHING):
                async with attempt:
                    blocks += 1
        assert run.deployment.phase is Phase.FETCHING
        raise FAILED

    deployment = await ended(database, journal, steps)
    assert blocks == 1
    assert deployment.failure is not None and deployment.failure["code"] == "BUILD_FAILED"


async def test_reading_counts_once_when_its_commit_answer_is_lost(
    database: Database, journal: Journal
) -> None:
    async def steps(run: DeploymentRun) -> None:
        transactions = chain([_without_answer(database)], repeat(database.transaction))
        once = SimpleNamespace(connection=database.connection, transaction=lambda: next(transactions)())
        run.database = cast(Database, once)
        await plan_with_limit(run, read)
        run.database = database
        raise FAILED

    async def read() -> BuildPlan:
        return PLAN

    await ended(database, journal, steps)
    (job,) = await rows(database, "kind = 'build'")
    assert job.arguments["readings"] == 1


def _without_answer(database: Database):  # type: ignore[no-untyped-def]
    transact = database.transaction

    @asynccontextmanager
    async def transaction() -> AsyncIterator[Connection]:
        async with transact() as connection:
            yield connection
        raise CommitUnknown

    return transaction
