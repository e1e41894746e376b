"""The version of the Docker API that this server and the engine both speak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stackyn_server.engine.errors import EngineUnavailable, EngineUnsupported

ApiVersion = tuple[int, int]

OLDEST_API: ApiVersion = (1, 41)  # Docker 20.10
NEWEST_API: ApiVersion = (1, 51)  # Docker 28.5; with a newer engine, this version is used


def choose_api_version(offered: Mapping[str, Any]) -> ApiVersion:
    """Choose the API version from the engine's answer to `/version`. Raises `EngineUnsupported`, naming both
    versions."""
    max_offered = _parsed(offered.get("ApiVersion"))
    min_offered = _parsed(offered.get("MinAPIVersion", "1.0"))
    name = f"Docker {offered.get('Version', 'of an unknown version')}"
    chosen = min(max_offered, NEWEST_API)
    if chosen < OLDEST_API:
        raise EngineUnsupported(
            f"{name} is too old: it speaks API {_plain(max_offered)}, needed is {_plain(OLDEST_API)} or newer.",
            hint="Install Docker 20.10 or newer.",
        )
    if chosen < min_offered:
        raise EngineUnsupported(
            f"{name} accepts only API {_plain(min_offered)} or newer; this server speaks up to {_plain(NEWEST_API)}.",
            hint="Upgrade Stackyn, or lower min-api-version in Docker's daemon.json.",
        )
    return chosen


def refuse_remapped(info: Mapping[str, Any]) -> None:
    """Raise `EngineUnsupported` when the engine's answer to `/info` says that it remaps users.

    There the proxy can't have this machine's network, and a builder can't make the user namespaces of its steps.
    """
    if any(str(option).startswith("name=userns") for option in info.get("SecurityOptions") or ()):
        raise EngineUnsupported(
            "This Docker engine remaps users (userns-remap): the proxy and builds can't run on it.",
            hint="Remove userns-remap from Docker's daemon.json, or use another engine for Stackyn.",
        )


def _parsed(text: object) -> ApiVersion:
    major, _, minor = str(text).partition(".")
    try:
        return int(major), int(minor)
    except ValueError as error:
        raise EngineUnavailable(f"not an API version: {text!r}") from error


def _plain(version: ApiVersion) -> str:
    return f"{version[0]}.{version[1]}"


def version_path(version: ApiVersion) -> str:
    return f"v{_plain(version)}"
