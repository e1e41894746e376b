"""Find the cause of a failure in the lines that were printed: the first row that matches a line wins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from stackyn_server.diagnosis import apps, build_tools, compilers, machine, node, package_managers, registries
from stackyn_server.diagnosis.failure_kind import Diagnosis, FailedStep, FailureKind
from stackyn_server.diagnosis.transcript import Line

# Causes that are certain whatever else was printed come first; lines that many other failures print come last.
KINDS: tuple[FailureKind, ...] = (
    *machine.KINDS,
    *package_managers.KINDS,
    *node.KINDS,
    *compilers.KINDS,
    *build_tools.KINDS,
    *registries.KINDS,
    *apps.KINDS,
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


def diagnose(lines: Sequence[Line], step: FailedStep, exit_code: int | None = None) -> Diagnosis | None:
    """Return the diagnosis of a failure; None if no row matches.

    Where several lines match the row, the sentence comes from the first line for a build, and from the last line for an
    app, which may have continued after earlier failures.
    """
    for kind in KINDS:
        if step not in kind.step or kind.exit_code not in (None, exit_code):
            continue
        matches = [(index, match) for index, line in enumerate(lines) if (match := kind.match(line.text))]
        if matches:
            _, match = matches[0 if step is FailedStep.BUILD else -1]
            evidence = _evidence(lines, kind, [index for index, _ in matches])
            return Diagnosis(kind, *kind.sentences(match), evidence)
    return None


def error_excerpt(lines: Sequence[Line]) -> str:
    """Return the most telling lines of an unknown failure: its first errors and its end."""
    if len(lines) <= EVIDENCE_LINES:
        return _text(lines)
    indexes = [
        index
        for index, line in enumerate(lines[:-_LAST_LINES])
        if _ERROR.search(line.text) and not _NO_ERROR.search(line.text)
    ]
    return _text([*(lines[index] for index in indexes[:_FIRST_ERRORS]), *lines[-_LAST_LINES:]])


def _evidence(lines: Sequence[Line], kind: FailureKind, indexes: Iterable[int]) -> str:
    shown: set[int] = set()
    for index in indexes:
        if len(shown) >= EVIDENCE_LINES:
            break
        shown.update(range(max(0, index - kind.before), min(len(lines), index + kind.after + 1)))
    if kind.also is not None:
        shown.update(index for index, line in enumerate(lines) if re.search(kind.also, line.text))
    return _text([lines[index] for index in sorted(shown) if lines[index].text.strip()][:EVIDENCE_LINES])


def _text(lines: Iterable[Line]) -> str:
    """Join the lines, with a mark where lines were left out."""
    shown: list[str] = []
    before: Line | None = None
    for line in lines:
        if before is not None and line.number != before.number + 1:
            shown.append(_GAP)
        shown.append(line.text)
        before = line
    return "\n".join(shown).strip("\n")
