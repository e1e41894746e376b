"""Check a tenant's repository URL without any I/O. `outbound.host_vetting` checks where its host leads."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from stackyn_server.config import SourceSettings
from stackyn_server.errors import InvalidRequest

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
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")
# The resolver reads `0x7f.1`, `127.1` and `2130706433` as addresses (WHATWG URL: "ends in a number").
_NUMBER_AT_END = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$")


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
    """A repository's address, with the branch and folder that a page's address names, or ""."""

    repository: str
    branch: str = ""
    folder: str = ""


def split_browser_url(text: str) -> BrowserUrl:
    """Split the address of a branch's or folder's page on GitHub, GitLab, Gitea or Bitbucket.

    The first member after `tree` is taken for the branch: the address does not tell where a branch with slashes ends.
    """
    text = text.strip()
    for page in _PAGES if len(text) <= URL_LENGTH else ():
        if match := page.fullmatch(text):
            return BrowserUrl(match[1], unquote(match[2]), unquote(match[3] or "").strip("/"))
    return BrowserUrl(text)


def parse_url(settings: SourceSettings, text: str) -> RepositoryUrl:
    """Check a repository URL without any I/O, or raise `InvalidRequest` (details: the field `repo_url`).

    No error repeats a part of the input, because it may hold a password.
    """
    text = text.strip()
    if not text:
        raise _invalid("The repository URL is missing.")
    if len(text) > URL_LENGTH:
        raise _invalid(f"The repository URL is longer than {URL_LENGTH} characters.")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise _invalid("The repository URL has characters that don't belong in a URL.")
    parts, port = _split(text, "The repository URL")
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
    """Check scheme, host and port of an address that is not a repository's; its path and query are not checked.

    Raises `InvalidRequest`.
    """
    if len(text) > URL_LENGTH or not text.isascii() or not text.isprintable() or " " in text:
        raise _invalid("The address is too long, or has characters that don't belong in a URL.")
    parts, port = _split(text, "The address")
    if parts.scheme not in settings.schemes or parts.scheme not in _DEFAULT_PORTS or "@" in parts.netloc:
        raise _invalid("The address has a scheme that is not allowed, or a user name.")
    return RepositoryUrl(parts.scheme, _check_host(parts), port or _DEFAULT_PORTS[parts.scheme], "")


def _split(text: str, subject: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(text)
        return parts, parts.port
    except ValueError as error:
        raise _invalid(f"{subject} can't be read: its host or port is malformed.") from error


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
