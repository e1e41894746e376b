"""Who calls: the bearer token of a request (RFC 6750) and the access its route asks for."""

from __future__ import annotations

from aiohttp import hdrs, web

from stackyn_server.api.routing import Access
from stackyn_server.errors import Forbidden, SignInRequired
from stackyn_server.services.identity import Identity
from stackyn_server.services.sessions import Caller

_SCHEME = "bearer"


async def identify(request: web.Request, identity: Identity, access: Access) -> Caller:
    """Return the caller, or raise `SignInRequired`; `Forbidden` for somebody who is no admin where one is needed."""
    caller = await identity.identify(bearer_token(request))
    if access is Access.ADMIN and not caller.account.is_admin:
        raise Forbidden("Only administrators may do this.")
    return caller


def bearer_token(request: web.Request) -> str:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").strip().partition(" ")
    if scheme.lower() != _SCHEME or not token.strip():
        raise SignInRequired("Sign in to go on.")
    return token.strip()
