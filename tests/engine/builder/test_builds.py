"""Builds by the real builder: results, limits, cancelling, and what is left behind."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable

import pytest

from stackyn_server import config
from stackyn_server.domain.failures import FailureCode
from stackyn_server.domain.ids import UserId
from stackyn_server.engine import containers, images
from stackyn_server.engine import labels as keys
from stackyn_server.engine.builder import caches
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineUnavailable
from stackyn_server.engine.labels import IMAGE_DEPLOYMENT, Role
from tests.engine.building import cancel_in_mid_step, context, fails, in_mid_step, succeeds
from tests.engine.effective_limits import read_limits
from tests.engine.parts import eventually

Make = Callable[..., BuildRequest]


async def test_a_build_gives_its_image_the_name_that_is_asked_for(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    request = build_request(build_arguments={"GREETING": "hello"}, secrets={"token": b"s3cret"})
    dockerfile = (
        f"FROM {base_image}\nARG GREETING\nRUN --mount=type=secret,id=token "
        "echo $GREETING-from-step; head -c 3 /run/secrets/token; echo\nEXPOSE 8123\n"
    )

    image, lines = await succeeds(builder, request, dockerfile)

    info = await images.inspect(engine, request.tag)
    assert info is not None and info.id == image
    assert info.exposed_ports == (8123,)
    assert info.app == request.app
    assert info.labels[IMAGE_DEPLOYMENT] == str(request.deployment)
    assert lines[0] == f"FROM {base_image}"
    assert lines[1].startswith("[stage-0 1/2] RUN --mount=type=secret")
    assert lines[2:4] == ["hello-from-step", "s3c"]
    assert await containers.list_of_role(engine, Role.BUILDER) == []


async def test_layers_are_cached_for_their_tenant_only(
    base_image: str, builder: Builder, build_request: Make
) -> None:
    dockerfile = f"FROM {base_image}\nRUN date; echo made > /made\n"
    tenant = UserId(uuid.uuid4())

    await succeeds(builder, build_request(tenant=tenant), dockerfile)
    _, again = await succeeds(builder, build_request(tenant=tenant), dockerfile)
    _, of_another = await succeeds(builder, build_request(), dockerfile)

    assert "CACHED [1/2] RUN date; echo made > /made" in again
    assert not [line for line in of_another if "CACHED" in line]


async def test_the_blobs_of_an_image_go_when_it_is_taken(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    request = build_request()

    image, _ = await succeeds(builder, request, f"FROM {base_image}\nRUN echo made > /made\n")

    (cache,) = [cache for cache in await caches.list_all(engine) if cache.tenant == request.tenant]
    left = {entry.name for entry in await asyncio.to_thread(lambda: list(cache.folder.iterdir()))}
    assert left == {"buildkit", "work"}
    assert await images.inspect(engine, image) is not None


async def test_two_builds_of_a_tenant_at_once_take_two_places(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    tenant = UserId(uuid.uuid4())
    dockerfile = f"FROM {base_image}\nRUN sleep 1\n"

    await asyncio.gather(*(succeeds(builder, build_request(tenant=tenant), dockerfile) for _ in range(2)))

    names = {cache.name for cache in await caches.list_all(engine) if cache.tenant == tenant}
    assert names == {engine.labels.cache_name(tenant, place) for place in (0, 1)}


async def test_a_cancelled_build_ends_completely(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    """`tests/bench/engine` asserts the 2 seconds in which it does."""
    await cancel_in_mid_step(engine, builder, build_request(), base_image)


async def test_next_build_removes_the_container_of_a_killed_server(
    engine: Engine, base_image: str, builder: Builder, build_request: Make, build_settings: config.Settings
) -> None:
    left = build_request()
    before = Builder(engine, build_settings, RegistryAvailability(build_settings))
    async with in_mid_step(before, left, base_image) as task:
        await succeeds(builder, build_request(tenant=left.tenant), f"FROM {base_image}\nRUN true\n")

        assert await containers.list_of_role(engine, Role.BUILDER) == []
        with pytest.raises(EngineUnavailable):
            await task


async def test_a_build_has_the_limits_that_are_asked_for(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    async with in_mid_step(builder, build_request(memory_mb=300, cpu=0.5, max_processes=99), base_image):
        (listed,) = await containers.list_of_role(engine, Role.BUILDER)
        kept = await read_limits(engine, listed.id)

    assert kept is not None
    assert (kept.memory_bytes, kept.cpu, kept.max_processes) == (300 * 1024 * 1024, 0.5, 99)


async def test_step_sees_its_own_processes_and_no_builder(
    base_image: str, builder: Builder, build_request: Make
) -> None:
    look = "cat /proc/self/status; ls /proc; cat /proc/1/environ /proc/1/cmdline; kill -9 -1; true"

    _, lines = await succeeds(builder, build_request(), f"FROM {base_image}\nRUN {look}\n")

    assert "Seccomp:\t2" in lines
    assert len([line for line in lines if line.isdecimal()]) <= 3, lines
    assert not [line for line in lines if "buildkitd" in line or "BUILDKIT" in line]


@pytest.mark.parametrize(
    ("dockerfile", "code", "words"),
    [
        ("FROM {base}\nRUN echo the-reason >&2; exit 3\n", FailureCode.BUILD_FAILED, "exit code 3"),
        (
            "FROM {base}\nRUN tail -c 900m /dev/zero > /x & wait $! || exit 2\n",
            FailureCode.BUILD_OUT_OF_MEMORY,
            "more memory than builds are allowed",
        ),
        ("FORM scratch\n", FailureCode.DOCKERFILE_INVALID, "can't be used"),
        ("FROM d4f\n", FailureCode.BUILD_FAILED, "d4f"),
        ("FROM {base}\nADD http://127.0.0.1:1/x /\n", FailureCode.BUILD_FAILED, "may not reach 127.0.0.1"),
    ],
    ids=["step", "memory", "dockerfile", "no-such-image", "loopback"],
)
async def test_a_failing_build_says_why(
    base_image: str, builder: Builder, build_request: Make, dockerfile: str, code: FailureCode, words: str
) -> None:
    error = await fails(builder, build_request(), dockerfile.format(base=base_image))

    assert error.failure.code is code, error.failure
    assert words in error.failure.message
    assert not isinstance(error, EngineUnavailable)


async def test_a_process_limit_ends_what_passes_it_and_not_the_builder(
    base_image: str, builder: Builder, build_request: Make
) -> None:
    storm = "for i in $(seq 300); do sleep 30 & done; echo made-them-all"

    error = await fails(builder, build_request(max_processes=150), f"FROM {base_image}\nRUN {storm}\n")

    assert error.failure.code is FailureCode.BUILD_FAILED
    assert not error.retryable
    assert "made-them-all" not in error.failure.evidence.splitlines()
    assert re.search(r"can't fork|resource temporarily unavailable|processes", str(error.failure), re.I)


async def test_usual_frontend_is_built_in_without_a_registry(
    base_image: str, builder: Builder, build_request: Make
) -> None:
    request = build_request(syntax="docker/dockerfile:1.7")

    _, lines = await succeeds(
        builder, request, f"# syntax=docker/dockerfile:1.7\nFROM {base_image}\nRUN <<E\necho heard\nE\n"
    )

    assert "heard" in lines
    assert "instead of docker/dockerfile:1.7 the builder's own" in lines[0]


async def test_a_broken_context_comes_out_as_itself(builder: Builder, build_request: Make) -> None:
    class RepositoryVanished(Exception):
        pass

    async def broken() -> AsyncIterator[bytes]:
        async for piece in context("FROM scratch\n"):
            yield piece[:1024]
            raise RepositoryVanished

    with pytest.raises(RepositoryVanished):
        await builder.build(build_request(), broken(), lambda line: None)


async def test_a_build_that_fills_the_disk_is_ended_and_its_cache_goes(
    engine: Engine, base_image: str, build_request: Make, build_settings: config.Settings
) -> None:
    tight = build_settings.model_copy(update={"builds": config.BuildsSettings(disk_mb=100, free_disk_mb=64)})
    builder = Builder(engine, tight, RegistryAvailability(tight))
    request = build_request()

    error = await fails(
        builder, request, f"FROM {base_image}\nRUN dd if=/dev/zero of=/big bs=1M count=400; sleep 60\n"
    )

    assert error.failure.code is FailureCode.BUILD_DISK
    assert "100 MiB" in error.failure.message

    async def is_there() -> bool:
        return request.tenant in {cache.tenant for cache in await caches.list_all(engine)}

    await eventually(is_there, False)


async def test_container_has_its_deployments_labels_and_no_secret(
    engine: Engine, base_image: str, builder: Builder, build_request: Make
) -> None:
    request = build_request(secrets={"token": b"very-secret"}, docker_config='{"auths": {}}')
    async with in_mid_step(builder, request, base_image):
        (listed,) = await containers.list_of_role(engine, Role.BUILDER)
        inspected = await engine.request("GET", f"containers/{listed.id}/json")

    assert listed.labels[keys.TENANT] == str(request.tenant)
    assert listed.name == f"stackyn-build-d{request.deployment}"
    assert "very-secret" not in str(inspected)
