"""A build hands its image over to a release job, beside other releases of its app that wait."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.jobs import JobState, Kind
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.jobs.run import JobRun
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.build.build import Build
from stackyn_server.pipeline.run import DeploymentRun, StepRunner
from stackyn_server.store import deployments, jobs
from stackyn_server.store.database import Database
from stackyn_server.store.deployments import StepResults
from tests.integration.jobs.builders import dispatching, rows, until_state
from tests.integration.pipeline.parts import a_context
from tests.rows import a_deployment, an_app


async def test_hand_over_supersedes_an_earlier_release_and_no_later_one(
    database: Database, journal: Journal
) -> None:
    """The later one is a rollback that the owner asked for while the build ran."""
    context = a_context(database, journal=journal)
    builder, registry = cast(Builder, SimpleNamespace()), cast(RegistryAvailability, SimpleNamespace())
    handler = Build(context, builder, registry, Path("clones"), b"key")
    runner = StepRunner(database, journal, context.settings, Phase.QUEUED)

    async def steps(run: DeploymentRun) -> None:
        await handler._record_built(run, StepResults(image="sha256:2"))

    async def build(job: JobRun) -> None:
        await runner.run(job, steps)

    async with database.transaction() as connection:
        app = await an_app(connection)
        earlier = await a_deployment(connection, app, Phase.BUILT)
        own = await a_deployment(connection, app, Phase.BUILDING)
        later = await a_deployment(connection, app, Phase.BUILT)
        for deployment in (earlier, later):
            await jobs.enqueue_for_deployment(connection, Kind.RELEASE, deployment)
        await jobs.enqueue_for_deployment(connection, Kind.BUILD, own)
    async with dispatching(database, {Kind.BUILD: build}):
        (job,) = await rows(database, "kind = 'build'")
        await until_state(database, job.id, JobState.DONE)

    waiting = await rows(database, "kind = 'release' AND state = 'waiting'")
    assert {job.subject for job in waiting} == {str(own.id), str(later.id)}
    async with database.connection() as connection:
        after = [await deployments.get(connection, each.id) for each in (earlier, own, later)]
    assert [each.phase for each in after if each] == [Phase.SUPERSEDED, Phase.BUILT, Phase.BUILT]
