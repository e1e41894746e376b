"""Read the platform's base images: an OCI image layout on the host (`[images] directory`), read-only for builds.

The operator's own programs write it, so it is trusted, but it is read with limits. A writer replaces `index.json` as a
whole and never changes it in place.
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from stackyn_server.domain.failures import DeploymentFailed, Failure, FailureCode

NAME_ANNOTATION = "org.opencontainers.image.ref.name"
MANIFEST_TYPES = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_INDEX_BYTES = 4 * 1024 * 1024  # some ten thousand images


class BaseImagesUnusable(DeploymentFailed):
    """The layout is missing, unreadable, or lacks an image. The operator must act; `reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            Failure(
                FailureCode.INTERNAL,
                "The base images of this server are not ready.",
                "The operator runs scripts/base-images, and finds the reason in the server's log.",
            )
        )
        self.reason = reason
        self.add_note(reason)


@dataclass(frozen=True, slots=True)
class BaseImages:
    """The layout at the time of reading. `digests`: name, as in `stackyn/python:3.11`, → digest of its manifest."""

    directory: Path
    digests: Mapping[str, str]

    @classmethod
    def read(cls, directory: Path) -> BaseImages:
        """Read the layout. The result is cached until the index is replaced. Blocks. Raises `BaseImagesUnusable`."""
        index = directory / "index.json"
        try:
            state = index.stat()
            return _read(directory, state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size)
        except OSError as error:
            raise BaseImagesUnusable(f"{index} can't be read: {error.strerror}") from error

    def digest(self, name: str) -> str:
        """Return the digest of an image's manifest. Raises `BaseImagesUnusable` when there is no such image."""
        try:
            return self.digests[name]
        except KeyError:
            raise BaseImagesUnusable(f"{self.directory} has no image {name}") from None

    def blob(self, digest: str) -> Path:
        """Return the path of a blob, which may not exist. Raises ValueError for anything but a digest."""
        if not DIGEST.fullmatch(digest):
            raise ValueError(f"not a digest: {digest!r}")
        return self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")


@lru_cache(maxsize=8)
def _read(directory: Path, device: int, inode: int, changed_ns: int, size: int) -> BaseImages:
    """The index's state is an argument so that `lru_cache` reads a changed index again."""
    path = directory / "index.json"
    with path.open("rb") as file:
        content = file.read(_INDEX_BYTES + 1)
    if len(content) > _INDEX_BYTES:
        raise BaseImagesUnusable(f"{path} is larger than {_INDEX_BYTES} bytes")
    try:
        return BaseImages(directory, MappingProxyType(_named(json.loads(content))))
    except (ValueError, RecursionError) as error:
        raise BaseImagesUnusable(f"{path} can't be used: {error}") from error


def _named(index: object) -> dict[str, str]:
    """Return the digests by name. Raises ValueError for an invalid index, and for a name that two images have."""
    entries = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it has no list of manifests")
    digests: dict[str, str] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("mediaType") not in MANIFEST_TYPES:
            raise ValueError("an entry is not the manifest of an image")
        digest, annotations = entry.get("digest"), entry.get("annotations")
        name = annotations.get(NAME_ANNOTATION) if isinstance(annotations, dict) else None
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise ValueError("an entry has no SHA-256 digest")
        if not isinstance(name, str) or not name:
            continue  # not an image for builds
        if digests.setdefault(name, digest) != digest:
            raise ValueError(f"the name {name} stands for two images")
    return digests
