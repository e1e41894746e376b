"""What a manifest needs outside of the root directory is said, or sent where the runtime can build from above."""

from __future__ import annotations

import json

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, lines, planned, refused, step

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
NODE = {"scripts": {"start": "node a.js"}}
CRATE = '[package]\nname = "api"\nversion = "1.0.0"\n'
POETRY = "[tool.poetry]\nname = 'a'\nversion = '1'\n[tool.poetry.dependencies]\n"
UV = "[project]\nname = 'a'\nversion = '1'\ndependencies = ['flask', 'lib']\n[tool.uv.sources]\n"
WEB = '<Project Sdk="Microsoft.NET.Sdk.Web">\n<TargetFramework>net8.0</TargetFramework>\n{}</Project>\n'
MAIN = "package main\nfunc main() {}\n"


@pytest.mark.parametrize(
    ("files", "path"),
    [
        ({"package.json": json.dumps({**NODE, "dependencies": {"lib": "file:../lib"}})}, "../lib"),
        ({"package.json": json.dumps({**NODE, "devDependencies": {"lib": "link:../lib"}})}, "../lib"),
        ({"requirements.txt": "flask\n-e ../lib  # ours\n", "app.py": FLASK}, "../lib"),
        ({"requirements.txt": "-r ../lib/requirements.txt\n", "app.py": FLASK}, "../lib/requirements.txt"),
        ({"pyproject.toml": f"{UV}lib = {{ path = '../lib' }}", "uv.lock": "", "app.py": FLASK}, "../lib"),
        ({"pyproject.toml": f"{POETRY}flask = '*'\nlib = {{ path = '../lib' }}", "app.py": FLASK}, "../lib"),
        ({"Cargo.toml": f"{CRATE}[dependencies]\nlib = {{ path = '../lib' }}", "src/main.rs": ""}, "../lib"),
        ({"go.mod": "module api\n\ngo 1.24\n\nreplace lib => ../lib\n", "main.go": MAIN}, "../lib"),
        ({"composer.json": '{"repositories": [{"type": "path", "url": "../lib"}]}', "index.php": ""}, "../lib"),
        ({"Gemfile": "gem 'rack'\ngem 'lib', path: '../lib'", "config.ru": ""}, "../lib"),
        ({"build.gradle": "plugins { id 'org.springframework.boot' }"}, "../settings.gradle"),
        ({"pom.xml": "<project><parent><artifactId>all</artifactId></parent><artifactId>api</artifactId>"
          "<artifactId>spring-boot-maven-plugin</artifactId></project>"}, "../pom.xml"),
    ],
)  # fmt: skip
def test_what_lies_outside_of_the_root_directory_is_said(files: Tree, path: str) -> None:
    beside: Tree = {
        "lib/requirements.txt": "",
        "settings.gradle": "include ':api'",
        "pom.xml": "<project><artifactId>all</artifactId></project>",
    }
    tree = {**beside, **{f"api/{name}": text for name, text in files.items()}}
    failure = refused(tree, toolchains=EVERYTHING, root_directory="api")
    assert f"needs `{path}`, which is outside of the root directory api" in failure.message
    assert "the top of the repository" in failure.hint
    assert planned(tree, toolchains=EVERYTHING, root_directory="api", install_command="make").generated


def test_what_lies_inside_or_comes_from_elsewhere_is_no_matter() -> None:
    manifest = json.dumps({**NODE, "dependencies": {"a": "file:./lib", "b": "file:lib/../lib", "c": "^1"}})
    tree = {"api/package.json": manifest, "api/lib/package.json": "{}", "package.json": "{}"}
    assert planned(tree, root_directory="api").runtime == "node"
    pom = "<project><parent><artifactId>spring-boot-starter-parent</artifactId><relativePath/></parent></project>"
    java_tree = {"api/pom.xml": pom, "pom.xml": "<project><artifactId>all</artifactId></project>"}
    assert planned(java_tree, toolchains=EVERYTHING, root_directory="api").runtime == "java"


def test_what_is_not_in_the_repository_is_said_to_be_missing() -> None:
    manifest = json.dumps({**NODE, "dependencies": {"lib": "file:../lib"}})
    assert "not in the repository" in refused({"package.json": manifest}).message
    assert "not in the repository" in refused({"api/package.json": manifest}, root_directory="api").message


@pytest.mark.parametrize(
    ("root", "sent"),
    [("src/Api", "src"), ("src/Web", "")],
)
def test_dotnet_projects_are_sent_with_their_references(root: str, sent: str) -> None:
    def refers(place: str) -> str:
        return f'<ProjectReference Include="{place}" />\n'

    tree = {
        "src/Api/Api.csproj": WEB.format(refers(r"..\Core\Core.csproj")),
        "src/Web/Api.csproj": WEB.format(refers("../Core/Core.csproj") + refers("../../lib/Lib.csproj")),
        "src/Core/Core.csproj": WEB.format(""),
        "lib/Lib.csproj": WEB.format(""),
    }
    plan = planned(tree, toolchains=EVERYTHING, root_directory=root)
    assert plan.root == sent
    way = f"{root}/".removeprefix(f"{sent}/" if sent else "")
    assert f"dotnet publish /app/{way}Api.csproj " in step(plan, "publish")
    assert "COPY --chown=app:app . ." in lines(plan)
