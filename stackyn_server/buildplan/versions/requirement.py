"""Parse the versions that a project allows, and choose one of those available. Pure.

A requirement is a union of ranges over three numbers. The dialects differ in few operators only, so one parser reads
them all. Sources: PEP 440 and its `~=`, npm's semver ranges, Composer's and RubyGems' constraints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

Numbers = tuple[int, int, int]
_ENDLESS: Numbers = (10**9, 0, 0)
_LONGEST_TEXT = 200
_TERM = re.compile(r"(~=|~>|===|==|!=|<=|>=|[=<>^~])? ?([^\s,<>=^~!]+)")
# Names before the number in files of other tools: python-3.12, v20, go1.22.
_VERSION = re.compile(
    r"(?:cpython-|python-|node-|ruby-|php-|go|v|"
    r"(?:temurin|openjdk|corretto|zulu|liberica|sapmachine|semeru|microsoft|oracle|dragonwell|adoptopenjdk)-(?:jre-)?)?"
    r"(\d{1,6})(?:\.(\d{1,6}|[x*]))?(?:\.(\d{1,6}|[x*]))?"
    r"(?:\.(?:\d{1,6}|[x*])){0,2}((?:-|\+|rc|a|b|p|dev|post)[\w.+-]{0,40})?",
    re.IGNORECASE,
)
# Python without its global lock, for pyenv and for uv.
_FREE_THREADED = re.compile(r"(?<=\d)(?:t|\+freethreaded)(?![\w.])")
_HYPHEN_RANGE = re.compile(r"(\S+) - (\S+)")
_ANY = frozenset(("*", "x", "", "latest", "stable", "lts", "lts/*", "node", "current", "system", "default"))
_NEWEST = frozenset(("latest", "current", "node"))
_NODE_NAMES = {
    "argon": 4, "boron": 6, "carbon": 8, "dubnium": 10, "erbium": 12, "fermium": 14, "gallium": 16, "hydrogen": 18,
    "iron": 20, "jod": 22, "krypton": 24,
}  # fmt: skip


class Dialect(StrEnum):
    """Whose rules apply where they differ: `~1.2` is `>=1.2 <2` for Composer and `1.2.x` elsewhere, and `<=1.2` leaves
    1.2.9 out for PEP 440 only."""

    PYTHON = "python"
    NPM = "npm"
    COMPOSER = "composer"
    RUBY = "ruby"


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Versions from `low` to below `high`, without the ranges in `excluded`."""

    low: Numbers = (0, 0, 0)
    high: Numbers = _ENDLESS
    excluded: tuple[tuple[Numbers, Numbers], ...] = ()

    def meets(self, line: VersionRange) -> bool:
        """True when some version is in both ranges; `line` has no exclusions."""
        low, high = max(self.low, line.low), min(self.high, line.high)
        return low < high and not any(first <= low and high <= last for first, last in self.excluded)

    def has_newest_of(self, line: VersionRange) -> bool:
        """True when the versions at the upper end of a release line are allowed."""
        return self.meets(line) and self.high >= line.high

    def within(self, limits: VersionRange) -> VersionRange:
        return VersionRange(
            max(self.low, limits.low), min(self.high, limits.high), (*self.excluded, *limits.excluded)
        )


@dataclass(frozen=True, slots=True)
class Requirement:
    """The versions that a project allows; `text` is the project's own text.

    Without ranges it allows none: its text names a version that no server has. `is_free_threaded` allows only builds of
    Python without its global lock, whose versions end with `t`.
    """

    text: str
    ranges: tuple[VersionRange, ...]
    is_free_threaded: bool = False

    @property
    def wants_newest(self) -> bool:
        """True for `latest` and its synonyms, which ask for the newest version rather than for any."""
        return self.text.lower() in _NEWEST

    @property
    def allows_any(self) -> bool:
        return VersionRange() in self.ranges

    def allows_newest_of(self, version: str) -> bool:
        """True when the newest of a release line is allowed."""
        line = line_of(version)
        return line is not None and any(allowed.has_newest_of(line) for allowed in self.ranges)

    def allows_all_of(self, version: str) -> bool:
        """True when each version of a release line is allowed."""
        line = line_of(version)
        return line is not None and any(
            allowed.low <= line.low and allowed.high >= line.high and not allowed.excluded
            for allowed in self.ranges
        )

    @property
    def narrowest(self) -> str | None:
        """The version to name where all patches can be had and the newest of a line is not allowed: `20.11.1`, `20.11`,
        or None for wide ranges."""
        if len(self.ranges) != 1:
            return None
        low, high = self.ranges[0].low, self.ranges[0].high
        if high == _after(low, 3):
            return ".".join(map(str, low))
        if low[0] == high[0] and high[2] == 0 and low[1] < high[1]:
            return f"{low[0]}.{low[1]}" if low[2] == 0 and high == _after(low, 2) else ".".join(map(str, low))
        return None


@dataclass(frozen=True, slots=True)
class VersionRequest:
    """A version that a project asks for, and where: `origin` is the file or the field, for a sentence."""

    requirement: Requirement
    origin: str

    @classmethod
    def read(cls, text: str, origin: str, dialect: Dialect = Dialect.NPM) -> VersionRequest | None:
        """Return the request that `text` of the file or field `origin` makes; None when it is no requirement."""
        requirement = parse_requirement(text, dialect)
        return cls(requirement, f"`{origin}`") if requirement else None


def parse_requirement(text: str, dialect: Dialect = Dialect.NPM) -> Requirement | None:
    """Read a requirement such as `3.12`, `>=3.11,<4`, `^20 || >=22.3` or `lts/*`; None when it is none."""
    stripped = text.strip()
    if len(stripped) > _LONGEST_TEXT:
        return None
    ranges: list[VersionRange] = []
    unmarked, marks = _FREE_THREADED.subn("", stripped)
    for alternative in re.split(r"\|\|?", unmarked):
        alternatives = _alternative(alternative.strip(), dialect)
        if alternatives is None:
            return None
        ranges.extend(alternatives)
    return Requirement(stripped, tuple(ranges), is_free_threaded=marks > 0)


def choose(requirement: Requirement, available: Iterable[str], preferred: str | None = None) -> str | None:
    """Return the version to take: `preferred` where it is allowed, else the newest that is; None when none is. A
    requirement such as `latest` gets the newest.

    `3.12` among `available` is a release line, whose newest version is available. Lines whose newest version is allowed
    win over lines of which only other versions are allowed, so `3.12.4` takes 3.12 where nothing fits better.
    """
    lines = {
        version: line
        for version in available
        if version.endswith("t") == requirement.is_free_threaded and (line := line_of(version)) is not None
    }
    newest_first = sorted(lines, key=lambda version: lines[version].low, reverse=True)
    if preferred in lines and not requirement.wants_newest:
        newest_first = [preferred, *(version for version in newest_first if version != preferred)]
    for fits in (VersionRange.has_newest_of, VersionRange.meets):
        for version in newest_first:
            if any(fits(allowed, lines[version]) for allowed in requirement.ranges):
                return version
    return None


def line_of(version: str) -> VersionRange | None:
    """Return the versions that a release line such as `3.12` or `3.14t`, or a full version, stands for."""
    match = _VERSION.fullmatch(_FREE_THREADED.sub("", version.strip()))
    if match is None:
        return None
    numbers = _numbers(match)
    return (
        VersionRange(_padded(numbers), _after(_padded(numbers), len(numbers))) if numbers else VersionRange()
    )


def _alternative(text: str, dialect: Dialect) -> tuple[VersionRange, ...] | None:
    """Read terms that must all hold; an empty tuple when the text names a version that nobody has."""
    lowered = text.lower()
    if lowered in _ANY:
        return (VersionRange(),)
    if lowered.startswith("lts/"):
        major = _node_by_name(lowered.removeprefix("lts/"))
        return () if major is None else (VersionRange((major, 0, 0), (major + 1, 0, 0)),)
    if between := _HYPHEN_RANGE.fullmatch(text):
        return _alternative(f">={between.group(1)} <={between.group(2)}", Dialect.NPM)
    allowed = VersionRange()
    position = 0
    for term in _TERM.finditer(text):
        if text[position : term.start()].strip(" ,"):
            return None
        position = term.end()
        limits = _limits(term.group(1) or "", term.group(2), dialect)
        if limits is None:
            return () if _is_variant(term.group(2)) else None
        allowed = allowed.within(limits)
    return (allowed,) if position and not text[position:].strip(" ,") else None


def _node_by_name(name: str) -> int | None:
    """Return the line of Node with a name, or so many before the newest of them: `iron`, `-1`.

    A name that came later tells its line by its first letter: every second one is supported for long, in the order of
    the alphabet.
    """
    lines = sorted(_NODE_NAMES.values(), reverse=True)
    if re.fullmatch(r"-\d", name):
        before = int(name[1:])
        return lines[before] if before < len(lines) else None
    if name in _NODE_NAMES or not re.fullmatch(r"[l-z][a-z]+", name):
        return _NODE_NAMES.get(name)
    return _NODE_NAMES["argon"] + 2 * (ord(name[0]) - ord("a"))


def _is_variant(version: str) -> bool:
    """True for builds of another kind, such as `pypy3.10`, `iojs` and `graalvm-21`."""
    return (
        re.fullmatch(r"(?:iojs|pypy|graal|jruby|truffleruby|miniconda|anaconda)[\w.-]*", version) is not None
    )


def _limits(operator: str, version: str, dialect: Dialect) -> VersionRange | None:
    match = _VERSION.fullmatch(version)
    if match is None:
        return VersionRange() if version.lower() in _ANY else None
    numbers = _numbers(match)
    if not numbers:
        return VersionRange()
    low, size = _padded(numbers), len(numbers)
    is_python = dialect is Dialect.PYTHON
    match operator:
        case ">=":
            return VersionRange(low)
        case ">":
            return VersionRange(_after(low, 3 if is_python else size))
        case "<":
            return VersionRange(high=low)
        case "<=":
            return VersionRange(high=_after(low, 3 if is_python else size))
        case "!=":
            return VersionRange(excluded=((low, _after(low, size)),))
        case "^":
            first = next((index for index, number in enumerate(numbers) if number), size - 1)
            return VersionRange(low, _after(low, first + 1))
        case "~" if dialect is not Dialect.COMPOSER:
            return VersionRange(low, _after(low, min(size, 2)))
        case "~" | "~=" | "~>":
            return VersionRange(low, _after(low, max(size - 1, 1)))
        case _:
            return VersionRange(low, _after(low, size))


def _numbers(match: re.Match[str]) -> tuple[int, ...]:
    """Return the numbers before the first placeholder: (20,) for `20.x`."""
    numbers: list[int] = []
    for text in match.group(1, 2, 3):
        if text is None or not text.isdigit():
            break
        numbers.append(int(text))
    return tuple(numbers)


def _padded(numbers: tuple[int, ...]) -> Numbers:
    first, second, third = (*numbers, 0, 0, 0)[:3]
    return first, second, third


def _after(numbers: Numbers, size: int) -> Numbers:
    """Return the first version after all that begin with the first `size` numbers."""
    return _padded((*numbers[: size - 1], numbers[size - 1] + 1))
