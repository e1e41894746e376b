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
    """What a build left: a layout with one image."""

    def __init__(self, folder: Path, *layers: bytes) -> None:
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        self.layers = [self.add(content) for content in layers]
        config = self.add(b"{}")
        manifest = json.dumps(
            {"config": {"digest": config}, "layers": [{"digest": one} for one in self.layers]}
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
def layout(tmp_path: Path) -> BaseImageStore:
    return BaseImageStore(tmp_path / "layout")


def age(layout: BaseImageStore, digest: str) -> None:
    long_ago = time.time() - KEPT_SECONDS - 1
    os.utime(layout.blob(digest), (long_ago, long_ago))


def test_image_is_found_by_its_name(layout: BaseImageStore, tmp_path: Path) -> None:
    made = Made(tmp_path / "out", b"layer")

    layout.take(NAME, "recipe", made.folder)

    assert layout.entries()[NAME].digest == made.manifest
    assert layout.entries()[NAME].recipe == "recipe"
    assert BaseImages.read(layout.folder).digest(NAME) == made.manifest
    assert [file.read_bytes() for file in layout.layers(layout.entries()[NAME])] == [b"layer"]


def test_builds_as_another_user_can_read_it(layout: BaseImageStore, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        layout.take(NAME, "", Made(tmp_path / "out", b"layer").folder)
    finally:
        os.umask(before)

    inside = [layout.folder, *layout.folder.rglob("*")]
    closed = {path.name for path in inside if not path.stat().st_mode & 0o004}
    assert closed == {"lock", "making"}, "whoever can open those could keep others out"


def test_name_goes_to_the_image_taken_last(layout: BaseImageStore, tmp_path: Path) -> None:
    layout.take(NAME, "", Made(tmp_path / "one", b"1").folder)
    layout.take("stackyn/other:1", "", Made(tmp_path / "other", b"3").folder)
    second = Made(tmp_path / "two", b"2")

    layout.take(NAME, "", second.folder)

    assert layout.entries()[NAME].digest == second.manifest
    assert set(layout.entries()) == {NAME, "stackyn/other:1"}


def test_replaced_image_stays_for_builds_that_have_it(layout: BaseImageStore, tmp_path: Path) -> None:
    first = Made(tmp_path / "one", b"1")
    layout.take(NAME, "", first.folder)
    for digest in (first.manifest, *first.layers):
        age(layout, digest)

    layout.take(NAME, "", Made(tmp_path / "two", b"2").folder)
    assert layout.prune() == 0
    assert layout.blob(first.layers[0]).exists(), "it is unused since now, not since it was made"

    for digest in (first.manifest, *first.layers):
        age(layout, digest)
    assert layout.prune() > 0
    assert not layout.blob(first.layers[0]).exists()


def test_prune_keeps_what_an_image_has(layout: BaseImageStore, tmp_path: Path) -> None:
    made = Made(tmp_path / "out", b"layer")
    layout.take(NAME, "", made.folder)
    age(layout, made.layers[0])

    layout.prune()

    assert layout.blob(made.layers[0]).exists()


def test_removed_image_has_no_name_any_more(layout: BaseImageStore, tmp_path: Path) -> None:
    layout.take(NAME, "", Made(tmp_path / "out", b"layer").folder)

    layout.remove([NAME])

    assert layout.entries() == {}


def test_image_is_unused_until_it_is_used(layout: BaseImageStore, tmp_path: Path) -> None:
    made = Made(tmp_path / "out", b"layer")
    layout.take(NAME, "", made.folder)
    assert layout.unused(KEPT_SECONDS) == []
    age(layout, made.manifest)
    assert layout.unused(KEPT_SECONDS) == [NAME]

    layout.mark_used([NAME, "stackyn/forgotten:1"])

    assert layout.unused(KEPT_SECONDS) == []


def test_links_to_blobs_that_are_here_are_not_followed(layout: BaseImageStore, tmp_path: Path) -> None:
    below = Made(tmp_path / "below", b"below")
    layout.take("stackyn/below:1", "", below.folder)
    made = Made(tmp_path / "out", b"below", b"layer")
    made.blob(made.layers[0]).unlink()
    made.blob(made.layers[0]).symlink_to("/oci/blobs/sha256/of-the-container")

    layout.take(NAME, "", made.folder)

    assert layout.blob(made.layers[0]).read_bytes() == b"below"


def test_other_links_are_refused(layout: BaseImageStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"layer")
    made = Made(tmp_path / "out", b"layer")
    made.blob(made.layers[0]).unlink()
    made.blob(made.layers[0]).symlink_to(secret)

    with pytest.raises(OSError):
        layout.take(NAME, "", made.folder)
    assert layout.entries() == {}


def test_blob_must_be_what_it_is_called(layout: BaseImageStore, tmp_path: Path) -> None:
    made = Made(tmp_path / "out", b"layer")
    made.blob(made.layers[0]).write_bytes(b"other")

    with pytest.raises(BaseImageStoreUnusable, match="not what it is called"):
        layout.take(NAME, "", made.folder)
    assert layout.entries() == {}


@pytest.mark.parametrize("count", [0, 2])
def test_result_must_be_one_image(layout: BaseImageStore, tmp_path: Path, count: int) -> None:
    made = Made(tmp_path / "out", b"layer")
    made.write_index(*[made.manifest] * count)

    with pytest.raises(BaseImageStoreUnusable, match="exactly one image"):
        layout.take(NAME, "", made.folder)


def test_root_file_system_becomes_an_image(layout: BaseImageStore, tmp_path: Path) -> None:
    root = tmp_path / "root.tar"
    root.write_bytes(b"a root file system")

    entry = layout.take_root("stackyn/debian:12", "", root, "amd64")

    manifest = json.loads(layout.blob(entry.digest).read_bytes())
    config = json.loads(layout.blob(manifest["config"]["digest"]).read_bytes())
    assert config["rootfs"]["diff_ids"] == [digest_of(b"a root file system")]
    assert config["architecture"] == "amd64"
    assert [file.read_bytes() for file in layout.layers(entry)] == [b"a root file system"]


def test_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BaseImageStoreUnusable) as caught:
        BaseImageStore(tmp_path / "file" / "layout").prepare()
    assert "[images] directory" in caught.value.hint
