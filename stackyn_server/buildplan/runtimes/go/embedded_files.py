"""Finds the files that a Go program embeds: those that `//go:embed` names in the program's packages. Pure.

Sources: the documentation of Go's package embed and of `go help buildconstraint`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import dirname, join, normpath

from stackyn_server.buildplan.project import Project

_MOST_FILES, _MOST_CHARACTERS, _MOST_PATTERNS = 1_000, 16_000_000, 200
_DIRECTIVE = re.compile(r"^[ \t]*//go:embed[ \t]+(\S[^\n]*)$", re.MULTILINE)
_PATTERN = re.compile(r"\"([^\"]+)\"|`([^`]+)`|(\S+)")
_QUOTED = re.compile(r'"([\w.~/-]{1,300})"')
_CONSTRAINT = re.compile(r"^//go:build[ \t]+([^\n]{1,300})$", re.MULTILINE)
# The tags that hold for a build here. Every other tag is set by hand, or for another system.
_TRUE_TAGS = re.compile(r"linux|unix|amd64|arm64|cgo|gc|go1\.\d+")
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class EmbeddedPattern:
    """A pattern of the file `source`. `path` is the pattern from the root directory, without a prefix such as `all:`.

    `with_hidden`: folders are embedded with their files whose names begin with a dot or an underscore.
    """

    source: str
    pattern: str
    path: str
    with_hidden: bool = False

    @property
    def fixed_path(self) -> str:
        """The part of the path before any wildcard: a file or folder."""
        parts = self.path.split("/")
        fixed = next((number for number, part in enumerate(parts) if _WILDCARD.search(part)), len(parts))
        return "/".join(parts[:fixed])

    def is_in(self, files: Iterable[str]) -> bool:
        """True when the pattern matches any of the files, or a folder with one."""
        fixed_path = self.fixed_path
        return any(self._takes(file) for file in files if file.startswith(fixed_path))

    def _takes(self, file: str) -> bool:
        pattern_parts, parts = self.path.split("/"), file.split("/")
        if len(parts) < len(pattern_parts) or not all(map(fnmatchcase, parts, pattern_parts)):
            return False
        rest = parts[len(pattern_parts) :]
        return self.with_hidden or not any(part.startswith((".", "_")) for part in rest)


def embedded_patterns(
    project: Project, programs: Iterable[str], modules: Mapping[str, str]
) -> list[EmbeddedPattern]:
    """Return the patterns that the programs in these folders embed, themselves and in the packages that they import.

    `modules` maps the name of each module that is part of the build to its folder.
    """
    packages = _packages(project.files)
    waiting, visited, files, characters = list(programs), set(programs), 0, 0
    patterns: list[EmbeddedPattern] = []
    while waiting and files < _MOST_FILES and characters < _MOST_CHARACTERS:
        folder = waiting.pop(0)
        for path in packages.get(folder, ()):
            text = project.text(path) or ""
            files, characters = files + 1, characters + len(text)
            if not _is_built(text):
                continue
            patterns += _directives(path, text)
            imports = (_package_folder(name, modules) for name in _QUOTED.findall(text))
            imported = [place for place in imports if place is not None]
            waiting += [place for place in dict.fromkeys(imported) if place not in visited]
            visited.update(imported)
    return patterns[:_MOST_PATTERNS]


def _packages(files: Iterable[str]) -> dict[str, list[str]]:
    """Return the files of each folder's package, without its tests."""
    packages: dict[str, list[str]] = {}
    for path in sorted(files):
        if path.endswith(".go") and not path.endswith("_test.go"):
            packages.setdefault(dirname(path), []).append(path)
    return packages


def _directives(path: str, text: str) -> Iterator[EmbeddedPattern]:
    for line in _DIRECTIVE.findall(text):
        for quoted in _PATTERN.findall(line):
            written_pattern = next(filter(None, quoted))
            pattern = written_pattern.removeprefix("all:")
            path_from_root = normpath(join(dirname(path), pattern))
            if not path_from_root.startswith(("/", "..")):
                yield EmbeddedPattern(
                    path, written_pattern, path_from_root.removeprefix("./"), written_pattern != pattern
                )


def _package_folder(imported: str, modules: Mapping[str, str]) -> str | None:
    """Return the folder of a package of these modules, None for one from elsewhere."""
    name = imported
    while name not in modules:
        name, slash, _ = name.rpartition("/")
        if not slash:
            return None
    return join(modules[name], imported.removeprefix(name).strip("/")).rstrip("/")


def _is_built(text: str) -> bool:
    """True unless a file's tags exclude it from a usual build. Parentheses are rare and are ignored."""
    constraint = _CONSTRAINT.search(text)
    if constraint is None:
        return True
    expression = constraint[1].partition("//")[0].replace("(", " ").replace(")", " ")
    return any(all(map(_holds, term.split("&&"))) for term in expression.split("||"))


def _holds(tag: str) -> bool:
    tag = tag.strip()
    return (_TRUE_TAGS.fullmatch(tag.removeprefix("!")) is not None) != tag.startswith("!")
