"""The real proxy as a child process, backends on loopback, and clients that produce load."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stackyn_server.config import IngressSettings
from stackyn_server.ingress.binary import packaged
from stackyn_server.ingress.configuration_directory import ROUTE_FILE, ROUTES
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.static_configuration import StaticConfiguration
from tests.patience import patient, within

_PR_SET_PDEATHSIG = 1


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def entry_points(*, tls: bool = False) -> tuple[EntryPoint, ...]:
    plain = EntryPoint("web", free_port())
    return (plain, EntryPoint("websecure", free_port(), tls=True)) if tls else (plain,)


class Proxy:
    """The packaged Traefik with our static configuration; `directory` is its configuration directory."""

    def __init__(
        self,
        directory: Path,
        points: Sequence[EntryPoint],
        settings: IngressSettings | None = None,
        **more: int,
    ) -> None:
        self.directory = directory
        self.entry_points = tuple(points)
        self.settings = settings or IngressSettings()
        self._more = more
        self._process: asyncio.subprocess.Process | None = None
        (directory / ROUTES).mkdir(parents=True, exist_ok=True)

    @property
    def routes(self) -> Path:
        return self.directory / ROUTES / ROUTE_FILE

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def arguments(self) -> tuple[str, ...]:
        seen = PurePosixPath(self.directory)
        return StaticConfiguration(
            self.settings, self.entry_points, seen, self._more.get("metrics_port")
        ).arguments()

    async def start(self, arguments: Sequence[str] | None = None) -> None:
        program = await asyncio.to_thread(packaged)
        with (self.directory / "log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(program),
                *(arguments or self.arguments()),
                stdout=log,
                stderr=log,
                cwd=self.directory,
                preexec_fn=_die_with_parent,
            )

    async def stop(self) -> None:
        if self._process is not None:
            await end(self._process, signal.SIGKILL)
        self._process = None

    def give_up(self) -> asyncio.subprocess.Process | None:
        """Return the running process; the caller must end it."""
        process, self._process = (self._process if self.is_running else None), None
        return process

    def take_back(self, process: asyncio.subprocess.Process | None) -> None:
        self._process = process

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    async def log(self) -> str:
        return await asyncio.to_thread((self.directory / "log").read_text)


async def end(process: asyncio.subprocess.Process, with_signal: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(with_signal)
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
    await process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def self_signed(name: str, chain: Path, key: Path) -> None:
    """Write a certificate for `name` and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def backend(
    address: str, port: int, handler: Handler, tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """Run an HTTP server that answers every path with `handler`."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, address, port, ssl_context=tls).start()
    try:
        yield
    finally:
        await runner.cleanup()


def two_events(second: asyncio.Event) -> Handler:
    """A stream whose second event comes when `second` is set."""

    async def handler(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b"data: 1\n\n")
        await second.wait()
        await stream.write(b"data: 2\n\n")
        return stream

    return handler


async def expect_two_events(stream: aiohttp.ClientResponse, second: asyncio.Event) -> None:
    """Read the stream of `two_events`, and fail unless the first event is there before the second is sent."""
    assert await asyncio.wait_for(stream.content.readuntil(b"\n\n"), patient(5)) == b"data: 1\n\n"
    second.set()
    assert await asyncio.wait_for(stream.content.readuntil(b"\n\n"), patient(5)) == b"data: 2\n\n"


def says(text: str) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text=text)

    return handler


async def get(point: EntryPoint, host: str, path: str = "/") -> tuple[int, str]:
    """Send one request on a fresh connection; return status and body."""
    scheme = "https" if point.tls else "http"
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False, force_close=True)) as session,
        session.get(
            f"{scheme}://127.0.0.1:{point.port}{path}",
            headers={"Host": host},
            server_hostname=host if point.tls else None,
            allow_redirects=False,
        ) as response,
    ):
        return response.status, await response.text()


async def get_over_http2(point: EntryPoint, host: str) -> bytes:
    """GET / over HTTP/2 (RFC 9113), with a header block that needs no table (RFC 7541); return the body."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await asyncio.open_connection("127.0.0.1", point.port, ssl=context, server_hostname=host)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    get_https_root, authority = b"\x82\x87\x84", b"\x41" + bytes([len(host)]) + host.encode()
    settings, headers = (
        _frame(4, 0, 0, b""),
        _frame(1, _END_STREAM | _END_HEADERS, 1, get_https_root + authority),
    )
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + headers)
    body = b""
    async with within(10):
        while True:
            head = await reader.readexactly(9)
            kind, flags, content = head[3], head[4], await reader.readexactly(int.from_bytes(head[:3]))
            if kind == 1:
                assert content[0] == 0x88, "not status 200"
            if kind == 0:
                body += content
            if kind in (0, 1) and flags & _END_STREAM:
                writer.transport.abort()
                return body


_END_STREAM, _END_HEADERS = 1, 4


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


@dataclass
class PostClients:
    """Clients that send POST requests in a loop, because aiohttp repeats failed GET requests. A failure begins with
    "fresh" or "kept", for the client's kind of connection."""

    point: EntryPoint
    host: str
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, is_so: Callable[[], bool], seconds: float = 10) -> None:
        """Return as soon as the answers so far make `is_so` true."""
        async with within(seconds):
            while not is_so():
                self._moved.clear()
                await self._moved.wait()

    @asynccontextmanager
    async def running(self, clients: int) -> AsyncIterator[None]:
        """Half of the clients keep their connection, half open a fresh one for each request."""
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for number in range(clients):
                group.create_task(self._client(ended, fresh=number % 2 == 1), name=f"load.{number}")
            try:
                yield
            finally:
                ended.set()

    async def _client(self, ended: asyncio.Event, *, fresh: bool) -> None:
        connector = aiohttp.TCPConnector(limit=1, force_close=fresh)
        connection = "fresh" if fresh else "kept"
        async with aiohttp.ClientSession(connector=connector) as session:
            while not ended.is_set():
                try:
                    async with session.post(
                        f"http://127.0.0.1:{self.point.port}/", headers={"Host": self.host}, data=b"x" * 100
                    ) as response:
                        body = await response.text()
                        if response.status == 200:
                            self.answers[body] += 1
                        else:
                            self.failures.append(f"{connection}: {response.status} {body[:80]}")
                except aiohttp.ClientError as error:
                    self.failures.append(f"{connection}: {error!r}")
                self._moved.set()
