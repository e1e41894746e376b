"""Builds with the real engine: results, limits, failures, cancelling, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.engine import builds, containers, images
from stackyn_server.engine.builds import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.containers import ContainerSpec
from stackyn_server.engine.errors import EngineUnavailable
from tests.engine.parts import context, new_id, processes_with, until

Make = Callable[..., BuildRequest]


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


@pytest.mark.parametrize("needs_buildkit", [False, True], ids=["classic", "buildkit"])
async def test_a_failing_step_is_named_with_its_exit_code_and_last_lines(
    engine: Engine, base_image: str, build_request: Make, needs_buildkit: bool
) -> None:
    error = await fails(
        engine,
        build_request(needs_buildkit=needs_buildkit),
        f"FROM {base_image}\nRUN echo the-reason >&2; exit 3\n",
    )

    assert error.failure.code is FailureCode.BUILD_FAILED
    assert "(exit code 3)" in error.failure.message
    assert "RUN echo the-reason" in error.failure.message
    assert "the-reason" in error.failure.evidence.splitlines()
    assert not error.retryable


async def test_a_step_that_needs_too_much_memory_is_called_by_its_name(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    hungry = "head -c 200m /dev/zero | tail -c 150m > /dev/null"

    error = await fails(engine, build_request(memory_mb=32), f"FROM {base_image}\nRUN {hungry}\n")

    assert error.failure.code is FailureCode.BUILD_OUT_OF_MEMORY, error.failure


async def test_memory_is_called_by_its_name_also_behind_an_exit_code_of_the_build_tool(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    hungry = "tail -c 150m /dev/zero > /dev/null & wait $! || exit 2"

    error = await fails(
        engine, build_request(memory_mb=32), f"FROM {base_image}\nRUN head -c 1 /dev/zero; {hungry}\n"
    )

    assert error.failure.code is FailureCode.BUILD_OUT_OF_MEMORY, error.failure


@pytest.mark.parametrize(
    "dockerfile",
    [
        "FORM scratch\n",
        "",
        "FROM {base}\nRUNN echo\n",
        "FROM {base}\nCOPY\n",
        "RUN echo no base\n",
        "FROM {base}\nRUN --mount=type=cache,target=/x echo\n",
    ],
    ids=["misspelled", "empty", "second-line", "argument-missing", "no-from", "buildkit-syntax"],
)
async def test_an_invalid_dockerfile_is_called_so_with_the_engines_words_as_evidence(
    engine: Engine, base_image: str, build_request: Make, dockerfile: str
) -> None:
    error = await fails(engine, build_request(), dockerfile.format(base=base_image))

    assert error.failure.code is FailureCode.DOCKERFILE_INVALID, error.failure
    assert error.failure.evidence


@pytest.mark.parametrize("dockerfile", ["FORM scratch\n", "FROM {base}\nCOPY\n"])
async def test_buildkit_complains_about_a_dockerfile_in_the_same_way(
    engine: Engine, base_image: str, build_request: Make, dockerfile: str
) -> None:
    error = await fails(engine, build_request(needs_buildkit=True), dockerfile.format(base=base_image))

    assert error.failure.code is FailureCode.DOCKERFILE_INVALID, error.failure


async def test_a_dockerfile_that_is_not_in_the_context_is_a_dockerfile_problem(
    engine: Engine, build_request: Make
) -> None:
    error = await fails(engine, build_request(dockerfile="elsewhere/Dockerfile"), "FROM scratch\n")

    assert error.failure.code is FailureCode.DOCKERFILE_INVALID, error.failure


async def test_a_missing_file_of_copy_fails_the_build_and_is_named(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    error = await fails(engine, build_request(), f"FROM {base_image}\nCOPY missing.txt /\n")

    assert error.failure.code is FailureCode.BUILD_FAILED, error.failure
    assert "COPY missing.txt" in error.failure.message
    assert "missing.txt" in error.failure.evidence


@pytest.mark.parametrize("needs_buildkit", [False, True], ids=["classic", "buildkit"])
async def test_a_base_image_without_a_registry_gets_a_sentence_of_its_own(
    engine: Engine, build_request: Make, needs_buildkit: bool
) -> None:
    name = "registry.invalid/stackyn/nothing:1"

    error = await fails(engine, build_request(needs_buildkit=needs_buildkit), f"FROM {name}\n")

    assert error.failure.code is FailureCode.BUILD_FAILED, error.failure
    assert name in error.failure.message, error.failure
    assert "base image" in error.failure.message


async def test_a_registry_that_does_not_answer_is_tried_again(engine: Engine, build_request: Make) -> None:
    error = await fails(engine, build_request(), "FROM 127.0.0.1:9/stackyn/nothing:1\n")

    assert isinstance(error, TransientFailure)
    assert "registry" in error.failure.message


async def test_a_full_disk_is_called_so(engine: Engine, base_image: str, build_request: Make) -> None:
    error = await fails(
        engine,
        build_request(memory_mb=256),
        f"FROM {base_image}\nRUN dd if=/dev/zero of=/dev/shm/x bs=1M count=80\n",
    )

    assert error.failure.code is FailureCode.BUILD_DISK, error.failure


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

    assert time.monotonic() - cancelled_at < 2
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


async def test_an_earlier_stage_is_kept_as_cache_and_goes_with_its_image(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    images_before = await images_upon(engine, base_image)
    unique = build_request().deployment
    dockerfile = (
        f"FROM {base_image} AS first\nRUN echo {unique} > /made\n"
        f"FROM {base_image}\nCOPY --from=first /made /made\nRUN cat /made\n"
    )
    first, _ = await succeeds(engine, build_request(), dockerfile)

    second, lines = await succeeds(engine, build_request(), dockerfile)

    assert lines.count(" ---> Using cache") >= 3, lines
    for image in (second, first):
        assert await images.remove(engine, image)
    assert await images_upon(engine, base_image) - images_before == set()


async def test_removing_an_image_leaves_the_cache_of_another(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    dockerfile = f"FROM {base_image}\nRUN echo {build_request().deployment} > /made\n"
    first, _ = await succeeds(engine, build_request(), dockerfile)
    second, _ = await succeeds(engine, build_request(), dockerfile)

    assert await images.remove(engine, first)
    third, lines = await succeeds(engine, build_request(), dockerfile)

    assert lines.count(" ---> Using cache") == 1, lines
    assert await images.inspect(engine, second) is not None
    assert third != second


async def test_an_image_that_lost_its_name_is_removed_too(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    """As one whose engine died between the last layer and the name."""
    images_before = await images_upon(engine, base_image)
    request = build_request()
    nameless, _ = await succeeds(engine, request, f"FROM {base_image}\nRUN echo one {request.deployment}\n")
    named, _ = await succeeds(engine, request, f"FROM {base_image}\nRUN echo two {request.deployment}\n")

    assert await images.remove(engine, nameless)

    assert await images.inspect(engine, nameless) is None
    assert await images.inspect(engine, named) is not None
    assert await images.remove(engine, named)
    assert await images_upon(engine, base_image) - images_before == set()


async def test_an_image_in_use_is_not_removed_and_says_so(
    engine: Engine, base_image: str, build_request: Make, spec: Callable[..., ContainerSpec]
) -> None:
    request = build_request()
    image, _ = await succeeds(engine, request, f"FROM {base_image}\nRUN echo in-use\n")
    container = await containers.start(engine, spec(image=image))

    assert not await images.remove(engine, image)
    assert await images.inspect(engine, request.tag) is not None
    await containers.remove(engine, container)
    assert await images.remove(engine, image)
    assert await images.remove(engine, image), "absent is success"


async def test_a_name_of_the_operators_keeps_an_image(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    request, keep = build_request(), f"stackyn-test/kept:{new_id()}"
    image, _ = await succeeds(engine, request, f"FROM {base_image}\nRUN echo kept\n")
    await images.tag(engine, image, keep)
    try:
        await images.remove(engine, image)
        assert await images.inspect(engine, request.tag) is None
        assert await images.inspect(engine, keep) is not None
    finally:
        await engine.request_or_none("DELETE", f"images/{keep}")


async def test_an_image_can_not_claim_another_app_by_its_own_labels(
    engine: Engine, base_image: str, build_request: Make
) -> None:
    request = build_request()
    claims = "io.stackyn.image.app=1 io.stackyn.image.deployment=2 io.stackyn.image.installation=another"

    image, _ = await succeeds(engine, request, f"FROM {base_image}\nLABEL {claims}\n")

    found = await images.inspect(engine, image)
    assert found is not None
    assert (found.app, found.deployment) == (request.app, request.deployment)
    assert image in {one.id for one in await images.list_ours(engine)}


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
