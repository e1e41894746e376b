"""What a visitor of an app tries on the ingress, over HTTP and HTTPS."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from stackyn_server.config import IngressSettings
from tests.hostile.attempts import Attempt, Got, Open, Tries, as_it_is
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import IngressSetup, MakeSetup, address
from tests.integration.ingress.parts import backend, free_port
from tests.integration.ingress.test_hold import FakeHoldEndpoint
from tests.integration.ingress.test_trusted_proxies import OPEN, SMUGGLED, Mirror
from tests.patience import patient

HOST, SLEEPY = "shop.example.test", "sleepy.example.test"
FORGED = "203.0.113.9"
HIDDEN = "/hidden"
FIRST_SECONDS, SILENT_SECONDS = 3, 0.25


@dataclass(frozen=True)
class VisitorStage:
    """The app at HOST behind `setup`, a proxy as this server starts it; its mirror tells what arrived. `front` trusts a
    proxy on this machine; `talkative` has Traefik's own pages. `port` is where the visitor sends to."""

    setup: IngressSetup
    front: IngressSetup
    talkative_port: int
    mirror: Mirror
    hold: FakeHoldEndpoint
    port: int
    tls: bool = False


@asynccontextmanager
async def visitor_stage(make_setup: MakeSetup) -> AsyncIterator[VisitorStage]:
    mirror, hold = Mirror(), FakeHoldEndpoint(25)
    hold.open.set()
    ports = {"hold_port": free_port(), "metrics_port": free_port()}
    setup: IngressSetup = await make_setup(tls=True, **ports)
    front: IngressSetup = await make_setup(start=False, **ports)
    front.proxy.settings = IngressSettings(trusted_proxies=("127.0.0.0/8",))
    await front.proxy.start()
    talkative: IngressSetup = await make_setup(start=False)
    talkative_port = free_port()
    await talkative.proxy.start(
        [
            *talkative.proxy.arguments(),
            "--api.insecure=true",
            f"--entrypoints.traefik.address=127.0.0.1:{talkative_port}",
        ]
    )
    _, instance = await rows.add_app(setup.database, "shop", port=setup.port, seat=0)
    sleepy, asleep = await rows.add_app(setup.database, "sleepy", port=setup.port, seat=1)
    await rows.hold(setup.database, sleepy)
    async with AsyncExitStack() as stack:
        for seat, port in ((0, setup.port), (0, front.port), (1, setup.port)):
            await stack.enter_async_context(backend(address(seat), port, mirror.answer))
        await stack.enter_async_context(backend("127.0.0.1", ports["hold_port"], hold.answer))
        await setup.publisher().apply({HOST: instance, SLEEPY: asleep})
        await front.publisher().apply({HOST: instance})
        yield VisitorStage(setup, front, talkative_port, mirror, hold, setup.proxy.entry_points[0].port)


def over_tls(stage: VisitorStage) -> VisitorStage:
    return replace(stage, port=stage.setup.proxy.entry_points[1].port, tls=True)


async def send(
    stage: VisitorStage, request: bytes, *, to: str = "127.0.0.1", protocol: str = "http/1.1"
) -> bytes:
    """Send these bytes on one connection; return all that comes back until it closes or falls silent."""
    reader, writer = await asyncio.open_connection(
        to, stage.port, ssl=_tls(protocol) if stage.tls else None, server_hostname=HOST if stage.tls else None
    )
    writer.write(request)
    answer = b""
    try:
        while not _is_over(answer, protocol):
            async with asyncio.timeout(SILENT_SECONDS if answer else patient(FIRST_SECONDS)):
                piece = await reader.read(65_536)
            answer += piece
            if not piece:
                break
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return answer


def _is_over(answer: bytes, protocol: str) -> bool:
    """Whether stream 1 has ended, or the connection goes away (RFC 9113, frames)."""
    while protocol == "h2" and len(answer) >= 9:
        length, kind, flags = int.from_bytes(answer[:3], "big"), answer[3], answer[4]
        if kind in (3, 7) or (kind in (0, 1) and flags & 1):
            return True
        answer = answer[9 + length :]
    return False


def _tls(protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context


def _get(path: str, host: str, *headers: str) -> bytes:
    return "\r\n".join(
        [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", ""]
    ).encode()


def _first_line(answer: bytes) -> str:
    return answer.partition(b"\r\n")[0].decode("latin-1") or "the connection was closed"


# Claims about who the visitor is


@asynccontextmanager
async def past_the_proxy(stage: VisitorStage) -> AsyncIterator[VisitorStage]:
    yield replace(stage, port=stage.setup.port, tls=False)


@asynccontextmanager
async def behind_trusted(stage: VisitorStage) -> AsyncIterator[VisitorStage]:
    yield replace(stage, port=stage.front.proxy.entry_points[0].port, tls=False)


PAST_THE_PROXY: Open[VisitorStage] = Open("straight to the app, past the proxy", past_the_proxy)
TRUSTED: Open[VisitorStage] = Open("a sender of [ingress] trusted_proxies", behind_trusted)


def _claims(*headers: str) -> Tries[VisitorStage]:
    """Success is that the app hears of FORGED."""

    async def claim(stage: VisitorStage) -> Got:
        to = address(0) if stage.port == stage.setup.port else "127.0.0.1"
        answer = await send(stage, _get("/", HOST, *headers), to=to)
        seen = answer.partition(b"\r\n\r\n")[2].decode("latin-1")
        return Got(FORGED in seen, f"{_first_line(answer)}: the app hears of {_heard(seen)}")

    return claim


def _heard(seen: str) -> str:
    start, end = seen.find("{"), seen.rfind("}") + 1  # without the lengths of chunks
    headers = json.loads(seen[start:end]) if end else {}
    return ", ".join(f"{name} {value}" for name, value in headers.items() if name.startswith(("x-", "forw")))


async def _drops(stage: VisitorStage) -> Got:
    """Success is that the app hears nothing of the visitor's address: the proxy is told to take it away again."""
    dropped = "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Real-Ip"
    request = _get("/", HOST, f"Connection: close, {dropped}").replace(b"Connection: close\r\n", b"", 1)
    to = address(0) if stage.port == stage.setup.port else "127.0.0.1"
    answer = await send(stage, request, to=to)
    heard = _heard(answer.partition(b"\r\n\r\n")[2].decode("latin-1"))
    return Got("x-forwarded-for" not in heard, f"the app hears of {heard}")


CLAIMS = {
    "X-Forwarded-For": f"X-Forwarded-For: {FORGED}",
    "X-Forwarded-For twice": f"X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: {FORGED}",
    "X-Forwarded-Host": f"X-Forwarded-Host: {FORGED}",
    "X-Forwarded-Server": f"X-Forwarded-Server: {FORGED}",
    "X-Forwarded-Port": f"X-Forwarded-Port: {FORGED}",
    "X-Forwarded-Proto": f"X-Forwarded-Proto: {FORGED}",
    "X-Forwarded-Tls-Client-Cert": f"X-Forwarded-Tls-Client-Cert: {FORGED}",
    "X-Real-Ip": f"X-Real-Ip: {FORGED}",
    "Forwarded": f"Forwarded: for={FORGED};proto=https",
    "X_Forwarded_For": f"X_Forwarded_For: {FORGED}",
    "X-Forwarded_For": f"X-Forwarded_For: {FORGED}",
    "x-FORWARDED-for": f"x-FORWARDED-for: {FORGED}",
}
CLAIMING = [
    *(Attempt(f"claims of {name}", _claims(header), "HTTP/1.1", PAST_THE_PROXY) for name, header in CLAIMS.items()),
    Attempt("having the proxy drop what it vouches for", _drops, "x-forwarded-for 127.0.0.1", PAST_THE_PROXY),
]  # fmt: skip


# A request inside another one


def _smuggles(request: bytes) -> Tries[VisitorStage]:
    """Success is that the app gets a request which a proxy in front of this one would not have seen."""

    async def smuggle(stage: VisitorStage) -> Got:
        stage.mirror.asked.clear()
        answer = await send(stage, request)
        paths = [path for _, path, _ in stage.mirror.asked]
        is_refused = not answer.startswith(b"HTTP/1.1 2") and not paths
        is_one = paths == ["/open"] and answer.count(b"HTTP/1.1 2") == 1
        return Got(not (is_refused or is_one), f"{_first_line(answer)}, the app got {paths}")

    return smuggle


@asynccontextmanager
async def kept_connections(stage: VisitorStage) -> AsyncIterator[VisitorStage]:
    yield replace(stage, port=stage.setup.proxy.entry_points[0].port, tls=False)


SMUGGLING = [
    Attempt(f"request hidden in another one: {name}", _smuggles(request), "HTTP/1.1",
            Open("not hidden, on a connection that is kept", kept_connections), _smuggles(OPEN))
    for name, request in SMUGGLED.items()
]  # fmt: skip


# What is not an app


def _asks(path: str, host: str) -> Tries[VisitorStage]:
    """Success is an answer of the proxy itself that says something about routes, versions or figures."""

    async def ask(stage: VisitorStage) -> Got:
        answer = await send(stage, _get(path, host))
        told = (
            b"routers",
            b"traefik_",
            b"Version",
            b"OK\n",
            b"stackyn.internal",
            b"Dashboard",
            b"dashboard/",
        )
        return Got(any(word in answer for word in told), _first_line(answer))

    return ask


@asynccontextmanager
async def with_own_pages(stage: VisitorStage) -> AsyncIterator[VisitorStage]:
    yield replace(stage, port=stage.talkative_port, tls=False)


@asynccontextmanager
async def with_figures(stage: VisitorStage) -> AsyncIterator[VisitorStage]:
    assert stage.setup.context.metrics_port is not None
    yield replace(stage, port=stage.setup.context.metrics_port, tls=False)


async def _secret_path(stage: VisitorStage) -> Got:
    return await _asks(stage.setup.context.confirm_path, HOST)(stage)


async def _secret_host(stage: VisitorStage) -> Got:
    return await _asks("/", stage.setup.context.marker_host)(stage)


PAGES = ("/api/rawdata", "/api/overview", "/api/version", "/dashboard/", "/debug/vars")
HOSTS = {"the app's host": HOST, "no host that is known": "127.0.0.1", "the proxy's own name": "traefik"}
BEYOND = [
    *(
        Attempt(f"{path} of the proxy at {name}", _asks(path, host), "HTTP/1.1",
                Open("a proxy with api.insecure", with_own_pages), _asks("/api/rawdata", host))
        for path in PAGES
        for name, host in HOSTS.items()
    ),
    *(
        Attempt(f"/metrics of the proxy at {name}", _asks("/metrics", host), "HTTP/1.1",
                Open("its port on loopback", with_figures), _asks("/metrics", host))
        for name, host in HOSTS.items()
    ),
    Attempt("path by which routes are confirmed, guessed", _asks("/.stackyn-guess", HOST), "HTTP/1.1",
            Open("with the secret", as_it_is), _secret_path),
    Attempt("host by which routes are confirmed, guessed", _asks("/", "generation-guess.internal"), "HTTP/1.1 404",
            Open("with the secret", as_it_is), _secret_host),
]  # fmt: skip


# Credentials of a visitor while an app wakes up


def _wakes(*headers: str) -> Tries[VisitorStage]:
    """Success is that whoever is asked whether the app is awake hears a visitor's secret."""

    async def wake(stage: VisitorStage) -> Got:
        stage.hold.asked.clear()
        await send(stage, _get("/?token=of-a-visitor", SLEEPY, *headers))
        path, heard = stage.hold.asked[0]
        # The address of the page is in X-Forwarded-Uri: it is neither read nor logged.
        told = {name: value for name, value in heard.items() if name.lower() != "x-forwarded-uri"}
        return Got("of-a-visitor" in str(told), f"{path} with {sorted(name.lower() for name in told)}")

    return wake


CREDENTIALS = {
    "password": "Authorization: Basic of-a-visitor",
    "cookie": "Cookie: session=of-a-visitor",
    "key in a header of its own": "X-Api-Key: of-a-visitor",
    "password for a proxy": "Proxy-Authorization: Basic of-a-visitor",
}
WAKING: list[Attempt[VisitorStage]] = [
    Attempt(f"{name} at the endpoint that holds requests", _wakes(header), "/hold/",
            Open("in the one header that is passed on", as_it_is), _wakes("X-Stackyn-Hold: of-a-visitor"))
    for name, header in CREDENTIALS.items()
]  # fmt: skip


# HTTP/2 (RFC 9113), with header blocks that need no table (RFC 7541)


def _over_http2(*fields: tuple[str, str]) -> Tries[VisitorStage]:
    """Success is that the app hears of FORGED, or gets a second request."""

    async def ask(stage: VisitorStage) -> Got:
        stage.mirror.asked.clear()
        tls = over_tls(stage)
        answer = await send(tls, _http2_request(fields), protocol="h2")
        paths = [path for _, path, _ in stage.mirror.asked]
        heard = FORGED.encode() in answer
        return Got(heard or HIDDEN in paths, f"{len(answer)} bytes, the app got {paths}")

    return ask


def _http2_request(fields: Sequence[tuple[str, str]]) -> bytes:
    given = dict(fields)
    pseudo = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", HOST)]
    whole = [(name, given.pop(name, value)) for name, value in pseudo] + list(given.items())
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in whole)
    headers = len(block).to_bytes(3, "big") + b"\1\5\0\0\0\1" + block
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4\0\0\0\0\0" + headers


def _text(text: str) -> bytes:
    raw = text.encode("latin-1")
    assert len(raw) < 127
    return bytes([len(raw)]) + raw


HTTP2 = {
    "X-Forwarded-For": ("x-forwarded-for", FORGED),
    "Forwarded": ("forwarded", f"for={FORGED}"),
    "a line break in a value": ("x-y", f"z\r\nX-Forwarded-For: {FORGED}"),
    "a line break in a name": (f"x-y: z\r\nx-forwarded-for: {FORGED}\r\nx", "z"),
    "a line break in the path": (":path", f"/ HTTP/1.1\r\nHost: {HOST}\r\n\r\nGET {HIDDEN}"),
    "a line break in the method": (":method", f"GET {HIDDEN} HTTP/1.1\r\nHost: {HOST}\r\n\r\nGET"),
    "Transfer-Encoding": ("transfer-encoding", "chunked"),
}
OVER_HTTP2: list[Attempt[VisitorStage]] = [
    Attempt(f"over HTTP/2: {name}", _over_http2(field), "the app got",
            Open("in a header that means nothing", as_it_is), _over_http2(("x-y", FORGED)))
    for name, field in HTTP2.items()
]  # fmt: skip
