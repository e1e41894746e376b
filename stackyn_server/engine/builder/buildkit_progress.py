"""Turn BuildKit's progress records into lines of a build log and facts about the failure. Pure.

The lines are generated lazily: one record of a step's output may hold a million lines.

`buildctl --progress=rawjson` writes a `SolveStatus` in each line of its standard error (client/graph.go and
util/progress/progresswriter of moby/buildkit, tried with 0.34.2); a line that is not JSON is an error message at
the end. A step's output comes only as the data of a log record, so no step can forge a record.
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
MOST_VERTEXES = 10_000  # a Dockerfile has far fewer steps; a tenant's own frontend may claim any number
_MESSAGE_LINES = 200
_SLICE_CHARACTERS = 8192  # of a step's output that are split into lines at a time
_NAME_CHARACTERS = 200
_LONG_STEP_SECONDS = 1.0  # the duration of longer steps is logged
_INTERNAL = ("[internal]", "[auth]", "exporting ", "importing ", "resolve image config")
_OWN_LOG = re.compile(r"time=\"[^\"]*\" level=")  # buildctl's own log
_NUMBER = re.compile(r"^\[(?P<place>[^\]]*)\]")
_BASE = re.compile(r"\[context (?P<name>.*)\] (?P<what>load metadata|OCI load)")
_CANCELLED = re.compile(r"context canceled|Canceled", re.IGNORECASE)
_EXIT_CODE = re.compile(r"did not complete successfully: exit code: ([0-9]+)")
_ERROR_PREFIX = "error: "
_PREFIX = "failed to solve: "


@dataclass(slots=True)
class _Vertex:
    name: str
    is_announced: bool = False
    is_done: bool = False
    started: datetime | None = None
    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True)
class BuildkitError:
    """The builder's error. `exit_code` is that of the step's command, None when no command failed; `step` is the name
    of the step that failed, "" when none did."""

    text: str
    exit_code: int | None
    step: str


class BuildkitProgress:
    """Takes pieces of the standard error and yields log lines. The caller must exhaust each iterator."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._is_skipping = False
        self._vertexes: dict[str, _Vertex] = {}
        self._current_step = ""
        self._failed: tuple[str, str, str] | None = None  # digest, name, error
        self._messages: list[str] = []
        self._printed = Transcript()

    def feed(self, piece: bytes) -> Iterator[str]:
        """Yield the lines that `piece` completes."""
        self._rest += piece
        if b"\n" not in piece:
            if len(self._rest) > LONGEST_RECORD_BYTES:
                self._rest.clear()
                self._is_skipping = True  # until the end of this record
            return
        *lines, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            if self._is_skipping:
                self._is_skipping = False
            else:
                yield from self._line(bytes(line))

    def finish(self) -> Iterator[str]:
        """Yield the lines without a line break."""
        if self._rest and not self._is_skipping:
            yield from self._line(bytes(self._rest))
        self._rest.clear()
        for digest, vertex in self._vertexes.items():
            yield from self._step_lines(digest, vertex, vertex.lines.rest())

    @property
    def step(self) -> str:
        """The step whose output came last, "" before the first."""
        vertex = self._vertexes.get(self._current_step)
        return "" if vertex is None else vertex.name

    @property
    def problem(self) -> BuildkitError | None:
        """The builder's error, None while it has reported none."""
        text = self.messages
        if _ERROR_PREFIX not in text and self._failed is None:
            return None
        _, step, step_error = self._failed or ("", "", "")
        _, _, error = text.rpartition(_ERROR_PREFIX)
        error = (error if _ERROR_PREFIX in text else step_error).strip().removeprefix(_PREFIX)
        code = _EXIT_CODE.search(error) or _EXIT_CODE.search(step_error)
        return BuildkitError(error, int(code[1]) if code else None, step)

    @property
    def printed(self) -> list[Line]:
        """The output of the step that failed, or of all steps when none failed."""
        return self._printed.lines(self._failed[0] if self._failed else None)

    @property
    def messages(self) -> str:
        """The lines that were no records, for the operator."""
        return "\n".join(self._messages)

    @property
    def excerpt(self) -> list[str]:
        """The lines of the Dockerfile that the builder names, as it prints them."""
        return [line for line in self.messages.rpartition(_ERROR_PREFIX)[0].split("\n") if line.strip()]

    def _line(self, line: bytes) -> Iterator[str]:
        if line.startswith(b"{"):
            # Such a line is not BuildKit's.
            with suppress(ValueError, TypeError, AttributeError, RecursionError):
                yield from self._record(json.loads(line))
        elif line.strip() and len(self._messages) < _MESSAGE_LINES:
            text = without_variables(clean(line.decode("utf-8", "replace")))
            if text and not _OWN_LOG.match(text):
                self._messages.append(text)

    def _record(self, record: Mapping[str, Any]) -> Iterator[str]:
        for vertex in record.get("vertexes") or ():
            yield from self._vertex(vertex)
        for log in record.get("logs") or ():
            yield from self._log(log)
        for warning in record.get("warnings") or ():
            yield from self._warning(warning)

    def _vertex(self, record: Mapping[str, Any]) -> Iterator[str]:
        digest = str(record.get("digest", ""))
        vertex = self._vertexes.get(digest)
        if vertex is None:
            if len(self._vertexes) >= MOST_VERTEXES:
                return
            vertex = self._vertexes[digest] = _Vertex(_short(str(record.get("name", ""))))
        if error := str(record.get("error") or ""):
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
        if record.get("cached"):
            vertex.is_done = vertex.is_announced = True
            yield f"CACHED {vertex.name}"
        elif record.get("started") and not vertex.is_announced:
            vertex.is_announced = True
            vertex.started = parse_time(str(record["started"]))
            self._current_step = digest
            yield vertex.name
        if record.get("completed") and not vertex.is_done:
            yield from self._done(digest, vertex, parse_time(str(record["completed"])))

    def _done(self, digest: str, vertex: _Vertex, at: datetime | None) -> Iterator[str]:
        vertex.is_done = True
        yield from self._step_lines(digest, vertex, vertex.lines.rest())
        if at is None or vertex.started is None:
            return
        seconds = (at - vertex.started).total_seconds()
        if seconds >= _LONG_STEP_SECONDS and (place := _NUMBER.match(vertex.name)):
            yield f"[{place['place']}] DONE {seconds:.1f} s"

    def _log(self, log: Mapping[str, Any]) -> Iterator[str]:
        digest = str(log.get("vertex", ""))
        vertex = self._vertexes.get(digest)
        if vertex is None:
            return
        text = _decoded(log.get("data")).decode("utf-8", "replace")
        for start in range(0, len(text), _SLICE_CHARACTERS):
            complete = vertex.lines.feed(text[start : start + _SLICE_CHARACTERS])
            yield from self._step_lines(digest, vertex, complete)

    def _step_lines(self, digest: str, vertex: _Vertex, lines: list[str]) -> Iterator[str]:
        """Yield lines of a step, after the step's name when another step printed in between."""
        if lines and digest != self._current_step:
            self._current_step = digest
            if vertex.is_announced:
                yield f"{vertex.name} (goes on)"
        for line in lines:
            self._printed.add(line, digest)
            yield line

    def _warning(self, warning: Mapping[str, Any]) -> Iterator[str]:
        if short := clean(_decoded(warning.get("short")).decode("utf-8", "replace")):
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
