"""The whole installation, once nothing moves any more: what rows, API, engine and ingress each say must be the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from stackyn_server.engine.labels import APP, IMAGE_INSTALLATION, INSTALLATION, INSTANCE, ROLE, Role
from stackyn_server.postgres.embedded import embedded_url
from tests.crash.pictures import contradictions
from tests.server_process import ServerProcess, docker

ENDED = ("running", "failed", "stopped")
IDLE_SECONDS = 90
AGREE_SECONDS = 30  # what a kill left behind goes with the next comparison or search for garbage


@asynccontextmanager
async def rows_of(server: ServerProcess) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(embedded_url(server.data_dir))
    try:
        yield connection
    finally:
        await connection.close()


async def until_idle(server: ServerProcess) -> None:
    """Wait until no job is open but periodic ones and those whose time is far away. The database may be just back."""

    async def no_open_job() -> bool:
        try:
            async with rows_of(server) as rows:
                return not await rows.fetchval(
                    "SELECT count(*) FROM job WHERE state IN ('waiting', 'running') AND schedule IS NULL"
                    " AND coalesce(run_at, now()) < now() + interval '1 hour'"
                )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    await server.until(no_open_job, IDLE_SECONDS, "every job has ended")


async def is_whole(server: ServerProcess) -> None:
    """Wait until everybody agrees, and fail with the differences when they don't."""
    problems: list[str] = []

    async def agree() -> bool:
        problems[:] = await differences(server)
        return not problems

    try:
        await server.until(agree, AGREE_SECONDS, "rows, API, engine and ingress agree")
    except AssertionError as error:
        raise AssertionError("\n".join([*problems, str(error)])) from None


async def differences(server: ServerProcess) -> list[str]:
    """Return a sentence for each thing that is not as it must be."""
    async with rows_of(server) as rows:
        return [
            *await _of_jobs(rows),
            *await _of_deployments(rows, server),
            *await _of_engine(rows, server),
            *await _of_ingress(rows, server),
            *await contradictions(server),
        ]


async def _of_jobs(rows: Any) -> list[str]:
    dead = await rows.fetch("SELECT kind, subject, error FROM job WHERE state = 'dead'")
    return [f"job {job['kind']} of {job['subject']} was given up: {job['error']}" for job in dead]


async def _of_deployments(rows: Any, server: ServerProcess) -> list[str]:
    problems = []
    for row in await rows.fetch(
        "SELECT id, phase FROM deployment"
        " WHERE phase NOT IN ('live', 'failed', 'cancelled', 'superseded', 'replaced', 'stopped')"
    ):
        problems.append(f"deployment {row['id']} is {row['phase']} for ever")
    for row in await rows.fetch(
        "SELECT app, count(*) AS live FROM deployment WHERE phase = 'live' GROUP BY app HAVING count(*) > 1"
    ):
        problems.append(f"app {row['app']} has {row['live']} live deployments")
    for app in await server.api("GET", "/api/apps", expect=200):
        deployments = await server.api("GET", f"/api/v1/apps/{app['id']}/deployments", expect=200)
        statuses = [deployment["status"] for deployment in deployments]
        if not set(statuses) <= set(ENDED):
            problems.append(f"the API shows app {app['id']} with {statuses}")
        if statuses.count("running") != (app["status"] == "running"):
            problems.append(f"the API shows app {app['id']} {app['status']} with deployments {statuses}")
    return problems


async def _of_engine(rows: Any, server: ServerProcess) -> list[str]:
    """Exactly one container for each instance that is up, none besides, and nothing else on our networks."""
    problems = []
    mine = ("--filter", f"label={INSTALLATION}={server.installation}")
    ids = (await docker("ps", "-aq", "--no-trunc", *mine)).split()
    containers = json.loads(await docker("inspect", *ids)) if ids else []
    apps = [container for container in containers if container["Config"]["Labels"].get(ROLE) == Role.APP]
    up = {
        str(row["id"]): row["app"]
        for row in await rows.fetch("SELECT id, app FROM instance WHERE state = 'up'")
    }
    there = {container["Config"]["Labels"][INSTANCE]: container for container in apps}
    for instance, container in there.items():
        if instance not in up:
            app = container["Config"]["Labels"][APP]
            problems.append(
                f"the engine has a container of instance {instance}, app {app}, which no row wants"
            )
    for instance, app in up.items():
        if instance not in there or not there[instance]["State"]["Running"]:
            problems.append(f"instance {instance} of app {app} has no running container")
    for row in await rows.fetch("SELECT id, app, state FROM instance WHERE state NOT IN ('up', 'gone')"):
        problems.append(f"instance {row['id']} of app {row['app']} is {row['state']} for ever")
    running = {container["Id"] for container in apps if container["State"]["Running"]}
    networks = (await docker("network", "ls", "-q", *mine)).split()
    for network in json.loads(await docker("network", "inspect", *networks)) if networks else []:
        for endpoint in network["Containers"].keys() - running:
            problems.append(f"{endpoint} is an endpoint on {network['Name']} that belongs to no running app")
    return problems + await _of_images(rows, server) + _of_clones(server)


async def _of_images(rows: Any, server: ServerProcess) -> list[str]:
    label = f"label={IMAGE_INSTALLATION}={server.installation}"
    roles = f"label=io.stackyn.image.role={Role.APP}"
    images = set((await docker("images", "-q", "--no-trunc", "--filter", label, "--filter", roles)).split())
    release_images = {
        row["image"]
        for row in await rows.fetch(
            "SELECT release.image FROM release JOIN app ON app.id = release.app"
            " WHERE app.desired <> 'deleted' AND release.number IS NOT NULL"
            " AND release.image_removed_at IS NULL"
        )
    }
    return [
        *(f"the engine has image {image}, which no release needs" for image in images - release_images),
        *(f"image {image} of a release is gone" for image in release_images - images),
    ]


def _of_clones(server: ServerProcess) -> list[str]:
    return [f"{clone} was left" for clone in (server.data_dir / "clones").glob("*")]


async def _of_ingress(rows: Any, server: ServerProcess) -> list[str]:
    """Each app that runs answers through the proxy, by a route to the instance that is up; no other one answers."""
    problems = []
    for row in await rows.fetch(
        "SELECT app.id, app.slug, app.desired, route.state, route.instance, instance.state AS instance_state"
        " FROM app LEFT JOIN route ON route.app = app.id LEFT JOIN instance ON instance.id = route.instance"
    ):
        name = f"app {row['id']} ({row['desired']})"
        live = row["desired"] == "running" and await rows.fetchval(
            "SELECT EXISTS (SELECT FROM deployment WHERE app = $1 AND phase = 'live')", row["id"]
        )
        if live and (row["state"], row["instance_state"]) != ("serving", "up"):
            problems.append(
                f"{name} is live, and its route {row['state']} to a {row['instance_state']} instance"
            )
        if not live and row["state"] not in (None, "withdrawn"):
            problems.append(f"{name} does not run, and its route is {row['state']}")
        status, text = await server.visit(row["slug"])
        if status != (200 if live else 404):
            problems.append(f"{name} answers {status} {text[:80]!r}")
    return problems
