"""What a container wrote to disk, wherever it wrote it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stackyn_server.engine import container_disk, containers
from stackyn_server.engine.client import Engine
from stackyn_server.engine.container_spec import ContainerSpec
from tests.engine.parts import run_inside

Spec = Callable[..., ContainerSpec]
MEBIBYTE = 1024 * 1024


async def test_the_writable_layer_counts(engine: Engine, spec: Spec) -> None:
    container = await containers.start(engine, spec())
    before = await container_disk.used_bytes(engine, container, enough=100 * MEBIBYTE)
    assert before is not None and before < MEBIBYTE
    await run_inside(engine, container, "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=5")
    after = await container_disk.used_bytes(engine, container, enough=100 * MEBIBYTE)
    assert after is not None and 5 * MEBIBYTE <= after < 6 * MEBIBYTE


@pytest.fixture
async def with_volume(engine: Engine, base_image: str) -> AsyncIterator[str]:
    """A running container whose /data is a volume."""
    labels = engine.labels.ingress_container("test")  # any label of ours, so that the clean-up finds it
    created = await engine.request(
        "POST",
        "containers/create",
        params={"name": f"{engine.labels.ingress_name}-volume"},
        body={
            "Image": base_image,
            "Cmd": ["sleep", "600"],
            "Volumes": {"/data": {}},
            "Labels": labels,
        },
    )
    container = created["Id"]
    await engine.request("POST", f"containers/{container}/start")
    yield container
    await containers.remove(engine, container)


async def test_volumes_that_an_image_declares_count_too(engine: Engine, with_volume: str) -> None:
    container = with_volume
    await run_inside(engine, container, "dd", "if=/dev/zero", "of=/data/big", "bs=1M", "count=3")
    used = await container_disk.used_bytes(engine, container, enough=100 * MEBIBYTE)
    assert used is not None and 3 * MEBIBYTE <= used < 4 * MEBIBYTE
    for number in range(40):
        await run_inside(engine, container, "touch", f"/data/empty{number}")
    more = await container_disk.used_bytes(engine, container, enough=100 * MEBIBYTE)
    assert more is not None and more >= used + 40 * container_disk.MIN_FILE_BYTES, (
        "empty files take room as well"
    )
    enough = await container_disk.used_bytes(engine, container, enough=MEBIBYTE)
    assert enough is not None and enough > MEBIBYTE


async def test_files_removed_during_a_count_change_nothing_else(
    engine: Engine, with_volume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run_inside(engine, with_volume, "dd", "if=/dev/zero", "of=/data/big", "bs=1M", "count=3")
    await run_inside(engine, with_volume, "touch", "/data/passing")
    scandir = os.scandir

    @contextmanager
    def goes(path: str) -> Iterator[list[os.DirEntry[str]]]:
        with scandir(path) as entries:
            listed = sorted(entries, key=lambda entry: entry.name != "passing")
        Path(path, "passing").unlink()
        yield listed

    monkeypatch.setattr(os, "scandir", goes)
    used = await container_disk.used_bytes(engine, with_volume, enough=100 * MEBIBYTE)

    assert used is not None and used >= 3 * MEBIBYTE


async def test_a_container_that_is_absent_uses_nothing(engine: Engine) -> None:
    assert await container_disk.used_bytes(engine, "no-such-container", enough=1) is None
