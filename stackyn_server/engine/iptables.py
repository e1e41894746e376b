"""The programs that read and write the host's firewall rules.

`iptables` writes whichever kernel tables it was built for; both kinds are obeyed, whatever the engine itself uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

IPV4, IPV6 = "iptables", "ip6tables"

_LOCK_SECONDS = "5"  # other programs change the tables too, and hold a lock meanwhile


class TablesRefused(Exception):
    """The program is missing, may not change rules, or finds them wrong; its complaint is the message."""


async def run(binary: str, *arguments: str) -> str:
    """Run `iptables` or `ip6tables` and return what it printed. Raises `TablesRefused`."""
    return await _run(binary, "-w", _LOCK_SECONDS, *arguments)


async def succeeds(binary: str, *arguments: str) -> bool:
    """False when it refused: there is no such rule or chain."""
    try:
        await run(binary, *arguments)
    except TablesRefused:
        return False
    return True


async def change(binary: str, lines: Iterable[str]) -> None:
    """Change the filter table in one transaction: all lines or none. Raises `TablesRefused`.

    The lines are those of `iptables-restore`; one that declares a chain of ours (`:NAME - [0:0]`) empties it.
    """
    table = "\n".join(["*filter", *lines, "COMMIT", ""])
    await _run(f"{binary}-restore", "--noflush", "-w", _LOCK_SECONDS, stdin=table)


async def _run(*command: str, stdin: str = "") -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise TablesRefused(f"{command[0]} can't be run ({error.strerror}).") from error
    printed, complaint = await process.communicate(stdin.encode())
    if process.returncode:
        raise TablesRefused(f"{command[0]} says: {complaint.decode('utf-8', 'replace').strip()}")
    return printed.decode("utf-8", "replace")
