"""Python projects: which Python, and which version of their tools, they get."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.versions.toolchains import ToolBaseImages, Toolchains
from stackyn_server.domain.failures import FailureCode
from tests.unit.buildplan.trees import Tree, planned, refused

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FLAVOUR = "[settings]\npython.precompiled_flavor = 'freethreaded+pgo'"
DECLARED = "[project]\nname='a'\ndependencies=['flask>=3', 'x; python_version > \"3\"']"


def lines_of(tree: Tree) -> list[str]:
    return (planned(tree).generated or "").splitlines()


@pytest.mark.parametrize(
    ("files", "requirement"),
    [
        ({".tool-versions": "uv 0.7.22\n"}, "uv==0.7.22"),
        ({"mise.toml": "[tools]\nuv = '0.7'"}, "'uv==0.7.*'"),
        ({"mise.toml": "[tools]\nuv = 'latest'"}, "'uv>=0.5,<1'"),
        ({"mise.toml": "[tools]\nuv = '0.7 --index-url x'"}, "'uv>=0.5,<1'"),
    ],
)
def test_the_tool_of_the_lock_is_the_version_that_is_asked_for(files: Tree, requirement: str) -> None:
    lines = lines_of({"pyproject.toml": DECLARED, "uv.lock": "", "main.py": FLASK, **files})
    assert any(f"install --no-cache-dir {requirement} &&" in line for line in lines)


@pytest.mark.parametrize(
    ("requirements", "image"),
    [
        ("Django[argon2]==6.1\n", "3.13"),
        ("django~=6.0,<7\n", "3.13"),
        ("quart>=0.23\ndjango==5.2\n", "3.13"),
        ("django>=5\n", "3.11"),
        ("django==6.0\npsycopg2-binary==2.9.3\n", "3.10"),  # which can't be had together
    ],
)
def test_the_python_is_new_enough_for_the_packages(requirements: str, image: str) -> None:
    catalogue = Toolchains(
        {"python": ToolBaseImages("stackyn/python", ("3.10", "3.11", "3.12", "3.13"), "3.11")}
    )
    plan = planned({"requirements.txt": requirements, "app.py": FLASK}, toolchains=catalogue)
    assert f"stackyn/python:{image}" in plan.base_images


@pytest.mark.parametrize(
    ("requirements", "image"),
    [
        ("flask==2.0\npsycopg2-binary==2.9.3\n", "3.10"),
        ("psycopg2-binary==2.9.5\n", "3.11"),
        ("numpy==1.19.5 --hash=sha256:00\npsycopg2-binary==2.9.3\n", "3.9"),
        ("numpy==1.19.5; python_version < '3.9'\n", "3.13"),
        ("numpy>=1.19.5\n", "3.13"),
        ("numpy==1.0\n", "3.13"),  # none so old is here
        ("unknown==0.1\n", "3.13"),
        ("Django[argon2]==6.1\n", "3.13"),
    ],
)
def test_the_python_is_one_that_what_is_pinned_has_wheels_for(requirements: str, image: str) -> None:
    lines = ("3.9", "3.10", "3.11", "3.13")
    catalogue = Toolchains({"python": ToolBaseImages("stackyn/python", lines, "3.13")})
    tree = {"requirements.txt": requirements, "app.py": FLASK}
    plan = planned(tree, toolchains=catalogue)
    assert plan.base_images == (f"stackyn/python:{image}",)
    # What is asked for more narrowly wins.
    plan = planned({**tree, ".python-version": "3.11"}, toolchains=catalogue)
    assert plan.base_images == ("stackyn/python:3.11",)


@pytest.mark.parametrize(
    ("files", "image"),
    [
        ({".python-version": "3.13.1\n"}, "3.13"),
        ({"runtime.txt": "python-3.11.9"}, "3.11"),
        ({".tool-versions": "python 3.14.0"}, "3.14"),
        ({"mise.toml": "[tools]\npython='3.11'", ".python-version": "3.14"}, "3.11"),
        ({"pyproject.toml": "[project]\nname='a'\nrequires-python='>=3.14'"}, "3.14"),
        ({"pyproject.toml": "[tool.poetry.dependencies]\npython='~3.11'"}, "3.11"),
        ({"Pipfile": "[requires]\npython_version='3.11'"}, "3.11"),
        ({".python-version": "3.11", "pyproject.toml": "[project]\nrequires-python='>=3.14'"}, "3.11"),
        ({}, "3.13"),
        ({".python-version": "3.14t"}, "3.14t"),
        ({".python-version": "cpython-3.13.2+freethreaded"}, "3.13t"),
        ({"mise.toml": "[tools]\npython='latest'\n[env]\nPYTHON_BUILD_FREE_THREADING=1"}, "3.14t"),
        ({"mise.toml": "[env]\nPYTHON_BUILD_FREE_THREADING='1'"}, "3.14t"),
        ({"mise.toml": FLAVOUR, ".python-version": "3.13"}, "3.13t"),
        ({"mise.toml": "[tools]\npython='3.13'\n[env]\nPYTHON_BUILD_FREE_THREADING=0"}, "3.13"),
    ],
)
def test_the_python_that_the_project_asks_for_is_taken(files: Tree, image: str) -> None:
    versions = ("3.11", "3.13", "3.13t", "3.14", "3.14t")
    catalogue = Toolchains({"python": ToolBaseImages("stackyn/python", versions, "3.13")})
    plan = planned({"requirements.txt": "flask", "app.py": FLASK, **files}, toolchains=catalogue)
    assert plan.base_images == (f"stackyn/python:{image}",)


def test_an_unavailable_python_is_refused_first() -> None:
    tree = {".python-version": "3.12\n", "pyproject.toml": "[project]\nname='a'", "main.py": "type A = int\n"}
    failure = refused(tree)
    assert failure.code is FailureCode.VERSION_UNAVAILABLE
    assert "3.12" in failure.message and "3.11" in failure.message
