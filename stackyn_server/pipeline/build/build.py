"""Job `build`: fetch the exact commit, plan, build an image. Ends with the deployment `built` and a release job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stackyn_server.buildplan.build_plan import BuildPlan
from stackyn_server.buildplan.generated.own_user import user_of_seat, with_own_user
from stackyn_server.buildplan.project import PlanOptions
from stackyn_server.config import Settings
from stackyn_server.domain.apps import Desired
from stackyn_server.domain.build_key import build_key
from stackyn_server.domain.deployments import Phase
from stackyn_server.domain.failures import Failure, FailureCode
from stackyn_server.domain.ids import DeploymentId
from stackyn_server.domain.jobs import Kind
from stackyn_server.engine import images, networks
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.image_transfer import TransferredImage
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.builder.registry_config import docker_config
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.images.base_image_store import BaseImageStore
from stackyn_server.images.catalogue import toolchains
from stackyn_server.jobs.run import JobCancelled, JobRun
from stackyn_server.pipeline.build import base_images
from stackyn_server.pipeline.build.build_memory import BuildMemory
from stackyn_server.pipeline.build.disk import require_disk_space
from stackyn_server.pipeline.build.plan_attempts import plan_with_limit
from stackyn_server.pipeline.build.registries import credentials_for
from stackyn_server.pipeline.build.variables import BuildVariables, InjectedVariables, inject_variables
from stackyn_server.pipeline.context import JobHandler, PipelineContext
from stackyn_server.pipeline.crash_points import crash_point
from stackyn_server.pipeline.rollout import environment
from stackyn_server.pipeline.run import DeploymentRun, StepRunner
from stackyn_server.source import reader, repository
from stackyn_server.source.archive import archive
from stackyn_server.source.clones import clone_of
from stackyn_server.source.repository import FetchedCommit
from stackyn_server.source.tree import list_files
from stackyn_server.store import apps, deployments, jobs
from stackyn_server.store.apps import App
from stackyn_server.store.deployments import StepResults

# The settings of an app that override its repository's own.
_OF_PLANNING = (
    "root_directory", "dockerfile_path", "use_dockerfile", "build_target", "runtime", "runtime_version",
    "install_command", "build_command", "release_command", "start_command", "publish_directory", "port",
    "health_path", "health_timeout_seconds", "build_memory_mb",
)  # fmt: skip
_PLAN_TIMEOUT = Failure(
    FailureCode.INTERNAL,
    "Looking through the repository took too long.",
    "Deploy again; tell the operator if it happens twice.",
)


@dataclass(frozen=True, slots=True)
class _NeededBuild:
    """A build that has to be done: of which tree, with which variables, and the key of its image."""

    source: str
    variables: InjectedVariables
    key: str | None


class Build(JobHandler):
    """The handler of `build` jobs."""

    def __init__(
        self,
        context: PipelineContext,
        builder: Builder,
        registry: RegistryAvailability,
        clones: Path,
        variables_key: bytes,
    ) -> None:
        super().__init__(context)
        settings = context.settings
        self._builder = builder
        self._registry = registry
        self._image_store = BaseImageStore(settings.images.directory)
        self._clones = clones
        self._variables_key = variables_key
        self._runner = StepRunner(context.database, context.journal, settings, back_to=Phase.QUEUED)
        self._memory = BuildMemory(settings)
        self._free_networks: asyncio.LifoQueue[int] = asyncio.LifoQueue()
        for number in reversed(range(settings.builds.concurrency)):
            self._free_networks.put_nowait(number)

    async def __call__(self, job: JobRun) -> None:
        await self._runner.run(job, self._steps)

    async def _steps(self, run: DeploymentRun) -> None:
        app = await self._app(run)
        clone = clone_of(self._clones, run.deployment.id)
        await require_disk_space((self._clones, self._engine.facts.root), self._settings.builds.free_disk_mb)
        if run.deployment.phase is Phase.QUEUED:
            await run.move(Phase.FETCHING)
        crash_point("build.fetching")
        if run.deployment.phase is Phase.FETCHING:
            fetched = await run.step(self._fetch(run, app, clone), _fetch_timeout(self._settings))
            crash_point("build.fetched")
            await self._record_fetched(run, app, fetched)
        crash_point("build.planning")
        if run.deployment.phase is Phase.PLANNING:
            plan = await run.step(self._plan(run, app, clone), _PLAN_TIMEOUT)
            crash_point("build.planned")
            await run.move(Phase.BUILDING, StepResults(plan=plan.as_json()))
        crash_point("build.building")
        if run.deployment.phase is Phase.BUILDING:
            made_of = await base_images.collect_or_wait(run, self._image_store)
            if made_of is None:
                return
            results = await self._image(run, app, clone)
            crash_point("build.image")
            plan_as_built = {**(run.deployment.plan or {}), "base_digests": made_of}
            await self._record_built(run, replace(results, plan=plan_as_built))
        crash_point("build.built")
        await repository.remove(clone)

    async def _app(self, run: DeploymentRun) -> App:
        async with self._database.connection() as connection:
            app = await apps.get(connection, run.deployment.app)
        if app is None or app.desired is Desired.DELETED:
            raise JobCancelled
        return app

    async def _fetch(self, run: DeploymentRun, app: App, clone: Path) -> FetchedCommit:
        """Fetch the recorded commit into `clone`, or the branch's newest where none is recorded yet.

        A clone of an earlier step or attempt is used as it is.
        """
        deployment = run.deployment
        return await repository.fetch(
            self._settings.source, clone, app.repository, deployment.branch, deployment.commit, run.write_log
        )

    async def _plan(self, run: DeploymentRun, app: App, clone: Path) -> BuildPlan:
        source = (await self._fetch(run, app, clone)).tree
        tree = await list_files(self._settings.source, clone, source)
        options = PlanOptions(
            toolchains=toolchains(self._settings.images, has_registry=await self._registry.is_reachable()),
            default_port=self._settings.apps.default_port,
            host_variables=(await self._variables(run, app)).of_hosts,
            **{name: getattr(app.settings, name) for name in _OF_PLANNING},
        )
        plan = await plan_with_limit(
            run, lambda: reader.plan(self._settings.reading, clone, source, tree.files, options)
        )
        for reason in plan.reasons:
            run.write_log(reason)
        return plan

    async def _image(self, run: DeploymentRun, app: App, clone: Path) -> StepResults:
        """Return the image, and its key and size where they are known.

        It is built only when neither this deployment nor the same build of an earlier one has made it. The time that a
        build waits for memory does not count towards its deadline.
        """
        timeout = _build_timeout(self._settings)
        prepared = await run.step(self._prepare(run, app, clone), timeout)
        if not isinstance(prepared, _NeededBuild):
            return prepared
        async with self._memory.reserved(run, app, prepared.variables.plan) as memory_mb:
            built = await run.step(self._build_image(run, app, clone, prepared, memory_mb), timeout)
            return StepResults(image=built.id, image_bytes=built.own_bytes, build_key=prepared.key)

    async def _prepare(self, run: DeploymentRun, app: App, clone: Path) -> StepResults | _NeededBuild:
        deployment = run.deployment
        tag = images.tag_of(self._engine, deployment.app, deployment.id)
        ready = await images.inspect(self._engine, tag)
        plan = BuildPlan.from_json(deployment.plan or {})
        if ready is not None:
            run.write_log("The image was built before the interruption.")
            return StepResults(image=ready.id)  # no key: the variables may have changed meanwhile
        source = (await self._fetch(run, app, clone)).tree
        if plan.generated is not None and app.seat is not None:
            plan = replace(plan, generated=with_own_user(plan.generated, user_of_seat(app.seat)))
        variables = inject_variables(plan, await self._variables(run, app))
        key = await self._key(app, plan, source, variables.digest)
        if (same := await self._reusable_image(run, app, key)) is not None:
            run.write_log(
                "Nothing has changed since an earlier deployment: its image is used, without a build."
            )
            await images.tag(self._engine, same, tag)
            return StepResults(image=same, build_key=key)
        return _NeededBuild(source, variables, key)

    async def _build_image(
        self, run: DeploymentRun, app: App, clone: Path, needed: _NeededBuild, memory_mb: int
    ) -> TransferredImage:
        deployment, variables = run.deployment, needed.variables
        plan = variables.plan
        credentials = await run.record(
            lambda connection: credentials_for(connection, self._sealer, deployment.tenant, deployment.app)
        )
        if variables.sentence:
            run.write_log(variables.sentence)
        async with self._network_number() as number:
            network = await networks.ensure_build_network(self._engine, number)
            context = archive(
                self._settings.reading,
                clone,
                needed.source,
                plan,
                root=plan.root if plan.root is not None else app.settings.root_directory or "",
                write_line=run.write_log,
            )
            request = BuildRequest(
                app=deployment.app,
                deployment=deployment.id,
                tenant=deployment.tenant,
                dockerfile=plan.dockerfile,
                network=network,
                memory_mb=memory_mb,
                cpu=self._settings.builds.cpu,
                max_processes=self._settings.builds.max_processes,
                tag=images.tag_of(self._engine, deployment.app, deployment.id),
                target=app.settings.build_target if plan.generated is None else None,
                syntax=plan.syntax,
                docker_config=docker_config(credentials),
                build_arguments=variables.arguments,
                secrets=variables.secrets,
                hostname=variables.hostname,
                no_cache=variables.no_cache,
            )
            return await self._builder.build(request, context, run.write_log)

    async def _variables(self, run: DeploymentRun, app: App) -> BuildVariables:
        variables = await run.record(
            lambda connection: environment.snapshot(connection, self._sealer, app.tenant, app.id)
        )
        return BuildVariables.of(variables, tenant=app.tenant, key=self._variables_key)

    async def _key(self, app: App, plan: BuildPlan, tree: str, secret: str) -> str | None:
        digests, builder = await self._builder.build_inputs()
        return build_key(
            tree=tree,
            root=app.settings.root_directory or "",
            target=app.settings.build_target,
            plan=plan.as_json(),
            base_images=plan.base_images,
            digests=digests,
            builder=builder,
            secret=secret,
        )

    async def _reusable_image(self, run: DeploymentRun, app: App, key: str | None) -> str | None:
        """Return the newest image of the app with this key that is still there."""
        if key is None:
            return None
        earlier_images = await run.record(
            lambda connection: deployments.built_before(connection, app.id, key)
        )
        for earlier_image in earlier_images:
            image = await images.inspect(self._engine, earlier_image)
            if image is not None and image.app == app.id and self._engine.labels.owns_image(image.labels):
                return image.id
        return None

    async def _record_fetched(self, run: DeploymentRun, app: App, fetched: FetchedCommit) -> None:
        """Record the commit, which branch HEAD is, and where a repository has moved to."""
        results = StepResults(commit=fetched.commit, branch=fetched.branch)
        async for attempt in run.recording(Phase.PLANNING, results):
            async with attempt as transaction:
                await apps.remember_branch(transaction, app.id, fetched.branch)
                if fetched.moved_to is not None:
                    await apps.remember_move(transaction, app.id, app.repository, fetched.moved_to)

    async def _record_built(self, run: DeploymentRun, results: StepResults) -> None:
        """Record the image and enqueue the release job. Older images that still wait for theirs are superseded."""
        deployment = run.deployment
        async for attempt in run.recording(Phase.BUILT, results):
            async with attempt as transaction:
                await run.job.require_uncancelled(transaction)
                for older in await jobs.supersede_waiting(
                    transaction, Kind.RELEASE, deployment.app, before=deployment.id
                ):
                    waiting = await deployments.get(transaction, DeploymentId(int(older)))
                    if waiting is not None:
                        ended = await deployments.advance(transaction, waiting, Phase.SUPERSEDED, run.mover)
                        await jobs.enqueue_for_deployment(transaction, Kind.CLEANUP, ended)
                await jobs.enqueue_for_deployment(transaction, Kind.RELEASE, deployment)
                await run.job.finish(transaction)

    @asynccontextmanager
    async def _network_number(self) -> AsyncIterator[int]:
        """Hold one of the build networks; the pool's cap means that one is free."""
        number = await self._free_networks.get()
        try:
            yield number
        finally:
            self._free_networks.put_nowait(number)


def _fetch_timeout(settings: Settings) -> Failure:
    return Failure(
        FailureCode.SOURCE_UNREACHABLE,
        f"The repository could not be fetched within {settings.deadlines.fetching:.0f} seconds.",
        "Check that it is reachable and not very large, then deploy again.",
    )


def _build_timeout(settings: Settings) -> Failure:
    return Failure(
        FailureCode.BUILD_TIMEOUT,
        f"The build did not finish within {settings.deadlines.building / 60:.0f} minutes.",
        "Make the build faster, for example with fewer dependencies or a lock file, then deploy again.",
    )
