"""What the last lines of an app that ended say of the reason, where they say it in words that are always the same."""

from __future__ import annotations

import re

NOT_EXECUTABLE, NOT_FOUND = 126, 127  # exit codes of a shell, and of the init program of our containers

_NAME = r"(?P<name>[^\s:'\"`\u2018\u2019]+)"
# A shell's (`sh: 1: gunicorn: not found`, `bash: line 1: gunicorn: command not found`, `./run: line 3: x: not found`),
# the one of `env`, and the one of the containers' init program.
_MISSING = (
    re.compile(rf"(?:^|: ){_NAME}: (?:command )?not found\s*$", re.MULTILINE),
    re.compile(
        rf"^(?:/\S*/)?env: (?:can't execute )?[\u2018'\"]?{_NAME}[\u2019'\"]?: No such file or directory",
        re.MULTILINE,
    ),
    re.compile(rf"exec {_NAME} failed: No such file or directory", re.MULTILINE),
    re.compile(rf"(?:^|: ){_NAME}: No such file or directory\s*$", re.MULTILINE),
)
_REFUSED = (
    re.compile(rf"exec {_NAME} failed: (?:Permission denied|Exec format error)", re.MULTILINE),
    re.compile(
        rf"(?:^|: ){_NAME}: (?:Permission denied|cannot execute\b.*|Exec format error|Is a directory)\s*$",
        re.MULTILINE | re.IGNORECASE,
    ),
)
_SUDO = re.compile(r"sudo: .*no new privileges", re.IGNORECASE)
_LOW_PORT = re.compile(
    r"bind.*(?:permission denied|EACCES)|EACCES.*(?:0\.0\.0\.0|::|listen)|listen.*permission denied",
    re.IGNORECASE,
)
_NOT_PERMITTED = re.compile(
    r"operation not permitted|\bEPERM\b|\bset(?:re|res|e)?[ug]id\b.*failed|must be (?:run as )?root"
    r"|\bCAP_[A-Z_]{3,}",
    re.IGNORECASE,
)


def missing_program(lines: str) -> str:
    """Return the program that was not found, for exit code 127; "" when nothing names it."""
    return _last_name(_MISSING, lines)


def refused_program(lines: str) -> str:
    """Return the program that could not be executed, for exit code 126; "" when nothing names it."""
    return _last_name(_REFUSED, lines)


def missing_right(lines: str) -> str:
    """Return a hint for an app that failed because it may not do what it tried; "" when it is no such thing."""
    if _SUDO.search(lines):
        return (
            "It uses sudo, which can't work here: no program of an app gains rights. Start it without sudo, as the "
            "user that USER names in the Dockerfile, or as root."
        )
    if _LOW_PORT.search(lines):
        return "It may not listen on that port or address. Listen on the port that PORT names, on 0.0.0.0."
    if _NOT_PERMITTED.search(lines):
        return (
            "It tried something that apps have no right to, as its last lines say. An app may change its user and the "
            "owner of its files, but not mount, trace, or change the network or the kernel's settings."
        )
    return ""


def _last_name(patterns: tuple[re.Pattern[str], ...], lines: str) -> str:
    for pattern in patterns:
        found = [match["name"] for match in pattern.finditer(lines)]
        if found:
            return found[-1]
    return ""
