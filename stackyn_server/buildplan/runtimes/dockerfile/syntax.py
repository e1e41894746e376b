"""Reads as much of a Dockerfile as planning needs: its base images and its arguments. The builder checks the rest.

Source: the Dockerfile reference (parser directives, continuation lines, here-documents, FROM, ARG).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"(?:#|//)\s*([A-Za-z]+)\s*=\s*(\S+)\s*$")
_HEREDOC = re.compile(r"(?:^|\s)\d*<<-?([\"']?)([A-Za-z_][A-Za-z0-9_]*)\1(?=\s|$)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]{0,255}))?\}|([A-Za-z_][A-Za-z0-9_]*))")
_WITH_HEREDOCS = ("RUN", "COPY", "ADD")
# No image name is as long; longer texts are not read.
_ARGUMENTS_CHARACTERS = 2_048
_MOST_ARGUMENTS = 500
_NO_IMAGE = "scratch"
_STARTS = ("CMD", "ENTRYPOINT")


@dataclass(frozen=True, slots=True)
class DockerfileFacts:
    """`stages` are the names of all stages in order, an empty string for a stage without a name.

    `base_images` are the images that stages begin from, without those that only the builder can work out. `syntax` is
    the frontend that the file requests, or empty. `arguments` are the names that ARG declares anywhere. `started` are
    the numbers of the stages that have a CMD or ENTRYPOINT, or begin from such a stage. `copied` are the sources in the
    context of the last stage's COPY lines.
    """

    stages: tuple[str, ...]
    base_images: tuple[str, ...]
    syntax: str
    arguments: tuple[str, ...] = ()
    started: frozenset[int] = frozenset()
    copied: tuple[str, ...] = ()

    def says_what_is_started(self, target: str | None) -> bool:
        """True if the stage, or a frontend, may say it. `target` is a stage by name or number, None the last one."""
        if self.syntax and not self.stages:
            return True
        number = None if target is None else self._number(target)
        return (len(self.stages) - 1 if number is None else number) in self.started

    def has_stage(self, target: str) -> bool:
        """True for a stage's name in any spelling, or its number from 0."""
        return self._number(target) in range(len(self.stages))

    def _number(self, target: str) -> int | None:
        names = [stage.lower() for stage in self.stages]
        if target and target.lower() in names:
            return names.index(target.lower())
        return int(target) if target.isdecimal() else None


def read_dockerfile(text: str) -> DockerfileFacts:
    """Return the facts that planning needs; no text is refused here."""
    lines = text.split("\n")
    directives = _directives(lines)
    arguments: dict[str, str] = {}
    stages: list[str] = []
    stage_names: set[str] = {_NO_IMAGE}
    base_images: dict[str, None] = {}
    declared: dict[str, None] = {}
    started: set[int] = set()
    copied: list[str] = []
    starting_stages: set[str] = set()  # their names
    for name, words in _instructions(lines, directives.get("escape", "\\")):
        if name == "ARG":
            declared.update(dict.fromkeys(_names(words)))
        if name == "ARG" and not stages:
            arguments.update(_defaults(words))
        elif name == "FROM":
            image, stage = _from(words, arguments)
            if image and image.lower() not in stage_names:
                base_images[image] = None
            stages.append(stage)
            stage_names.add(stage.lower())
            copied.clear()
            if image and image.lower() in starting_stages:
                started.add(len(stages) - 1)
                starting_stages.add(stage.lower())
        elif name == "COPY" and not any(word.startswith("--from") for word in words):
            copied += [word for word in words if not word.startswith("--")][:-1]
        elif name in _STARTS and stages:
            started.add(len(stages) - 1)
            starting_stages.add(stages[-1].lower())
    return DockerfileFacts(
        tuple(stages),
        tuple(base_images),
        directives.get("syntax", ""),
        tuple(declared)[:_MOST_ARGUMENTS],
        frozenset(started),
        tuple(copied),
    )


def _directives(lines: Iterable[str]) -> dict[str, str]:
    directives: dict[str, str] = {}
    for number, line in enumerate(lines):
        if number == 0 and line.startswith("#!"):
            continue
        directive = _DIRECTIVE.match(line.strip()[:_ARGUMENTS_CHARACTERS])
        if not directive:
            break
        directives.setdefault(directive.group(1).lower(), directive.group(2))
    return directives


def _instructions(lines: Iterable[str], escape: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each instruction's name in capitals and its words, without here-documents."""
    rest = iter(lines)
    for line in rest:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, arguments = [*"".join(_continued(line, rest, escape)).split(None, 1), "", ""][:2]
        if (name := name.upper()) in _WITH_HEREDOCS:
            heredocs = [heredoc.group(2) for heredoc in _HEREDOC.finditer(arguments)]
            for end in heredocs:
                any(more.strip() == end for more in rest)
            if heredocs or name != "COPY":
                continue
        if len(arguments) <= _ARGUMENTS_CHARACTERS:
            yield name, arguments.split()


def _continued(line: str, rest: Iterator[str], escape: str) -> Iterator[str]:
    """Yield the parts of a line that continues in the next lines, without comments and empty lines between them."""
    while True:
        text = line.rstrip()
        if not text.endswith(escape) or text.endswith(2 * escape):
            yield line
            return
        yield text[: -len(escape)]
        following = next((more for more in rest if more.strip() and not more.lstrip().startswith("#")), None)
        if following is None:
            return
        line = following


def _names(words: Iterable[str]) -> Iterator[str]:
    names = (word.partition("=")[0] for word in words)
    return (name for name in names if _NAME.fullmatch(name))


def _defaults(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, is_given, value = word.partition("=")
        if is_given:
            yield name, value.strip("\"'")


def _from(words: list[str], arguments: dict[str, str]) -> tuple[str, str]:
    """Return image and stage name of a FROM line; the image is empty when its variables are not known here."""
    words = [word for word in words if not word.startswith("--")]
    is_complete = True

    def value_of(match: re.Match[str]) -> str:
        nonlocal is_complete
        value = arguments.get(match.group(1) or match.group(3)) or match.group(2) or ""
        is_complete = is_complete and value != ""
        return value

    image = _VARIABLE.sub(value_of, words[0]) if words else ""
    stage = words[2] if len(words) > 2 and words[1].upper() == "AS" else ""
    return (image if is_complete and "$" not in image else ""), stage
