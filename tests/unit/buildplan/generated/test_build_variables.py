"""Variables in generated Dockerfiles: which steps get them, and how it looks in the log."""

from __future__ import annotations

import json

import pytest

from stackyn_server.buildplan.generated.build_variables import with_variables, without_variables
from tests.unit.buildplan.trees import EVERYTHING, Tree, planned

TEXT = """# Made by us.
FROM stackyn/node:22 AS build
RUN stackyn-settle packages git
USER app
COPY . .
RUN --mount=type=cache,id=npm,target=/cache npm ci
RUN npm run build

FROM stackyn/static:1
COPY --from=build /app/dist/ /srv/site/
"""
TOLD = """# Made by us.
FROM stackyn/node:22 AS build
RUN stackyn-settle packages git
USER app
COPY . .
ARG STACKYN_VARIABLES=abc
RUN \\
    --mount=type=secret,env=A,id=A \\
    --mount=type=secret,env=B_2,id=B_2 \\
    --mount=type=cache,id=npm,target=/cache npm ci
RUN \\
    --mount=type=secret,env=A,id=A \\
    --mount=type=secret,env=B_2,id=B_2 \\
    npm run build

FROM stackyn/static:1
COPY --from=build /app/dist/ /srv/site/
"""


def test_steps_of_the_app_get_variables_and_packages_do_not() -> None:
    assert with_variables(TEXT, ("A", "B_2"), "abc") == TOLD


PROJECTS: dict[str, Tree] = {
    "python": {"requirements.txt": "flask\n", "app.py": "from flask import Flask\napp = Flask(__name__)\n"},
    "node": {
        "package.json": json.dumps({"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}})
    },
    "go": {"go.mod": "module a\ngo 1.24\n", "main.go": "package main\nfunc main() {}\n"},
    "ruby": {"Gemfile": "gem 'sinatra'\n", "config.ru": "run App\n"},
    "php": {"composer.json": '{"require": {"a/b": "1"}}', "index.php": "<?php\n"},
    "hugo": {"hugo.toml": "title = 'x'\n", "content/a.md": "# A\n"},
}


@pytest.mark.parametrize("kind", PROJECTS)
def test_installation_and_build_of_every_runtime_get_them(kind: str) -> None:
    generated = planned(PROJECTS[kind], toolchains=EVERYTHING).generated
    assert generated is not None
    steps = with_variables(generated, ["KEY"], "abc").split("\nRUN ")[1:]
    own = [step for step in steps if any(word in step for word in ("install", "ci ", "build", "hugo"))]

    assert own and all("env=KEY,id=KEY" in step for step in own if "venv" not in step)


def test_a_dockerfile_without_steps_stays_as_it_is() -> None:
    site = planned({"index.html": "<p>"}).generated
    assert site is not None
    assert with_variables(site, ["KEY"], "abc") == site


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("[build 4/5] RUN --mount=type=secret,env=A,id=A --mount=type=secret,env=B,id=B npm ci",
         "[build 4/5] RUN npm ci"),
        ("  11 | >>>     --mount=type=secret,env=A,id=A \\", ""),
        ("  10 | >>> RUN \\", "  10 | >>> RUN \\"),
        ("[2/2] RUN --mount=type=secret,id=A,env=A npm ci", "[2/2] RUN --mount=type=secret,id=A,env=A npm ci"),
    ],
)  # fmt: skip
def test_log_lines_leave_out_mounts_that_are_ours(line: str, shown: str) -> None:
    assert without_variables(line) == shown
