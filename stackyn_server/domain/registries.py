"""Credentials of image registries. A credential is for exactly its host, and for no other."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from stackyn_server.errors import InvalidField

# Where an image comes from whose name has no host. The word is for names; its images are at the host below.
DOCKER_HUB = "docker.io"
DOCKER_HUB_HOST = "registry-1.docker.io"
DOCKER_HUB_NAMES = frozenset(
    {DOCKER_HUB, DOCKER_HUB_HOST, "index.docker.io", "registry.hub.docker.com", "hub.docker.com"}
)

_LONGEST_NAME = 253
_LONGEST_USER = 255
_MOST_PASSWORD_BYTES = 16_384  # a key file in JSON is a password at some registries
_MOST_PORT = 65_535

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?P<name>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[1-9][0-9]{{0,4}}))?")


@dataclass(frozen=True, slots=True)
class RegistryCredential:
    """`host` is as it stands in an image's name: `host[:port]`, lower case, `docker.io` for Docker Hub."""

    host: str
    user: str
    password: str = field(repr=False)


def valid_host(host: str) -> str:
    """Return a registry's host as an image's name has it, or raise `InvalidRequest`."""
    host = host.strip().lower()
    match = _HOST.fullmatch(host)
    if (
        match is None
        or len(match["name"]) > _LONGEST_NAME
        or (match["port"] and int(match["port"]) > _MOST_PORT)
    ):
        raise InvalidField(
            "host",
            "host is the registry's name as images have it, such as ghcr.io or registry.example.com:5000: "
            "without https:// and without a path.",
        )
    if "." not in host and ":" not in host and host != "localhost":
        raise InvalidField(
            "host", "host needs a dot or a port: without either, an image's name can't mean this registry."
        )
    return DOCKER_HUB if match["name"] in DOCKER_HUB_NAMES and match["port"] in (None, "443") else host


def valid_user(user: str) -> str:
    """Return a name that HTTP's basic authentication can send (RFC 7617: no colon), or raise `InvalidRequest`."""
    user = user.strip()
    if not 1 <= len(user) <= _LONGEST_USER or not user.isprintable() or ":" in user:
        raise InvalidField("user", f"user has 1 to {_LONGEST_USER} printable characters and no colon.")
    return user


def valid_password(password: str) -> str:
    """Return the password as it is, or raise `InvalidRequest` for one that is empty or too long."""
    if not password or len(password.encode()) > _MOST_PASSWORD_BYTES:
        raise InvalidField("password", f"password has 1 to {_MOST_PASSWORD_BYTES // 1024} KiB.")
    return password
