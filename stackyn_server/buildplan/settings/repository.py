"""The repository's own settings: `stackyn.toml`, the Procfile and the files of other hosts.

For each key the app's own settings (API) win, then stackyn.toml, the Procfile, another host's file, and detection. An
empty text in stackyn.toml overrides the later ones.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stackyn_server.buildplan.build_plan import BuildPlan, DeploymentSettings
from stackyn_server.buildplan.formats.structured_files import toml
from stackyn_server.buildplan.project import SETTINGS, PlanOptions, Project, prefix_of, undetected
from stackyn_server.buildplan.settings.other_host_settings import FILES, STARTS_IMAGES, settings_of_hosts
from stackyn_server.buildplan.settings.start_command import (
    PROCFILE,
    misspelled_web_line,
    processes,
    start_command_sentence,
)

# How host files name the top of the repository, or their own folder.
_HERE = frozenset(("", ".", "./", "/"))


def _text(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) and len(value) <= 2000 and value.isprintable() else None


def _folder(value: Any) -> str | None:
    """Return a path inside the repository, from its top, without dots; None for anything else."""
    text = _text(value)
    if text is None or text.startswith("/") or "\\" in text:
        return None
    path = posixpath.normpath(text) if text else ""
    return None if path.startswith("..") else "" if path == "." else path


def _whole_number(least: int, most: int) -> Callable[[Any], int | None]:
    def read(value: Any) -> int | None:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return value if is_number and least <= value <= most else None

    return read


def _path(value: Any) -> str | None:
    text = _text(value)
    is_path = text is not None and " " not in text and (not text or text.startswith("/"))
    return text if is_path else None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class _Setting:
    """How a value is read (None: refused), and the kind of value that the sentence about a refusal names."""

    read: Callable[[Any], Any]
    kind: str


KEYS: Mapping[str, _Setting] = {
    "runtime": _Setting(_text, "a text"),
    "runtime_version": _Setting(_text, "a text"),
    "install_command": _Setting(_text, "a text of one line"),
    "build_command": _Setting(_text, "a text of one line"),
    "start_command": _Setting(_text, "a text of one line"),
    "release_command": _Setting(_text, "a text of one line"),
    "publish_directory": _Setting(_folder, "a folder inside the root directory"),
    "root_directory": _Setting(_folder, "a folder inside the repository"),
    "dockerfile_path": _Setting(_folder, "a path inside the repository"),
    "use_dockerfile": _Setting(_boolean, "true or false"),
    "health_path": _Setting(_path, "a path that begins with / and has no spaces"),
    "health_timeout_seconds": _Setting(_whole_number(1, 3600), "a number from 1 to 3600"),
    "build_memory_mb": _Setting(_whole_number(64, 1_048_576), "a number of MiB, from 64"),
}
_OF_PLANNING = (
    "runtime", "runtime_version", "install_command", "build_command", "start_command", "publish_directory",
    "root_directory", "dockerfile_path", "use_dockerfile",
)  # fmt: skip
_OF_RUNTIME = frozenset(("runtime", "runtime_version"))
_OF_DEPLOYING = ("release_command", "health_path", "health_timeout_seconds", "build_memory_mb")


@dataclass(frozen=True, slots=True)
class EffectiveSettings:
    """The completed options, the settings of the deployment, and sentences that name the origin of each."""

    options: PlanOptions
    deploying: DeploymentSettings
    reasons: tuple[str, ...]


def settings_files(options: PlanOptions) -> Iterable[str]:
    """Return the files that `effective_settings` may read, by their path from the top of the commit."""
    for prefix in dict.fromkeys((prefix_of(options), "")):
        yield from (f"{prefix}{name}" for name in (SETTINGS, PROCFILE, *FILES))


def effective_settings(
    everything: frozenset[str], contents: Mapping[str, bytes], options: PlanOptions
) -> EffectiveSettings:
    """Take each key from the first source that sets it. Raises `DeploymentFailed` for an invalid stackyn.toml."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}

    def take(origin: str, settings: Mapping[str, Any]) -> None:
        # A later source that names a runtime does not override an earlier one that names a Dockerfile.
        later = _OF_RUNTIME if _wants_dockerfile(options, values) else frozenset()
        for key, value in settings.items():
            if key not in values and key not in later and getattr(options, key, None) is None:
                values[key], origins[key] = value, origin

    project = Project(frozenset(), contents, options, everything).at(options)
    path, own_settings = _own_settings(project)
    take(path, own_settings)
    if "root_directory" in values:
        project = project.at(replace(options, root_directory=values["root_directory"] or None))
    take(PROCFILE, _procfile(project, has_start=bool(options.start_command or values.get("start_command"))))
    for host, settings in settings_of_hosts(project):
        readable = {
            key: value for key, raw in settings.items() if (value := KEYS[key].read(raw)) not in (None, "")
        }
        # The rest of the file speaks of that folder.
        if options.root_directory or not _is_there(everything, readable.get("root_directory", "")):
            readable.pop("root_directory", None)
        # The folder of the file itself says nothing, and is how static hosts write "no build".
        take(host, {key: value for key, value in readable.items() if value not in _HERE})
    planning: dict[str, Any] = {
        key: (values[key] if values[key] != "" else None) for key in _OF_PLANNING if key in values
    }
    deploying = DeploymentSettings(**{key: values[key] or None for key in _OF_DEPLOYING if key in values})
    if options.release_command:
        deploying = replace(deploying, release_command=options.release_command)
    set_by = {key: origin for key, origin in origins.items() if values[key] != ""}
    return EffectiveSettings(
        replace(options, **planning, origins=set_by), deploying, tuple(_sentences(deploying, origins))
    )


def _wants_dockerfile(options: PlanOptions, values: Mapping[str, Any]) -> bool:
    return bool(
        options.use_dockerfile
        or options.dockerfile_path
        or values.get("use_dockerfile")
        or values.get("dockerfile_path")
    )


def image_start_command(plan: BuildPlan, options: PlanOptions) -> tuple[str | None, tuple[str, ...]]:
    """Return the command that the image of an own Dockerfile is started with, None for its own, and the sentence.

    The start command of stackyn.toml wins over the Dockerfile's, as does that of a host file whose host starts images
    with it. A Procfile is mostly older than the Dockerfile: its `web` line counts only where the Dockerfile has no
    start command.
    """
    command, origin = options.start_command, options.origins.get("start_command")
    if plan.generated is not None or not command or origin is None:
        return None, ()
    if plan.is_started and not options.is_set_by_owner("start_command") and origin not in STARTS_IMAGES:
        line = "The `web` line" if origin == PROCFILE else "The start command"
        return None, (f"{line} of `{origin}` is left aside: the Dockerfile says what is started.",)
    return command, (start_command_sentence(options),)


def _is_there(everything: frozenset[str], folder: str) -> bool:
    return any(path.startswith(f"{folder}/") for path in everything)


def _own_settings(project: Project) -> tuple[str, dict[str, Any]]:
    """Return (path, settings) of the stackyn.toml at the root directory, else of the one at the top."""
    for folder in (project, project.at(replace(project.options, root_directory=None))):
        if folder.has(SETTINGS):
            path = folder.prefix + SETTINGS
            return path, _checked(path, folder)
    return SETTINGS, {}


def _checked(path: str, project: Project) -> dict[str, Any]:
    document = toml(project, SETTINGS)
    text = project.text(SETTINGS) or ""
    checked: dict[str, Any] = {}
    for name, raw in document.items():
        line = _line(text, name)
        if (key := KEYS.get(name)) is None:
            raise undetected(
                f"{path}, line {line}: there is no setting {name}.",
                f"The settings are: {', '.join(KEYS)}.",
                f"{path}:{line}: {name}",
            )
        value = key.read(raw)
        if value is None:
            raise undetected(
                f"{path}, line {line}: {name} has to be {key.kind}.",
                "Correct it, then push again.",
                f"{path}:{line}",
            )
        checked[name] = value
    return checked


def _line(text: str, name: str) -> int:
    """Return the number of the line that sets a key, or opens a table of its name."""
    pattern = re.compile(rf"\[{{0,2}}[ \t]*['\"]?{re.escape(name)}\b")
    lines = enumerate(text.splitlines(), 1)
    return next((number for number, line in lines if pattern.match(line.lstrip(" \t"))), 1)


def _procfile(project: Project, has_start: bool) -> dict[str, Any]:
    """Return what the Procfile says; raises `DeploymentFailed` when nothing in it serves the web."""
    text = project.text(PROCFILE) or ""
    commands = processes(text)
    if not has_start and "web" not in commands and (misspelled := misspelled_web_line(text)):
        number, line = misspelled
        raise undetected(
            f"{PROCFILE}, line {number}: this is no `web` process.",
            "Write it as `web: …`, with small letters, a colon and nothing before, and the command on the same line.",
            f"{PROCFILE}:{number}: {line.strip()[:200]}",
        )
    content_lines = [
        line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    if content_lines and not commands and not has_start:
        raise undetected(
            f"{PROCFILE} has no process: {content_lines[0][:100]}",
            "Write each as a name, a colon and a command on one line, such as `web: …`, or remove the file.",
        )
    workers = [name for name in commands if name not in ("web", "release")]
    if workers and "web" not in commands and not has_start:
        raise undetected(
            f"{PROCFILE} has only workers ({', '.join(workers[:5])}), and no `web` process.",
            "An app here answers requests: add a line such as `web: …` that listens on $PORT, or set the app's start "
            "command.",
        )
    settings = {"start_command": commands.get("web"), "release_command": commands.get("release")}
    return {key: command for key, command in settings.items() if command}


def _sentences(deploying: DeploymentSettings, origins: Mapping[str, str]) -> Iterable[str]:
    by_origin: dict[str, list[str]] = {}
    for key, origin in origins.items():
        if origin != PROCFILE:
            by_origin.setdefault(origin, []).append(key.replace("_", " "))
    for origin, keys in by_origin.items():
        yield f"`{origin}` says: {', '.join(keys)}."
    if deploying.release_command:
        yield f"The release command is `{deploying.release_command}`."
