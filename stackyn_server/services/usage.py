"""What an app used over time, for its owner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.domain.usage import SECONDS_OF, STEP_SECONDS_OF, Range, UsagePoint
from stackyn_server.services.app_access import find_app
from stackyn_server.store import samples
from stackyn_server.store.database import Database


@dataclass(frozen=True, slots=True)
class Series:
    """Steps without a sample are left out, so there are at most `range` / `step_seconds` + 1 points."""

    app: AppId
    range: Range
    step_seconds: int
    points: Sequence[UsagePoint]


class UsageReader:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def series(self, tenant: UserId | None, app: AppId, over: Range) -> Series:
        """Return the app's usage, oldest first. Raises `NotFound`."""
        step = STEP_SECONDS_OF[over]
        async with self._database.connection() as connection:
            await find_app(connection, app, tenant)
            points = await samples.series(connection, app, seconds=SECONDS_OF[over], step_seconds=step)
        return Series(app, over, step, points)
