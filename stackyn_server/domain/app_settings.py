"""The rules for what an owner may set for an app: contract section 6."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from stackyn_server.domain.apps import valid_build_target, valid_path_inside
from stackyn_server.errors import InvalidField

LONGEST_COMMAND = 4096
LONGEST_VERSION = 60


def checked(changes: Mapping[str, Any], runtimes: Collection[str]) -> dict[str, Any]:
    """Return settings as they are kept; an empty text becomes None. Raises `InvalidRequest` naming the field.

    `changes` has values of the right types by the names of `AppSettings`; `runtimes` are those that can be chosen.
    """
    kept = dict(changes)
    for field, rule in _RULES.items():
        if kept.get(field) is not None:
            kept[field] = rule(kept[field], field) or None
    runtime = kept.get("runtime")
    if runtime is not None and runtime not in runtimes:
        raise InvalidField(
            "runtime", f"There is no runtime of this name. Known are: {', '.join(sorted(runtimes))}."
        )
    return kept


def _health_path(path: str, field: str) -> str:
    if not path.startswith("/") or not path.isprintable() or " " in path:
        raise InvalidField(field, f"{field} must begin with / and have no spaces.")
    return path


def _command(command: str, field: str) -> str:
    """Require a single line: the value becomes a line of a Dockerfile or of a shell script."""
    command = command.strip()
    if len(command) > LONGEST_COMMAND or not command.isprintable():
        raise InvalidField(
            field, f"{field} is one line of at most {LONGEST_COMMAND} characters; join commands with &&."
        )
    return command


def _version(version: str, field: str) -> str:
    version = version.strip()
    if len(version) > LONGEST_VERSION or not version.isprintable():
        raise InvalidField(field, f"{field} is a version such as 3.12 or >=20.")
    return version


_RULES: Mapping[str, Callable[[str, str], str]] = {
    "root_directory": valid_path_inside,
    "dockerfile_path": valid_path_inside,
    "publish_directory": valid_path_inside,
    "build_target": lambda target, _: valid_build_target(target),
    "health_path": _health_path,
    "install_command": _command,
    "build_command": _command,
    "release_command": _command,
    "runtime": lambda runtime, _: runtime.strip(),
    "runtime_version": _version,
}
