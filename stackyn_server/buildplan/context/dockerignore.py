"""Docker's ignore rules, which are not git's: patterns are anchored at the context's root, the last match wins.

The rules are those of moby/patternmatcher (`MatchesUsingParentResults`) and its `ignorefile` reader. Go's regular
expressions run in linear time; Python's do not, and a tenant writes both patterns and paths. So all patterns together
are one bit-parallel automaton: a bit is a place in a pattern, and a character moves all bits at once.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto


class _StateKind(Enum):
    ONE = auto()  # one character out of a set
    RUN = auto()  # `*`: any characters but a slash
    REST = auto()  # `**` at the end: any characters
    ENTER = auto()  # `**` elsewhere: nothing, or anything up to a slash …
    INSIDE = auto()  # … of which this state takes the characters
    ACCEPT = auto()


@dataclass(frozen=True, slots=True)
class _State:
    kind: _StateKind
    character: str = ""
    one_of: re.Pattern[str] | None = None


_NOT_SLASH = re.compile(r"[^/]", re.DOTALL)


class IgnoreRules:
    """A compiled list of patterns; a `!` in front of a pattern takes back what earlier patterns matched.

    Asking is quickest in the order of a walk through the folders: the states of the last path's folders are used again
    for the next path.
    """

    def __init__(self, patterns: tuple[str, ...]) -> None:
        states: list[_State] = []
        starts = []
        self._negated: dict[int, bool] = {}
        for pattern in patterns:
            negated, text = pattern.startswith("!"), _clean(pattern.removeprefix("!"))
            if not text:
                continue
            starts.append(len(states))
            states += _states(text)
            self._negated[len(states)] = negated
            states.append(_State(_StateKind.ACCEPT))
        by_kind: dict[_StateKind, list[int]] = {kind: [] for kind in _StateKind}
        self._literals: dict[str, list[int]] = {}
        self._classes: list[tuple[int, re.Pattern[str]]] = []
        for bit, state in enumerate(states):
            by_kind[state.kind].append(bit)
            if state.one_of is not None:
                self._classes.append((bit, state.one_of))
            elif state.kind is _StateKind.ONE:
                self._literals.setdefault(state.character, []).append(bit)
        self._masks = {kind: _mask(bits) for kind, bits in by_kind.items()}
        self._start = self._skip(_mask(starts))
        self._takers: dict[str, int] = {}
        self._trail: list[tuple[str, int, int]] = []

    def excludes(self, path: str) -> bool:
        """True when the patterns leave out `path` (relative, `/` between members) or one of its parents."""
        if not self._negated:
            return False
        *folders, name = path.split("/")
        state, accepted = self._enter(folders)
        state = self._walk(state, name)
        accepted |= state & self._masks[_StateKind.ACCEPT]
        return accepted != 0 and not self._negated[accepted.bit_length() - 1]

    def _enter(self, folders: list[str]) -> tuple[int, int]:
        """Return the state after the last slash, and the bits of the patterns that match one of the folders."""
        depth = len(posixpath.commonprefix([folders, [name for name, _, _ in self._trail]]))
        del self._trail[depth:]
        _, state, accepted = self._trail[-1] if self._trail else ("", self._start, 0)
        for name in folders[depth:]:
            state = self._walk(state, name)
            accepted |= state & self._masks[_StateKind.ACCEPT]
            state = self._step(state, "/")
            self._trail.append((name, state, accepted))
        return state, accepted

    def _walk(self, state: int, name: str) -> int:
        for character in name:
            if not state:
                break
            state = self._step(state, character)
        return state

    def _step(self, state: int, character: str) -> int:
        masks = self._masks
        taken = (state & self._taking(character)) << 1
        taken |= state & (masks[_StateKind.REST] | masks[_StateKind.INSIDE])
        taken |= (state & masks[_StateKind.ENTER]) << 1
        if character == "/":
            taken |= (state & masks[_StateKind.ENTER]) << 2 | (state & masks[_StateKind.INSIDE]) << 1
        else:
            taken |= state & masks[_StateKind.RUN]
        return self._skip(taken)

    def _skip(self, state: int) -> int:
        """Add the places that are reached without a character: after a `*`, and after a `**` that takes nothing."""
        single = self._masks[_StateKind.RUN] | self._masks[_StateKind.REST]
        double = self._masks[_StateKind.ENTER]
        while True:
            more = state | (state & single) << 1 | (state & double) << 2
            if more == state:
                return state
            state = more

    def _taking(self, character: str) -> int:
        mask = self._takers.get(character)
        if mask is None:
            classes = [bit for bit, one_of in self._classes if one_of.fullmatch(character)]
            mask = _mask([*self._literals.get(character, ()), *classes])
            self._takers[character] = mask
        return mask


def _mask(bits: Iterable[int]) -> int:
    """Return the number with these bits set. Setting one bit of an `int` at a time would copy it for each."""
    data = bytearray()
    for bit in bits:
        if bit >> 3 >= len(data):
            data += bytes((bit >> 3) + 1 - len(data))
        data[bit >> 3] |= 1 << (bit & 7)
    return int.from_bytes(data, "little")


def parse(text: str) -> tuple[str, ...]:
    """Return the patterns of a `.dockerignore` file: without comments and empty lines, each with its `!`."""
    lines = text.removeprefix("\N{BYTE ORDER MARK}").split("\n")
    patterns = (line.strip() for line in lines if not line.startswith("#"))
    return tuple("!" + p[1:].strip() if p.startswith("!") else p for p in patterns if p.strip("!"))


def _clean(pattern: str) -> str:
    cleaned = posixpath.normpath(pattern.strip()) if pattern.strip() else ""
    return cleaned.lstrip("/") if len(cleaned) > 1 else cleaned


def _states(pattern: str) -> Iterable[_State]:
    position, entered_at = 0, -1
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if not pattern.startswith("*", position):
                yield _State(_StateKind.RUN)
                continue
            began_at = position - 1
            position += 1
            position += pattern.startswith("/", position)
            if position == len(pattern):
                yield _State(_StateKind.REST)
            elif began_at != entered_at:  # a second one in a row takes nothing that the first does not
                yield from (_State(_StateKind.ENTER), _State(_StateKind.INSIDE))
            entered_at = position
        elif character == "?":
            yield _State(_StateKind.ONE, one_of=_NOT_SLASH)
        elif character == "[" and (one_of := _character_class(pattern, position)):
            yield _State(_StateKind.ONE, one_of=one_of)
            position += len(one_of.pattern) - 1
        elif character == "\\" and position < len(pattern):
            yield _State(_StateKind.ONE, pattern[position])
            position += 1
        else:
            yield _State(_StateKind.ONE, character)


def _character_class(pattern: str, start: int) -> re.Pattern[str] | None:
    """Compile `[…]`, whose inside starts at `start`; None when it is not one, and then `[` means itself."""
    end = pattern.find("]", start + (2 if pattern.startswith("^", start) else 1))
    members = pattern[start:end]
    if end < 0 or "[" in members:
        return None
    try:
        return re.compile(f"[{members}]", re.DOTALL)
    except re.error:
        return None
