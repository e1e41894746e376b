"""Read the version that a project asks for from files of version managers and from plain version files. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from typing import Any

from stackyn_server.buildplan.formats.toml import parse_toml
from stackyn_server.buildplan.versions.requirement import Dialect, VersionRequest, line_of, parse_requirement

TOOL_VERSIONS = ".tool-versions"
MISE_FILES = ("mise.toml", ".mise.toml", ".config/mise.toml", "mise/config.toml")
MISE_LOCK = "mise.lock"
TOOL_FILES = (TOOL_VERSIONS, *MISE_FILES, MISE_LOCK)
# Names of tools in these files that differ from ours.
_TOOL_NAMES = {"nodejs": "node", "golang": "go", "dotnet-core": "dotnet"}


def version_in_tool_files(
    text_of: Callable[[str], str | None], tool: str, dialect: Dialect
) -> VersionRequest | None:
    """Return the version of a tool that mise.toml (with its lock) or `.tool-versions` (asdf) asks for; None without."""
    for path in MISE_FILES:
        if (text := text_of(path)) and (version := _mise_version(text, tool)):
            locked = _mise_version(text_of(MISE_LOCK) or "", tool)
            if locked is not None and _fits(locked, version, dialect):  # the lock may be older than the file
                return VersionRequest.read(locked, MISE_LOCK, dialect)
            return VersionRequest.read(version, path, dialect)
    text = text_of(TOOL_VERSIONS)
    for line in (text or "").splitlines():
        words = line.split("#", 1)[0].split()
        if len(words) > 1 and _TOOL_NAMES.get(words[0], words[0]) == tool:
            return VersionRequest.read(words[1], TOOL_VERSIONS, dialect)
    return None


def version_in_file(text: str | None, path: str, dialect: Dialect) -> VersionRequest | None:
    """Return the version in the first line of a plain version file, such as .nvmrc or .python-version."""
    for line in (text or "").splitlines():
        if version := line.split("#", 1)[0].strip():
            return VersionRequest.read(version, path, dialect)
    return None


def _fits(version: str, requested: str, dialect: Dialect) -> bool:
    line, requirement = line_of(version), parse_requirement(requested, dialect)
    ranges = requirement.ranges if requirement else ()
    return line is not None and any(allowed.meets(line) for allowed in ranges)


def _mise_version(text: str, tool: str) -> str | None:
    try:
        tools = parse_toml(text).get("tools")
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    if not isinstance(tools, Mapping):
        return None
    for name, version in tools.items():
        short = str(name).removeprefix("core:")
        if _TOOL_NAMES.get(short, short) == tool:
            return _mise_text(version)
    return None


def _mise_text(version: Any) -> str | None:
    if isinstance(version, list):
        version = version[0] if version else None
    if isinstance(version, Mapping):
        version = version.get("version")
    return str(version) if isinstance(version, str | int | float) and not isinstance(version, bool) else None
