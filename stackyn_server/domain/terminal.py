"""Build output made readable: whole lines, no colours, no cursor movements, of a repainted line only the last state."""

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
        """Return the line that never ended, if there is one."""
        line, self._open = self._open, ""
        return [clean(line)] if line.strip() else []


def clean(line: str) -> str:
    """Return one line as it would look in the end on a terminal, as plain text."""
    painted = _ESCAPES.sub("", line).rstrip("\r").rpartition("\r")[2]
    return _CONTROLS.sub("", painted).rstrip()
