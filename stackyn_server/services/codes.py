"""One-time codes: six digits by mail, stored as a hash, for one purpose, with few attempts; only the newest counts."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TypeVar

from stackyn_server.config import Settings
from stackyn_server.domain.accounts import valid_email
from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.errors import RateLimited, SignInRequired
from stackyn_server.gateways.mail.templates import MailTemplate
from stackyn_server.services.mail import MailQueue
from stackyn_server.store import codes
from stackyn_server.store.codes import CodeAttempts, OneTimeCode, Purpose
from stackyn_server.store.database import Connection, Database

T = TypeVar("T")

_DIGITS = 6
_TEMPLATES = {Purpose.SIGN_IN: MailTemplate.SIGN_IN_CODE, Purpose.RESET: MailTemplate.RESET_CODE}


class CodeWrong(SignInRequired):
    """The code does not exist or was used."""

    code = "CODE_INVALID"

    def __init__(self) -> None:
        super().__init__(
            "The code is wrong.", hint="Check the digits of the newest mail, or ask for a new code."
        )


class CodeExpired(SignInRequired):
    """The code is right but has expired."""

    code = "CODE_EXPIRED"

    def __init__(self) -> None:
        super().__init__("The code has run out.", hint="Ask for a new one.")


class CodeLocked(RateLimited):
    code = "CODE_ATTEMPTS"

    def __init__(self) -> None:
        super().__init__("There were too many attempts with this code.", hint="Ask for a new one.")


class Codes:
    """`key` makes the hashes of six digits worthless without the server's key files."""

    def __init__(self, database: Database, settings: Settings, mail: MailQueue, key: bytes) -> None:
        self._database = database
        self._settings = settings
        self._mail = mail
        self._key = key

    async def send(self, email: str, purpose: Purpose, network: ClientNetwork) -> str | None:
        """Mail a new code, unless one was mailed within the cool-down; both look the same from outside.

        Returns the code where `[auth] development_codes` is on, else None. Raises `InvalidRequest`.
        """
        email = valid_email(email)
        auth = self._settings.auth
        code = f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}}"
        lifetime = timedelta(minutes=auth.code_minutes)
        async with self._database.transaction() as connection:
            await codes.lock_address(connection, email, purpose)
            newest = await codes.newest(connection, email, purpose)
            if newest and not newest.is_used and newest.age_seconds < auth.code_cooldown_seconds:
                return None
            await codes.insert(
                connection,
                email,
                purpose,
                self._hash(email, purpose, code),
                lifetime_seconds=lifetime.total_seconds(),
                network=network,
            )
            await self._mail.put(
                connection,
                _TEMPLATES[purpose],
                email,
                {"code": code, "minutes": str(auth.code_minutes)},
                only_to_accounts=purpose is Purpose.RESET,
                useless_after=datetime.now(UTC) + lifetime,
            )
        return code if auth.development_codes else None

    async def redeem(
        self,
        email: str,
        purpose: Purpose,
        code: str,
        network: ClientNetwork,
        act: Callable[[Connection], Awaitable[T]],
    ) -> T:
        """Use up a code and `act` on it in one transaction; what `act` raises leaves the code as it was.

        Raises `CodeWrong`, `CodeExpired` and `CodeLocked`; a wrong code is counted even so, for `network`.
        """
        email = email.strip()
        async with self._database.transaction() as connection:
            await codes.lock_address(connection, email, purpose)
            newest = await codes.newest(connection, email, purpose)
            attempts = await codes.attempts(
                connection, email, purpose, newest.id if newest else None, network
            )
            is_strange = self._is_strange(newest, attempts, network)
            given = self._hash(email, purpose, code.strip())
            problem = self._problem(newest, given, attempts, is_strange=is_strange)
            if newest is not None and problem is None:
                await codes.use(connection, newest.id)
                return await act(connection)
            if newest is not None and isinstance(problem, CodeWrong):
                await codes.count_attempt(connection, newest.id, network, is_strange=is_strange)
        assert problem is not None
        raise problem

    def _is_strange(self, newest: OneTimeCode | None, attempts: CodeAttempts, network: ClientNetwork) -> bool:
        """Say whether the network shares its tries with all other strange ones.

        Not the one that asked for the code; but whoever has networks without end could ask from each of them, so this
        ends after some codes in a day. What was signed in to the account is never strange.
        """
        asked = newest is not None and newest.network == network
        is_own = asked and attempts.codes <= self._settings.auth.own_codes_per_day
        return not (is_own or attempts.was_signed_in)

    def _problem(
        self, newest: OneTimeCode | None, given: bytes, attempts: CodeAttempts, *, is_strange: bool
    ) -> Exception | None:
        if newest is None or newest.is_used:
            return CodeWrong()
        auth = self._settings.auth
        if attempts.of_network >= auth.code_attempts:
            return CodeLocked()
        if is_strange and attempts.of_strangers >= auth.strange_code_attempts:
            return CodeLocked()
        if not hmac.compare_digest(newest.code_hash, given):
            return CodeWrong()
        return CodeExpired() if newest.has_expired else None

    def _hash(self, email: str, purpose: Purpose, code: str) -> bytes:
        return hmac.digest(self._key, f"{purpose}|{email.lower()}|{code}".encode(), sha256)
