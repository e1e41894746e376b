"""Builds with the real engine: results, limits, cancelling, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from stackyn_server.engine import builds, containers, images
from stackyn_server.engine.builds import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.containers import ContainerSpec
from stackyn_server.engine.errors import EngineUnavailable
from tests.engine.building import containers_of_builds, fails, images_upon, succeeds
from tests.engine.parts import context, processes_with, until
from tests.patience import patient

Make = Callable[..., BuildRequest]


@pytest.mark.parametrize("needs_buildkit", [False, True], ids=["classic", "buildkit"])
async def test_a_build_returns_the_image_that_its_tag_names(
    engine: Engine, base_image: str, build_request: Make, needs_buildkit: bool
) -> None:
    request = build_request(needs_buildkit=needs_buildkit, build_arguments={"GREETING": "hello"})

    image, lines = await succeeds(
        engine, request, f"FROM {base_image}\nARG GREETING\nRUN echo $GREETING-from-step\nEXPOSE 8123\n"
    )

    found = await images.inspect(engine, request.tag)
    assert found is not None and found.id == image
    assert found.exposed_ports == (8123,)
    assert found.app == request.app and found.deployment == request.deployment
    listed = images.PresentImage(image, request.app, request.deployment)
    assert listed in await images.present(engine), "the listing knows it by the same id"
    assert "hello-from-step" in lines
    assert (
        needs_buildkit or [line for line in lines if line.startswith("Step ")][-1] == "Step 4/4 : EXPOSE 8123"
    )
    assert not [line for line in lines if "io.stackyn" in line or "Running in" in line], lines


async def test_limits_are_seen_inside_a_step(engine: Engine, base_image: str, build_request: Make) -> None:
    look = (
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; "
        "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null; true"
    )

    _, lines = await succeeds(
        engine, build_request(memory_mb=48, cpu=0.5), f"FROM {base_image}\nRUN {look}\n"
    )

    assert str(48 * 1024 * 1024) in lines
    assert any(line.split()[0] == "50000" for line in lines if line.strip())


async def test_a_step_that_makes_too_many_processes_is_stopped_from_it(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    storm = "for i in $(seq 60); do sleep 30 & done; echo made-them-all"

    error = await fails(engine, build_request(max_processes=20), f"FROM {base_image}\nRUN {storm}\n")

    assert "made-them-all" not in error.failure.evidence.splitlines()
    assert re.search(r"can't fork|resource temporarily unavailable", error.failure.evidence, re.IGNORECASE)


@pytest.mark.parametrize("needs_buildkit", [False, True], ids=["classic", "buildkit"])
async def test_cancelling_ends_the_build_within_two_seconds_and_nothing_of_it_runs_on(
    engine: Engine, base_image: str, build_request: Make, needs_buildkit: bool
) -> None:
    began = asyncio.Event()
    mark = f"7{time.time_ns() % 10**8}"  # how long the step sleeps, which no other process does
    dockerfile = f"FROM {base_image}\nRUN echo begun && sleep {mark}\n"

    def look(line: str) -> None:
        if line == "begun":
            began.set()

    request = build_request(needs_buildkit=needs_buildkit)
    task = asyncio.create_task(
        builds.build(engine, request, context({"Dockerfile": dockerfile.encode()}), look), name="build"
    )
    await began.wait()
    await until(lambda: bool(processes_with(mark)), 10)
    cancelled_at = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert time.monotonic() - cancelled_at < patient(2)
    if needs_buildkit:  # it says nothing about its processes, so here we can only look
        await until(lambda: not processes_with(mark), 2)
    assert not await asyncio.to_thread(processes_with, mark)
    assert await containers_of_builds(engine) == set()
    assert await images.inspect(engine, request.tag) is None


async def test_a_failed_build_leaves_no_container_no_image_and_no_group(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    images_before = await images_upon(engine, base_image)
    request = build_request()

    await fails(
        engine,
        request,
        f"FROM {base_image}\nRUN echo {request.deployment} > /one\nRUN echo two\nRUN exit 1\n",
    )

    assert await images_upon(engine, base_image) - images_before == set()
    assert await containers_of_builds(engine) == set()
    assert await asyncio.to_thread(_group_directories, engine, request) == []


def _group_directories(engine: Engine, request: BuildRequest) -> list[Path]:
    root = Path("/sys/fs/cgroup")
    return list(root.glob(f"**/stackyn-{engine.labels.short}/d{request.deployment}"))


async def test_ids_that_a_step_prints_are_not_believed(
    engine: Engine, base_image: str, build_request: Make, spec: Callable[..., ContainerSpec]
) -> None:
    victim = await containers.start(engine, spec())
    kept, _ = await succeeds(engine, other := build_request(), f"FROM {base_image}\nRUN echo kept\n")
    short = kept.removeprefix("sha256:")[:12]
    lies = f"echo ' ---> Running in {victim[:12]}'; echo ' ---> {short}'; exit 1"

    await fails(engine, build_request(), f"FROM {base_image}\nRUN {lies}\n")

    state = await containers.inspect(engine, victim)
    assert state is not None and state.running
    assert await images.inspect(engine, other.tag) is not None


async def test_a_broken_context_comes_out_as_itself(engine: Engine, build_request: Make) -> None:
    class RepositoryVanished(Exception):
        pass

    async def broken() -> AsyncIterator[bytes]:
        yield b"\0" * 4096
        raise RepositoryVanished

    with pytest.raises(RepositoryVanished):
        await builds.build(engine, build_request(), broken(), lambda line: None)


async def test_a_stream_that_ends_without_an_image_is_no_success(
    engine: Engine, build_request: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As seen with connections that were lost in mid-build."""

    @contextlib.asynccontextmanager
    async def short_stream(*args: object, **kwargs: object) -> AsyncIterator[object]:
        class Ended:
            async def json_lines(self) -> AsyncIterator[dict[str, str]]:
                yield {"stream": "Step 1/2 : FROM scratch\n"}

        yield Ended()

    monkeypatch.setattr(engine, "stream", short_stream)

    with pytest.raises(EngineUnavailable):
        await builds.build(engine, build_request(), context({}), lambda line: None)
