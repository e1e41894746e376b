"""The current console of an account whose time is over: what it still shows, what it refuses, and the way back."""

from __future__ import annotations

from typing import Any

import aiohttp

from tests.e2e.browser.chromium import Page
from tests.e2e.browser.conftest import BrowserSetup
from tests.e2e.browser.test_console import create, is_running, sign_up
from tests.git_server import GitServer
from tests.server_process import PASSWORD
from tests.tiny import tiny_app


async def stand(page: Page, setup: BrowserSetup, **standing: str) -> None:
    """Put the signed-in user into a standing, by the endpoint for development."""
    token = await page.run("() => localStorage.getItem('auth_token')")
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{setup.server.api_url}/api/v1/test/billing"
    async with aiohttp.ClientSession(headers=headers) as session, session.post(url, json=standing) as answer:
        reply: dict[str, Any] = await answer.json()
        assert answer.status == 200, reply


async def test_console_asks_for_a_plan_when_the_trial_is_over(current: BrowserSetup, git: GitServer) -> None:
    url, _ = await git.publish("paid", tiny_app("paid for"))
    async with current.browser.page() as page:
        await sign_up(page, current, "marie@example.test", PASSWORD)
        app = await create(page, current, "Paid For", url)
        await is_running(page)
        assert await current.server.visit("paid-for") == (200, "paid for")

        await stand(page, current, billing_status="expired")

        async def is_gone() -> bool:
            return (await current.server.visit("paid-for"))[0] == 404

        await current.server.until(is_gone, 60, "the app is stopped")
        await page.open(f"{current.console}/apps")
        await page.sees("Upgrade Required", "trial has ended")
        await page.sees_no("My Applications")

        await page.open(f"{current.console}/apps/{app}")  # no paywall here: the refusal's own sentence
        await page.sees("Paid For", "expired")
        await page.click("Redeploy app")
        refused = await page.answer("POST", f"/api/v1/apps/{app}/redeploy", 402)
        assert refused["billing_status"] == "expired"
        await page.until(lambda: _is_told(page, refused["error"]), "the page says why")

        await page.open(f"{current.console}/apps/new")
        await page.fill("#name", "One More")
        await page.fill("#repo_url", url)
        await page.fill("#branch", "main")
        await page.click("Create App")
        refused = await page.answer("POST", "/api/v1/apps", 402)
        await page.sees(refused["error"])

        await stand(page, current, billing_status="active", plan="pro")

        async def is_back() -> bool:
            return await current.server.visit("paid-for") == (200, "paid for")

        await current.server.until(is_back, 60, "the app is started again")
        await page.open(f"{current.console}/apps")
        await page.sees("My Applications", "Paid For", "running")
        await page.sees_no("Free Trial Active")
        assert page.crashes == []


async def _is_told(page: Page, sentence: str) -> bool:
    """On the page, or in a dialog of the browser."""
    return sentence in await page.text() or any(sentence in dialog for dialog in page.dialogs)
