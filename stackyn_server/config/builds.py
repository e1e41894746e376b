"""From a repository to an image: `[images]`, `[source]`, `[reading]`, `[builds]`."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from stackyn_server.config.table import Count, Seconds, Table

RegistryHost = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$", max_length=255)
]
RegistryPlace = Annotated[
    str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?(/[a-z0-9._-]+)*$", max_length=255)
]


class ImagesSettings(Table):
    python: str = "stackyn/python:3.11"
    node: str = "stackyn/node:22"
    static: str = "stackyn/static:1"
    builder: str = "stackyn/builder:1"
    directory: Path = Path("/var/lib/stackyn-images")
    source: Literal["auto", "registry", "local"] = "auto"
    keep_days: Count = 30


class SourceSettings(Table):
    schemes: tuple[str, ...] = ("https",)
    allowed_private: tuple[str, ...] = ()
    max_mb: Count = 512
    max_files: Count = 50_000
    stall_seconds: Seconds = 20


class ReadingSettings(Table):
    """Limits of the processes that read tenants' files: for the plan, and to filter the build context."""

    memory_mb: Count = 256
    cpu_seconds: Count = 10
    context_cpu_seconds: Count = 120


class BuildsSettings(Table):
    concurrency: Count = 2
    memory_mb: Count = 1024
    cpu: float = Field(default=1.0, gt=0)
    max_processes: Count = 512
    disk_mb: Count = 8192
    image_mb: Count = 4096
    max_files: Count = 1_000_000
    cache_mb: Count = 4096
    cache_total_mb: Count = 20_480
    cache_days: Count = 30
    free_disk_mb: int = Field(default=1024, ge=0)
    log_limit_bytes: Count = 4_194_304
    host_ca_bundle: str = ""
    allowed_private: tuple[ipaddress.IPv4Network, ...] = ()
    plain_http_registries: tuple[RegistryHost, ...] = ()
    mirrors: Mapping[RegistryHost, tuple[RegistryPlace, ...]] = Field(default_factory=dict)
    registry_credentials: Annotated[int, Field(ge=1, le=1000)] = 50
