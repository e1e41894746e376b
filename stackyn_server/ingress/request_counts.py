"""Reads how many requests each app answered, from the metrics port of our own Traefik (Prometheus text format)."""

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
    """The proxy's metrics can't be read."""


async def read(port: int) -> Counter[AppId]:
    """Return the requests of each app. Raises `CountsUnavailable`."""
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
    requests: Counter[AppId] = Counter()
    for app, number in _LINE.findall(text):
        requests[AppId(int(app))] += round(float(number))
    return requests
