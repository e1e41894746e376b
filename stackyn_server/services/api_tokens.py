"""Personal tokens for programs: shown once, stored as a hash, ended by deleting them."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from stackyn_server.config import Settings
from stackyn_server.domain.accounts import valid_person_name
from stackyn_server.domain.ids import AppId
from stackyn_server.domain.scopes import OF_TOKENS, OF_TOKENS_BY_DEFAULT, Scope
from stackyn_server.errors import Conflict, InvalidField, NotFound
from stackyn_server.services.account_views import account_view
from stackyn_server.services.app_access import find_app
from stackyn_server.services.reauthentication import Reauthentication
from stackyn_server.services.security_notices import SecurityNotices
from stackyn_server.services.sessions import Caller
from stackyn_server.store import audit, tokens
from stackyn_server.store.database import Database
from stackyn_server.store.tokens import ApiToken

PREFIX = "stk_"

_SECRET_BYTES = 32
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")  # such a secret in base64
_USE_PRECISION_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class CreatedToken:
    row: ApiToken
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """`days` None: it works until it is deleted. `app` None: for all apps of the account."""

    name: str
    scopes: tuple[Scope, ...] = OF_TOKENS_BY_DEFAULT
    app: AppId | None = None
    days: int | None = None


class ApiTokens:
    def __init__(
        self,
        database: Database,
        settings: Settings,
        reauthentication: Reauthentication,
        notices: SecurityNotices,
    ) -> None:
        self._database = database
        self._most = settings.auth.api_tokens
        self._reauthentication = reauthentication
        self._notices = notices

    async def create(
        self, caller: Caller, wanted: TokenRequest, current_password: str | None
    ) -> CreatedToken:
        """Make a token, which is shown here only. Needs the current password or a fresh session.

        Raises `InvalidRequest`, `NotFound` for an app, `Conflict` for one too many.
        """
        name = valid_person_name(wanted.name, "name")
        if not name:
            raise InvalidField("name", "The token needs a name.")
        if not wanted.scopes:
            raise InvalidField("scopes", "scopes has at least one of read, deploy and admin.")
        if wanted.app is not None and Scope.ADMIN in wanted.scopes:
            raise InvalidField("scopes", "A token for one app can't have admin in its scopes.")
        proof = await self._reauthentication.check(caller, current_password)
        token = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        expires_at = datetime.now(UTC) + timedelta(days=wanted.days) if wanted.days else None
        async with self._database.transaction() as connection:
            account = await self._reauthentication.hold(connection, caller, proof)
            if wanted.app is not None:
                await find_app(connection, wanted.app, caller.id)
            if await tokens.count(connection, caller.id) >= self._most:
                raise Conflict(
                    f"An account has at most {self._most} API tokens.",
                    hint="Delete one that is not needed any more.",
                )
            row = await tokens.insert(
                connection,
                caller.id,
                name=name,
                token_hash=_hash(token),
                expires_at=expires_at,
                scopes=sorted(set(wanted.scopes), key=OF_TOKENS.index),
                app=wanted.app,
            )
            await self._notices.token_made(connection, account, row)
            await audit.append(
                connection,
                "token.made",
                actor=caller.id,
                subject=caller.id,
                data={"token": row.id, "scopes": list(row.scopes), "app": row.app},
            )
        return CreatedToken(row, token)

    async def list(self, caller: Caller) -> list[ApiToken]:
        async with self._database.connection() as connection:
            return await tokens.of_account(connection, caller.id)

    async def delete(self, caller: Caller, token: int) -> None:
        async with self._database.transaction() as connection:
            if not await tokens.delete(connection, caller.id, token):
                raise NotFound("There is no such token.")
            await audit.append(
                connection, "token.deleted", actor=caller.id, subject=caller.id, data={"token": token}
            )

    async def identify(self, token: str) -> Caller | None:
        """Return who holds this token, or None for an unknown, deleted or expired one."""
        if not _FORM.fullmatch(token):
            return None
        async with self._database.connection() as connection:
            holder = await tokens.identify(connection, _hash(token))
            if holder is None:
                return None
            await tokens.touch(connection, holder.token, precision_seconds=_USE_PRECISION_SECONDS)
        return Caller(account_view(holder.account), None, holder.token, holder.scopes, holder.app)


def _hash(token: str) -> bytes:
    """One round of SHA-256 is enough: a token has 256 random bits."""
    return sha256(token.encode()).digest()
