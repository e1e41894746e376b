"""Run programs of this machine that the making of images needs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from stackyn_server.errors import StackynError

_SHOWN_BYTES = 4000
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandFailed(StackynError):
    code = "IMAGES_NOT_MADE"

    def __init__(self, command: str | Path, output: str) -> None:
        super().__init__(f"{command} failed. The end of what it said:\n{output}")


async def run_command(
    *command: str | Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> str:
    """Run a program to its end and return both of its outputs. Raises `CommandFailed`.

    A cancellation kills the program.
    """
    process_environment = {**os.environ, **(environment or {})}
    process_environment["PATH"] = f"{process_environment.get('PATH', '')}:{_PATH}"
    try:
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            env=process_environment,
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        raise CommandFailed(command[0], "It is not installed.") from error
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    text = output.decode(errors="replace")
    if process.returncode:
        raise CommandFailed(command[0], text[-_SHOWN_BYTES:])
    return text
