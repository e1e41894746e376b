"""Builds of the tests, and what is looked at after them."""

from __future__ import annotations

import pytest

from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.engine import builds
from stackyn_server.engine.builds import BuildRequest
from stackyn_server.engine.client import Engine
from tests.engine.parts import context


async def fails(engine: Engine, request: BuildRequest, dockerfile: str, **files: str) -> DeploymentFailed:
    members: dict[str, bytes | str] = {name: text.encode() for name, text in files.items()}
    with pytest.raises(DeploymentFailed) as caught:
        await builds.build(
            engine, request, context({"Dockerfile": dockerfile.encode(), **members}), lambda line: None
        )
    return caught.value


async def succeeds(engine: Engine, request: BuildRequest, dockerfile: str) -> tuple[str, list[str]]:
    lines: list[str] = []
    image = await builds.build(engine, request, context({"Dockerfile": dockerfile.encode()}), lines.append)
    return image, lines


async def images_upon(engine: Engine, base: str) -> set[str]:
    """The ids of all images, nameless ones too, that are made upon the tests' own base image."""
    found = set()
    (bottom,) = (await engine.docker.images.inspect(base))["RootFS"]["Layers"]
    for image in await engine.docker.images.list(all="true"):
        details = await engine.ask_or_none(engine.docker.images.inspect(image["Id"]))
        if details is not None and bottom in (details["RootFS"].get("Layers") or []):
            found.add(str(image["Id"]))
    return found


async def containers_of_builds(engine: Engine) -> set[str]:
    found = set()
    for one in await engine.request("GET", "containers/json", params={"all": "true"}):
        details = await engine.request_or_none("GET", f"containers/{one['Id']}/json")
        if details is not None and engine.labels.short in details["HostConfig"].get("CgroupParent", ""):
            found.add(str(one["Id"]))
    return found
