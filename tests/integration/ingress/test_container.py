"""Our own proxy in its container, on the real engine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from stackyn_server.config import Settings
from stackyn_server.engine import containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.ingress_container import IngressContainer
from stackyn_server.engine.labels import Role
from stackyn_server.ingress import drivers
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.drivers import create_ingress
from stackyn_server.ingress.traefik import TraefikIngress
from stackyn_server.store.database import Database
from tests.engine.conftest import engine
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import (
    BRIEFLY,
    CONFIRM_SECONDS,
    EPOCH,
    LOOPBACK_SEATS,
    address,
    leading,
)
from tests.integration.ingress.parts import PostClients, backend, free_port, get, says

__all__ = ["engine"]

GREEDY = 1_899_999_999  # a user that nobody is
INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
GREED = """
import ctypes, os, resource, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
os.setuid(int(sys.argv[1]))
inotify_init = ctypes.CDLL(None).inotify_init
print(sum(inotify_init() >= 0 for _ in range(int(sys.argv[2]))), flush=True)
sys.stdin.read()
"""
HOST = "shop.localhost"
CLIENTS = 8
LOST_CONNECTION = ("kept: ServerDisconnectedError", "kept: ClientOSError")


@pytest.fixture
async def container(engine: Engine) -> AsyncIterator[IngressContainer]:
    yield IngressContainer(engine)
    for container in await containers.list_of_role(engine, Role.INGRESS):
        await containers.remove(engine, container.id)


MakeIngress = Callable[..., Awaitable[TraefikIngress]]


@pytest.fixture
def make_ingress(database: Database, container: IngressContainer, tmp_path: Path) -> MakeIngress:
    """Make the ingress of one installation, on the same ports each time."""
    settings = Settings.model_validate(
        {
            "server": {"data_dir": tmp_path, "port": free_port()},
            "network": {"subnet": str(LOOPBACK_SEATS)},
            "ingress": {
                "http_port": free_port(),
                "https_port": free_port(),
                "metrics_port": free_port(),
                "confirm_seconds": CONFIRM_SECONDS,
            },
        }
    )

    async def make(**changes: float) -> TraefikIngress:
        async with database.transaction() as connection:
            await connection.execute("UPDATE installation SET epoch = $1", EPOCH)
            secret = await connection.fetchval("SELECT secret FROM installation")
        made = create_ingress(
            settings, database, container, secret=secret, epoch=EPOCH, still_leading=leading
        )
        assert isinstance(made, TraefikIngress)
        return made

    return make


@pytest.fixture
async def ingress(make_ingress: MakeIngress) -> TraefikIngress:
    return await make_ingress()


async def test_the_container_serves_apps_on_every_entry_point(
    database: Database, ingress: TraefikIngress
) -> None:
    await ingress.prepare()
    port = free_port()
    app, old = await rows.add_app(database, "shop", port=port, seat=0)
    async with backend(address(0, 0), port, says("old")), backend(address(0, 1), port, says("new")):
        await ingress.apply({HOST: old})
        assert [await get(point, HOST) for point in ingress.entry_points] == [(200, "old")] * 2

        new = await rows.add_instance(database, app, slot=1, port=port)
        await rows.want(database, app, new)
        await ingress.apply({HOST: new})
        assert [await get(point, HOST) for point in ingress.entry_points] == [(200, "new")] * 2


async def test_a_second_server_start_leaves_the_container_alone(
    container: IngressContainer, ingress: TraefikIngress
) -> None:
    await ingress.prepare()
    first = await container.ingress_state()
    await ingress.prepare()

    assert first is not None
    second = await container.ingress_state()
    assert second is not None and second.container == first.container


async def test_a_killed_proxy_restarts_with_its_routes_without_us(
    database: Database,
    engine: Engine,
    container: IngressContainer,
    ingress: TraefikIngress,
) -> None:
    await ingress.prepare()
    port = free_port()
    _, instance = await rows.add_app(database, "shop", port=port, seat=0)
    number = await ingress.apply({HOST: instance})
    state = await container.ingress_state()
    assert state is not None
    details: dict[str, Any] = await engine.request("GET", f"containers/{state.container}/json")
    os.kill(details["State"]["Pid"], signal.SIGKILL)

    await ingress.confirm(number, {HOST: instance})


async def test_a_proxy_that_runs_as_root_hands_over_to_one_that_does_not(
    engine: Engine,
    database: Database,
    container: IngressContainer,
    make_ingress: MakeIngress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As at the upgrade from a release whose proxy was root: its sockets get the new proxy's user."""
    with monkeypatch.context() as patch:
        patch.setattr(drivers, "proxy_uid", lambda *_: None)
        earlier = await make_ingress()
    await earlier.prepare()
    port = free_port()
    _, instance = await rows.add_app(database, "shop", port=port, seat=0)
    await earlier.apply({HOST: instance})
    clients = PostClients(earlier.entry_points[0], HOST)

    async with backend(address(0), port, says("x")), clients.running(CLIENTS):
        await clients.until(lambda: clients.answers["x"] > 20 * CLIENTS)
        ingress = await make_ingress()
        await ingress.prepare()
        seen = clients.answers["x"]
        await clients.until(lambda: clients.answers["x"] > seen + 20 * CLIENTS)

    assert [failure for failure in clients.failures if not failure.startswith(LOST_CONNECTION)] == []
    state = await container.ingress_state()
    assert state is not None
    details = await engine.request("GET", f"containers/{state.container}/json")
    assert details["Config"]["User"] == f"{ingress.uid}:{ingress.uid}"


async def test_a_user_without_watchers_left_takes_none_from_the_proxy(
    database: Database, make_ingress: MakeIngress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an app does that opens what the kernel gives to its user; the user here is nobody else's."""
    async with watchers_used_up(GREEDY) as are_used_up:
        ingress = await make_ingress()
        await ingress.prepare()
        port = free_port()
        _, instance = await rows.add_app(database, "shop", port=port, seat=0)
        await ingress.apply({HOST: instance})  # the proxy watches its routes

        monkeypatch.setattr(drivers, "proxy_uid", lambda *_: GREEDY)
        shared = await make_ingress(confirm_seconds=BRIEFLY)
        with pytest.raises(NotConfirmed) if are_used_up else nullcontext():
            await shared.prepare()  # a proxy of the same user can't: the test can fail


@asynccontextmanager
async def watchers_used_up(uid: int) -> AsyncIterator[bool]:
    """Have a process of this user hold all inotify instances that a user gets; False where those are too many."""
    limit = int(await asyncio.to_thread(INSTANCES.read_text))
    count = limit + 1 if limit < 1_000 else 0
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", GREED, str(uid), str(count)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        opened = int(await process.stdout.readline())
        assert opened == min(limit, count)
        yield count > 0
    finally:
        process.kill()
        await process.wait()


async def test_replacing_the_container_fails_no_new_connection(
    database: Database, container: IngressContainer, ingress: TraefikIngress
) -> None:
    await ingress.prepare()
    first = await container.ingress_state()
    port = free_port()
    _, instance = await rows.add_app(database, "shop", port=port, seat=0)
    await ingress.apply({HOST: instance})
    clients = PostClients(ingress.entry_points[0], HOST)

    async with backend(address(0), port, says("x")), clients.running(CLIENTS):
        await clients.until(lambda: clients.answers["x"] > 20 * CLIENTS)
        await ingress.replace()
        seen = clients.answers["x"]
        await clients.until(lambda: clients.answers["x"] > seen + 20 * CLIENTS)

    second = await container.ingress_state()
    assert first is not None and second is not None and second.container != first.container
    print(f"{clients.answers.total()} answers, {len(clients.failures)} failures")
    # A kept connection may lose the request that is on its way when the old proxy closes the connection.
    lost = [failure for failure in clients.failures if failure.startswith(LOST_CONNECTION)]
    assert clients.failures == lost and len(lost) <= CLIENTS / 2
