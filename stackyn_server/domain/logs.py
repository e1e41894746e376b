"""Logs as values: a line that a container wrote, a stored chunk of a log, an entry in the list of an app's logs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from stackyn_server.domain.ids import AppId, DeploymentId

LogKind = Literal["build", "runtime"]
StreamName = Literal["stdout", "stderr"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line without its end. `nanoseconds` since 1970 is the exact time; whoever follows resumes from it."""

    at: datetime
    nanoseconds: int
    stream: StreamName
    text: str


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of a log: whole lines, each with its newline. Ids ascend within a deployment."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class RuntimeChunk:
    """A piece of an app's output, with the nanoseconds of each line; those of the standard error are negative."""

    content: str
    stamps: list[int]

    @classmethod
    def of(cls, lines: Iterable[LogLine]) -> RuntimeChunk:
        kept = list(lines)
        stamps = [-line.nanoseconds if line.stream == "stderr" else line.nanoseconds for line in kept]
        return cls("".join(f"{line.text}\n" for line in kept), stamps)

    def lines(self) -> list[LogLine]:
        return [
            LogLine(_time_of(abs(stamp)), abs(stamp), "stderr" if stamp < 0 else "stdout", text)
            for stamp, text in zip(self.stamps, self.content.split("\n"), strict=False)
        ]


def merged(lines: Iterable[LogLine]) -> list[LogLine]:
    """Return the lines by time; one that was read in two places once."""
    return sorted(dict.fromkeys(lines), key=lambda line: line.nanoseconds)


def _time_of(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """`size` in bytes of UTF-8."""

    id: int
    app: AppId
    deployment: DeploymentId | None
    kind: LogKind
    created_at: datetime
    content: str
    size: int
