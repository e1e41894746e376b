"""Does an app answer at its address? Asked by us from outside its container: nothing is needed inside the image."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from ipaddress import IPv4Address

import aiohttp


async def answers(
    address: IPv4Address, port: int, health_path: str | None, *, timeout_seconds: float
) -> bool:
    """With a `health_path` only a status from 200 to 399 is an answer; without one, accepting a connection is."""
    try:
        async with asyncio.timeout(timeout_seconds):
            if health_path is None:
                _, writer = await asyncio.open_connection(str(address), port)
                writer.close()
                return True
            url = f"http://{address}:{port}{health_path}"
            async with aiohttp.ClientSession() as session, session.get(url, allow_redirects=False) as answer:
                return HTTPStatus.OK <= answer.status < HTTPStatus.BAD_REQUEST
    except (OSError, TimeoutError, aiohttp.ClientError, ValueError):
        return False
