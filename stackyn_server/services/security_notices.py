"""Mails that tell an account's owner what happened to its credentials."""

from __future__ import annotations

from datetime import UTC, datetime

from stackyn_server.gateways.mail.templates import MailTemplate
from stackyn_server.services.mail import MailQueue
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection
from stackyn_server.store.tokens import ApiToken


class SecurityNotices:
    """Each goes to the queue in the transaction of the change, and to a proven address only."""

    def __init__(self, mail: MailQueue) -> None:
        self._mail = mail

    async def password_set(self, connection: Connection, account: Account, *, tokens_end: bool) -> None:
        tokens = "API tokens no longer work." if tokens_end else "API tokens go on working."
        await self._tell(connection, account, MailTemplate.PASSWORD_SET, when=_now(), tokens=tokens)

    async def token_made(self, connection: Connection, account: Account, token: ApiToken) -> None:
        await self._tell(
            connection,
            account,
            MailTemplate.TOKEN_MADE,
            when=_now(),
            name=token.name,
            scopes=", ".join(token.scopes),
            apps="one app" if token.app is not None else "all apps",
            ends=f"until {_moment(token.expires_at)}" if token.expires_at else "until it is deleted",
        )

    async def _tell(
        self, connection: Connection, account: Account, template: MailTemplate, **values: str
    ) -> None:
        if account.email_verified:
            await self._mail.put(connection, template, account.email, values)


def _now() -> str:
    return _moment(datetime.now(UTC))


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%d %B %Y, %H:%M} UTC"
