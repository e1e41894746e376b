"""Sign-up with a mailed code or a password, and a new password for a forgotten one."""

from __future__ import annotations

from datetime import UTC, datetime

from stackyn_server.config import Settings
from stackyn_server.domain.accounts import valid_email, valid_password
from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.errors import Conflict, Forbidden
from stackyn_server.security.passwords import Passwords
from stackyn_server.services.account_views import account_view
from stackyn_server.services.accounts import SignedInView
from stackyn_server.services.billing import Billing
from stackyn_server.services.codes import Codes, CodeWrong
from stackyn_server.services.registration import account_of_proven_address, new_account
from stackyn_server.services.security_notices import SecurityNotices
from stackyn_server.services.sessions import Sessions
from stackyn_server.store import accounts, audit, sessions, tokens
from stackyn_server.store.accounts import Account
from stackyn_server.store.codes import Purpose
from stackyn_server.store.database import Connection, Database


class SignUps:
    def __init__(
        self,
        database: Database,
        settings: Settings,
        passwords: Passwords,
        sessions: Sessions,
        codes: Codes,
        billing: Billing,
        notices: SecurityNotices,
    ) -> None:
        self._database = database
        self._settings = settings
        self._passwords = passwords
        self._sessions = sessions
        self._codes = codes
        self._billing = billing
        self._notices = notices

    async def send_code(self, email: str, network: ClientNetwork) -> str | None:
        """Mail a code to sign in with, to any address. Returns it only for development."""
        return await self._codes.send(email, Purpose.SIGN_IN, network)

    async def by_code(
        self, email: str, code: str, password: str | None, network: ClientNetwork
    ) -> SignedInView:
        """Sign in with a mailed code, creating the account if it is new, and set the password if one is given.

        A password ends all earlier sessions and API tokens.
        """
        email = valid_email(email)
        password_hash = await self._passwords.hash(valid_password(password)) if password else None

        async def sign_in(connection: Connection) -> SignedInView:
            account, is_new = await account_of_proven_address(
                connection, self._settings, self._billing, email
            )
            if password_hash is not None:
                account = await self._set_password(connection, account, password_hash, is_first=is_new)
            token = await self._sessions.open(
                connection, account, network=network, proved_at=datetime.now(UTC)
            )
            return SignedInView(token, account_view(account))

        return await self._codes.redeem(email, Purpose.SIGN_IN, code, network, sign_in)

    async def with_password(
        self, email: str, password: str, network: ClientNetwork | None = None
    ) -> SignedInView:
        """Create an account with an unproven address. Raises `Conflict` if the address has an account."""
        if not self._settings.auth.signup:
            raise Forbidden("Sign-up is switched off on this server.", hint="Ask its operator.")
        email = valid_email(email)
        password_hash = await self._passwords.hash(valid_password(password))
        async with self._database.transaction() as connection:
            await accounts.lock_address(connection, email)
            if await accounts.by_email(connection, email) is not None:
                raise Conflict("Email already registered", code="EMAIL_TAKEN")
            new = new_account(self._settings, email, password_hash=password_hash)
            account = await self._billing.begin(connection, await accounts.insert(connection, new))
            token = await self._sessions.open(connection, account, network=network)
        return SignedInView(token, account_view(account))

    async def send_reset_code(self, email: str, network: ClientNetwork) -> str | None:
        """Mail a code for a new password, if the address has an account; nobody learns whether it has."""
        return await self._codes.send(email, Purpose.RESET, network)

    async def reset_password(self, email: str, code: str, password: str, network: ClientNetwork) -> None:
        """Set a new password with a mailed code; all earlier sessions and API tokens end."""
        email = valid_email(email)
        password_hash = await self._passwords.hash(valid_password(password))

        async def reset(connection: Connection) -> None:
            if await accounts.lock_by_email(connection, email) is None:
                raise CodeWrong
            account, _ = await account_of_proven_address(connection, self._settings, self._billing, email)
            await self._set_password(connection, account, password_hash)

        await self._codes.redeem(email, Purpose.RESET, code, network, reset)

    async def _set_password(
        self, connection: Connection, account: Account, password_hash: str, *, is_first: bool = False
    ) -> Account:
        """Set the password of an account whose address was just proven; nothing that was signed in earlier stays so."""
        changed = await accounts.set_profile(connection, account.id, password_hash=password_hash)
        await sessions.end_all(connection, account.id)
        await tokens.delete_all(connection, account.id)
        if not is_first:
            await self._notices.password_set(connection, account, tokens_end=True)
        await audit.append(connection, "password.reset", actor=account.id, subject=account.id)
        return changed or account
