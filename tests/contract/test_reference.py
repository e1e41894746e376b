"""The browsable reference: complete, from this server alone, under a content policy."""

from __future__ import annotations

import re

from tests.contract.conftest import Platform


async def test_the_page_loads_only_what_this_server_has(platform: Platform) -> None:
    page = await platform.nobody.get("/docs")
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 5 and all(path.startswith("/") for path in loaded)
    for path in loaded:
        async with platform.client.get(path) as answer:
            assert answer.status == 200 and await answer.read(), path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy


async def test_there_is_nothing_else_below_it(platform: Platform) -> None:
    for path in ("/docs/", "/docs/index.html", "/docs/..%2f__init__.py", "/docs/swagger-ui.js"):
        assert (await platform.nobody.get(path)).status == 404, path
