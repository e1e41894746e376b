"""An operator's own Traefik (`managed = false`), no proxy (`provider = "none"`), and invalid settings."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from stackyn_server.config import Settings
from stackyn_server.ingress.confirmation import NotConfirmed
from stackyn_server.ingress.driver import Ingress
from stackyn_server.ingress.drivers import IngressMisconfigured, create_ingress
from stackyn_server.ingress.entry_points import EntryPoint
from stackyn_server.ingress.external import ExternalIngress
from stackyn_server.ingress.none import NoIngress
from stackyn_server.ingress.publisher import NotPublished
from stackyn_server.ingress.traefik import TraefikIngress
from stackyn_server.store.database import Database
from tests.integration.ingress import rows
from tests.integration.ingress.conftest import (
    CONFIRM_SECONDS,
    EPOCH,
    LOOPBACK_SEATS,
    IngressSetup,
    address,
    leading,
)
from tests.integration.ingress.parts import Proxy, backend, free_port, get, says
from tests.integration.ingress.process_engine import ProcessEngine
from tests.patience import within

HOST = "shop.localhost"


def settings_for(folder: Path, **ingress: Any) -> Settings:
    return Settings.model_validate(
        {
            "server": {"data_dir": folder},
            "network": {"subnet": str(LOOPBACK_SEATS)},
            "ingress": {"confirm_seconds": CONFIRM_SECONDS, **ingress},
        }
    )


async def chosen(database: Database, settings: Settings, folder: Path) -> Ingress:
    async with database.transaction() as connection:
        await connection.execute("UPDATE installation SET epoch = $1", EPOCH)
        secret = await connection.fetchval("SELECT secret FROM installation")
    engine = ProcessEngine(Proxy(folder, ()))
    return create_ingress(settings, database, engine, secret=secret, epoch=EPOCH, still_leading=leading)


@pytest.fixture
async def operators_proxy(tmp_path: Path) -> AsyncIterator[Proxy]:
    """A Traefik that watches a directory with a router of its operator."""
    proxy = Proxy(tmp_path / "operator", (EntryPoint("http", free_port()),))
    watched = proxy.directory / "watched"
    watched.mkdir()
    (watched / "theirs.yml").write_text(
        json.dumps(
            {
                "http": {
                    "routers": {"theirs": {"rule": "Host(`their.org`)", "service": "theirs"}},
                    "services": {"theirs": {"loadBalancer": {"servers": [{"url": "http://127.64.99.9:1"}]}}},
                }
            }
        )
    )
    await proxy.start(
        [
            f"--entrypoints.http.address=:{proxy.entry_points[0].port}",
            f"--providers.file.directory={watched}",
            "--providers.file.watch=true",
            "--providers.providersthrottleduration=50ms",
            "--log.level=WARN",
        ]
    )
    yield proxy
    await proxy.stop()


async def test_our_file_is_served_beside_an_operators_own_files(
    database: Database, tmp_path: Path, operators_proxy: Proxy
) -> None:
    point = operators_proxy.entry_points[0]
    watched = operators_proxy.directory / "watched"
    settings = settings_for(
        tmp_path, managed=False, directory=str(watched), entry_points=[f"http:{point.port}"]
    )
    ingress = await chosen(database, settings, tmp_path)
    assert isinstance(ingress, ExternalIngress)
    await _listening(point)
    await ingress.prepare()
    port = free_port()
    _, instance = await rows.add_app(database, "shop", port=port, seat=0)

    async with backend(address(0), port, says("ours")):
        await ingress.apply({HOST: instance})
        assert await get(point, HOST) == (200, "ours")
    assert (await get(point, "their.org"))[0] == 502  # still routed to where they said
    assert sorted(os.listdir(watched)) == ["stackyn.yml", "theirs.yml"]


async def test_without_a_proxy_routes_json_lists_the_routes(database: Database, tmp_path: Path) -> None:
    ingress = await chosen(database, settings_for(tmp_path, provider="none"), tmp_path)
    assert isinstance(ingress, NoIngress)
    await ingress.prepare()
    port = free_port()
    app, instance = await rows.add_app(database, "shop", port=port, seat=0)

    async with backend(address(0), port, says("x")):
        await ingress.apply({HOST: instance})
    listed = json.loads((tmp_path / "ingress" / "routes.json").read_text())["routes"]
    assert {"hosts": [HOST], "url": f"http://{address(0)}:{port}", "instance": instance} in listed

    await rows.withdraw(database, app)
    await ingress.apply({HOST: None})


async def test_without_a_proxy_a_refusing_instance_is_not_confirmed(
    database: Database, tmp_path: Path
) -> None:
    ingress = await chosen(database, settings_for(tmp_path, provider="none"), tmp_path)
    await ingress.prepare()
    _, instance = await rows.add_app(database, "shop", port=free_port(), seat=0)

    with pytest.raises(NotConfirmed, match="does not accept connections"):
        await ingress.apply({HOST: instance})
    with pytest.raises(NotConfirmed, match="still lists"):
        await ingress.apply({HOST: None})


async def test_the_default_is_our_own_proxy(database: Database, tmp_path: Path) -> None:
    assert isinstance(await chosen(database, settings_for(tmp_path), tmp_path), TraefikIngress)


@pytest.mark.parametrize(
    "ingress",
    [
        {"managed": False},
        {"managed": False, "directory": "/d", "certificate_file": "/c"},
        {"certificate_file": "/c"},
    ],
)
async def test_settings_that_contradict_each_other_are_named(
    database: Database, tmp_path: Path, ingress: dict[str, Any]
) -> None:
    with pytest.raises(IngressMisconfigured, match=r"\[ingress\]"):
        await chosen(database, settings_for(tmp_path, **ingress), tmp_path)


async def test_the_proxy_serves_the_api_only_under_its_own_host(setup: IngressSetup) -> None:
    upstream = setup.context.own_upstreams[0]
    async with backend(str(upstream.address), upstream.port, says("the api")):
        await setup.publisher().apply({})

        assert await get(setup.proxy.entry_points[0], "api.example.test") == (200, "the api")
        assert (await get(setup.proxy.entry_points[0], "other.example.test"))[0] == 404


async def _listening(point: EntryPoint) -> None:
    async with within(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", point.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.transport.abort()
                return


@pytest.mark.parametrize("provider", ["traefik", "none"])
async def test_an_unwritable_data_directory_raises_not_published(
    database: Database, tmp_path: Path, provider: str
) -> None:
    (tmp_path / "ingress").write_text("in the way")
    ingress = await chosen(database, settings_for(tmp_path, provider=provider), tmp_path / "unused")

    with pytest.raises(NotPublished, match="can't be written"):
        await ingress.prepare()
