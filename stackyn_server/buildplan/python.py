"""Python: packages from a lock, requirements.txt or pyproject.toml; the entry from the owner's words or the source."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stackyn_server.buildplan import python_entry
from stackyn_server.buildplan.commands import PROCFILE, as_cmd, given_command
from stackyn_server.buildplan.outcome import GENERATED_DOCKERFILE, BuildPlan
from stackyn_server.buildplan.project import PlanOptions, Project, Runtime, undetected
from stackyn_server.buildplan.python_dependencies import MANIFESTS, VENV, Dependencies, read_dependencies
from stackyn_server.buildplan.python_entry import MANAGE, Entry, Kind

IGNORED = ("**/.venv", "**/venv", "**/__pycache__", "**/*.pyc")
_BIND = "0.0.0.0:$PORT"
_NODE_PROGRAMS = ("node", "npm", "npx", "yarn", "pnpm")
# (package, command) in the order of preference; an ASGI app can't be served by the WSGI ones, nor the reverse.
_GUNICORN = f"gunicorn --bind {_BIND} --threads 4 --access-logfile -"
_SERVERS = {
    Kind.WSGI: (("gunicorn", _GUNICORN), ("waitress", f"waitress-serve --listen={_BIND}")),
    Kind.ASGI: (
        ("uvicorn", "uvicorn --host 0.0.0.0 --port $PORT"),
        ("hypercorn", f"hypercorn --bind {_BIND}"),
        ("daphne", "daphne --bind 0.0.0.0 --port $PORT"),
        ("granian", "granian --interface asgi --host 0.0.0.0 --port $PORT"),
    ),
}
# Scripts that are started by their framework's own command.
_LAUNCHERS = {
    "streamlit": "streamlit run {path} --server.address 0.0.0.0 --server.port $PORT --server.headless true",
    "gradio": "env GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=$PORT python {path}",
}


@dataclass(frozen=True, slots=True)
class Start:
    """What is run. `adds` is a package that the project lacks for it."""

    command: str
    reasons: tuple[str, ...]
    adds: str = ""
    search_path: str = ""


def _needs(files: frozenset[str], options: PlanOptions) -> Iterable[str]:
    if any(name in files for name in MANIFESTS) or any(python_entry.candidates(files)):
        return (*MANIFESTS, PROCFILE, *python_entry.candidates(files))
    return ()


def _plan(project: Project) -> BuildPlan | None:
    dependencies = read_dependencies(project)
    start = _start(project, dependencies)
    if dependencies is None and (start is None or not _is_plain_python(project)):
        return None
    if start is None or start.command.split()[0] in _NODE_PROGRAMS:
        if project.has("package.json") or dependencies is None:
            return None
        raise undetected(
            f"This is a Python project ({dependencies.reason.split('`')[1]}), but nothing says how to start it.",
            f"Set the app's start command, add a {PROCFILE} with a line such as `web: gunicorn app:app`, or name the "
            "main file main.py or app.py.",
        )
    first = dependencies.reason if dependencies else "There are Python files, and no packages to install."
    return BuildPlan(
        runtime=RUNTIME.name,
        reasons=(first, *start.reasons),
        dockerfile=GENERATED_DOCKERFILE,
        generated=_dockerfile(project, dependencies, start),
        port=project.port,
        ignore=IGNORED,
        copies=dependencies.files if dependencies else (),
    )


def _is_plain_python(project: Project) -> bool:
    """True for Python files without a manifest, where nothing says that they are only tools of another project."""
    return any(path.endswith(".py") for path in project.files) and not project.first(
        ("package.json", "index.html")
    )


def _start(project: Project, dependencies: Dependencies | None) -> Start | None:
    entry = python_entry.find_entry(project)
    if given := given_command(project):
        return Start(given[0], (given[1],), search_path=entry.search_path if entry else "")
    if entry is None:
        return (
            Start(f"python {MANAGE} runserver {_BIND}", (_development("Django"),))
            if project.has(MANAGE)
            else None
        )
    if entry.kind is Kind.SCRIPT:
        return _script(entry)
    made = f"`{entry.path}` makes a {entry.framework or entry.kind.value} app, {entry.variable}."
    for package, command in _SERVERS[entry.kind]:
        if _has_server(dependencies, package):
            return Start(
                _serve(package, command, entry), (made, f"{package} serves it."), "", entry.search_path
            )
    if entry.framework == "Flask":
        command = f"flask --app {entry.target}{'()' * entry.is_factory} run --host 0.0.0.0 --port $PORT"
        return Start(command, (made, _development("Flask")), "", entry.search_path)
    package, command = _SERVERS[entry.kind][0]
    added = f"{package} serves it: it is added, because the packages have no server. Add it to them to pin its version."
    return Start(_serve(package, command, entry), (made, added), package, entry.search_path)


def _has_server(dependencies: Dependencies | None, package: str) -> bool:
    if dependencies is None:
        return False
    # FastAPI's usual extras bring uvicorn.
    bundled = package == "uvicorn" and dependencies.names.get("fastapi", frozenset()) & {"standard", "all"}
    return dependencies.has(package) or bool(bundled)


def _serve(package: str, command: str, entry: Entry) -> str:
    if not entry.is_factory:
        return f"{command} {entry.target}"
    if package in ("uvicorn", "granian"):
        return f"{command} --factory {entry.target}"
    return f"{command} '{entry.target}()'"


def _script(entry: Entry) -> Start:
    for package, command in _LAUNCHERS.items():
        if package in entry.imports:
            return Start(command.format(path=entry.path), (f"`{entry.path}` is a {package} app.",))
    reason = f"`{entry.path}` is run; it has to listen on the port in PORT, on all addresses."
    return Start(f"python {entry.path}", (reason,), "", entry.search_path)


def _development(framework: str) -> str:
    return f"{framework}'s own development server serves it, because the packages have no server: add gunicorn to them."


def _dockerfile(project: Project, dependencies: Dependencies | None, start: Start) -> str:
    locker = dependencies.locker if dependencies else None
    lines = [
        "# Made by Stackyn. To change it, commit it as `Dockerfile`.",
        f"FROM {project.options.toolchains.choose('python').image.name}",
        "WORKDIR /app",
        f"ENV VIRTUAL_ENV={VENV} PATH={VENV}/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1",
    ]
    if locker:
        place = f"/opt/{locker.tool}"
        lines += [
            "",
            f"# {locker.tool} is kept apart from the app's own packages.",
            f"RUN python3 -m venv --without-pip {place} && "
            f"pip --python {place}/bin/python install --no-cache-dir '{locker.requirement}' && "
            f"ln -s {place}/bin/{locker.tool} /usr/local/bin/{locker.tool}",
            *(f"ENV {setting}" for setting in locker.environment),
        ]
    lines += [f"RUN install -d -o app -g app {VENV}", "USER app", f"RUN python3 -m venv --without-pip {VENV}"]
    # The image's own pip installs into it: another one would cost 25 MB, and most of the time to make it.
    lines.append(f"ENV PIP_PYTHON={VENV}/bin/python")
    copy_all = "COPY --chown=app:app . ."
    added = [f"RUN pip install --no-cache-dir {start.adds}"] if start.adds else []
    if dependencies and dependencies.files:
        files = " ".join(dependencies.files)
        lines += ["", "# Packages first: these steps are kept until these files change."]
        lines += [f"COPY --chown=app:app {files} ./", f"RUN {dependencies.install}", *added, "", copy_all]
        lines += [f"RUN {dependencies.project}"] if dependencies.project else []
    else:
        lines += ["", copy_all]
        lines += [f"RUN {dependencies.install}"] if dependencies else []
        lines += added
    if start.search_path:
        lines.append(f"ENV PYTHONPATH=/app/{start.search_path}")
    lines += ["", f"ENV PORT={project.port}", f"EXPOSE {project.port}", as_cmd(start.command)]
    return "\n".join(lines) + "\n"


RUNTIME = Runtime(
    name="python",
    looked_for="Python (requirements.txt, pyproject.toml, a lock file, main.py or app.py)",
    needs=_needs,
    plan=_plan,
)
