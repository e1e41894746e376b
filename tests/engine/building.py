"""Builds of the tests, and what is looked at after them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.engine.builder import builder_container
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.request import BuildRequest
from tests.engine.parts import tar


async def context(dockerfile: str, **files: str) -> AsyncIterator[bytes]:
    """A build context as the source room gives it: a tar in pieces, its members below `context/`."""
    members: dict[str, bytes | str] = {f"context/{name}": text.encode() for name, text in files.items()}
    content = tar({"context/Dockerfile": dockerfile.encode(), **members})
    piece = 64 * 1024
    for start in range(0, len(content), piece):
        yield content[start : start + piece]


async def fails(builder: Builder, request: BuildRequest, dockerfile: str, **files: str) -> DeploymentFailed:
    with pytest.raises(DeploymentFailed) as caught:
        await builder.build(request, context(dockerfile, **files), lambda line: None)
    return caught.value


async def succeeds(
    builder: Builder, request: BuildRequest, dockerfile: str, say: Callable[[str], None] | None = None
) -> tuple[str, list[str]]:
    lines: list[str] = []
    image = await builder.build(request, context(dockerfile), say or lines.append)
    return image, lines


DAEMON_OPTION = "--oci-worker-net=host"


def add_daemon_option(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """Have the daemon of each build get another option, after `DAEMON_OPTION`."""
    creation_body = builder_container.creation_body
    change = f"s/{DAEMON_OPTION}/& {option}/"
    entry = ["bash", "-c", f"sed '{change}' {builder_container.PROGRAM} >/tmp/build && exec bash /tmp/build"]
    monkeypatch.setattr(
        builder_container, "creation_body", lambda *given: creation_body(*given) | {"Entrypoint": entry}
    )
