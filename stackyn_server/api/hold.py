"""The hold endpoint: a listener of its own on loopback that only the proxy asks. The handler reads and logs nothing of
the visitor's request."""

from __future__ import annotations

from aiohttp import hdrs, web

from stackyn_server.domain.ids import AppId, parse_id
from stackyn_server.operations.hold import RequestHold


def create_hold_app(request_hold: RequestHold, retry_seconds: float) -> web.Application:
    """Return the application that answers `/hold/<app>/<round>/<rounds>`: 200 to pass the request, 503 to refuse it."""

    async def hold(request: web.Request) -> web.Response:
        numbers = [parse_id(request.match_info[name]) for name in ("app", "round", "rounds")]
        app, round_number, rounds = (number or 0 for number in numbers)
        if not app:
            return web.Response(status=404)
        refusal = await request_hold.refusal(AppId(app), is_last_round=round_number >= rounds)
        if refusal is None:
            return web.Response()
        retry_after = {hdrs.RETRY_AFTER: f"{retry_seconds:.0f}", hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(status=503, text=f"{refusal}\n", headers=retry_after)

    app = web.Application()
    app.router.add_get("/hold/{app}/{round}/{rounds}", hold)
    return app
