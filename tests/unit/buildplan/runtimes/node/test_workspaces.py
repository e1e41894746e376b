"""Workspaces of Node: installed from their root, for the one package that is the app."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.buildplan.trees import Tree, command, planned, refused


def package(**content: Any) -> str:
    return json.dumps(content)


WEB = package(name="web", scripts={"start": "node server.js", "build": "tsc"}, dependencies={"greeting": "*"})
GREETING = package(name="greeting", scripts={"build": "tsc"})
MEMBERS = {"apps/web/package.json": WEB, "apps/web/server.js": "", "packages/greeting/package.json": GREETING}


@pytest.mark.parametrize(
    ("root", "install"),
    [
        ({"package.json": package(workspaces=["apps/*", "packages/*"]), "package-lock.json": ""}, "npm ci"),
        (
            {"package.json": package(workspaces={"packages": ["./apps/*", "packages/**"]}), "yarn.lock": ""},
            "yarn install",
        ),
        (
            {
                "package.json": "{}",
                "pnpm-workspace.yaml": "packages:\n  - 'apps/*'\n  - \"packages/*\"\n",
                "pnpm-lock.yaml": "lockfileVersion: '9.0'",
            },
            "pnpm install --frozen-lockfile",
        ),
        ({"package.json": package(workspaces=["apps/*", "packages/*"]), "bun.lock": ""}, "{ bun install"),
    ],
)
def test_a_member_is_installed_from_the_lock_of_its_root(root: Tree, install: str) -> None:
    plan = planned({**root, **MEMBERS}, root_directory="apps/web")
    lines = (plan.generated or "").splitlines()
    copied = lines.index("COPY --chown=app:app . .")
    assert plan.root == "" and lines[copied + 1].startswith(f"RUN {install}")
    tool = install.removeprefix("{ ").split()[0]
    steps = [line for line in lines if "run build" in line]
    assert steps[0] == f"RUN cd packages/greeting && {tool} run build"
    assert steps[1].startswith(f"RUN cd apps/web && {tool} run build")
    assert "WORKDIR /app/apps/web" in lines and command(plan) == "exec node server.js"


def test_a_folder_that_no_workspace_names_is_built_alone() -> None:
    tree = {"package.json": package(workspaces=["packages/*"]), **MEMBERS}
    plan = planned(tree, root_directory="apps/web")
    assert plan.root is None and "WORKDIR /app/apps/web" not in (plan.generated or "")


def test_the_only_app_of_a_workspace_is_started() -> None:
    tree = {"package.json": package(workspaces=["apps/*", "packages/*"]), **MEMBERS}
    plan = planned(tree)
    assert plan.root is None and "WORKDIR /app/apps/web" in (plan.generated or "")
    assert any("`apps/web`" in reason for reason in plan.reasons)


def test_what_an_app_depends_on_is_no_app_of_its_own() -> None:
    ui = package(name="ui", scripts={"build": "vite build"}, devDependencies={"vite": "^7"})
    tests = package(name="tests", devDependencies={"web": "*"})
    server = package(name="web", scripts={"start": "node server.js"}, dependencies={"ui": "workspace:*"})
    tree = {
        "package.json": package(workspaces=["*"]),
        "web/package.json": server,
        "web/server.js": "",
        "ui/package.json": ui,
        "tests/package.json": tests,
    }
    plan = planned(tree)
    assert "RUN cd ui && npm run build" in (plan.generated or "") and command(plan) == "exec node server.js"
    program = package(name="web", bin="cli.js", dependencies={"ui": "*"})
    root = {
        "package.json": package(workspaces=["*"], scripts={"build": "turbo run build"}),
        "docs/logo.html": "",
    }
    assert (
        "but nothing says how to start it" in refused({**tree, **root, "web/package.json": program}).message
    )


def test_several_apps_of_a_workspace_are_named() -> None:
    tree = {
        "package.json": package(workspaces=["apps/*"]),
        "apps/a/package.json": WEB,
        "apps/b/package.json": WEB,
    }
    failure = refused(tree)
    assert "apps/a, apps/b" in failure.hint and "root directory" in failure.hint


def test_pages_of_the_members_make_no_site_of_the_root() -> None:
    tree = {
        "package.json": package(scripts={"build": "turbo run build"}, workspaces=["packages/*"]),
        "packages/lib/package.json": package(name="lib"),
        "packages/lib/test/page.html": "",
    }
    failure = refused(tree)
    assert failure.message == "This is a Node project (package.json), but nothing says how to start it."


def test_a_site_of_a_workspace_is_gathered_in_its_folder() -> None:
    site = package(scripts={"build": "vite build"}, devDependencies={"vite": "5"})
    tree = {"package.json": package(workspaces=["apps/*"]), "apps/site/package.json": site}
    assert "RUN cd apps/site && for folder in dist " in (
        planned(tree, root_directory="apps/site").generated or ""
    )


@pytest.mark.parametrize(
    "build", ["turbo run build", "lerna run build", "pnpm -r build", "npm run build --workspaces"]
)
def test_the_only_app_of_a_workspace_is_built(build: str) -> None:
    tree = {
        "package.json": json.dumps({"workspaces": ["packages/*"], "scripts": {"build": build}}),
        "packages/api/package.json": json.dumps(
            {"name": "api", "scripts": {"start": "node a.js", "build": "tsc"}}
        ),
        "packages/lib/package.json": json.dumps({"name": "lib"}),
    }
    plan = planned(tree)
    assert "RUN cd packages/api && npm run build" in (plan.generated or "")
    assert command(plan) == "exec node a.js"


@pytest.mark.parametrize("root", [None, "apps/web"])
def test_nx_builds_an_app_with_the_packages_of_the_root(root: str | None) -> None:
    tree = {
        "package.json": json.dumps({"devDependencies": {"nx": "23", "vite": "8"}, "workspaces": ["apps/*"]}),
        "nx.json": "{}",
        "apps/web/package.json": json.dumps({"name": "@nx/web"}),
        "apps/web/vite.config.mts": "export default { build: { outDir: './dist' } }",
        "apps/web/index.html": '<script type="module" src="/src/main.tsx"></script>',
    }
    generated = planned(tree, root_directory=root).generated or ""
    assert "RUN npx nx build @nx/web" in generated
    assert "cd apps/web && for folder in dist " in generated
