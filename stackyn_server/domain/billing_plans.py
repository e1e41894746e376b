"""Billing plans as values, and whether an account's reservation still fits."""

from __future__ import annotations

from dataclasses import dataclass

from stackyn_server.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an account's living apps reserve together. Units: MiB."""

    apps: int
    memory_mb: int
    disk_mb: int


def check_build_memory(asked_mb: int | None, most_mb: int) -> None:
    """Raise `Forbidden` naming the limit when a build is to get more than the plan allows."""
    if asked_mb is not None and asked_mb > most_mb:
        raise Forbidden(
            f"Your plan allows {most_mb} MB of memory for a build.",
            hint="Set less as build_memory_mb or choose a larger plan.",
            code="QUOTA_MEMORY",
            details={"limit": most_mb},
        )


def check_quota(
    reserved: Reservation, extra: Reservation, *, max_apps: int, max_memory_mb: int, max_disk_mb: int
) -> None:
    """Raise `Forbidden` naming the limit that `reserved` + `extra` would break."""
    if reserved.apps + extra.apps > max_apps:
        raise Forbidden(
            f"Your plan allows {max_apps} app{'s' if max_apps != 1 else ''}.",
            hint="Delete an app or choose a larger plan.",
            code="QUOTA_APPS",
            details={"limit": max_apps},
        )
    if reserved.memory_mb + extra.memory_mb > max_memory_mb:
        raise Forbidden(
            f"Your plan allows {max_memory_mb} MB of memory for all apps together.",
            hint="Give your apps less memory or choose a larger plan.",
            code="QUOTA_MEMORY",
            details={"limit": max_memory_mb},
        )
    if reserved.disk_mb + extra.disk_mb > max_disk_mb:
        raise Forbidden(
            f"Your plan allows {max_disk_mb} MB of disk for all apps together.",
            hint="Give your apps less disk or choose a larger plan.",
            code="QUOTA_DISK",
            details={"limit": max_disk_mb},
        )
