"""What a tenant reads of a build that failed, from the words of buildctl 0.34.2."""

from __future__ import annotations

import base64
import json
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from stackyn_server.domain.failures import DeploymentFailed, FailureCode, TransientFailure
from stackyn_server.engine.builder import NO_DAEMON, NO_INPUT
from stackyn_server.engine.builder.build_failures import failure_of, is_cache_damaged, log_ending
from stackyn_server.engine.builder.builder_run import BuilderExit
from stackyn_server.engine.builder.buildkit_progress import BuildkitProgress
from stackyn_server.engine.errors import EngineUnavailable

SOURCE = "x: failed to resolve source metadata for "
HUB = SOURCE + "docker.io/library/python:3.11: "
GIT = "failed to load cache key: error fetching default branch for repository "


def heard(complaint: str) -> BuildkitProgress:
    progress = BuildkitProgress()
    list(progress.feed(f"error: failed to solve: {complaint}\n".encode() if complaint else b""))
    list(progress.finish())
    return progress


def explained(complaint: str, exit_code: int = 1, **ended: object) -> DeploymentFailed:
    values: dict[str, object] = {"out_of_memory": False, "stdout_tail": "", **ended}
    return failure_of(BuilderExit(exit_code, **values), heard(complaint))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("complaint", "code"),
    [
        ('process "/bin/sh -c x" did not complete successfully: exit code: 3', FailureCode.BUILD_FAILED),
        ('process "x" did not complete successfully: exit code: 137', FailureCode.BUILD_OUT_OF_MEMORY),
        ("failed to write: no space left on device", FailureCode.BUILD_DISK),
        ("dockerfile parse error on line 1: unknown instruction: FORM", FailureCode.DOCKERFILE_INVALID),
        ("the Dockerfile cannot be empty", FailureCode.DOCKERFILE_INVALID),
        ("file with no instructions", FailureCode.DOCKERFILE_INVALID),
        ("no build stage in current context", FailureCode.DOCKERFILE_INVALID),
        ('target stage "nope" could not be found', FailureCode.DOCKERFILE_INVALID),
        ("dockerfile line greater than max allowed size of 65535", FailureCode.DOCKERFILE_INVALID),
        ("base name ($X) should not be blank", FailureCode.DOCKERFILE_INVALID),
        (
            "failed to load LLB: security.insecure is not allowed",
            FailureCode.DOCKERFILE_INVALID,
        ),
        ('failed to compute cache key: "/nothing": not found', FailureCode.BUILD_FAILED),
        ("secret nope: not found", FailureCode.BUILD_FAILED),
        (
            "process did not complete successfully: unable to find user me: no matching entries",
            FailureCode.BUILD_FAILED,
        ),
        ("rpc error: code = Unavailable desc = error reading from server: EOF", FailureCode.BUILD_FAILED),
    ],
)
def test_each_fault_of_a_tenant_has_its_code_and_is_not_retried(complaint: str, code: FailureCode) -> None:
    error = explained(complaint)

    assert error.failure.code is code, error.failure
    assert not isinstance(error, TransientFailure)
    assert error.failure.hint


@pytest.mark.parametrize(
    ("complaint", "is_retried", "words"),
    [
        (f"{HUB}pull access denied, repository does not exist: insufficient_scope", False, "is private"),
        (f"{HUB}docker.io/library/python:3.11: not found", False, "doesn't exist"),
        (f"{HUB}unexpected status from HEAD request to https://r/v2/: 403 Forbidden", False, "credentials"),
        (f"{HUB}failed to do request: dial tcp: lookup r.io on 127.0.0.11:53: no such host", False, "r.io"),
        (f"{HUB}failed to do request: dial tcp 8.8.8.8:443: i/o timeout", True, "doesn't answer"),
        (f"{HUB}failed to do request: dial tcp 8.8.8.8:443: connect: connection refused", True, "answer"),
        (f"{HUB}unexpected status from HEAD request to https://r/: 503 Unavailable", True, "doesn't answer"),
        (f"{HUB}toomanyrequests: you have reached your limit", True, "limits requests"),
        (f"{HUB}failed to do request: lookup r.io on 127.0.0.11:53: server misbehaving", True, "answer"),
        (f"{HUB}tls: failed to verify certificate: x509", False, "could not be fetched"),
        (f"{HUB}failed to do request: dial tcp 10.1.2.3:443: i/o timeout", False, "may not reach 10.1.2.3"),
        (f"{HUB}failed to do request: dial tcp 169.254.169.254:80: refused", False, "169.254.169.254"),
    ],
)
def test_a_base_image_that_can_not_be_fetched_says_why(complaint: str, is_retried: bool, words: str) -> None:
    error = explained(complaint)

    assert isinstance(error, TransientFailure) is is_retried, error.failure
    assert not isinstance(error, EngineUnavailable)
    assert words in error.message and "python:3.11" in error.message


@pytest.mark.parametrize(
    ("complaint", "words"),
    [
        (
            'failed to load cache key: Get "http://127.0.0.1:80/x": dial tcp 127.0.0.1:80: refused',
            "127.0.0.1",
        ),
        ("failed to load cache key: invalid response status 404", "404"),
        ('failed to load cache key: Get "http://me:pw@a.example/x": dial tcp 8.8.8.8:80: EOF', "a.example/x"),
    ],
)
def test_unfetched_file_is_named_without_its_password(complaint: str, words: str) -> None:
    error = explained(complaint)

    assert error.failure.code is FailureCode.BUILD_FAILED
    assert words in error.message
    assert "me:pw" not in str(error.failure)


@pytest.mark.parametrize(
    ("complaint", "words"),
    [
        (
            "http://me:pw@10.1.2.3/x.git: git stderr:\nfatal: unable to access 'http://10.1.2.3/x.git/': "
            "Failed to connect to 10.1.2.3 port 80 after 0 ms: Couldn't connect to server\n: exit status 128",
            "The build may not reach 10.1.2.3, where the repository http://10.1.2.3/x.git would come from.",
        ),
        (
            "git://a.example/x.git: git stderr:\nfatal: unable to connect to a.example:\n"
            "a.example[0: 10.1.2.3]: errno=Connection refused\n: exit status 128",
            "The build may not reach 10.1.2.3, where the repository git://a.example/x.git would come from.",
        ),
        (
            "https://me:pw@a.example/x.git: git stderr:\nfatal: could not read Username\n: exit status 128",
            "The repository https://a.example/x.git could not be fetched.",
        ),
    ],
    ids=["private", "private by git's protocol", "not public"],
)
def test_repository_that_can_not_be_fetched_is_named(complaint: str, words: str) -> None:
    error = explained(GIT + complaint)

    assert error.failure.code is FailureCode.BUILD_FAILED
    assert error.message == words
    assert "me:pw" not in str(error.failure)


def test_allowed_private_network_is_not_called_closed() -> None:
    progress = heard(f"{HUB}failed to do request: dial tcp 10.1.2.3:443: connect: connection refused")

    error = failure_of(BuilderExit(1, False, ""), progress, [IPv4Network("10.1.2.0/24")])

    assert isinstance(error, TransientFailure)


@pytest.mark.parametrize(
    ("text", "is_damaged"),
    [
        (
            'failed to create snapshot: missing parent "buildkit/8/buildkit-layer-snapshot-v1-sha256-24e" bucket: '
            "not found",
            True,
        ),
        (
            "mount /var/lib/build/buildkit/runc-overlayfs/snapshots/snapshots/3/fs: operation not permitted",
            False,
        ),
        ("parent snapshot 1h6 does not exist: no space left on device", False),
    ],
)
def test_a_damaged_cache_is_told_from_a_step_that_fails_in_it(text: str, is_damaged: bool) -> None:
    assert is_cache_damaged(heard(text)) is is_damaged


@pytest.mark.parametrize("words", ["server message: <secret>", "body: <secret>"])
def test_what_a_server_answered_is_never_shown(words: str) -> None:
    progress = heard(f"{HUB}unexpected status from GET request: 403 Forbidden: {words}")
    strange = heard(f"failed to something: {words}")

    for build_progress in (progress, strange):
        error = failure_of(BuilderExit(1, False, ""), build_progress)
        assert "<secret>" not in f"{error.failure} {log_ending(build_progress)}"


def test_memory_is_called_so_behind_any_exit_code() -> None:
    error = explained("process did not complete successfully: exit code: 2", out_of_memory=True)

    assert error.failure.code is FailureCode.BUILD_OUT_OF_MEMORY


@pytest.mark.parametrize("code", [NO_DAEMON, 137, 126])
def test_builder_without_error_output_is_the_platforms_fault(code: int) -> None:
    error = explained("", code, stdout_tail="failed to start")

    assert isinstance(error, EngineUnavailable)
    assert "failed to start" in error.reason
    assert "failed to start" not in str(error.failure)


def test_a_context_that_can_not_be_unpacked_is_the_tenants_fault() -> None:
    assert explained("", NO_INPUT, stdout_tail="tar: x").failure.code is FailureCode.BUILD_FAILED


def failed_step(name: str, printed: str, exit_code: int = 1) -> BuildkitProgress:
    """A step that ended with an exit code, after another one that went well."""
    error = f'process "/bin/sh -c x" did not complete successfully: exit code: {exit_code}'
    records: list[dict[str, object]] = [
        {"vertexes": [{"digest": digest, "name": name, "started": "2026-11-28T15:00:00Z"}]}
        for digest, name in (("a", "[1/2] RUN other"), ("b", name))
    ]
    for digest, text in (("a", "ModuleNotFoundError: No module named 'other'\n"), ("b", printed)):
        records.append({"logs": [{"vertex": digest, "data": base64.b64encode(text.encode()).decode()}]})
    records.append({"vertexes": [{"digest": "b", "name": name, "error": error}]})
    progress = BuildkitProgress()
    lines = [json.dumps(record) for record in records] + [f"error: failed to solve: {error}"]
    list(progress.feed("".join(f"{line}\n" for line in lines).encode()))
    return progress


def test_a_step_says_the_cause_and_shows_the_lines_that_say_it() -> None:
    printed = "".join(f"npm http fetch {number}\n" for number in range(90))
    printed += 'npm error Missing script: "build"\n' + "npm error\n" * 90

    failure = failure_of(BuilderExit(1, False, ""), failed_step("[2/2] RUN npm run build", printed)).failure

    assert failure.code is FailureCode.BUILD_FAILED
    assert failure.message == (
        "package.json has no script build. The build failed in step [2/2] RUN npm run build (exit code 1)."
    )
    assert "scripts in package.json" in failure.hint
    assert failure.evidence == 'npm error Missing script: "build"'


def test_a_step_of_no_known_kind_shows_its_own_errors_only() -> None:
    failure = failure_of(
        BuilderExit(1, False, ""), failed_step("[2/2] RUN x", "Error: gizmo is bent\n")
    ).failure

    assert failure.message == "The build failed in step [2/2] RUN x (exit code 1)."
    assert failure.evidence == "Error: gizmo is bent"


@pytest.mark.parametrize(
    ("printed", "code"),
    [
        ("cp: error writing 'x': No space left on device\n", FailureCode.BUILD_DISK),
        ("FATAL ERROR: Ineffective mark-compacts near heap limit Allocation failed - JavaScript heap out of memory\n",
         FailureCode.BUILD_OUT_OF_MEMORY),
        ("c++: fatal error: Killed signal terminated program cc1plus\n", FailureCode.BUILD_OUT_OF_MEMORY),
    ],
)  # fmt: skip
def test_want_of_memory_and_disk_in_a_step_has_its_code(printed: str, code: FailureCode) -> None:
    assert failure_of(BuilderExit(1, False, ""), failed_step("[2/2] RUN x", printed)).failure.code is code


def test_a_file_that_copy_does_not_find_is_named() -> None:
    progress = BuildkitProgress()
    recording = Path(__file__).parent / "recordings" / "absent-file.rawjson"
    list(progress.feed(recording.read_bytes()))

    failure = failure_of(BuilderExit(1, False, ""), progress).failure

    assert failure.message == (
        "COPY or ADD does not find /nothing in the files of the build. "
        "The build failed in step [1/2] COPY nothing /x."
    )
    assert ".dockerignore" in failure.hint
    assert ">>> COPY nothing /x" in failure.evidence
