"""A pull that breaks off leaves nothing in the engine.

Only containerd's image store would keep something, for 8 hours, so it is the current engine where these tests can fail.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stackyn_server.engine.builder import image_transfer, loopback_registry
from stackyn_server.engine.builder.image_contents import Layer
from stackyn_server.engine.builder.pulls import Pulls
from stackyn_server.engine.client import Engine
from tests.engine.builder.layouts import digest_of, layer
from tests.engine.builder.test_image_transfer import Take, take
from tests.engine.parts import eventually, until

__all__ = ["take"]

LAYER_BYTES = 8_000_000
PIECE_SECONDS = 0.5  # for a mebibyte of the second layer


def kept(engine: Engine, digest: str) -> list[Path]:
    """Where containerd keeps something under a digest."""
    blobs = "containerd/daemon/io.containerd.content.v1.content/blobs/sha256"
    place = engine.facts.root / blobs / digest.removeprefix("sha256:")
    return [place] if place.exists() else []


@asynccontextmanager
async def breaking_off(take: Take, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Cancel a pull while its second layer is on its way; yields the digest of the first, which the engine has."""
    layers = [layer({name: os.urandom(LAYER_BYTES)}) for name in ("first", "second")]
    first, second = (digest_of(content) for content in layers)
    sent: Counter[str] = Counter()
    read = loopback_registry.read_piece

    def slow(image_layer: Layer, *given: object) -> bytes:
        if image_layer.digest == second:
            time.sleep(PIECE_SECONDS)
        piece = read(image_layer, *given)  # type: ignore[arg-type]
        sent[image_layer.digest] += len(piece)
        return piece

    monkeypatch.setattr(loopback_registry, "read_piece", slow)
    take.out.image(layers)
    taking = asyncio.create_task(take(), name="take")
    try:
        await until(lambda: sent[first] == len(layers[0]) and sent[second] > 0, 10)
        if take.engine.facts.has_containerd_store:
            await until(lambda: bool(kept(take.engine, first)), 10)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        assert sent[second] < len(layers[1])
        yield first
    finally:
        taking.cancel()


async def test_cancelled_pull_leaves_nothing(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    async with breaking_off(take, monkeypatch) as first:
        await eventually(lambda: asyncio.to_thread(kept, take.engine, first), [])


async def test_what_the_pull_of_a_killed_server_left_is_freed(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_transfer, "FAILING_SECONDS", 0.0)  # its connections end all at once
    async with breaking_off(take, monkeypatch) as first:
        is_kept = take.engine.facts.has_containerd_store
        assert bool(await asyncio.to_thread(kept, take.engine, first)) is is_kept

        assert await Pulls().free_leftovers(take.engine) is is_kept

        await eventually(lambda: asyncio.to_thread(kept, take.engine, first), [])


async def test_engine_frees_after_a_broken_pull_while_none_runs(
    engine: Engine,
) -> None:
    pulls, is_kept = Pulls(), engine.facts.has_containerd_store
    await pulls.free_leftovers(engine)  # what an earlier process left
    async with pulls.pulling():
        pass
    assert not await pulls.free_leftovers(engine)
    with pytest.raises(asyncio.CancelledError):
        async with pulls.pulling():
            raise asyncio.CancelledError
    async with pulls.pulling():
        assert not await pulls.free_leftovers(engine)
    assert await pulls.free_leftovers(engine) is is_kept
