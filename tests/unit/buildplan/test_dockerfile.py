"""Own Dockerfiles: their port, what only BuildKit can build, and nonsense."""

from __future__ import annotations

import pytest

from stackyn_server.domain.failures import FailureCode
from tests.unit.buildplan.trees import planned, refused


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("FROM x\nEXPOSE 3000", 3000),
        ("from x\nexpose 3000/tcp", 3000),
        ("FROM x\nENV PORT=4000 OTHER=1\nEXPOSE $PORT", 4000),
        ("FROM x\nENV PORT 4000\nEXPOSE ${PORT}", 4000),
        ("FROM x\nEXPOSE ${PORT:-5000}", 5000),
        ("FROM x\nARG PORT='6000'\nEXPOSE $PORT/tcp", 6000),
        ("FROM x AS a\nEXPOSE 1111\nFROM y\nEXPOSE 2222", 2222),
        ("FROM x AS a\nEXPOSE 1111\nFROM y", 8080),
        ("FROM x\nEXPOSE 80 443", 8080),
        ("FROM x\nEXPOSE 80\nEXPOSE 80", 80),
        ("FROM x\nEXPOSE 53/udp 9000", 9000),
        ("FROM x\nEXPOSE 7000-7005", 8080),
        ("FROM x\nEXPOSE $UNKNOWN", 8080),
        ("FROM x\n# EXPOSE 1\nRUN echo \\\n  # EXPOSE 2\n\n  EXPOSE 3\nEXPOSE 4444", 4444),
        ("FROM x", 8080),
    ],
)
def test_the_port_is_the_one_that_the_last_stage_exposes(text: str, port: int) -> None:
    plan = planned({"Dockerfile": text})
    assert (plan.port, plan.generated, plan.dockerfile) == (port, None, "Dockerfile")


def test_the_port_of_the_app_wins() -> None:
    assert planned({"Dockerfile": "FROM x\nEXPOSE 3000"}, port=9000).port == 9000


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=docker/dockerfile:1\nFROM x\nRUN true",
        "#syntax = docker/dockerfile:1\nFROM x",
        "FROM x\nRUN --mount=type=cache,target=/root/.cache pip install y",
        "FROM x\nRUN \\\n  --mount=type=secret,id=a \\\n  cat /run/secrets/a",
        "FROM x\nRUN --network=none true",
        "FROM x\nCOPY --link a b",
        "FROM x\nCOPY --chown=1:1 --chmod=755 a b",
        "FROM x\nADD --checksum=sha256:1 https://host.test/a b",
        "FROM x\nRUN <<EOF\necho hello\nFROMAGE is no instruction here\nEOF\nEXPOSE 80",
        "FROM x\nCOPY <<-'END' /a\n\tEXPOSE 1\n\tEND\nCMD y",
        "FROM --platform=$BUILDPLATFORM x",
    ],
)
def test_what_only_buildkit_builds_is_seen(text: str) -> None:
    plan = planned({"Dockerfile": text})
    assert plan.needs_buildkit
    assert any("BuildKit" in reason for reason in plan.reasons)


@pytest.mark.parametrize(
    "text",
    [
        "FROM x\nRUN echo '--mount=type=cache'",
        "FROM x\nRUN echo $((1<<EOF))",
        "FROM x\n# RUN --mount=type=cache y",
        "FROM x\nCOPY --from=a --chown=app:app b c",
        "# escape=`\nFROM x\nRUN dir `\n  more",
        "ARG VERSION=1\nFROM x:$VERSION\nCMD y",
        "\ufeffFROM x",
        "FROM x\r\nRUN a \\\r\n && b\r\nCMD y\r\n",
    ],
)
def test_what_the_classic_builder_builds_stays_with_it(text: str) -> None:
    assert not planned({"Dockerfile": text}).needs_buildkit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no FROM"),
        ("# nothing\n\n", "no FROM"),
        ("hello world", "line 1 starts with HELLO"),
        ("FROM x\n\nRUNN make", "line 3 starts with RUNN"),
        ("RUN make\nFROM x", "must begin with FROM"),
        ("FROM", "FROM in line 1 has no arguments"),
        ("FROM x\nRUN <<EOF\necho", "here-document of line 2"),
        ("ARG A=1", "no FROM"),
        ("<html>\n<body>not found</body>", "line 1"),
    ],
)
def test_nonsense_is_refused_with_its_line(text: str, words: str) -> None:
    failure = refused({"Dockerfile": text})
    assert failure.code is FailureCode.DOCKERFILE_INVALID
    assert words in failure.message


def test_another_path_can_be_set() -> None:
    tree = {"Dockerfile": "FROM x\nEXPOSE 1", "deploy/web.Dockerfile": "FROM y\nEXPOSE 2"}
    plan = planned(tree, dockerfile_path="deploy/web.Dockerfile")
    assert (plan.dockerfile, plan.port) == ("deploy/web.Dockerfile", 2)


def test_a_set_path_is_relative_to_the_root_directory() -> None:
    tree = {"web/deploy/Dockerfile": "FROM y\nEXPOSE 2"}
    assert (
        planned(tree, root_directory="web", dockerfile_path="deploy/Dockerfile").dockerfile
        == "deploy/Dockerfile"
    )


def test_a_set_path_without_a_file_is_refused_instead_of_guessing() -> None:
    failure = refused({"Dockerfile": "FROM x", "requirements.txt": ""}, dockerfile_path="Dockerfile.prod")
    assert failure.code is FailureCode.DOCKERFILE_INVALID
    assert "Dockerfile.prod" in failure.message
