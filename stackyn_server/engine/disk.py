"""What a container has written to disk: its writable layer and the volumes that its image declares. overlay2 keeps no
quota for either, so the only limit is to measure and act."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stackyn_server.engine.client import Engine

_BLOCK_BYTES = 512  # of `st_blocks`, whatever the file system's own blocks are
LEAST_FILE_BYTES = 4096  # so that a flood of empty files counts, and is not walked to its end
_GONE = (FileNotFoundError, NotADirectoryError)  # or something else by now


async def used_bytes(engine: Engine, container: str, *, enough: int) -> int | None:
    """Return what the container occupies; None when it is absent. Counting volumes stops above `enough`.

    The engine counts the writable layer by walking it, without a lock that others wait for. Never `system/df`, which
    counts everything on the host. Raises `EngineUnavailable`.
    """
    found = await engine.request_or_none("GET", f"containers/{container}/json", params={"size": "true"})
    if found is None:
        return None
    layer = int(found.get("SizeRw") or 0)
    volumes = [Path(mount["Source"]) for mount in found.get("Mounts") or [] if _is_volume(mount)]
    if not volumes or layer > enough:
        return layer
    return layer + await asyncio.to_thread(_occupied, volumes, enough - layer)


def _is_volume(mount: Mapping[str, Any]) -> bool:
    return mount.get("Type") == "volume" and bool(mount.get("Source"))


def _occupied(folders: Iterable[Path], enough: int) -> int:
    """What goes while it is counted is left out, and nothing else: an app may remove files all the time."""
    total, waiting = 0, [str(folder) for folder in folders]
    while waiting and total <= enough:
        with suppress(*_GONE), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with suppress(*_GONE):
                    found = entry.stat(follow_symlinks=False)
                    total += max(LEAST_FILE_BYTES, found.st_blocks * _BLOCK_BYTES)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                if total > enough:
                    break
    return total
