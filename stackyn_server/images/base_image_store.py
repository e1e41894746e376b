"""The OCI image layout of the base images: who writes it, and how without disturbing builds that read it.

A build is given a digest, and reads its blobs for as long as it runs. So blobs are written first, `index.json` is
renamed into place, and a blob that no image has any more goes only `KEPT_SECONDS` after that.
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
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
MAKING = "making"  # locked by whoever makes images, for as long as that takes
_LOCK = "lock"  # locked by whoever writes
_INDEX = "application/vnd.oci.image.index.v1+json"
_PIECE_BYTES = 1024 * 1024
_LONGEST_DOCUMENT_BYTES = 4 * 1024 * 1024
_READABLE, _ENTERED = 0o644, 0o755  # a build reads it as another user


class BaseImageStoreUnusable(StackynError):
    """The folder of the base images can't be written, or what should be put into it isn't an image."""

    code = "IMAGES_UNUSABLE"


@dataclass(frozen=True, slots=True)
class BaseImage:
    """One image: the digest of its manifest, and the digest of the recipe that it was made from ("" when unknown)."""

    name: str
    digest: str
    recipe: str


class BaseImageStore:
    """The layout in one folder. Every method may be called while builds read it and another process writes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def _blobs(self) -> Path:
        return self.folder / "blobs" / "sha256"

    def entries(self) -> dict[str, BaseImage]:
        """Return the images by name; none when there is no layout yet."""
        found = {}
        for listed in self._manifests():
            marks = listed.get("annotations", {})
            if name := marks.get(NAME):
                found[name] = BaseImage(name, listed["digest"], marks.get(RECIPE, ""))
        return found

    def blob(self, digest: str) -> Path:
        """Return where a blob is; it need not be there."""
        return self._blobs / _hexadecimal(digest)

    def take(self, name: str, recipe: str, made: Path) -> BaseImage:
        """Take the one image of another layout (a build's result) under a name. Its blobs are copied and checked.

        Raises `BaseImageStoreUnusable` when that layout doesn't hold exactly one image, or a digest is wrong.
        """
        index = _document((made / "index.json").read_bytes())
        if len(index.get("manifests", ())) != 1:
            raise BaseImageStoreUnusable(f"The build of {name} did not make exactly one image.")
        (listed,) = index["manifests"]
        with self._writing():
            self._copy(made, listed["digest"])
            manifest = _document(self.blob(listed["digest"]).read_bytes())
            for part in (manifest["config"], *manifest["layers"]):
                self._copy(made, part["digest"])
            return self._enter(name, recipe, listed["digest"], listed["size"])

    def take_root(self, name: str, recipe: str, root: Path, architecture: str) -> BaseImage:
        """Take a tar of a root file system as an image with one layer. `architecture` in Go's words, as in `amd64`."""
        with self._writing():
            with root.open("rb") as content:
                layer, layer_size = self._write(_pieces(content))
            config = {
                "architecture": architecture,
                "os": "linux",
                "config": {"Cmd": ["/bin/sh"]},
                "rootfs": {"type": "layers", "diff_ids": [layer]},
            }
            config_digest, config_size = self._write([_text(config)])
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "digest": config_digest, "size": config_size},
                "layers": [{"mediaType": LAYER, "digest": layer, "size": layer_size}],
            }
            digest, size = self._write([_text(manifest)])
            return self._enter(name, recipe, digest, size)

    def layers(self, entry: BaseImage) -> list[Path]:
        """Return the layers of an image as tar files, the lowest first."""
        manifest = _document(self.blob(entry.digest).read_bytes())
        return [self.blob(layer["digest"]) for layer in manifest["layers"]]

    def mark_used(self, names: Iterable[str]) -> None:
        """Remember that images were used now."""
        entries = self.entries()
        for name in names:
            if name in entries:
                with suppress(FileNotFoundError):  # forgotten meanwhile
                    os.utime(self.blob(entries[name].digest))

    def unused(self, seconds: float) -> list[str]:
        """Return the images that were neither made nor used for so long, by `mark_used`."""
        found, now = [], time.time()
        for name, entry in self.entries().items():
            with suppress(FileNotFoundError):
                if now - self.blob(entry.digest).stat().st_mtime >= seconds:
                    found.append(name)
        return found

    def remove(self, names: Iterable[str]) -> None:
        """Forget images. Their blobs go later, with `prune`."""
        gone = set(names)
        with self._writing():
            self._publish(
                [one for one in self._manifests() if one.get("annotations", {}).get(NAME) not in gone]
            )

    def prune(self, kept_seconds: float = KEPT_SECONDS) -> int:
        """Remove the blobs that no image has had for `kept_seconds`. Return how many bytes that freed."""
        freed = 0
        with self._writing():
            used = set(self._used(self._manifests()))
            for file in self._blobs.iterdir():
                found = file.stat()
                if file.name not in used and time.time() - found.st_mtime >= kept_seconds:
                    file.unlink()
                    freed += found.st_size
        return freed

    def prepare(self) -> None:
        """Make the folder when there is none. Raises `BaseImageStoreUnusable` when it can't be written."""
        try:
            for folder in (self.folder, self._blobs.parent, self._blobs):
                if not folder.is_dir():
                    folder.mkdir(parents=True, exist_ok=True)
                    folder.chmod(_ENTERED)
            for name in (_LOCK, MAKING):
                # Closed: a build sees this folder, and whoever can open a file can lock it.
                (self.folder / name).touch(mode=0o600)
        except OSError as error:
            raise BaseImageStoreUnusable(
                f"The folder of the base images can't be written: {error.strerror}.",
                hint=f"Let this user write to {self.folder}, or name another folder in [images] directory.",
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep every other writer out of the folder."""
        self.prepare()
        with (self.folder / _LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _manifests(self) -> list[dict[str, Any]]:
        try:
            return list(_document((self.folder / "index.json").read_bytes()).get("manifests", ()))
        except FileNotFoundError:
            return []

    def _enter(self, name: str, recipe: str, digest: str, size: int) -> BaseImage:
        """Name an image whose blobs are here; what had the name before loses it."""
        others = [one for one in self._manifests() if one.get("annotations", {}).get(NAME) != name]
        marks = {NAME: name, RECIPE: recipe}
        self._publish(
            [*others, {"mediaType": MANIFEST, "digest": digest, "size": size, "annotations": marks}]
        )
        return BaseImage(name, digest, recipe)

    def _publish(self, manifests: list[dict[str, Any]]) -> None:
        # A blob's time is when it was needed last: from now on, for those that this leaves without an image.
        left = set(self._used(self._manifests())) - set(self._used(manifests))
        self._replace(self.folder / "oci-layout", _text({"imageLayoutVersion": "1.0.0"}))
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}
        self._replace(self.folder / "index.json", _text(index))
        for name in left:
            os.utime(self._blobs / name)

    def _used(self, manifests: Iterable[Mapping[str, Any]]) -> Iterator[str]:
        for listed in manifests:
            yield _hexadecimal(listed["digest"])
            manifest = _document(self.blob(listed["digest"]).read_bytes())
            for part in (manifest["config"], *manifest["layers"]):
                yield _hexadecimal(part["digest"])

    def _copy(self, made: Path, digest: str) -> None:
        if self.blob(digest).is_file():
            os.utime(self.blob(digest))
            return
        # What is here already is a link in a build's result; nothing else in it may be one.
        source = os.open(made / "blobs" / "sha256" / _hexadecimal(digest), os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(source, "rb") as content:
            written, _size = self._write(_pieces(content))
        if written != digest:
            raise BaseImageStoreUnusable(f"A blob of a base image is not what it is called: {digest}.")

    def _write(self, pieces: Iterable[bytes]) -> tuple[str, int]:
        """Write a blob and return its digest and size."""
        content, size = hashlib.sha256(), 0
        waiting = self._blobs / f".{os.getpid()}"
        with waiting.open("wb") as file:
            for piece in pieces:
                content.update(piece)
                size += len(piece)
                file.write(piece)
            os.fchmod(file.fileno(), _READABLE)
            file.flush()
            os.fsync(file.fileno())
        waiting.rename(self._blobs / content.hexdigest())
        return f"sha256:{content.hexdigest()}", size

    def _replace(self, file: Path, text: bytes) -> None:
        waiting = file.with_name(f".{file.name}")
        with waiting.open("wb") as content:
            content.write(text)
            os.fchmod(content.fileno(), _READABLE)
            content.flush()
            os.fsync(content.fileno())
        waiting.rename(file)


def _pieces(content: BinaryIO) -> Iterator[bytes]:
    while piece := content.read(_PIECE_BYTES):
        yield piece


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode()


def _document(text: bytes) -> dict[str, Any]:
    if len(text) > _LONGEST_DOCUMENT_BYTES:
        raise BaseImageStoreUnusable("A manifest of a base image is larger than any manifest.")
    found = json.loads(text)
    if not isinstance(found, dict):
        raise BaseImageStoreUnusable("A manifest of a base image is no manifest.")
    return found


def _hexadecimal(digest: str) -> str:
    algorithm, _, digits = digest.partition(":")
    if algorithm != "sha256" or len(digits) != hashlib.sha256().digest_size * 2 or not digits.isalnum():
        raise BaseImageStoreUnusable(f"Not a digest: {digest!r}")
    return digits
