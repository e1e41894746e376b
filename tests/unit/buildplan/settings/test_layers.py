"""Every setting in every layer: detection, another host's file, the Procfile, stackyn.toml, the app's own setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from stackyn_server.buildplan.build_plan import BuildPlan
from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned

NODE: Tree = {
    "package.json": json.dumps({"scripts": {"build": "tool", "start": "node detected"}}),
    "package-lock.json": json.dumps({"lockfileVersion": 3, "packages": {"": {}}}),
}
LANGUAGES: Tree = {
    **NODE,
    "Dockerfile": "FROM scratch\n",
    "app.py": "from flask import Flask\napp = Flask('x')\n",
    "requirements.txt": "flask\n",
    "go.mod": "module a\n",
    "main.go": "package main\nfunc main() {}\n",
    "start.sh": "",
}


@dataclass(frozen=True)
class Case:
    """`layers` are files, or settings of the app (a plain value), from the weakest to the strongest, each with what is
    to be seen when it is the strongest. `seen` looks at the plan for it."""

    key: str
    tree: Tree
    detected: Any
    layers: list[tuple[Tree | str | bool | int, Any]]
    seen: Callable[[BuildPlan], Any]
    options: dict[str, Any] = field(default_factory=dict)


def step(*words: str) -> Callable[[BuildPlan], str | None]:
    """Which of the words is run as a step."""
    return lambda plan: next(
        (word for word in words if any(f" {word} " in f"{line} " for line in lines(plan))), None
    )


def toml(key: str, value: str | bool | int) -> Tree:
    return {"stackyn.toml": f"{key} = {json.dumps(value)}\n"}


def railway(table: str, **settings: Any) -> Tree:
    return {"railway.json": json.dumps({table: settings})}


def render(**settings: str) -> Tree:
    return {
        "render.yaml": "services:\n- type: web\n" + "".join(f"  {key}: {settings[key]}\n" for key in settings)
    }


def vercel(**settings: str) -> Tree:
    return {"vercel.json": json.dumps(settings)}


def procfile(**processes: str) -> Tree:
    return {"Procfile": "".join(f"{name}: {start_command}\n" for name, start_command in processes.items())}


FOLDERS: Tree = {f"{name}/start.sh": "" for name in ("host", "toml", "api")}
CASES = [
    Case(
        "install_command",
        NODE,
        None,
        [(vercel(installCommand="host"), "host"), (toml("install_command", "toml"), "toml"), ("api", "api")],
        step("host", "toml", "api"),
    ),
    Case(
        "build_command",
        NODE,
        "build",
        [
            (render(buildCommand="other"), "other"),
            (railway("build", buildCommand="host"), "host"),
            (toml("build_command", "toml"), "toml"),
            ("api", "api"),
        ],
        step("other", "host", "toml", "api", "build"),
    ),
    Case(
        "start_command",
        NODE,
        "node detected",
        [
            (render(startCommand="other"), "other"),
            (railway("deploy", startCommand="host"), "host"),
            (procfile(web="procfile"), "procfile"),
            (toml("start_command", "toml"), "toml"),
            ("api", "api"),
        ],
        lambda plan: command(plan).removeprefix("exec "),
    ),
    Case(
        "release_command",
        NODE,
        None,
        [
            (render(preDeployCommand="other"), "other"),
            (railway("deploy", preDeployCommand="host"), "host"),
            (procfile(release="procfile"), "procfile"),
            (toml("release_command", "toml"), "toml"),
            ("api", "api"),
        ],
        lambda plan: plan.deploying.release_command,
    ),
    Case(
        "publish_directory",
        {f"{name}/index.html": "" for name in ("public", "host", "toml", "api")},
        "public",
        [
            ({"netlify.toml": '[build]\npublish = "host"\n'}, "host"),
            (toml("publish_directory", "./toml/"), "toml"),
            ("api", "api"),
        ],
        lambda plan: next(
            line.split()[1].rstrip("/") for line in lines(plan) if "/srv/site/" in line and "COPY" in line
        ),
    ),
    Case(
        "root_directory",
        {"start.sh": "", **FOLDERS},
        None,
        [(render(rootDir="./host"), "host"), (toml("root_directory", "./toml"), "toml"), ("api", None)],
        lambda plan: plan.root,
    ),
    Case(
        "dockerfile_path",
        {name: "FROM scratch\n" for name in ("Dockerfile", "host.txt", "a/toml.txt", "a/api.txt")},
        "Dockerfile",
        [
            (railway("build", dockerfilePath="host.txt"), "host.txt"),
            (toml("dockerfile_path", "./a/toml.txt"), "a/toml.txt"),
            ("a/api.txt", "a/api.txt"),
        ],
        lambda plan: plan.dockerfile,
    ),
    Case(
        "use_dockerfile",
        {**NODE, "Dockerfile": "FROM scratch\n"},
        "dockerfile",
        [(toml("use_dockerfile", False), "node"), (True, "dockerfile")],
        lambda plan: plan.runtime,
    ),
    Case(
        "runtime",
        LANGUAGES,
        "dockerfile",
        [(render(runtime="python"), "python"), (toml("runtime", "go"), "go"), ("shell", "shell")],
        lambda plan: plan.runtime,
    ),
    Case(
        "runtime_version",
        {"Gemfile": "", "app.rb": "", ".ruby-version": "3.3\n"},
        "3.3",
        [(toml("runtime_version", "3.1"), "3.1"), ("3.3", "3.3")],
        lambda plan: next(line for line in lines(plan) if line.startswith("FROM stackyn/ruby:"))[18:21],
        {"runtime": "ruby"},
    ),
    Case(
        "health_path",
        NODE,
        None,
        [
            ({"app.json": '{"healthchecks": {"web": [{"path": "/dokku"}]}}'}, "/dokku"),
            ({"fly.toml": '[[services]]\n[[services.http_checks]]\npath = "/fly"\n'}, "/fly"),
            (render(healthCheckPath="/other"), "/other"),
            (railway("deploy", healthcheckPath="/host"), "/host"),
            (toml("health_path", "/toml"), "/toml"),
        ],
        lambda plan: plan.deploying.health_path,
    ),
    Case(
        "health_timeout_seconds",
        NODE,
        None,
        [(railway("deploy", healthcheckTimeout=30), 30), (toml("health_timeout_seconds", 60), 60)],
        lambda plan: plan.deploying.health_timeout_seconds,
    ),
    Case(
        "build_memory_mb",
        NODE,
        None,
        [(toml("build_memory_mb", 900), 900)],
        lambda plan: plan.deploying.build_memory_mb,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_each_layer_wins_over_the_weaker_ones(case: Case) -> None:
    tree, options = dict(case.tree), dict(case.options)
    assert case.seen(planned(tree, toolchains=EVERYTHING, **options)) == case.detected
    for layer, expected in case.layers:
        if isinstance(layer, dict):
            tree |= layer
        else:
            options[case.key] = layer
        assert case.seen(planned(tree, toolchains=EVERYTHING, **options)) == expected, layer


@pytest.mark.parametrize("case", [case for case in CASES if len(case.layers) > 2], ids=lambda case: case.key)
def test_empty_in_stackyn_toml_takes_the_weaker_ones_back(case: Case) -> None:
    weaker = [layer for layer, _ in case.layers if isinstance(layer, dict) and "stackyn.toml" not in layer]
    tree = dict(case.tree)
    for layer in (*weaker, toml(case.key, "")):
        tree |= layer
    assert case.seen(planned(tree, toolchains=EVERYTHING, **case.options)) == case.detected


@pytest.mark.parametrize(
    ("runtime", "tree"),
    [
        ("python", {"app.py": "from flask import Flask\napp = Flask('x')\n", "index.html": "", **NODE}),
        ("ruby", {"app.rb": "puts 1", "index.html": "", **NODE}),
        ("deno", {"main.ts": "", "deno.json": "{}", **NODE}),
        ("node", {**LANGUAGES}),
    ],
)
def test_a_named_runtime_is_not_argued_with(runtime: str, tree: Tree) -> None:
    assert planned(tree, toolchains=EVERYTHING, runtime=runtime).runtime == runtime


@pytest.mark.parametrize("path", ["docker/web.Dockerfile", "inner.Dockerfile"])
def test_dockerfile_path_from_the_root_directory_or_the_top(path: str) -> None:
    tree = {
        "docker/web.Dockerfile": "FROM scratch\n",
        "web/inner.Dockerfile": "FROM scratch\n",
        "web/stackyn.toml": f'dockerfile_path = "{path}"\n',
    }
    plan = planned(tree, root_directory="web")
    assert (plan.dockerfile_from or plan.dockerfile) == path


STARTED, UNSTARTED = "FROM a\nCMD serve\n", "FROM a\nRUN x\n"


@pytest.mark.parametrize(
    ("dockerfile", "files", "started"),
    [
        (STARTED, {}, None),
        (STARTED, toml("start_command", "toml"), "toml"),
        (STARTED, railway("deploy", startCommand="railway"), "railway"),
        (STARTED, {"fly.toml": '[processes]\napp = "fly"\n'}, "fly"),
        (STARTED, render(runtime="docker", dockerCommand="render"), "render"),
        (STARTED, procfile(web="procfile"), None),
        (UNSTARTED, procfile(web="procfile"), "procfile"),
        (f"{STARTED}FROM b\n", procfile(web="procfile"), "procfile"),
        ("FROM a AS one\nENTRYPOINT x\nFROM one\n", procfile(web="procfile"), None),
        ("# syntax=some/frontend\nanything\n", procfile(web="procfile"), None),
    ],
)
def test_how_the_image_of_an_own_dockerfile_is_started(
    dockerfile: str, files: Tree, started: str | None
) -> None:
    plan = planned({"Dockerfile": dockerfile, **files})
    assert plan.deploying.start_command == started
    assert not files or any("start command" in reason or "left aside" in reason for reason in plan.reasons)


def test_the_built_stage_says_whether_it_is_started() -> None:
    tree = {"Dockerfile": "FROM a AS one\nFROM b AS two\nCMD x\n", **procfile(web="procfile")}
    assert planned(tree).deploying.start_command is None
    assert planned(tree, build_target="one").deploying.start_command == "procfile"
    assert planned(tree, build_target="1").deploying.start_command is None


def test_the_apps_start_command_is_not_repeated_in_the_plan() -> None:
    tree = {"Dockerfile": STARTED, **toml("start_command", "toml")}
    assert planned(tree, start_command="api").deploying.start_command is None


def test_another_hosts_runtime_is_tried_first_not_alone() -> None:
    assert planned({**LANGUAGES, **render(runtime="go")}, toolchains=EVERYTHING).runtime == "go"
    assert planned({**NODE, **render(runtime="go")}, toolchains=EVERYTHING).runtime == "node"


def test_what_the_app_sets_is_not_said_to_come_from_a_file() -> None:
    tree = {**NODE, **toml("health_path", "/toml"), **railway("deploy", healthcheckTimeout=30)}
    reasons = planned(tree, toolchains=EVERYTHING, health_path="/api").reasons
    assert "`railway.json` says: health timeout seconds." in reasons
    assert not [reason for reason in reasons if "stackyn.toml" in reason]


@pytest.mark.parametrize("options", [{"dockerfile_path": "Dockerfile"}, {"use_dockerfile": True}])
def test_a_wanted_dockerfile_wins_over_a_runtime_said_later(options: dict[str, Any]) -> None:
    for files in (toml("runtime", "go"), render(runtime="go")):
        assert planned({**LANGUAGES, **files}, toolchains=EVERYTHING, **options).runtime == "dockerfile"
    tree = {**LANGUAGES, **render(runtime="go"), **toml("use_dockerfile", True)}
    assert planned(tree, toolchains=EVERYTHING).runtime == "dockerfile"


@pytest.mark.parametrize(
    ("tree", "sent"),
    [
        ({"go.mod": "module a\n", "main.go": "package main\nfunc main() {}\n"}, {"go.mod", "main.go"}),
        (NODE, set(NODE)),
        (
            {"requirements.txt": "flask\n", "app.py": "import flask\napp = flask.Flask('x')\n"},
            {"requirements.txt", "app.py"},
        ),
        ({"start.sh": ""}, {"start.sh"}),
        ({"index.html": ""}, {"index.html"}),
        ({"Gemfile": "gem 'sinatra'\n", "config.ru": ""}, {"Gemfile"}),
        ({"composer.json": "{}", "index.php": ""}, {"composer.json"}),
        ({"Cargo.toml": '[package]\nname = "a"\n', "src/main.rs": ""}, {"Cargo.toml"}),
        (
            {
                "pom.xml": "<mainClass>a.B</mainClass>",
                "src/main/java/a/B.java": "class B {\n  public static void main(String[] a) {}\n}",
            },
            {"pom.xml"},
        ),
    ],
)
def test_what_the_plan_is_made_from_is_always_sent(tree: Tree, sent: set[str]) -> None:
    assert sent <= set(planned(tree, toolchains=EVERYTHING).copies)


def test_what_is_sent_is_named_from_the_folder_that_is_sent() -> None:
    tree = {
        "package.json": json.dumps({"workspaces": ["web"]}),
        "package-lock.json": json.dumps({"lockfileVersion": 3, "packages": {"": {}}}),
        "web/package.json": json.dumps({"name": "web", "scripts": {"start": "node x"}}),
    }
    plan = planned(tree, root_directory="web")
    assert plan.root == "" and {"package-lock.json", "web/package.json"} <= set(plan.copies)
