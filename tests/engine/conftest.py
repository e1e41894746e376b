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
from stackyn_server.engine.builds import BuildRequest
from stackyn_server.engine.client import Engine
from stackyn_server.engine.containers import ContainerSpec
from tests.clean_up import clean_up, remove_containers
from tests.engine.parts import RANDOM, busybox_files, new_id, tar
from tests.patience import patient

SOCKET = Path(os.environ.get("STACKYN_TEST_ENGINE_SOCKET", "/var/run/docker.sock"))
BASE_NAME = "stackyn-test/busybox"


def _own_networks() -> config.Network:
    """Choose among 10.64.0.0/10: other test sessions run on the same engine."""
    second = RANDOM.randrange(64, 128)
    quarter = RANDOM.randrange(0, 3) * 64
    return config.Network(
        subnet=IPv4Network(f"10.{second}.{quarter}.0/18"),
        build_subnet=IPv4Network(f"10.{second}.{RANDOM.randrange(192, 256)}.0/24"),
    )


@pytest.fixture(scope="session")
async def engine() -> AsyncIterator[Engine]:
    settings = config.Engine(socket=SOCKET, request_seconds=round(patient(30)))
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

    async def content() -> AsyncIterator[bytes]:
        yield await asyncio.to_thread(lambda: tar(busybox_files()))

    parameters = {"fromSrc": "-", "repo": repository, "tag": version, "changes": 'CMD ["/bin/sh"]'}
    async with engine.stream("POST", "images/create", params=parameters, upload=content()) as stream:
        answers = [record async for record in stream.json_lines()]
    assert not any("error" in answer for answer in answers), answers
    yield name
    await clean_up(engine)  # what stands on it; by force, an image in use would only lose its name
    await engine.request_or_none("DELETE", f"images/{name}")


@pytest.fixture
async def spec(engine: Engine, base_image: str) -> AsyncIterator[Callable[..., ContainerSpec]]:
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

    yield make
    await remove_containers(engine)  # one that keeps a processor busy would slow down every test after it


_seats = iter(range(400))


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
            "memory_mb": 64,
            "cpu": 1.0,
            "max_processes": 64,
            "tag": images.tag_of(engine, app, deployment),
            "build_arguments": {},
            "needs_buildkit": False,
        }
        return BuildRequest(**(values | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def address_of_host(engine: Engine) -> IPv4Address:
    """How containers of the first bridge reach this host."""
    return bridge_of(engine.network.subnet, 0).gateway
