"""A build waits for the base images that it begins from, and hears how their jobs ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.config import Settings
from stackyn_server.domain.deployments import OPEN_PHASES, Phase
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode
from stackyn_server.domain.ids import DeploymentId
from stackyn_server.domain.jobs import Kind, Pool
from stackyn_server.images.base_image_build import ImageNotMade
from stackyn_server.images.base_image_store import BaseImageStore
from stackyn_server.jobs.run import JobRun
from stackyn_server.journal.journal import Journal
from stackyn_server.pipeline.build import base_images
from stackyn_server.pipeline.build.make_image import MakeImage
from stackyn_server.pipeline.run import DeploymentRun, StepRunner
from stackyn_server.store import deployments, jobs, logs
from stackyn_server.store.database import Database
from stackyn_server.store.deployments import Deployment, StepResults
from tests.integration.jobs.builders import dispatching, rows, until
from tests.rows import a_deployment, an_app

IMAGE = "stackyn/deno:2"
PLAN = BuildPlan("deno", (), "Dockerfile", "FROM stackyn/deno:2", None, base_images=(IMAGE, "alpine:3"))

Make = Callable[[str], Awaitable[None]]


class FailingBuilds:
    """Builds that end as failed once their base images are here: `began` counts those."""

    def __init__(self, database: Database, journal: Journal, folder: Path) -> None:
        self.database = database
        self.layout = BaseImageStore(folder / "images")
        self.archive = folder / "root.tar"
        self.began = 0
        self.asked: list[str] = []
        self._runner = StepRunner(database, journal, Settings(), back_to=Phase.QUEUED)

    async def put_image(self, name: str) -> None:
        await asyncio.to_thread(self.archive.write_bytes, b"a root file system")
        await asyncio.to_thread(self.layout.take_root, name, "", self.archive, "amd64")

    async def build(self, run: JobRun) -> None:
        await self._runner.run(run, self._steps)

    async def _steps(self, run: DeploymentRun) -> None:
        if run.deployment.phase is Phase.QUEUED:
            await run.move(Phase.FETCHING)
            await run.move(Phase.PLANNING, StepResults(commit="c0ffee"))
            await run.move(Phase.BUILDING, StepResults(plan=PLAN.as_json()))
        digests = await base_images.collect_or_wait(run, self.layout)
        if digests is not None:
            assert set(digests) == {IMAGE}
            self.began += 1
            raise DeploymentFailed(
                Failure(FailureCode.BUILD_FAILED, "It was built as far as this test goes.")
            )

    async def ended(self, make: Make, count: int = 1) -> list[Deployment]:
        """Return how `count` new deployments end while `make` makes images."""

        async def counted(name: str) -> None:
            self.asked.append(name)
            await make(name)

        handlers = {Kind.BUILD: self.build, Kind.IMAGE: MakeImage(self.database, counted)}
        async with self.database.transaction() as connection:
            new_deployments = [await a_deployment(connection, await an_app(connection)) for _ in range(count)]
            for deployment in new_deployments:
                await jobs.enqueue_for_deployment(connection, Kind.BUILD, deployment, priority=0)
        async with dispatching(self.database, handlers, pools={Pool.BUILDS: 1, Pool.IMAGES: 1}):
            await until(lambda: self.have_ended(new_deployments), "the deployments have ended")
        return [await self.now(deployment.id) for deployment in new_deployments]

    async def now(self, deployment: DeploymentId) -> Deployment:
        async with self.database.connection() as connection:
            deployment_row = await deployments.get(connection, deployment)
        assert deployment_row is not None
        return deployment_row

    async def log_of(self, deployment: DeploymentId) -> str:
        async with self.database.connection() as connection:
            return await logs.read_text(connection, deployment, "build", 10_000)

    async def have_ended(self, new_deployments: list[Deployment]) -> bool:
        return all(
            [(await self.now(deployment.id)).phase not in OPEN_PHASES for deployment in new_deployments]
        )


@pytest.fixture
def builds(database: Database, journal: Journal, tmp_path: Path) -> FailingBuilds:
    return FailingBuilds(database, journal, tmp_path)


async def test_image_is_made_once_for_all_who_wait(builds: FailingBuilds) -> None:
    async def both_wait() -> bool:
        return len(await rows(builds.database, "kind = 'build' AND state = 'waiting' AND attempt > 0")) == 2

    async def make(name: str) -> None:
        await until(both_wait, "both builds wait")
        await builds.put_image(name)

    ended = await builds.ended(make, count=2)

    assert builds.asked == [IMAGE]
    assert builds.began == 2
    for deployment in ended:
        log = await builds.log_of(deployment.id)
        assert log.count(f"Making the base image {IMAGE}; this happens once on this server.") == 1
        assert log.count(f"The base image {IMAGE} is made, after ") == 1


async def test_image_that_is_here_is_not_waited_for(builds: FailingBuilds) -> None:
    await builds.put_image(IMAGE)

    async def make(_name: str) -> None:
        raise AssertionError("nothing is missing")

    (ended,) = await builds.ended(make)

    assert builds.began == 1 and builds.asked == []
    assert "base image" not in await builds.log_of(ended.id)


async def test_trouble_that_passes_is_tried_again(builds: FailingBuilds) -> None:
    async def make(name: str) -> None:
        if len(builds.asked) < 3:
            raise ImageNotMade("A registry did not answer.", retryable=True)
        await builds.put_image(name)

    await builds.ended(make)

    assert builds.began == 1 and len(builds.asked) == 3


@pytest.mark.parametrize("is_passing", [True, False])
async def test_image_that_is_not_made_ends_the_deployment(builds: FailingBuilds, is_passing: bool) -> None:
    async def make(_name: str) -> None:
        raise ImageNotMade("The mirror has no such package.", retryable=is_passing)

    (ended,) = await builds.ended(make)

    assert builds.began == 0 and len(builds.asked) == (3 if is_passing else 1)
    assert ended.phase is Phase.FAILED and ended.failure is not None
    assert ended.failure["code"] == "VERSION_UNAVAILABLE"
    assert ended.failure["message"] == f"The base image {IMAGE} could not be made on this server."
    assert "The mirror has no such package." in ended.failure["evidence"]


async def test_later_deployment_has_the_image_made_anew(builds: FailingBuilds) -> None:
    async def fail(_name: str) -> None:
        raise ImageNotMade("The mirror has no such package.", retryable=False)

    await builds.ended(fail)
    await builds.ended(builds.put_image)

    assert builds.began == 1 and len(builds.asked) == 2


async def test_image_is_made_anew_by_the_server_after_a_crash(builds: FailingBuilds) -> None:
    """The first dispatcher is interrupted while the image is made, and leaves both jobs as they are."""
    begun = asyncio.Event()

    async def never(_name: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    handlers = {Kind.BUILD: builds.build, Kind.IMAGE: MakeImage(builds.database, never)}
    async with builds.database.transaction() as connection:
        deployment = await a_deployment(connection, await an_app(connection))
        await jobs.enqueue_for_deployment(connection, Kind.BUILD, deployment, priority=0)
    async with dispatching(builds.database, handlers):
        await until(begun.is_set, "the image is being made")
    (interrupted,) = await rows(builds.database, "kind = 'image'")
    assert interrupted.state in ("running", "waiting")

    handlers[Kind.IMAGE] = MakeImage(builds.database, builds.put_image)
    async with dispatching(builds.database, handlers):
        await until(lambda: builds.have_ended([deployment]), "the deployment has ended")

    assert builds.began == 1
    (job,) = await rows(builds.database, "kind = 'image'")
    assert job.id == interrupted.id and job.state == "done"
