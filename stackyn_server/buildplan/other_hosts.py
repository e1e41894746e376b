"""What the settings of other hosts plainly say about building and running, by our names for it.

Sources: the published references of railway.json, render.yaml, netlify.toml, vercel.json, fly.toml, Dokku's app.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.structured_files import (
    Table,
    json_with_comments,
    merged,
    table,
    text_at,
    toml,
    yaml,
)

Said = dict[str, Any]
_TEXTS: dict[str, dict[tuple[str, ...], str]] = {
    "railway": {
        ("build", "buildCommand"): "build_command",
        ("build", "dockerfilePath"): "dockerfile_path",
        ("deploy", "startCommand"): "start_command",
        ("deploy", "preDeployCommand"): "release_command",
        ("deploy", "healthcheckPath"): "health_path",
    },
    "render": {
        ("rootDir",): "root_directory",
        ("buildCommand",): "build_command",
        ("startCommand",): "start_command",
        ("preDeployCommand",): "release_command",
        ("healthCheckPath",): "health_path",
        ("dockerfilePath",): "dockerfile_path",
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


def said_elsewhere(project: Project) -> Iterator[tuple[str, Said]]:
    """Yield (file, settings) of each file of another host that says something, the most telling hosts first."""
    for path, read in _READERS.items():
        if project.has(path) and (said := read(project, path)):
            yield path, said


def _railway(project: Project, path: str) -> Said:
    document = toml(project, path) if path.endswith(".toml") else json_with_comments(project, path)
    said = _texts(document, "railway")
    commands = table(document, "deploy").get("preDeployCommand")
    if isinstance(commands, list) and commands and all(isinstance(command, str) for command in commands):
        said["release_command"] = " && ".join(commands)
    seconds = table(document, "deploy").get("healthcheckTimeout")
    if isinstance(seconds, int) and 0 < seconds <= 3600:
        said["health_timeout_seconds"] = seconds
    return said


def _render(project: Project, path: str) -> Said:
    """Read the only web service; of several nothing says which one this app is."""
    entries = yaml(project, path).get("services")
    services = (
        [merged(entry) for entry in entries if isinstance(entry, Mapping)]
        if isinstance(entries, list)
        else []
    )
    web = [service for service in services if service.get("type") == "web"]
    return _texts(web[0], "render") if len(web) == 1 else {}


def _netlify(project: Project, path: str) -> Said:
    return _texts(toml(project, path), "netlify")


def _vercel(project: Project, path: str) -> Said:
    return _texts(json_with_comments(project, path), "vercel")


def _fly(project: Project, path: str) -> Said:
    document = toml(project, path)
    said = _texts(document, "fly")
    checks = table(document, "http_service").get("checks")
    for check in checks if isinstance(checks, list) else ():
        if isinstance(check, Mapping) and (where := text_at(check, "path")):
            said["health_path"] = where
            break
    return said


def _dokku(project: Project, path: str) -> Said:
    checks = table(json_with_comments(project, path), "healthchecks").get("web")
    for check in checks if isinstance(checks, list) else ():
        if isinstance(check, Mapping) and (where := text_at(check, "path")):
            return {"health_path": where}
    return {}


def _texts(document: Table, host: str) -> Said:
    return {name: said for keys, name in _TEXTS[host].items() if (said := text_at(document, *keys))}


_READERS: dict[str, Callable[[Project, str], Said]] = {
    "railway.json": _railway,
    "railway.toml": _railway,
    "render.yaml": _render,
    "fly.toml": _fly,
    "netlify.toml": _netlify,
    "vercel.json": _vercel,
    "app.json": _dokku,
}
FILES = tuple(_READERS)
