"""The folders in which the fetched commits of deployments are kept while they are built."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stackyn_server.domain.ids import DeploymentId


def clone_of(clones: Path, deployment: DeploymentId) -> Path:
    return clones / f"d{deployment}"


def deployments_in(names: Iterable[str]) -> dict[int, str]:
    """Return which of these file names are clones, by deployment."""
    return {int(name[1:]): name for name in names if name[:1] == "d" and name[1:].isdecimal()}
