"""Where plans are sold, an app follows its owner's payments: on the real server, engine and ingress, over a restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from tests.contract.billing.provider import PATH, SECRET, ProviderSubscription, signature
from tests.git_server import GitServer
from tests.server_process import ServerProcess, running
from tests.tiny import tiny_app

OWNER = "ada@example.test"
TRIAL_SECONDS = 8


async def test_trial_ends_over_a_kill_and_a_purchase_restores_the_app(git: GitServer, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    billing = {"provider": "lemonsqueezy", "test_endpoint": True, "webhook_secret_file": str(secret)}
    async with running(
        billing=billing, **{"billing.variants": {"103": "pro"}}, auth={"development_codes": True}
    ) as server:
        await _sign_up(server)
        app, _ = await server.deploy(git, "paid", tiny_app("paid"), "Paid")

        ends = datetime.now(UTC) + timedelta(seconds=TRIAL_SECONDS)
        await server.api("POST", "/api/v1/test/billing", {"trial_ends_at": ends.isoformat()}, expect=200)
        assert (await server.api("GET", "/api/user/me", expect=200))["billing_status"] == "trial"
        await server.kill()
        await server.start()
        await server.until(_answers(server, 404), 60, "the app is stopped at the trial's end")
        assert datetime.now(UTC) >= ends
        assert (await server.api("GET", f"/api/v1/apps/{app}", expect=200))["status"] == "stopped"
        refused = await server.api("POST", f"/api/v1/apps/{app}/redeploy", expect=402)
        assert refused["billing_status"] == "expired"

        await _buy(server)
        await server.until(_answers(server, 200), 60, "the app serves again")
        assert (await server.api("GET", "/api/user/me", expect=200))["billing_status"] == "active"


async def _sign_up(server: ServerProcess) -> None:
    """By a code, which a development server shows."""
    sent = await server.api("POST", "/api/auth/send-otp", {"email": OWNER}, expect=200)
    proof = {"email": OWNER, "otp": sent["otp"]}
    server.token = (await server.api("POST", "/api/auth/verify-otp", proof, expect=200))["token"]


async def _buy(server: ServerProcess) -> None:
    event = ProviderSubscription(None, OWNER).event("subscription_created", "active")
    async with (
        aiohttp.ClientSession(headers={"X-Signature": signature(event)}) as provider,
        provider.post(server.api_url + PATH, data=event) as answer,
    ):
        assert answer.status == 200, await answer.text()


def _answers(server: ServerProcess, status: int) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        return (await server.visit("paid"))[0] == status

    return answers
