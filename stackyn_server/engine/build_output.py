"""What the engine says during a build, from either builder, as lines for people and as facts for us.

The classic builder mixes its own lines with what the steps print, and nothing tells them apart: a step can print
`---> Running in …` with any id. So ids found here are hints, to be checked before anything is done with them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stackyn_server.engine import buildkit_trace
from stackyn_server.engine.build_text import Lines
from stackyn_server.engine.labels import IMAGE_PREFIX

EVIDENCE_LINES = 40
_MOST_IDS = 1000  # a Dockerfile has far fewer steps; a step that prints ids must not fill our memory

_STEP = re.compile(r"Step ([0-9]+)/([0-9]+) : (.*)")
_RUNNING_IN = re.compile(r" ---> Running in ([0-9a-f]{12})")
_IMAGE = re.compile(r" ---> ([0-9a-f]{12})")
_REMOVED = re.compile(r"(?: ---> Removed|Removing) intermediate container [0-9a-f]{12}")
_OUR_LABELS = f"LABEL {IMAGE_PREFIX}"
_INTERNAL = "[internal]"
_EXIT_CODE = re.compile(r"exit code: ([0-9]+)$|returned a non-zero code: ([0-9]+)$")


@dataclass(frozen=True, slots=True)
class Problem:
    """What the engine complains about. `exit_code` of the step's command, None when no command failed;
    `is_fault`: the engine calls it an error of its own."""

    text: str
    exit_code: int | None
    is_fault: bool = False


class BuildOutput:
    """Fed with the engine's records one by one; `on_line` gets each readable line.

    `image` is the id of the result; `step` the last step begun, as people count it; `containers` and `images` the
    short ids that were named; `stages` those of them that ended a stage which is not the last. `own_steps` is how
    many steps at the end are ours: the classic builder makes one of each label.
    """

    def __init__(self, on_line: Callable[[str], None], own_steps: int = 0) -> None:
        self._on_line = on_line
        self._own_steps = own_steps
        self._lines = Lines()
        self._vertex_lines: dict[str, Lines] = {}
        self._vertexes_told: set[str] = set()
        self.recent: deque[str] = deque(maxlen=EVIDENCE_LINES)
        self.image: str | None = None
        self.step = ""
        self.problem: Problem | None = None
        self.containers: list[str] = []
        self.images: list[str] = []
        self.stages: list[str] = []

    def feed(self, record: Mapping[str, Any]) -> None:
        if "stream" in record:
            for line in self._lines.feed(str(record["stream"])):
                self._classic_line(line)
        elif "error" in record or "errorDetail" in record:
            self._error(record)
        elif record.get("id") == "moby.buildkit.trace":
            self._trace(str(record["aux"]))
        elif isinstance(record.get("aux"), dict) and "ID" in record["aux"]:
            self.image = str(record["aux"]["ID"])
        elif "status" in record:
            self._pull(record)

    def finish(self) -> None:
        """Tell the lines that never ended."""
        for lines in (self._lines, *self._vertex_lines.values()):
            for line in lines.rest():
                self._tell(line)

    @property
    def evidence(self) -> str:
        return "\n".join(self.recent)

    def _tell(self, line: str) -> None:
        self.recent.append(line)
        self._on_line(line)

    def _classic_line(self, line: str) -> None:
        if match := _STEP.fullmatch(line):
            if match[3].startswith(_OUR_LABELS):
                return
            line = self._begin_step(int(match[1]), int(match[2]) - self._own_steps, match[3])
        elif match := _RUNNING_IN.fullmatch(line):
            _remember(self.containers, match[1])
            return
        elif match := _IMAGE.fullmatch(line):
            _remember(self.images, match[1])
            return
        elif _REMOVED.fullmatch(line):
            return
        self._tell(line)

    def _begin_step(self, number: int, total: int, instruction: str) -> str:
        if instruction.upper().startswith("FROM ") and self.images:
            _remember(self.stages, self.images[-1])
        self.step = f"step {number} of {total}: {instruction}"
        return f"Step {number}/{total} : {instruction}"

    def _error(self, record: Mapping[str, Any]) -> None:
        detail = record.get("errorDetail") or {}
        text = str(detail.get("message") or record.get("error") or "")
        code = int(detail.get("code") or 0)
        if not code and (match := _EXIT_CODE.search(text)):
            code = int(match[1] or match[2])
        self.problem = Problem(text, code or None)

    def _pull(self, record: Mapping[str, Any]) -> None:
        """Of a pull, tell what happens to the image, not to each layer."""
        if not record.get("progressDetail") and "progress" not in record and not _is_layer(record):
            self._tell(str(record["status"]))

    def _trace(self, text: str) -> None:
        try:
            trace = buildkit_trace.decode(text)
        except buildkit_trace.TraceInvalid:
            return  # progress only: the result and the error come in records of their own
        for vertex in trace.vertexes:
            self._vertex(vertex)
        for log in trace.logs:
            lines = self._vertex_lines.setdefault(log.vertex, Lines())
            for line in lines.feed(log.message.decode("utf-8", "replace")):
                self._tell(line)
        for warning in trace.warnings:
            self._tell(f"Warning: {warning}")

    def _vertex(self, vertex: buildkit_trace.Vertex) -> None:
        if vertex.error:
            self.step = vertex.name
        if _INTERNAL in vertex.name or vertex.digest in self._vertexes_told:
            return
        if vertex.started or vertex.cached:
            self._vertexes_told.add(vertex.digest)
            self.step = vertex.name
            self._tell(f"{vertex.name} (from cache)" if vertex.cached else vertex.name)


def _is_layer(record: Mapping[str, Any]) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{12}", str(record.get("id", ""))))


def _remember(ids: list[str], one: str) -> None:
    if one not in ids and len(ids) < _MOST_IDS:
        ids.append(one)
