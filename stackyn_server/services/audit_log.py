"""The audit log: what administrators did, or were refused, and what happened to credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from stackyn_server.domain.ids import UserId
from stackyn_server.errors import Conflict, Forbidden, InvalidRequest
from stackyn_server.services.sessions import Caller
from stackyn_server.store import audit
from stackyn_server.store.audit import AuditRow
from stackyn_server.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class AuditPage:
    """`total` counts the rows on all pages."""

    rows: list[AuditRow]
    total: int


@dataclass(frozen=True, slots=True)
class Deed:
    """The transaction of a deed; what is put in `data` is recorded with it."""

    connection: Connection
    data: dict[str, Any]


class AuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def deed(self, actor: Caller, action: str, subject: object) -> AsyncIterator[Deed]:
        """Open the transaction in which the block does the deed, and which records it when the block is through.

        A deed that is refused (400, 403, 409) is undone and recorded as refused.
        """
        try:
            async with self._database.transaction() as connection:
                deed = Deed(connection, {})
                yield deed
                await audit.append(connection, action, actor=actor.id, subject=subject, data=deed.data)
        except (InvalidRequest, Forbidden, Conflict) as refusal:
            await self.refused(actor, action, subject, code=refusal.code)
            raise

    async def refused(self, actor: Caller, action: str, subject: object, **data: Any) -> None:
        async with self._database.transaction() as connection:
            await audit.append_refusal(connection, action, actor=actor.id, subject=subject, data=data)

    async def page(self, *, user: UserId | None, action: str | None, limit: int, offset: int) -> AuditPage:
        """Return what happened, newest first; with `user` only what that account did or what was done to it."""
        async with self._database.connection() as connection:
            rows = await audit.page(connection, user=user, action=action, limit=limit, offset=offset)
            total = await audit.count(connection, user=user, action=action)
        return AuditPage(rows, total)
