"""Read the blobs of a built image: one manifest, one configuration, and checked layers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stackyn_server.engine.builder.base_image_index import MANIFEST_TYPES
from stackyn_server.engine.builder.built_layout import BuiltLayout
from stackyn_server.engine.builder.image_config import rewrite_config
from stackyn_server.engine.builder.image_refused import ImageRefused, malformed
from stackyn_server.engine.builder.layer_scan import count_members

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"

# Uncompressed only, as our builds write them: the size of a compressed layer is known only when it fills the disk.
_LAYER_TYPES = frozenset({LAYER_TYPE, "application/vnd.docker.image.rootfs.diff.tar"})
_CONFIG_TYPES = frozenset({CONFIG_TYPE, "application/vnd.docker.container.image.v1+json"})
_MOST_LAYERS = 127  # of the engine's overlay
_INDEX_BYTES = 64 * 1024
_MANIFEST_BYTES = 256 * 1024
# Labels, environment and ports, and the history of the commands that set them.
_CONFIG_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits of one image: the bytes of all layers together, and the members of one layer."""

    image_bytes: int
    layer_members: int


@dataclass(frozen=True, slots=True)
class Layer:
    """An open file, valid while its layout is open. `is_from_base`: the layer is from a base image."""

    digest: str
    descriptor: int
    size: int
    is_from_base: bool


@dataclass(frozen=True, slots=True)
class ImageContents:
    """What the engine gets: our manifest, our configuration, and the layers in order."""

    manifest: bytes
    config: bytes
    layers: tuple[Layer, ...]

    @property
    def manifest_digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def config_digest(self) -> str:
        return digest_of(self.config)


def read_contents(
    built: BuiltLayout, base: BuiltLayout, labels: Mapping[str, str], architecture: str, limits: ImageLimits
) -> ImageContents:
    """Read a build's image. Layers of base images are taken from the layout of the base images. Blocks.

    Names and annotations in the build's layout are ignored. Raises `ImageRefused`.
    """
    digest = _only_manifest(built.index(_INDEX_BYTES))
    manifest = _owner(digest, built, base).json_blob(digest, _MANIFEST_BYTES)
    if not isinstance(manifest, dict):
        raise malformed("the manifest is no object")
    digest = _digest_of_config(manifest)
    built_config = _config(digest, _owner(digest, built, base))
    layers = tuple(_layers(manifest, built, base, limits))
    digests = [layer.digest for layer in layers]
    config = _as_json(rewrite_config(built_config, labels, digests, architecture))
    our_manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {"mediaType": CONFIG_TYPE, "digest": digest_of(config), "size": len(config)},
        "layers": [{"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size} for layer in layers],
    }
    return ImageContents(_as_json(our_manifest), config, layers)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _only_manifest(index: object) -> str:
    entries = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(entries, list) or not entries:
        raise malformed("the index has no manifests")
    kinds = [entry.get("mediaType") if isinstance(entry, dict) else None for entry in entries]
    if len(entries) > 1 or kinds[0] not in MANIFEST_TYPES:
        raise ImageRefused(
            "The build made more than one image, or something else than an image.",
            "Build for a single platform, without attestations, then deploy again.",
            reason=f"{len(entries)} entries of the index, the first a {kinds[0]!r}"[:200],
        )
    return _digest(entries[0])


def _digest_of_config(manifest: Mapping[str, Any]) -> str:
    config = manifest.get("config")
    if not isinstance(config, dict) or config.get("mediaType") not in _CONFIG_TYPES:
        raise malformed("the manifest has no configuration of an image")
    return _digest(config)


def _config(digest: str, owner: BuiltLayout) -> object:
    if (size := owner.blob(digest)[1]) > _CONFIG_BYTES:
        raise ImageRefused(
            f"The image's configuration has {size:,} bytes; at most {_CONFIG_BYTES:,} are possible.",
            "Shorten its labels, environment variables, ports or commands in the Dockerfile, then deploy again.",
        )
    return owner.json_blob(digest, _CONFIG_BYTES)


def _digest(descriptor: Mapping[str, Any]) -> str:
    digest = descriptor.get("digest")
    if not isinstance(digest, str):
        raise malformed("a descriptor has no digest")
    return digest


def _layers(
    manifest: Mapping[str, Any], built: BuiltLayout, base: BuiltLayout, limits: ImageLimits
) -> Iterator[Layer]:
    entries = manifest.get("layers")
    if not isinstance(entries, list):
        raise malformed("the manifest has no layers")
    if not entries:
        raise ImageRefused("The image is empty.", "Copy something into it, then deploy again.")
    if len(entries) > _MOST_LAYERS:
        raise ImageRefused(
            f"The image has {len(entries)} layers; at most {_MOST_LAYERS} are possible.",
            "Join RUN and COPY lines of the Dockerfile, then deploy again.",
        )
    total = 0
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("mediaType") not in _LAYER_TYPES:
            raise malformed("a layer is compressed, or of an unknown kind")
        digest = _digest(entry)
        owner = _owner(digest, built, base)
        layer = Layer(digest, *owner.blob(digest), is_from_base=owner is base)
        total += layer.size
        if total > limits.image_bytes:
            raise ImageRefused(
                f"The image is larger than {limits.image_bytes // 1024**2} MiB.",
                "Leave out what the app does not need to run, for example with a second build stage.",
            )
        if not layer.is_from_base:
            count_members(layer.descriptor, layer.size, limits.layer_members)
        yield layer


def _owner(digest: str, built: BuiltLayout, base: BuiltLayout) -> BuiltLayout:
    """Return the layout to read a blob from. A base image's blob is a link in the build's layout, so it is never read
    there."""
    return base if base.has(digest) else built


def _as_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
