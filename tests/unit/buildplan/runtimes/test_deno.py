"""Deno: tasks, and files that serve."""

from __future__ import annotations

import json

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused, step

SERVE = "Deno.serve(() => new Response('hello'));\n"


def tasks(**named: str) -> str:
    return "// settings\n" + json.dumps({"tasks": named})[:-1] + ",}"


@pytest.mark.parametrize(
    ("tree", "start"),
    [
        ({"deno.json": "{}", "main.ts": SERVE}, "deno run --allow-all main.ts"),
        ({"main.ts": SERVE}, "deno run --allow-all main.ts"),
        ({"deno.lock": "{}", "src/server.ts": SERVE}, "deno run --allow-all src/server.ts"),
        ({"deno.jsonc": tasks(start="deno run main.ts"), "main.ts": SERVE}, "deno task start"),
        (
            {"deno.json": "{}", "main.ts": "export default {\n  fetch() {}\n};\n"},
            "deno serve --allow-all --host 0.0.0.0 --port $PORT main.ts",
        ),
        ({"deno.json": "{}", "app.ts": SERVE, "Procfile": "web: deno run -A app.ts"}, "deno run -A app.ts"),
    ],
)
def test_how_it_is_started(tree: Tree, start: str) -> None:
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == "deno"
    assert command(plan) == f"export DENO_SERVE_ADDRESS=tcp:0.0.0.0:$PORT; exec {start}"


def test_a_build_task_is_run() -> None:
    plan = planned(
        {"deno.json": tasks(build="vite build", start="deno serve x"), "main.ts": ""}, toolchains=EVERYTHING
    )
    assert step(plan, "build") == "RUN deno task build"


@pytest.mark.parametrize(
    ("files", "image"),
    [
        ({}, "stackyn/deno:2"),
        ({".deno-version": "2.2.2\n"}, "stackyn/deno:2.2.2"),
        ({".tool-versions": "deno 2.1.4\n"}, "stackyn/deno:2.1.4"),
        ({"mise.toml": '[tools]\ndeno = "2"\n'}, "stackyn/deno:2"),
    ],
)
def test_the_version_is_read_from_the_project(files: Tree, image: str) -> None:
    assert f"FROM {image}" in lines(
        planned({"deno.json": "{}", "main.ts": SERVE, **files}, toolchains=EVERYTHING)
    )


def test_a_node_project_with_a_deno_file_stays_node() -> None:
    package = json.dumps({"scripts": {"start": "node server.js"}})
    tree = {"package.json": package, "server.js": "", "deno.json": "{}"}
    assert planned(tree, toolchains=EVERYTHING).runtime == "node"


def test_typescript_for_nobody_is_no_deno_project() -> None:
    assert "TypeScript" in refused({"main.ts": "export const a = 1;\n"}, toolchains=EVERYTHING).message


def test_a_configuration_without_an_entry_is_refused() -> None:
    assert "nothing says how to start it" in refused({"deno.json": "{}"}, toolchains=EVERYTHING).message


def test_a_node_project_without_a_deno_entry_stays_node() -> None:
    package = json.dumps({"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}})
    tree = {"package.json": package, "index.html": "", "deno.json": '{"tasks": {"dev": "vite"}}'}
    assert planned(tree, toolchains=EVERYTHING).runtime == "node"
