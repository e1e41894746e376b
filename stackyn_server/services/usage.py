"""What an app used over time, for its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.domain.usage import SECONDS_OF, STEP_SECONDS_OF, Range
from stackyn_server.errors import NotFound
from stackyn_server.store import apps, samples
from stackyn_server.store.database import Database
from stackyn_server.store.samples import Point

__all__ = ["Point", "Range", "Series", "UsageReader"]


@dataclass(frozen=True, slots=True)
class Series:
    """Steps without a sample are left out, so there are at most `range` / `step_seconds` + 1 points."""

    range: Range
    step_seconds: int
    points: Sequence[Point]


class UsageReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def series(self, tenant: UserId | None, app: AppId, wanted: Range) -> Series:
        """Return the app's usage, oldest first. Raises `NotFound`."""
        step = STEP_SECONDS_OF[wanted]
        async with self._database.connection() as connection:
            if await apps.of_tenant(connection, app, tenant) is None:
                raise NotFound("There is no such app.")
            points = await samples.series(connection, app, seconds=SECONDS_OF[wanted], step_seconds=step)
        return Series(wanted, step, points)
