"""An engine of a few calls for tests in which single calls are slow or never end, which a real one can't be made to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from stackyn_server import config
from stackyn_server.engine.client import Engine

VERSION = {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
USAGE = {"memory_stats": {"usage": 3_000_000}, "cpu_stats": {"cpu_usage": {"total_usage": 1_000_000}}}


class SlowEngine:
    """Answers each call at once, but those whose path is in `hanging`, which it answers when they are taken out."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()  # paths without the version
        self.hanging: set[str] = set()
        self.layer_bytes: dict[str, int] = {}  # by container
        self._has_changed = asyncio.Condition()

    async def release(self, path: str) -> None:
        async with self._has_changed:
            self.hanging.discard(path)
            self._has_changed.notify_all()

    async def until_asked(self, path: str, times: int = 1) -> None:
        async with self._has_changed, asyncio.timeout(10):
            await self._has_changed.wait_for(lambda: self.asked[path] >= times)

    async def _answer(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/").partition("/")[2]
        async with self._has_changed:
            self.asked[path] += 1
            self._has_changed.notify_all()
            await self._has_changed.wait_for(lambda: path not in self.hanging)
        kind, _, rest = path.partition("/")
        container, _, verb = rest.partition("/")
        if kind == "version" or request.path == "/version":
            return web.json_response(VERSION)
        if kind == "info":
            return web.json_response({})
        if verb == "stats":
            return web.json_response(USAGE)
        if kind == "volumes":
            return web.json_response({})
        if kind == "images":
            return web.json_response({"message": "no such image"}, status=404)
        if verb == "json":
            return web.json_response({"SizeRw": self.layer_bytes.get(container, 0)})
        return web.json_response([])

    @asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator[Engine]:
        """Listen on a socket in the folder, and yield a client."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        socket = folder / "engine.sock"
        await web.UnixSite(runner, socket).start()
        try:
            async with Engine(
                config.EngineSettings(socket=socket), config.NetworkSettings(), "test"
            ) as engine:
                yield engine
        finally:
            await runner.cleanup()
