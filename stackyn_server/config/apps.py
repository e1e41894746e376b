"""Running apps: `[apps]`, `[deadlines]`, `[probe]`, `[retries]`, `[reconcile]`, `[health]`, `[samples]`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stackyn_server.config.table import Count, Port, Seconds, Table

MOST_VARIABLES = 10_000  # as many are read
MOST_VARIABLES_BYTES = 1_572_864  # of the 2 MiB with which Linux starts a program

# What an operator may give to apps: the engine's own default set without what reaches beyond the container (raw
# packets, device nodes).
Capability = Literal[
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
]  # fmt: skip


class AppsSettings(Table):
    default_memory_mb: Count = 256
    default_disk_mb: Count = 1024
    default_cpu: float = Field(default=0.5, gt=0)
    default_port: Port = 8080
    max_processes: Count = 256
    variables: Annotated[int, Field(ge=1, le=MOST_VARIABLES)] = 500
    variables_bytes: Annotated[int, Field(ge=1, le=MOST_VARIABLES_BYTES)] = 1_048_576
    capabilities: tuple[Capability, ...] = (
        "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETUID", "SETGID", "KILL", "NET_BIND_SERVICE",
    )  # fmt: skip
    memory_reserve_mb: Annotated[int, Field(ge=0)] = 128
    idle_minutes: Annotated[float, Field(ge=0)] = 30
    keep_releases: Count = 5
    drain_seconds: Seconds = 30
    stop_grace_seconds: Seconds = 10
    restart_limit: Count = 10
    restart_window_seconds: Seconds = 600
    crash_lines: Count = 40
    log_keep_bytes: Count = 10_485_760
    reserved_slugs: tuple[str, ...] = (
        "api", "admin", "app", "cms", "console", "docs", "mail", "static", "status", "traefik", "www",
    )  # fmt: skip


class DeadlinesSettings(Table):
    """Seconds from the start of a phase until it ends the deployment."""

    fetching: Seconds = 300
    planning: Seconds = 30
    preparing: Seconds = 1200
    building: Seconds = 900
    releasing: Seconds = 600
    booting: Seconds = 60
    probing: Seconds = 120
    switching: Seconds = 30
    recording: Seconds = 60


class ProbeSettings(Table):
    """How a candidate is asked whether it is ready."""

    interval_seconds: Seconds = 0.25
    steady_seconds: Annotated[float, Field(ge=0)] = 3
    known_steady_seconds: Annotated[float, Field(ge=0)] = 0.5
    answer_seconds: Seconds = 30
    longest_seconds: Seconds = 900
    other_port_seconds: Seconds = 30


class RetriesSettings(Table):
    attempts: Count = 8
    first_seconds: Seconds = 2
    factor: float = Field(default=2.0, ge=1)
    longest_seconds: Seconds = 120
    jitter: float = Field(default=0.2, ge=0, le=1)


class ReconcileSettings(Table):
    period_seconds: Seconds = 30
    event_seconds: Seconds = 1
    listing_seconds: Seconds = 10
    at_once: Count = 16
    app_seconds: Seconds = 5
    steady_seconds: Seconds = 2
    garbage_seconds: Seconds = 300
    event_days: Count = 90
    audit_days: Count = 365
    billing_days: Count = 365
    idle_seconds: Seconds = 10


class HealthSettings(Table):
    """How serving apps of plans with `health_checks` are asked whether they are well."""

    interval_seconds: Seconds = 15
    timeout_seconds: Seconds = 5
    failures: Count = 3
    successes: Count = 2
    path: str = ""
    at_once: Count = 16


class SamplesSettings(Table):
    period_seconds: Seconds = 15
    at_once: Count = 16
    app_seconds: Seconds = 3
    slow_seconds: Seconds = 300
    first_seconds: Seconds = 0.2
    disk_seconds: Seconds = 60
    keep_hours: Count = 24
    coarse_seconds: Seconds = 300
    coarse_days: Count = 30
