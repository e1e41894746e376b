"""Typed ids. Apps, deployments, releases, instances and jobs are 64-bit integers; users and installations are UUIDs."""

from __future__ import annotations

from typing import NewType
from uuid import UUID

AppId = NewType("AppId", int)
DeploymentId = NewType("DeploymentId", int)
ReleaseId = NewType("ReleaseId", int)
InstanceId = NewType("InstanceId", int)
JobId = NewType("JobId", int)
UserId = NewType("UserId", UUID)

LARGEST_ID = 2**63 - 1


def parse_id(text: str) -> int | None:
    """Return the positive 64-bit id that `text` spells in plain decimal digits, else None (the caller's 404)."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and text[0] != "0"):
        return None
    number = int(text)
    return number if number <= LARGEST_ID else None
