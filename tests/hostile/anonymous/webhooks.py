"""Webhooks of the payment provider that it did not send."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from stackyn_server import config
from tests.contract.billing.provider import SECRET as WEBHOOK_SECRET
from tests.contract.billing.provider import ProviderSubscription, deliver, signature
from tests.hostile.api_stage import ApiStage, moved, said
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is

SIGN_IN, ENDED = "401 SIGN_IN_REQUIRED", "401 SESSION_ENDED"


@asynccontextmanager
async def selling(stage: ApiStage) -> AsyncIterator[ApiStage]:
    """A server where plans are sold, with a free account that would have one."""
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write(WEBHOOK_SECRET)
        secret.flush()
        billing = config.BillingSettings(
            provider="lemonsqueezy", variants={"103": "pro"}, webhook_secret_file=secret.name
        )
        yield moved(stage, await stage.launch(billing=billing))


def _pays_with(sign: Callable[[bytes], dict[str, str]]) -> Tries[ApiStage]:
    """Success is a plan that nobody paid for."""

    async def pay(stage: ApiStage) -> Got:
        customer = await stage.platform.person(plan="free")
        subscription = ProviderSubscription(stage.platform.nobody, customer.email, user_id=str(customer.id))
        body = subscription.event("subscription_created", "active")
        answer = await stage.platform.nobody.post(
            "/api/webhooks/lemon-squeezy", data=body, headers=sign(body)
        )
        plan = (await customer.get("/api/user/me")).json["plan"]
        return Got(plan == "pro", said(answer))

    return pay


async def _replayed(stage: ApiStage) -> Got:
    """A genuine event of a subscription that has expired since, once more."""
    customer = await stage.platform.person(plan="free")
    subscription = ProviderSubscription(stage.platform.nobody, customer.email)
    body = subscription.event("subscription_created", "active")
    await deliver(stage.platform.nobody, body)
    await subscription.tell("subscription_expired", "expired", ends_at="2026-01-01T00:00:00.000000Z")
    answer = await deliver(stage.platform.nobody, body)
    status = (await customer.get("/api/user/me")).json["billing_status"]
    return Got(status != "expired", f"{said(answer)}: {status}")


def _signed(**headers: str) -> Callable[[bytes], dict[str, str]]:
    return lambda _body: {name.replace("_", "-"): value for name, value in headers.items()}


SIGNATURES: dict[str, Callable[[bytes], dict[str, str]]] = {
    "no signature": _signed(),
    "an empty one": _signed(X_Signature=""),
    "an empty one with the name of its digest": _signed(X_Signature="sha256="),
    "that of an empty secret": lambda body: {"X-Signature": signature(body, "")},
    "that of another secret": lambda body: {"X-Signature": signature(body, "guessed")},
    "that of another body": lambda body: {"X-Signature": signature(body + b" ")},
    "half of the right one": lambda body: {"X-Signature": signature(body)[:32]},
}
RIGHTLY_SIGNED: Open[ApiStage] = Open("with the right signature", as_it_is)
WEBHOOKS = [
    *(
        Attempt(
            f"a payment's webhook with {name}",
            _pays_with(sign),
            SIGN_IN,
            RIGHTLY_SIGNED,
            _pays_with(lambda body: {"X-Signature": signature(body)}),
        )
        for name, sign in SIGNATURES.items()
    ),
    Attempt(
        "a payment's webhook from before the cancellation",
        _replayed,
        "200",
        RIGHTLY_SIGNED,
        _pays_with(lambda body: {"X-Signature": signature(body)}),
    ),
]
