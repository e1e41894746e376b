"""Personal tokens for programs: shown once, stored as a hash, ended by deleting them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from stackyn_server.domain.accounts import valid_person_name
from stackyn_server.errors import InvalidRequest, NotFound
from stackyn_server.services.account_views import account_view
from stackyn_server.services.sessions import Caller
from stackyn_server.store import tokens
from stackyn_server.store.database import Database
from stackyn_server.store.tokens import ApiToken

PREFIX = "stk_"

_SECRET_BYTES = 32
_USE_PRECISION_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class CreatedToken:
    row: ApiToken
    token: str = field(repr=False)


class ApiTokens:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, caller: Caller, name: str, days: int | None) -> CreatedToken:
        """Make a token that works for `days` (None: until it is deleted). The token is shown here only."""
        name = valid_person_name(name, "name")
        if not name:
            raise InvalidRequest("The token needs a name.", details={"field": "name"})
        token = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
        async with self._database.transaction() as connection:
            row = await tokens.insert(
                connection, caller.id, name=name, token_hash=_hash(token), expires_at=expires_at
            )
        return CreatedToken(row, token)

    async def list(self, caller: Caller) -> list[ApiToken]:
        async with self._database.connection() as connection:
            return await tokens.of_account(connection, caller.id)

    async def delete(self, caller: Caller, token: int) -> None:
        async with self._database.transaction() as connection:
            if not await tokens.delete(connection, caller.id, token):
                raise NotFound("There is no such token.")

    async def identify(self, token: str) -> Caller | None:
        """Return who holds this token, or None for an unknown, deleted or expired one."""
        async with self._database.connection() as connection:
            identified = await tokens.identify(connection, _hash(token))
            if identified is None:
                return None
            account, token_id = identified
            await tokens.touch(connection, token_id, precision_seconds=_USE_PRECISION_SECONDS)
        return Caller(account_view(account), session=None, token=token_id)


def _hash(token: str) -> bytes:
    """One round of SHA-256 is enough: a token has 256 random bits."""
    return sha256(token.encode()).digest()
