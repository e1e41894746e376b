"""The user that the builds of a tenant run as: numbers of its own outside of the builder's container.

The kernel counts some things by user (inotify instances, pages of pipes). With one user for all builders, the build of
one tenant could use up what another's needs. Inside its container the builder is always `user`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from stackyn_server.domain.ids import UserId

NAMES = "names"  # the folder, beside that of a cache, with the files below
_NAME = "user"  # as in the builder image
_SUBORDINATES = 65_536
# Above the numbers of people and below those of our proxies; each tenant has one user and its subordinates.
_TENANTS = 4096
_FIRST_USER = 1_000_000_000
_FIRST_SUBORDINATE = 1_001_000_000


@dataclass(frozen=True, slots=True)
class BuilderUser:
    """`uid` is the number of user and group; in builds it is root, and the other users are `subordinate` and up."""

    uid: int
    subordinate: int

    @property
    def files(self) -> dict[str, str]:
        """Path → content of the files in the container by which it is known."""
        subordinates = f"{_NAME}:{self.subordinate}:{_SUBORDINATES}\n"
        return {
            "/etc/passwd": f"root:x:0:0::/root:/bin/sh\n{_NAME}:x:{self.uid}:{self.uid}::/home/user:/bin/sh\n",
            "/etc/group": f"root:x:0:\n{_NAME}:x:{self.uid}:\n",
            "/etc/subuid": subordinates,
            "/etc/subgid": subordinates,
        }

    def write_files(self, folder: Path) -> None:
        """Write the files, by their last names, into a folder that no build can change. Blocking."""
        folder.mkdir(exist_ok=True)
        for path, content in self.files.items():
            file = folder / Path(path).name
            file.write_text(content)
            file.chmod(0o644)  # whatever the server's umask is


def user_of(tenant: UserId) -> BuilderUser:
    """Return the user of a tenant's builds; one of 4,096, so that two tenants rarely have the same."""
    number = int.from_bytes(hashlib.sha256(tenant.bytes).digest()[:8]) % _TENANTS
    return BuilderUser(_FIRST_USER + number, _FIRST_SUBORDINATE + number * _SUBORDINATES)
