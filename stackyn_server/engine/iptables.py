"""Read and write the host's firewall rules with iptables and ip6tables.

`iptables` writes the kind of kernel tables that it was built for. The kernel obeys both kinds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

IPV4, IPV6 = "iptables", "ip6tables"

_LOCK_SECONDS = "5"  # how long to wait for the lock that other programs hold while they change the tables


class TablesRefused(Exception):
    """The program is missing, lacks the right to change rules, or rejects them. The message is its error output."""


async def run(binary: str, *arguments: str) -> str:
    """Run `iptables` or `ip6tables` and return what it printed. Raises `TablesRefused`."""
    return await _run(binary, "-w", _LOCK_SECONDS, *arguments)


async def change(binary: str, lines: Iterable[str]) -> None:
    """Change the filter table in one transaction: all lines or none. Raises `TablesRefused`.

    The lines have the form of `iptables-restore`. A line that declares a chain (`:NAME - [0:0]`) empties it.
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
