"""How a start command that a person wrote becomes the arguments of a container."""

from __future__ import annotations

import re
import shlex

_SHELL = "/bin/sh"
_OPERATORS = set("();<>|&")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
# Words of the shell itself, which `exec` can't run, or which would end a script that goes on after them.
_NOT_A_PROGRAM = frozenset(
    {
        ".",
        ":",
        "!",
        "{",
        "[[",
        "alias",
        "bg",
        "break",
        "case",
        "cd",
        "command",
        "continue",
        "eval",
        "exec",
        "exit",
    }
    | {"export", "fg", "for", "if", "jobs", "read", "readonly", "return", "select", "set", "shift", "source"}
    | {"time", "times", "trap", "type", "ulimit", "umask", "unalias", "unset", "until", "wait", "while"}
)


def shell_arguments(command: str) -> list[str]:
    """Return the argument list that runs `command` in the image's shell.

    A command of plain words replaces the shell (`exec`), so that the program itself gets SIGTERM; a shell in
    between would die of it and leave the program to be killed. Anything with operators is left as it was written.
    """
    script = f"exec {command}" if _is_plain(command) else command
    return [_SHELL, "-c", script]


def _is_plain(command: str) -> bool:
    if "\n" in command.strip():
        return False
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # unbalanced quotes: the shell says so itself
        return False
    if not words or _ASSIGNMENT.match(words[0]) or words[0] in _NOT_A_PROGRAM:
        return False
    return not any(set(word) <= _OPERATORS for word in words)
