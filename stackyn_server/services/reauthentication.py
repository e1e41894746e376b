"""Asks for the current password, or a fresh proof of the address, before somebody's credentials change.

A bearer token alone is not enough: it may be stolen from a browser or a log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stackyn_server.config import Settings
from stackyn_server.errors import InvalidField
from stackyn_server.security.passwords import Passwords
from stackyn_server.services.sessions import Caller, SessionEnded
from stackyn_server.store import accounts, sessions
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Connection, Database

_SECONDS_PER_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What was shown: the password with this hash, or (None) a fresh session."""

    password_hash: str | None = field(default=None, repr=False)


class WrongPassword(InvalidField):
    """400 and not 401, on which the clients sign out."""

    def __init__(self) -> None:
        super().__init__("current_password", "The value of current_password is not the account's password.")


class Reauthentication:
    def __init__(self, database: Database, settings: Settings, passwords: Passwords) -> None:
        self._database = database
        self._fresh_seconds = settings.auth.fresh_minutes * _SECONDS_PER_MINUTE
        self._passwords = passwords

    async def check(self, caller: Caller, current_password: str | None) -> Proof:
        """Raises `InvalidField` without a fresh session and the right `current_password`."""
        async with self._database.connection() as connection:
            if caller.session and await sessions.is_fresh(connection, caller.session, self._fresh_seconds):
                return Proof()
            account = await accounts.get(connection, caller.id)
        if account is None:
            raise SessionEnded
        if account.password_hash is None:
            raise InvalidField(
                "current_password",
                "The account has no password, so there is no current_password to confirm this with.",
                "Sign in again with a code, then repeat this.",
            )
        if not current_password:
            raise InvalidField(
                "current_password",
                "This needs the account's password in current_password.",
                "Send it, or sign in again with a code, then repeat this.",
            )
        if not (await self._passwords.verify(current_password, account.password_hash)).is_right:
            raise WrongPassword
        return Proof(account.password_hash)

    @staticmethod
    async def hold(connection: Connection, caller: Caller, proof: Proof) -> Account:
        """Lock the account in the transaction of the change, with the password that was checked still its password."""
        account = await accounts.lock(connection, caller.id)
        if account is None:
            raise SessionEnded
        if proof.password_hash is not None and account.password_hash != proof.password_hash:
            raise WrongPassword
        return account
