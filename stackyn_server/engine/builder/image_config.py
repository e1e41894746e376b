"""Rewrite the configuration of a built image, keeping only the settings that an app may decide.

Otherwise the engine would take over labels that mark a container as ours, a health check of the image, and settings
with which it refuses to start the container. https://github.com/opencontainers/image-spec/blob/main/config.md
"""

from __future__ import annotations

import platform
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from stackyn_server.engine.builder.image_refused import ImageRefused, malformed

OUR_LABELS = "io.stackyn."

_MOST_VOLUMES = 32  # the engine makes a folder on the host for each
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z")
_PORT = re.compile(r"([0-9]{1,5})(?:/(?:tcp|udp|sctp))?")
_SIGNAL = re.compile(r"(?:SIG)?[A-Z0-9+-]{2,12}|[0-9]{1,2}")
_VARIANT = re.compile(r"v[0-9]{1,2}")
# The engine mounts these itself and refuses a volume in their place (tried on 20.10).
_MOUNTED_BELOW = ("/proc", "/sys")
_MOUNTED = ("/", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}  # `uname -m`: Go's name


def machine_architecture() -> str:
    """Return this machine's architecture as Go, Docker and BuildKit name it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def rewrite_config(
    config: object, labels: Mapping[str, str], layers: Sequence[str], architecture: str
) -> dict[str, Any]:
    """Return our configuration of the image. `layers` are the digests of its uncompressed layers, `architecture` is
    this machine's. Raises `ImageRefused`."""
    if not isinstance(config, dict):
        raise malformed("the configuration is no object")
    if (config.get("os"), config.get("architecture")) != ("linux", architecture):
        raise ImageRefused(
            f"The image is made for {_word(config.get('os'))}/{_word(config.get('architecture'))}, "
            f"and this server runs linux/{architecture}.",
            "Remove the platform after FROM --platform= in the Dockerfile, then deploy again.",
        )
    settings = config.get("config")
    if settings is not None and not isinstance(settings, dict):
        raise malformed("the settings of the configuration are no object")
    rewritten: dict[str, Any] = {
        "os": "linux",
        "architecture": architecture,
        "config": _settings(settings or {}, labels),
        "rootfs": {"type": "layers", "diff_ids": list(layers)},
    }
    if _is_text(config.get("variant")) and _VARIANT.fullmatch(config["variant"]):
        rewritten["variant"] = config["variant"]
    if _is_time(config.get("created")):
        rewritten["created"] = config["created"]
    return rewritten


def _settings(settings: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """Keep known settings of the right type. The health check is left out: this server probes the app itself."""
    kept: dict[str, Any] = {}
    for key, is_right in _SETTINGS.items():
        value = settings.get(key)
        if value is None:
            continue
        if not is_right(value):
            raise malformed(f"{key} of the configuration is not of its kind")
        kept[key] = value
    _check(kept)
    own_labels = {
        key: value for key, value in kept.get("Labels", {}).items() if not key.startswith(OUR_LABELS)
    }
    return kept | {"Labels": own_labels | dict(labels)}


def _check(settings: Mapping[str, Any]) -> None:
    """Raise `ImageRefused` for what the engine would refuse, or misread, when the app starts."""
    volumes = settings.get("Volumes", {})
    if len(volumes) > _MOST_VOLUMES:
        raise ImageRefused(f"The image has {len(volumes)} volumes; at most {_MOST_VOLUMES} are allowed.")
    for volume in volumes:
        path = posixpath.normpath("/" + volume.lstrip("/"))
        if path in _MOUNTED or any(path == place or path.startswith(f"{place}/") for place in _MOUNTED_BELOW):
            raise ImageRefused(
                f"The image has a volume at {path[:100]}, where a container has the system's own files.",
                "Choose another path after VOLUME in the Dockerfile, then deploy again.",
            )
    for port in settings.get("ExposedPorts", {}):
        match = _PORT.fullmatch(port)
        if match is None or not 0 < int(match[1]) < 65536:
            raise ImageRefused(f"The image exposes {_word(port)}, which is no port.")
    if (signal := settings.get("StopSignal")) and not _SIGNAL.fullmatch(signal):
        raise ImageRefused(f"The image has the stop signal {_word(signal)}, which does not exist.")
    for variable in settings.get("Env", ()):
        if variable.partition("=")[0] == "":
            raise ImageRefused("The image has an environment variable without a name.")


def _word(value: object) -> str:
    """Return a tenant's value in a form that is safe in a sentence of ours."""
    return re.sub(r"[^A-Za-z0-9._/+-]", "?", str(value))[:40]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_set(value: object) -> bool:
    return (
        isinstance(value, dict) and all(map(_is_text, value)) and all(v in ({}, None) for v in value.values())
    )


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, (*value, *value.values())))


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_SETTINGS: Mapping[str, Callable[[object], bool]] = {
    "User": _is_text,
    "ExposedPorts": _is_set,
    "Env": _is_list,
    "Entrypoint": _is_list,
    "Cmd": _is_list,
    "Volumes": _is_set,
    "WorkingDir": _is_text,
    "Labels": _is_mapping,
    "StopSignal": _is_text,
    "Shell": _is_list,
    "OnBuild": _is_list,
}
