"""The build key: a hash of everything that an image is made from. Builds with the same key give the same image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

_VERSION = 1
# Parts of a plan that an image does not depend on.
_BESIDE = ("reasons", "port", "deploying", "base_images", "repeatable")


def build_key(
    *,
    tree: str,
    root: str,
    target: str | None,
    plan: Mapping[str, Any],
    base_images: Sequence[str],
    digests: Mapping[str, str],
    builder: str,
    secret: str,
) -> str | None:
    """Return the key, or None when the image may change although all of this stays the same.

    `tree` is the id of all files, `plan` a stored one, `base_images` are the names after FROM, `digests` those of the
    platform's own images, `builder` stands for the image that builds run in, `secret` for what the build is told
    beside its files (a keyed hash of it).
    """
    fixed = {name: digests.get(name) or _digest_in(name) for name in base_images}
    if not plan.get("repeatable") or None in fixed.values():
        return None
    parts = {
        "version": _VERSION,
        "tree": tree,
        "root": root,
        "target": target,
        "plan": {name: value for name, value in plan.items() if name not in _BESIDE},
        "base_images": fixed,
        "builder": builder,
        "secret": secret,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digest_in(name: str) -> str | None:
    """Return the digest at the end of an image's name, which pins the image."""
    _, at, digest = name.partition("@sha256:")
    return digest if at and len(digest) == 64 else None
