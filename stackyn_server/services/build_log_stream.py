"""Follow the build log of a deployment until the deployment has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from stackyn_server.domain.deployments import Status, status_of
from stackyn_server.domain.ids import DeploymentId, UserId
from stackyn_server.domain.logs import LogChunk
from stackyn_server.domain.notices import DeploymentMoved, LogStored, Notice
from stackyn_server.journal.journal import PAGE_CHUNKS, Journal
from stackyn_server.services.app_access import find_deployment
from stackyn_server.store.database import Database

_UNDER_WAY = (Status.PENDING, Status.BUILDING)


async def follow_build_log(
    database: Database,
    journal: Journal,
    tenant: UserId | None,
    deployment: DeploymentId,
    after: int,
    *,
    reread_seconds: float,
) -> AsyncGenerator[LogChunk | Status, None]:
    """Yield the chunks after chunk `after`, each once, then the status that the deployment has ended in.

    The rows are read at the beginning, each `reread_seconds`, and after notices were missed; in between, the chunks are
    those that the journal posts. Raises `NotFound` when the deployment is gone, `DatabaseUnavailable`.
    """

    def is_wanted(notice: Notice) -> bool:
        return notice.deployment == deployment and not (
            isinstance(notice, LogStored) and notice.kind != "build"
        )

    loop = asyncio.get_running_loop()
    with database.bulletin.subscribe(is_wanted) as news:
        while True:
            reread_at = loop.time() + reread_seconds
            async with database.connection() as connection:
                row = await find_deployment(connection, deployment, tenant)
            status = status_of(row.phase)
            if status not in _UNDER_WAY:
                for chunk in await journal.rest(deployment, after):
                    yield chunk
                yield status
                return
            chunks = await journal.stored_after(deployment, after)
            for chunk in chunks:
                yield chunk
                after = chunk.id
            while len(chunks) < PAGE_CHUNKS:  # else the next page comes first
                notice = await news.next(reread_at)
                if isinstance(notice, LogStored):
                    if notice.chunk.id > after:
                        yield notice.chunk
                        after = notice.chunk.id
                elif not isinstance(notice, DeploymentMoved) or status_of(notice.phase) not in _UNDER_WAY:
                    break
