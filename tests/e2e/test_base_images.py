"""Base images that the first deployment of their kind has made: once for all who wait, and gone when unused."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from stackyn_server.config import ImagesSettings
from stackyn_server.images.base_image_store import BaseImageStore
from stackyn_server.images.recipes import INITIAL_IMAGES
from tests.git_server import GitServer
from tests.server_process import ServerProcess, docker, running
from tests.tiny import Tree

IMAGE = "stackyn/deno:2"
MAIN = "Deno.serve(() => new Response('Hello from ' + Deno.version.deno.split('.')[0]));\n"
APP: Tree = {"deno.json": "{}", "main.ts": MAIN}


@pytest.fixture
def images() -> Iterator[Path]:
    """A folder with the images that a server begins with, and nothing else that this machine has."""
    there = BaseImageStore(ImagesSettings().directory)
    # On the same file system: links of the blobs take no room.
    with tempfile.TemporaryDirectory(dir=there.folder.parent, prefix="stackyn-test-images-") as folder:
        layout = BaseImageStore(Path(folder) / "images")
        shutil.copytree(there.folder, layout.folder, copy_function=os.link)
        for name in ("index.json", "oci-layout", "lock", "making"):  # what is written; a blob never is
            (layout.folder / name).unlink()
            shutil.copy2(there.folder / name, layout.folder)
        layout.remove(name for name in there.entries() if name not in (*INITIAL_IMAGES, "stackyn/debian:12"))
        yield layout.folder


@pytest.fixture
async def server(images: Path) -> AsyncIterator[ServerProcess]:
    async with running(images={"directory": str(images), "source": "local"}) as server:
        yield server


async def deploy(server: ServerProcess, git: GitServer, name: str) -> int:
    url, _ = await git.publish(name, APP)
    _, deployment = await server.create(url, name, memory_mb=128)
    return deployment


def last_used_long_ago(layout: BaseImageStore, name: str) -> None:
    blob = layout.blob(layout.entries()[name].digest)
    aged = blob.with_name("aged")
    shutil.copyfile(blob, aged)  # another image folder may have the same file
    long_ago = time.time() - (ImagesSettings().keep_days + 1) * 86_400
    os.utime(aged, (long_ago, long_ago))
    aged.replace(blob)


@pytest.mark.timeout(300)
async def test_a_base_image_is_made_once_in_spite_of_a_kill(
    server: ServerProcess, git: GitServer, images: Path
) -> None:
    names = ("one-deno", "two-deno")
    deployments = [await deploy(server, git, name) for name in names]

    async def is_being_made() -> bool:
        mine = ("--filter", f"label=io.stackyn.installation={server.installation}")
        return "stackyn-build-d0" in await docker("ps", "--format", "{{.Names}}", *mine)

    await server.until(is_being_made, 60, "the image is being made")
    await server.kill()
    await server.start()

    for name, deployment in zip(names, deployments, strict=True):
        await server.deployed(deployment, seconds=200)
        assert await server.visit(name) == (200, "Hello from 2")
        log = await server.build_log(deployment)
        assert f"Making the base image {IMAGE}; this happens once on this server." in log
        assert f"The base image {IMAGE} is made, after " in log
    assert server.log_file.read_text().count(f'"title": "{IMAGE}"') == 1

    await asyncio.to_thread(last_used_long_ago, BaseImageStore(images), IMAGE)

    async def is_forgotten() -> bool:
        return IMAGE not in await asyncio.to_thread(BaseImageStore(images).entries)

    await server.until(is_forgotten, 60, "an image that no build has used for days is collected")
    assert set(INITIAL_IMAGES) <= set(await asyncio.to_thread(BaseImageStore(images).entries))
