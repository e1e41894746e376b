"""Who decides a setting: the app, stackyn.toml, the Procfile, another host's file, or nobody."""

from __future__ import annotations

import json

import pytest

from stackyn_server.buildplan.build_plan import DeploymentSettings
from stackyn_server.domain.failures import FailureCode
from tests.unit.buildplan.trees import EVERYTHING, Tree, command, lines, planned, refused

SCRIPT = {"start.sh": "#!/bin/sh\n"}
RAILWAY = json.dumps(
    {"deploy": {"startCommand": "railway", "preDeployCommand": ["a", "b"], "healthcheckPath": "/up"}}
)
RENDER = "services:\n  - type: web\n    name: shop\n    startCommand: render\n    preDeployCommand: r\n"


@pytest.mark.parametrize(
    ("files", "start"),
    [
        ({}, "sh start.sh"),
        ({"render.yaml": RENDER}, "render"),
        ({"render.yaml": RENDER, "nixpacks.toml": '[start]\ncmd = "nixpacks"\n'}, "nixpacks"),
        ({"railpack.json": '{"deploy": {"startCommand": "railpack"}}'}, "railpack"),
        ({"render.yaml": RENDER, "railway.json": RAILWAY}, "railway"),
        ({"railway.json": RAILWAY, "Procfile": "web: procfile"}, "procfile"),
        ({"Procfile": "web: procfile", "stackyn.toml": 'start_command = "toml"\n'}, "toml"),
        ({"Procfile": "web: procfile", "stackyn.toml": 'start_command = ""\n'}, "sh start.sh"),
    ],
)
def test_the_first_who_says_it_wins(files: Tree, start: str) -> None:
    assert command(planned({**SCRIPT, **files}, toolchains=EVERYTHING)) == f"exec {start}"


@pytest.mark.parametrize(
    ("commands", "is_run"), [('["make", "make check"]', True), ('["...", "make check"]', False)]
)
def test_phases_of_nixpacks_replace_ours_unless_they_add(commands: str, is_run: bool) -> None:
    tree = {**SCRIPT, "nixpacks.toml": f"[phases.build]\ncmds = {commands}\n"}
    assert ("RUN make && make check" in lines(planned(tree, toolchains=EVERYTHING))) is is_run


def test_the_apps_own_setting_wins_over_all() -> None:
    tree = {**SCRIPT, "stackyn.toml": 'start_command = "toml"\n', "Procfile": "web: procfile"}
    plan = planned(tree, toolchains=EVERYTHING, start_command="api")
    assert command(plan) == "exec api" and "The start command is the one set for the app." in plan.reasons


def test_the_origin_is_said() -> None:
    reasons = planned({**SCRIPT, "stackyn.toml": 'start_command = "x"\n'}, toolchains=EVERYTHING).reasons
    assert reasons[0] == "`stackyn.toml` says: start command."
    assert "The start command is that of `stackyn.toml`." in reasons


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'start_command = "x"\n\nstart_comand = "y"\n',
            ("stackyn.toml, line 3", "start_comand", "start_command"),
        ),
        ('\n[build]\ncommand = "x"\n', ("stackyn.toml, line 2", "build")),
        ("health_timeout_seconds = 0\n", ("line 1", "from 1 to 3600")),
        ('use_dockerfile = "yes"\n', ("line 1", "true or false")),
        ('root_directory = "../other"\n', ("line 1", "inside the repository")),
        ('health_path = "health"\n', ("line 1", "begins with /")),
        ('health_path = "/a b"\n', ("line 1", "no spaces")),
        ('start_command = "a\\nb"\n', ("line 1", "one line")),
        ("start_command = \n", ("not valid TOML",)),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_its_line(text: str, words: tuple[str, ...]) -> None:
    failure = refused({**SCRIPT, "stackyn.toml": text}, toolchains=EVERYTHING)
    assert failure.code is FailureCode.NOTHING_DETECTED
    assert all(word in f"{failure.message} {failure.hint}" for word in words), failure


@pytest.mark.parametrize("spelling", ["web", "./web", "web/", "./web/."])
def test_a_root_directory_in_any_spelling(spelling: str) -> None:
    tree = {"web/start.sh": "", "stackyn.toml": f'root_directory = "{spelling}"\n'}
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.runtime == "shell" and plan.root == "web"


def test_the_root_directorys_file_wins_over_the_one_at_the_top() -> None:
    tree = {
        "web/start.sh": "",
        "web/stackyn.toml": 'start_command = "inner"\n',
        "stackyn.toml": 'start_command = "outer"\n',
    }
    plan = planned(tree, toolchains=EVERYTHING, root_directory="web")
    assert command(plan) == "exec inner" and plan.root is None


def test_what_concerns_the_deployment_is_passed_on() -> None:
    tree = {
        **SCRIPT,
        "stackyn.toml": 'health_path = "/up"\nhealth_timeout_seconds = 90\nbuild_memory_mb = 2048\n',
        "Procfile": "web: x\nrelease: migrate\n",
    }
    plan = planned(tree, toolchains=EVERYTHING)
    assert plan.deploying == DeploymentSettings("migrate", "/up", 90, 2048)
    assert "The release command is `migrate`." in plan.reasons


def test_release_command_of_the_app_wins_over_all() -> None:
    tree = {**SCRIPT, "stackyn.toml": 'release_command = "toml"\n', "Procfile": "release: procfile\nweb: x"}
    plan = planned(tree, toolchains=EVERYTHING, release_command="api")
    assert plan.deploying == DeploymentSettings(release_command="api")
    assert "The release command is `api`." in plan.reasons


def test_an_empty_release_command_overrides_the_procfile() -> None:
    tree = {**SCRIPT, "stackyn.toml": 'release_command = ""\n', "Procfile": "web: x\nrelease: migrate\n"}
    assert planned(tree, toolchains=EVERYTHING).deploying.release_command is None


@pytest.mark.parametrize("procfile", ["worker: python work.py\n", "release: x\nclock: y\n"])
def test_workers_only_are_refused(procfile: str) -> None:
    failure = refused({**SCRIPT, "Procfile": procfile}, toolchains=EVERYTHING)
    assert "only workers" in failure.message and "`web: " in failure.hint
    assert (
        planned({**SCRIPT, "Procfile": procfile}, toolchains=EVERYTHING, start_command="x").runtime == "shell"
    )


@pytest.mark.parametrize(
    ("files", "deploying"),
    [
        ({"railway.json": RAILWAY}, DeploymentSettings("a && b", "/up")),
        (
            {"railway.toml": '[deploy]\npreDeployCommand = "a"\nhealthcheckTimeout = 30\n'},
            DeploymentSettings("a", None, 30),
        ),
        ({"render.yaml": RENDER}, DeploymentSettings("r")),
        ({"render.yaml": RENDER + RENDER.removeprefix("services:\n")}, DeploymentSettings()),
        (
            {"fly.toml": '[deploy]\nrelease_command = "f"\n[[http_service.checks]]\npath = "/f"\n'},
            DeploymentSettings("f", "/f"),
        ),
        ({"app.json": '{"healthchecks": {"web": [{"path": "/d"}]}}'}, DeploymentSettings(None, "/d")),
        ({"app.json": '{"expo": {"name": "x"}}'}, DeploymentSettings()),
    ],
)
def test_what_other_hosts_say_about_the_deployment(files: Tree, deploying: DeploymentSettings) -> None:
    assert planned({**SCRIPT, **files}, toolchains=EVERYTHING).deploying == deploying


def test_another_hosts_root_directory_is_followed() -> None:
    tree = {"render.yaml": RENDER + "    rootDir: web\n", "web/start.sh": ""}
    assert planned(tree, toolchains=EVERYTHING).root == "web"


def test_the_runtime_that_is_named_is_the_only_one_tried() -> None:
    tree = {"index.html": "", **SCRIPT}
    assert planned(tree, toolchains=EVERYTHING, runtime="static").runtime == "static"
    assert "nothing here fits" in refused(tree, toolchains=EVERYTHING, runtime="go").message
    assert "no runtime cobol" in refused(tree, toolchains=EVERYTHING, runtime="cobol").message


@pytest.mark.parametrize("runtime", ['runtime = "ruby"\n', ""])
def test_the_version_that_is_set_wins_over_the_projects(runtime: str) -> None:
    tree = {
        "Gemfile": 'ruby "3.3.1"\n',
        "app.rb": "",
        "stackyn.toml": f'{runtime}runtime_version = "3.1"\n',
    }
    assert "FROM stackyn/ruby:3.1" in lines(planned(tree, toolchains=EVERYTHING))


def test_a_dockerfile_can_be_left_aside_or_demanded() -> None:
    tree = {**SCRIPT, "Dockerfile": "FROM scratch\n"}
    assert (
        planned({**tree, "stackyn.toml": "use_dockerfile = false\n"}, toolchains=EVERYTHING).runtime
        == "shell"
    )
    assert planned(tree, toolchains=EVERYTHING).runtime == "dockerfile"
    assert "Dockerfile" in refused(SCRIPT, toolchains=EVERYTHING, use_dockerfile=True).hint


@pytest.mark.parametrize(
    "procfile",
    ["web gunicorn app:app", "  web: gunicorn app:app", "- web: gunicorn", "Web: gunicorn app:app"],
)
def test_an_unreadable_web_process_is_refused_with_its_line(procfile: str) -> None:
    failure = refused(
        {**SCRIPT, "Procfile": f"# how it runs\nworker: x\n{procfile}\n"}, toolchains=EVERYTHING
    )
    assert failure.message == "Procfile, line 3: this is no `web` process."
    assert failure.evidence == f"Procfile:3: {procfile.strip()}"


@pytest.mark.parametrize(
    "procfile", ["web:x", "web : x", "web:\tx\r\n", "# web x\nweb: x\nweb: y\n", "website: a\nweb: x"]
)
def test_a_procfile_is_read_as_its_tools_do(procfile: str) -> None:
    plan = planned({**SCRIPT, "Procfile": procfile}, toolchains=EVERYTHING)
    assert command(plan) == "exec x"


@pytest.mark.parametrize(
    ("lines", "command"),
    [
        (("npm ci", "", "# then", "npm run build"), "npm ci && npm run build"),
        (("pip install \\", "  -r a.txt", "make"), "pip install -r a.txt && make"),
        (("a &&", "b", "|| c"), "a && b || c"),
        (("if x; then", "  y", "else", "  z", "fi"), "if x; then y; else z; fi"),
    ],
)
def test_a_build_command_of_several_lines_becomes_one(lines: tuple[str, ...], command: str) -> None:
    block = "".join(f"      {line}\n" for line in lines)
    render = f"services:\n  - type: web\n    startCommand: sh start.sh\n    buildCommand: |\n{block}"
    assert f"RUN {command}" in (
        planned({**SCRIPT, "render.yaml": render}, toolchains=EVERYTHING).generated or ""
    )


def test_a_procfile_without_a_process_is_refused_with_its_line() -> None:
    failure = refused({**SCRIPT, "Procfile": "# how it runs\nnode server.js\n"}, toolchains=EVERYTHING)
    assert failure.message == "Procfile has no process: node server.js"
    assert planned({**SCRIPT, "Procfile": "# nothing\n"}, toolchains=EVERYTHING).runtime == "shell"
