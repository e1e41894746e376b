"""Require free disk space before a build begins: a build that fills the disk breaks everything else on the server."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

from stackyn_server.domain.failures import FailureCode, TransientFailure

_MEBIBYTE = 1024**2


async def require_disk_space(folders: Iterable[Path], free_mb: int) -> None:
    """Raise `TransientFailure` (NO_DISK) unless each folder's file system has `free_mb` MiB left for us."""
    free_bytes = min(await asyncio.gather(*(asyncio.to_thread(_free_bytes, folder) for folder in folders)))
    if free_bytes < free_mb * _MEBIBYTE:
        raise TransientFailure.of(
            FailureCode.NO_DISK,
            "This server has too little disk space left for another build.",
            "Nothing needs to be done: it is tried again. If it stays, the operator has to free space.",
        )


def _free_bytes(folder: Path) -> float:
    """Return the free space at the nearest existing parent folder; no limit where none is visible (a remote engine)."""
    for there in (folder, *folder.parents[:-1]):
        try:
            return shutil.disk_usage(there).free
        except FileNotFoundError:
            continue
    return float("inf")
