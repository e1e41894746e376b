"""Node projects that run elsewhere only are refused by name; their plain files are served where that is all of them."""

from __future__ import annotations

import json

import pytest

from stackyn_server.domain.failures import FailureCode
from tests.unit.buildplan.trees import Tree, command, planned, refused


def project(packages: str, start: str = "", *, engines: dict[str, str] | None = None, **scripts: str) -> Tree:
    if start:
        scripts["start"] = start
    content = {
        "scripts": scripts,
        "devDependencies": dict.fromkeys(packages.split(), "*"),
        "engines": engines or {},
    }
    return {"package.json": json.dumps(content)}


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        ({**project("wrangler", "wrangler dev"), "src/index.ts": "", "wrangler.jsonc": '{"main": "src/index.ts"}'},
         "a Worker of Cloudflare"),
        ({**project("wrangler hono", dev="wrangler dev"), "src/index.ts": "", "wrangler.toml": 'main = "src/index.ts"'},
         "a Worker of Cloudflare"),
        ({**project("wrangler", "npm run dev", dev="wrangler pages dev ./site"), "site/index.html": "",
          "functions/a.js": ""}, "a Worker of Cloudflare"),
        ({**project("electron", "electron ."), "main.js": ""}, "an Electron app"),
        ({**project("electron @electron-forge/cli", "electron-forge start")}, "an Electron app"),
        ({**project("electron"), "index.js": ""}, "an Electron app"),
        ({**project("react react-native", "react-native start"), "index.js": ""}, "a React Native app"),
        (project("expo react-native", "expo start"), "for phones only"),
        ({**project("typescript", engines={"vscode": "^1.90"}), "extension.js": ""},
         "an extension of Visual Studio Code"),
    ],
)  # fmt: skip
def test_what_no_server_runs_is_refused_by_its_name(tree: Tree, what: str) -> None:
    failure = refused(tree)
    assert failure.code is FailureCode.NOTHING_DETECTED
    assert what in failure.message
    assert "root directory" in failure.hint


@pytest.mark.parametrize(
    "tree",
    [
        {**project("wrangler hono @hono/node-server", "node server.js"), "server.js": "",
         "wrangler.toml": "main='w.ts'"},
        {**project("electron express", "node server.js"), "server.js": ""},
    ],
)  # fmt: skip
def test_a_server_beside_that_is_started(tree: Tree) -> None:
    assert command(planned(tree)) == "exec node server.js"


def test_the_owners_start_command_wins() -> None:
    tree = project("wrangler", "wrangler dev")
    assert command(planned(tree, start_command="npx wrangler dev --port $PORT")).endswith("--port $PORT")


@pytest.mark.parametrize(
    ("settings", "folder"),
    [
        ({"wrangler.jsonc": '{"assets": {"directory": "./site"}} // no Worker'}, "site"),
        ({"wrangler.toml": 'pages_build_output_dir = "site"'}, "site"),
        ({"wrangler.toml": '[site]\nbucket = "site/"'}, "site"),
    ],
)
def test_cloudflare_pages_without_a_worker_are_served(settings: Tree, folder: str) -> None:
    tree = {**project("wrangler", dev="wrangler dev"), "site/index.html": "", **settings}
    plan = planned(tree)
    assert plan.runtime == "static"
    assert f"COPY {folder}/ /srv/site/" in (plan.generated or "")
    built = planned({**project("wrangler", "wrangler dev", build="make"), **settings})
    assert f"for folder in {folder} " in (built.generated or "")


def test_wrangler_says_that_unknown_paths_show_the_home_page() -> None:
    settings = '{"assets": {"directory": "site", "not_found_handling": "single-page-application"}}'
    plan = planned({"site/index.html": "", "wrangler.json": settings})
    assert "ENV SINGLE_PAGE=1" in (plan.generated or "")


@pytest.mark.parametrize("folder", ["/etc", "../other"])
def test_a_folder_outside_of_the_project_is_not_served(folder: str) -> None:
    tree = {"index.html": "", "wrangler.json": json.dumps({"assets": {"directory": folder}})}
    assert "COPY . /srv/site/" in (planned(tree).generated or "")


@pytest.mark.parametrize(("start", "files"), [("meteor run", {}), ("", {".meteor/release": ""})])
def test_a_meteor_app_is_refused_with_the_way_out(start: str, files: Tree) -> None:
    failure = refused({**project("meteor-node-stubs", start), **files})
    assert "Meteor" in failure.message and "Dockerfile" in failure.hint


def test_the_types_of_bun_tell_who_runs_a_project_without_a_lock() -> None:
    tree = {
        "package.json": '{"module": "index.ts", "devDependencies": {"@types/bun": "latest"}}',
        "index.ts": "",
    }
    assert command(planned(tree)) == "exec bun index.ts"
    assert command(planned({**tree, "package-lock.json": ""})) == "exec node index.ts"
