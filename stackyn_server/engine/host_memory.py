"""The total and the available memory of this machine, which is the engine's host."""

from __future__ import annotations

import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)
_TOTAL = re.compile(r"^MemTotal:\s+(\d+) kB$", re.MULTILINE)
_KIBIBYTES_IN_MEBIBYTE = 1024


def available_mb() -> int:
    """Return the memory available without swapping, page cache included, in MiB. Reads a file: call it in a thread."""
    return parse(_MEMINFO.read_text("ascii"))


def total_mb() -> int:
    """Return all memory of the machine, in MiB. Reads a file: call it in a thread."""
    return parse(_MEMINFO.read_text("ascii"), _TOTAL)


def parse(meminfo: str, line: re.Pattern[str] = _AVAILABLE) -> int:
    """Read proc(5)'s `meminfo`. Raises ValueError when the line is missing."""
    match = line.search(meminfo)
    if match is None:
        raise ValueError("the kernel does not say how much memory there is")
    return int(match[1]) // _KIBIBYTES_IN_MEBIBYTE
