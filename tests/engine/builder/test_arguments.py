"""What buildctl is told, and the tar that tells it."""

from __future__ import annotations

import io
import itertools
import tarfile
import tomllib
import uuid

import pytest

from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.engine.builder.arguments import (
    arguments,
    control_tar,
    daemon_configuration,
    uses_built_in_frontend,
)
from stackyn_server.engine.builder.request import BuildRequest

DIGEST = "sha256:" + "a" * 64


def request(**changes: object) -> BuildRequest:
    values: dict[str, object] = {
        "app": AppId(1),
        "deployment": DeploymentId(2),
        "tenant": UserId(uuid.UUID(int=3)),
        "dockerfile": "docker/Dockerfile",
        "network": "n",
        "memory_mb": 1,
        "cpu": 1.0,
        "max_processes": 1,
        "tag": "t:1",
    }
    return BuildRequest(**(values | changes))  # type: ignore[arg-type]


def options(words: list[str]) -> list[str]:
    return [word for before, word in itertools.pairwise(words) if before == "--opt"]


def members(tar: bytes) -> dict[str, bytes]:
    length, _, content = tar.partition(b"\n")
    assert int(length) == len(content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_all_that_a_request_asks_for_is_said() -> None:
    words = arguments(
        request(
            target="web", build_arguments={"A": "b=c"}, hostname="h", no_cache=True, secrets={"token": b"x"}
        ),
        {"stackyn/python:3.11": DIGEST},
        has_registry=True,
    )

    build_options = options(words)
    for option in (
        "filename=docker/Dockerfile",
        "target=web",
        "build-arg:A=b=c",
        "hostname=h",
        "no-cache=",
        f"context:stackyn/python:3.11=oci-layout://base@{DIGEST}",
    ):
        assert option in build_options
    assert "id=token,src=work/control/secrets/token" in words
    assert not any("cmdline" in option for option in options(arguments(request(), {}, has_registry=True)))


@pytest.mark.parametrize(
    ("syntax", "has_registry", "built_in"),
    [
        ("", True, True),
        ("docker/dockerfile:1", True, False),
        ("docker/dockerfile:1", False, True),
        ("docker/dockerfile", False, True),
        ("docker.io/docker/dockerfile:1.7-labs", False, True),
        (f"docker/dockerfile@{DIGEST}", False, True),
        ("docker/dockerfile-upstream:1", False, False),
        ("evil.example/docker/dockerfile:1", False, False),
    ],
)
def test_the_usual_frontend_is_built_in_without_a_registry(
    syntax: str, has_registry: bool, built_in: bool
) -> None:
    assert uses_built_in_frontend(syntax, has_registry=has_registry) is built_in


def test_secrets_are_only_in_the_control_tar() -> None:
    asked = request(secrets={"token": b"s3cret"}, docker_config='{"auths": {}}')
    words = arguments(asked, {}, has_registry=False)

    files = members(control_tar(words, daemon_configuration("amd64", 5), asked))

    assert files["control/secrets/token"] == b"s3cret"
    assert files["control/docker/config.json"] == b'{"auths": {}}'
    assert files["control/arguments"].split(b"\0")[:-1] == [word.encode() for word in words]
    assert "s3cret" not in f"{words} {asked}"


def test_the_daemons_configuration_is_valid_and_bounds_its_cache() -> None:
    settings = tomllib.loads(daemon_configuration("arm64", 77))

    assert settings["worker"]["oci"] == {"platforms": ["linux/arm64"], "gc": True, "maxUsedSpace": "77MB"}
