"""The administrators' pages in a browser, both published builds."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.browser.chromium import Page
from tests.e2e.browser.conftest import BrowserSetup
from tests.git_server import GitServer
from tests.server_process import PASSWORD, ServerProcess
from tests.tiny import tiny_app

ADMIN = "admin@localhost.test"
SEARCH = "input[placeholder='Search by email...']"
# The button of a row: other rows have the same ones.
IN_ROW = """(row, button) => {
  const found = [...document.querySelectorAll('tr')].find((e) => e.textContent.includes(row));
  const wanted = found && [...found.querySelectorAll('button')].find((e) => e.textContent.trim() === button);
  if (wanted) wanted.click();
  return !!wanted;
}"""
CHOOSE_PLAN = """(row, plan) => {
  const select = [...document.querySelectorAll('tr')].find((e) => e.textContent.includes(row)).querySelector('select');
  Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, 'value').set.call(select, plan);
  select.dispatchEvent(new Event('change', {bubbles: true}));
}"""
PLAN = """(row) => [...document.querySelectorAll('tr')].find((e) => e.textContent.includes(row))
  ?.querySelector('select').value"""


async def sign_in(page: Page, setup: BrowserSetup, email: str) -> None:
    await page.open(f"{setup.cms}/login")
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.run("() => document.querySelector('form').requestSubmit()")
    await page.sees("Admin Dashboard")


async def a_user(server: ServerProcess, email: str) -> None:
    await server.api("POST", "/api/auth/signup", {"email": email, "password": PASSWORD}, expect=201)


async def press(page: Page, row: str, button: str) -> None:
    async def pressed() -> bool:
        return bool(await page.run(IN_ROW, row, button))

    await page.until(pressed, f"{row!r} has a button {button!r}")


async def row_says(page: Page, row: str, *texts: str) -> None:
    async def shown() -> bool:
        script = "(row) => [...document.querySelectorAll('tr')].find((e) => e.textContent.includes(row))?.innerText"
        text = await page.run(script, row) or ""
        return all(expected in text for expected in texts)

    await page.until(shown, f"the row of {row!r} says {texts}", 90)


@pytest.fixture(params=["current", "legacy"])
def setup(request: pytest.FixtureRequest) -> BrowserSetup:
    console: BrowserSetup = request.getfixturevalue(request.param)
    return console


async def search(page: Page, words: str) -> None:
    """Search, and wait for the answer: the page shows whichever of two answers comes last."""
    await page.fill(SEARCH, words)

    async def answered() -> bool:
        newest = [call for call in page.calls if urlsplit(call.url).path == "/admin/users"][-1]
        return newest.is_over and parse_qs(urlsplit(newest.url).query).get("search") == [words]

    await page.until(answered, f"a search for {words!r} was answered")


async def test_users_are_found_put_on_plans_and_deleted(setup: BrowserSetup) -> None:
    for name in ("charles", "joan"):
        await a_user(setup.server, f"{name}@cms.test")
    async with setup.browser.page() as page:
        await sign_in(page, setup, ADMIN)
        await page.open(f"{setup.cms}/users")
        await row_says(page, "charles@cms.test", "MB")
        for part in ("ch", "charl", "charles@cms"):  # one call for each key stroke
            await page.fill(SEARCH, part)
        await page.sees_no("joan@cms.test")
        await page.sees("charles@cms.test")

        await page.run(CHOOSE_PLAN, "charles@cms.test", "free")

        async def is_free() -> bool:
            return await page.run(PLAN, "charles@cms.test") == "free"

        await page.until(is_free, "the list shows the plan that was chosen")
        await row_says(page, "charles@cms.test", "0 / 1", "256 MB")

        await search(page, "nobody-has-this")
        await page.sees_no("charles@cms.test")
        await search(page, "charles")
        await page.sees("charles@cms.test")
        await press(page, "charles@cms.test", "View")
        if not await page.run(IN_ROW, "charles@cms.test", "Delete"):
            return  # the older build has no such button
        await page.sees_no("charles@cms.test")
        assert any("delete" in dialog.lower() for dialog in page.dialogs)
        assert page.crashes == []


async def test_apps_are_stopped_started_redeployed_and_deleted(setup: BrowserSetup, git: GitServer) -> None:
    server = setup.server
    url, _ = await git.publish("managed", tiny_app("managed"))
    app, deployment = await server.create(url, "Managed")
    await server.deployed(deployment)
    async with setup.browser.page() as page:
        await sign_in(page, setup, ADMIN)
        await page.open(f"{setup.cms}/apps")
        await row_says(page, "Managed", "running", "http://managed.localhost", url)
        await press(page, "Managed", "Stop")
        await page.called("POST", f"/admin/apps/{app}/stop", 200)
        await row_says(page, "Managed", "stopped")

        async def is_gone() -> bool:
            return (await server.visit("managed"))[0] == 404

        await server.until(is_gone, 30, "the stopped app is no longer served")
        await press(page, "Managed", "Start")
        await page.called("POST", f"/admin/apps/{app}/start", 200)

        async def is_back() -> bool:
            return await server.visit("managed") == (200, "managed")

        await server.until(is_back, 60, "the started app is served")
        await git.publish("managed", tiny_app("again"))
        await press(page, "Managed", "Redeploy")
        again = await page.answer("POST", f"/admin/apps/{app}/redeploy", 201)

        await server.deployed(again["deployment"]["id"])
        assert await server.visit("managed") == (200, "again")
        await page.open(f"{setup.cms}/apps")
        await row_says(page, "Managed", "running")
        if await page.run(IN_ROW, "Managed", "Delete"):  # the older build has no such button
            await page.called("DELETE", f"/admin/apps/{app}", 200)
            await page.sees_no("Managed")
            await server.until(is_gone, 30, "the deleted app is no longer served")
        else:
            await server.api("DELETE", f"/api/v1/apps/{app}", expect=200)
        assert page.crashes == []


async def test_who_is_no_administrator_is_thrown_out_by_the_first_list(setup: BrowserSetup) -> None:
    await a_user(setup.server, "mallory@cms.test")
    async with setup.browser.page() as page:
        await sign_in(page, setup, "mallory@cms.test")
        await page.open(f"{setup.cms}/users")
        await page.is_at("/cms/login")
        assert await page.run("() => localStorage.getItem('auth_token')") is None
        await page.fill("#email", ADMIN)
        await page.fill("#password", "not the password")
        await page.run("() => document.querySelector('form').requestSubmit()")
        await page.called("POST", "/api/auth/login", 401)
