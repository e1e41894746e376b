"""Sign-up and sign-in with Firebase: contract section 2."""

from __future__ import annotations

from stackyn_server.api.wire.base import (
    AccountRequestBody,
    Id,
    RequestBody,
    ResponseBody,
    Text,
    left_out_when_none,
)


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
    id: Id
    email: str
    full_name: str | None
    company_name: str | None
    email_verified: bool


class Completed(ResponseBody):
    """`message` is there for a user that existed already."""

    firebase_uid: str
    token: str
    user: CompletedUser
    message: str | None = left_out_when_none()

    def status_instead(self) -> int | None:
        return 200 if self.message else None
