"""How much memory the host of the engine, which is this machine, has, and how much is left."""

from __future__ import annotations

import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)
_TOTAL = re.compile(r"^MemTotal:\s+(\d+) kB$", re.MULTILINE)
_KIBIBYTES_IN_MEBIBYTE = 1024


def available_mb() -> int:
    """Return what can be given out without swapping, page cache included, in MiB. Reads a file: call it in a thread."""
    return parse(_MEMINFO.read_text("ascii"))


def total_mb() -> int:
    """Return all memory of the machine, in MiB. Reads a file: call it in a thread."""
    return parse(_MEMINFO.read_text("ascii"), _TOTAL)


def parse(meminfo: str, line: re.Pattern[str] = _AVAILABLE) -> int:
    """Read proc(5)'s `meminfo`. Raises ValueError for a kernel that doesn't say."""
    found = line.search(meminfo)
    if found is None:
        raise ValueError("the kernel does not say how much memory there is")
    return int(found[1]) // _KIBIBYTES_IN_MEBIBYTE
