"""Builds with the real engine: results, limits, failures, cancelling, and what is left behind."""

from __future__ import annotations

from collections.abc import Callable

from stackyn_server.engine import builds, images
from stackyn_server.engine.builds import BuildRequest
from stackyn_server.engine.client import Engine
from tests.engine.parts import context

Make = Callable[..., BuildRequest]


async def test_a_build_returns_the_image_that_its_tag_names(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    request, lines = build_request(), list[str]()
    dockerfile = f"FROM {base_image}\nRUN echo hello-from-step\nEXPOSE 8123\n"

    image = await builds.build(engine, request, context({"Dockerfile": dockerfile.encode()}), lines.append)

    found = await images.inspect(engine, request.tag)
    assert found is not None and found.id == image
    assert found.exposed_ports == (8123,)
    assert found.app == request.app and found.deployment == request.deployment
    assert "hello-from-step" in lines
    assert not [line for line in lines if "io.stackyn" in line or "Running in" in line], lines
