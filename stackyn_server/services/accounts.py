"""What people do with their own account: sign in with a password, read the profile, change it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from stackyn_server.config import Settings
from stackyn_server.domain.accounts import valid_email, valid_password, valid_person_name
from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.domain.ids import UserId
from stackyn_server.errors import InvalidRequest, SignInRequired
from stackyn_server.security.passwords import Passwords
from stackyn_server.services.account_views import AccountView, Profile, account_view, profile_view
from stackyn_server.services.reauthentication import Reauthentication
from stackyn_server.services.security_notices import SecurityNotices
from stackyn_server.services.sessions import Caller, SessionEnded, Sessions
from stackyn_server.store import accounts, audit, sessions, tokens
from stackyn_server.store.accounts import Account, NewAccount
from stackyn_server.store.database import Connection, Database

_RANDOM_PASSWORD_BYTES = 12


@dataclass(frozen=True, slots=True)
class SignedInView:
    token: str = field(repr=False)
    account: AccountView


@dataclass(frozen=True, slots=True)
class FirstAdmin:
    """`password` is None when the account keeps the one it had."""

    account: AccountView
    password: str | None = field(repr=False)


class WrongSignIn(SignInRequired):
    """The published words: people and clients know them."""

    def __init__(self) -> None:
        super().__init__("Invalid email or password")


class Accounts:
    def __init__(
        self,
        database: Database,
        settings: Settings,
        passwords: Passwords,
        sessions: Sessions,
        reauthentication: Reauthentication,
        notices: SecurityNotices,
    ) -> None:
        self._database = database
        self._settings = settings
        self._passwords = passwords
        self._sessions = sessions
        self._reauthentication = reauthentication
        self._notices = notices

    async def sign_in(self, email: str, password: str, network: ClientNetwork | None = None) -> SignedInView:
        """Check a password and open a session.

        Raises `SignInRequired` with one sentence, after the same work, for an unknown address, a wrong password and
        an account without a password.
        """
        async with self._database.connection() as connection:
            account = await accounts.by_email(connection, email.strip())
        stored = account.password_hash if account else None
        check = await self._passwords.verify(password, stored)
        if account is None or stored is None or not check.is_right:
            raise WrongSignIn
        upgraded = await self._passwords.hash(password) if check.needs_rehash else None
        async with self._database.transaction() as connection:
            current = await accounts.lock(connection, account.id)
            if current is None or current.password_hash != stored:
                raise WrongSignIn
            if upgraded is not None:
                await accounts.upgrade_password(connection, account.id, stored, upgraded)
            token = await self._sessions.open(connection, current, network=network)
        return SignedInView(token, account_view(current))

    async def profile(self, account: UserId) -> Profile:
        """Return the account with the limits that are enforced and what is used of them."""
        async with self._database.connection() as connection:
            with_use = await accounts.page(connection, account=account)
        if not with_use:
            raise SessionEnded
        return profile_view(self._settings, with_use[0])

    async def change(
        self,
        caller: Caller,
        *,
        full_name: str | None = None,
        company_name: str | None = None,
        password: str | None = None,
        current_password: str | None = None,
        end_tokens: bool = False,
    ) -> AccountView:
        """Change what is given; None leaves a value as it is, and so does an empty password.

        A new password needs the current one or a fresh session. It ends the user's other sessions, keeps the one that
        asked, and ends API tokens when asked to.
        """
        if full_name is not None:
            full_name = valid_person_name(full_name, "full_name")
        if company_name is not None:
            company_name = valid_person_name(company_name, "company_name")
        proof = password_hash = None
        if password:
            valid_password(password)
            proof = await self._reauthentication.check(caller, current_password)
            password_hash = await self._passwords.hash(password)
        async with self._database.transaction() as connection:
            if proof is not None:
                await self._reauthentication.hold(connection, caller, proof)
            changed = await accounts.set_profile(
                connection,
                caller.id,
                full_name=full_name,
                company_name=company_name,
                password_hash=password_hash,
            )
            if changed is None:
                raise SessionEnded
            if password_hash is not None:
                await sessions.end_all(connection, caller.id, apart_from=caller.session)
                if end_tokens:
                    await tokens.delete_all(connection, caller.id)
                await self._notices.password_set(connection, changed, tokens_end=end_tokens)
                await audit.append(connection, "password.set", actor=caller.id, subject=caller.id)
        return account_view(changed)

    async def make_admin(self, email: str, password: str | None = None) -> FirstAdmin:
        """Make an admin by the command line, from an existing account or a new one, on the admin plan.

        A new account without a given password gets a random one, which is returned once.
        """
        email = valid_email(email)
        async with self._database.connection() as connection:
            existing = await accounts.by_email(connection, email)
        if password is None and (existing is None or existing.password_hash is None):
            password = secrets.token_urlsafe(_RANDOM_PASSWORD_BYTES)
        password_hash = await self._passwords.hash(valid_password(password)) if password else None
        async with self._database.transaction() as connection:
            await accounts.lock_address(connection, email)
            account = await accounts.lock_by_email(connection, email)
            admin = await self._promoted(connection, account, email, password_hash)
            await audit.append(connection, "admin.made", actor=None, subject=admin.id)
        return FirstAdmin(account_view(admin), password)

    async def _promoted(
        self, connection: Connection, account: Account | None, email: str, password_hash: str | None
    ) -> Account:
        plan = self._settings.billing.admin_plan
        if account is None:
            return await accounts.insert(
                connection,
                NewAccount(
                    email=email,
                    plan=plan,
                    email_verified=True,
                    password_hash=password_hash,
                    is_admin=True,
                ),
            )
        # Whoever runs the command line vouches for the address; what a stranger set up before does not count.
        proven = await accounts.prove(connection, account.id)
        if proven is not None or password_hash is not None:
            await sessions.end_all(connection, account.id)
        if proven is not None and password_hash is None:
            raise InvalidRequest(
                "This account never proved its address, so its password does not count.",
                hint="Give a new password.",
            )
        await accounts.set_profile(connection, account.id, password_hash=password_hash)
        promoted = await accounts.set_admin(connection, account.id, is_admin=True, plan=plan)
        if promoted is None:
            raise InvalidRequest("This account was deleted meanwhile.", hint="Run the command again.")
        return promoted
