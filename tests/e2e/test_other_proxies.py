"""The whole server with an operator's Traefik, and without a proxy."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from stackyn_server.ingress.entry_points import EntryPoint
from tests.git_server import GitServer
from tests.integration.ingress.parts import Proxy
from tests.load.generator import VisitPlan
from tests.load.running import LoadedApp, visitors
from tests.server_process import ServerProcess, containers_of, free_port, running
from tests.tiny import tiny_app

FEW = 300


@asynccontextmanager
async def operators_proxy(folder: Path) -> AsyncIterator[tuple[int, Path]]:
    """Yield the port of a Traefik and the directory that it watches."""
    port, watched = free_port(), folder / "watched"
    watched.mkdir(parents=True)
    proxy = Proxy(folder, (EntryPoint("web", port),))
    await proxy.start(
        [
            f"--entrypoints.web.address=:{port}",
            f"--providers.file.directory={watched}",
            "--providers.file.watch=true",
            "--providers.providersthrottleduration=50ms",
            "--log.level=WARN",
        ]
    )
    try:
        yield port, watched
    finally:
        await proxy.stop()


@pytest.mark.full
async def test_deploys_behind_an_operators_traefik_fail_no_request(tmp_path: Path, git: GitServer) -> None:
    async with (
        operators_proxy(tmp_path / "operator") as (port, watched),
        running(
            ingress={
                "managed": False,
                "directory": str(watched),
                "entry_points": [f"web:{port}"],
                "http_port": port,
            },
            apps={"drain_seconds": 30, "stop_grace_seconds": 10, "default_cpu": 1.0},
        ) as server,
    ):
        shop = LoadedApp(server, git, "operated")
        await shop.create()
        async with visitors(VisitPlan(port, shop.host)) as load:
            await load.until_answered(FEW, seconds=30)
            await shop.deploy()
            await shop.deploy("crashes")
            await shop.deploy()
            await load.until_answered(FEW, seconds=30)
        assert [path.name for path in watched.iterdir()] == ["stackyn.yml"]

    assert load.report.failures == []
    assert set(load.report.releases) == {"0", "1", "3"}


@pytest.mark.full
async def test_an_app_sleeps_and_wakes_behind_an_operators_traefik(tmp_path: Path, git: GitServer) -> None:
    async with (
        operators_proxy(tmp_path / "operator") as (port, watched),
        running(
            **{
                "ingress": {
                    "managed": False,
                    "directory": str(watched),
                    "entry_points": [f"web:{port}"],
                    "http_port": port,
                    "reaches_loopback": True,
                },
                "plans.pro": {"always_on": False},
                "apps": {"idle_minutes": 1 / 60},
                "reconcile": {"idle_seconds": 0.5},
            }
        ) as server,
    ):
        app, _ = await server.deploy(git, "nap", tiny_app("awake"), "nap")

        async def is_asleep() -> bool:
            return not await containers_of(server, app)

        await server.until(is_asleep, 60, "the app sleeps")
        assert await server.visit("nap") == (200, "awake")


@pytest.mark.full
async def test_routes_json_lists_a_working_address_after_each_deploy(git: GitServer) -> None:
    async with running(ingress={"provider": "none"}) as server:
        shop = LoadedApp(server, git, "listed")
        await shop.create()
        assert (await _at_listed_address(server, shop.host)).startswith("good 0 ")
        await shop.deploy()
        assert (await _at_listed_address(server, shop.host)).startswith("good 1 ")
        await shop.deploy("crashes")
        assert (await _at_listed_address(server, shop.host)).startswith("good 1 ")
        await server.api("DELETE", f"/api/v1/apps/{shop.id}", expect=200)

        async def is_unlisted() -> bool:
            return shop.host not in _listed(server)

        await server.until(is_unlisted, 30, "the deleted app is not listed any more")


def _listed(server: ServerProcess) -> dict[str, dict[str, Any]]:
    routes = json.loads((server.data_dir / "ingress" / "routes.json").read_text())["routes"]
    return {host: route for route in routes for host in route["hosts"]}


async def _at_listed_address(server: ServerProcess, host: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(_listed(server)[host]["url"]) as answer:
        return await answer.text()
