"""Builders: the context of job handlers with those parts alone that a test needs, and doubles of the other parts."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from stackyn_server.config import Settings
from stackyn_server.domain.ids import InstanceId
from stackyn_server.engine.client import Engine
from stackyn_server.ingress.validators import RouteRefused
from stackyn_server.jobs.run import JobRun
from stackyn_server.pipeline.context import PipelineContext
from stackyn_server.store.database import Database


class Confirming:
    """A proxy that confirms everything. `routed` is what it was asked to confirm, in order."""

    def __init__(self) -> None:
        self.routed: list[object] = []

    async def apply(self, changed: Mapping[str, InstanceId | None]) -> None:
        await self.confirm(await self.publish(), changed)

    async def publish(self) -> int:
        return 1

    async def confirm(self, _number: int, changed: Mapping[str, InstanceId | None]) -> None:
        self.routed.extend(changed.values())


class Refusing(Confirming):
    """A proxy whose configuration can't have the app's host name, for example after a change of the server's own."""

    async def confirm(self, _number: int, _changed: Mapping[str, InstanceId | None]) -> None:
        raise RouteRefused("The host name is already in use on this server.")


async def nothing(*_: object) -> None:
    pass


def a_job(
    subject: object = "",
    *,
    epoch: int = 0,
    attempt: int = 1,
    arguments: Mapping[str, Any] | None = None,
    **more: object,
) -> JobRun:
    """Return an attempt at a job that has no row, by the server that leads with `epoch`."""
    job = SimpleNamespace(subject=str(subject), attempt=attempt, arguments=dict(arguments or {}))
    return cast(JobRun, SimpleNamespace(job=job, epoch=epoch, still_leading=nothing, **more))


def a_context(database: Database, **parts: object) -> PipelineContext:
    """Return a context in which the engine is away, and every other part is None."""
    settings, nothing = Settings(), dict.fromkeys(PipelineContext.__slots__)
    engine = Engine(settings.engine, settings.network, "no installation")  # never opened
    chosen = {"settings": settings, "database": database, "engine": engine, **parts}
    return PipelineContext(**{**nothing, **chosen})  # type: ignore[arg-type]
