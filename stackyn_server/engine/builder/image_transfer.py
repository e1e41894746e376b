"""Transfer a built image into the engine.

The build's layout is untrusted: its names are ignored, and the engine never reads it. This module reads it, rewrites
manifest and configuration, lets the engine pull the result by its digest from our loopback registry, and tags it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from stackyn_server.domain.failures import DeploymentFailed, FailureCode
from stackyn_server.engine import images
from stackyn_server.engine.builder.base_image_index import BaseImages
from stackyn_server.engine.builder.built_layout import BuiltLayout
from stackyn_server.engine.builder.image_config import machine_architecture
from stackyn_server.engine.builder.image_contents import ImageContents, ImageLimits, read_contents
from stackyn_server.engine.builder.image_refused import malformed
from stackyn_server.engine.builder.loopback_registry import LoopbackRegistry, serve
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable

log = structlog.get_logger()

FAILING_SECONDS = 10.0  # until a pull notices that its source is gone; it may be unpacking
_DISK = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
# Errors of the classic store and of containerd's about a layer that can't be unpacked.
_UNPACKING = re.compile(r"failed to register layer|failed to extract layer|archive/tar", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TransferredImage:
    """`id` is the engine's. `own_bytes` is the size of the layers that are no base image's, `moved_bytes` of those that
    the engine fetched; it had the others."""

    id: str
    size_bytes: int
    own_bytes: int
    moved_bytes: int


async def transfer_image(
    engine: Engine,
    out: Path,
    base_images: BaseImages,
    *,
    labels: Mapping[str, str],
    tag: str,
    limits: ImageLimits,
) -> TransferredImage:
    """Transfer the image in the OCI layout `out` into the engine under the name `tag`, with our `labels`.

    The builder must have ended; the parent folder of `out` is trusted. Raises `ImageRefused` or BUILD_DISK with a
    sentence for the tenant, `EngineUnavailable`.
    """
    with ExitStack() as files:
        contents = await asyncio.to_thread(_open, files, out, base_images, labels, limits)
        async with serve(contents) as registry:
            await _pull(engine, registry, contents)
        image = await _name(engine, registry, contents, labels, tag)
    transferred = TransferredImage(
        image,
        size_bytes=sum(layer.size for layer in contents.layers),
        own_bytes=sum(layer.size for layer in contents.layers if not layer.is_from_base),
        moved_bytes=sum(registry.sent.values()),
    )
    log.info(
        "image.taken",
        image=image,
        size_bytes=transferred.size_bytes,
        own_bytes=transferred.own_bytes,
        moved_bytes=transferred.moved_bytes,
    )
    return transferred


def _open(
    files: ExitStack, out: Path, base_images: BaseImages, labels: Mapping[str, str], limits: ImageLimits
) -> ImageContents:
    built = files.enter_context(BuiltLayout.open(out))
    base = files.enter_context(BuiltLayout.open(base_images.directory.resolve()))
    return read_contents(built, base, labels, machine_architecture(), limits)


async def _pull(engine: Engine, registry: LoopbackRegistry, contents: ImageContents) -> None:
    """Let the engine pull the image.

    With containerd's store, a cancellation makes the pull fail before the connection is closed: when the client of a
    pull goes away, that store keeps the fetched layers for 8 hours (28.5).
    """
    pulling = asyncio.create_task(_fetch(engine, registry, contents), name="image.pull")
    try:
        await asyncio.shield(pulling)
    except asyncio.CancelledError:
        if engine.facts.has_containerd_store:
            registry.is_over = True
            await asyncio.wait([pulling], timeout=FAILING_SECONDS)
        raise
    finally:
        pulling.cancel()
        await asyncio.gather(pulling, return_exceptions=True)


async def _fetch(engine: Engine, registry: LoopbackRegistry, contents: ImageContents) -> None:
    parameters = {"fromImage": registry.repository, "tag": contents.manifest_digest}
    try:
        silence_seconds = engine.settings.transfer_silence_seconds
        async with engine.stream(
            "POST", "images/create", params=parameters, silence_seconds=silence_seconds
        ) as stream:
            async for record in stream.json_lines():
                if (error := record.get("error")) is not None:
                    raise _failure(str(error), registry)
    except EngineRefused as refused:
        raise _failure(refused.reason, registry) from refused


def _failure(text: str, registry: LoopbackRegistry) -> DeploymentFailed:
    if _DISK.search(text):
        return DeploymentFailed.of(
            FailureCode.BUILD_DISK,
            "The image did not fit on the server's disk.",
            "Make the image smaller, or tell the operator that the disk is full.",
        )
    if registry.broken or _UNPACKING.search(text):
        return malformed(f"the engine: {text}")
    return EngineUnavailable(text)


async def _name(
    engine: Engine, registry: LoopbackRegistry, contents: ImageContents, labels: Mapping[str, str], tag: str
) -> str:
    """Verify that the engine has the image that was served, tag it, and remove the name of the pull."""
    pulled = f"{registry.repository}@{contents.manifest_digest}"
    image: dict[str, Any] | None = await engine.ask_or_none(engine.docker.images.inspect(pulled))
    if image is None or not _is_ours(image, contents, labels):
        raise EngineUnavailable("the engine has another image than the one that was served")
    await images.tag(engine, image["Id"], tag)
    await engine.request_or_none("DELETE", f"images/{pulled}", params={"noprune": "true"})
    return str(image["Id"])


def _is_ours(image: Mapping[str, Any], contents: ImageContents, labels: Mapping[str, str]) -> bool:
    """Compare id, labels and layers. The id is the configuration's digest in the classic store, the manifest's in
    containerd's."""
    image_labels = (image.get("Config") or {}).get("Labels") or {}
    return (
        image["Id"] in (contents.config_digest, contents.manifest_digest)
        and labels.items() <= image_labels.items()
        and image["RootFS"].get("Layers") == [layer.digest for layer in contents.layers]
    )
