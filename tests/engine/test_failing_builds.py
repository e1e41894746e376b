"""Builds that fail: each cause by its name, with the words of the engine or the step as evidence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stackyn_server.domain.failures import FailureCode, TransientFailure
from stackyn_server.engine.builds import BuildRequest
from stackyn_server.engine.client import Engine
from tests.engine.building import fails

Make = Callable[..., BuildRequest]


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
