"""Finds what starts a Python app: the owner's command, or a server for the entry in its source."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.python import django
from stackyn_server.buildplan.runtimes.python.application import AppInterface
from stackyn_server.buildplan.runtimes.python.entry import MANAGE, PythonEntry, find_entries, manage_folder
from stackyn_server.buildplan.runtimes.python.manifests import Manifests
from stackyn_server.buildplan.settings.start_command import configured_command

_BIND = "0.0.0.0:$PORT"
_GUNICORN = f"gunicorn --bind {_BIND} --threads 4 --access-logfile -"
# (package, command) in the order of preference; an ASGI app can't be served by the WSGI ones, nor the reverse.
_SERVERS = {
    AppInterface.WSGI: (
        ("gunicorn", _GUNICORN),
        ("waitress", f"waitress-serve --listen={_BIND}"),
        ("granian", "granian --interface wsgi --host 0.0.0.0 --port $PORT"),
        ("uwsgi", f"uwsgi --http-socket {_BIND} --master --threads 4 --die-on-term --module"),
        ("pyuwsgi", f"uwsgi --http-socket {_BIND} --master --threads 4 --die-on-term --module"),
    ),
    AppInterface.ASGI: (
        ("uvicorn", "uvicorn --host 0.0.0.0 --port $PORT"),
        ("hypercorn", f"hypercorn --bind {_BIND}"),
        ("daphne", "daphne --bind 0.0.0.0 --port $PORT"),
        ("granian", "granian --interface asgi --host 0.0.0.0 --port $PORT"),
    ),
}
# The package of each server that a command may name.
_PROGRAMS = {
    **{name: name for name in ("gunicorn", "uvicorn", "hypercorn", "daphne", "granian", "uwsgi")},
    **{name: name for name in ("streamlit", "chainlit", "shiny", "marimo")},
    "waitress-serve": "waitress",
}
# Packages that install uvicorn: always, or with one of these extras.
_BRING_UVICORN = {
    "python-fasthtml": frozenset[str](),
    "shiny": frozenset[str](),
    "fastapi": frozenset(("standard", "all")),
}
# The packages of web frameworks by the modules that sources import.
PACKAGES = {
    **{
        name: name
        for name in ("bottle", "chainlit", "dash", "django", "falcon", "fastapi", "flask", "gradio", "marimo")
    },
    **{name: name for name in ("litestar", "panel", "quart", "sanic", "shiny", "starlette", "streamlit")},
    "fasthtml": "python-fasthtml",
}
# Frameworks whose own command starts a script.
_LAUNCHERS = {
    "streamlit": "streamlit run {path} --server.address 0.0.0.0 --server.port $PORT --server.headless true",
    "gradio": "env GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python {path}",
    "chainlit": "chainlit run {path} --host 0.0.0.0 --port $PORT --headless",
    "shiny": "shiny run --host 0.0.0.0 --port $PORT {path}",
    "marimo": "marimo run {path} --host 0.0.0.0 --port $PORT --headless --no-token",
    "panel": "panel serve {path} --address 0.0.0.0 --port $PORT --allow-websocket-origin '*'",
}


@dataclass(frozen=True, slots=True)
class PythonStart:
    """The start command. `adds`: packages that it needs and the project lacks. `is_web`: the source is a web app."""

    command: str
    reasons: tuple[str, ...]
    adds: tuple[str, ...] = ()
    search_path: str = ""
    is_web: bool = True


def find_start(project: Project, manifests: Manifests) -> PythonStart | None:
    """Return how the app is started, or None when neither its owner nor its source says."""
    entries = find_entries(project)
    if configured := configured_command(project):
        return _configured_start(*configured, manifests, entries[0].search_path if entries else "")
    entry = _chosen_entry(project, manifests, entries)
    manage = manage_folder(project.files)
    is_django = "django" in manifests.all_names or not manifests.names
    if manage is not None and is_django and (entry is None or entry.framework != "Django"):
        command = f"python {manage}{MANAGE} runserver {_BIND}"
        return PythonStart(command, (_development("Django"),), search_path=manage.rstrip("/"))
    if entry is None:
        return _console_script(manifests)
    if entry.interface is AppInterface.SCRIPT:
        return _script(entry, manifests)
    app_sentence = f"`{entry.path}` makes a {entry.framework or entry.interface.value} app, {entry.variable}."
    for package, command in _SERVERS[entry.interface]:
        if _has(manifests, package):
            reasons = (app_sentence, f"{package} serves it.")
            return PythonStart(_serve(package, command, entry), reasons, search_path=entry.search_path)
    if entry.framework == "Flask":
        target = shlex.quote(f"{entry.target}()" if entry.is_factory else entry.target)
        command = f"flask --app {target} run --host 0.0.0.0 --port $PORT"
        return PythonStart(command, (app_sentence, _development("Flask")), search_path=entry.search_path)
    package, command = _SERVERS[entry.interface][0]
    added = f"{package} serves it: it is added, because the packages have no server. Add it to them to pin its version."
    return PythonStart(_serve(package, command, entry), (app_sentence, added), (package,), entry.search_path)


def _configured_start(command: str, reason: str, manifests: Manifests, search_path: str) -> PythonStart:
    """Return the owner's command, with the server that it names added when no manifest has it."""
    programs = (word.rpartition("/")[2] for word in command.split())
    servers = dict.fromkeys(_PROGRAMS[program] for program in programs if program in _PROGRAMS)
    missing = tuple(package for package in servers if not _has(manifests, package))
    added = (f"The command names {package}, which no manifest has: it is added." for package in missing)
    return PythonStart(command, (reason, *added), missing, search_path)


def _chosen_entry(project: Project, manifests: Manifests, entries: list[PythonEntry]) -> PythonEntry | None:
    """Return the first entry; of Django's WSGI and ASGI entries the one whose server is installed."""
    if not entries or entries[0].framework != "Django":
        return entries[0] if entries else None
    served = [
        interface
        for interface, servers in _SERVERS.items()
        if any(_has(manifests, package) for package, _ in servers)
    ]
    if len(served) == 1:
        interface = served[0]
    else:
        wants_asgi = "channels" in manifests.names or django.prefers_asgi(project)
        interface = AppInterface.ASGI if wants_asgi else AppInterface.WSGI
    django_entries = [entry for entry in entries if entry.framework == "Django"]
    return next((entry for entry in django_entries if entry.interface is interface), django_entries[0])


def _has(manifests: Manifests, package: str) -> bool:
    if package in manifests.names:
        return True
    if package != "uvicorn":
        return False
    brought = (
        (extras, manifests.names[name]) for name, extras in _BRING_UVICORN.items() if name in manifests.names
    )
    return any(not extras or extras & requested_extras for extras, requested_extras in brought)


def _serve(package: str, command: str, entry: PythonEntry) -> str:
    if not entry.is_factory:
        return f"{command} {shlex.quote(entry.target)}"
    if package in ("uvicorn", "granian"):
        return f"{command} --factory {entry.target}"
    return f"{command} '{entry.target}()'"


def _script(entry: PythonEntry, manifests: Manifests) -> PythonStart:
    for package, command in _LAUNCHERS.items():
        if package in entry.imports:
            app_sentence = f"`{entry.path}` is a {package} app."
            command = command.format(path=shlex.quote(entry.path))
            if _has(manifests, package):
                return PythonStart(command, (app_sentence,))
            added = f"{package} is added, because no manifest has it."
            return PythonStart(command, (app_sentence, added), (package,))
    reason = f"`{entry.path}` is run; it has to listen on the port in PORT, on all addresses."
    command = f"python -m {entry.module}" if entry.is_module else f"python {shlex.quote(entry.path)}"
    return PythonStart(command, (reason,), search_path=entry.search_path, is_web=False)


def _console_script(manifests: Manifests) -> PythonStart | None:
    """Return the one command that the project's package installs."""
    scripts = [*manifests.table("project", "scripts"), *manifests.table("tool", "poetry", "scripts")]
    if len(scripts) != 1 or "build-system" not in manifests.pyproject:
        return None
    reason = f"The project's package has one command, {scripts[0]}; it has to listen on the port in PORT."
    return PythonStart(shlex.quote(scripts[0]), (reason,), is_web=False)


def _development(framework: str) -> str:
    return f"{framework}'s own development server serves it, because the packages have no server: add gunicorn to them."
