"""Read as much of a Dockerfile as the platform must know; the engine stays the judge of the rest.

Source: the Dockerfile reference (parser directives, continuation lines, here-documents, EXPOSE, ENV).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"#\s*([A-Za-z]+)\s*=\s*(\S+)\s*$")
_HEREDOC = re.compile(r"(?:^|\s)\d*<<-?([\"']?)([A-Za-z_][A-Za-z0-9_]*)\1(?=\s|$)")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|([A-Za-z_][A-Za-z0-9_]*))")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(\"[^\"]*\"|'[^']*'|\S*)")
_INSTRUCTIONS = frozenset(
    (
        *(
            "ADD",
            "ARG",
            "CMD",
            "COPY",
            "ENTRYPOINT",
            "ENV",
            "EXPOSE",
            "FROM",
            "HEALTHCHECK",
            "LABEL",
            "MAINTAINER",
        ),
        *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    )
)
# What the classic builder refuses or does not know.
_BUILDKIT_OPTIONS = {
    "RUN": re.compile(r"--(?:mount|network|security|device)\b"),
    "COPY": re.compile(r"--(?:link|chmod|parents|exclude)\b"),
    "ADD": re.compile(r"--(?:link|chmod|checksum|keep-git-dir|exclude|unpack)\b"),
}
_BUILDKIT_ARGUMENT = re.compile(r"\$\{?(?:BUILD|TARGET)(?:PLATFORM|OS|ARCH|VARIANT)\b")
_HIGHEST_PORT = 65_535


class DockerfileFault(Exception):
    """A fault that no builder would take; its text ends a sentence and names the line."""


@dataclass(frozen=True, slots=True)
class DockerfileFacts:
    """`exposed` are the TCP ports of the last stage. `needs_buildkit` is the reason for it, or empty; `syntax` the
    frontend that it names, or empty."""

    exposed: tuple[int, ...]
    needs_buildkit: str
    syntax: str


@dataclass(frozen=True, slots=True)
class _Instruction:
    line: int
    name: str
    arguments: str


def read_dockerfile(text: str) -> DockerfileFacts:
    """Return what the platform needs to know, or raise `DockerfileFault`."""
    directives = _directives(text)
    has_own_frontend = "syntax" in directives
    reason = f"it names its own syntax ({directives['syntax']})" if has_own_frontend else ""
    variables: dict[str, str] = {}
    exposed: dict[int, None] = {}
    stages = 0
    for instruction in _instructions(text, directives.get("escape", "\\")):
        name, arguments = instruction.name, instruction.arguments
        if name not in _INSTRUCTIONS and not has_own_frontend:
            raise DockerfileFault(
                f"line {instruction.line} starts with {name[:40]}, which is not an instruction."
            )
        if not arguments:
            raise DockerfileFault(f"{name} in line {instruction.line} has no arguments.")
        if not stages and name not in ("FROM", "ARG") and not has_own_frontend:
            raise DockerfileFault(f"it must begin with FROM, and line {instruction.line} has {name}.")
        reason = reason or _buildkit_reason(instruction)
        if name == "FROM":
            stages += 1
            variables, exposed = {}, {}
        elif name in ("ENV", "ARG"):
            variables.update(_assignments(name, arguments))
        elif name == "EXPOSE":
            exposed.update(dict.fromkeys(_ports(arguments, variables)))
    if not stages:
        raise DockerfileFault("it has no FROM line.")
    return DockerfileFacts(tuple(exposed), reason, directives.get("syntax", ""))


def _directives(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.splitlines():
        directive = _DIRECTIVE.match(line.strip())
        if not directive:
            break
        found.setdefault(directive.group(1).lower(), directive.group(2))
    return found


def _instructions(text: str, escape: str) -> Iterator[_Instruction]:
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        joined = line.strip()
        if not joined or joined.startswith("#"):
            continue
        while joined.endswith(escape):
            joined = joined.removesuffix(escape).rstrip()
            following = next(
                ((n, more) for n, more in lines if more.strip() and not more.lstrip().startswith("#")), None
            )
            if following is None:
                break
            joined = f"{joined} {following[1].strip()}"
        name, _, arguments = joined.partition(" ") if " " in joined else joined.partition("\t")
        instruction = _Instruction(number, name.upper(), arguments.strip())
        yield instruction
        if instruction.name in ("RUN", "COPY", "ADD"):
            for heredoc in _HEREDOC.finditer(instruction.arguments):
                if not any(more.strip() == heredoc.group(2) for _, more in lines):
                    raise DockerfileFault(f"the here-document of line {number} has no end.")


def _buildkit_reason(instruction: _Instruction) -> str:
    name, arguments = instruction.name, instruction.arguments
    if name in ("RUN", "COPY", "ADD") and _HEREDOC.search(arguments):
        return f"line {instruction.line} has a here-document"
    options = _BUILDKIT_OPTIONS.get(name)
    leading = " ".join(_leading_options(arguments))
    if options and (option := options.search(leading)):
        return f"line {instruction.line} uses {name} {option.group()}"
    if name == "FROM" and _BUILDKIT_ARGUMENT.search(arguments):
        return f"line {instruction.line} uses BuildKit's platform arguments"
    return ""


def _leading_options(arguments: str) -> Iterator[str]:
    for word in arguments.split():
        if not word.startswith("--"):
            return
        yield word


def _assignments(name: str, arguments: str) -> dict[str, str]:
    if name == "ENV" and "=" not in arguments.split()[0]:
        key, _, value = arguments.partition(" ")
        return {key: value.strip()}
    return {key: value.strip("\"'") for key, value in _ASSIGNMENT.findall(arguments)}


def _ports(arguments: str, variables: dict[str, str]) -> Iterator[int]:
    def value_of(match: re.Match[str]) -> str:
        return variables.get(match.group(1) or match.group(3)) or match.group(2) or ""

    for word in _VARIABLE.sub(value_of, arguments).split():
        number, _, protocol = word.partition("/")
        if number.isdecimal() and protocol.lower() in ("", "tcp") and 0 < int(number) <= _HIGHEST_PORT:
            yield int(number)
