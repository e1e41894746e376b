"""uv workspaces: a member is installed from the workspace's root, which has the lock file and the other members."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackyn_server.buildplan.formats.structured_files import table, texts
from stackyn_server.buildplan.formats.toml import parse_toml
from stackyn_server.buildplan.generated.stages import is_plain
from stackyn_server.buildplan.project import Project
from stackyn_server.buildplan.runtimes.python.manifests import PYPROJECT, Manifests
from stackyn_server.buildplan.workspace_patterns import names_folder

_LOCK = "uv.lock"


@dataclass(frozen=True, slots=True)
class Member:
    """The package `name` in `folder` of the workspace that has its root in `root`, from the commit's top."""

    root: str
    folder: str
    name: str
    has_lock: bool


def find_member(project: Project, manifests: Manifests) -> Member | None:
    """Return the workspace member that the root directory is; None if it is in no workspace."""
    name = manifests.table("project").get("name")
    directory = project.options.root_directory or ""
    if not directory or not isinstance(name, str) or not is_plain(directory):
        return None
    parts = directory.split("/")
    for size in range(len(parts) - 1, -1, -1):
        ancestor, folder = "".join(f"{part}/" for part in parts[:size]), "/".join(parts[size:])
        workspace = table(_pyproject(project, ancestor), "tool", "uv", "workspace")
        if _names(workspace, "members", folder) and not _names(workspace, "exclude", folder):
            return Member(ancestor.rstrip("/"), folder, name, f"{ancestor}{_LOCK}" in project.everything)
    return None


def _pyproject(project: Project, ancestor: str) -> Mapping[str, Any]:
    try:
        return parse_toml(project.text_from_top(f"{ancestor}{PYPROJECT}") or "")
    except (tomllib.TOMLDecodeError, RecursionError):  # of a project that this build does not use
        return {}


def _names(workspace: Mapping[str, Any], key: str, folder: str) -> bool:
    return any(
        names_folder(pattern.removeprefix("./").strip("/"), folder) for pattern in texts(workspace.get(key))
    )
