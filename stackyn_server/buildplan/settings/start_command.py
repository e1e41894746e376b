"""Start commands: where they come from, and how one becomes the container's first process."""

from __future__ import annotations

import json
import re

from stackyn_server.buildplan.project import PlanOptions, Project
from stackyn_server.domain.start_command import foreground

PROCFILE = "Procfile"
# As Heroku reads them.
_PROCESS = re.compile(r"([A-Za-z0-9_-]+)[ \t]*:[ \t]*(\S.*)")
_LIKE_WEB = re.compile(r"[\s-]*['\"]?web(?![\w-])", re.IGNORECASE)


def configured_command(project: Project) -> tuple[str, str] | None:
    """Return the start command that the owner wrote down, and where; None when there is none."""
    command = project.options.start_command
    return (command, start_command_sentence(project.options)) if command else None


def start_command_sentence(options: PlanOptions) -> str:
    """Return the sentence about who says the start command."""
    origin = options.origins.get("start_command")
    if origin == PROCFILE:
        return f"The start command is the `web` line of `{PROCFILE}`."
    return f"The start command is {f'that of `{origin}`' if origin else 'the one set for the app'}."


def processes(procfile: str) -> dict[str, str]:
    """Return the commands of a Procfile by the names of their processes; of two with one name, the first."""
    commands: dict[str, str] = {}
    for line in procfile.splitlines():
        if process := _PROCESS.match(line):
            commands.setdefault(process[1], process[2].strip())
    return commands


def misspelled_web_line(procfile: str) -> tuple[int, str] | None:
    """Return (number, line) of the first line of a Procfile that looks like a `web` process and is none."""
    lines = enumerate(procfile.splitlines(), 1)
    return next(((number, line) for number, line in lines if _LIKE_WEB.match(line)), None)


def as_cmd(command: str) -> str:
    """Return the CMD instruction that runs a shell command, with $PORT expanded and signals reaching the app."""
    return f"CMD {json.dumps(['sh', '-c', foreground(command)], ensure_ascii=False)}"
