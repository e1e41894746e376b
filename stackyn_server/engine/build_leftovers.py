"""What an interrupted or failed classic build leaves: containers without our labels, images without names.

Ids that the build's output named are only hints (a step can print any). A container counts when the engine says that
it is in this build's control group; an image when it is nameless and younger than the build.
"""

from __future__ import annotations

from datetime import datetime

import structlog

from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.engine import images
from stackyn_server.engine.build_group import BuildGroup
from stackyn_server.engine.build_output import BuildOutput
from stackyn_server.engine.client import Engine
from stackyn_server.engine.containers import force_remove
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable, InUse
from stackyn_server.engine.timestamps import engine_time

log = structlog.get_logger()


async def remove_containers(engine: Engine, group: BuildGroup, output: BuildOutput) -> None:
    """Kill and remove the containers of this build."""
    for container in {*(await group.containers()), *output.containers}:
        found = await engine.request_or_none("GET", f"containers/{container}/json")
        if found is None or (found.get("HostConfig") or {}).get("CgroupParent") != group.parent:
            continue
        try:
            await force_remove(engine, found["Id"])
        except (EngineRefused, EngineUnavailable) as error:
            log.warning("build.container_kept", container=found["Id"], reason=error.reason)


async def remove_images(engine: Engine, output: BuildOutput, began_at: datetime) -> None:
    """Remove the nameless images that this build made, the newest first, each without its parents."""
    for image in reversed(output.images):
        if await _is_nameless(engine, image, began_at):
            try:
                await engine.ask_or_none(engine.docker.images.delete(image, noprune=True))
            except InUse:
                continue  # by an image that came out of the cache


async def keep_stages(
    engine: Engine, app: AppId, deployment: DeploymentId, output: BuildOutput, began_at: datetime
) -> None:
    """Name what earlier stages of a finished build left: it is the next build's cache, and it goes with the image."""
    for number, image in enumerate(output.stages, start=1):
        if await _is_nameless(engine, image, None):
            await images.tag(engine, image, images.stage_tag(engine, app, deployment, number))


async def _is_nameless(engine: Engine, image: str, not_before: datetime | None) -> bool:
    found = await engine.ask_or_none(engine.docker.images.inspect(image))
    if found is None or found.get("RepoTags"):
        return False
    if not_before is None:
        return True
    created = engine_time(found.get("Created"))
    return created is not None and created >= not_before
