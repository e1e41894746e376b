"""The platform's base images are read from their layout."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stackyn_server.engine.builder.base_image_index import BaseImages, BaseImagesUnusable
from tests.engine.builder.layouts import MadeLayout, layer, named

NAME = "stackyn/python:3.11"


def test_an_image_is_found_by_its_name(tmp_path: Path) -> None:
    layout = MadeLayout(tmp_path / "images")
    manifest = layout.manifest([layer({"a": b"1"})])
    layout.index(named(manifest, NAME), layout.manifest([layer({"b": b"2"})]))

    images = BaseImages.read(layout.folder)

    assert images.digests == {NAME: manifest["digest"]}
    assert json.loads(images.blob(images.digest(NAME)).read_bytes())["schemaVersion"] == 2


def test_a_replaced_index_is_read_again_and_only_then(tmp_path: Path) -> None:
    layout = MadeLayout(tmp_path / "images")
    layout.index(named(layout.manifest([layer({"a": b"1"})]), NAME))
    first = BaseImages.read(layout.folder)
    assert BaseImages.read(layout.folder) is first

    second = layout.manifest([layer({"a": b"2"})])
    (tmp_path / "new").write_text(json.dumps({"manifests": [named(second, NAME)]}))
    os.replace(tmp_path / "new", layout.folder / "index.json")

    assert BaseImages.read(layout.folder).digest(NAME) == second["digest"]


def test_a_name_that_is_missing_is_the_operators_matter(tmp_path: Path) -> None:
    layout = MadeLayout(tmp_path / "images")
    layout.index()

    with pytest.raises(BaseImagesUnusable) as caught:
        BaseImages.read(layout.folder).digest("stackyn/go:1.25")

    assert "scripts/base-images" in caught.value.failure.hint
    assert caught.value.reason == f"{layout.folder} has no image stackyn/go:1.25"


def _two_for_one_name(layout: MadeLayout) -> str:
    entries = [named(layout.manifest([layer({"a": content})]), NAME) for content in (b"1", b"2")]
    return json.dumps({"manifests": entries})


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "can't be read"),
        (lambda layout: "{", "can't be used"),
        (lambda layout: "[" * 100_000, "can't be used"),
        (lambda layout: '{"manifests": {}}', "no list of manifests"),
        (
            lambda layout: '{"manifests": [{"mediaType": "application/vnd.oci.image.index.v1+json"}]}',
            "not the manifest",
        ),
        (_two_for_one_name, "stands for two images"),
        (lambda layout: " " * 5_000_000, "larger than"),
    ],
)  # fmt: skip
def test_a_layout_that_is_none_is_named_with_the_reason(
    tmp_path: Path, content: Callable[[MadeLayout], str] | None, reason: str
) -> None:
    layout = MadeLayout(tmp_path / "images")
    if content is not None:
        (layout.folder / "index.json").write_text(content(layout))

    with pytest.raises(BaseImagesUnusable, match=reason):
        BaseImages.read(layout.folder)


def test_only_a_digest_leads_to_a_blob(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        BaseImages(tmp_path, {}).blob("sha256:../../../etc/passwd")
