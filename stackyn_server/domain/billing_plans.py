"""Billing plans as values, and whether an account's reservation still fits."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from stackyn_server.errors import Forbidden, InvalidField


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an account's living apps reserve together. Units: MiB, cores."""

    apps: int
    memory_mb: int
    disk_mb: int
    cpu: float


def check_build_memory(asked_mb: int | None, most_mb: int) -> None:
    """Raise `Forbidden` naming the limit when a build is to get more than the plan allows."""
    if asked_mb is not None and asked_mb > most_mb:
        raise Forbidden(
            f"Your plan allows {most_mb} MB of memory for a build.",
            hint="Set less as build_memory_mb or choose a larger plan.",
            code="QUOTA_MEMORY",
            details={"limit": most_mb},
        )


def check_machine_cores(asked: float | None, cores: int) -> None:
    """Raise `InvalidField` when an app is to get more processor cores than the machine has."""
    if asked is not None and asked > cores:
        has = f"{cores} processor core{'s' if cores != 1 else ''}"
        raise InvalidField("cpu", f"This server has {has}, and no app can have more.")


def check_quota(
    reserved: Reservation,
    extra: Reservation,
    *,
    max_apps: int,
    max_memory_mb: int,
    max_disk_mb: int,
    max_cpu: float,
) -> None:
    """Raise `Forbidden` naming the limit that `reserved` + `extra` would break. `max_cpu` 0: no limit."""
    apps = f"{max_apps} app{'s' if max_apps != 1 else ''}"
    memory = f"{max_memory_mb} MB of memory for all apps together"
    disk = f"{max_disk_mb} MB of disk for all apps together"
    cores = f"{max_cpu:g} processor core{'s' if max_cpu != 1 else ''} for all apps together"
    checks = (
        ("QUOTA_APPS", reserved.apps + extra.apps, max_apps, apps, "Delete an app"),
        (
            "QUOTA_MEMORY",
            reserved.memory_mb + extra.memory_mb,
            max_memory_mb,
            memory,
            "Give your apps less memory",
        ),
        ("QUOTA_DISK", reserved.disk_mb + extra.disk_mb, max_disk_mb, disk, "Give your apps less disk"),
        ("QUOTA_CPU", reserved.cpu + extra.cpu, max_cpu or inf, cores, "Give your apps less cpu"),
    )
    for code, total, limit, allowance, remedy in checks:
        if total > limit:
            raise Forbidden(
                f"Your plan allows {allowance}.",
                hint=f"{remedy} or choose a larger plan.",
                code=code,
                details={"limit": limit},
            )
