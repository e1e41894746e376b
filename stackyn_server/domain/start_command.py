"""Makes a command that a person wrote the first process of its container. Pure."""

from __future__ import annotations

import re

# Words of the shell itself, which `exec` can't run.
_SHELL_WORDS = frozenset((
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "select", "function",
    "in", "{", "}", "[", "[[", "!", ":", ".", "alias", "bg", "break", "cd", "command", "continue", "eval", "exec",
    "exit", "export", "fg", "jobs", "read", "readonly", "return", "set", "shift", "source", "test", "time", "times",
    "trap", "type", "ulimit", "umask", "unalias", "unset", "wait",
))  # fmt: skip
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
# Variables that a command is given, of words without quotes.
_ASSIGNMENTS = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*=[^\s'\"\\\\`]*\s+)*")


def foreground(command: str) -> str:
    """Put `exec` before the last command of a line such as `migrate && serve`, so that it becomes process 1.

    A shell that stays process 1 does not pass SIGTERM on, and the app would be killed after its grace period.
    Anything with pipes, background jobs or groups is left as it is.
    """
    start = _last_command(command)
    if start is None:
        return command
    last = command[start:].lstrip()
    assignments = _ASSIGNMENTS.match(last)
    given = assignments[0] if assignments else ""
    words = last[len(given) :].split()
    if not words or words[0] in _SHELL_WORDS or _ASSIGNMENT.match(words[0]):
        return command
    return f"{command[:start]}{' ' if start else ''}{given}exec {last[len(given) :]}"


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
