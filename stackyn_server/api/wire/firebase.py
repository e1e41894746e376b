"""Sign-up and sign-in with Firebase: contract section 2."""

from __future__ import annotations

from stackyn_server.api.wire.base import (
    AccountRequestBody,
    RequestBody,
    ResponseBody,
    Text,
    left_out_when_none,
)
from stackyn_server.services.account_views import AccountView


class FirebaseSignUp(AccountRequestBody):
    password: Text


class FirebaseUserMade(ResponseBody):
    message: str
    uid: str
    email: str


class TokenBody(RequestBody):
    id_token: Text


class SignUpCompletion(TokenBody):
    """An empty `email` counts as absent."""

    full_name: Text
    company_name: Text | None = None
    email: Text | None = None
    plan: Text | None = None


class TokenFacts(ResponseBody):
    uid: str
    email: str
    email_verified: bool


class CompletedUser(ResponseBody):
    id: str
    email: str
    full_name: str | None
    company_name: str | None
    email_verified: bool

    @classmethod
    def of(cls, account: AccountView) -> CompletedUser:
        return cls(
            id=str(account.id),
            email=account.email,
            full_name=account.full_name,
            company_name=account.company_name,
            email_verified=account.email_verified,
        )


class Completed(ResponseBody):
    """`message` is there for a user that existed already."""

    firebase_uid: str
    token: str
    user: CompletedUser
    message: str | None = left_out_when_none()

    def status_instead(self) -> int | None:
        return 200 if self.message else None
