"""What an app may be called and how it may be set up. The rules are those of the API contract, section 3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from stackyn_server.errors import InvalidField, InvalidRequest

NAME_LENGTH = 100
SLUG_LENGTH = 63
VALUE_BYTES = 65_536

Protocol = Literal["http", "h2c"]
DEFAULT_PROTOCOL: Protocol = "http"

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_VARIABLE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
# The name of a stage as BuildKit takes it, or its number.
_BUILD_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_BRANCH_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|/\.")


class Desired(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What the owner may change; takes effect with the next deploy or restart. None means what the repository says,
    else the platform's default.

    Units: `*_mb` in MiB, `cpu` in cores. `build_target` is the stage of the Dockerfile that is built (None: the last
    one); `protocol` is what the app speaks on its port: HTTP/1.1, or HTTP/2 without TLS (`h2c`). `use_dockerfile`: True
    builds a Dockerfile and nothing else, False none.
    """

    memory_mb: int
    disk_mb: int
    cpu: float
    port: int | None = None
    health_path: str | None = None
    health_timeout_seconds: int | None = None
    root_directory: str | None = None
    dockerfile_path: str | None = None
    use_dockerfile: bool | None = None
    build_target: str | None = None
    build_memory_mb: int | None = None
    runtime: str | None = None
    runtime_version: str | None = None
    install_command: str | None = None
    build_command: str | None = None
    release_command: str | None = None
    start_command: str | None = None
    publish_directory: str | None = None
    protocol: Protocol = DEFAULT_PROTOCOL
    auto_deploy: bool = False

    def changed(self, changes: dict[str, Any]) -> AppSettings:
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def valid_name(name: str) -> str:
    """Return the trimmed name, or raise `InvalidRequest`."""
    name = name.strip()
    if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
        raise InvalidRequest(f"The name must have 1 to {NAME_LENGTH} printable characters.")
    return name


def slug_from_name(name: str) -> str:
    """Derive a slug as the console does: lower case, runs of other characters to `-`, ends stripped, cut at 63."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.strip().lower()).strip("-")
    return slug[:SLUG_LENGTH].strip("-")


def valid_slug(slug: str) -> str:
    if len(slug) > SLUG_LENGTH or not _SLUG.fullmatch(slug):
        raise InvalidField(
            "slug", "The slug may have lower-case letters, digits and inner dashes, at most 63 of them."
        )
    return slug


def cut_slug(slug: str) -> str:
    """Cut a slug that was sent: the console derives one from the name without a limit."""
    return slug if len(slug) <= SLUG_LENGTH else slug[:SLUG_LENGTH].rstrip("-")


def with_suffix(slug: str, suffix: str) -> str:
    """Make another slug out of a taken one: `<slug>-<suffix>`, still at most 63 characters."""
    return f"{slug[: SLUG_LENGTH - len(suffix) - 1].rstrip('-')}-{suffix}"


def valid_branch(branch: str) -> str:
    """Return a branch name that git accepts (git-check-ref-format, one level allowed), or raise `InvalidRequest`."""
    branch = branch.strip()
    bad = (
        not branch
        or len(branch) > 255
        or branch.startswith(("-", "/", "."))
        or branch.endswith(("/", "."))
        or branch == "@"
        or _BRANCH_FORBIDDEN.search(branch) is not None
        or not branch.isprintable()
    )
    if bad:
        raise InvalidField("branch", "The branch is not a valid git branch name.")
    return branch


def valid_variable(key: str, value: str) -> tuple[str, str]:
    """Return key and value of an environment variable, or raise `InvalidRequest`."""
    if not _VARIABLE_KEY.fullmatch(key):
        possible = re.sub(r"[^A-Za-z0-9_]+", "_", key)
        raise InvalidField(
            "key",
            "A variable's key starts with a letter or underscore and has letters, digits and underscores, "
            "at most 255 of them.",
            hint=f"Use {possible} instead." if _VARIABLE_KEY.fullmatch(possible) else "",
        )
    if "\x00" in value or len(value.encode("utf-8", "surrogatepass")) > VALUE_BYTES:
        raise InvalidField("value", "A variable's value may have up to 64 KiB and no NUL character.")
    return key, value


@dataclass(frozen=True, slots=True)
class Amount:
    """How many variables an app has, and the bytes of their keys and values together."""

    count: int
    bytes: int

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Amount:
        return cls(len(variables), sum(map(variable_bytes, variables.keys(), variables.values())))


def variable_bytes(key: str, value: str) -> int:
    return len(key.encode()) + len(value.encode())


def check_amount(before: Amount, after: Amount, most: Amount) -> None:
    """Raise `InvalidRequest` naming the limit that is exceeded. What is beyond it already may become less."""
    if after.count > max(most.count, before.count):
        raise InvalidRequest(
            f"An app may have {most.count} variables.",
            hint="Remove some first, or put several values into one.",
            details={"limit": most.count},
        )
    if after.bytes > max(most.bytes, before.bytes):
        raise InvalidRequest(
            f"The variables of an app may have {most.bytes:,} bytes together, names included; "
            f"these would have {after.bytes:,}.",
            hint="Keep large texts in a file of the repository or in a storage of their own.",
            details={"limit": most.bytes},
        )


def valid_build_target(target: str) -> str:
    """Return the name (or number) of a Dockerfile's stage without blanks around it, or raise `InvalidRequest`."""
    target = target.strip()
    if not _BUILD_TARGET.fullmatch(target):
        raise InvalidField(
            "build_target",
            "build_target is the name of a stage of the Dockerfile: letters, digits, dots, dashes and underscores, "
            "at most 128 of them.",
        )
    return target


def valid_path_inside(path: str, field: str) -> str:
    """Return a relative path without `..` or empty members ("" is the root itself), or raise `InvalidRequest`.

    `./` means the folder itself, and is left out.
    """
    path = path.strip().strip("/")
    members = [member for member in path.split("/") if member != "."] if path else []
    path = "/".join(members)
    if len(path) > 512 or not path.isprintable() or any(member in ("", "..") for member in members):
        raise InvalidField(field, f"{field} must be a path inside the repository.")
    return path
