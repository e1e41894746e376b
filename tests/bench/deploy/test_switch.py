"""What going back to a release costs, how long its switch takes, and what the way through the ingress adds."""

from __future__ import annotations

import asyncio
import statistics
import time
from ipaddress import IPv4Address

import asyncpg
import pytest

from stackyn_server.postgres.embedded import embedded_url
from tests.bench.machine import machine
from tests.git_server import GitServer
from tests.load.running import LoadedApp
from tests.server_process import ServerProcess, containers_of, docker, running

ROLLBACKS = 20
LONGEST_ROLLBACK_SECONDS = 3.0  # what the platform promises
REQUESTS, CLIENTS = 3000, 16
REQUEST = "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_rollback_and_ingress(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [await machine()]
    # As shipped, apart from the drain, which is waited for between two rollbacks.
    async with (
        GitServer(tmp_path_factory.mktemp("git")) as git,
        running(
            probe={"steady_seconds": 3, "known_steady_seconds": 0.5}, apps={"default_cpu": 1.0}
        ) as server,
    ):
        app = LoadedApp(server, git, "bench")
        await app.create()
        await app.deploy()
        answered, live = [], []
        for number in range(ROLLBACKS):
            await _until_alone(server, app.id)
            first, ended = await _roll_back(server, app, to=number % 2)
            answered.append(first)
            live.append(ended)
        lines.append(
            f"POST rollback to its first answer: {_described(answered)}; to `running`: {_described(live)}"
        )
        lines.append(
            f"switch, from the wanted route to the confirmed one: {_described(await _switches(server))}"
        )
        await _until_alone(server, app.id)
        lines += await _overhead(server, app)
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert statistics.median(answered) < LONGEST_ROLLBACK_SECONDS


async def _until_alone(server: ServerProcess, app: int) -> None:
    async def is_alone() -> bool:
        return len(await containers_of(server, app)) == 1

    await server.until(is_alone, 60, "the old instance is gone")


async def _roll_back(server: ServerProcess, app: LoadedApp, to: int) -> tuple[float, float]:
    """Seconds until a visitor has its answer, and until the deployment is called running."""
    began = time.monotonic()
    rolling = asyncio.create_task(app.roll_back(to=to))

    async def answers() -> bool:
        return (await server.visit(app.name))[1].startswith(f"good {to} ")

    await server.until(answers, 60, f"release {to} answers")
    first = time.monotonic() - began
    await rolling
    return first, time.monotonic() - began


async def _switches(server: ServerProcess) -> list[float]:
    """Seconds between the two transactions, of each deployment that went live."""
    connection = await asyncpg.connect(embedded_url(server.data_dir))
    try:
        rows = await connection.fetch(
            "SELECT extract(epoch FROM live.created_at - switching.created_at)::double precision AS seconds "
            "FROM event switching JOIN event live USING (deployment) "
            "WHERE switching.name = 'deployment.switching' AND live.name = 'deployment.live'"
        )
    finally:
        await connection.close()
    return [row["seconds"] for row in rows]


async def _overhead(server: ServerProcess, app: LoadedApp) -> list[str]:
    (container,) = await containers_of(server, app.id)
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    address = IPv4Address((await docker("inspect", "--format", template, container)).strip())
    places = {"direct": (str(address), 8080), "through": ("127.0.0.1", server.ingress_port)}
    lines = []
    for clients in (1, CLIENTS):
        medians, rates = {}, {}
        for name, (host, port) in places.items():
            began = time.monotonic()
            share = REQUESTS // clients
            taken = await asyncio.gather(*(_asked(host, port, app.host, share) for _ in range(clients)))
            rates[name] = clients * share / (time.monotonic() - began)
            medians[name] = statistics.median(second for seconds in taken for second in seconds)
        lines.append(
            f"{clients} kept connections: container {1000 * medians['direct']:.2f} ms ({rates['direct']:.0f}/s), "
            f"through the ingress {1000 * medians['through']:.2f} ms ({rates['through']:.0f}/s), "
            f"ratio {medians['through'] / medians['direct']:.2f}"
        )
    return lines


async def _asked(address: str, port: int, host: str, count: int) -> list[float]:
    """Seconds of each of `count` requests in a row on one connection."""
    reader, writer = await asyncio.open_connection(address, port)
    request, taken = REQUEST.format(host=host).encode(), []
    for _ in range(count):
        began = time.monotonic()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        taken.append(time.monotonic() - began)
    writer.close()
    return taken


def _described(seconds: list[float]) -> str:
    p95 = statistics.quantiles(seconds, n=20)[-1]
    return f"{statistics.median(seconds):.2f} s (median), {p95:.2f} s (p95) of {len(seconds)}"
