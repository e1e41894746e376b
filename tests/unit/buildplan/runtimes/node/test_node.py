"""Node projects: which tool installs, what is built, what starts, and what is only a site."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stackyn_server.domain.failures import FailureCode
from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused


def package(**content: Any) -> str:
    return json.dumps(content)


EXPRESS = {"express": "5"}


@pytest.mark.parametrize(
    ("manifest", "files", "run"),
    [
        ({"scripts": {"start": "node server.js"}}, (), "exec node server.js"),
        (
            {"scripts": {"start": "node --enable-source-maps dist/a.js"}},
            (),
            "exec node --enable-source-maps dist/a.js",
        ),
        ({"scripts": {"start": "node a.js", "prestart": "x"}}, (), "exec npm run start"),
        ({"scripts": {"start": "tsx server.ts"}}, (), "exec npm run start"),
        ({"scripts": {"start": "NODE_ENV=production node a.js"}}, (), "exec npm run start"),
        ({"scripts": {"start": "next start", "build": "next build"}}, (), "exec npm run start"),
        ({"scripts": {"start": "nest start", "start:prod": "node dist/main"}}, (), "exec node dist/main"),
        (
            {"scripts": {"start": "vite", "build": "vite build"}, "dependencies": EXPRESS},
            (),
            "exec npm run start",
        ),
        (
            {"scripts": {"build": "next build"}, "dependencies": {"next": "1"}},
            (),
            "exec npx next start --hostname 0.0.0.0 --port $PORT",
        ),
        (
            {"scripts": {"build": "nuxt build"}, "devDependencies": {"nuxt": "1"}},
            (),
            "exec node .output/server/index.mjs",
        ),
        ({"main": "./lib/main.js"}, ("lib/main.js",), "exec node lib/main.js"),
        ({"main": "lib"}, ("lib/index.js",), "exec node lib/index.js"),
        ({}, ("server.js", "index.js"), "exec node server.js"),
        ({}, ("src/index.mjs",), "exec node src/index.mjs"),
        (
            {"scripts": {"build": "vite build"}, "dependencies": {**EXPRESS, "vite": "1"}},
            ("server.js",),
            "exec node server.js",
        ),
    ],
)
def test_the_start_command_is_the_one_of_production(
    manifest: dict[str, Any], files: tuple[str, ...], run: str
) -> None:
    plan = planned({"package.json": package(**manifest), **dict.fromkeys(files, "")})
    assert (plan.runtime, command(plan)) == ("node", run)


def test_the_words_of_the_owner_win() -> None:
    tree = {"package.json": package(scripts={"start": "node a.js"}), "Procfile": "web: node b.js"}
    assert command(planned(tree)) == "exec node b.js"
    assert command(planned(tree, start_command="node c.js")) == "exec node c.js"


@pytest.mark.parametrize(
    ("files", "manifest", "lines"),
    [
        ({"package-lock.json": ""}, {}, ["RUN npm ci --omit=dev && npm cache clean --force"]),
        ({"npm-shrinkwrap.json": ""}, {}, ["RUN npm ci --omit=dev && npm cache clean --force"]),
        ({}, {}, ["RUN npm install --no-package-lock --omit=dev && npm cache clean --force"]),
        (
            {"bun.lock": ""},
            {},
            [
                "RUN npm install --global --force bun@1 && npm cache clean --force",
                "RUN { bun install --frozen-lockfile --omit=dev || bun install --omit=dev; }"
                " && rm -rf /tmp/packages",
            ],
        ),
        (
            {},
            {"scripts": {"start": "bun server.ts"}},
            ["RUN bun install --omit=dev && rm -rf /tmp/packages"],
        ),
        (
            {},
            {"packageManager": "npm@10.9.2"},
            ["RUN npm install --global --force npm@10.9.2 && npm cache clean --force"],
        ),
        (
            {"yarn.lock": ""},
            {},
            [
                "RUN npm install --global --force yarn@1.22.22 && npm cache clean --force",
                "RUN yarn install --frozen-lockfile --ignore-engines --cache-folder /tmp/packages --production "
                "&& rm -rf /tmp/packages",
            ],
        ),
        (
            {"yarn.lock": "", ".yarnrc.yml": ""},
            {"packageManager": "yarn@4.5.0+sha1.aa"},
            [
                "RUN npm install --global --force @yarnpkg/cli-dist@4.5.0 && npm cache clean --force",
                "ENV YARN_NODE_LINKER=node-modules",
                "ENV YARN_ENABLE_GLOBAL_CACHE=true",
                "RUN yarn install --immutable && rm -rf /tmp/packages",
            ],
        ),
        (
            {"pnpm-lock.yaml": "lockfileVersion: '6.0'\n"},
            {},
            [
                "RUN npm install --global --force pnpm@8.15.9 && npm cache clean --force",
                "RUN pnpm install --frozen-lockfile --prod && rm -rf /tmp/packages",
            ],
        ),
        (
            {"pnpm-lock.yaml": "lockfileVersion: 5.4"},
            {"packageManager": "pnpm@7.1.0"},
            ["RUN npm install --global --force pnpm@7.1.0 && npm cache clean --force"],
        ),
        (
            {"pnpm-lock.yaml": ""},
            {"packageManager": "pnpm@latest; rm -rf /"},
            ["RUN npm install --global --force pnpm@10 && npm cache clean --force"],
        ),
    ],
)
def test_the_tool_of_the_lock_file_installs(files: Tree, manifest: dict[str, Any], lines: list[str]) -> None:
    tree = {"package.json": package(**{"scripts": {"start": "node a.js"}, **manifest}), **files}
    generated = (planned(tree).generated or "").splitlines()
    assert [line for line in lines if line not in generated] == []


def test_a_missing_lock_file_is_told() -> None:
    plan = planned({"package.json": package(scripts={"start": "node a.js"})})
    assert any("no lock file" in reason for reason in plan.reasons)


def test_a_build_drops_the_development_packages_afterwards() -> None:
    manifest = package(scripts={"build": "tsc", "start": "node dist/a.js"})
    lines = (planned({"package.json": manifest, "package-lock.json": ""}).generated or "").splitlines()
    assert "RUN npm ci --include=dev && npm cache clean --force" in lines
    build = next(
        line for line in lines if line.startswith("RUN npm run build && npm prune --omit=dev && rm -rf ")
    )
    assert lines.index("ENV NODE_ENV=production HOST=0.0.0.0") > lines.index(build)


def test_a_start_that_may_need_development_packages_keeps_them() -> None:
    manifest = package(scripts={"start": "tsx server.ts"}, devDependencies={"tsx": "4"})
    generated = planned({"package.json": manifest, "package-lock.json": ""}).generated or ""
    assert "--omit=dev" not in generated and "npm prune" not in generated


@pytest.mark.parametrize(
    "manifest",
    [
        {"scripts": {"start": "node a.js", "postinstall": "prisma generate"}},
        {"scripts": {"start": "node a.js"}, "workspaces": ["packages/*"]},
        {"scripts": {"start": "node a.js"}, "dependencies": {"lib": "file:./lib"}},
    ],
)
def test_an_install_that_may_read_any_file_comes_after_all_files(manifest: dict[str, Any]) -> None:
    lines = (
        planned({"package.json": package(**manifest), "package-lock.json": ""}).generated or ""
    ).splitlines()
    install = next(number for number, line in enumerate(lines) if "npm ci" in line)
    assert lines.index("COPY --chown=app:app . .") < install


def test_packages_are_a_layer_of_their_own() -> None:
    tree = {"package.json": package(scripts={"start": "node a.js"}), "package-lock.json": "", ".npmrc": ""}
    lines = (planned(tree).generated or "").splitlines()
    assert "COPY --chown=app:app package.json package-lock.json .npmrc ./" in lines


@pytest.mark.parametrize(
    ("manifest", "folder"),
    [
        (
            {
                "scripts": {"dev": "vite", "build": "vite build", "preview": "vite preview"},
                "devDependencies": {"vite": "5"},
            },
            "dist",
        ),
        ({"scripts": {"start": "vite", "build": "vite build"}, "devDependencies": {"vite": "5"}}, "dist"),
        (
            {
                "scripts": {"start": "react-scripts start", "build": "react-scripts build"},
                "dependencies": {"react-scripts": "5"},
            },
            "build",
        ),
        ({"scripts": {"start": "astro dev", "build": "astro build"}, "dependencies": {"astro": "5"}}, "dist"),
        (
            {
                "scripts": {"start": "ng serve", "build": "ng build"},
                "devDependencies": {"@angular/cli": "18"},
            },
            "dist/browser",
        ),
    ],
)
def test_a_single_page_app_is_built_and_served_as_files(manifest: dict[str, Any], folder: str) -> None:
    tree = {
        "package.json": package(**manifest),
        "package-lock.json": "",
        "index.html": "",
        "src/index.js": "",
    }
    plan = planned(tree)
    lines = (plan.generated or "").splitlines()
    assert plan.runtime == "node" and any(line.startswith("RUN npm run build && rm -rf") for line in lines)
    assert lines.index("FROM stackyn/node:22 AS build") < lines.index("FROM stackyn/static:1")
    gathered = next(line for line in lines if line.startswith("RUN for folder in "))
    assert folder in gathered.split(";")[0].split()[4:7]
    assert "COPY --from=build /tmp/site/ /srv/site/" in lines
    assert not any(line.startswith("CMD") for line in lines), "the static image starts its own server"


def test_a_project_without_a_start_says_how_to_give_one() -> None:
    failure = refused({"package.json": package(name="lib"), "lib/code.ts": ""})
    assert failure.code is FailureCode.NOTHING_DETECTED
    assert "start" in failure.hint


@pytest.mark.parametrize("text", ["{", "[]", '"x"', "", "[" * 100_000])
def test_a_package_file_that_is_no_object_is_explained(text: str) -> None:
    failure = refused({"package.json": text})
    assert failure.code is FailureCode.NOTHING_DETECTED
    assert "package.json is not valid JSON" in failure.message


def test_values_of_other_types_are_no_error() -> None:
    odd = package(scripts=[1], dependencies="x", main=3, packageManager={}, devDependencies={"a": None})
    assert planned({"package.json": odd, "server.js": ""}).runtime == "node"


BUN = {"scripts": {"start": "bun app.js"}}


@pytest.mark.parametrize(
    ("manifest", "has_node"),
    [
        (BUN, False),
        ({**BUN, "dependencies": {}, "engines": {"bun": ">=1"}}, False),
        ({**BUN, "dependencies": {"hono": "4"}}, True),
        ({**BUN, "devDependencies": {"typescript": "5"}}, True),
        ({"scripts": {"start": "bun app.js", "build": "node build.js"}}, True),
        ({"scripts": {"start": "node app.js", "dev": "bun app.js"}, "engines": {"bun": "1"}}, True),
    ],
)
def test_bun_alone_runs_what_has_no_packages(manifest: dict[str, Any], has_node: bool) -> None:
    plan = planned({"package.json": package(**manifest), "app.js": ""}, toolchains=EVERYTHING)
    images = ["stackyn/node:22"] if has_node else ["stackyn/node:22 AS bun", "stackyn/base:12"]
    assert [line for line in lines(plan) if line.startswith("FROM ")] == [f"FROM {image}" for image in images]
    assert set(plan.base_images) == {image.split()[0] for image in images}


@pytest.mark.parametrize(
    ("manifest", "setting"),
    [
        ({"devDependencies": {"puppeteer": "^25"}}, "ENV PUPPETEER_SKIP_DOWNLOAD=1"),
        ({"devDependencies": {"cypress": "^14"}}, "ENV CYPRESS_INSTALL_BINARY=0"),
        ({"devDependencies": {"puppeteer": "^25"}, "dependencies": {"puppeteer": "^25"}}, None),
        ({"dependencies": {"puppeteer": "^25"}}, None),
    ],
)
def test_a_browser_for_tests_is_not_downloaded(manifest: dict[str, Any], setting: str | None) -> None:
    tree = {"package.json": json.dumps({**manifest, "scripts": {"start": "node app.js"}}), "app.js": ""}
    plan = planned(tree)
    assert [line for line in lines(plan) if "DOWNLOAD" in line or "BINARY" in line] == (
        [setting] if setting else []
    )
    assert any("is left out" in reason for reason in plan.reasons) is (setting is not None)
