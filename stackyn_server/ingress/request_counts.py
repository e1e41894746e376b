"""How many requests each app has had, as our own Traefik counts them on its metrics port (Prometheus text format)."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import aiohttp

from stackyn_server.domain.ids import AppId
from stackyn_server.errors import Unavailable

_LINE = re.compile(
    r'^traefik_service_requests_total\{[^}\n]*service="app-(\d+)@file"[^}\n]*\} (\S+)$', re.MULTILINE
)
_ANSWER_SECONDS = 5.0


class CountsUnavailable(Unavailable):
    """The proxy does not say how many requests there were."""


async def read(port: int) -> Counter[AppId]:
    """Ask the proxy on loopback. Raises `CountsUnavailable`."""
    timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
            session.get(f"http://127.0.0.1:{port}/metrics") as answer,
        ):
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise CountsUnavailable("The proxy does not say how many requests the apps have had.") from error
    return await asyncio.to_thread(parse, text)


def parse(text: str) -> Counter[AppId]:
    """Add up each app's requests, whatever their method, protocol and status."""
    counted: Counter[AppId] = Counter()
    for app, number in _LINE.findall(text):
        counted[AppId(int(app))] += round(float(number))
    return counted
