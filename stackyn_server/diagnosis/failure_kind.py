"""A known kind of failure, with the sentences that a tenant reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Flag, auto

from stackyn_server.domain.failures import FailureCode

_MOST_NAME = 160  # characters of a name in a sentence


class FailedStep(Flag):
    """What failed: a step of a build, or an app that ended or did not get ready."""

    BUILD = auto()
    START = auto()
    BOTH = BUILD | START


@dataclass(frozen=True, slots=True)
class FailureKind:
    """A row. `message` is the cause in one sentence; `hint` is the next step. Both may have `{name}` for a group of the
    pattern; `unnamed` replaces a group that the line does not have.

    `patterns`: a line that matches one of them shows this kind; they are tried on single, bounded lines and must need
    no more than linear time. `before` and `after` count the lines around it that belong to it, `also` matches further
    ones. `exit_code`: only for a program that ended with it. `build_code` and `start_code` replace BUILD_FAILED and
    APP_EXITED.
    """

    name: str
    step: FailedStep
    patterns: tuple[re.Pattern[str], ...]
    message: str
    hint: str
    before: int = 0
    after: int = 0
    also: re.Pattern[str] | None = None
    unnamed: str = ""
    exit_code: int | None = None
    build_code: FailureCode = FailureCode.BUILD_FAILED
    start_code: FailureCode = FailureCode.APP_EXITED

    def sentences(self, match: re.Match[str]) -> tuple[str, str]:
        """Return message and hint with the groups of `match` filled in."""
        names = _Names(
            self.unnamed, {name: _short(value) for name, value in match.groupdict().items() if value}
        )
        return self.message.format_map(names), self.hint.format_map(names)

    def match(self, line: str) -> re.Match[str] | None:
        for pattern in self.patterns:
            if match := pattern.search(line):
                return match
        return None


class _Names(dict[str, str]):
    def __init__(self, unnamed: str, names: dict[str, str]) -> None:
        super().__init__(names)
        self._unnamed = unnamed

    def __missing__(self, _: str) -> str:
        return self._unnamed


def _short(name: str) -> str:
    name = name.rstrip(" .,:;")
    return name if len(name) <= _MOST_NAME else f"{name[:_MOST_NAME]}…"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The cause of one failure. `evidence` are the lines that show it, in their order."""

    kind: FailureKind
    message: str
    hint: str
    evidence: str


def failure_kind(
    name: str,
    step: FailedStep,
    patterns: str | Iterable[str],
    message: str,
    hint: str,
    *,
    before: int = 0,
    after: int = 0,
    also: str | None = None,
    unnamed: str = "",
    exit_code: int | None = None,
    build_code: FailureCode = FailureCode.BUILD_FAILED,
    start_code: FailureCode = FailureCode.APP_EXITED,
) -> FailureKind:
    """Return a row; `patterns` are texts."""
    texts = (patterns,) if isinstance(patterns, str) else tuple(patterns)
    return FailureKind(
        name, step, tuple(re.compile(text) for text in texts), message, hint, before, after,
        re.compile(also) if also else None, unnamed, exit_code, build_code, start_code,
    )  # fmt: skip
