"""Read the settings that base images take over from this machine: certificates and settings of package clients.

Builds reach the package registries in the same way as the machine. A file that holds a credential is left out, because
tenants could read it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
_CERTIFICATES = Path("usr/local/share/ca-certificates")
_PIP = Path("etc/pip.conf")
_NPM = (Path("etc/npmrc"), Path("usr/etc/npmrc"), Path("usr/local/etc/npmrc"))
_NPM_IN_IMAGE = PurePosixPath("usr/local/etc/npmrc")
_CREDENTIAL = re.compile(rb"//[^/@\s]+@|_auth|_?password|username|token", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HostSettings:
    """`files` by path in the image; `left_out` are this machine's files that hold a credential."""

    files: Mapping[PurePosixPath, bytes]
    left_out: tuple[Path, ...]

    @property
    def digest(self) -> str:
        content = hashlib.sha256()
        for path in sorted(self.files):
            content.update(f"{path} {hashlib.sha256(self.files[path]).hexdigest()}\n".encode())
        return content.hexdigest()


def read_host_settings(root: Path = Path("/")) -> HostSettings:
    """Read the settings of this machine, or of another root (for tests)."""
    files: dict[PurePosixPath, bytes] = {}
    left_out = []
    own_certificates = sorted(file.relative_to(root) for file in (root / _CERTIFICATES).glob("*.crt"))
    for path in (_BUNDLE, *own_certificates):
        if (root / path).is_file():
            files[PurePosixPath(path)] = (root / path).read_bytes()
    npm = next((path for path in _NPM if (root / path).is_file()), None)
    for file, target in ((_PIP, PurePosixPath(_PIP)), (npm, _NPM_IN_IMAGE)):
        if file is None or not (root / file).is_file():
            continue
        content = (root / file).read_bytes()
        if _CREDENTIAL.search(content):
            left_out.append(root / file)
        else:
            files[target] = content
    return HostSettings(files, tuple(left_out))
