"""Python projects: how their packages are installed and what starts them."""

from __future__ import annotations

import pytest

from stackyn_server.buildplan.python_dependencies import requirement_lines
from stackyn_server.domain.failures import FailureCode
from tests.unit.buildplan.trees import Tree, command, planned, refused

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FASTAPI = "from fastapi import FastAPI\napp = FastAPI()\n"
FACTORY = "from flask import Flask\ndef create_app():\n    return Flask('x')\n"
FASTAPI_FACTORY = "import fastapi\ndef create_app(): return fastapi.FastAPI()\n"
STARLETTE = "from starlette.applications import Starlette as S\napi = S()\n"
DJANGO = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
STREAMLIT = "exec streamlit run app.py --server.address 0.0.0.0 --server.port $PORT --server.headless true"
POETRY = "RUN poetry install --only main --no-root --no-interaction --no-cache"
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
        ("streamlit", {"app.py": "import streamlit as st\nst.title('x')"}, STREAMLIT),
        ("django\ngunicorn", {"manage.py": "", "shop/wsgi.py": DJANGO}, GUNICORN + "shop.wsgi:application"),
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
    assert tool < lines.index("ENV PIP_PYTHON=/opt/venv/bin/python") < lines.index("COPY --chown=app:app . .")


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
