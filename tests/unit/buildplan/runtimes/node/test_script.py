"""A server in one script without package.json runs, or is refused with the packages that it lacks; it is no page."""

from __future__ import annotations

import pytest

from tests.unit.buildplan.trees import EVERYTHING, Tree, command, planned, refused

HTTP = "const http = require('http')\nhttp.createServer((q, r) => r.end('hello')).listen(process.env.PORT)\n"
EXPRESS = (
    "const express = require('express')\nrequire('@scope/one/deep')\nrequire('fs')\nexpress().listen(3000)\n"
)


@pytest.mark.parametrize(
    ("tree", "script"),
    [
        ({"server.js": HTTP}, "server.js"),
        ({"server.js": HTTP, "index.html": "a page"}, "server.js"),
        ({"app.mjs": 'import { createServer } from "node:http"\ncreateServer().listen(80)'}, "app.mjs"),
        ({"index.cjs": HTTP, "server.js": "export const a = 1"}, "index.cjs"),
        ({"app.js": EXPRESS, "node_modules/express/index.js": "", "node_modules/@scope/one/deep.js": ""}, "app.js"),
    ],
)  # fmt: skip
def test_a_server_without_packages_is_run(tree: Tree, script: str) -> None:
    plan = planned(tree)
    assert plan.runtime == "node"
    assert command(plan) == f"exec node {script}"
    assert "npm" not in (plan.generated or "")


def test_its_version_is_the_one_of_the_file_for_that() -> None:
    plan = planned({"server.js": HTTP, ".nvmrc": "20"}, toolchains=EVERYTHING)
    assert plan.base_images == ("stackyn/node:20",)


def test_a_script_that_imports_packages_is_refused() -> None:
    failure = refused({"app.js": EXPRESS, "index.html": "a page"})
    assert "`app.js` is a server of Node that imports @scope/one, express" in failure.message
    assert "npm init -y && npm install @scope/one express" in failure.hint


def test_what_the_owner_starts_by_node_has_node() -> None:
    plan = planned({"tool.js": ""}, start_command="node tool.js --port $PORT")
    assert command(plan) == "exec node tool.js --port $PORT"
    assert plan.base_images == ("stackyn/node:22",)


@pytest.mark.parametrize(
    "script",
    [
        "import { start } from './game.js'\nsocket.listen(start)",
        "import { start } from 'https://host/game.js'\nsocket.listen(start)",
        "import { Scene } from 'three'\nscene.listen(1)",
        "document.title = 1",
    ],
)
def test_a_script_of_a_page_is_served_with_it(script: str) -> None:
    page = "<script type=importmap></script><script type=module src=app.js></script>"
    assert planned({"index.html": page, "app.js": script}).runtime == "static"
