"""Builds of the tests, and what is looked at after them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from stackyn_server.domain.failures import DeploymentFailed
from stackyn_server.engine import containers, images
from stackyn_server.engine.builder import builder_container
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.image_transfer import TransferredImage
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.labels import Role
from tests.engine.parts import processes_with, tar, until


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
    return image.id, lines


@asynccontextmanager
async def in_mid_step(
    builder: Builder, request: BuildRequest, base: str, step: str = "sleep 600"
) -> AsyncIterator[asyncio.Task[TransferredImage]]:
    """A build whose step runs."""
    began = asyncio.Event()
    dockerfile = context(f"FROM {base}\nRUN echo begun && {step}\n")
    task = asyncio.create_task(
        builder.build(request, dockerfile, lambda line: began.set() if line == "begun" else None),
        name="build",
    )
    waiting = asyncio.create_task(began.wait())
    try:
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield task
    finally:
        waiting.cancel()
        task.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)


async def cancel_in_mid_step(engine: Engine, builder: Builder, request: BuildRequest, base: str) -> float:
    """Cancel a build whose step runs, and return the seconds until it had ended; nothing of it is left."""
    mark = f"7{time.time_ns() % 10**8}"  # how long the step sleeps, which no other process does
    async with in_mid_step(builder, request, base, f"sleep {mark}") as task:
        await until(lambda: bool(processes_with(mark)), 10)

        cancelled_at = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        seconds = time.monotonic() - cancelled_at

    assert not await asyncio.to_thread(processes_with, mark)
    assert await containers.list_of_role(engine, Role.BUILDER) == []
    assert await images.inspect(engine, request.tag) is None
    return seconds


DAEMON_OPTION = "--oci-worker-net=host"


def add_daemon_option(monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """Have the daemon of each build get another option, after `DAEMON_OPTION`."""
    creation_body = builder_container.creation_body
    change = f"s/{DAEMON_OPTION}/& {option}/"
    entry = ["bash", "-c", f"sed '{change}' {builder_container.PROGRAM} >/tmp/build && exec bash /tmp/build"]
    monkeypatch.setattr(
        builder_container, "creation_body", lambda *given: creation_body(*given) | {"Entrypoint": entry}
    )
