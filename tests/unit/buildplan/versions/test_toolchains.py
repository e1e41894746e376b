"""What the catalogue of base images offers, and what a project is told when it has not what is asked for."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest, parse_requirement
from stackyn_server.buildplan.versions.toolchains import ToolBaseImages, Toolchains
from stackyn_server.domain.failures import DeploymentFailed, FailureCode

CATALOGUE = Toolchains(
    {
        "python": ToolBaseImages("stackyn/python", ("3.13", "3.11"), "3.13", has_build_image=True),
        "node": ToolBaseImages(
            "stackyn/node", ("20", "22", "23"), "22", has_all_patches=True, seldom=("23",)
        ),
        "php": ToolBaseImages("stackyn/php", ("8.2", "8.3", "8.4"), "8.4", has_all_patches=True),
        "bun": ToolBaseImages(
            "stackyn/bun",
            ("1", "2"),
            "1",
            releases=("1.1.0", "1.2.9", "1.2.10", "1.20.0", "2.1.0"),
            release_of_line={"1": "1.2.10"},
        ),
    }
)


def asked(text: str) -> VersionRequest:
    requirement = parse_requirement(text, Dialect.PYTHON)
    assert requirement is not None
    return VersionRequest(requirement, "`.python-version`")


@pytest.mark.parametrize(
    ("tool", "text", "image"),
    [
        ("python", None, "stackyn/python:3.13"),
        ("python", "3.11.9", "stackyn/python:3.11"),
        ("python", ">=3.10", "stackyn/python:3.13"),
        ("node", "20.11.1", "stackyn/node:20.11.1"),
        ("node", ">=18", "stackyn/node:22"),
        ("node", "20", "stackyn/node:20"),
        ("node", "latest", "stackyn/node:23"),
        ("node", "*", "stackyn/node:22"),
        ("node", ">=20.11.2,<20.15", "stackyn/node:20.11.2"),
        ("php", ">=8.1,<8.4", "stackyn/php:8.3"),
        ("php", "~=8.2.3", "stackyn/php:8.2"),
        ("php", "8.2.3", "stackyn/php:8.2.3"),
        ("bun", "1.1.0", "stackyn/bun:1.1.0"),
        ("bun", "~1.2.3", "stackyn/bun:1.2.10"),
        ("bun", "1.3.0", "stackyn/bun:1"),
        ("bun", "^1.1", "stackyn/bun:1"),
        ("bun", ">=1.3", "stackyn/bun:1.20.0"),
        ("bun", ">=1.30", "stackyn/bun:1"),
        ("bun", "2.0.0", "stackyn/bun:2"),
    ],
)
def test_the_base_image_is_of_the_version_asked_for(tool: str, text: str | None, image: str) -> None:
    choice = CATALOGUE.choose(tool, asked(text) if text else None)
    assert choice.image.name == image
    assert choice.image.version in choice.reason and (text or "default") in choice.reason


def test_compilers_come_from_the_build_image_if_there_is_one() -> None:
    python, node = CATALOGUE.choose("python").build_image, CATALOGUE.choose("node").build_image
    assert python is not None and python.name == "stackyn/python:3.13-build"
    assert node is None


def test_a_version_that_is_not_here_is_refused_with_both_numbers() -> None:
    with pytest.raises(DeploymentFailed) as failed:
        CATALOGUE.choose("python", asked("3.12"))
    failure = failed.value.failure
    assert failure.code is FailureCode.VERSION_UNAVAILABLE
    assert (
        failure.message == "`.python-version` asks for Python 3.12, and this server has Python 3.11 and 3.13."
    )
    assert "3.11 or 3.13" in failure.hint and "Dockerfile" in failure.hint


def test_a_tool_that_is_not_here_is_refused_by_its_name() -> None:
    with pytest.raises(DeploymentFailed) as failed:
        CATALOGUE.choose("ruby")
    assert failed.value.failure.message == "The project needs Ruby, and this server has no Ruby."


def test_the_catalogue_survives_the_way_to_the_planner() -> None:
    assert Toolchains.from_json(CATALOGUE.as_json()) == CATALOGUE


def test_a_registry_may_have_a_port() -> None:
    image = (
        Toolchains({"node": ToolBaseImages("host.test:5000/own/node", ("22",), "22")}).choose("node").image
    )
    assert (image.name, image.version) == ("host.test:5000/own/node:22", "22")
