"""The candidate of a deployment: the rows of its release and its instance, and the container that they describe."""

from __future__ import annotations

from dataclasses import dataclass, fields
from ipaddress import IPv4Address

from stackyn_server.buildplan.build_plan import DeploymentSettings
from stackyn_server.config import Settings
from stackyn_server.domain.deployments import Cause
from stackyn_server.domain.failures import FailureCode, TransientFailure
from stackyn_server.domain.ids import DeploymentId
from stackyn_server.domain.ports import expected_port
from stackyn_server.domain.seats import address_of, bridge_of
from stackyn_server.engine.container_spec import ContainerSpec
from stackyn_server.engine.http_probe import Visitor
from stackyn_server.errors import StackynError
from stackyn_server.pipeline.rollout import environment
from stackyn_server.pipeline.rollout.probe import Target
from stackyn_server.security.sealing import Sealer
from stackyn_server.store import instances, releases
from stackyn_server.store.apps import App
from stackyn_server.store.database import Connection
from stackyn_server.store.deployments import Deployment
from stackyn_server.store.failures import Duplicate, translated
from stackyn_server.store.instances import Instance
from stackyn_server.store.releases import NewRelease, Release


@dataclass(frozen=True, slots=True)
class Candidate:
    """The instance that a deployment brings up, and its release."""

    release: Release
    instance: Instance

    @property
    def container(self) -> str:
        return self.instance.container or ""


async def ensure_candidate(
    connection: Connection,
    sealer: Sealer,
    settings: Settings,
    app: App,
    deployment: Deployment,
    exposed_ports: tuple[int, ...],
    slot: int | None = None,
) -> Instance:
    """Write the release and its instance, unless an earlier attempt has. With `slot` None the free slot is taken.

    `exposed_ports` are those of the deployment's image; the engine is asked for them before the transaction begins.
    An instance that has another slot is moved, and must have no container. Raises `TransientFailure` when the slot is
    taken, or both are.
    """
    release = await releases.of_deployment(connection, deployment.id)
    if release is None:
        release = await releases.insert(
            connection, await _new_release(connection, sealer, settings, app, deployment, exposed_ports)
        )
    instance = await instances.of_deployment(connection, deployment.id)
    try:
        with translated():
            if instance is not None and slot is not None:
                await instances.move(connection, instance.id, slot)
            elif slot is not None:
                instance = await instances.insert_into(connection, app.id, release.id, deployment.id, slot)
            elif instance is None:
                instance = await instances.insert(connection, app.id, release.id, deployment.id)
    except Duplicate as error:
        raise _no_slot() from error
    if instance is None:
        raise _no_slot()
    return instance


def _no_slot() -> TransientFailure:
    return TransientFailure.of(
        FailureCode.SWITCH_FAILED,
        "The previous release is still finishing its requests.",
        "Deploy again in a moment.",
    )


async def of_deployment(connection: Connection, deployment: DeploymentId) -> Candidate | None:
    release = await releases.of_deployment(connection, deployment)
    instance = await instances.of_deployment(connection, deployment)
    return Candidate(release, instance) if release is not None and instance is not None else None


def address(settings: Settings, app: App, instance: Instance) -> IPv4Address:
    return address_of(settings.network.subnet, seat_of(app), instance.slot)


def seat_of(app: App) -> int:
    if app.seat is None:
        raise StackynError("The app has no address any more.")
    return app.seat


def container_spec(
    settings: Settings, sealer: Sealer, app: App, release: Release, instance: Instance
) -> ContainerSpec:
    """Describe the instance's container. The platform's PORT wins over a variable of that name."""
    variables = environment.unseal(sealer, app.tenant, app.id, release.deployment, release.sealed_environment)
    return ContainerSpec(
        instance=instance.id,
        app=app.id,
        tenant=app.tenant,
        deployment=instance.deployment,
        release=release.id,
        image=release.image,
        bridge=bridge_of(settings.network.subnet, seat_of(app)),
        address=address(settings, app, instance),
        environment={**variables, "PORT": str(release.told_port or release.port)},
        command=release.command,
        memory_mb=release.memory_mb,
        cpu=release.cpu,
        max_processes=settings.apps.max_processes,
        capabilities=settings.apps.capabilities,
        port=release.port,
    )


def probe_target(
    settings: Settings,
    app: App,
    release: Release,
    instance: Instance,
    container: str,
    *,
    known_ports: tuple[int, ...] = (),
    is_fixed: bool = True,
) -> Target:
    """Say where the instance has to answer. A numbered release has a fixed port."""
    return Target(
        container=container,
        address=address(settings, app, instance),
        port=release.port,
        health_path=release.health_path,
        visitor=Visitor.of(settings.public, app.slug),
        protocol=release.protocol,
        known_ports=known_ports,
        is_fixed=is_fixed,
    )


def deploying_of(deployment: Deployment) -> DeploymentSettings:
    """Return the repository's own settings for how its app is run."""
    return DeploymentSettings(**((deployment.plan or {}).get("deploying") or {}))


def start_command(app: App, deployment: Deployment) -> str | None:
    """Return the command that starts a release of the deployment; None: the image's own."""
    return app.settings.start_command or deploying_of(deployment).start_command or None


def probing_seconds(settings: Settings, release: Release) -> float:
    """Return the time within which the release's containers have to answer."""
    if release.health_timeout_seconds is None:
        return settings.deadlines.probing
    return min(release.health_timeout_seconds, settings.probe.longest_seconds)


async def _new_release(
    connection: Connection,
    sealer: Sealer,
    settings: Settings,
    app: App,
    deployment: Deployment,
    exposed_ports: tuple[int, ...],
) -> NewRelease:
    """A rollback copies its source release; every other deployment takes today's variables and settings."""
    if deployment.cause is Cause.ROLLBACK and deployment.source_release is not None:
        source = await releases.get(connection, deployment.source_release)
        if source is None:
            raise StackynError("The release to go back to is gone.")
        variables = environment.unseal(
            sealer, app.tenant, app.id, source.deployment, source.sealed_environment
        )
        sealed = environment.seal(sealer, app.tenant, app.id, deployment.id, variables)
        restored = {field.name: getattr(source, field.name) for field in fields(NewRelease)}
        return NewRelease(**{**restored, "deployment": deployment.id, "sealed_environment": sealed})
    variables = await environment.snapshot(connection, sealer, app.tenant, app.id)
    settings_of_app, plan, deploying = app.settings, deployment.plan or {}, deploying_of(deployment)
    return NewRelease(
        app=app.id,
        deployment=deployment.id,
        image=deployment.image or "",
        sealed_environment=environment.seal(sealer, app.tenant, app.id, deployment.id, variables),
        memory_mb=settings_of_app.memory_mb,
        disk_mb=settings_of_app.disk_mb,
        cpu=settings_of_app.cpu,
        command=start_command(app, deployment),
        port=expected_port(
            chosen=settings_of_app.port,
            exposed=exposed_ports,
            planned=plan.get("port"),
            default=settings.apps.default_port,
        ),
        protocol=settings_of_app.protocol,
        health_path=settings_of_app.health_path or deploying.health_path or None,
        health_timeout_seconds=settings_of_app.health_timeout_seconds or deploying.health_timeout_seconds,
        commit=deployment.commit,
    )
