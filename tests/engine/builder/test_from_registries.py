"""Base images come from a real registry: through a mirror, without TLS, and with a password."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackyn_server import config
from stackyn_server.domain.failures import FailureCode
from stackyn_server.domain.registries import RegistryCredential
from stackyn_server.engine import firewall, images
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registries import docker_config
from stackyn_server.engine.builder.registry import Registry
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from tests.engine.builder.layouts import layer
from tests.engine.builder.own_registry import PASSWORD, USER, OwnRegistry, own_registry
from tests.engine.building import fails, succeeds
from tests.engine.conftest import BUILDER
from tests.engine.own_host import own_host

Make = Callable[..., BuildRequest]
NAME = "team/tool"


@dataclass(frozen=True, slots=True)
class Registries:
    """An open registry, which is also Docker Hub's mirror, and a private one; both have `NAME`."""

    open: OwnRegistry
    private: OwnRegistry
    builder: Builder

    @property
    def private_image(self) -> str:
        return f"{self.private.address}/{NAME}:1"


@pytest.fixture(scope="module")
async def registries(
    engine: Engine, base_images: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Registries]:
    folder = tmp_path_factory.mktemp("registries")
    async with (
        own_host() as host,
        own_registry(host, folder / "open", 5000) as plain,
        own_registry(host, folder / "private", 5001, is_private=True) as private,
    ):
        for registry in (plain, private):
            await registry.push(NAME, [layer({"tool": b"a tool"})], {"ExposedPorts": {"4711/tcp": {}}})
        settings = config.Settings(
            network=engine.network,
            images=config.Images(
                builder=BUILDER,
                directory=base_images,
                source="registry",
            ),
            builds=config.Builds(
                plain_http_registries=(plain.address, private.address),
                mirrors={"docker.io": (plain.address,)},
            ),
        )
        yield Registries(plain, private, Builder(engine, settings, Registry(settings)))
        await firewall.open_all(engine)


def signed_in(credentials: Iterable[tuple[str, str]], password: str = PASSWORD) -> str:
    return docker_config(RegistryCredential(host, user, password) for host, user in credentials)


async def test_an_image_without_a_host_comes_from_the_mirror(
    engine: Engine, registries: Registries, build_request: Make
) -> None:
    image, _ = await succeeds(registries.builder, build_request(), f"FROM {NAME}:1\n")

    found = await images.inspect(engine, image)
    assert found is not None and found.exposed_ports == (4711,), "inherited"


async def test_a_private_image_comes_with_the_credentials_of_its_host(
    engine: Engine, registries: Registries, build_request: Make
) -> None:
    request = build_request(docker_config=signed_in([(registries.private.address, USER)]))

    image, lines = await succeeds(registries.builder, request, f"FROM {registries.private_image}\n")

    assert await images.inspect(engine, image) is not None
    assert PASSWORD not in "".join(lines)


@pytest.mark.parametrize("who", ["nobody", "another password", "another host"])
async def test_a_private_image_stays_closed_to_others(
    registries: Registries, build_request: Make, who: str
) -> None:
    host = registries.private.address
    credentials = {
        "nobody": "",
        "another password": signed_in([(host, USER)], "wrong"),
        "another host": signed_in([(registries.open.address, USER), (host.partition(":")[0], USER)]),
    }[who]

    failed = await fails(
        registries.builder, build_request(docker_config=credentials), f"FROM {registries.private_image}\n"
    )

    assert failed.failure.code is FailureCode.BUILD_FAILED
    assert failed.message == (
        f"The base image {registries.private_image} could not be fetched: its registry asks for other credentials."
    )
    told = f"{failed.failure}"
    assert "the realm of the registry" not in told and "UNAUTHORIZED" not in told, "the registry's own words"


async def test_an_image_that_a_registry_lacks_is_named(registries: Registries, build_request: Make) -> None:
    failed = await fails(
        registries.builder, build_request(), f"FROM {registries.open.address}/team/other:1\n"
    )

    assert failed.failure.code is FailureCode.BUILD_FAILED
    assert f"{registries.open.address}/team/other:1 doesn't exist, or is private" in failed.message
