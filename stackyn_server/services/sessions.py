"""Sessions: finds the account of a bearer token in one query."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from stackyn_server.config import Settings
from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.domain.ids import AppId, UserId
from stackyn_server.domain.scopes import OF_SESSIONS, Scope
from stackyn_server.errors import SignInRequired
from stackyn_server.security.tokens import TokenRefused, Tokens
from stackyn_server.services.account_views import AccountView, account_view
from stackyn_server.store import sessions
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection, Database


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request: in a session, or with an API token, which has scopes and may see one app alone."""

    account: AccountView
    session: UUID | None
    token: int | None = None
    scopes: frozenset[Scope] = OF_SESSIONS
    app: AppId | None = None

    @property
    def id(self) -> UserId:
        return self.account.id

    def sees(self, app: AppId) -> bool:
        """Say whether the token leads to this app at all; whether the account owns it is another question."""
        return self.app is None or self.app == app

    @property
    def plan(self) -> str:
        return self.account.plan


class SessionEnded(SignInRequired):
    code = "SESSION_ENDED"

    def __init__(self) -> None:
        super().__init__("Your session has ended.", hint="Sign in again.")


class Sessions:
    """Opens, finds and ends sessions."""

    def __init__(self, database: Database, settings: Settings, tokens: Tokens) -> None:
        self._database = database
        self._settings = settings
        self._tokens = tokens

    async def open(
        self,
        connection: Connection,
        account: Account,
        *,
        network: ClientNetwork | None = None,
        proved_at: datetime | None = None,
    ) -> str:
        """Open a session in the caller's transaction and return its token.

        `proved_at` is when a code or Firebase proved its owner, who may change credentials for a while after that.
        """
        lifetime = timedelta(hours=self._settings.auth.token_hours)
        session = await sessions.open_session(
            connection,
            account.id,
            lifetime_seconds=lifetime.total_seconds(),
            network=network,
            proved_at=proved_at,
        )
        return self._tokens.issue(
            account.id, account.email, session, now=datetime.now(UTC), lifetime=lifetime
        )

    def is_ours(self, token: str) -> bool:
        """Say whether this server signed the token, be its session open or over. Asks no database."""
        try:
            self._tokens.read(token)
        except TokenRefused as refusal:
            return refusal.has_ended
        return True

    async def identify(self, token: str) -> Caller:
        """Return who holds `token`. Raises `SignInRequired`, or `SessionEnded` for a token that was valid earlier."""
        try:
            claims = self._tokens.read(token)
        except TokenRefused as refusal:
            if refusal.has_ended:
                raise SessionEnded from refusal
            raise SignInRequired("This access token is not valid here.", hint="Sign in again.") from refusal
        async with self._database.connection() as connection:
            identified = await sessions.identify(connection, claims.session, claims.account)
        if identified is None:
            raise SessionEnded
        return Caller(account_view(identified.account), identified.session)

    async def end(self, caller: Caller) -> None:
        """Sign out: the token that was used stops working."""
        if caller.session is not None:
            async with self._database.connection() as connection:
                await sessions.end(connection, caller.session)

    async def end_all(self, caller: Caller) -> None:
        """Sign out everywhere."""
        async with self._database.connection() as connection:
            await sessions.end_all(connection, caller.id)
