"""From what was printed to the cause: the first row that fits a line wins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from stackyn_server.diagnosis import (
    building,
    compiling,
    installing,
    javascript,
    machine,
    registries,
    starting,
)
from stackyn_server.diagnosis.kind import Diagnosis, Kind, Where
from stackyn_server.diagnosis.transcript import Line

# What is certain whatever else was printed comes first; what is said beside many other failures comes last.
KINDS: tuple[Kind, ...] = (
    *machine.KINDS,
    *installing.KINDS,
    *javascript.KINDS,
    *compiling.KINDS,
    *building.KINDS,
    *registries.KINDS,
    *starting.KINDS,
)

EVIDENCE_LINES = 40
_FIRST_ERRORS, _LAST_LINES = 15, 20
_ERROR = re.compile(
    r"\b(?:error|fatal|exception|traceback|panic|failed|failure|cannot|can't|unable|denied|refused|"
    r"not found|no such|"
    r"undefined|missing|invalid|unsupported|unknown)\b",
    re.IGNORECASE,
)
_NO_ERROR = re.compile(r"\b(?:0 (?:errors?|failed|failures)|no errors?)\b|^\s*(?:npm )?warn", re.IGNORECASE)
_GAP = "…"


def diagnose(lines: Sequence[Line], where: Where, exit_code: int | None = None) -> Diagnosis | None:
    """Return what is known of a failure; None when no row fits. Of several lines that fit a row, the sentence is made
    from the first in a build, and from the last of an app, which may have gone on after earlier ones."""
    for kind in KINDS:
        if where not in kind.where or kind.exit_code not in (None, exit_code):
            continue
        found = [(place, match) for place, line in enumerate(lines) if (match := kind.match(line.text))]
        if found:
            _, match = found[0 if where is Where.BUILD else -1]
            evidence = _around(lines, kind, [place for place, _ in found])
            return Diagnosis(kind, *kind.told_by(match), evidence)
    return None


def telling_lines(lines: Sequence[Line]) -> str:
    """Return the lines that say most of a failure of no known kind: its first errors, and its end."""
    if len(lines) <= EVIDENCE_LINES:
        return _text(lines)
    places = [
        place
        for place, line in enumerate(lines[:-_LAST_LINES])
        if _ERROR.search(line.text) and not _NO_ERROR.search(line.text)
    ]
    return _text([*(lines[place] for place in places[:_FIRST_ERRORS]), *lines[-_LAST_LINES:]])


def _around(lines: Sequence[Line], kind: Kind, places: Iterable[int]) -> str:
    chosen: set[int] = set()
    for place in places:
        if len(chosen) >= EVIDENCE_LINES:
            break
        chosen.update(range(max(0, place - kind.before), min(len(lines), place + kind.after + 1)))
    if kind.also is not None:
        chosen.update(place for place, line in enumerate(lines) if kind.also.search(line.text))
    return _text([lines[place] for place in sorted(chosen) if lines[place].text.strip()][:EVIDENCE_LINES])


def _text(lines: Iterable[Line]) -> str:
    """Return the lines, with a mark where others were left out."""
    shown: list[str] = []
    before: Line | None = None
    for line in lines:
        if before is not None and line.number != before.number + 1:
            shown.append(_GAP)
        shown.append(line.text)
        before = line
    return "\n".join(shown).strip("\n")
