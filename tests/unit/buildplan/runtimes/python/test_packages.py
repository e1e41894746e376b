"""Python projects: how their packages are installed."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.runtimes.python.manifests import requirement_lines
from stackyn_server.buildplan.versions.toolchains import ToolBaseImages, Toolchains
from stackyn_server.domain.failures import FailureCode
from tests.unit.buildplan.trees import Tree, command, lines, planned, refused

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
EXPORTED = "/tmp/requirements.txt"
POETRY = (
    f"RUN poetry export --only main --output {EXPORTED} --without-urls"
    f" && pip install --no-cache-dir --no-deps -r {EXPORTED}"
)
DECLARED = "[project]\nname='a'\ndependencies=['flask>=3', 'x; python_version > \"3\"']"
UVICORN = "exec uvicorn --host 0.0.0.0 --port $PORT "
GUNICORN = "exec gunicorn --bind 0.0.0.0:$PORT --threads 4 --access-logfile - "


def lines_of(tree: Tree) -> list[str]:
    return (planned(tree).generated or "").splitlines()


@pytest.mark.parametrize(
    ("manifests", "line"),
    [
        ({"requirements.txt": "flask"}, "RUN pip install --no-cache-dir -r requirements.txt"),
        (
            {"pyproject.toml": "[project]\nname='a'", "uv.lock": ""},
            "RUN uv sync --frozen --no-dev --no-install-project",
        ),
        ({"pyproject.toml": "[tool.poetry]\nname='a'", "poetry.lock": ""}, POETRY),
        ({"pyproject.toml": "[project]\nname='a'", "pdm.lock": ""}, "RUN pdm sync --prod --no-self"),
        ({"pylock.toml": ""}, "RUN uv pip sync pylock.toml"),
        ({"Pipfile": "", "Pipfile.lock": "{}"}, "RUN pipenv sync"),
        (
            {"requirements.txt": "x", "pyproject.toml": "[project]\nname='a'", "uv.lock": ""},
            "RUN uv sync --frozen --no-dev --no-install-project",
        ),
        (
            {"requirements.txt": "x", "pyproject.toml": "[tool.ruff]"},
            "RUN pip install --no-cache-dir -r requirements.txt",
        ),
        (
            {"pyproject.toml": DECLARED},
            "RUN pip install --no-cache-dir 'flask>=3' 'x; python_version > \"3\"'",
        ),
        (
            {"pyproject.toml": "[project]\nname='a'\n[build-system]\nrequires=[]"},
            "RUN pip install --no-cache-dir .",
        ),
        ({"setup.py": ""}, "RUN pip install --no-cache-dir ."),
    ],
)
def test_packages_are_installed_from_the_strictest_manifest(manifests: Tree, line: str) -> None:
    assert line in (planned({**manifests, "app.py": FLASK}).generated or "").splitlines()


@pytest.mark.parametrize(
    "text", ["-r base.txt", "--constraint c.txt\nflask", "-e .", "./lib", "lib @ file:///app/lib"]
)
def test_requirements_that_name_files_are_installed_after_copy(text: str) -> None:
    lines = (planned({"requirements.txt": text, "app.py": FLASK}).generated or "").splitlines()
    assert lines.index("COPY --chown=app:app . .") < lines.index(
        "RUN pip install --no-cache-dir -r requirements.txt"
    )


def test_other_requirements_are_a_layer_of_their_own() -> None:
    lines = (planned({"requirements.txt": "flask", "app.py": FLASK}).generated or "").splitlines()
    assert lines.index("RUN pip install --no-cache-dir -r requirements.txt") < lines.index(
        "COPY --chown=app:app . ."
    )
    assert "COPY --chown=app:app requirements.txt ./" in lines


def test_a_package_with_a_lock_is_installed_itself() -> None:
    manifest = "[project]\nname='my-shop'\n[build-system]\nrequires=['hatchling']"
    tree = {"pyproject.toml": manifest, "uv.lock": "", "src/my_shop/__init__.py": "", "main.py": FLASK}
    assert "RUN uv sync --frozen --no-dev" in (planned(tree).generated or "").splitlines()


def test_a_pyproject_that_is_no_toml_is_explained() -> None:
    failure = refused({"pyproject.toml": "[project\n", "app.py": FLASK})
    assert failure.code is FailureCode.NOTHING_DETECTED
    assert "pyproject.toml is not valid TOML" in failure.message and "line 1" in failure.evidence


@pytest.mark.parametrize(
    "text",
    [
        "project = 1",
        "[tool]\npoetry = 'x'",
        "[project]\ndependencies = 'x'\nname = 3",
        "[project]\ndependencies = [1]",
    ],
)
def test_a_pyproject_of_other_shapes_is_no_error(text: str) -> None:
    assert planned({"pyproject.toml": text, "requirements.txt": "flask", "app.py": FLASK}).runtime == "python"


def test_only_the_apps_own_packages_go_into_its_environment() -> None:
    """A tool installed after PIP_PYTHON is set would land among the app's packages."""
    tree = {"pyproject.toml": "[project]\nname='a'", "uv.lock": "", "main.py": FASTAPI}
    lines = (planned(tree).generated or "").splitlines()
    tool = next(
        number for number, line in enumerate(lines) if "pip --python /opt/uv/bin/python install" in line
    )
    assert (
        tool < lines.index("ENV PIP_PYTHON=/app/.venv/bin/python") < lines.index("COPY --chown=app:app . .")
    )


def test_requirements_are_read_by_lines_as_pip_does() -> None:
    text = (
        "# a\n  flask==3 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n\n-r more.txt\nb\\\n# no\\\nc\nd\\"
    )
    assert requirement_lines(text) == [
        "flask==3     --hash=sha256:1     --hash=sha256:2",
        "-r more.txt",
        "b",
        "c",
        "d",
    ]


@pytest.mark.parametrize(
    ("manifests", "line"),
    [
        ({"Pipfile": "[packages]\nflask='*'"}, "RUN pipenv lock && pipenv sync"),
        ({"pyproject.toml": "[tool.poetry.dependencies]\nflask='^3.0'"},
         "RUN pip install --no-cache-dir 'flask>=3.0.0,<4.0.0'"),
        ({"requirements.in": "flask"}, "RUN pip install --no-cache-dir -r requirements.in"),
        ({"requirements/base.txt": "", "requirements/production.txt": "-r base.txt"},
         "RUN pip install --no-cache-dir -r requirements/production.txt"),
        ({"setup.py": "", "setup.cfg": ""}, "RUN pip install --no-cache-dir ."),
        ({"setup.cfg": "[options]\ninstall_requires =\n  flask"},
         "RUN touch pyproject.toml && pip install --no-cache-dir ."),
        ({"pyproject.toml": "[project]\nname='a'\ndynamic=['dependencies']"}, "RUN pip install --no-cache-dir ."),
        ({"pyproject.toml": "[project]\nname='a'\ndependencies=['b']\n[tool.uv.sources]\nb={path='b'}"},
         "RUN uv sync --no-dev"),
        ({"pyproject.toml": "[project]\nname='a'\n[tool.uv.workspace]\nmembers=['b']", "uv.lock": ""},
         "RUN uv sync --frozen --no-dev"),
        ({"pyproject.toml": "[project]\nname='a'\n[tool.hatch.envs.default]\ndependencies=['b>1']"},
         "RUN pip install --no-cache-dir 'b>1'"),
    ],
)  # fmt: skip
def test_packages_are_installed_without_a_lock_too(manifests: Tree, line: str) -> None:
    assert line in lines_of({**manifests, "app.py": FLASK})


@pytest.mark.parametrize(
    "text",
    [
        "./vendor/a-1-py3-none-any.whl",
        "vendor/a-1-py3-none-any.whl",
        "-f wheels\na",
        "--no-index\n--find-links=wheels\na",
    ],
)
def test_vendored_wheels_are_there_when_they_are_installed(text: str) -> None:
    lines = lines_of({"requirements.txt": text, "app.py": FLASK})
    assert lines.index("COPY --chown=app:app . .") < lines.index(
        "RUN pip install --no-cache-dir -r requirements.txt"
    )


def test_names_are_read_from_included_requirements() -> None:
    tree = {
        "requirements.txt": "-r requirements/web.txt",
        "requirements/web.txt": "-r ../requirements.txt\ngunicorn",
    }
    assert command(planned({**tree, "app.py": FLASK})) == GUNICORN + "app:app"


def test_conda_is_refused_with_the_way_out() -> None:
    failure = refused({"environment.yml": "dependencies: [flask]", "app.py": FLASK})
    assert failure.code is FailureCode.NOTHING_DETECTED
    assert "conda" in failure.message and "requirements.txt" in failure.hint


def test_a_server_that_only_the_command_names_is_added() -> None:
    tree = {"requirements.txt": "flask", "app.py": FLASK, "Procfile": "web: gunicorn app:app"}
    assert "RUN pip install --no-cache-dir gunicorn" in lines_of(tree)
    assert "RUN pip install --no-cache-dir gunicorn" not in lines_of({**tree, "requirements.txt": "gunicorn"})


@pytest.mark.parametrize(
    ("requirements", "build", "run"),
    [
        ("psycopg2==2.9.9", "build-essential libpq-dev pkg-config python3.11-dev", "libpq5"),
        (
            "mysqlclient",
            "build-essential default-libmysqlclient-dev pkg-config python3.11-dev",
            "libmariadb3",
        ),
        ("uwsgi", "build-essential pkg-config python3.11-dev", "libpython3.11"),
        ("psycopg", "", "libpq5"),
        ("psycopg[binary]", "", ""),
        ("psycopg2-binary", "", ""),
        ("psycopg2-binary==2.9.5", "", ""),
        ("psycopg2-binary==2.9.3", "build-essential libpq-dev pkg-config python3.11-dev", "libpq5"),
        ("greenlet==1.1.0", "build-essential pkg-config python3.11-dev", ""),
        ("psycopg[c]", "build-essential libpq-dev pkg-config python3.11-dev", "libpq5"),
        ("a @ git+https://host.test/a.git", "ca-certificates git", ""),
    ],
)
def test_compilers_are_there_only_while_building(requirements: str, build: str, run: str) -> None:
    lines = lines_of({"requirements.txt": requirements, "app.py": FLASK})
    assert [
        line.removeprefix("RUN stackyn-settle packages ") for line in lines if "stackyn-settle" in line
    ] == [text for text in (build, run) if text]
    stages = [line for line in lines if line.startswith("FROM")]
    assert stages == ["FROM stackyn/python:3.11 AS build"] * bool(build) + ["FROM stackyn/python:3.11"]
    assert ("COPY --from=build --chown=app:app /app/.venv /app/.venv" in lines) is bool(build)


def test_an_image_with_compilers_is_used_where_there_is_one() -> None:
    catalogue = Toolchains(
        {"python": ToolBaseImages("stackyn/python", ("3.13",), "3.13", has_build_image=True)}, "registry"
    )
    plan = planned({"requirements.txt": "psycopg2", "app.py": FLASK}, toolchains=catalogue)
    assert plan.base_images == ("stackyn/python:3.13-build", "stackyn/python:3.13")
    lines = (plan.generated or "").splitlines()
    assert "FROM stackyn/python:3.13-build AS build" in lines
    assert [line for line in lines if "stackyn-settle" in line] == ["RUN stackyn-settle packages libpq5"]


def test_a_launcher_that_no_manifest_has_is_added() -> None:
    tree = {"hello.py": "import streamlit as st\nst.title('x')\n"}
    assert any(line.startswith("RUN pip install --no-cache-dir streamlit") for line in lines_of(tree))
    assert not any(
        "dir streamlit" in line for line in lines_of({**tree, "requirements.txt": "Streamlit==1.50\n"})
    )


def test_setuptools_is_there_for_the_pythons_that_came_with_it() -> None:
    tree = {"requirements.txt": "flask", "app.py": FLASK}
    newer = Toolchains({"python": ToolBaseImages("stackyn/python", ("3.13",), "3.13")})
    assert any("setuptools" in line for line in lines_of(tree))
    assert "setuptools" not in (planned(tree, toolchains=newer).generated or "")


@pytest.mark.parametrize(
    ("tree", "added"),
    [
        ({"app.py": FLASK}, "flask"),
        ({"app.py": FLASK, "index.html": ""}, "flask"),
        ({"api/main.py": FASTAPI}, "fastapi uvicorn"),
        ({"main.py": "from fasthtml.common import *\napp, rt = fast_app()\n"}, "python-fasthtml uvicorn"),
    ],
)  # fmt: skip
def test_the_framework_that_no_manifest_has_is_added(tree: Tree, added: str) -> None:
    assert f"RUN pip install --no-cache-dir {added}" in lines_of(tree)


def test_a_web_application_without_a_manifest_is_refused() -> None:
    source = "import os, helper, boto3, streamlit as st\nst.title('x')\n"
    failure = refused({"dashboard.py": source, "helper.py": ""})
    assert failure.message.startswith("`dashboard.py` imports boto3, and no file names the packages")
    assert "requirements.txt" in failure.hint


def test_packages_in_the_repository_need_no_manifest() -> None:
    tree = {"app.py": "from bottle import Bottle\napp = Bottle()\n", "bottle.py": ""}
    assert command(planned(tree)).endswith("app:app")


def test_a_workspace_member_is_installed_from_the_root() -> None:
    member = "[project]\nname='shop-api'\nversion='1'\ndependencies=['fastapi', 'uvicorn', 'core']\n"
    tree = {
        "py/pyproject.toml": "[tool.uv.workspace]\nmembers=['packages/*']\nexclude=['packages/old']\n",
        "py/uv.lock": "",
        "py/packages/api/pyproject.toml": f"{member}[tool.uv.sources]\ncore={{workspace=true}}\n",
        "py/packages/api/src/shop/main.py": FASTAPI,
        "py/packages/old/pyproject.toml": member,
        "py/packages/old/main.py": FASTAPI,
    }
    plan = planned(tree, root_directory="py/packages/api")
    assert plan.root == "py"
    assert "RUN uv sync --frozen --no-dev --package shop-api" in lines(plan)
    assert lines(plan).index("WORKDIR /app/packages/api") > lines(plan).index("COPY --chown=app:app . .")
    assert "ENV PYTHONPATH=/app/packages/api/src:/app/packages/api" in lines(plan)
    assert command(plan) == UVICORN + "shop.main:app"
    assert planned(tree, root_directory="py/packages/old").root is None
    unlocked = {path: text for path, text in tree.items() if not path.endswith(".lock")}
    assert "RUN uv sync --no-dev --package shop-api" in lines(
        planned(unlocked, root_directory="py/packages/api")
    )


def test_poetry_packages_beside_a_project_table_are_installed() -> None:
    poetry = "[project]\nname='a'\ndynamic=['dependencies']\n[tool.poetry]\npackage-mode=false\n"
    tree = {
        "pyproject.toml": f"{poetry}[tool.poetry.dependencies]\nflask='3.1.0'\n[build-system]\n",
        "app.py": FLASK,
    }
    assert "RUN pip install --no-cache-dir 'flask>=3.1.0,<3.1.1'" in lines_of(tree)
