"""Section 4 of the contract: what an account may still do when its trial or subscription is over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from stackyn_server import config
from stackyn_server.api.endpoint import Endpoint
from stackyn_server.api.endpoints import ENDPOINTS
from tests.contract.conftest import Platform
from tests.contract.endpoint_calls import an_app, call, titles
from tests.contract.test_conventions import is_error

GATED = [endpoint for endpoint in ENDPOINTS if endpoint.is_billing_gated]
OVER = "UPDATE account SET billing_status = 'trial', trial_started_at = $2, trial_ends_at = $3 WHERE id = $1"


@pytest.fixture
async def platform(launch: Callable[..., Any]) -> Platform:
    """The API where plans are sold."""
    started: Platform = await launch(billing=config.BillingSettings(provider="lemonsqueezy"))
    return started


async def end_trial(platform: Platform, account: Any, ago: timedelta) -> None:
    now = datetime.now(UTC)
    await platform.execute(OVER, account, now - timedelta(days=7), now - ago)


@titles(GATED)
async def test_what_costs_is_402_with_the_status(platform: Platform, endpoint: Endpoint) -> None:
    person = await platform.person()
    ids = await an_app(person)
    await end_trial(platform, person.id, timedelta(seconds=1))
    answer = await call(person, endpoint, ids)
    assert is_error(answer, 402, "PAYMENT_REQUIRED") and answer.json["billing_status"] == "expired"


async def test_reads_deletes_and_the_profile_go_on(platform: Platform) -> None:
    person = await platform.person()
    ids = await an_app(person)
    await end_trial(platform, person.id, timedelta(seconds=1))
    profile = (await person.get("/api/user/me")).json
    assert (profile["billing_status"], profile["subscription"]["status"]) == ("expired", "expired")
    path = f"/api/v1/apps/{ids['app']}"
    for read in ("/api/apps", path, f"{path}/env", f"{path}/deployments"):
        assert (await person.get(read)).status == 200
    assert (await person.delete(f"{path}/env/A")).status == 204
    assert (await person.post("/api/auth/update-profile", json={"full_name": "Ada"})).status == 200
    assert (await person.delete(path)).status == 200


async def test_a_running_trial_is_no_obstacle_and_is_shown(platform: Platform) -> None:
    person = await platform.person()
    await end_trial(platform, person.id, -timedelta(days=1))
    await person.new_app()
    profile = (await person.get("/api/user/me")).json
    assert profile["billing_status"] == profile["subscription"]["status"] == "trial"
    assert profile["subscription"]["trial_ends_at"].endswith("Z")


@pytest.mark.parametrize("path", ["/api/v1/apps", "/api/v1/apps/{app}/redeploy", "/api/v1/apps/{app}/env"])
def test_the_three_of_the_contract_are_gated(path: str) -> None:
    assert any(endpoint.path == path and endpoint.method == "POST" for endpoint in GATED)
