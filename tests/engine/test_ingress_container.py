"""The proxy's container, with busybox instead of the proxy."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackyn_server.domain.ingress import IngressSpec
from stackyn_server.engine import containers, images
from stackyn_server.engine.client import Engine
from stackyn_server.engine.ingress_container import IngressContainer, IngressUnusable
from stackyn_server.engine.labels import IMAGE_ROLE, ROLE, Role
from tests.engine.parts import BUSYBOX, eventually, new_id

ARGUMENTS = ("sleep", "600")  # the image's entry point is busybox


@pytest.fixture
async def ingress(engine: Engine) -> AsyncIterator[IngressContainer]:
    yield IngressContainer(engine)
    for container in await containers.list_of_role(engine, Role.INGRESS):
        await containers.remove(engine, container.id)


@pytest.fixture(scope="module")
async def image(engine: Engine) -> str:
    binary = Path(BUSYBOX)
    return await IngressContainer(engine).ensure_ingress_image(binary, _digest(binary))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "acme").mkdir()
    (tmp_path / "routes.yml").write_text("{}")
    return tmp_path


def _digest(binary: Path) -> str:
    return hashlib.sha256(binary.read_bytes()).hexdigest()


async def ready() -> None:
    """The `ready` of a proxy that serves."""


def a_spec(image: str, directory: Path, *arguments: str, memory_mb: int = 32) -> IngressSpec:
    return IngressSpec(image, directory, arguments or ARGUMENTS, memory_mb)


async def ensured(
    ingress: IngressContainer, image: str, directory: Path, *arguments: str, **more: int
) -> str:
    return await ingress.ensure_ingress(a_spec(image, directory, *arguments, **more), ready)


async def test_the_image_holds_the_binary_and_is_made_once(engine: Engine, image: str) -> None:
    before = await images.inspect(engine, image)

    again = await IngressContainer(engine).ensure_ingress_image(Path(BUSYBOX), _digest(Path(BUSYBOX)))
    after = await images.inspect(engine, again)

    assert again == image
    assert before is not None and after is not None
    assert after.id == before.id
    assert after.labels[IMAGE_ROLE] == "ingress"
    assert after.id in {image.id for image in await images.present(engine)}


async def test_a_binary_with_another_digest_makes_no_image(engine: Engine) -> None:
    wrong = hashlib.sha256(str(new_id()).encode()).hexdigest()

    with pytest.raises(IngressUnusable):
        await IngressContainer(engine).ensure_ingress_image(Path(BUSYBOX), wrong)

    infos = [await images.inspect(engine, image.id) for image in await images.present(engine)]
    assert not [info for info in infos if info and any(wrong[:12] in tag for tag in info.tags)]


async def test_proxy_has_host_network_one_capability_read_only_root(
    engine: Engine, ingress: IngressContainer, image: str, directory: Path
) -> None:
    container = await ensured(ingress, image, directory, "sh", "-c", "cat /proc/self/status; sleep 600")

    inspected: dict[str, Any] = await engine.request("GET", f"containers/{container}/json")
    host = inspected["HostConfig"]
    assert host["NetworkMode"] == "host"
    assert host["ReadonlyRootfs"] is True
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["Memory"] == 32 * 1024 * 1024
    assert inspected["Config"]["Labels"][ROLE] == "ingress"
    assert {(mount["Destination"], mount["RW"]) for mount in inspected["Mounts"]} == {
        ("/etc/stackyn", False),
        ("/etc/stackyn/acme", True),
    }
    async with _last_lines_with(ingress, "CapBnd") as lines:
        bounding = lines.partition("CapBnd:")[2].split()[0]
    assert int(bounding, 16) == 1 << 10, "CAP_NET_BIND_SERVICE alone"


async def test_proxy_of_another_user_may_listen_on_port_80_and_no_more(
    engine: Engine, ingress: IngressContainer, image: str, directory: Path
) -> None:
    uid = 1_900_000_007
    spec = replace(
        a_spec(image, directory, "sh", "-c", "grep -E '^(Uid|Gid|Cap)' /proc/self/status; sleep 600"), uid=uid
    )
    await ingress.ensure_ingress(spec, ready)

    async with _last_lines_with(ingress, "CapBnd") as lines:
        status = dict(line.split(":", 1) for line in lines.splitlines() if ":" in line)
    assert status["Uid"].split() == [str(uid)] * 4
    assert status["Gid"].split() == [str(uid)] * 4
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 1 << 10, "CAP_NET_BIND_SERVICE alone"


async def test_proxy_sees_file_changes_and_writes_only_certificates(
    ingress: IngressContainer, image: str, directory: Path
) -> None:
    script = (
        "cat /etc/stackyn/routes.yml; echo no > /etc/stackyn/routes.yml && echo written; "
        "echo yes > /etc/stackyn/acme/acme.json && echo kept; sleep 600"
    )
    await ensured(ingress, image, directory, "sh", "-c", script)

    async with _last_lines_with(ingress, "kept") as lines:
        assert "{}" in lines
        assert "written" not in lines
    assert (directory / "acme" / "acme.json").read_text() == "yes\n"


@asynccontextmanager
async def _last_lines_with(ingress: IngressContainer, word: str) -> AsyncIterator[str]:
    async def lines() -> str:
        state = await ingress.ingress_state()
        return state.last_lines if state else ""

    await eventually(lines, word)
    yield await lines()


async def test_equal_container_is_kept_and_started_when_stopped(
    engine: Engine, ingress: IngressContainer, image: str, directory: Path
) -> None:
    first = await ensured(ingress, image, directory)
    assert await ensured(ingress, image, directory) == first

    await containers.stop(engine, first, 0)
    state = await ingress.ingress_state()
    assert state is not None and not state.running
    assert await ensured(ingress, image, directory) == first
    state = await ingress.ingress_state()
    assert state is not None and state.running


@pytest.mark.parametrize("change", ["arguments", "memory", "image"])
async def test_a_container_that_is_wanted_differently_is_replaced(
    engine: Engine, ingress: IngressContainer, image: str, directory: Path, base_image: str, change: str
) -> None:
    first = await ensured(ingress, image, directory)

    if change == "arguments":
        second = await ensured(ingress, image, directory, "sleep", "601")
    elif change == "memory":
        second = await ensured(ingress, image, directory, memory_mb=48)
    else:
        second = await ensured(ingress, base_image, directory)

    assert second != first
    assert await containers.inspect(engine, first) is None
    state = await ingress.ingress_state()
    assert state is not None and state.container == second and state.running


async def test_a_replacement_is_another_container_of_the_same_kind(
    engine: Engine, ingress: IngressContainer, image: str, directory: Path
) -> None:
    first = await ensured(ingress, image, directory)

    seen = []
    for _ in range(2):
        seen.append(await ingress.replace_ingress(a_spec(image, directory), ready))

    assert len({first, *seen}) == 3
    listed = [state for state in await containers.list_ours(engine, {ROLE: "ingress"})]
    assert [state.id for state in listed] == [seen[-1]]


@pytest.mark.parametrize("how", ["program", "readiness"])
async def test_when_the_new_proxy_does_not_serve_the_old_one_goes_on(
    engine: Engine, ingress: IngressContainer, image: str, directory: Path, build_odd: str, how: str
) -> None:
    class NeverReady(Exception):
        pass

    async def never() -> None:
        raise NeverReady

    old = await ensured(ingress, image, directory)

    with pytest.raises(IngressUnusable if how == "program" else NeverReady):
        await ingress.replace_ingress(
            a_spec(build_odd if how == "program" else image, directory),
            never if how == "readiness" else ready,
        )

    state = await ingress.ingress_state()
    assert state is not None and state.container == old and state.running
    assert len(await containers.list_ours(engine, {ROLE: "ingress"})) == 1


@pytest.fixture
async def build_odd(engine: Engine, base_image: str) -> AsyncIterator[str]:
    """An image whose user doesn't exist: it can be made and can't be started."""
    created = await engine.request("POST", "containers/create", body={"Image": base_image, "Cmd": ["true"]})
    name = f"stackyn-test/odd:{new_id()}"
    repository, _, version = name.rpartition(":")
    await engine.request(
        "POST",
        "commit",
        params={
            "container": created["Id"],
            "repo": repository,
            "tag": version,
            "changes": "USER nobody-knows-me",
        },
        body={},
    )
    await engine.request("DELETE", f"containers/{created['Id']}")
    yield name
    await engine.request_or_none("DELETE", f"images/{name}", params={"force": "true"})


async def test_a_missing_directory_is_said_and_not_made(
    ingress: IngressContainer, image: str, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"

    with pytest.raises(IngressUnusable, match="missing"):
        await ensured(ingress, image, missing)

    assert not missing.exists()


async def test_an_image_of_the_operator_that_is_not_here_is_said(
    ingress: IngressContainer, directory: Path
) -> None:
    with pytest.raises(IngressUnusable, match="isn't on this server"):
        await ensured(ingress, "stackyn-test/no-such-image:1", directory)


async def test_without_a_container_there_is_no_state(ingress: IngressContainer) -> None:
    assert await ingress.ingress_state() is None
