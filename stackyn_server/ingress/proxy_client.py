"""Sends the proxy one HTTP/1.1 request over loopback, as a visitor would, without verifying TLS certificates."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from stackyn_server.errors import Unavailable
from stackyn_server.ingress.entry_points import EntryPoint

_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ProxyResponse:
    """Status code, and the Location header or ""."""

    status: int
    location: str


class NoResponse(Unavailable):
    """The proxy gave no answer; `message` completes "the entry point …"."""


async def get(
    entry_point: EntryPoint,
    host: str,
    path: str,
    *,
    timeout: float,
    source_address: IPv4Address | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProxyResponse:
    """GET `path` of `host` without following redirects, from `source_address` of this machine if one is given.

    Raises `NoResponse` after `timeout` seconds at the latest.
    """
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(
                str(entry_point.address),
                entry_point.port,
                ssl=_unverified() if entry_point.tls else None,
                server_hostname=host if entry_point.tls else None,
                local_addr=(str(source_address), 0) if source_address else None,
            )
            try:
                fields = {"Host": host, "Connection": "close", **(headers or {})}
                lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
                writer.write("\r\n".join([*lines, "", ""]).encode("ascii"))
                return _parse(await reader.readuntil(_HEAD_END))
            finally:
                writer.transport.abort()  # closing TLS in order would wait for a proxy that hangs
    except TimeoutError as error:
        raise NoResponse("accepted the request but did not answer") from error
    except ConnectionRefusedError as error:
        raise NoResponse("refuses connections") from error
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise NoResponse("broke off the connection") from error


def _parse(head: bytes) -> ProxyResponse:
    status_line, *lines = head.decode("latin-1").split("\r\n")
    protocol, status, *_ = status_line.split(" ")
    if not protocol.startswith("HTTP/1."):
        raise ValueError("not a response of HTTP/1")
    headers = (line.partition(":") for line in lines)
    location = next((value.strip() for name, _, value in headers if name.lower() == "location"), "")
    return ProxyResponse(int(status), location)


def _unverified() -> ssl.SSLContext:
    """The request checks a route over loopback, and the certificate may not have been issued yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
