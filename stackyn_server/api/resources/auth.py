"""Signing in, and changing one's own account."""

from __future__ import annotations

from stackyn_server.api.wire.accounts import Login, ProfileChange, SignedIn, User
from stackyn_server.errors import InvalidRequest
from stackyn_server.services.registry import Services
from stackyn_server.services.sessions import Caller


async def login(services: Services, body: Login) -> SignedIn:
    """Sign in with e-mail address and password."""
    if not body.email.strip() or not body.password:
        raise InvalidRequest("E-mail address and password are needed.")
    signed_in = await services.accounts.sign_in(body.email, body.password)
    return SignedIn(token=signed_in.token, user=User.of(signed_in.account))


async def update_profile(services: Services, caller: Caller, body: ProfileChange) -> User:
    """Change name, company or password; absent keys stay as they are."""
    changed = await services.accounts.change(
        caller, full_name=body.full_name, company_name=body.company_name, password=body.password
    )
    return User.of(changed)
