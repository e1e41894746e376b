"""The API and the web clients through the real ingress, each at the host name of its own."""

from __future__ import annotations

from tests.server_process import ServerProcess


async def test_api_console_and_cms_are_served_through_the_ingress(server: ServerProcess) -> None:
    async def is_routed() -> bool:
        return (await server.visit("api", "/health"))[0] == 200

    await server.until(is_routed, 30, "the ingress serves the API")
    assert await server.visit("console", "/apps/5") == (200, "the console")
    assert await server.visit("cms", "/cms/users") == (200, "the cms")
    assert await server.visit("console", "/..%2f..%2fetc/passwd") in [
        (404, "404: Not Found"),
        (400, "Bad Request"),
    ]
    status, text = await server.visit("api", "/docs")
    assert status == 200 and "swagger-ui" in text
