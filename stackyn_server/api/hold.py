"""The hold endpoint: a listener of its own on loopback, which only the proxy asks. Nothing of a visitor is read or
logged here; what the proxy tells of the request stays unread."""

from __future__ import annotations

from aiohttp import hdrs, web

from stackyn_server.domain.ids import AppId, parse_id
from stackyn_server.services.hold import Holding


def create_hold_app(holding: Holding, retry_seconds: float) -> web.Application:
    """Return the application that answers `/hold/<app>/<turn>/<turns>`: 200 for "go on", 503 for "go away"."""

    async def hold(request: web.Request) -> web.Response:
        numbers = [parse_id(request.match_info[name]) for name in ("app", "turn", "turns")]
        app, turn, turns = (number or 0 for number in numbers)
        if not app:
            return web.Response(status=404)
        answer = await holding.ask(AppId(app), is_last_turn=turn >= turns)
        if answer.may_go_on:
            return web.Response()
        retry_after = {hdrs.RETRY_AFTER: f"{retry_seconds:.0f}", hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(status=503, text=answer.sentence + "\n", headers=retry_after)

    app = web.Application()
    app.router.add_get("/hold/{app}/{turn}/{turns}", hold)
    return app
