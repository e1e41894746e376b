"""Find out whether a registry can be reached, or only the base images of this server can be used."""

from __future__ import annotations

import asyncio

import aiohttp
import structlog

from stackyn_server import config
from stackyn_server.domain.registries import DOCKER_HUB, DOCKER_HUB_HOST

ANSWER_SECONDS = 4.0

log = structlog.get_logger()


class RegistryAvailability:
    """Decides once: by `[images] source`, or by whether Docker Hub or one of its mirrors answers."""

    def __init__(self, settings: config.Settings) -> None:
        self._source = settings.images.source
        self._addresses = addresses(settings.builds)
        self._lock = asyncio.Lock()
        self._is_there: bool | None = None

    async def is_reachable(self) -> bool:
        async with self._lock:
            if self._is_there is None:
                self._is_there = self._source == "registry" or (
                    self._source == "auto" and await self._answers()
                )
                log.info("registry.decided", setting=self._source, is_there=self._is_there)
            return self._is_there

    async def _answers(self) -> bool:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
            return any(await asyncio.gather(*(_answers(session, address) for address in self._addresses)))


def addresses(builds: config.BuildsSettings) -> list[str]:
    """Return the addresses for images whose name has no host: the mirrors of Docker Hub, then Docker Hub."""
    mirrors = (mirror.partition("/")[0] for mirror in builds.mirrors.get(DOCKER_HUB, ()))
    plain = frozenset(builds.plain_http_registries)
    return [f"{'http' if host in plain else 'https'}://{host}/v2/" for host in (*mirrors, DOCKER_HUB_HOST)]


async def _answers(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(address, allow_redirects=False):
            return True
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
