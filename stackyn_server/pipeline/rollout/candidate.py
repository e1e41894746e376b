"""The candidate of a deployment: its release row, its instance in the free slot, and the container they describe."""

from __future__ import annotations

from ipaddress import IPv4Address

from stackyn_server.buildplan.build_plan import DeploymentSettings
from stackyn_server.config import Settings
from stackyn_server.domain.deployments import Cause
from stackyn_server.domain.failures import Failure, FailureCode, TransientFailure
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
from stackyn_server.store.instances import Instance
from stackyn_server.store.releases import NewRelease, Release


async def ensure(
    connection: Connection,
    sealer: Sealer,
    settings: Settings,
    app: App,
    deployment: Deployment,
    slot: int | None = None,
    *,
    exposed_ports: tuple[int, ...] = (),
) -> Instance:
    """Write the release candidate and its instance, unless a try before this one did. `slot` None: the free one.

    `exposed_ports` are those of the deployment's image: the engine is asked before, never inside a transaction.

    One that has another slot already is moved, and must have no container. Raises `TransientFailure` when both slots
    are taken.
    """
    release = await releases.of_deployment(connection, deployment.id)
    if release is None:
        release = await releases.insert(
            connection, await _new_release(connection, sealer, settings, app, deployment, exposed_ports)
        )
    instance = await instances.of_deployment(connection, deployment.id)
    if instance is not None and slot is not None:
        await instances.move(connection, instance.id, slot)
    elif slot is not None:
        instance = await instances.insert_into(connection, app.id, release.id, deployment.id, slot)
    elif instance is None:
        instance = await instances.insert(connection, app.id, release.id, deployment.id)
    if instance is None:
        raise TransientFailure(
            Failure(
                FailureCode.SWITCH_FAILED,
                "The previous release is still finishing its requests.",
                "Deploy again in a moment.",
            )
        )
    return instance


async def memory_mb(connection: Connection, app: App, deployment: Deployment) -> int:
    """Return what the deployment's release may use, whether its row exists yet or not."""
    release = await releases.of_deployment(connection, deployment.id)
    if release is None and deployment.cause is Cause.ROLLBACK and deployment.source_release is not None:
        release = await releases.get(connection, deployment.source_release)
    return release.memory_mb if release else app.settings.memory_mb


async def of_deployment(connection: Connection, deployment: DeploymentId) -> tuple[Release, Instance] | None:
    release = await releases.of_deployment(connection, deployment)
    instance = await instances.of_deployment(connection, deployment)
    return (release, instance) if release is not None and instance is not None else None


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


def target(
    settings: Settings,
    app: App,
    release: Release,
    instance: Instance,
    container: str,
    *,
    known_ports: tuple[int, ...] = (),
    is_fixed: bool = True,
) -> Target:
    """Say where the instance has to answer. A release that has a number is bound to its port."""
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


def said_of(deployment: Deployment) -> DeploymentSettings:
    """Return what the repository says about how it is run."""
    return DeploymentSettings(**(deployment.plan or {}).get("deploying", {}))


def start_command(app: App, deployment: Deployment) -> str | None:
    """Return what a release of the deployment is started with; None: what its image says."""
    return app.settings.start_command or said_of(deployment).start_command or None


def probing_seconds(settings: Settings, release: Release) -> float:
    """Return how long the release's containers get until they have to answer."""
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
    """A rollback restores everything of its source; all others take today's variables and settings."""
    if deployment.cause is Cause.ROLLBACK and deployment.source_release is not None:
        source = await releases.get(connection, deployment.source_release)
        if source is None:
            raise StackynError("The release to go back to is gone.")
        variables = environment.unseal(
            sealer, app.tenant, app.id, source.deployment, source.sealed_environment
        )
        return NewRelease(
            app=app.id,
            deployment=deployment.id,
            image=source.image,
            sealed_environment=environment.seal(sealer, app.tenant, app.id, deployment.id, variables),
            memory_mb=source.memory_mb,
            disk_mb=source.disk_mb,
            cpu=source.cpu,
            command=source.command,
            port=source.port,
            told_port=source.told_port,
            protocol=source.protocol,
            health_path=source.health_path,
            health_timeout_seconds=source.health_timeout_seconds,
            commit=source.commit,
        )
    variables = await environment.snapshot(connection, sealer, app.tenant, app.id)
    chosen, plan, said = app.settings, deployment.plan or {}, said_of(deployment)
    return NewRelease(
        app=app.id,
        deployment=deployment.id,
        image=deployment.image or "",
        sealed_environment=environment.seal(sealer, app.tenant, app.id, deployment.id, variables),
        memory_mb=chosen.memory_mb,
        disk_mb=chosen.disk_mb,
        cpu=chosen.cpu,
        command=start_command(app, deployment),
        port=expected_port(
            chosen=chosen.port,
            exposed=exposed_ports,
            planned=plan.get("port"),
            default=settings.apps.default_port,
        ),
        protocol=chosen.protocol,
        health_path=chosen.health_path or said.health_path or None,
        health_timeout_seconds=chosen.health_timeout_seconds or said.health_timeout_seconds,
        commit=deployment.commit,
    )
