"""HTTP to a host that a tenant named: we vet its address, pin connections to it, and do not follow redirects.

git has its own HTTP. This is for other requests: where a repository has moved to, and Git LFS.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from stackyn_server.config import SourceSettings
from stackyn_server.outbound.host_vetting import Address


class _Pinned(AbstractResolver):
    """Resolves every name to the one vetted address."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        kind = socket.AF_INET if self._address.version == 4 else socket.AF_INET6
        return [
            ResolveResult(
                hostname=host,
                host=str(self._address),
                port=port,
                family=kind,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """There is nothing to close."""


@asynccontextmanager
async def pinned_session(settings: SourceSettings, address: Address) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client whose connections all go to `address`. It uses no proxy and no cookies, and gives up a server that
    is silent for `stall_seconds`."""
    context = await asyncio.to_thread(ssl.create_default_context)
    connector = aiohttp.TCPConnector(resolver=_Pinned(address), ssl=context, force_close=True)
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=settings.stall_seconds, sock_read=settings.stall_seconds
    )
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    ) as session:
        yield session
