"""The image of a build comes into the engine under the one name that we give it."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from stackyn_server.domain.failures import FailureCode
from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.engine import images
from stackyn_server.engine.builder import loopback_registry
from stackyn_server.engine.builder.base_image_index import BaseImages
from stackyn_server.engine.builder.built_layout import BuiltLayout
from stackyn_server.engine.builder.image_contents import ImageContents, ImageLimits, read_contents
from stackyn_server.engine.builder.image_refused import ImageRefused
from stackyn_server.engine.builder.image_transfer import TransferredImage, transfer_image
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineUnavailable
from tests.engine.builder.layouts import ARCHITECTURE, LAYER, MadeLayout, digest_of, layer, named
from tests.engine.parts import busybox_files, new_id, tar

LIMITS = ImageLimits(image_bytes=100_000_000, layer_members=1000)
FILES = layer({"app": b"print()"})


@dataclass
class Take:
    """Takes the image in `out` as a new deployment's, or as that of `deployment`."""

    engine: Engine
    out: MadeLayout
    base: MadeLayout
    tag: str = ""

    async def __call__(self) -> TransferredImage:
        app, deployment = AppId(new_id()), DeploymentId(new_id())
        self.tag = images.tag_of(self.engine, app, deployment)
        base_images = await asyncio.to_thread(BaseImages.read, self.base.folder)
        return await transfer_image(
            self.engine,
            self.out.folder,
            base_images,
            labels=self.engine.labels.app_image(app, deployment),
            tag=self.tag,
            limits=LIMITS,
        )


@pytest.fixture
async def take(engine: Engine, tmp_path: Path) -> AsyncIterator[Take]:
    base = MadeLayout(tmp_path / "images")
    base.index()
    yield Take(engine, MadeLayout(tmp_path / "out"), base)
    for image in await images.present(engine):
        await images.remove(engine, image.id)


def unique(name: str) -> bytes:
    """A layer that no engine has."""
    return layer({name: os.urandom(10_000)})


async def named_images(engine: Engine, names: list[str]) -> dict[str, str | None]:
    """Name → image that it stands for; other tests' images come and go meanwhile."""
    infos = {name: await images.inspect(engine, name) for name in names}
    return {name: info.id if info else None for name, info in infos.items()}


async def present_ids(engine: Engine) -> set[str]:
    """Return the ids of this engine's own images; other files of this session have left some."""
    return {image.id for image in await images.present(engine)}


async def test_an_image_is_taken_with_our_name_and_labels(take: Take) -> None:
    take.out.image([FILES], {"Cmd": ["serve"], "ExposedPorts": {"3000/tcp": {}}, "Labels": {"a": "b"}})

    taken = await take()

    info = await images.inspect(take.engine, taken.id)
    assert info is not None
    assert info.tags == (take.tag,)
    assert take.engine.labels.owns_image(info.labels) and info.labels["a"] == "b"
    assert (info.exposed_ports, info.has_command) == ((3000,), True)
    names = (await take.engine.ask(take.engine.docker.images.inspect(taken.id)))["RepoDigests"] or []
    assert not [name for name in names if "127.0.0.1" in name], "what it was pulled by"


async def test_a_taken_image_runs(take: Take) -> None:
    files = await asyncio.to_thread(lambda: tar(busybox_files()))
    take.out.image([files, FILES], {"Cmd": ["cat", "/app"], "Env": ["PATH=/bin"]})

    taken = await take()

    container = await take.engine.request("POST", "containers/create", body={"Image": taken.id})
    try:
        await take.engine.request("POST", f"containers/{container['Id']}/start")
        ended = await take.engine.request("POST", f"containers/{container['Id']}/wait")
        assert ended["StatusCode"] == 0
    finally:
        await take.engine.request("DELETE", f"containers/{container['Id']}", params={"force": "1"})


async def test_only_changed_layers_move(take: Take, capsys: pytest.CaptureFixture[str]) -> None:
    shared, below = unique("shared"), unique("below")
    take.base.blob(below, LAYER)
    take.out.image([below, shared, unique("first")])
    first = await take()
    changed = unique("second")
    take.out.image([below, shared, changed])

    second = await take()

    with capsys.disabled():
        print(
            f"\nthe first image of {first.size_bytes} bytes moved {first.moved_bytes}, "
            f"the second with one changed layer {second.moved_bytes}"
        )
    assert first.moved_bytes == first.size_bytes
    assert second.moved_bytes == len(changed)


async def test_nothing_that_a_build_writes_names_another_image(take: Take) -> None:
    neighbours = images.tag_of(take.engine, AppId(new_id()), DeploymentId(new_id()))
    victims = [
        neighbours,
        f"stackyn-test/ingress:{uuid.uuid4().hex}",
        f"stackyn-test/base:{uuid.uuid4().hex}",
    ]
    take.out.image([unique("victim")])
    victim = await take()
    for name in victims:
        await images.tag(take.engine, victim.id, name)
    named_before = await named_images(take.engine, victims)
    manifest = take.out.manifest([unique("attacker")], {"Labels": {"io.stackyn.image.role": "ingress"}})
    for name in victims:
        forged = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
        take.out.index({**named(manifest, name), "annotations": forged}, annotations=forged)

        taken = await take()

        assert taken.id != victim.id
        assert await named_images(take.engine, victims) == named_before
        taken_image = await images.inspect(take.engine, taken.id)
        assert taken_image is not None and taken_image.tags == (take.tag,)
        await images.remove(take.engine, taken.id)
    await loaded(take.engine, victims)
    for name in victims:
        info = await images.inspect(take.engine, name)
        assert info is not None and info.id != victim.id, "open: the engine believes an archive that it loads"
    for name in victims:
        await take.engine.request("DELETE", f"images/{name}")


async def loaded(engine: Engine, names: list[str]) -> None:
    """Have the engine load an image from an archive that says what it is called."""
    content = unique("attacker")
    configuration = {
        "os": "linux",
        "architecture": ARCHITECTURE,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(content)]},
    }
    manifest = [{"Config": "config.json", "RepoTags": names, "Layers": ["layer.tar"]}]
    files: dict[str, bytes | str] = {
        "config.json": json.dumps(configuration).encode(),
        "layer.tar": content,
        "manifest.json": json.dumps(manifest).encode(),
    }

    async def archive() -> AsyncIterator[bytes]:
        yield tar(files)

    async with engine.stream("POST", "images/load", upload=archive()) as stream:
        answers = [record async for record in stream.json_lines()]
    assert not any("error" in answer for answer in answers), answers


async def test_a_layer_with_other_content_is_the_builds_fault(take: Take) -> None:
    take.out.image([FILES, unique("a")])
    lie = digest_of(os.urandom(10))
    await asyncio.to_thread(_rename_layer, take.out, lie)
    present_before = await present_ids(take.engine)

    with pytest.raises(ImageRefused, match="did not leave an image"):
        await take()

    assert not await present_ids(take.engine) - present_before


def _rename_layer(out: MadeLayout, digest: str) -> None:
    config = out.document(
        {"os": "linux", "architecture": ARCHITECTURE}, "application/vnd.oci.image.config.v1+json"
    )
    out.path(digest).write_bytes(FILES)
    layers = [{"mediaType": LAYER, "digest": digest, "size": len(FILES)}]
    out.index(
        out.document({"config": config, "layers": layers}, "application/vnd.oci.image.manifest.v1+json")
    )


async def test_a_layer_that_can_not_be_unpacked_is_the_builds_fault(take: Take) -> None:
    broken = bytearray(FILES)
    broken[148:156] = b"0000000\0"  # the checksum of its first header
    take.out.image([bytes(broken)])

    with pytest.raises(ImageRefused, match="did not leave an image") as caught:
        await take()

    assert caught.value.failure.code is FailureCode.BUILD_FAILED


async def test_an_image_taken_twice_is_one(take: Take) -> None:
    take.out.image([unique("a")])
    app, deployment = AppId(new_id()), DeploymentId(new_id())
    base_images = await asyncio.to_thread(BaseImages.read, take.base.folder)
    ids = set()
    for _ in range(2):
        taken = await transfer_image(
            take.engine,
            take.out.folder,
            base_images,
            labels=take.engine.labels.app_image(app, deployment),
            tag=images.tag_of(take.engine, app, deployment),
            limits=LIMITS,
        )
        ids.add(taken.id)

    assert len(ids) == 1


async def test_what_a_crash_left_before_the_name_is_removed(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: object) -> None:
        raise EngineUnavailable("killed")

    present_before = await present_ids(take.engine)
    take.out.image([unique("a")])
    with monkeypatch.context() as patch:
        patch.setattr(images, "tag", crash)
        with pytest.raises(EngineUnavailable):
            await take()
    (left,) = await present_ids(take.engine) - present_before

    await images.remove(take.engine, left)

    assert left not in await present_ids(take.engine)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[loopback_registry.LoopbackRegistry, ImageContents]]:
    out, base = MadeLayout(tmp_path / "out"), MadeLayout(tmp_path / "images")
    out.image([FILES])
    with BuiltLayout.open(out.folder) as built, BuiltLayout.open(base.folder) as below:
        contents = await asyncio.to_thread(read_contents, built, below, {}, ARCHITECTURE, LIMITS)
        async with loopback_registry.serve(contents) as serving:
            yield serving, contents


async def test_the_endpoint_knows_one_image_and_one_token(
    served: tuple[loopback_registry.LoopbackRegistry, ImageContents],
) -> None:
    serving, contents = served
    host, token, repository = serving.repository.split("/")
    digest = contents.layers[0].digest

    async def ask(method: str, path: str) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"http://{host}/v2/{path}") as answer,
        ):
            return answer.status, await answer.read()

    right = f"{token}/{repository}"
    assert host.startswith("127.0.0.1:") and len(token) == 32
    assert await ask("GET", f"{right}/blobs/{digest}") == (200, FILES)
    assert await ask("HEAD", f"{right}/blobs/{digest}") == (200, b"")
    assert await ask("GET", f"{right}/manifests/{contents.manifest_digest}") == (200, contents.manifest)
    for method, path in (
        ("GET", f"{'0' * 32}/{repository}/blobs/{digest}"),
        ("GET", f"{right}/blobs/sha256:{'0' * 64}"),
        ("GET", f"{right}/manifests/latest"),
        ("GET", f"{right}/tags/list"),
        ("GET", f"{right}/blobs/../../../../etc/passwd"),
        ("GET", "_catalog"),
    ):
        assert (await ask(method, path))[0] == 404, path
    assert (await ask("PUT", f"{right}/manifests/{contents.manifest_digest}"))[0] == 405
