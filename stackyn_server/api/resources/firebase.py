"""Signing up with a Firebase account, for the legacy console."""

from __future__ import annotations

from stackyn_server.api.services import Services
from stackyn_server.api.wire.firebase import (
    Completed,
    CompletedUser,
    FirebaseSignUp,
    FirebaseUserMade,
    SignUpCompletion,
    TokenBody,
    TokenFacts,
)
from stackyn_server.errors import InvalidRequest


async def sign_up(services: Services, body: FirebaseSignUp) -> FirebaseUserMade:
    """Make a Firebase account from here, with the credential of `[auth.firebase] admin_credential_file`."""
    uid = await services.firebase.sign_up(body.email, body.password)
    return FirebaseUserMade(
        message="User created successfully. Please verify your email.", uid=uid, email=body.email.strip()
    )


async def complete(services: Services, body: SignUpCompletion) -> Completed:
    """Finish a sign-up that began at Firebase: 201 for a new user, 200 for one that existed."""
    if not body.id_token:
        raise InvalidRequest("id_token and full_name are needed.")
    done = await services.firebase.complete(
        body.id_token,
        full_name=body.full_name,
        company_name=body.company_name,
        email=body.email,
        plan=body.plan,
    )
    return Completed(
        firebase_uid=done.uid,
        token=done.token,
        user=CompletedUser.from_view(done.account),
        message=None if done.is_new else "User already exists",
    )


async def verify_token(services: Services, body: TokenBody) -> TokenFacts:
    """Say what a genuine token says; it needs no account."""
    if not body.id_token:
        raise InvalidRequest("id_token is needed.")
    user = await services.firebase.inspect(body.id_token)
    return TokenFacts(uid=user.uid, email=user.email, email_verified=user.email_verified)
