"""The build and start settings of other hosts, under this platform's names.

Sources: the published references of railway.json, railpack.json, nixpacks.toml, render.yaml, netlify.toml, vercel.json,
fly.toml and Dokku's app.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from stackyn_server.buildplan.formats.structured_files import (
    Table,
    json_with_comments,
    table,
    tables,
    text_at,
    toml,
    with_merge_keys,
    yaml,
)
from stackyn_server.buildplan.project import Project

HostSettings = dict[str, Any]
_TEXTS: dict[str, dict[tuple[str, ...], str]] = {
    "railway": {
        ("build", "buildCommand"): "build_command",
        ("build", "dockerfilePath"): "dockerfile_path",
        ("deploy", "startCommand"): "start_command",
        ("deploy", "preDeployCommand"): "release_command",
        ("deploy", "healthcheckPath"): "health_path",
    },
    "railpack": {("provider",): "runtime", ("deploy", "startCommand"): "start_command"},
    "nixpacks": {("start", "cmd"): "start_command"},
    "render": {
        ("rootDir",): "root_directory",
        ("buildCommand",): "build_command",
        ("startCommand",): "start_command",
        ("preDeployCommand",): "release_command",
        ("healthCheckPath",): "health_path",
        ("dockerfilePath",): "dockerfile_path",
        ("dockerCommand",): "start_command",
        ("staticPublishPath",): "publish_directory",
    },
    "netlify": {
        ("build", "base"): "root_directory",
        ("build", "command"): "build_command",
        ("build", "publish"): "publish_directory",
    },
    "vercel": {
        ("installCommand",): "install_command",
        ("buildCommand",): "build_command",
        ("outputDirectory",): "publish_directory",
    },
    "fly": {
        ("build", "dockerfile"): "dockerfile_path",
        ("deploy", "release_command"): "release_command",
        ("processes", "app"): "start_command",
    },
}  # fmt: skip
_VARIABLES = {
    f"{host}_{word}_CMD": f"{word.lower()}_command"
    for host in ("RAILPACK", "NIXPACKS")
    for word in ("INSTALL", "BUILD", "START")
}
# A command goes on in the next line after one of these.
_GOES_ON = ("&&", "||", "|", ";", "then", "do", "else", "{", "(")
_ENDS_BLOCK = frozenset(("fi", "done", "else", "elif", "esac", "}", ")"))
# The native runtimes of Render that have the same name here.
_RENDER_RUNTIMES = frozenset(("python", "node", "go", "ruby", "rust", "elixir"))


def settings_of_hosts(project: Project) -> Iterator[tuple[str, HostSettings]]:
    """Yield (origin, settings): first of other hosts' variables, then of each of their files that sets something.

    The files come in the order in which they win.
    """
    for name, key in _VARIABLES.items():
        if command := project.options.host_variables.get(name, "").strip():
            yield name, {key: command}
    for path, read in _READERS.items():
        if project.has(path) and (settings := read(project, path)):
            yield path, settings


def _railway(project: Project, path: str) -> HostSettings:
    document = toml(project, path) if path.endswith(".toml") else json_with_comments(project, path)
    settings = _texts(document, "railway")
    if command := _joined(table(document, "deploy").get("preDeployCommand")):
        settings["release_command"] = command
    seconds = table(document, "deploy").get("healthcheckTimeout")
    if isinstance(seconds, int) and 0 < seconds <= 3600:
        settings["health_timeout_seconds"] = seconds
    return settings


def _railpack(project: Project, path: str) -> HostSettings:
    """Read the steps too, unless they add to the commands that Railpack finds by itself, which it calls `...`."""
    document = json_with_comments(project, path)
    settings = _texts(document, "railpack")
    for step in ("install", "build"):
        commands: Any = table(document, "steps", step).get("commands")
        if (command := _joined(commands)) and "..." not in commands:
            settings[f"{step}_command"] = command
    return settings


def _nixpacks(project: Project, path: str) -> HostSettings:
    """Read the phases too, unless they add to the commands that Nixpacks finds by itself, which it calls `...`."""
    document = toml(project, path)
    settings = _texts(document, "nixpacks")
    for phase in ("install", "build"):
        commands = table(document, "phases", phase).get("cmds")
        if isinstance(commands, list) and commands and "..." not in commands:
            settings[f"{phase}_command"] = " && ".join(map(str, commands))
    return settings


def render_web_service(project: Project, path: str) -> Table:
    """Return the only web service of a render.yaml; empty for several, as nothing says which one this app is."""
    services = map(with_merge_keys, tables(yaml(project, path).get("services")))
    web = [service for service in services if service.get("type") == "web"]
    return web[0] if len(web) == 1 else {}


def _render(project: Project, path: str) -> HostSettings:
    service = render_web_service(project, path)
    settings = _texts(service, "render")
    runtime = text_at(service, "runtime") or text_at(service, "env")
    if runtime in _RENDER_RUNTIMES:
        settings["runtime"] = runtime  # Render does not build a Dockerfile beside it
    return settings


def _netlify(project: Project, path: str) -> HostSettings:
    return _texts(toml(project, path), "netlify")


def _vercel(project: Project, path: str) -> HostSettings:
    return _texts(json_with_comments(project, path), "vercel")


def _fly(project: Project, path: str) -> HostSettings:
    document = toml(project, path)
    settings = _texts(document, "fly")
    services = document.get("services")
    older = [check for service in tables(services) for check in tables(service.get("http_checks"))]
    for check in (*tables(table(document, "http_service").get("checks")), *older):
        if where := text_at(check, "path"):
            settings["health_path"] = where
            break
    return settings


def _dokku(project: Project, path: str) -> HostSettings:
    checks = table(json_with_comments(project, path), "healthchecks").get("web")
    where = next((where for check in tables(checks) if (where := text_at(check, "path"))), None)
    return {"health_path": where} if where else {}


def _joined(commands: Any) -> str:
    """Return a list of commands as one command; empty for anything else."""
    is_list = isinstance(commands, list) and all(isinstance(command, str) for command in commands)
    return " && ".join(commands) if is_list else ""


def _texts(document: Table, host: str) -> HostSettings:
    return {
        name: _one_line(value) for keys, name in _TEXTS[host].items() if (value := text_at(document, *keys))
    }


def _one_line(script: str) -> str:
    """Return a script as one line, which ends with the first command that fails."""
    joined = ""
    for line in filter(None, map(str.strip, script.splitlines())):
        if line.startswith("#"):
            continue
        if joined.endswith("\\"):
            joined = f"{joined[:-1].rstrip()} {line}"
        elif not joined or joined.endswith(_GOES_ON) or line.startswith(("&&", "||", "|")):
            joined = f"{joined} {line}"
        else:
            joined = (
                f"{joined}; {line}" if line.split()[0].rstrip(";") in _ENDS_BLOCK else f"{joined} && {line}"
            )
    return joined.strip()


_READERS: dict[str, Callable[[Project, str], HostSettings]] = {
    "railway.json": _railway,
    "railway.toml": _railway,
    "railpack.json": _railpack,
    "nixpacks.toml": _nixpacks,
    "render.yaml": _render,
    "fly.toml": _fly,
    "netlify.toml": _netlify,
    "vercel.json": _vercel,
    "app.json": _dokku,
}
FILES = tuple(_READERS)
# Files of hosts that start the image of a Dockerfile with the start command of the same file.
STARTS_IMAGES = ("railway.json", "railway.toml", "render.yaml", "fly.toml")
