"""Whether the server lives, and whether it can do its whole work."""

from __future__ import annotations

from stackyn_server.api.wire.base import Answer


class Alive(Answer):
    status: str


class Ready(Answer):
    """`parts` says for each part what it is doing, or what is wrong with it."""

    status: str
    parts: dict[str, str]
