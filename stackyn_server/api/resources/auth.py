"""Signing up and in, and changing one's own account."""

from __future__ import annotations

from stackyn_server.api.services import Services
from stackyn_server.api.wire.accounts import (
    CodeProof,
    CodeRequest,
    CodeSent,
    Login,
    NewUser,
    PasswordReset,
    ProfileChange,
    SignedIn,
    SignedUp,
    SignUp,
    User,
)
from stackyn_server.api.wire.base import Message
from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.errors import InvalidRequest, SignInRequired
from stackyn_server.services.codes import CodeExpired, CodeWrong
from stackyn_server.services.sessions import Caller

_CODE_SENT = "If the address is right, a code is on its way to it."


async def send_otp(services: Services, network: ClientNetwork, body: CodeRequest) -> CodeSent:
    """Mail a code to sign in with; the answer is the same for every address."""
    return CodeSent(message=_CODE_SENT, otp=await services.sign_up.send_code(body.email, network))


async def verify_otp(services: Services, network: ClientNetwork, body: CodeProof) -> SignedIn:
    """Sign in with a mailed code, making the account if it is new."""
    try:
        return SignedIn.of(await services.sign_up.by_code(body.email, body.otp, body.password, network))
    except CodeWrong as error:  # the console acts on the words of these two
        raise SignInRequired("Invalid code.", hint=error.hint, code=error.code) from error
    except CodeExpired as error:
        raise SignInRequired("The code has expired.", hint=error.hint, code=error.code) from error


async def login(services: Services, network: ClientNetwork, body: Login) -> SignedIn:
    """Sign in with e-mail address and password, or with a code of send-otp."""
    if not body.email.strip() or not (body.password or body.otp):
        raise InvalidRequest("E-mail address and password are needed.")
    if body.password:
        return SignedIn.of(await services.accounts.sign_in(body.email, body.password, network))
    return SignedIn.of(await services.sign_up.by_code(body.email, body.otp or "", None, network))


async def sign_up(services: Services, network: ClientNetwork, body: SignUp) -> SignedUp:
    """Make an account with a password; its address is unproven until a code proves it."""
    signed_up = await services.sign_up.with_password(body.email, body.password, network)
    return SignedUp(
        token=signed_up.token, user=NewUser(id=str(signed_up.account.id), email=signed_up.account.email)
    )


async def forgot_password(services: Services, network: ClientNetwork, body: CodeRequest) -> CodeSent:
    """Mail a code for a new password; the answer is the same for every address."""
    return CodeSent(message=_CODE_SENT, otp=await services.sign_up.send_reset_code(body.email, network))


async def reset_password(services: Services, network: ClientNetwork, body: PasswordReset) -> Message:
    """Set a new password with a mailed code; all sessions and API tokens end."""
    await services.sign_up.reset_password(body.email, body.otp, body.password, network)
    return Message(message="The new password is set. Sign in with it.")


async def update_profile(services: Services, caller: Caller, body: ProfileChange) -> User:
    """Change name, company or password; absent keys stay as they are."""
    changed = await services.accounts.change(
        caller,
        full_name=body.full_name,
        company_name=body.company_name,
        password=body.password,
        current_password=body.current_password,
        end_tokens=bool(body.end_tokens),
    )
    return User.from_view(changed)


async def logout(services: Services, caller: Caller) -> Message:
    """End the session of the token that is used."""
    await services.sessions.end(caller)
    return Message(message="You are signed out.")


async def logout_everywhere(services: Services, caller: Caller) -> Message:
    """End all sessions of the caller."""
    await services.sessions.end_all(caller)
    return Message(message="You are signed out everywhere.")
