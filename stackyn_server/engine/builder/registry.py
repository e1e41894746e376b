"""Whether images can come from a registry, or only from the base images of this server."""

from __future__ import annotations

import asyncio

import aiohttp
import structlog

from stackyn_server import config

ADDRESS = "https://registry-1.docker.io/v2/"
ANSWER_SECONDS = 4.0

log = structlog.get_logger()


class Registry:
    """Decides once: by `[images] source`, or by asking whether the usual registry answers anything at all."""

    def __init__(self, settings: config.Images, address: str = ADDRESS) -> None:
        self._source = settings.source
        self._address = address
        self._turn = asyncio.Lock()
        self._is_there: bool | None = None

    async def decide(self) -> None:
        """Ask now, so that no build waits for it."""
        await self.is_there()

    async def is_there(self) -> bool:
        async with self._turn:
            if self._is_there is None:
                self._is_there = self._source == "registry" or (
                    self._source == "auto" and await self._answers()
                )
                log.info("registry.decided", setting=self._source, is_there=self._is_there)
            return self._is_there

    async def _answers(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
                session.get(self._address, allow_redirects=False),
            ):
                return True
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
