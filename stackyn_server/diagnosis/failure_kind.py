"""A known kind of failure, with the sentences that a tenant reads."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import InitVar, dataclass, field
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
    """A row of the tables. `message` is the cause in one sentence; `hint` is the next step. `{name}` in either stands
    for a group of the pattern; `unnamed` replaces a group that the line does not have.

    A line that one of `patterns` matches shows this kind. The patterns are tried on single, bounded lines and must need
    no more than linear time. `before` and `after` count the lines around a match that are evidence too, and `also`
    matches further lines of evidence. `exit_code`: only for a program that ended with it. `build_code` and `start_code`
    replace BUILD_FAILED and APP_EXITED.
    """

    name: str
    pattern_texts: InitVar[str | tuple[str, ...]]
    message: str
    hint: str
    step: FailedStep = FailedStep.BOTH
    before: int = 0
    after: int = 0
    also: str | None = None
    unnamed: str = ""
    exit_code: int | None = None
    build_code: FailureCode = FailureCode.BUILD_FAILED
    start_code: FailureCode = FailureCode.APP_EXITED
    patterns: tuple[re.Pattern[str], ...] = field(init=False)

    def __post_init__(self, pattern_texts: str | tuple[str, ...]) -> None:
        texts = (pattern_texts,) if isinstance(pattern_texts, str) else pattern_texts
        object.__setattr__(self, "patterns", tuple(map(re.compile, texts)))

    def sentences(self, match: re.Match[str]) -> tuple[str, str]:
        """Return message and hint with the groups of `match` filled in."""
        names: defaultdict[str, str] = defaultdict(lambda: self.unnamed)
        names.update((name, _short(text)) for name, text in match.groupdict().items() if text)
        return self.message.format_map(names), self.hint.format_map(names)

    def match(self, line: str) -> re.Match[str] | None:
        return next((match for pattern in self.patterns if (match := pattern.search(line))), None)


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
