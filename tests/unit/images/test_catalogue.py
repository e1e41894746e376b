"""What planning may choose from, with an image registry and without: only what there is a recipe for."""

from __future__ import annotations

import json

import pytest

from stackyn_server.buildplan.versions.toolchains import Toolchains
from stackyn_server.config import ImagesSettings
from stackyn_server.domain.failures import FailureCode
from stackyn_server.images.catalogue import toolchains
from stackyn_server.images.recipes import RECIPES, is_known, recipe_of
from tests.unit.buildplan.trees import Tree, planned, refused

REGISTRY, LOCAL = (toolchains(ImagesSettings(), has_registry=answer) for answer in (True, False))

POM = "<project><artifactId>a</artifactId><properties><java.version>{}</java.version></properties></project>"
CSPROJ = (
    '<Project Sdk="Microsoft.NET.Sdk.Web"><PropertyGroup><TargetFramework>net8.0</TargetFramework>'
    "</PropertyGroup></Project>"
)
HELLOS: dict[str, Tree] = {
    "python": {"requirements.txt": "flask\ngunicorn\n", "app.py": "from flask import Flask\napp = Flask(__name__)\n"},
    "python that compiles": {"requirements.txt": "uwsgi\nflask\n", "app.py": "import flask\napp = flask.Flask('a')\n"},
    "node": {"package.json": json.dumps({"scripts": {"start": "node s.js"}}), "s.js": ""},
    "site": {"index.html": "<p>hello</p>"},
    "deno": {"deno.json": "{}", "main.ts": "Deno.serve(() => new Response('hello'));\n"},
    "go": {"go.mod": "module x\n\ngo 1.22\n", "main.go": "package main\n\nfunc main() {}\n"},
    "rust": {"Cargo.toml": '[package]\nname = "r"\nversion = "0.1.0"\n', "src/main.rs": "fn main() {}\n"},
    "java": {"pom.xml": POM.format(17), "src/main/java/A.java": "class A { public static void main(String[] a) {} }\n"},
    "php": {"index.php": "<?php echo 1;\n"},
    "ruby": {"Gemfile": 'gem "sinatra"\n', "Gemfile.lock": "GEM\n", "app.rb": 'require "sinatra"\n'},
    "elixir": {"mix.exs": "defmodule H.MixProject do\n  def project, do: [app: :h]\nend\n", "lib/h.ex": ""},
    "c": {"CMakeLists.txt": "project(h C)\nadd_executable(h main.c)\n", "main.c": "int main(){}\n"},
    "shell": {"start.sh": "#!/bin/sh\n"},
    "hugo": {"hugo.toml": 'title = "T"\n', "content/_index.md": ""},
    "dotnet": {"h.csproj": CSPROJ, "Program.cs": ""},
    "jekyll": {"_config.yml": "title: T\n", "index.md": "---\n---\n"},
}  # fmt: skip
ONLY_OFFICIAL: dict[str, Tree] = {
    "zola": {"config.toml": 'base_url = "/"\n', "content/_index.md": "", "templates/index.html": ""},
}


@pytest.mark.parametrize("catalogue", [REGISTRY, LOCAL], ids=["registry", "local"])
@pytest.mark.parametrize("tree", HELLOS.values(), ids=HELLOS)
def test_plan_begins_from_images_that_can_be_made(tree: Tree, catalogue: Toolchains) -> None:
    _can_be_made(tree, catalogue)


@pytest.mark.parametrize("tree", ONLY_OFFICIAL.values(), ids=ONLY_OFFICIAL)
def test_tool_that_only_a_registry_has_is_refused_without_one(tree: Tree) -> None:
    _can_be_made(tree, REGISTRY)
    assert refused(tree, toolchains=LOCAL).code is FailureCode.VERSION_UNAVAILABLE


def _can_be_made(tree: Tree, catalogue: Toolchains) -> None:
    plan = planned(tree, toolchains=catalogue)

    assert plan.generated is not None and plan.base_images
    for name in plan.base_images:
        assert is_known(name), name
        assert catalogue.source == "registry" or recipe_of(name).can_be_made_here, name
    begun_with = {line.split()[1] for line in plan.generated.splitlines() if line.startswith("FROM stackyn/")}
    copied_from = {
        line.partition("--from=")[2].split()[0]
        for line in plan.generated.splitlines()
        if "--from=stackyn/" in line
    }
    assert begun_with | copied_from <= set(plan.base_images)


@pytest.mark.parametrize("catalogue", [REGISTRY, LOCAL], ids=["registry", "local"])
def test_every_version_that_is_offered_has_a_recipe(catalogue: Toolchains) -> None:
    for tool in catalogue.tools.values():
        assert tool.default in tool.versions and {*tool.seldom} <= {*tool.versions}
        for version in tool.versions:
            names = [tool.image(version), *filter(None, [tool.runs_on.get(version)])]
            names += [f"{tool.image(version)}-build"] if tool.has_build_image else []
            for name in names:
                assert name in RECIPES if catalogue is LOCAL else is_known(name), name


@pytest.mark.parametrize(
    ("asked", "with_registry", "without"),
    [
        ("3.12.4", "stackyn/python:3.12.4", "stackyn/python:3.12"),
        ("3.11", "stackyn/python:3.11", "stackyn/python:3.11"),
        (">=3.13", "stackyn/python:3.13", "stackyn/python:3.13"),
        ("3.10", "stackyn/python:3.10", "stackyn/python:3.10"),
        ("3.14t", "stackyn/python:3.14t", "stackyn/python:3.14t"),
        ("3.6", None, None),
    ],
)
def test_version_that_is_asked_for_is_taken_or_refused(
    asked: str, with_registry: str | None, without: str | None
) -> None:
    tree = {**HELLOS["python"], ".python-version": asked}
    if asked.startswith(">"):
        tree = {**HELLOS["python"], "pyproject.toml": f'[project]\nname = "a"\nrequires-python = "{asked}"\n'}

    for catalogue, expected in ((REGISTRY, with_registry), (LOCAL, without)):
        if expected is not None:
            assert planned(tree, toolchains=catalogue).base_images == (expected,)
        else:
            message = refused(tree, toolchains=catalogue).message
            assert "asks for Python 3.6, and this server has Python 3.7, 3.8, " in message


@pytest.mark.parametrize(
    ("asked", "with_registry", "without"),
    [
        ("22.2.0", "stackyn/node:22.2.0", "stackyn/node:22.2.0"),
        ("v22.2", "stackyn/node:22.2", "stackyn/node:22.2.0"),
        ("22.99.0", "stackyn/node:22.99.0", "stackyn/node:22"),
        ("22", "stackyn/node:22", "stackyn/node:22"),
        (">=22.22.0 <23", "stackyn/node:22", "stackyn/node:22.23.5"),
    ],
)
def test_release_of_node_is_taken_where_it_can_be_had(asked: str, with_registry: str, without: str) -> None:
    tree = {**HELLOS["node"], ".nvmrc": asked}

    assert planned(tree, toolchains=REGISTRY).base_images == (with_registry,)
    assert planned(tree, toolchains=LOCAL).base_images == (without,)


def test_image_of_the_operator_is_the_only_version() -> None:
    catalogue = toolchains(
        ImagesSettings(python="registry.example/python:3.9", node="stackyn/node:24"), has_registry=False
    )

    assert catalogue.tools["python"].versions == ("3.9",)
    assert catalogue.tools["node"].default == "24" and "22" in catalogue.tools["node"].versions


def test_catalogue_reaches_the_planning_process_unchanged() -> None:
    for catalogue in (REGISTRY, LOCAL):
        assert Toolchains.from_json(json.loads(json.dumps(catalogue.as_json()))) == catalogue
