"""The folder of the base images: builds read it while it changes, and it takes nothing that isn't what it is called."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from stackyn_server.engine.builder.base_image_index import BaseImages
from stackyn_server.images.base_image_store import KEPT_SECONDS, BaseImageStore, BaseImageStoreUnusable

NAME = "stackyn/tool:1"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Made:
    """What a build left: a image_store with one image."""

    def __init__(self, folder: Path, *layers: bytes) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        self.layers = [self.add(content) for content in layers]
        config = self.add(b"{}")
        manifest = json.dumps(
            {"config": {"digest": config}, "layers": [{"digest": digest} for digest in self.layers]}
        )
        self.manifest = self.add(manifest.encode())
        self.write_index(self.manifest)

    def blob(self, digest: str) -> Path:
        return self.folder / "blobs/sha256" / digest.removeprefix("sha256:")

    def add(self, content: bytes) -> str:
        self.blob(digest_of(content)).write_bytes(content)
        return digest_of(content)

    def write_index(self, *manifests: str) -> None:
        listed = [{"digest": digest, "size": 1} for digest in manifests]
        (self.folder / "index.json").write_text(json.dumps({"manifests": listed}))


@pytest.fixture
def image_store(tmp_path: Path) -> BaseImageStore:
    return BaseImageStore(tmp_path / "image_store")


def age(image_store: BaseImageStore, digest: str) -> None:
    long_ago = time.time() - KEPT_SECONDS - 1
    os.utime(image_store.blob(digest), (long_ago, long_ago))


def test_image_is_found_by_its_name(image_store: BaseImageStore, tmp_path: Path) -> None:
    layout = Made(tmp_path / "out", b"layer")

    image_store.take(NAME, "recipe", layout.folder)

    assert image_store.entries()[NAME].digest == layout.manifest
    assert image_store.entries()[NAME].recipe == "recipe"
    assert BaseImages.read(image_store.folder).digest(NAME) == layout.manifest
    assert [file.read_bytes() for file in image_store.layers(image_store.entries()[NAME])] == [b"layer"]


def test_builds_as_another_user_can_read_it(image_store: BaseImageStore, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        image_store.take(NAME, "", Made(tmp_path / "out", b"layer").folder)
    finally:
        os.umask(before)

    inside = [image_store.folder, *image_store.folder.rglob("*")]
    closed = {path.name for path in inside if not path.stat().st_mode & 0o004}
    assert closed == {"lock", "making"}, "whoever can open those could keep others out"


def test_name_goes_to_the_image_taken_last(image_store: BaseImageStore, tmp_path: Path) -> None:
    image_store.take(NAME, "", Made(tmp_path / "one", b"1").folder)
    image_store.take("stackyn/other:1", "", Made(tmp_path / "other", b"3").folder)
    second = Made(tmp_path / "two", b"2")

    image_store.take(NAME, "", second.folder)

    assert image_store.entries()[NAME].digest == second.manifest
    assert set(image_store.entries()) == {NAME, "stackyn/other:1"}


def test_replaced_image_stays_for_builds_that_have_it(image_store: BaseImageStore, tmp_path: Path) -> None:
    first = Made(tmp_path / "one", b"1")
    image_store.take(NAME, "", first.folder)
    for digest in (first.manifest, *first.layers):
        age(image_store, digest)

    image_store.take(NAME, "", Made(tmp_path / "two", b"2").folder)
    assert image_store.prune() == 0
    assert image_store.blob(first.layers[0]).exists(), "it is unused since now, not since it was made"

    for digest in (first.manifest, *first.layers):
        age(image_store, digest)
    assert image_store.prune() > 0
    assert not image_store.blob(first.layers[0]).exists()


def test_prune_keeps_what_an_image_has(image_store: BaseImageStore, tmp_path: Path) -> None:
    layout = Made(tmp_path / "out", b"layer")
    image_store.take(NAME, "", layout.folder)
    age(image_store, layout.layers[0])

    image_store.prune()

    assert image_store.blob(layout.layers[0]).exists()


def test_removed_image_has_no_name_any_more(image_store: BaseImageStore, tmp_path: Path) -> None:
    image_store.take(NAME, "", Made(tmp_path / "out", b"layer").folder)

    image_store.remove([NAME])

    assert image_store.entries() == {}


def test_image_is_unused_until_it_is_used(image_store: BaseImageStore, tmp_path: Path) -> None:
    layout = Made(tmp_path / "out", b"layer")
    image_store.take(NAME, "", layout.folder)
    assert image_store.unused(KEPT_SECONDS) == []
    age(image_store, layout.manifest)
    assert image_store.unused(KEPT_SECONDS) == [NAME]

    image_store.mark_used([NAME, "stackyn/forgotten:1"])

    assert image_store.unused(KEPT_SECONDS) == []


def test_links_to_blobs_that_are_here_are_not_followed(image_store: BaseImageStore, tmp_path: Path) -> None:
    below = Made(tmp_path / "below", b"below")
    image_store.take("stackyn/below:1", "", below.folder)
    layout = Made(tmp_path / "out", b"below", b"layer")
    layout.blob(layout.layers[0]).unlink()
    layout.blob(layout.layers[0]).symlink_to("/oci/blobs/sha256/of-the-container")

    image_store.take(NAME, "", layout.folder)

    assert image_store.blob(layout.layers[0]).read_bytes() == b"below"


def test_other_links_are_refused(image_store: BaseImageStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"layer")
    layout = Made(tmp_path / "out", b"layer")
    layout.blob(layout.layers[0]).unlink()
    layout.blob(layout.layers[0]).symlink_to(secret)

    with pytest.raises(OSError):
        image_store.take(NAME, "", layout.folder)
    assert image_store.entries() == {}


def test_blob_must_be_what_it_is_called(image_store: BaseImageStore, tmp_path: Path) -> None:
    layout = Made(tmp_path / "out", b"layer")
    layout.blob(layout.layers[0]).write_bytes(b"other")

    with pytest.raises(BaseImageStoreUnusable, match="not what it is called"):
        image_store.take(NAME, "", layout.folder)
    assert image_store.entries() == {}


@pytest.mark.parametrize("count", [0, 2])
def test_result_must_be_one_image(image_store: BaseImageStore, tmp_path: Path, count: int) -> None:
    layout = Made(tmp_path / "out", b"layer")
    layout.write_index(*[layout.manifest] * count)

    with pytest.raises(BaseImageStoreUnusable, match="exactly one image"):
        image_store.take(NAME, "", layout.folder)


def test_root_file_system_becomes_an_image(image_store: BaseImageStore, tmp_path: Path) -> None:
    root = tmp_path / "root.tar"
    root.write_bytes(b"a root file system")

    entry = image_store.take_root("stackyn/debian:12", "", root, "amd64")

    manifest = json.loads(image_store.blob(entry.digest).read_bytes())
    config = json.loads(image_store.blob(manifest["config"]["digest"]).read_bytes())
    assert config["rootfs"]["diff_ids"] == [digest_of(b"a root file system")]
    assert config["architecture"] == "amd64"
    assert [file.read_bytes() for file in image_store.layers(entry)] == [b"a root file system"]


def test_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BaseImageStoreUnusable) as caught:
        BaseImageStore(tmp_path / "file" / "image_store").prepare()
    assert "[images] directory" in caught.value.hint
