"""Who calls: the bearer token of a request (RFC 6750) and the access its endpoint asks for."""

from __future__ import annotations

from aiohttp import hdrs, web

from stackyn_server.api.endpoint import Access, Endpoint, Media
from stackyn_server.api.services import Services
from stackyn_server.api.throttling import Throttle
from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.domain.scopes import Scope
from stackyn_server.errors import Forbidden, SignInRequired
from stackyn_server.services.app_access import NoSuchApp, NoSuchDeployment
from stackyn_server.services.identity import Identity
from stackyn_server.services.sessions import Caller

_SCHEME = "bearer"


async def identify(
    request: web.Request, identity: Identity, endpoint: Endpoint, throttle: Throttle, network: ClientNetwork
) -> Caller:
    """Return the caller.

    Raises `SignInRequired`, and `RateLimited` where too many wrong tokens come from.
    """
    token = websocket_token(request) if endpoint.media is Media.WEBSOCKET else None
    token = token or bearer_token(request)
    await throttle.require_fewer_wrong_tokens(network, token, identity.is_ours)
    try:
        caller = await identity.identify(token)
    except SignInRequired:
        await throttle.count_wrong_token(network)
        raise
    throttle.remember_right_token(token)
    return caller


def require_rights(caller: Caller, endpoint: Endpoint) -> None:
    """Raise `Forbidden` for somebody who is no admin where one is needed, and for a token that was made for less."""
    if endpoint.access in (Access.ADMIN, Access.OPERATOR) and not caller.account.is_admin:
        raise Forbidden("Only administrators may do this.")
    if endpoint.scope is Scope.SESSION and caller.token is not None:
        raise Forbidden("An access token may not do this.", hint="Sign in to do it.")
    if endpoint.scope not in caller.scopes:
        raise Forbidden(
            f"This access token lacks the scope {endpoint.scope}.", hint="Make one that has it, or sign in."
        )
    if caller.app is not None and not (endpoint.is_about_an_app or endpoint.narrows_to_app):
        raise Forbidden("This access token is for one app only.", hint="Use one for all apps, or sign in.")


async def require_its_app(
    caller: Caller, services: Services, *, app: AppId | None, deployment: DeploymentId | None
) -> None:
    """Raise `NotFound` when a request with a token for one app names another app, or a deployment of one."""
    if caller.app is None:
        return
    if deployment is not None and (await services.deployments.get(caller.id, deployment)).app != caller.app:
        raise NoSuchDeployment
    if app is not None and not caller.sees(app):
        raise NoSuchApp


def bearer_token(request: web.Request) -> str:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").strip().partition(" ")
    if scheme.lower() != _SCHEME or not token.strip():
        raise SignInRequired("Sign in to go on.")
    return _readable(token.strip())


def _readable(token: str) -> str:
    """Return the token. aiohttp gives bytes that are no text as surrogates, which can't be hashed or compared."""
    if not token.isascii():
        raise SignInRequired("This access token is not valid here.", hint="Sign in again.")
    return token


def websocket_token(request: web.Request) -> str | None:
    """Return the token of a browser, which can't send a header with a WebSocket: `?token=`, or a subprotocol, either
    alone or after `bearer`."""
    if token := request.query.get("token"):
        return _readable(token)
    offered = [name for name in _offered(request) if name.lower() != _SCHEME]
    return _readable(offered[0]) if offered else None


def offered_protocols(request: web.Request) -> tuple[str, ...]:
    """Return the subprotocols to choose from: a browser gives up when none of those that it offered is chosen."""
    offered = _offered(request)
    return tuple(name for name in offered if name.lower() == _SCHEME) or tuple(offered)


def _offered(request: web.Request) -> list[str]:
    return [
        name.strip()
        for name in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")
        if name.strip()
    ]
