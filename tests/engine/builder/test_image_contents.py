"""What a build leaves is read as a stranger's: an honest image passes, everything else is refused with a reason."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stackyn_server.engine.builder.built_layout import BuiltLayout
from stackyn_server.engine.builder.image_contents import ImageContents, ImageLimits, read_contents
from stackyn_server.engine.builder.image_refused import ImageRefused
from tests.engine.builder.layouts import ARCHITECTURE, CONFIG, LAYER, MANIFEST, MadeLayout, layer, named
from tests.patience import patient, processor_seconds

LIMITS = ImageLimits(image_bytes=1_000_000, layer_members=100)
OURS = {"io.stackyn.image.installation": "ours", "io.stackyn.image.app": "7"}
FILES = layer({"app": b"print()"})
MOST_LABELS = {str(number): "" for number in range(75_000)}  # as many as a document has room for


@pytest.fixture
def layout(tmp_path: Path) -> MadeLayout:
    return MadeLayout(tmp_path / "out")


@pytest.fixture
def base(tmp_path: Path) -> MadeLayout:
    return MadeLayout(tmp_path / "images")


def read(layout: MadeLayout, limits: ImageLimits = LIMITS) -> ImageContents:
    with BuiltLayout.open(layout.folder) as built, BuiltLayout.open(layout.folder.parent / "images") as base:
        return read_contents(built, base, OURS, ARCHITECTURE, limits)


def settings_of(contents: ImageContents) -> dict[str, Any]:
    settings = json.loads(contents.config)["config"]
    assert isinstance(settings, dict)
    return settings


def test_what_an_app_decides_is_kept(layout: MadeLayout, base: MadeLayout) -> None:
    settings = {
        "User": "app",
        "ExposedPorts": {"3000/tcp": {}},
        "Env": ["PATH=/bin"],
        "Cmd": ["serve"],
        "Entrypoint": ["/bin/run"],
        "WorkingDir": "/srv",
        "Volumes": {"/data": {}},
        "StopSignal": "SIGQUIT",
        "OnBuild": ["RUN true"],
    }
    layout.image([FILES], settings | {"Labels": {"maintainer": "somebody"}})

    image_settings = settings_of(read(layout))

    assert image_settings == settings | {"Labels": {"maintainer": "somebody"} | OURS}


def test_large_configuration_is_accepted_up_to_its_limit(layout: MadeLayout, base: MadeLayout) -> None:
    """The limit is for those who write megabytes: every port, and each of them again in the history."""
    ports = {f"{port}/tcp": {} for port in range(1, 65_536)}
    layout.image([FILES], {"ExposedPorts": ports}, history=[{"created_by": f"EXPOSE {list(ports)}"}])
    assert settings_of(read(layout))["ExposedPorts"] == ports

    layout.image([FILES], {"Env": [f"A{number}={'x' * 100_000}" for number in range(50)]})
    with pytest.raises(ImageRefused, match=r"The image's configuration has 5,[0-9,]+ bytes"):
        read(layout)


def test_labels_of_ours_are_ours_alone(layout: MadeLayout, base: MadeLayout) -> None:
    forged = {
        "io.stackyn.image.app": "8",
        "io.stackyn.image.role": "ingress",
        "io.stackyn.instance": "1",
        "io.stackyn.": "x",
    }
    layout.image([FILES], {"Labels": forged, "Healthcheck": {"Test": ["CMD", "true"]}})

    settings = settings_of(read(layout))

    assert settings == {"Labels": OURS}


def test_a_layer_of_a_base_image_is_the_platforms_own_file(layout: MadeLayout, base: MadeLayout) -> None:
    below = layer({"lib": b"shared"})
    descriptor = base.blob(below, LAYER)
    layout.image([below, FILES])
    layout.path(descriptor["digest"]).unlink()
    layout.path(descriptor["digest"]).symlink_to("/etc/passwd")  # as the builder's own link, or another one

    contents = read(layout)

    assert [image_layer.is_from_base for image_layer in contents.layers] == [True, False]
    assert [image_layer.size for image_layer in contents.layers] == [len(below), len(FILES)]


def test_an_image_that_is_a_base_image_is_taken(layout: MadeLayout, base: MadeLayout) -> None:
    """The builder has links to all blobs of base images, and writes none of them again."""
    for image_layout in (layout, base):
        image_layout.image([FILES], {"Cmd": ["a"]})
    for blob in layout.blobs.iterdir():
        blob.unlink()
        blob.symlink_to(f"/oci/blobs/sha256/{blob.name}")

    assert settings_of(read(layout))["Cmd"] == ["a"]


def test_names_in_the_index_mean_nothing(layout: MadeLayout, base: MadeLayout) -> None:
    plain = layout.manifest([FILES], {"Cmd": ["a"]})
    layout.index(plain)
    expected = read(layout).manifest

    layout.index(
        named(plain, "stackyn/python:3.11"), annotations={"io.containerd.image.name": "stackyn/ingress:1"}
    )

    assert read(layout).manifest == expected
    assert b"stackyn/python" not in expected


def _symlink(layout: MadeLayout, digest: str, target: str) -> None:
    layout.path(digest).unlink()
    layout.path(digest).symlink_to(target)


def _first_layer(layout: MadeLayout) -> str:
    index = json.loads((layout.folder / "index.json").read_bytes())
    manifest = json.loads(layout.path(index["manifests"][0]["digest"]).read_bytes())
    return str(manifest["layers"][0]["digest"])


def _index_is_a_link(layout: MadeLayout) -> None:
    (layout.folder / "index.json").rename(layout.folder / "moved")
    (layout.folder / "index.json").symlink_to("moved")


def _index_is_a_fifo(layout: MadeLayout) -> None:
    (layout.folder / "index.json").unlink()
    os.mkfifo(layout.folder / "index.json")


def _blobs_is_a_link(layout: MadeLayout) -> None:
    layout.blobs.rename(layout.folder / "elsewhere")
    layout.blobs.symlink_to(layout.folder / "elsewhere")


def _layout_is_a_link(layout: MadeLayout) -> None:
    layout.folder.rename(layout.folder.parent / "elsewhere")
    layout.folder.symlink_to(layout.folder.parent / "elsewhere")


def _manifest_changed(layout: MadeLayout) -> None:
    index = json.loads((layout.folder / "index.json").read_bytes())
    with layout.path(index["manifests"][0]["digest"]).open("ab") as file:
        file.write(b" ")


def _manifest_named(digest: str) -> Callable[[MadeLayout], None]:
    return lambda layout: layout.index({"mediaType": MANIFEST, "digest": digest, "size": 1})


def _layers(*descriptors: object) -> Callable[[MadeLayout], None]:
    def change(layout: MadeLayout) -> None:
        config = layout.document({"os": "linux", "architecture": ARCHITECTURE}, CONFIG)
        layout.index(layout.document({"config": config, "layers": list(descriptors)}, MANIFEST))

    return change


def _large_config(layout: MadeLayout) -> None:
    layout.image([FILES], {"Labels": {"a": "b" * 5_000_000}})


NO_IMAGE = "did not leave an image that can be used"
CRAFTED: dict[str, tuple[Callable[[MadeLayout], object], str, str]] = {
    "index missing": (lambda layout: (layout.folder / "index.json").unlink(), NO_IMAGE, "No such file"),
    "index linked": (_index_is_a_link, NO_IMAGE, "symbolic links"),
    "index a FIFO": (_index_is_a_fifo, NO_IMAGE, "no regular file"),
    "index huge": (lambda layout: os.truncate(layout.folder / "index.json", 10**12), NO_IMAGE, "more than 65536"),
    "index nested": (lambda layout: (layout.folder / "index.json").write_text("[" * 60_000), NO_IMAGE, "no JSON"),
    "blobs linked": (_blobs_is_a_link, NO_IMAGE, "Not a directory"),
    "layout linked": (_layout_is_a_link, NO_IMAGE, "Not a directory"),
    "no manifest": (lambda layout: layout.index(), NO_IMAGE, "no manifests"),
    "two manifests": (
        lambda layout: layout.index(layout.manifest([FILES]), layout.manifest([FILES], {"User": "b"})),
        "more than one image",
        "2 entries",
    ),
    "an index in the index": (
        lambda layout: layout.index(
            {**layout.manifest([FILES]), "mediaType": "application/vnd.oci.image.index.v1+json"}
        ),
        "more than one image",
        "1 entries",
    ),
    "manifest changed": (_manifest_changed, NO_IMAGE, "other content than its name says"),
    "manifest missing": (_manifest_named("sha256:" + "0" * 64), NO_IMAGE, "No such file"),
    "manifest elsewhere": (_manifest_named("sha256:../../../../etc/hostname"), NO_IMAGE, "no SHA-256 digest"),
    "config huge": (_large_config, "The image's configuration has", ""),
    "layer linked to a file of the host": (
        lambda layout: _symlink(layout, _first_layer(layout), "/etc/shadow"),
        NO_IMAGE,
        "symbolic links",
    ),
    "layer missing": (lambda layout: layout.path(_first_layer(layout)).unlink(), NO_IMAGE, "No such file"),
    "layer huge": (
        lambda layout: os.truncate(layout.path(_first_layer(layout)), 10**12),
        "larger than 0 MiB",
        "",
    ),
    "layer compressed": (
        _layers({"mediaType": LAYER + "+gzip", "digest": "sha256:" + "0" * 64}),
        NO_IMAGE,
        "compressed",
    ),
    "layer no descriptor": (_layers("sha256:" + "0" * 64), NO_IMAGE, "of an unknown kind"),
    "128 layers": (_layers(*[{"mediaType": LAYER}] * 128), "128 layers; at most 127", ""),
    "no layers": (_layers(), "The image is empty", ""),
    "another architecture": (
        lambda layout: layout.image([FILES], architecture="mips"),
        f"made for linux/mips, and this server runs linux/{ARCHITECTURE}",
        "",
    ),
    "another system": (lambda layout: layout.image([FILES], os="win<dows"), "made for win?dows/", ""),
    "Cmd a number": (lambda layout: layout.image([FILES], {"Cmd": 7}), NO_IMAGE, "Cmd"),
    "volume at /proc": (
        lambda layout: layout.image([FILES], {"Volumes": {"/data/../proc/x": {}}}),
        "a volume at /proc/x",
        "",
    ),
    "volume at /": (lambda layout: layout.image([FILES], {"Volumes": {"/": {}}}), "a volume at /,", ""),
    "many volumes": (
        lambda layout: layout.image([FILES], {"Volumes": {f"/v{n}": {} for n in range(40)}}),
        "40 volumes",
        "",
    ),
    "no port": (lambda layout: layout.image([FILES], {"ExposedPorts": {"70000/tcp": {}}}), "exposes 70000/tcp", ""),
    "no signal": (lambda layout: layout.image([FILES], {"StopSignal": "x y"}), "stop signal x?y", ""),
    "many files": (
        lambda layout: layout.image([layer({str(n): b"" for n in range(101)})]),
        "more than 100 files",
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_output_is_refused(layout: MadeLayout, base: MadeLayout, name: str) -> None:
    craft, message, note = CRAFTED[name]
    layout.image([FILES])
    read(layout)  # honest before: the test can fail
    craft(layout)

    with pytest.raises(ImageRefused) as caught:
        read(layout)

    assert message in caught.value.message
    assert note in "".join(getattr(caught.value, "__notes__", ()))


def _member(**changes: Any) -> bytes:
    member = tarfile.TarInfo("a")
    for key, value in changes.items():
        setattr(member, key, value)
    return member.tobuf(tarfile.PAX_FORMAT)


def _extended(records: bytes, kind: bytes = b"x") -> bytes:
    return _member(type=kind, size=len(records)) + records + b"\0" * (-len(records) % 512)


def _record(key: bytes, value: bytes) -> bytes:
    text = b" " + key + b"=" + value + b"\n"
    length = len(text) + 2
    return str(length).encode() + text


END = bytes(1024)
SPARSE = _extended(_record(b"GNU.sparse.size", b"99999999999")) + _member()


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (SPARSE + END, "sparse"),
        (_member(type=b"S") + END, "type 83"),
        (_extended(b"99 size=1\n") + _member() + END, "broken extended"),
        (_extended(b"size") + _member() + END, "broken extended"),
        (_extended(_record(b"size", b"-512")) + _member() + END, "no number"),
        (_member()[:124] + b"\xff" * 12 + _member()[136:] + END, "negative"),
        (_member()[:124] + b"12x45678901\0" + _member()[136:] + END, "no number"),
        (_member(size=10**6) + END, "cut off"),
        (_member()[:300], "cut off"),
        (_extended(_record(b"path", b"folder/")) + _member(type=b"\0") + END, "before 1988"),
        # The size of a link is not obeyed, so what follows is a member and not its content.
        (_member(type=b"2", size=1024, linkname="b") + SPARSE + END, "sparse"),
        # What an extended header told ends with a global one.
        (
            _extended(_record(b"size", b"2048")) + _extended(b"", b"g") + _member() + SPARSE + END,
            "sparse",
        ),
        (os.urandom(512).replace(b"x", b"y")[:156] + b"?" + bytes(355), "type 63"),
    ],
)
def test_a_layer_that_hides_something_is_refused(
    layout: MadeLayout, base: MadeLayout, content: bytes, note: str
) -> None:
    layout.image([content])

    with pytest.raises(ImageRefused) as caught:
        read(layout)

    assert note in "".join(getattr(caught.value, "__notes__", ()))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_members_of_an_honest_layer_are_counted(layout: MadeLayout, base: MadeLayout, form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for number in range(50):
            member = tarfile.TarInfo(f"{'long' if form == tarfile.USTAR_FORMAT else 'long' * 40}/{number}")
            member.size = number * 100
            archive.addfile(member, io.BytesIO(bytes(member.size)))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"kind-{kind.decode()}")
            member.type, member.linkname = kind, "long"
            archive.addfile(member)
    layout.image([buffer.getvalue()])

    assert read(layout, ImageLimits(1_000_000, 54)).layers[0].size == len(buffer.getvalue())
    with pytest.raises(ImageRefused, match="more than 53 files"):
        read(layout, ImageLimits(1_000_000, 53))


def test_the_largest_documents_are_read_in_linear_time(layout: MadeLayout, base: MadeLayout) -> None:
    """The limit ends a reader of quadratic time; `tests/bench/engine` asserts the seconds."""
    layout.image([FILES], {"Labels": MOST_LABELS})

    assert processor_seconds(lambda: read(layout)) < patient(10)
