"""Events of the payment provider, and the development endpoint that stands in for them."""

from __future__ import annotations

from aiohttp import web

from stackyn_server.api.services import Services
from stackyn_server.api.wire.billing import BillingSet, Taken, TestBilling
from stackyn_server.services.sessions import Caller

_SIGNATURE = "X-Signature"


async def lemon_squeezy(services: Services, request: web.Request, body: bytes) -> Taken:
    """Take an event of Lemon Squeezy, signed in `X-Signature` (HMAC-SHA256 of the body, hexadecimal)."""
    await services.billing_webhooks.take(body, request.headers.get(_SIGNATURE, ""))
    return Taken()


async def set_for_test(services: Services, caller: Caller, body: TestBilling) -> BillingSet:
    """Put oneself into any billing status. Only on a development server with `[billing] test_endpoint`."""
    return BillingSet.of(
        await services.billing_simulation.set(
            caller, status=body.billing_status, plan=body.plan, trial_ends_at=body.trial_ends_at
        )
    )
