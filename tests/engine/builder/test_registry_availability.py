"""Whether a registry can be asked is decided once, by what answers where images without a host come from."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from stackyn_server import config
from stackyn_server.engine.builder import registry_availability
from stackyn_server.engine.builder.registry_availability import RegistryAvailability, addresses
from tests.server_process import free_port

HUB = "https://registry-1.docker.io/v2/"


@pytest.mark.parametrize(
    ("builds", "expected"),
    [
        ({}, [HUB]),
        ({"mirrors": {"ghcr.io": ("mirror.example",)}}, [HUB]),
        ({"mirrors": {"docker.io": ("mirror.example/hub",)}}, ["https://mirror.example/v2/", HUB]),
        (
            {
                "mirrors": {"docker.io": ("10.0.5.2:5000/hub", "backup.example")},
                "plain_http_registries": ("10.0.5.2:5000",),
            },
            ["http://10.0.5.2:5000/v2/", "https://backup.example/v2/", HUB],
        ),
    ],
    ids=["Docker Hub", "mirror of another", "mirror", "plain mirror"],
)
def test_mirrors_of_docker_hub_are_asked_before_it(builds: dict[str, object], expected: list[str]) -> None:
    assert addresses(config.BuildsSettings.model_validate(builds)) == expected


@pytest.fixture
def no_docker_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked outside: where Docker Hub would be, nobody listens."""
    monkeypatch.setattr(registry_availability, "DOCKER_HUB_HOST", f"127.0.0.1:{free_port()}")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def mirror(no_docker_hub: None) -> AsyncIterator[TestServer]:
    """Answers as registries do which want credentials first."""

    async def refuse(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=401)

    asked: list[str] = []
    application = web.Application()
    application.router.add_get("/{path:.*}", refuse)
    async with TestServer(application) as server:
        yield server
    assert set(asked) <= {"/v2/"}


def settings(mirror: TestServer, source: str, *, is_plain: bool = True) -> config.Settings:
    host = f"127.0.0.1:{mirror.port}"
    builds = {"mirrors": {"docker.io": (host,)}, "plain_http_registries": (host,) if is_plain else ()}
    return config.Settings.model_validate({"images": {"source": source}, "builds": builds})


@pytest.mark.parametrize(
    ("source", "is_plain", "expected"),
    [("auto", True, True), ("auto", False, False), ("local", True, False), ("registry", False, True)],
)
async def test_any_answer_counts_unless_the_operator_has_decided(
    mirror: TestServer, source: str, is_plain: bool, expected: bool
) -> None:
    assert await RegistryAvailability(settings(mirror, source, is_plain=is_plain)).is_reachable() is expected


async def test_it_is_decided_once(mirror: TestServer) -> None:
    decided = RegistryAvailability(settings(mirror, "auto"))
    assert await decided.is_reachable()
    await mirror.close()

    assert await decided.is_reachable()
