"""Wraps every handler: authentication, rate limit, billing gate and request body, in this order."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiohttp import web
from pydantic import TypeAdapter

from stackyn_server import config
from stackyn_server.api import bodies
from stackyn_server.api.binding import Binding, bind
from stackyn_server.api.endpoint import Access, Endpoint, Media, Rate
from stackyn_server.api.failures import request_id
from stackyn_server.api.identity import bearer_token, identify, require_its_app, require_rights
from stackyn_server.api.services import Services
from stackyn_server.api.throttling import Throttle
from stackyn_server.api.wire.base import AccountRequestBody, RequestBody, ResponseBody
from stackyn_server.domain.client_network import ClientNetwork
from stackyn_server.errors import Forbidden, SignInRequired
from stackyn_server.services.payment import require_paid
from stackyn_server.services.reauthentication import WrongPassword
from stackyn_server.services.sessions import Caller

RequestHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger("stackyn.api")

_WRONG_GUESSES = (SignInRequired, WrongPassword)


def request_handler(
    endpoint: Endpoint, services: Services, settings: config.ServerSettings, throttle: Throttle
) -> RequestHandler:
    """Make the aiohttp handler of an endpoint. Raises TypeError when the handler does not fit its entry."""
    binding = bind(endpoint)
    response_body = TypeAdapter(binding.response) if endpoint.media is Media.JSON else None

    async def handle(request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        arguments: dict[str, Any] = {}
        if binding.query:
            name, query_model = binding.query
            arguments[name] = bodies.parse_query(query_model, request)
        network = throttle.network(request)
        caller = await _caller(endpoint, request, services, throttle, network)
        if endpoint.is_billing_gated and caller is not None:
            require_paid(caller.account.billing_status)
        arguments |= await _arguments(endpoint, binding, request, settings)
        if caller is not None:
            named = {name: arguments.get(name) for name in ("app", "deployment")}
            await require_its_app(caller, services, **named)
        if binding.services:
            arguments[binding.services] = services
        if binding.caller:
            arguments[binding.caller] = caller
        if binding.network:
            arguments[binding.network] = network
        body: RequestBody | None = arguments[binding.body[0]] if binding.body else None
        account = await _counted_account(endpoint, body, caller, throttle, network)
        if body is not None and account is not None and body.has_a_guess():
            with throttle.failed_attempts.attempt(account, network, _WRONG_GUESSES):
                result = await endpoint.handler(**arguments)
        else:
            result = await endpoint.handler(**arguments)
        log.debug(
            "request.answered",
            route=endpoint.name,
            request_id=request_id(request),
            seconds=round(time.monotonic() - started, 4),
        )
        if isinstance(result, web.StreamResponse):
            return result
        if response_body is None:
            return web.Response(status=endpoint.status)
        status = result.status_instead() if isinstance(result, ResponseBody) else None
        return web.Response(
            status=status or endpoint.status,
            body=response_body.dump_json(result),
            content_type=Media.JSON.value,
        )

    return handle


async def _caller(
    endpoint: Endpoint,
    request: web.Request,
    services: Services,
    throttle: Throttle,
    network: ClientNetwork,
) -> Caller | None:
    rate = endpoint.rate_class
    await throttle.count_network(rate, network)
    if endpoint.access is Access.PUBLIC:
        return None
    if endpoint.access is Access.OPERATOR and services.metrics.is_operators(bearer_token(request)):
        return None
    caller = await identify(request, services.identity, endpoint, throttle, network)
    if rate in (Rate.READ, Rate.WRITE):
        await throttle.count_user(rate, caller.id)
    try:
        require_rights(caller, endpoint)
    except Forbidden:
        if endpoint.access is Access.ADMIN:
            await services.audit_log.refused(caller, "admin.requested", endpoint.name)
        raise
    return caller


async def _arguments(
    endpoint: Endpoint,
    binding: Binding,
    request: web.Request,
    settings: config.ServerSettings,
) -> dict[str, Any]:
    """Take from the request what the handler asks for. A body is only read where a model wants one."""
    arguments: dict[str, Any] = {
        name: parse(request.match_info[name]) for name, parse in binding.path.items()
    }
    if binding.request:
        arguments[binding.request] = request
    if binding.raw_body:
        arguments[binding.raw_body] = await bodies.read(request, settings)
    if binding.body:
        name, body_model = binding.body
        arguments[name] = bodies.parse(body_model, await bodies.read(request, settings))
    return arguments


async def _counted_account(
    endpoint: Endpoint,
    body: RequestBody | None,
    caller: Caller | None,
    throttle: Throttle,
    network: ClientNetwork,
) -> str | None:
    """Return the address of the account that a request is about, counted where people sign in; None: of no account."""
    if endpoint.rate_class is Rate.AUTHENTICATION and isinstance(body, AccountRequestBody):
        await throttle.count_account(body.rate_subject, network)
        return body.rate_subject
    return caller.account.email.lower() if caller is not None else None
