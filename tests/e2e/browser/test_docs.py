"""The reference at /docs in a browser: under its content policy, whole, and without a complaint."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from stackyn_server.api.endpoints import ENDPOINTS
from tests.e2e.browser.chromium import Page, chromium
from tests.server_process import running

OPERATIONS = """() => [...document.querySelectorAll('.opblock')].map((block) =>
  block.querySelector('.opblock-summary-method').textContent + ' ' +
  block.querySelector('.opblock-summary-path').dataset.path)"""
OPEN = """(path) => [...document.querySelectorAll('.opblock-post')]
  .find((block) => block.querySelector('.opblock-summary-path').dataset.path === path)
  .querySelector('.opblock-summary-control').click()"""
# Every kind of content has its own directive, and another origin is in none of them.
FORBIDDEN = """() => new Promise((told) => {
  const image = new Image();
  image.onload = () => told('loaded');
  image.onerror = () => told('refused');
  image.src = 'http://elsewhere.localhost/picture.png';
})"""


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """The reference of a server of its own."""
    async with running() as server, chromium(resolve={}) as browser, browser.page() as page:
        await page.open(f"{server.api_url}/docs")
        yield page


async def test_every_operation_is_listed_and_can_be_opened(page: Page) -> None:
    await page.sees("Stackyn server", "/api/v1/apps/{app}/rollback")
    assert sorted(await page.run(OPERATIONS)) == sorted(
        f"{endpoint.method} {endpoint.path}" for endpoint in ENDPOINTS
    )
    await page.run(OPEN, "/api/v1/apps")
    await page.sees("repo_url", "env_vars", "402")
    assert page.crashes == [] and page.complaints == []


async def test_nothing_from_elsewhere_is_loaded(page: Page) -> None:
    await page.sees("Stackyn server")
    await page.run(FORBIDDEN)

    async def complained() -> bool:
        return any("Content Security Policy" in complaint for complaint in page.complaints)

    await page.until(complained, "the browser says that the policy forbids it")
