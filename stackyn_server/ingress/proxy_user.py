"""The user that our own proxy runs as: a number that nobody else on this machine has.

The kernel counts some things by user (inotify instances and watches, pages of pipes), so a container that uses up all
of root's, or of a user whose number can be guessed, would leave nothing for the proxy. Two sockets share a port only
when one user has both; and only this user may read the routes.
"""

from __future__ import annotations

import hashlib
import os

from stackyn_server.config import IngressSettings

# Above what systemd gives to containers (1,879,048,191), and below what the engine takes (2^31).
_FIRST, _LAST = 1_900_000_000, 2**31 - 2


def proxy_uid(settings: IngressSettings, secret: str) -> int | None:
    """Return the number of user and group, made from the installation's `secret`.

    None for root: an image of the operator's may not listen on port 80 as another user, and only root can give files
    away.
    """
    if settings.image or os.geteuid() != 0:
        return None
    digest = hashlib.sha256(f"the user of the proxy of {secret}".encode()).digest()
    return _FIRST + int.from_bytes(digest[:8]) % (_LAST - _FIRST)
