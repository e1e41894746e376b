"""Which repository addresses are accepted, and which network addresses git may be led to.

A tenant chooses the URL and this server opens the connection, so without these rules a repository URL would be a way
to talk to everything that only the server can reach (server-side request forgery).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from stackyn_server.config import SourceSettings
from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode, TransientFailure
from stackyn_server.errors import InvalidRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

URL_LENGTH = 2048
_DEFAULT_PORTS = {"https": 443, "http": 80}
_HOST_NAME = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_REPOSITORY_PAGE = r"(https?://[^/?#]+/[^/?#]+/[^/?#]+)"
_BRANCH_AND_FOLDER = r"/([^/?#]+)(/[^?#]*)?(?:[?#].*)?"
_PAGES = (
    re.compile(r"(https?://[^/?#]+(?:/[^/?#]+)+)/-/tree" + _BRANCH_AND_FOLDER),  # GitLab
    re.compile(_REPOSITORY_PAGE + r"/src/branch" + _BRANCH_AND_FOLDER),  # Gitea
    re.compile(_REPOSITORY_PAGE + r"/(?:tree|src)" + _BRANCH_AND_FOLDER),  # GitHub, Bitbucket
)
# Pauses before a name that does not exist is asked for again.
_ASK_AGAIN_SECONDS = (1.0, 3.0)
_NO_SUCH_NAME = (socket.EAI_NONAME, socket.EAI_NODATA)
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")
# The resolver takes `0x7f.1`, `127.1` and `2130706433` for addresses (WHATWG URL: "ends in a number").
_NUMBER_AT_END = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$")

# IPv6 ranges that carry an IPv4 address in their last 32 bits: RFC 4291 (mapped), RFC 6052 and RFC 8215 (NAT64).
_CARRIES_IPV4 = tuple(ipaddress.IPv6Network(n) for n in ("::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48"))
# Not, or not in every Python we support, covered by `is_global`: special IPv4 (RFC 6890; a metadata service is in it),
# 6to4 and its relays, Teredo, site-local, documentation, segment routing, and Azure's service on a public address.
_NEVER = tuple(
    ipaddress.ip_network(n)
    for n in (
        *("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32"),
        *("2002::/16", "2001::/32", "fec0::/10", "::/96", "3fff::/20", "5f00::/16"),
    )
)


@dataclass(frozen=True, slots=True)
class RepositoryUrl:
    """A checked repository address. `host` is lower case, an IPv6 literal without its brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The normalised URL: no user, query or fragment, no default port, no slash at its end."""
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class BrowserUrl:
    """A repository's address, with the branch and folder that a page's address names beside it, or ""."""

    repository: str
    branch: str = ""
    folder: str = ""


def split_browser_url(text: str) -> BrowserUrl:
    """Take a page of a branch or folder apart, as a browser shows it on GitHub, GitLab, Gitea and Bitbucket.

    Its first member after `tree` is taken for the branch: a page does not tell where a branch with slashes ends.
    """
    text = text.strip()
    for page in _PAGES if len(text) <= URL_LENGTH else ():
        if match := page.fullmatch(text):
            return BrowserUrl(match[1], unquote(match[2]), unquote(match[3] or "").strip("/"))
    return BrowserUrl(text)


def parse_url(settings: SourceSettings, text: str) -> RepositoryUrl:
    """Check a repository URL without any I/O, or raise `InvalidRequest` (details: the field `repo_url`).

    No sentence repeats a part of the input, which may hold a password.
    """
    text = text.strip()
    if not text:
        raise _invalid("The repository URL is missing.")
    if len(text) > URL_LENGTH:
        raise _invalid(f"The repository URL is longer than {URL_LENGTH} characters.")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise _invalid("The repository URL has characters that don't belong in a URL.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _invalid("The repository URL can't be read: its host or port is malformed.") from error
    _check_shape(settings, text, parts)
    host = _check_host(parts)
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or any(member in (".", "..") for member in path.split("/")):
        raise _invalid(
            "The repository URL needs the path of a repository, as in https://host/owner/name.git."
        )
    if port == 0:
        raise _invalid("The repository URL has an impossible port.")
    return RepositoryUrl(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], path)


def parse_origin(settings: SourceSettings, text: str) -> RepositoryUrl:
    """Check scheme, host and port of an address that is not a repository's (its path and query are anybody's).

    Raises `InvalidRequest`.
    """
    if len(text) > URL_LENGTH or not text.isascii() or not text.isprintable() or " " in text:
        raise _invalid("The address is too long, or has characters that don't belong in a URL.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _invalid("The address can't be read: its host or port is malformed.") from error
    if parts.scheme not in settings.schemes or parts.scheme not in _DEFAULT_PORTS or "@" in parts.netloc:
        raise _invalid("The address has a scheme that is not allowed, or a user name.")
    return RepositoryUrl(parts.scheme, _check_host(parts), port or _DEFAULT_PORTS[parts.scheme], "")


def _check_shape(settings: SourceSettings, text: str, parts: SplitResult) -> None:
    allowed = [scheme for scheme in settings.schemes if scheme in _DEFAULT_PORTS]
    if parts.scheme not in allowed:
        names = " or ".join(f"{scheme}://" for scheme in allowed)
        raise _invalid(f"The repository URL must start with {names}.")
    if "@" in parts.netloc:
        raise _invalid("The repository URL must not carry a user name, password or token.")
    if "#" in text or "?" in text:
        raise _invalid("The repository URL must not have a query or a fragment.")


def _check_host(parts: SplitResult) -> str:
    host = (parts.hostname or "").rstrip(".")
    if not host:
        raise _invalid("The repository URL has no host.")
    if "%" in host:
        raise _invalid("The host of the repository URL must not name a network interface.")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST_NAME.fullmatch(host) or _NUMBER_AT_END.search(host):
            raise _invalid("The host of the repository URL is not a valid host name.") from None
        return host


def _invalid(sentence: str) -> InvalidRequest:
    return InvalidRequest(sentence, details={"field": "repo_url"})


def is_allowed_address(settings: SourceSettings, address: Address) -> bool:
    """True for addresses of the public internet, and for those in the networks of `allowed_private`."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        for network in _CARRIES_IPV4:
            if address in network:
                address = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
                break
    if any(_within(address, ipaddress.ip_network(text)) for text in settings.allowed_private):
        return True
    if any(_within(address, network) for network in _NEVER):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _within(address: Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return address.version == network.version and address in network


async def vet_host(settings: SourceSettings, url: RepositoryUrl) -> tuple[Address, ...]:
    """Resolve the host and return the addresses that git may be pinned to, in the resolver's order.

    Raises `DeploymentFailed` when there are only internal ones (SOURCE_REFUSED), or when there is no such name
    (SOURCE_UNREACHABLE), and `TransientFailure` (SOURCE_UNREACHABLE) when the resolver doesn't know it now.
    """
    found = await _resolved(settings, url)
    addresses = dict.fromkeys(ipaddress.ip_address(entry[4][0]) for entry in found)
    good = tuple(address for address in addresses if is_allowed_address(settings, address))
    if not good:
        raise DeploymentFailed(
            Failure(
                FailureCode.SOURCE_REFUSED,
                f"The repository's host {url.host} leads to a private or internal address, which is not allowed.",
                "Use a repository on a public address, or ask the operator of this server to allow its network.",
            )
        )
    return good


async def _resolved(settings: SourceSettings, url: RepositoryUrl) -> list[Any]:
    """Ask the resolver, more than once before a name counts as one that does not exist: a new name takes a moment."""
    loop = asyncio.get_running_loop()
    for pause_seconds in (*_ASK_AGAIN_SECONDS, None):
        try:
            async with asyncio.timeout(settings.stall_seconds):
                return await loop.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise _unresolved(TransientFailure, url, "the resolver did not answer") from error
        except UnicodeError as error:
            raise _unresolved(DeploymentFailed, url, str(error)) from error
        except OSError as error:
            if error.errno not in _NO_SUCH_NAME:
                raise _unresolved(TransientFailure, url, str(error)) from error
            if pause_seconds is None:
                raise _unresolved(DeploymentFailed, url, str(error)) from error
            await asyncio.sleep(pause_seconds)
    raise AssertionError("the last try returns or raises")


async def first_reachable(
    settings: SourceSettings, url: RepositoryUrl, addresses: tuple[Address, ...]
) -> Address:
    """Return the first address that accepts a connection, so that git is pinned to one that works.

    git itself would wait two minutes for an address that drops packets. Raises `TransientFailure`.
    """
    evidence = []
    for address in addresses:
        try:
            async with asyncio.timeout(settings.stall_seconds):
                _, writer = await asyncio.open_connection(str(address), url.port)
        except TimeoutError:
            evidence.append(f"{url.host} port {url.port}: no answer within {settings.stall_seconds:g} s")
        except OSError as error:
            evidence.append(f"{url.host} port {url.port}: {error.strerror or 'connection failed'}")
        else:
            writer.transport.abort()
            return address
    raise TransientFailure(
        Failure(
            FailureCode.SOURCE_UNREACHABLE,
            f"The repository's host {url.host} does not accept connections on port {url.port}.",
            "Check the repository URL and whether its host is up, then deploy again.",
            "\n".join(evidence),
        )
    )


def _unresolved(kind: type[DeploymentFailed], url: RepositoryUrl, reason: str) -> DeploymentFailed:
    return kind(
        Failure(
            FailureCode.SOURCE_UNREACHABLE,
            f"The repository's host name {url.host} can't be resolved.",
            "Check the spelling of the repository URL, then deploy again.",
            f"{url.host}: {reason}",
        )
    )
