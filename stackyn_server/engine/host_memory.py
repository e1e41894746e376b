"""How much memory the host of the engine, which is this machine, has left."""

from __future__ import annotations

import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_AVAILABLE = re.compile(r"^MemAvailable:\s+(\d+) kB$", re.MULTILINE)
_KIBIBYTES_IN_MEBIBYTE = 1024


def available_mb() -> int:
    """Return what can be given out without swapping, page cache included, in MiB. Reads a file: call it in a thread."""
    return parse(_MEMINFO.read_text("ascii"))


def parse(meminfo: str) -> int:
    """Read proc(5)'s `meminfo`. Raises ValueError for a kernel that doesn't say."""
    found = _AVAILABLE.search(meminfo)
    if found is None:
        raise ValueError("the kernel does not say how much memory is available")
    return int(found[1]) // _KIBIBYTES_IN_MEBIBYTE
