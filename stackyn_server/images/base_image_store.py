"""Write the OCI image layout of the base images without disturbing the builds that read it.

A build gets a digest and reads its blobs while it runs. So blobs are written first, `index.json` is renamed into place,
and a blob that no image has is removed `KEPT_SECONDS` later.
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from stackyn_server.errors import StackynError

KEPT_SECONDS = 24 * 60 * 60
NAME = "org.opencontainers.image.ref.name"
RECIPE = "io.stackyn.recipe"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MAKING = "making"  # locked while images are made
_LOCK = "lock"  # locked while the layout is written
_INDEX = "application/vnd.oci.image.index.v1+json"
_PIECE_BYTES = 1024 * 1024
_LONGEST_DOCUMENT_BYTES = 4 * 1024 * 1024
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755  # a build reads the layout as another user


class BaseImageStoreUnusable(StackynError):
    """The folder of the base images can't be written, or an image for it is invalid."""

    code = "IMAGES_UNUSABLE"


@dataclass(frozen=True, slots=True)
class StoredBaseImage:
    """One image: the digest of its manifest, and the digest of the recipe that it was made from ("" when unknown)."""

    name: str
    digest: str
    recipe: str


class BaseImageStore:
    """The base images in one folder. All methods may run while builds read it and another process writes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _blobs(self) -> Path:
        return self.folder / "blobs" / "sha256"

    def entries(self) -> dict[str, StoredBaseImage]:
        """Return the images by name. Empty when there is no layout yet."""
        entries = {}
        for manifest in self._manifests():
            annotations = manifest.get("annotations", {})
            if name := annotations.get(NAME):
                entries[name] = StoredBaseImage(name, manifest["digest"], annotations.get(RECIPE, ""))
        return entries

    def blob(self, digest: str) -> Path:
        """Return the path of a blob, which may not exist."""
        return self._blobs / _hexadecimal(digest)

    def take(self, name: str, recipe: str, layout: Path) -> StoredBaseImage:
        """Add the only image of another layout (a build's result) under a name. Its blobs are copied and checked.

        Raises `BaseImageStoreUnusable` when that layout doesn't hold exactly one image, or a digest is wrong.
        """
        index = _document((layout / "index.json").read_bytes())
        if len(index.get("manifests", ())) != 1:
            raise BaseImageStoreUnusable(f"The build of {name} did not make exactly one image.")
        (listed,) = index["manifests"]
        with self._writing():
            self._copy(layout, listed["digest"])
            manifest = _document(self.blob(listed["digest"]).read_bytes())
            for part in (manifest["config"], *manifest["layers"]):
                self._copy(layout, part["digest"])
            return self._enter(name, recipe, listed["digest"], listed["size"])

    def take_root(self, name: str, recipe: str, root: Path, architecture: str) -> StoredBaseImage:
        """Add the tar of a root file system as an image with one layer. `architecture` is Go's name, as in `amd64`."""
        with self._writing():
            with root.open("rb") as content:
                layer, layer_size = self._write(content)
            config = {
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": ["/bin/sh"]},
                "rootfs": {"type": "layers", "diff_ids": [layer]},
            }
            config_digest, config_size = self._write(io.BytesIO(_text(config)))
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": config_digest, "size": config_size},
                "layers": [{"mediaType": LAYER, "digest": layer, "size": layer_size}],
            }
            digest, size = self._write(io.BytesIO(_text(manifest)))
            return self._enter(name, recipe, digest, size)

    def layers(self, entry: StoredBaseImage) -> list[Path]:
        """Return the layers of an image as tar files, the lowest first."""
        manifest = _document(self.blob(entry.digest).read_bytes())
        return [self.blob(layer["digest"]) for layer in manifest["layers"]]

    def mark_used(self, names: Iterable[str]) -> None:
        """Record that images are used now."""
        entries = self.entries()
        for name in names:
            if name in entries:
                with suppress(FileNotFoundError):  # removed meanwhile
                    os.utime(self.blob(entries[name].digest))

    def unused(self, seconds: float) -> list[str]:
        """Return the images that were neither made nor marked as used for so many seconds."""
        names, now = [], time.time()
        for name, entry in self.entries().items():
            with suppress(FileNotFoundError):
                if now - self.blob(entry.digest).stat().st_mtime >= seconds:
                    names.append(name)
        return names

    def remove(self, names: Iterable[str]) -> None:
        """Remove images from the index. `prune` removes their blobs later."""
        with self._writing():
            self._publish(self._manifests(without=set(names)))

    def prune(self, kept_seconds: float = KEPT_SECONDS) -> int:
        """Remove the blobs that no image has had for `kept_seconds`, and return the freed bytes."""
        freed = 0
        with self._writing():
            used = set(self._used(self._manifests()))
            for file in self._blobs.iterdir():
                state = file.stat()
                if file.name not in used and time.time() - state.st_mtime >= kept_seconds:
                    file.unlink()
                    freed += state.st_size
        return freed

    def prepare(self) -> None:
        """Make the folder where it is missing. Raises `BaseImageStoreUnusable` when it can't be written."""
        try:
            for folder in (self.folder, self._blobs.parent, self._blobs):
                if not folder.is_dir():
                    folder.mkdir(parents=True, exist_ok=True)
                    folder.chmod(_FOLDER_MODE)
            for name in (_LOCK, MAKING):
                # Not readable for builds, which see this folder: whoever can open a file can lock it.
                (self.folder / name).touch(mode=0o600)
        except OSError as error:
            raise BaseImageStoreUnusable(
                f"The folder of the base images can't be written: {error.strerror}.",
                hint=f"Let this user write to {self.folder}, or name another folder in [images] directory.",
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Lock out all other writers."""
        self.prepare()
        with (self.folder / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _manifests(self, without: Set[str] = frozenset()) -> list[dict[str, Any]]:
        try:
            listed = _document((self.folder / "index.json").read_bytes()).get("manifests", ())
        except FileNotFoundError:
            return []
        return [manifest for manifest in listed if manifest.get("annotations", {}).get(NAME) not in without]

    def _enter(self, name: str, recipe: str, digest: str, size: int) -> StoredBaseImage:
        """Give a name to an image whose blobs are here. Another image with this name loses it."""
        annotations = {NAME: name, RECIPE: recipe}
        added = {"mediaType": MANIFEST, "digest": digest, "size": size, "annotations": annotations}
        self._publish([*self._manifests(without={name}), added])
        return StoredBaseImage(name, digest, recipe)

    def _publish(self, manifests: list[dict[str, Any]]) -> None:
        # A blob's time tells when an image last had it: set it for blobs that no image has from now on.
        orphaned = set(self._used(self._manifests())) - set(self._used(manifests))
        self._replace(self.folder / "oci-layout", _text({"imageLayoutVersion": "1.0.0"}))
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}
        self._replace(self.folder / "index.json", _text(index))
        for name in orphaned:
            os.utime(self._blobs / name)

    def _used(self, manifests: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        for listed in manifests:
            yield _hexadecimal(listed["digest"])
            manifest = _document(self.blob(listed["digest"]).read_bytes())
            for part in (manifest["config"], *manifest["layers"]):
                yield _hexadecimal(part["digest"])

    def _copy(self, layout: Path, digest: str) -> None:
        if self.blob(digest).is_file():
            os.utime(self.blob(digest))
            return
        # In a build's result, only blobs that are here already may be links.
        source = os.open(layout / "blobs" / "sha256" / _hexadecimal(digest), os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(source, "rb") as content:
            written, _size = self._write(content)
        if written != digest:
            raise BaseImageStoreUnusable(f"A blob of a base image is not what it is called: {digest}.")

    def _write(self, content: BinaryIO) -> tuple[str, int]:
        """Write a blob and return its digest and size."""
        digest = hashlib.sha256()
        waiting = self._blobs / f".{os.getpid()}"
        with _open_durable(waiting) as file:
            while piece := content.read(_PIECE_BYTES):
                digest.update(piece)
                file.write(piece)
            size = file.tell()
        waiting.rename(self._blobs / digest.hexdigest())
        return f"sha256:{digest.hexdigest()}", size

    def _replace(self, file: Path, text: bytes) -> None:
        waiting = file.with_name(f".{file.name}")
        with _open_durable(waiting) as content:
            content.write(text)
        waiting.rename(file)


@contextmanager
def _open_durable(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write; after the block, every user can read the file, and it is on the disk."""
    with path.open("wb") as file:
        yield file
        os.fchmod(file.fileno(), _FILE_MODE)
        file.flush()
        os.fsync(file.fileno())


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode()


def _document(text: bytes) -> dict[str, Any]:
    if len(text) > _LONGEST_DOCUMENT_BYTES:
        raise BaseImageStoreUnusable("A manifest of a base image is larger than any manifest.")
    document = json.loads(text)
    if not isinstance(document, dict):
        raise BaseImageStoreUnusable("A manifest of a base image is no manifest.")
    return document


def _hexadecimal(digest: str) -> str:
    algorithm, _, digits = digest.partition(":")
    if algorithm != "sha256" or len(digits) != hashlib.sha256().digest_size * 2 or not digits.isalnum():
        raise BaseImageStoreUnusable(f"Not a digest: {digest!r}")
    return digits
