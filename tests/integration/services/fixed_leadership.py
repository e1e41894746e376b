"""The leadership of a server that has not led yet."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FixedLeadership:
    epoch: int = 0
