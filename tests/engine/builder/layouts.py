"""OCI image layouts as a builder leaves them, honest and crafted."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class MadeLayout:
    """A layout in `folder`; each method writes, and returns a descriptor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = folder / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def path(self, digest: str) -> Path:
        return self.blobs / digest.removeprefix("sha256:")

    def blob(self, content: bytes, kind: str) -> dict[str, Any]:
        digest = digest_of(content)
        self.path(digest).write_bytes(content)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def document(self, value: object, kind: str) -> dict[str, Any]:
        return self.blob(json.dumps(value).encode(), kind)

    def manifest(
        self, layers: list[bytes], settings: dict[str, Any] | None = None, **changes: Any
    ) -> dict[str, Any]:
        """`changes` of the configuration."""
        config = {
            "os": "linux",
            "architecture": ARCHITECTURE,
            "config": settings or {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(content) for content in layers]},
            "history": [{"created_by": "a stranger"}],
        } | changes
        return self.document(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self.document(config, CONFIG),
                "layers": [self.blob(content, LAYER) for content in layers],
            },
            MANIFEST,
        )

    def index(self, *entries: dict[str, Any], **changes: Any) -> None:
        (self.folder / "index.json").write_text(
            json.dumps({"schemaVersion": 2, "manifests": list(entries)} | changes)
        )

    def image(
        self, layers: list[bytes], settings: dict[str, Any] | None = None, **changes: Any
    ) -> MadeLayout:
        self.index(self.manifest(layers, settings, **changes))
        return self


def named(descriptor: dict[str, Any], name: str) -> dict[str, Any]:
    return descriptor | {"annotations": {"org.opencontainers.image.ref.name": name}}
