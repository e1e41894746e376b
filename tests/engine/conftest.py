"""A real engine for each test, an installation of the tests' own, and a cleanup that touches nothing else.

`STACKYN_TEST_ENGINE_SOCKET` names the engine's socket (default: the host's). For an engine in a network namespace of
its own, run pytest inside that namespace: `nsenter --net=/proc/<pid of dockerd>/ns/net pytest tests/engine`.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from stackyn_server import config
from stackyn_server.domain.ids import AppId, DeploymentId, InstanceId, ReleaseId, UserId
from stackyn_server.domain.seats import address_of, bridge_of
from stackyn_server.engine import images, networks
from stackyn_server.engine.builder.builder import Builder
from stackyn_server.engine.builder.registry_availability import RegistryAvailability
from stackyn_server.engine.builder.request import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from tests.clean_up import clean_up, remove_containers, remove_firewall_rules
from tests.engine.builder.layouts import MadeLayout, named
from tests.engine.own_host import OwnHost, listening_port, own_host
from tests.engine.parts import RANDOM, busybox_files, imported, new_id, tar

SOCKET = Path(os.environ.get("STACKYN_TEST_ENGINE_SOCKET", "/var/run/docker.sock"))
BUILDER = os.environ.get("STACKYN_TEST_BUILDER_IMAGE", config.ImagesSettings().builder)
BASE_NAME = "stackyn-test/busybox"


def _own_networks() -> config.NetworkSettings:
    """Choose among 10.64.0.0/10: other test sessions run on the same engine."""
    second = RANDOM.randrange(64, 128)
    quarter = RANDOM.randrange(0, 3) * 64
    return config.NetworkSettings(
        subnet=IPv4Network(f"10.{second}.{quarter}.0/18"),
        build_subnet=IPv4Network(f"10.{second}.{RANDOM.randrange(192, 256)}.0/24"),
    )


@pytest.fixture(scope="session")
async def engine() -> AsyncIterator[Engine]:
    settings = config.EngineSettings(socket=SOCKET)
    async with Engine(settings, _own_networks(), str(uuid.uuid4())) as opened:
        try:
            yield opened
        finally:
            await clean_up(opened)


@pytest.fixture(scope="session")
async def base_image(engine: Engine) -> AsyncIterator[str]:
    """A shell and the usual small programs, 2 MB, imported from this machine's static busybox."""
    name = f"{BASE_NAME}:{uuid.uuid4().hex[:12]}"
    repository, _, version = name.rpartition(":")
    image = await imported(engine, await asyncio.to_thread(lambda: tar(busybox_files())), 'CMD ["/bin/sh"]')
    await engine.ask(engine.docker.images.tag(image, repository, tag=version))
    yield name
    await clean_up(engine)  # what stands on it; by force, an image in use would only lose its name
    await engine.request_or_none("DELETE", f"images/{name}")


@pytest.fixture(scope="session")
def new_spec(engine: Engine, base_image: str) -> Callable[..., ContainerSpec]:
    """Build the specification of a container that sleeps, in a seat of its own; members can be named."""

    def make(**changes: object) -> ContainerSpec:
        seat = int(str(changes.pop("seat", next(_seats))))
        slot = int(str(changes.pop("slot", 0)))
        values: dict[str, object] = {
            "instance": InstanceId(new_id()),
            "app": AppId(new_id()),
            "tenant": UserId(uuid.uuid4()),
            "deployment": DeploymentId(new_id()),
            "release": ReleaseId(new_id()),
            "image": base_image,
            "bridge": bridge_of(engine.network.subnet, seat),
            "address": address_of(engine.network.subnet, seat, slot),
            "environment": {"PORT": "8080"},
            "command": "sleep 600",
            "memory_mb": 32,
            "cpu": 0.5,
            "max_processes": 64,
            "capabilities": (),
            "port": 8080,
        }
        return ContainerSpec(**(values | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
async def spec(
    engine: Engine, new_spec: Callable[..., ContainerSpec]
) -> AsyncIterator[Callable[..., ContainerSpec]]:
    yield new_spec
    await remove_containers(engine)  # one that keeps a processor busy would slow down every test after it


_seats = iter(range(400))


@pytest.fixture(scope="session")
def base_images(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of base images that builds get, with one in it: `base_image`, whose name is no secret there."""
    layout = MadeLayout(tmp_path_factory.mktemp("base") / "images")
    settings = {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]}
    layout.index(named(layout.manifest([tar(busybox_files())], settings), base_image))
    for path in (layout.folder, *layout.folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)  # for the builder's user
    return layout.folder


@pytest.fixture
def build_settings(engine: Engine, base_images: Path) -> config.Settings:
    """No registry is asked, and one build may take little room."""
    return config.Settings(
        network=engine.network,
        images=config.ImagesSettings(
            builder=BUILDER,
            directory=base_images,
            source="local",
        ),
        builds=config.BuildsSettings(disk_mb=512, free_disk_mb=64),
    )


@pytest.fixture
def builder(engine: Engine, build_settings: config.Settings) -> Builder:
    return Builder(engine, build_settings, RegistryAvailability(build_settings))


@pytest.fixture
async def build_request(engine: Engine) -> Callable[..., BuildRequest]:
    network = await networks.ensure_build_network(engine, 0)

    def make(**changes: object) -> BuildRequest:
        app, deployment = AppId(new_id()), DeploymentId(new_id())
        values: dict[str, object] = {
            "app": app,
            "deployment": deployment,
            "tenant": UserId(uuid.uuid4()),
            "dockerfile": "Dockerfile",
            "network": network,
            "memory_mb": 512,
            "cpu": 1.0,
            "max_processes": 256,
            "tag": images.tag_of(engine, app, deployment),
        }
        return BuildRequest(**(values | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
async def host() -> AsyncIterator[OwnHost]:
    async with own_host() as host:
        yield host


@pytest.fixture
async def no_rules(engine: Engine) -> AsyncIterator[None]:
    """No rules before the test, whatever built on this engine earlier, and none after it."""
    await remove_firewall_rules(engine)
    yield
    await remove_firewall_rules(engine)


@pytest.fixture
async def listener(host: OwnHost) -> AsyncIterator[int]:
    async with listening_port(host.word) as port:
        yield port


@pytest.fixture
def address_of_host(engine: Engine) -> IPv4Address:
    """How containers of the first bridge reach this host."""
    return bridge_of(engine.network.subnet, 0).gateway
