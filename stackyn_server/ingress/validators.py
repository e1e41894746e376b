"""Validates each value before it is written into the proxy's configuration. The proxy runs Go templates over the route
file and its rules are quoted with backticks, so each kind of value has a strict set of characters of its own."""

from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import get_args

from stackyn_server.domain.apps import DEFAULT_PROTOCOL, Protocol
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode

HOST_LENGTH = 253
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII
)
_NUMERIC = re.compile(r"[0-9.]+", re.ASCII)
_SECRET = re.compile(r"[0-9a-f]{16,64}", re.ASCII)
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}", re.ASCII)
_PATH = re.compile(r"/[A-Za-z0-9._/-]{0,4000}", re.ASCII)
_MAIL = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,253}", re.ASCII)
_URL = re.compile(r"https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._/-]{0,500})?", re.ASCII)
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?", re.ASCII)


class RouteRefused(DeploymentFailed):
    """A value is not valid in the proxy's configuration; `message` names the kind of value. Nothing was written."""

    def __init__(self, message: str, hint: str = "Change the value and try again.") -> None:
        super().__init__(Failure(FailureCode.SWITCH_FAILED, message, hint))


def host(value: str) -> str:
    """Return a lower-case ASCII host name (an international one is spelled in Punycode), or raise `RouteRefused`."""
    if len(value) > HOST_LENGTH or not _HOST.fullmatch(value) or _NUMERIC.fullmatch(value):
        raise RouteRefused(
            "A host name of this app can't be used: it may have lower-case letters, digits, dashes and dots only.",
            "Remove the domain, or spell it in ASCII (Punycode).",
        )
    return value


def secret(value: str) -> str:
    return _matching(_SECRET, value, "The installation's secret must be 16 to 64 hexadecimal digits.")


def identifier(value: str, what: str) -> str:
    """Return the name of an entry point or certificate resolver."""
    return _matching(_IDENTIFIER, value, f"{what} may have letters, digits, dashes and underscores only.")


def path(value: str, what: str) -> str:
    """Return an absolute path."""
    return _matching(
        _PATH, value, f"{what} must be an absolute path of letters, digits, dots, dashes and underscores."
    )


def mail(value: str, what: str) -> str:
    return _matching(_MAIL, value, f"{what} must be an e-mail address.")


def url(value: str, what: str) -> str:
    return _matching(_URL, value, f"{what} must be an https address.")


def is_origin(value: str) -> bool:
    """Whether `value` is the origin of web pages, or "*" for every origin."""
    return value == "*" or _ORIGIN.fullmatch(value) is not None


def port(value: int) -> int:
    if not 1 <= value <= 65535:
        raise RouteRefused("A port must be between 1 and 65535.")
    return value


def not_negative(value: int) -> int:
    """Return an id, an epoch or a publication number."""
    if value < 0:
        raise RouteRefused("An id can't be negative.")
    return value


def server_url(address: IPv4Address, at_port: int, protocol: Protocol = DEFAULT_PROTOCOL) -> str:
    """Return the URL of a backend that speaks HTTP/1.1 or, for `h2c`, HTTP/2; both without TLS."""
    if protocol not in get_args(Protocol):
        raise RouteRefused("An app speaks http or h2c.")
    return f"{protocol}://{address}:{port(at_port)}"


def _matching(pattern: re.Pattern[str], value: str, message: str) -> str:
    if not pattern.fullmatch(value):
        raise RouteRefused(message)
    return value
