"""Whether open streams may go on, for all of them in one query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.store.database import Connection
from stackyn_server.store.queries import load

SQL = load("streams")


@dataclass(frozen=True, slots=True)
class StreamHolder:
    """Who opened a stream, by which session or API token, and of which app it is."""

    account: UserId
    session: UUID | None
    token: int | None
    app: AppId


@dataclass(frozen=True, slots=True)
class StreamRight:
    """`is_signed_in`: account and session or token are alive. `has_app`: the app is there and the account's own."""

    is_signed_in: bool
    has_app: bool
    plan: str


async def rights(connection: Connection, holders: Sequence[StreamHolder]) -> list[StreamRight]:
    """Return the rights in the order of `holders`."""
    asked = [
        {
            "number": number,
            "account": str(holder.account),
            "session": holder.session and str(holder.session),
            "token": holder.token,
            "app": holder.app,
        }
        for number, holder in enumerate(holders)
    ]
    rows = await connection.fetch(SQL.rights, asked)
    return [StreamRight(row["is_signed_in"], row["has_app"], row["plan"]) for row in rows]
