"""A machine of the tests' own, in a network namespace of its own, with the addresses that builds must not reach.

Nothing may be sent to an address that isn't ours, so `OwnHost.check` comes before everything: the route of each
address leads into the namespace, and our own server answers there with a word that nobody else knows.

Run as a module, this file is that server: HTTP on port 80, and a name server on port 53, which knows one address for
every name. It prints a line for each connection. Paths that have a part `to-<hex of a URL>` lead there by a redirect,
and for those with `token-<hex of a URL>` a registry's token has to be fetched there first.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import cast

import aiohttp

from tests.patience import within

_PROJECT = Path(__file__).parents[2]
_RANDOM = random.SystemRandom()


@asynccontextmanager
async def listening_port(word: str) -> AsyncIterator[int]:
    """A port of this machine, on every address, that says the word."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"HTTP/1.0 200 OK\r\n\r\n{word}".encode())
        writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", 0, family=socket.AF_INET)
    async with server:
        yield server.sockets[0].getsockname()[1]


@dataclass(slots=True)
class OwnHost:
    """`private`, `shared` (RFC 6598), `link_local` and `public` (of RFC 5737, which nobody has) are addresses in the
    namespace `space`; `here` is one of this machine, as public as `public`. `seen` has what the server was asked for.
    """

    word: str
    private: IPv4Address
    shared: IPv4Address
    link_local: IPv4Address
    public: IPv4Address
    here: IPv4Address
    interface: str
    space: str
    seen: list[str] = field(default_factory=list)

    @property
    def closed(self) -> dict[str, IPv4Address]:
        return {"private": self.private, "shared": self.shared, "link-local": self.link_local}

    async def check(self) -> None:
        """Fail unless every address is ours and answers from here."""
        for address in (*self.closed.values(), self.public):
            route = json.loads(await _run("ip", "-json", "route", "get", str(address)))
            assert route[0]["dev"] == self.interface, f"{address} is not ours: {route}"
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://{address}/", timeout=aiohttp.ClientTimeout(total=10)) as answer,
            ):
                assert await answer.text() == self.word, f"{address} is somebody else's"
        route = json.loads(await _run("ip", "-json", "route", "get", str(self.here)))
        assert route[0]["dev"] == "lo", f"{self.here} is not this machine's"
        self.seen.clear()


@asynccontextmanager
async def own_host() -> AsyncIterator[OwnHost]:
    """Have the machine until the block is left; its addresses are checked to be ours."""
    number = secrets.token_hex(4)
    space, near, far = f"stackyn-{number}", f"st{number}h", f"st{number}n"
    host = OwnHost(
        word=secrets.token_hex(16),
        private=IPv4Address(f"192.168.{_byte()}.{_byte()}"),
        shared=IPv4Address(f"100.{_RANDOM.randrange(64, 128)}.{_byte()}.{_byte()}"),
        link_local=IPv4Address(f"169.254.{_byte()}.{_byte()}"),
        public=IPv4Address(f"203.0.113.{_byte()}"),
        here=IPv4Address(f"198.51.100.{_byte()}"),
        interface=near,
        space=space,
    )
    await _run("ip", "netns", "add", space)
    try:
        await _run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", space)
        await _run("ip", "addr", "add", f"{host.here}/32", "dev", near)
        await _run("ip", "link", "set", near, "up")
        for command in (
            *(
                ("addr", "add", f"{address}/32", "dev", far)
                for address in (*host.closed.values(), host.public)
            ),
            ("link", "set", far, "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "dev", far),
        ):
            await _run("ip", "-n", space, *command)
        for address in (*host.closed.values(), host.public):
            await _run("ip", "route", "add", f"{address}/32", "dev", near)
        async with _server(space, host):
            await host.check()
            yield host
    finally:
        await _run("ip", "link", "del", near, check=False)
        await _run("ip", "netns", "del", space)


@asynccontextmanager
async def _server(space: str, host: OwnHost) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", space),
        *(sys.executable, "-m", "tests.engine.own_host", host.word, str(host.public)),
        cwd=_PROJECT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with within(10):
        assert await process.stdout.readline() == b"ready\n"
    reading = asyncio.create_task(_read(process.stdout, host.seen), name="own host")
    try:
        yield
    finally:
        process.terminate()
        await process.wait()
        await reading


async def _read(lines: asyncio.StreamReader, seen: list[str]) -> None:
    async for line in lines:
        seen.append(line.decode().strip())


async def _run(*command: str, check: bool = True) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, complaint = await process.communicate()
    assert process.returncode == 0 or not check, f"{command}: {complaint.decode()}"
    return printed.decode()


def _byte() -> int:
    return _RANDOM.randrange(2, 250)


class _Names(asyncio.DatagramProtocol):
    """Answers each question with one address (RFC 1035)."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        assert self._transport is not None
        end = data.index(b"\0", 12) + 5  # of the question
        is_a = data[end - 4 : end - 2] == b"\0\1"
        header = data[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(self._address)
        self._transport.sendto(header + data[12:end] + (answer if is_a else b""), peer)
        print("name", flush=True)


async def _answer(word: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    here = writer.get_extra_info("sockname")[0]
    print(f"connection {here}", flush=True)
    if is_git(begun := await reader.read(4)):
        writer.close()
        return
    request = (begun + await reader.readline()).decode("utf-8", "replace").split()
    path = request[1] if len(request) > 1 else ""
    print(f"request {here} {path}", flush=True)
    while (await reader.readline()).strip():
        continue
    head = "200 OK"
    for part in path.split("/"):
        kind, _, target = part.partition("-")
        if kind == "to":
            head = f"302 Found\r\nLocation: {bytes.fromhex(target).decode()}"
        elif kind == "token":
            realm = bytes.fromhex(target).decode()
            head = f'401 Unauthorized\r\nWWW-Authenticate: Bearer realm="{realm}",service="registry"'
    writer.write(
        f"HTTP/1.1 {head}\r\nContent-Length: {len(word)}\r\nConnection: close\r\n\r\n{word}".encode()
    )
    writer.close()


def is_git(begun: bytes) -> bool:
    """Whether what a connection begins with is git's own protocol: a length in hexadecimal, and no lines after it."""
    return len(begun) == 4 and all(byte in b"0123456789abcdef" for byte in begun)


async def _serve(word: str, address: str) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: _answer(word, reader, writer), "0.0.0.0", 80, family=socket.AF_INET
    )
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Names(address), ("0.0.0.0", 53))
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
