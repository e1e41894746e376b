"""The lines of a build's or an app's output that a diagnosis reads: few enough, and short enough."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from stackyn_server.domain.terminal import clean

LAST_LINES = 400
EARLIER_LINES = 100  # of the lines before, the first that mention trouble
LONGEST_LINE = 800  # characters
_TROUBLE = ("error", "fatal", "failed", "exception", "cannot", "not found", "denied", "err!", "panic")
_TROUBLE_WITHIN = 200  # characters
LONGEST_RAW = 4 * LONGEST_LINE  # with the escape sequences of a terminal
_LINES_AFTER = 3  # the lines below often explain the trouble


@dataclass(frozen=True, slots=True)
class Line:
    """A printed line. `number` counts all lines, so that gaps can be seen; `program` printed it."""

    number: int
    text: str
    program: str


class Transcript:
    """Keep the last lines, and the first of the earlier lines that mention trouble. Long lines are cut."""

    def __init__(self) -> None:
        self._count = 0
        self._last: deque[Line] = deque()
        self._earlier: list[Line] = []
        self._kept_until = 0

    def add(self, text: str, program: str = "") -> None:
        """Take the next line, which is plain text (see `domain.terminal`)."""
        self._count += 1
        self._last.append(Line(self._count, text[:LONGEST_LINE], program))
        if len(self._last) > LAST_LINES:
            self._keep_trouble(self._last.popleft())

    def lines(self, program: str | None = None) -> list[Line]:
        """Return the lines that were kept, of one program or of all."""
        kept = (*self._earlier, *self._last)
        return [line for line in kept if program is None or line.program == program]

    def _keep_trouble(self, line: Line) -> None:
        if len(self._earlier) >= EARLIER_LINES:
            return
        lowered = line.text[:_TROUBLE_WITHIN].lower()
        if any(word in lowered for word in _TROUBLE):
            self._kept_until = line.number + _LINES_AFTER
        if line.number <= self._kept_until:
            self._earlier.append(line)


def transcript_of(output: str) -> Transcript:
    """Return the transcript of a complete output, which may contain escape sequences of a terminal."""
    transcript = Transcript()
    for line in output.split("\n"):
        transcript.add(clean(line[:LONGEST_RAW]))
    return transcript
