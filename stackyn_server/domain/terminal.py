"""Turns build output into plain lines: no colours, no cursor movements, only the last state of a repainted line."""

from __future__ import annotations

import re

LONGEST_LINE = 8192  # characters; a longer one comes out in pieces

# ECMA-48: CSI sequences, OSC strings up to BEL or ST, and the two-character escapes.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Lines:
    """Joins pieces of text to lines."""

    def __init__(self) -> None:
        self._open = ""

    def feed(self, text: str) -> list[str]:
        """Return the lines that `text` completes."""
        *complete, self._open = (self._open + text).split("\n")
        if len(self._open) > LONGEST_LINE:
            repainted = self._open.rstrip("\r").rpartition("\r")
            if len(repainted[2]) <= LONGEST_LINE:
                self._open = repainted[2]
            else:
                complete.append(self._open)
                self._open = ""
        return [clean(line) for line in complete]

    def rest(self) -> list[str]:
        """Return the last line when it has no newline."""
        line, self._open = self._open, ""
        return [clean(line)] if line.strip() else []


def clean(line: str) -> str:
    """Return the final state of one line on a terminal, as plain text."""
    painted = _ESCAPES.sub("", line).rstrip("\r").rpartition("\r")[2]
    return _CONTROLS.sub("", painted).rstrip()
