"""The port on which an app is told to listen. Pure."""

from __future__ import annotations


def expected_port(*, chosen: int | None, exposed: tuple[int, ...], planned: int | None, default: int) -> int:
    """Return the owner's port, else the only one that the image exposes, else the plan's, else the default."""
    if chosen:
        return chosen
    if len(exposed) == 1:
        return exposed[0]
    return planned or default
