"""Sign-up and sign-in with Firebase ID tokens.

The legacy console keeps its one-hour token for ever, so a token that is presented while it is valid opens a session of
ours, found by the token's hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256

from stackyn_server.config import Settings
from stackyn_server.domain.accounts import valid_email, valid_password, valid_person_name
from stackyn_server.errors import Conflict, InvalidRequest, SignInRequired, Unavailable
from stackyn_server.gateways.firebase import Firebase, FirebaseRefused, FirebaseUser
from stackyn_server.gateways.firebase_admin import FirebaseAdmin
from stackyn_server.services.account_views import AccountView, account_view
from stackyn_server.services.billing import Billing
from stackyn_server.services.registration import account_of_proven_address
from stackyn_server.services.sessions import Caller, SessionEnded, Sessions
from stackyn_server.store import accounts, audit, sessions
from stackyn_server.store.accounts import Account
from stackyn_server.store.database import Database
from stackyn_server.store.failures import Duplicate

_SECONDS_PER_HOUR = 3600.0


class NotConfigured(Unavailable):
    code, retryable = "NOT_CONFIGURED", False

    def __init__(self) -> None:
        super().__init__("Firebase Auth not configured")


@dataclass(frozen=True, slots=True)
class CompletedSignUp:
    uid: str
    token: str = field(repr=False)
    account: AccountView
    is_new: bool


class FirebaseAccounts:
    def __init__(
        self,
        database: Database,
        settings: Settings,
        firebase: Firebase,
        admin: FirebaseAdmin,
        sessions: Sessions,
        billing: Billing,
    ) -> None:
        self._database = database
        self._settings = settings
        self._firebase = firebase
        self._admin = admin
        self._sessions = sessions
        self._billing = billing

    async def sign_up(self, email: str, password: str) -> str:
        """Make an account at Firebase and return its uid; ours follows with the first proof of the address.

        Raises `NotConfigured` without a credential, `Conflict` for an address that has an account here or there.
        """
        if not self._admin.is_configured:
            raise NotConfigured
        email, password = valid_email(email), valid_password(password)
        async with self._database.connection() as connection:
            if await accounts.by_email(connection, email) is not None:
                raise Conflict("Email already registered", code="EMAIL_TAKEN")
        return await self._admin.create(email, password)

    async def identify(self, token: str) -> Caller:
        """Return who holds this token, opening a session with its first use. Raises `SignInRequired`."""
        token_hash = sha256(token.encode()).digest()
        async with self._database.connection() as connection:
            identified, was_known = await sessions.identify_foreign(connection, token_hash)
        if identified is not None:
            return Caller(account_view(identified.account), identified.session)
        if was_known:
            raise SessionEnded
        user = await self._verified(token)
        if not await self._is_proven(user, token):
            raise SignInRequired(
                "This e-mail address is not verified yet.", hint="Verify it, then sign in again."
            )
        return await self._open(user, token_hash)

    async def inspect(self, token: str) -> FirebaseUser:
        """Return what a genuine token says, with the current state of its address; needs no account."""
        user = await self._verified(token)
        return replace(user, email_verified=await self._is_proven(user, token))

    async def complete(
        self, token: str, *, full_name: str, company_name: str | None, email: str | None, plan: str | None
    ) -> CompletedSignUp:
        """Finish a sign-up: make the account, or fill in the names of the one that a first use of the token made.

        A paid `plan` is recorded in the audit log and never granted.
        """
        full_name = valid_person_name(full_name, "full_name")
        company_name = valid_person_name(company_name or "", "company_name")
        if not full_name:
            raise InvalidRequest("full_name is needed.", details={"field": "full_name"})
        user = await self._verified(token)
        if email and email.strip().lower() != user.email.lower():
            raise InvalidRequest(
                "The e-mail address is not the one of the token.", details={"field": "email"}
            )
        if not await self._is_proven(user, token):
            raise InvalidRequest("Email not verified. Please verify your email first.")
        async with self._database.transaction() as connection:
            account, is_new = await account_of_proven_address(
                connection, self._settings, self._billing, _email_of(user), firebase_uid=user.uid
            )
            await accounts.set_firebase_uid(connection, account.id, user.uid)
            named = await accounts.set_profile(
                connection,
                account.id,
                full_name=full_name if account.full_name is None else None,
                company_name=company_name if account.company_name is None else None,
            )
            account = named or account
            if plan:
                await audit.append(
                    connection, "plan.wished", actor=account.id, subject=account.id, data={"plan": plan[:64]}
                )
            bearer = await self._sessions.open(connection, account, proved_at=user.signed_in_at)
        return CompletedSignUp(user.uid, bearer, account_view(account), is_new)

    @property
    def is_configured(self) -> bool:
        return self._firebase.is_configured

    def is_for_us(self, token: str) -> bool:
        """Say whether the token says that it is one of our Firebase project; nothing of it is checked."""
        return self.is_configured and self._firebase.is_named_by(token)

    async def _verified(self, token: str) -> FirebaseUser:
        if not self.is_configured:
            raise NotConfigured
        try:
            return await self._firebase.verify(token)
        except FirebaseRefused as refusal:
            if refusal.has_ended:
                raise SessionEnded from refusal
            raise SignInRequired("This access token is not valid here.", hint="Sign in again.") from refusal

    async def _is_proven(self, user: FirebaseUser, token: str) -> bool:
        """Return whether the address is proven: by the token's claim, our account of this uid, or Firebase.

        A claim that denies it may be stale. An account counts only for the uid that it belongs to: anybody can
        register anybody's address at Firebase.
        """
        if user.email_verified:
            return True
        async with self._database.connection() as connection:
            account = await accounts.by_email(connection, user.email)
        if account is not None and account.email_verified and account.firebase_uid == user.uid:
            return True
        return await self._firebase.is_verified_now(token, user)

    async def _open(self, user: FirebaseUser, token_hash: bytes) -> Caller:
        hours = self._settings.auth.firebase.session_hours
        try:
            async with self._database.transaction() as connection:
                account: Account
                account, _ = await account_of_proven_address(
                    connection, self._settings, self._billing, _email_of(user), firebase_uid=user.uid
                )
                await accounts.set_firebase_uid(connection, account.id, user.uid)
                session = await sessions.open_session(
                    connection,
                    account.id,
                    lifetime_seconds=hours * _SECONDS_PER_HOUR,
                    token_hash=token_hash,
                    proved_at=user.signed_in_at,
                )
            return Caller(account_view(account), session)
        except Duplicate:
            # Another request with the same token was first.
            async with self._database.connection() as connection:
                identified, _ = await sessions.identify_foreign(connection, token_hash)
            if identified is None:
                raise SessionEnded from None
            return Caller(account_view(identified.account), identified.session)


def _email_of(user: FirebaseUser) -> str:
    try:
        return valid_email(user.email)
    except InvalidRequest as error:
        raise SignInRequired(
            "The access token has no e-mail address.", hint="Sign in another way."
        ) from error
