"""BuildKit's progress as lines for people and as facts for us. Pure.

The lines are made as they are asked for: a record of what a step printed may have a million of them.

`buildctl --progress=rawjson` writes a `SolveStatus` in each line of its standard error (client/graph.go and
util/progress/progresswriter of moby/buildkit, tried with 0.34.2); a line that is not JSON is its complaint at the end.
What a step prints comes only as the data of a log record, so no step can pretend to be one.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from stackyn_server.buildplan.generated.build_variables import without_variables
from stackyn_server.diagnosis.transcript import Line, Transcript
from stackyn_server.domain.terminal import Lines, clean
from stackyn_server.engine.timestamps import parse_time

LONGEST_RECORD_BYTES = 4 * 1024 * 1024
MOST_VERTEXES = (
    10_000  # a Dockerfile has far fewer steps; a frontend of the tenant's own may claim any number
)
_COMPLAINT_LINES = 200
_SLICE_CHARACTERS = 8192  # of what a step printed, made into lines at once
_NAME_CHARACTERS = 200
_TOLD_SECONDS = 1.0  # how long a step took is said from here on
_INTERNAL = ("[internal]", "[auth]", "exporting ", "importing ", "resolve image config")
_OWN_LOG = re.compile(r"time=\"[^\"]*\" level=")  # of buildctl, about its own work
_NUMBER = re.compile(r"^\[(?P<place>[^\]]*)\]")
_BASE = re.compile(r"\[context (?P<name>.*)\] (?P<what>load metadata|OCI load)")
_CANCELLED = re.compile(r"context canceled|Canceled", re.IGNORECASE)
_EXIT_CODE = re.compile(r"did not complete successfully: exit code: ([0-9]+)")
_COMPLAINT = "error: "
_PREFIX = "failed to solve: "


@dataclass(slots=True)
class _Vertex:
    name: str
    is_told: bool = False
    is_done: bool = False
    started: datetime | None = None
    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True)
class BuildProblem:
    """What the builder complains about. `exit_code` of the step's command, None when no command failed; `step` is the
    name of the step, "" when none is to blame."""

    text: str
    exit_code: int | None
    step: str


class BuildProgress:
    """Fed with pieces of the standard error; yields the readable lines, which must be taken to their end."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._is_skipping = False
        self._vertexes: dict[str, _Vertex] = {}
        self._speaker = ""
        self._failed: tuple[str, str, str] | None = None  # digest, name, error
        self._complaint: list[str] = []
        self._printed = Transcript()

    def feed(self, piece: bytes) -> Iterator[str]:
        """Yield the lines that `piece` completes."""
        self._rest += piece
        if b"\n" not in piece:
            if len(self._rest) > LONGEST_RECORD_BYTES:
                self._rest.clear()
                self._is_skipping = True  # until its end
            return
        *lines, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            if self._is_skipping:
                self._is_skipping = False
            else:
                yield from self._line(bytes(line))

    def finish(self) -> Iterator[str]:
        """Yield what never ended."""
        if self._rest and not self._is_skipping:
            yield from self._line(bytes(self._rest))
        self._rest.clear()
        for digest, vertex in self._vertexes.items():
            yield from self._said(digest, vertex, vertex.lines.rest())

    @property
    def step(self) -> str:
        """The step that spoke last, "" before the first."""
        vertex = self._vertexes.get(self._speaker)
        return "" if vertex is None else vertex.name

    @property
    def problem(self) -> BuildProblem | None:
        """What went wrong, once the builder has said so."""
        text = self.complaint
        if _COMPLAINT not in text and self._failed is None:
            return None
        _, step, said = self._failed or ("", "", "")
        _, _, error = text.rpartition(_COMPLAINT)
        error = (error if _COMPLAINT in text else said).strip().removeprefix(_PREFIX)
        code = _EXIT_CODE.search(error) or _EXIT_CODE.search(said)
        return BuildProblem(error, int(code[1]) if code else None, step)

    @property
    def printed(self) -> list[Line]:
        """What the step that failed has printed, or all steps when none is to blame."""
        return self._printed.lines(self._failed[0] if self._failed else None)

    @property
    def complaint(self) -> str:
        """All that was no record, for the operator."""
        return "\n".join(self._complaint)

    @property
    def excerpt(self) -> list[str]:
        """The lines of the Dockerfile that the builder points at, as it prints them."""
        return [line for line in self.complaint.rpartition(_COMPLAINT)[0].split("\n") if line.strip()]

    def _line(self, line: bytes) -> Iterator[str]:
        if line.startswith(b"{"):
            with suppress(ValueError, TypeError, AttributeError, RecursionError):  # then it isn't BuildKit's
                yield from self._record(json.loads(line))
        elif line.strip() and len(self._complaint) < _COMPLAINT_LINES:
            text = without_variables(clean(line.decode("utf-8", "replace")))
            if text and not _OWN_LOG.match(text):
                self._complaint.append(text)

    def _record(self, record: Mapping[str, Any]) -> Iterator[str]:
        for vertex in record.get("vertexes") or ():
            yield from self._vertex(vertex)
        for log in record.get("logs") or ():
            yield from self._log(log)
        for warning in record.get("warnings") or ():
            yield from self._warning(warning)

    def _vertex(self, found: Mapping[str, Any]) -> Iterator[str]:
        digest = str(found.get("digest", ""))
        vertex = self._vertexes.get(digest)
        if vertex is None:
            if len(self._vertexes) >= MOST_VERTEXES:
                return
            vertex = self._vertexes[digest] = _Vertex(_short(str(found.get("name", ""))))
        if error := str(found.get("error") or ""):
            vertex.is_done = True
            if self._failed is None and not _CANCELLED.search(error):
                self._failed = (digest, vertex.name, error)
            return
        if vertex.is_done or vertex.name.startswith(_INTERNAL):
            return
        if base := _BASE.match(vertex.name):
            vertex.is_done = True
            if base["what"] == "OCI load":
                yield f"FROM {base['name']}"
            return
        if found.get("cached"):
            vertex.is_done = vertex.is_told = True
            yield f"CACHED {vertex.name}"
        elif found.get("started") and not vertex.is_told:
            vertex.is_told = True
            vertex.started = parse_time(str(found["started"]))
            self._speaker = digest
            yield vertex.name
        if found.get("completed") and not vertex.is_done:
            yield from self._done(digest, vertex, parse_time(str(found["completed"])))

    def _done(self, digest: str, vertex: _Vertex, at: datetime | None) -> Iterator[str]:
        vertex.is_done = True
        yield from self._said(digest, vertex, vertex.lines.rest())
        if at is None or vertex.started is None:
            return
        seconds = (at - vertex.started).total_seconds()
        if seconds >= _TOLD_SECONDS and (place := _NUMBER.match(vertex.name)):
            yield f"[{place['place']}] DONE {seconds:.1f} s"

    def _log(self, log: Mapping[str, Any]) -> Iterator[str]:
        digest = str(log.get("vertex", ""))
        vertex = self._vertexes.get(digest)
        if vertex is None:
            return
        text = _decoded(log.get("data")).decode("utf-8", "replace")
        for start in range(0, len(text), _SLICE_CHARACTERS):
            complete = vertex.lines.feed(text[start : start + _SLICE_CHARACTERS])
            yield from self._said(digest, vertex, complete)

    def _said(self, digest: str, vertex: _Vertex, lines: list[str]) -> Iterator[str]:
        """Yield lines of a step; when another one spoke in between, its name comes again first."""
        if lines and digest != self._speaker:
            self._speaker = digest
            if vertex.is_told:
                yield f"{vertex.name} (goes on)"
        for line in lines:
            self._printed.add(line, digest)
            yield line

    def _warning(self, warning: Mapping[str, Any]) -> Iterator[str]:
        short = clean(_decoded(warning.get("short")).decode("utf-8", "replace"))
        if short:
            yield f"Warning: {short}"


def _short(name: str) -> str:
    """Return a step's name as one line."""
    first = without_variables(clean(" ".join(name.split())))
    return first if len(first) <= _NAME_CHARACTERS else f"{first[:_NAME_CHARACTERS]}…"


def _decoded(data: object) -> bytes:
    try:
        return base64.b64decode(str(data or ""))
    except (binascii.Error, ValueError):
        return b""
