"""Start commands: where they come from, and how one becomes the container's first process."""

from __future__ import annotations

import json
import re

from stackyn_server.buildplan.project import PlanOptions, Project

PROCFILE = "Procfile"
# `exec` needs a program: with one of these words, or an assignment, at its front the shell has to stay.
_SHELL_WORDS = frozenset(
    (
        *(
            "if",
            "then",
            "else",
            "fi",
            "for",
            "while",
            "until",
            "do",
            "done",
            "case",
            "esac",
            "[",
            "!",
            ":",
            ".",
        ),
        *(
            "cd",
            "eval",
            "exec",
            "exit",
            "export",
            "read",
            "readonly",
            "set",
            "source",
            "test",
            "trap",
            "ulimit",
        ),
        *("umask", "unset", "wait"),
    )
)
# As Heroku reads them.
_PROCESS = re.compile(r"([A-Za-z0-9_-]+)[ \t]*:[ \t]*(\S.*)")
_LIKE_WEB = re.compile(r"[\s-]*['\"]?web(?![\w-])", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def given_command(project: Project) -> tuple[str, str] | None:
    """Return the start command that the owner wrote down, and where; None when there is none."""
    command = project.options.start_command
    return (command, origin_of_start(project.options)) if command else None


def origin_of_start(options: PlanOptions) -> str:
    """Return the sentence about who says the start command."""
    origin = options.said_by.get("start_command")
    if origin == PROCFILE:
        return f"The start command is the `web` line of `{PROCFILE}`."
    return f"The start command is {f'that of `{origin}`' if origin else 'the one set for the app'}."


def processes(procfile: str) -> dict[str, str]:
    """Return the commands of a Procfile by the names of their processes; of two with one name, the first."""
    found: dict[str, str] = {}
    for line in procfile.splitlines():
        if process := _PROCESS.match(line):
            found.setdefault(process[1], process[2].strip())
    return found


def meant_as_web(procfile: str) -> tuple[int, str] | None:
    """Return (number, line) of the first line of a Procfile that looks like a `web` process and is none."""
    lines = enumerate(procfile.splitlines(), 1)
    return next(((number, line) for number, line in lines if _LIKE_WEB.match(line)), None)


def as_cmd(command: str) -> str:
    """Return the CMD instruction that runs a shell command, with $PORT expanded and signals reaching the app."""
    return f"CMD {json.dumps(['sh', '-c', foreground(command)], ensure_ascii=False)}"


def foreground(command: str) -> str:
    """Put `exec` before the last command of a line such as `migrate && serve`, so that it becomes process 1.

    A shell that stays process 1 does not pass SIGTERM on, and the app would be killed after its grace period.
    Anything with pipes, background jobs or groups is left as it is.
    """
    start = _last_command(command)
    if start is None:
        return command
    last = command[start:].lstrip()
    words = last.split()
    if not words or words[0] in _SHELL_WORDS or _ASSIGNMENT.match(words[0]):
        return command
    return f"{command[:start]}{' ' if start else ''}exec {last}"


def _last_command(command: str) -> int | None:
    """Return where the last command of an `&&` or `;` list starts, or None for any other construct."""
    start, position, quote, last_brace = 0, 0, "", command.rfind("}")
    while position < len(command):
        character = command[position]
        if quote:
            position += 2 if character == "\\" and quote == '"' else 1
            quote = "" if character == quote else quote
            continue
        if character in "'\"":
            quote = character
        elif character == "\\":
            position += 1
        elif command.startswith("&&", position):
            start = position + 2
            position += 1
        elif character == ";":
            start = position + 1
        elif command.startswith("${", position) and position < last_brace:
            position = command.index("}", position)
        elif character in "|&(){}`\n#":
            return None
        position += 1
    return None if quote else start
