"""Which runtime a tree gets, and what its owner is told when there is none."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from tests.unit.buildplan.trees import Tree, command, planned, refused

STARTED = '{"scripts": {"start": "node server.js"}}'
FLASK = "from flask import Flask\napp = Flask(__name__)\n"
EXPRESS = json.dumps({"scripts": {"start": "node server.js"}, "dependencies": {"express": "5"}})
STATIC_PACKAGE = json.dumps({"devDependencies": {"prettier": "3"}})


@pytest.mark.parametrize(
    ("tree", "runtime"),
    [
        (
            {"Dockerfile": "FROM scratch", "requirements.txt": "", "app.py": FLASK, "package.json": "{}"},
            "dockerfile",
        ),
        ({"requirements.txt": "flask", "app.py": FLASK}, "python"),
        ({"requirements.txt": "flask", "app.py": FLASK, "package.json": EXPRESS}, "python"),
        ({"requirements.txt": "ansible", "package.json": EXPRESS, "server.js": ""}, "node"),
        (
            {"Procfile": "web: npm start", "requirements.txt": "x", "app.py": FLASK, "package.json": EXPRESS},
            "node",
        ),
        ({"main.py": "import http.server\nhttp.server.test()"}, "python"),
        ({"index.html": "", "main.py": "print('a tool')"}, "static"),
        ({"package.json": EXPRESS, "server.js": "", "main.py": "print('a tool')"}, "node"),
        ({"package.json": EXPRESS, "index.html": ""}, "node"),
        ({"package.json": EXPRESS, "server.js": "", "Gemfile": "gem 'fastlane'"}, "node"),
        ({"requirements.txt": "flask", "app.py": FLASK, "Gemfile": "gem 'x'"}, "python"),
        ({"package.json": EXPRESS, "Gemfile": "gem 'x'", "Procfile": "web: npm start"}, "node"),
        ({"package.json": EXPRESS, "Cargo.toml": "[package]\nname='a'", "src/lib.rs": ""}, "node"),
        ({"package.json": EXPRESS, "go.mod": "module a", "gen/gen.go": "package gen"}, "node"),
        (
            {
                "package.json": '{"scripts": {"start": "http-server ./public -p $PORT"}}',
                "public/index.html": "",
            },
            "node",
        ),
        ({"package.json": STATIC_PACKAGE, "index.html": ""}, "static"),
        ({"index.html": ""}, "static"),
        ({"README.md": "", "docs/index.html": ""}, "static"),
    ],
)
def test_the_first_runtime_that_fits_is_taken(tree: Tree, runtime: str) -> None:
    plan = planned(tree)
    assert plan.runtime == runtime
    assert plan.reasons and all(reason.endswith(".") for reason in plan.reasons)


@pytest.mark.parametrize(
    ("tree", "left_out"),
    [
        ({"requirements.txt": "flask", "app.py": FLASK}, {"**/.venv", "**/venv", "**/__pycache__"}),
        ({"package.json": EXPRESS, "server.js": ""}, {"**/node_modules"}),
        ({"index.html": ""}, {"**/.env*", "**/.git*"}),
    ],
)
def test_a_generated_build_leaves_out_what_would_overwrite_it(tree: Tree, left_out: set[str]) -> None:
    assert left_out <= set(planned(tree).ignore)


def test_nothing_detected_names_what_was_looked_for() -> None:
    failure = refused({"README.md": "", "src/main.swift": "", "Package.swift": ""})
    assert failure.code is FailureCode.NOTHING_DETECTED
    for word in (
        "Dockerfile",
        "requirements.txt",
        "package.json",
        "index.html",
        "README.md",
        "src/",
        "Package.swift",
    ):
        assert word in failure.hint


def test_a_long_listing_is_cut() -> None:
    failure = refused({f"file{number:02}": "" for number in range(30)})
    assert "and 10 more" in failure.hint and "file29" not in failure.hint


def test_a_root_directory_hides_the_rest_of_the_repository() -> None:
    tree = {
        "Dockerfile": "FROM x",
        "web/app.py": FLASK,
        "web/requirements.txt": "gunicorn",
        "website/index.html": "",
    }
    plan = planned(tree, root_directory="web")
    assert plan.runtime == "python"
    assert command(plan).endswith("app:app")


def test_a_root_directory_that_is_not_there_is_explained() -> None:
    failure = refused({"web/index.html": "", "README": ""}, root_directory="wob")
    assert failure.code is FailureCode.NOTHING_DETECTED
    assert "wob" in failure.message and "web/" in failure.hint


def test_generated_dockerfiles_run_as_app_on_the_given_port() -> None:
    trees: list[Tree] = [
        {"requirements.txt": "gunicorn", "app.py": FLASK},
        {"package.json": EXPRESS, "server.js": ""},
    ]
    for tree in trees:
        plan = planned(tree, port=5000)
        assert plan.generated is not None and plan.dockerfile == ".stackyn/Dockerfile" and plan.port == 5000
        lines = plan.generated.splitlines()
        assert "USER app" in lines and "ENV PORT=5000" in lines and "EXPOSE 5000" in lines


@pytest.mark.parametrize(
    "path", ["Dockerfile", "requirements.txt", "pyproject.toml", "package.json", "app.py", "Procfile"]
)
def test_bytes_that_are_no_text_do_not_break_detection(path: str) -> None:
    tree = {"requirements.txt": "flask", "app.py": FLASK, path: "\x00\ufffd\x7fELF" * 50}
    with suppress(DeploymentFailed):
        planned(tree)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"Package.swift": ""}, ("Swift", "Package.swift")),
        ({"src/a.hs": "", "src/b.hs": "", "c.py": ""}, ("mostly Haskell",)),
        (
            {"web/package.json": STARTED, "db/package.json": "{}"},
            ("directory to web, if", "says how to build"),
        ),
        (
            {"package.json": "{}", "web/package.json": STARTED},
            ("directory to web, if", "Node", "`start` script"),
        ),
        ({"requirements.txt": "", "x/a/Dockerfile": "FROM a"}, ("directory to x/a, if", "Python")),
        ({"web/package.json": "{}", "web/src/index.html": ""}, ("look like projects: web.",)),
        ({"docker-compose.yml": "services:\n  db:\n    image: postgres\n"}, ("db (image postgres)",)),
        ({"app/index.html": ""}, ("directory to app, if",)),
        ({"home.html": "", "about.html": ""}, ("about.html, home.html", "called index.html")),
    ],
)
def test_nothing_detected_says_what_it_saw_and_what_would_do(tree: Tree, words: tuple[str, ...]) -> None:
    failure = refused(tree)
    assert all(word in f"{failure.message} {failure.hint}" for word in words), failure


def test_folders_that_would_do_are_named_from_the_top() -> None:
    tree = {"apps/README.md": "", "apps/web/package.json": STARTED}
    assert "directory to apps/web, if" in refused(tree, root_directory="apps").hint


def test_an_invalid_setting_does_not_suggest_folders() -> None:
    tree = {"stackyn.toml": "colour = 1\n", "web/package.json": STARTED}
    assert "root directory to" not in refused(tree).hint


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"Package.json": "{}", "index.js": ""}, "`Package.json` is not read: it has to be called `package.json`."),
        ({"index.htm": ""}, "`index.htm` is not read: it has to be called `index.html`."),
        ({"Requirements.txt": "boto3", "app.py": "import boto3, flask\napp = flask.Flask('x')"}, "`Requirements.txt`"),
        ({"Dockerfile.prod": "FROM x", "deploy/web.Dockerfile": ""}, "Dockerfile.prod or deploy/web.Dockerfile"),
        ({"a/go.mod": "module a", "a/main.go": "package main", "go.mod": "module b", "b.go": "package b"},
         "Set the root directory to a, "),
        ({"docs/mkdocs.yml": "", "docs/docs/index.md": ""}, "Set the root directory to docs, "),
        ({}, "Commit the files of the app"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_is_meant_by_another_name_or_folder(tree: Tree, words: str) -> None:
    assert words in refused(tree).hint


def test_a_wrong_name_is_told_where_the_plan_does_without() -> None:
    plan = planned({"index.html": "", "stackyn.TOML": ""})
    assert plan.reasons[-1] == "`stackyn.TOML` is not read: it has to be called `stackyn.toml`."


def test_the_description_for_buildpacks_has_its_right_name() -> None:
    """Julia's Project.toml is another file."""
    assert not any(
        "is not read" in reason for reason in planned({"index.html": "", "project.toml": ""}).reasons
    )


@pytest.mark.parametrize("folder", [".devcontainer", ".github/x", "app/templates", "node_modules/a"])
def test_a_folder_that_is_part_of_another_project_is_not_named(folder: str) -> None:
    hint = refused({f"{folder}/index.html": "", f"{folder}/x/y/z/index.html": "", "README.md": ""}).hint
    assert "Set the root directory to" not in hint


def test_a_dockerfile_that_is_asked_for_and_missing_is_told() -> None:
    failure = refused({"requirements.txt": ""}, use_dockerfile=True)
    assert failure.message == "A Dockerfile is asked for (use_dockerfile), and there is none."


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({".python-version": "# of pyenv\nmyenv\n"}, "`.python-version` says myenv, which is no version"),
        ({".python-version": "3.11"}, None),
        ({".nvmrc": "nonsense"}, None),  # of another runtime
    ],
)
def test_a_version_file_without_a_version_is_mentioned(files: Tree, expected: str | None) -> None:
    reasons = planned({"requirements.txt": "flask", "app.py": FLASK, **files}).reasons
    assert any("which is no version" in reason for reason in reasons) is (expected is not None)
    assert expected is None or any(reason.startswith(expected) for reason in reasons)
