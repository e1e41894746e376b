"""The caller's own profile, with the limits that are enforced."""

from __future__ import annotations

from stackyn_server.api.services import Services
from stackyn_server.api.wire.accounts import Me
from stackyn_server.services.sessions import Caller


async def me(services: Services, caller: Caller) -> Me:
    """Return the signed-in user with plan, quota and subscription."""
    return Me.of(await services.accounts.profile(caller.id))
