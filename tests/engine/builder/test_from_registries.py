"""Base images come from a real registry: through a mirror, without TLS, and with a password."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from stackyn_server import config
from stackyn_server.domain.failures import FailureCode
from stackyn_server.domain.registries import RegistryCredential
from stackyn_server.engine import images
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.builder.registry_config import docker_config
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from tests.clean_up import remove_firewall_rules
from tests.engine.builder.layouts import layer
from tests.engine.builder.own_registry import PASSWORD, USER, OwnRegistry, own_registry
from tests.engine.building import fails, succeeds
from tests.engine.conftest import BUILDER
from tests.engine.own_host import OwnHost, own_host
from tests.patience import within

Make = Callable[..., BuildRequest]
NAME = "team/tool"


@dataclass(frozen=True, slots=True)
class Registries:
    """An open registry, which is also Docker Hub's mirror, and a private one; both have `NAME`."""

    host: OwnHost
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
            images=config.ImagesSettings(
                builder=BUILDER,
                directory=base_images,
                source="registry",
            ),
            builds=config.BuildsSettings(
                plain_http_registries=(plain.address, private.address, f"{host.public}:5002"),
                allowed_private=(IPv4Network(f"{host.private}/32"),),
                mirrors={"docker.io": (plain.address,)},
            ),
        )
        yield Registries(host, plain, private, Builder(engine, settings, RegistryAvailability(settings)))
        await remove_firewall_rules(engine)


def signed_in(credentials: Iterable[tuple[str, str]], password: str = PASSWORD) -> str:
    return docker_config(RegistryCredential(host, user, password) for host, user in credentials)


async def test_an_image_without_a_host_comes_from_the_mirror(
    engine: Engine, registries: Registries, build_request: Make
) -> None:
    image, _ = await succeeds(registries.builder, build_request(), f"FROM {NAME}:1\n")

    info = await images.inspect(engine, image)
    assert info is not None and info.exposed_ports == (4711,), "inherited"


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
    failure_text = f"{failed.failure}"
    assert "the realm of the registry" not in failure_text and "UNAUTHORIZED" not in failure_text, (
        "the registry's own words"
    )


REDIRECTING = """
import sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
elsewhere = sys.argv[1]
class Asked(BaseHTTPRequestHandler):
    def do_GET(self):
        is_signed_in = "Authorization" in self.headers
        is_first = self.server.server_port == 5002
        print("first" if is_first else "second", is_signed_in, flush=True)
        self.send_response(404 if not is_first else 307 if is_signed_in else 401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Location", f"http://{elsewhere}:5003{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_HEAD = do_GET
    def log_message(self, *args):
        pass
servers = [ThreadingHTTPServer(("0.0.0.0", port), Asked) for port in (5002, 5003)]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
print("ready", flush=True)
"""


async def test_a_redirect_to_another_host_does_not_carry_the_password(
    registries: Registries, build_request: Make
) -> None:
    """The other host is in a private network that the operator has opened for this."""
    host = registries.host
    process = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", host.space, sys.executable, "-c", REDIRECTING, str(host.private)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with within(20):
            assert await process.stdout.readline() == b"ready\n"
        address = f"{host.public}:5002"
        request = build_request(docker_config=signed_in([(address, USER)]))
        await fails(registries.builder, request, f"FROM {address}/{NAME}:1\n")
    finally:
        process.kill()
        seen = set((await process.stdout.read()).decode().splitlines())
        await process.wait()
    assert {"first False", "first True"} <= seen, "its own host gets the password"
    assert "second False" in seen and "second True" not in seen


async def test_an_image_that_a_registry_lacks_is_named(registries: Registries, build_request: Make) -> None:
    failed = await fails(
        registries.builder, build_request(), f"FROM {registries.open.address}/team/other:1\n"
    )

    assert failed.failure.code is FailureCode.BUILD_FAILED
    assert f"{registries.open.address}/team/other:1 doesn't exist, or is private" in failed.message
