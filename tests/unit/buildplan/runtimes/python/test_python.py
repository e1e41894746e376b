"""Python projects: what starts them."""

from __future__ import annotations

import pytest

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
UVICORN = "exec uvicorn --host 0.0.0.0 --port $PORT "
GUNICORN = "exec gunicorn --bind 0.0.0.0:$PORT --threads 4 --access-logfile - "
CHANNELS = """
from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application
django_asgi_app = get_asgi_application()
application = ProtocolTypeRouter({"http": django_asgi_app})
"""


def lines_of(tree: Tree) -> list[str]:
    return (planned(tree).generated or "").splitlines()


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
        (
            "flask\ngranian",
            {"main.py": FLASK},
            "exec granian --interface wsgi --host 0.0.0.0 --port $PORT main:app",
        ),
        (
            "flask\nuwsgi",
            {"main.py": FLASK},
            "exec uwsgi --http-socket 0.0.0.0:$PORT --master --threads 4 --die-on-term --module main:app",
        ),
        (
            "shiny",
            {"app.py": "from shiny import App, ui\napp = App(ui.page_fluid(), None)"},
            "exec uvicorn --host 0.0.0.0 --port $PORT app:app",
        ),
        (
            "shiny",
            {"app.py": "from shiny.express import ui\nui.h1('hello')"},
            "exec shiny run --host 0.0.0.0 --port $PORT app.py",
        ),
        (
            "marimo",
            {"app.py": "import marimo\napp = marimo.App()\nif __name__ == '__main__':\n    app.run()"},
            "exec marimo run app.py --host 0.0.0.0 --port $PORT --headless --no-token",
        ),
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


@pytest.mark.parametrize(
    ("settings", "is_collected"),
    [
        ("INSTALLED_APPS = ['django.contrib.staticfiles']\nSTATIC_ROOT = 'x'\n", True),
        ("INSTALLED_APPS = ['django.contrib.staticfiles']\n# STATIC_ROOT = 'x'\n", False),
        ("STATIC_ROOT = 'x'\n", False),
    ],
)
def test_static_files_are_collected_when_static_root_is_set(settings: str, is_collected: bool) -> None:
    for base in ("", "web/"):
        tree = {f"{base}manage.py": "", f"{base}shop/settings.py": settings, f"{base}shop/wsgi.py": DJANGO}
        collect_lines = [
            line for line in lines_of({"requirements.txt": "django", **tree}) if "collectstatic" in line
        ]
        assert len(collect_lines) == is_collected
        assert all(f"python {base}manage.py collectstatic --noinput" in line for line in collect_lines)


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


@pytest.mark.parametrize("folder", ["backend", "services/api", "my app"])
def test_an_app_with_a_manifest_in_a_folder_is_not_the_roots(folder: str) -> None:
    tree = {
        f"{folder}/requirements.txt": "flask",
        f"{folder}/app.py": FLASK,
        "web/package.json": '{"scripts": {"start": "node a.js"}}',
    }
    hint = refused(tree).hint
    assert "Set the root directory to " in hint
    assert folder in hint


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


FLASK = "from flask import Flask\napp = Flask(__name__)\n"


@pytest.mark.parametrize("manifest", [{"requirements.txt": "flask"}, {}])
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("from flask import Flask\napp = Flask(__name__\n\ndef a(): pass\n", "app.py, line 2: "),
        ("from flask import Flask\n\n  app = Flask(__name__)\n", "app.py, line 3: unexpected indent"),
    ],
)
def test_a_mistake_in_the_source_is_shown_with_its_line(manifest: Tree, source: str, message: str) -> None:
    failure = refused({**manifest, "app.py": source})
    assert failure.message.startswith(message) and "Correct that line" in failure.hint


def test_several_applications_below_are_all_named() -> None:
    failure = refused({"requirements.txt": "flask", "admin/app.py": FLASK, "shop/app.py": FLASK})
    assert "2 web applications" in failure.message
    assert "`admin/app.py`, `shop/app.py`" in failure.message
    assert "web: gunicorn admin.app:app" in failure.hint


def test_a_manifest_without_a_program_keeps_its_language() -> None:
    failure = refused({"pyproject.toml": "[project]\nname = 'a'\nversion = '1'"})
    assert (
        failure.message
        == "This is a project in Python (`pyproject.toml`), but it has no program that can be started."
    )
