"""Own Dockerfiles: which file it is, what it begins from, and what no builder would take for one."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.runtimes.dockerfile.syntax import read_dockerfile
from stackyn_server.domain.failures import FailureCode
from tests.patience import patient, processor_seconds
from tests.unit.buildplan.trees import planned, refused


@pytest.mark.parametrize(
    "text",
    [
        "FROM\tx\nRUN\ttrue\nEXPOSE\t3000",
        "FROM x\nFUTURE instruction of another builder",
        "FROM x\nEXPOSE 80 443",
        "FROM x\nRUN --mount=type=cache,target=/root/.cache pip install y",
        "FROM x\nRUN <<EOF\necho hello",
        "\ufeffFROM x",
        "FROM x\r\nRUN a \\\r\n && b\r\nCMD y\r\n",
        "# escape=`\nFROM x\nRUN dir `\n  more",
        "# syntax=docker.example/own:1\nthis: is no Dockerfile that we know",
    ],
)
def test_what_only_the_builder_knows_is_left_to_it(text: str) -> None:
    plan = planned({"Dockerfile": text})
    assert (plan.port, plan.generated, plan.dockerfile) == (None, None, "Dockerfile")


def test_the_port_of_the_app_wins() -> None:
    assert planned({"Dockerfile": "FROM x\nEXPOSE 3000"}, port=9000).port == 9000


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM x:1", ["x:1"]),
        ("from\tx:1\tas\tbuild", ["x:1"]),
        ("FROM --platform=$BUILDPLATFORM x AS a\nFROM y\nFROM A", ["x", "y"]),
        ("FROM scratch\nFROM x\nFROM x", ["x"]),
        ("ARG V=1\nARG W\nFROM x:$V\nFROM y:${V}\nFROM z:$W\nFROM w:${W:-2}", ["x:1", "y:1", "w:2"]),
        ("FROM x AS a\nARG V=1\nFROM y:$V", ["x"]),
        ("FROM \\\n  # not this\n\n  x", ["x"]),
        ("FROM x\nRUN <<EOF\nFROM y\nEOF\nFROM z", ["x", "z"]),
        ("FROM x\nCOPY <<-'A' <<B /\nFROM y\n\tA\nFROM z\nB\nFROM w", ["x", "w"]),
        ("FROM x\nRUN echo $((1<<2))\nFROM y", ["x", "y"]),
        ("# FROM y\nFROM x\nRUN true \\\\\nFROM z", ["x", "z"]),
        ("# escape=`\nFROM `\nx\nRUN dir \\\nFROM y", ["x", "y"]),
    ],
)
def test_the_images_that_it_begins_from_are_known(text: str, images: list[str]) -> None:
    assert list(planned({"Dockerfile": text}).base_images) == images


@pytest.mark.parametrize(
    ("text", "syntax"),
    [
        ("# syntax=docker/dockerfile:1\nFROM x", "docker/dockerfile:1"),
        ("#syntax = docker/dockerfile:1\nFROM x", "docker/dockerfile:1"),
        ("#!/usr/bin/env docker\n# escape=`\n# syntax=a/b\nFROM x", "a/b"),
        ("FROM x\n# syntax=docker/dockerfile:1", ""),
    ],
)
def test_its_syntax_line_is_known(text: str, syntax: str) -> None:
    assert planned({"Dockerfile": text}).syntax == syntax


def test_stages_are_known_by_name_and_number() -> None:
    facts = read_dockerfile("FROM x AS Build\nFROM y\nFROM z as last")
    assert facts.stages == ("Build", "", "last")
    assert [facts.has_stage(name) for name in ("build", "LAST", "1", "2", "3", "", "other")] == [
        *(True, True, True, True, False, False, False)
    ]


def test_a_build_target_without_its_stage_is_refused() -> None:
    tree = {"Dockerfile": "FROM x AS build\nFROM y AS web"}
    assert "The stage web is built" in " ".join(planned(tree, build_target="web").reasons)
    failure = refused(tree, build_target="prod")
    assert failure.code is FailureCode.DOCKERFILE_INVALID
    assert "prod" in failure.message and "build, web" in failure.hint


@pytest.mark.parametrize("text", ["", "# nothing\n\n", "hello world", "ARG A=1", "\\", "<html>\n<body>404"])
def test_a_file_without_a_from_line_is_refused(text: str) -> None:
    failure = refused({"Dockerfile": text})
    assert failure.code is FailureCode.DOCKERFILE_INVALID
    assert "no FROM" in failure.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("FROM x".encode("utf-16"), "UTF-16"),
        (b"\xfe\xff" + "FROM x".encode("utf-16-be"), "UTF-16"),
        ("FROM x".encode("utf-32"), "UTF-32"),
        ("FROM x".encode("utf-16-le"), "NUL"),
        (b"\x7fELF\x00\x01", "NUL"),
    ],
)
def test_a_file_that_is_no_utf_8_is_refused(content: bytes, words: str) -> None:
    failure = refused({"Dockerfile": content})
    assert failure.code is FailureCode.DOCKERFILE_INVALID
    assert words in failure.message and "UTF-8" in failure.hint
    assert "\0" not in failure.message + failure.evidence


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["dockerfile", "server.py"], "dockerfile"),
        (["Containerfile"], "Containerfile"),
        (["containerfile"], "containerfile"),
        (["DOCKERFILE"], "DOCKERFILE"),
        (["DockerFile"], "DockerFile"),
        (["Dockerfile", "dockerfile", "Containerfile"], "Dockerfile"),
        (["DOCKERFILE", "Containerfile"], "Containerfile"),
    ],
)
def test_any_usual_spelling_of_its_name_is_taken(names: list[str], taken: str) -> None:
    assert planned(dict.fromkeys(names, "FROM x")).dockerfile == taken


def test_a_dockerfile_in_a_folder_is_not_taken_by_itself() -> None:
    assert planned({"docker/Dockerfile": "FROM x", "index.html": ""}).runtime == "static"


def test_another_path_can_be_set() -> None:
    tree = {"Dockerfile": "FROM x", "deploy/web.Dockerfile": "FROM y"}
    plan = planned(tree, dockerfile_path="deploy/web.Dockerfile")
    assert (plan.dockerfile, plan.base_images) == ("deploy/web.Dockerfile", ("y",))


@pytest.mark.parametrize("path", ["deploy/Dockerfile", "web/deploy/Dockerfile"])
def test_a_set_path_is_from_the_root_directory_or_the_top(path: str) -> None:
    tree = {"web/deploy/Dockerfile": "FROM y"}
    plan = planned(tree, root_directory="web", dockerfile_path=path)
    assert (plan.dockerfile, plan.dockerfile_from) == ("deploy/Dockerfile", None)


def test_a_set_path_may_lie_outside_of_the_root_directory() -> None:
    tree = {"docker/Dockerfile": "FROM y", "web/index.html": ""}
    plan = planned(tree, root_directory="web", dockerfile_path="docker/Dockerfile")
    assert (plan.dockerfile, plan.dockerfile_from) == (".stackyn/Dockerfile", "docker/Dockerfile")
    assert (plan.generated, plan.base_images) == (None, ("y",))


def test_a_dockerfile_path_without_a_file_is_refused() -> None:
    failure = refused({"Dockerfile": "FROM x", "requirements.txt": ""}, dockerfile_path="Dockerfile.prod")
    assert failure.code is FailureCode.DOCKERFILE_INVALID
    assert "Dockerfile.prod" in failure.message


def test_a_dockerfile_of_very_many_stages_is_read_in_linear_time() -> None:
    """The limit ends a reader of quadratic time; `tests/bench/buildplan` asserts the seconds."""
    assert processor_seconds(read_many_stages) < patient(30)


def read_many_stages() -> None:
    facts = read_dockerfile("".join(f"FROM a AS s{number}\nCMD x\n" for number in range(45_000)))
    assert len(facts.stages) == len(facts.started) == 45_000
