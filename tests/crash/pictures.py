"""What the API, the engine and HTTP say of each app, each by itself, with no look at the rows."""

from __future__ import annotations

import json
from typing import Any

from stackyn_server.engine.labels import APP, INSTALLATION, ROLE, Role
from tests.server_process import ServerProcess, docker

Picture = dict[int, list[str]]  # of each app that runs, the image of each container that it runs in


async def contradictions(server: ServerProcess) -> list[str]:
    """Return a sentence for each app that they don't agree on."""
    by_api, by_engine = await _of_api(server), await _of_engine(server)
    sentences = [
        f"app {app} runs {by_api.get(app, [])} by the API's word, and {by_engine.get(app, [])} by the engine's"
        for app in sorted(by_api.keys() | by_engine.keys())
        if by_api.get(app, []) != by_engine.get(app, [])
    ]
    for app in await server.api("GET", "/api/apps", expect=200):
        status, text = await server.visit(app["slug"])
        if (status == 200) != (int(app["id"]) in by_api):
            sentences.append(
                f"app {app['id']} is {app['status']} by the API's word, and answers {status} {text[:80]}"
            )
    return sentences


async def running_deployment(server: ServerProcess, app: dict[str, Any]) -> dict[str, Any] | None:
    """Return the deployment that runs by the API's word."""
    deployments = await server.api("GET", f"/api/v1/apps/{app['id']}/deployments", expect=200)
    running = [deployment for deployment in deployments if deployment["status"] == "running"]
    assert len(running) <= 1, running
    return running[0] if running and app["status"] == "running" else None


async def _of_api(server: ServerProcess) -> Picture:
    running = [
        await running_deployment(server, app) for app in await server.api("GET", "/api/apps", expect=200)
    ]
    return {
        int(deployment["app_id"]): [deployment["image_name"]["String"]]
        for deployment in running
        if deployment is not None
    }


async def _of_engine(server: ServerProcess) -> Picture:
    mine = ("--filter", f"label={INSTALLATION}={server.installation}")
    ids = (await docker("ps", "-q", *mine, "--filter", f"label={ROLE}={Role.APP}")).split()
    picture: Picture = {}
    for container in json.loads(await docker("inspect", *ids)) if ids else []:
        picture.setdefault(int(container["Config"]["Labels"][APP]), []).append(container["Image"])
    return picture
