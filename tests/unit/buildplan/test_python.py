"""Python projects: how their packages are installed and what starts them."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.python_manifests import requirement_lines
from stackyn_server.buildplan.toolchains import Tool, Toolchains
from stackyn_server.domain.failures import FailureCode
from tests.unit.buildplan.trees import Tree, command, lines, planned, refused

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
FACTORY = "from flask import Flask\ndef create_app():\n    return Flask('x')\n"
FASTAPI_FACTORY = "import fastapi\ndef create_app(): return fastapi.FastAPI()\n"
STARLETTE = "from starlette.applications import Starlette as S\napi = S()\n"
DJANGO = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
DJANGO_ASGI = DJANGO.replace("wsgi", "asgi")
DJANGO_TREE = {"manage.py": "", "shop/wsgi.py": DJANGO}
STREAMLIT = "exec streamlit run app.py --server.address 0.0.0.0 --server.port $PORT --server.headless true"
EXPORTED = "/tmp/requirements.txt"
POETRY = (
    f"RUN poetry export --only main --output {EXPORTED} --without-urls"
    f" && pip install --no-cache-dir --no-deps -r {EXPORTED}"
)
DECLARED = "[project]\nname='a'\ndependencies=['flask>=3', 'x; python_version > \"3\"']"
UVICORN = "exec uvicorn --host 0.0.0.0 --port $PORT "
GUNICORN = "exec gunicorn --bind 0.0.0.0:$PORT --threads 4 --access-logfile - "


@pytest.mark.parametrize(
    ("requirements", "files", "run"),
    [
        ("flask\ngunicorn", {"app.py": FLASK}, GUNICORN + "app:app"),
        ("Flask==3.1\nGunicorn[gevent]>=20 ; python_version>'3'", {"wsgi.py": FLASK}, GUNICORN + "wsgi:app"),
        ("flask\nwaitress", {"main.py": FLASK}, "exec waitress-serve --listen=0.0.0.0:$PORT main:app"),
        ("flask", {"app.py": FLASK}, "exec flask --app app:app run --host 0.0.0.0 --port $PORT"),
        (
            "flask",
            {"app.py": "import flask as f\nweb: f.Flask = f.Flask('x')"},
            "exec flask --app app:web run --host 0.0.0.0 --port $PORT",
        ),
        ("fastapi\nuvicorn", {"main.py": FASTAPI}, UVICORN + "main:app"),
        ("fastapi[standard]", {"app/main.py": FASTAPI, "app/__init__.py": ""}, UVICORN + "app.main:app"),
        ("fastapi\nhypercorn", {"main.py": FASTAPI}, "exec hypercorn --bind 0.0.0.0:$PORT main:app"),
        ("starlette\nuvicorn", {"asgi.py": STARLETTE}, UVICORN + "asgi:api"),
        ("uvicorn", {"server.py": "async def app(scope, receive, send): ..."}, UVICORN + "server:app"),
        (
            "gunicorn",
            {"wsgi.py": "def application(environ, start_response): ..."},
            GUNICORN + "wsgi:application",
        ),
        ("flask\ngunicorn", {"app.py": FACTORY}, GUNICORN + "'app:create_app()'"),
        (
            "flask\ngunicorn",
            {"wsgi.py": "from shop import create_app\napp = create_app()", "shop/__init__.py": ""},
            GUNICORN + "wsgi:app",
        ),
        ("fastapi\nuvicorn", {"main.py": FASTAPI_FACTORY}, UVICORN + "--factory main:create_app"),
        ("fastapi\nuvicorn", {"src/main.py": FASTAPI}, UVICORN + "main:app"),
        ("flask\ngunicorn", {"main.py": "print('x')", "app.py": FLASK}, GUNICORN + "app:app"),
        (
            "aiohttp",
            {"main.py": "from aiohttp import web\nweb.run_app(web.Application())"},
            "exec python main.py",
        ),
        ("x", {"run.py": "if __name__ == '__main__':\n    serve()"}, "exec python run.py"),
        ("x", {"bakery.py": "print(1)"}, "exec python bakery.py"),
        ("x", {"tool/__main__.py": "serve()", "tool/__init__.py": ""}, "exec python -m tool"),
        ("x", {"app/main.py": "from .a import b\nb()", "app/__init__.py": ""}, "exec python -m app.main"),
        ("fastapi\nuvicorn", {"main.py": "type A = int\n" + FASTAPI}, UVICORN + "main:app"),
        (
            "fastapi\nuvicorn",
            {"src/shop/main.py": FASTAPI, "src/shop/__init__.py": ""},
            UVICORN + "shop.main:app",
        ),
        ("flask\ngunicorn", {"shop/__init__.py": FACTORY}, GUNICORN + "'shop:create_app()'"),
        ("flask\ngunicorn", {"src/shop/__init__.py": FACTORY}, GUNICORN + "'shop:create_app()'"),
        (
            "flask",
            {"shop/__init__.py": FACTORY},
            "exec flask --app 'shop:create_app()' run --host 0.0.0.0 --port $PORT",
        ),
        ("gunicorn", {"wsgi.py": "from shop.web import app as application"}, GUNICORN + "wsgi:application"),
        (
            "dash\ngunicorn",
            {"app.py": "from dash import Dash\napp = Dash(__name__)"},
            GUNICORN + "app:app.server",
        ),
        (
            "python-fasthtml",
            {"main.py": "from fasthtml.common import *\napp, rt = fast_app()\nserve()"},
            UVICORN + "main:app",
        ),
        (
            "streamlit",
            {"streamlit_app.py": "import streamlit as st\nst.title('x')"},
            STREAMLIT.replace("app.py", "streamlit_app.py"),
        ),
        (
            "streamlit",
            {"Home.py": "import streamlit\nstreamlit.title('x')", "pages/a.py": "x()"},
            STREAMLIT.replace("app.py", "Home.py"),
        ),
        (
            "streamlit",
            {"tides.py": "import streamlit as st\nst.title('x')", "main.py": "print(1)"},
            STREAMLIT.replace("app.py", "tides.py"),
        ),
        (
            "gradio",
            {"demo.py": "import gradio as gr\ngr.Interface().launch()"},
            "exec env GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python demo.py",
        ),
        (
            "django\ngunicorn",
            {**DJANGO_TREE, "shop/asgi.py": DJANGO_ASGI},
            GUNICORN + "shop.wsgi:application",
        ),
        ("django\nuvicorn", {**DJANGO_TREE, "shop/asgi.py": DJANGO_ASGI}, UVICORN + "shop.asgi:application"),
        (
            "django\ndaphne\nchannels",
            {**DJANGO_TREE, "shop/asgi.py": DJANGO_ASGI},
            "exec daphne --bind 0.0.0.0 --port $PORT shop.asgi:application",
        ),
        (
            "django\ngunicorn",
            {"web/manage.py": "", "web/shop/wsgi.py": DJANGO},
            GUNICORN + "shop.wsgi:application",
        ),
        ("streamlit", {"app.py": "import streamlit as st\nst.title('x')"}, STREAMLIT),
        ("django\ngunicorn", {"manage.py": "", "shop/wsgi.py": DJANGO}, GUNICORN + "shop.wsgi:application"),
        ("django", DJANGO_TREE, GUNICORN + "shop.wsgi:application"),
        ("django", {"manage.py": "x", "shop/urls.py": ""}, "exec python manage.py runserver 0.0.0.0:$PORT"),
        (
            "flask",
            {"app.py": FLASK, "Procfile": "worker: x\nweb:  gunicorn app:app -b :$PORT \n"},
            "exec gunicorn app:app -b :$PORT",
        ),
    ],
)
def test_the_start_command_comes_from_what_the_source_says(requirements: str, files: Tree, run: str) -> None:
    plan = planned({"requirements.txt": requirements, **files})
    assert (plan.runtime, command(plan)) == ("python", run)


def test_the_start_command_of_the_app_wins() -> None:
    tree = {"requirements.txt": "flask", "app.py": FLASK, "Procfile": "web: x"}
    assert command(planned(tree, start_command="python -m shop")) == "exec python -m shop"


def test_an_asgi_app_without_a_server_gets_one_and_is_told() -> None:
    plan = planned({"requirements.txt": "fastapi", "main.py": FASTAPI})
    assert plan.generated is not None
    installs = [line for line in plan.generated.splitlines() if "pip install" in line]
    assert installs[-1] == "RUN pip install --no-cache-dir uvicorn"
    assert any("uvicorn" in reason and "added" in reason for reason in plan.reasons)


@pytest.mark.parametrize(
    ("sources", "target", "search_path"),
    [
        ({"shop/app.py": FASTAPI}, "shop.app:app", "/app"),
        ({"app/api/main.py": FASTAPI}, "app.api.main:app", "/app"),
        ({"src/shop/app.py": FASTAPI}, "shop.app:app", "/app/src"),
        ({"service/server.py": f"import db\n{FASTAPI}", "service/db.py": ""}, "server:app", "/app/service"),
        ({"backend/app/main.py": f"import app.db\n{FASTAPI}"}, "app.main:app", "/app/backend"),
        ({"app/main.py": f"import app.db\n{FASTAPI}", "app/db.py": ""}, "app.main:app", "/app"),
        ({"shop/main.py": FASTAPI, "tools/deep/main.py": FASTAPI}, "shop.main:app", "/app"),
    ],
)
def test_an_app_in_a_folder_is_found(sources: Tree, target: str, search_path: str) -> None:
    plan = planned({"requirements.txt": "fastapi\nuvicorn", **sources})
    assert command(plan) == f"{UVICORN}{target}"
    assert any(line.startswith(f"ENV PYTHONPATH={search_path}") for line in lines(plan))


@pytest.mark.parametrize(
    "sources",
    [
        {"orders/main.py": FASTAPI, "billing/main.py": FASTAPI},
        {"tools/report/main.py": "print(1)\n"},
        {"tests/deep/app.py": FASTAPI},
    ],
)
def test_what_may_be_another_app_is_not_guessed(sources: Tree) -> None:
    assert refused({"requirements.txt": "fastapi\nuvicorn", **sources})


def test_sanic_is_served_by_uvicorn() -> None:
    tree = {"requirements.txt": "sanic", "server.py": "from sanic import Sanic\napp = Sanic('shop')\n"}
    assert "uvicorn" in command(planned(tree))


def test_a_source_folder_is_put_on_the_path() -> None:
    plan = planned({"requirements.txt": "fastapi\nuvicorn", "src/main.py": FASTAPI})
    assert "ENV PYTHONPATH=/app/src" in (plan.generated or "")


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
def test_requirements_that_name_files_are_installed_when_those_are_there(text: str) -> None:
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


def test_a_project_without_an_entry_says_how_to_name_one() -> None:
    failure = refused({"requirements.txt": "flask", "library/code.py": "x = 1"})
    assert failure.code is FailureCode.NOTHING_DETECTED
    assert "requirements.txt" in failure.message and "Procfile" in failure.hint


def test_source_that_can_not_be_parsed_is_passed_over() -> None:
    tree = {
        "requirements.txt": "flask\ngunicorn",
        "main.py": "print 'python 2'",
        "app.py": FLASK,
        "api.py": "(" * 5000,
    }
    assert command(planned(tree)) == GUNICORN + "app:app"


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


def lines_of(tree: Tree) -> list[str]:
    return (planned(tree).generated or "").splitlines()


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
        {"python": Tool("stackyn/python", ("3.13",), "3.13", has_build_image=True)}, "registry"
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


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({".tool-versions": "uv 0.7.22\n"}, "uv==0.7.22"),
        ({"mise.toml": "[tools]\nuv = '0.7'"}, "'uv==0.7.*'"),
        ({"mise.toml": "[tools]\nuv = 'latest'"}, "'uv>=0.5,<1'"),
        ({"mise.toml": "[tools]\nuv = '0.7 --index-url x'"}, "'uv>=0.5,<1'"),
    ],
)
def test_the_tool_of_the_lock_is_the_version_that_is_asked_for(files: Tree, wanted: str) -> None:
    lines = lines_of({"pyproject.toml": DECLARED, "uv.lock": "", "main.py": FLASK, **files})
    assert any(f"install --no-cache-dir {wanted} &&" in line for line in lines)


@pytest.mark.parametrize(
    ("requirements", "image"),
    [
        ("Django[argon2]==6.1\n", "3.13"),
        ("django~=6.0,<7\n", "3.13"),
        ("quart>=0.23\ndjango==5.2\n", "3.13"),
        ("django>=5\n", "3.11"),
        ("django==6.0\npsycopg2-binary==2.9.3\n", "3.10"),  # which can't be had together
    ],
)
def test_the_python_is_new_enough_for_the_packages(requirements: str, image: str) -> None:
    catalogue = Toolchains({"python": Tool("stackyn/python", ("3.10", "3.11", "3.12", "3.13"), "3.11")})
    plan = planned({"requirements.txt": requirements, "app.py": FLASK}, toolchains=catalogue)
    assert f"stackyn/python:{image}" in plan.base_images


@pytest.mark.parametrize(
    ("requirements", "image"),
    [
        ("flask==2.0\npsycopg2-binary==2.9.3\n", "3.10"),
        ("psycopg2-binary==2.9.5\n", "3.11"),
        ("numpy==1.19.5 --hash=sha256:00\npsycopg2-binary==2.9.3\n", "3.9"),
        ("numpy==1.19.5; python_version < '3.9'\n", "3.13"),
        ("numpy>=1.19.5\n", "3.13"),
        ("numpy==1.0\n", "3.13"),  # none so old is here
        ("unknown==0.1\n", "3.13"),
        ("Django[argon2]==6.1\n", "3.13"),
    ],
)
def test_the_python_is_one_that_what_is_pinned_has_wheels_for(requirements: str, image: str) -> None:
    lines = ("3.9", "3.10", "3.11", "3.13")
    catalogue = Toolchains({"python": Tool("stackyn/python", lines, "3.13")})
    tree = {"requirements.txt": requirements, "app.py": FLASK}
    plan = planned(tree, toolchains=catalogue)
    assert plan.base_images == (f"stackyn/python:{image}",)
    # What is asked for more narrowly wins.
    plan = planned({**tree, ".python-version": "3.11"}, toolchains=catalogue)
    assert plan.base_images == ("stackyn/python:3.11",)


@pytest.mark.parametrize(
    ("files", "image"),
    [
        ({".python-version": "3.13.1\n"}, "3.13"),
        ({"runtime.txt": "python-3.11.9"}, "3.11"),
        ({".tool-versions": "python 3.14.0"}, "3.14"),
        ({"mise.toml": "[tools]\npython='3.11'", ".python-version": "3.14"}, "3.11"),
        ({"pyproject.toml": "[project]\nname='a'\nrequires-python='>=3.14'"}, "3.14"),
        ({"pyproject.toml": "[tool.poetry.dependencies]\npython='~3.11'"}, "3.11"),
        ({"Pipfile": "[requires]\npython_version='3.11'"}, "3.11"),
        ({".python-version": "3.11", "pyproject.toml": "[project]\nrequires-python='>=3.14'"}, "3.11"),
        ({}, "3.13"),
    ],
)
def test_the_python_that_the_project_asks_for_is_taken(files: Tree, image: str) -> None:
    catalogue = Toolchains({"python": Tool("stackyn/python", ("3.11", "3.13", "3.14"), "3.13")})
    plan = planned({"requirements.txt": "flask", "app.py": FLASK, **files}, toolchains=catalogue)
    assert plan.base_images == (f"stackyn/python:{image}",)


def test_a_python_that_is_not_here_is_refused_before_anything_else() -> None:
    tree = {".python-version": "3.12\n", "pyproject.toml": "[project]\nname='a'", "main.py": "type A = int\n"}
    failure = refused(tree)
    assert failure.code is FailureCode.VERSION_UNAVAILABLE
    assert "3.12" in failure.message and "3.11" in failure.message


def test_setuptools_is_there_for_the_pythons_that_came_with_it() -> None:
    tree = {"requirements.txt": "flask", "app.py": FLASK}
    newer = Toolchains({"python": Tool("stackyn/python", ("3.13",), "3.13")})
    assert any("setuptools" in line for line in lines_of(tree))
    assert "setuptools" not in (planned(tree, toolchains=newer).generated or "")


@pytest.mark.parametrize(
    ("settings", "is_collected"),
    [
        ("INSTALLED_APPS = ['django.contrib.staticfiles']\nSTATIC_ROOT = 'x'\n", True),
        ("INSTALLED_APPS = ['django.contrib.staticfiles']\n# STATIC_ROOT = 'x'\n", False),
        ("STATIC_ROOT = 'x'\n", False),
    ],
)
def test_static_files_are_collected_where_the_settings_say_where_to(
    settings: str, is_collected: bool
) -> None:
    for base in ("", "web/"):
        tree = {f"{base}manage.py": "", f"{base}shop/settings.py": settings, f"{base}shop/wsgi.py": DJANGO}
        found = [line for line in lines_of({"requirements.txt": "django", **tree}) if "collectstatic" in line]
        assert len(found) == is_collected
        assert all(f"python {base}manage.py collectstatic --noinput" in line for line in found)


def test_the_root_is_on_the_path() -> None:
    assert "ENV PYTHONPATH=/app" in lines_of({"requirements.txt": "", "app.py": FLASK})
    tree = {"requirements.txt": "django", "web/manage.py": "", "web/shop/wsgi.py": DJANGO}
    assert "ENV PYTHONPATH=/app/web:/app" in lines_of(tree)


def test_the_commands_of_the_owner_install_and_build() -> None:
    tree = {"requirements.txt": "flask", "app.py": FLASK}
    plan = planned(tree, install_command="make packages", build_command="make pages")
    lines = (plan.generated or "").splitlines()
    assert (
        lines.index("COPY --chown=app:app . .")
        < lines.index("RUN make packages")
        < lines.index("RUN make pages")
    )
    assert not any("requirements.txt" in line for line in lines)


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


def test_a_web_application_whose_packages_no_file_names_is_refused() -> None:
    source = "import os, helper, boto3, streamlit as st\nst.title('x')\n"
    failure = refused({"dashboard.py": source, "helper.py": ""})
    assert failure.message.startswith("`dashboard.py` imports boto3, and no file names the packages")
    assert "requirements.txt" in failure.hint


def test_packages_in_the_repository_need_no_manifest() -> None:
    tree = {"app.py": "from bottle import Bottle\napp = Bottle()\n", "bottle.py": ""}
    assert command(planned(tree)).endswith("app:app")


@pytest.mark.parametrize("folder", ["backend", "services/api", "my app"])
def test_an_app_with_its_own_manifest_in_a_folder_is_not_one_of_the_root(folder: str) -> None:
    tree = {
        f"{folder}/requirements.txt": "flask",
        f"{folder}/app.py": FLASK,
        "web/package.json": '{"scripts": {"start": "node a.js"}}',
    }
    hint = refused(tree).hint
    assert "Set the root directory to " in hint
    assert folder in hint


def test_a_member_of_a_workspace_is_installed_from_the_root_of_it() -> None:
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


def test_packages_that_poetry_names_beside_a_project_table_are_installed() -> None:
    poetry = "[project]\nname='a'\ndynamic=['dependencies']\n[tool.poetry]\npackage-mode=false\n"
    tree = {
        "pyproject.toml": f"{poetry}[tool.poetry.dependencies]\nflask='3.1.0'\n[build-system]\n",
        "app.py": FLASK,
    }
    assert "RUN pip install --no-cache-dir 'flask>=3.1.0,<3.1.1'" in lines_of(tree)


CHANNELS = """
from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application
django_asgi_app = get_asgi_application()
application = ProtocolTypeRouter({"http": django_asgi_app})
"""


@pytest.mark.parametrize(
    ("packages", "source", "run"),
    [
        ("django\nchannels\ndaphne", {"manage.py": "", "s/asgi.py": CHANNELS, "s/wsgi.py": DJANGO},
         "exec daphne --bind 0.0.0.0 --port $PORT s.asgi:application"),
        ("fastapi\nuvicorn\npython-socketio",
         {"main.py": "import socketio\nfrom fastapi import FastAPI\nweb = FastAPI()\n"
                     "app = socketio.ASGIApp(socketio.AsyncServer(), other_asgi_app=web)\n"}, UVICORN + "main:app"),
        ("flask\ngunicorn", {"app.py": f"{FLASK}from flask_restful import Api\napi = Api(app)\n"},
         GUNICORN + "app:app"),
        ("flask\ngunicorn", {"app.py": "import flask, x\nweb = flask.Flask('a')\napp = x.Proxy(web, 1)\n"},
         GUNICORN + "app:app"),
        ("flask\ngunicorn", {"app.py": "import flask, x\nweb = flask.Flask('a')\nserver = x.Server(web)\n"},
         GUNICORN + "app:web"),
    ],
)  # fmt: skip
def test_what_is_put_around_an_application_is_served(packages: str, source: Tree, run: str) -> None:
    assert command(planned({"requirements.txt": packages, **source})) == run
