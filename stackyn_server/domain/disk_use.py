"""What an account occupies of this machine's disk, and what its billing plan allows. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from stackyn_server.errors import Forbidden

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes that the account's containers have written, and of its images' own layers, build caches and stored logs."""

    apps_bytes: int = 0
    images_bytes: int = 0
    caches_bytes: int = 0
    logs_bytes: int = 0

    @property
    def kept_bytes(self) -> int:
        """All but the caches: those are emptied to make room."""
        return self.apps_bytes + self.images_bytes + self.logs_bytes

    def is_over(self, max_disk_mb: int) -> bool:
        return self.kept_bytes > max_disk_mb * _MEBIBYTE

    def left_for_caches(self, max_disk_mb: int) -> int:
        """Return the bytes that the other parts leave of the plan's disk."""
        return max(0, max_disk_mb * _MEBIBYTE - self.kept_bytes)


def check_disk_use(use: DiskUse, max_disk_mb: int) -> None:
    """Raise `Forbidden` when there may be no new build until the account occupies less."""
    if not use.is_over(max_disk_mb):
        return
    apps, images, logs = (in_mb(part) for part in (use.apps_bytes, use.images_bytes, use.logs_bytes))
    raise Forbidden(
        f"Your apps occupy {in_mb(use.kept_bytes)} MB of the {max_disk_mb} MB of disk in your plan: "
        f"{apps} MB that they wrote, {images} MB of images and {logs} MB of logs.",
        hint="Images of earlier releases are removed within minutes. Restart an app that wrote much (that begins with "
        "an empty disk), delete one, or choose a larger plan; then deploy again.",
        code="QUOTA_DISK",
        details={"limit": max_disk_mb},
    )


def in_mb(count: int) -> int:
    """Return whole MiB, rounded up."""
    return -(-count // _MEBIBYTE)
