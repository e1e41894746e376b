"""Docker's ignore rules, which are not git's: patterns are anchored at the context's root, the last match wins.

The rules are those of moby/patternmatcher (`MatchesUsingParentResults`) and its `ignorefile` reader. There the
regular expressions run in linear time; Python's do not, and both patterns and paths are a tenant's. So all patterns
together are one bit-parallel automaton: a bit is a place in a pattern, and a character moves all of them at once.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto


class _Kind(Enum):
    ONE = auto()  # one character out of a set
    RUN = auto()  # `*`: any characters but a slash
    REST = auto()  # `**` at the end: any characters
    ENTER = auto()  # `**` elsewhere: nothing, or anything up to a slash …
    INSIDE = auto()  # … whose characters are eaten here
    ACCEPT = auto()


@dataclass(frozen=True, slots=True)
class _Place:
    kind: _Kind
    characters: str = ""
    one_of: re.Pattern[str] | None = None

    def takes(self, character: str) -> bool:
        if self.one_of is not None:
            return self.one_of.fullmatch(character) is not None
        return character == self.characters


_NOT_SLASH = re.compile(r"[^/]", re.DOTALL)


@dataclass(slots=True)
class Ignore:
    """A compiled list of patterns; a `!` in front of one takes back what matched before it."""

    patterns: tuple[str, ...]
    _masks: dict[_Kind, int] = field(default_factory=lambda: dict.fromkeys(_Kind, 0))
    _places: list[_Place] = field(default_factory=list)
    _start: int = 0
    _negated: dict[int, bool] = field(default_factory=dict)
    _takers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            negated, text = pattern.startswith("!"), _clean(pattern.removeprefix("!"))
            if not text:
                continue
            self._start |= 1 << len(self._places)
            self._places += _places(text)
            self._negated[len(self._places)] = negated
            self._places.append(_Place(_Kind.ACCEPT))
        for bit, place in enumerate(self._places):
            self._masks[place.kind] |= 1 << bit
        self._start = self._skip(self._start)

    def excludes(self, path: str) -> bool:
        """True when `path` (relative, `/` between members) is left out, by itself or by one of its parents."""
        if not self._places:
            return False
        state, accept, accepted = self._start, self._masks[_Kind.ACCEPT], 0
        for character in path:
            if character == "/":
                accepted |= state & accept
            state = self._step(state, character)
            if not state:
                break
        accepted |= state & accept
        return accepted != 0 and not self._negated[accepted.bit_length() - 1]

    def _step(self, state: int, character: str) -> int:
        masks = self._masks
        taken = (state & self._taking(character)) << 1
        taken |= state & (masks[_Kind.REST] | masks[_Kind.INSIDE])
        taken |= (state & masks[_Kind.ENTER]) << 1
        if character == "/":
            taken |= (state & masks[_Kind.ENTER]) << 2 | (state & masks[_Kind.INSIDE]) << 1
        else:
            taken |= state & masks[_Kind.RUN]
        return self._skip(taken)

    def _skip(self, state: int) -> int:
        """Add the places that are reached without a character: behind a `*`, and behind a `**` that takes nothing."""
        single = self._masks[_Kind.RUN] | self._masks[_Kind.REST]
        double = self._masks[_Kind.ENTER]
        while True:
            more = state | (state & single) << 1 | (state & double) << 2
            if more == state:
                return state
            state = more

    def _taking(self, character: str) -> int:
        mask = self._takers.get(character)
        if mask is None:
            mask = sum(
                1 << bit
                for bit, place in enumerate(self._places)
                if place.kind is _Kind.ONE and place.takes(character)
            )
            self._takers[character] = mask
        return mask


def parse(text: str) -> tuple[str, ...]:
    """Return the patterns of a `.dockerignore` file: without comments and empty lines, each with its `!`."""
    lines = text.removeprefix("\N{BYTE ORDER MARK}").splitlines()
    patterns = (line.strip() for line in lines if not line.startswith("#"))
    return tuple("!" + p[1:].strip() if p.startswith("!") else p for p in patterns if p.strip("!"))


def _clean(pattern: str) -> str:
    cleaned = posixpath.normpath(pattern.strip()) if pattern.strip() else ""
    return cleaned.lstrip("/") if len(cleaned) > 1 else cleaned


def _places(pattern: str) -> Iterable[_Place]:
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            if not pattern.startswith("*", position):
                yield _Place(_Kind.RUN)
                continue
            position += 1
            position += pattern.startswith("/", position)
            if position == len(pattern):
                yield _Place(_Kind.REST)
            else:
                yield from (_Place(_Kind.ENTER), _Place(_Kind.INSIDE))
        elif character == "?":
            yield _Place(_Kind.ONE, one_of=_NOT_SLASH)
        elif character == "[" and (one_of := _character_class(pattern, position)):
            yield _Place(_Kind.ONE, one_of=one_of)
            position += len(one_of.pattern) - 1
        elif character == "\\" and position < len(pattern):
            yield _Place(_Kind.ONE, pattern[position])
            position += 1
        else:
            yield _Place(_Kind.ONE, character)


def _character_class(pattern: str, start: int) -> re.Pattern[str] | None:
    """Compile `[…]`, whose inside starts at `start`; None when it is not one, and then `[` means itself."""
    end = pattern.find("]", start + (2 if pattern.startswith("^", start) else 1))
    inside = pattern[start:end]
    if end < 0 or "[" in inside:
        return None
    try:
        return re.compile(f"[{inside}]", re.DOTALL)
    except re.error:
        return None
