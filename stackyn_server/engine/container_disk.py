"""Measure what a container has written to disk: its writable layer and the volumes that its image declares.

overlay2 has no quota for either, so the only limit is to measure and act.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.engine.client import Engine

_BLOCK_BYTES = 512  # of `st_blocks`, whatever the file system's own blocks are
MIN_FILE_BYTES = 4096  # so many empty files reach the limit too
_GONE = (FileNotFoundError, NotADirectoryError)  # removed, or replaced by a file


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """An empty file counts as `MIN_FILE_BYTES`; `files` includes folders."""

    bytes: int
    files: int


async def used_bytes(
    engine: Engine, container: str, *, enough: int, seconds: float | None = None
) -> int | None:
    """Return the bytes on disk of a container, None when it is absent. Counting volumes stops above `enough` bytes.

    The engine walks the writable layer without a lock that others wait for, for as long as that takes; `seconds` is
    the time limit where `[engine] request_seconds` does not fit. `system/df` is not used: it counts everything on the
    host. Raises `EngineUnavailable`.
    """
    container_json = await engine.request_or_none(
        "GET", f"containers/{container}/json", params={"size": "true"}, seconds=seconds
    )
    if container_json is None:
        return None
    layer = int(container_json.get("SizeRw") or 0)
    mounts = container_json.get("Mounts") or []
    volumes = [
        Path(mount["Source"]) for mount in mounts if mount.get("Type") == "volume" and mount.get("Source")
    ]
    if not volumes or layer > enough:
        return layer
    remaining = DiskUsage(enough - layer, sys.maxsize)
    return layer + (await asyncio.to_thread(measure_folders, volumes, remaining)).bytes


def measure_folders(folders: Iterable[Path], enough: DiskUsage) -> DiskUsage:
    """Count the bytes and files below `folders`; stop above `enough`. Blocks.

    Files that are removed meanwhile are left out: an app may remove files all the time. A folder that is too deep to
    open counts as more than `enough`; otherwise a tenant could hide everything in one.
    """
    total, files, waiting = 0, 0, [str(folder) for folder in folders]
    try:
        while waiting and total <= enough.bytes and files <= enough.files:
            with suppress(*_GONE), os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    with suppress(*_GONE):
                        state = entry.stat(follow_symlinks=False)
                        total += max(MIN_FILE_BYTES, state.st_blocks * _BLOCK_BYTES)
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                    if total > enough.bytes or files > enough.files:
                        break
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return DiskUsage(total, enough.files + 1)
    return DiskUsage(total, files)
