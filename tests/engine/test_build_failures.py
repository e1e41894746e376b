"""Texts of engines, as seen on 20.10 and 28.5, and what the tenant is told. Texts of registries that can't be reached
from the test machines are from memory and marked so."""

from __future__ import annotations

import pytest

from stackyn_server.domain.failures import FailureCode, TransientFailure
from stackyn_server.engine.build_failures import explain
from stackyn_server.engine.build_output import BuildOutput, Problem
from stackyn_server.engine.errors import EngineUnavailable


def output(*lines: str) -> BuildOutput:
    made = BuildOutput(lambda line: None)
    for line in lines:
        made.feed({"stream": line + "\n"})
    return made


FROM = output("Step 1/2 : FROM python:3.11 AS build")
RUN = output("Step 2/2 : RUN npm ci")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # from memory: Docker Hub
        (
            "pull access denied for python, repository does not exist or may require 'docker login'",
            "doesn't exist",
        ),
        ("manifest for python:3.11 not found: manifest unknown: manifest unknown", "doesn't exist"),
        (
            'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host',
            "not found",
        ),
    ],
)
def test_a_base_image_that_is_not_there_will_not_come_by_waiting(text: str, words: str) -> None:
    error = explain(Problem(text, None), FROM, out_of_memory=False)

    assert error.failure.code is FailureCode.BUILD_FAILED
    assert "python" in error.failure.message and words in error.failure.message
    assert not error.retryable


@pytest.mark.parametrize(
    "text",
    [
        "toomanyrequests: You have reached your pull rate limit.",  # from memory: Docker Hub
        'Get "https://registry-1.docker.io/v2/": net/http: TLS handshake timeout',  # from memory
        'Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused',
        'Get "https://registry.invalid/v2/": dial tcp: lookup registry.invalid on 10.0.0.1:53: '
        "dial udp 10.0.0.1:53: connect: network is unreachable",
    ],
)
def test_a_registry_in_trouble_is_tried_again(text: str) -> None:
    error = explain(Problem(text, None), FROM, out_of_memory=False)

    assert isinstance(error, TransientFailure)
    assert "python:3.11" in error.failure.message


def test_buildkit_names_the_image_in_an_address() -> None:
    text = (
        'failed to do request: Head "https://registry-1.docker.io/v2/library/python/manifests/3.11": dial tcp: '
        "lookup registry-1.docker.io: no such host"
    )

    assert "python:3.11 was not found" in explain(Problem(text, None), output(), out_of_memory=False).message


@pytest.mark.parametrize("text", ["no space left on device", "write /x: no space left on device"])
def test_a_full_disk_is_the_engines_or_the_steps(text: str) -> None:
    for problem, said in (
        (Problem(text, None), RUN),
        (Problem("code: 1", 1), output("Step 1/1 : RUN x", text)),
    ):
        assert explain(problem, said, out_of_memory=False).failure.code is FailureCode.BUILD_DISK


@pytest.mark.parametrize(("code", "killed"), [(137, False), (1, True)])
def test_memory_is_recognised_by_the_signal_or_by_the_engines_event(code: int, killed: bool) -> None:
    error = explain(Problem(f"code: {code}", code), RUN, out_of_memory=killed)

    assert error.failure.code is FailureCode.BUILD_OUT_OF_MEMORY
    assert "step 2 of 2: RUN npm ci" in error.message


@pytest.mark.parametrize(
    "problem",
    [Problem("rpc error: code = Unavailable", None), Problem("something of its own", None, is_fault=True)],
)
def test_the_engines_own_trouble_is_tried_again(problem: Problem) -> None:
    assert isinstance(explain(problem, RUN, out_of_memory=False), EngineUnavailable)


@pytest.mark.parametrize(
    "text",
    [
        "failed to get digest sha256:58b3: open /var/lib/docker/image/overlay2/imagedb/content/sha256/58b3: "
        "no such file or directory",
        "failed to export image: failed to set parent sha256:61f1: unknown parent image ID sha256:61f1",
        "No such image: sha256:61f1",
        'unable to find image "sha256:61f1"',
    ],
)
def test_a_cache_that_was_removed_meanwhile_is_not_the_tenants_fault(text: str) -> None:
    error = explain(Problem(text, None), output("Step 4/7 : COPY start /start"), out_of_memory=False)

    assert isinstance(error, TransientFailure)
    assert "Cached layers" in error.message


def test_a_step_that_prints_a_complaint_about_dockerfiles_is_still_a_failed_step() -> None:
    text = "The command '/bin/sh -c echo dockerfile parse error; exit 9' returned a non-zero code: 9"

    error = explain(Problem(text, 9), RUN, out_of_memory=False)

    assert error.failure.code is FailureCode.BUILD_FAILED


def test_no_sentence_contains_the_engines_text() -> None:
    secret = "/var/lib/docker/overlay2/abc"
    for problem in (
        Problem(f"unknown instruction {secret}", None),
        Problem(secret, None),
        Problem(secret, 1),
    ):
        error = explain(problem, RUN, out_of_memory=False)
        assert secret not in error.message + error.hint
