"""Makes text from outside (git, files, builds, apps, the engine) storable: no NUL, no half characters, bounded.

The connection (`store.database`) applies this to every text and JSON value, so that no text of a tenant can keep a row
from being written.
"""

from __future__ import annotations

import math
import re
from typing import Any

MOST_BYTES = 1_048_576  # of one text: a backstop, for whoever makes a text bounds it closer
MOST_LEVELS = 64  # of a JSON value inside others

_REFUSED = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def is_storable(text: str) -> bool:
    """Whether PostgreSQL keeps the text as it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def storable(text: str, most_bytes: int = MOST_BYTES) -> str:
    """Return the text with U+FFFD for each character that PostgreSQL refuses, and at most `most_bytes` of UTF-8.

    A longer one loses its middle: the cause of a failure stands at either end of its output.
    """
    if not is_storable(text):
        text = _REFUSED.sub(_REPLACEMENT, text)
    encoded = text.encode()
    if len(encoded) <= most_bytes:
        return text
    notice = f"\n[{len(encoded) - most_bytes} bytes are left out here.]\n".encode()
    kept = max(0, most_bytes - len(notice))
    ends = (encoded[: kept // 2], notice, encoded[len(encoded) - (kept - kept // 2) :])
    return b"".join(ends).decode(errors="ignore")


def storable_json(value: Any, levels: int = MOST_LEVELS) -> Any:
    """Return a JSON value in which every text and key is storable. What is no JSON number, or deeper, is null."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict | list | tuple) and levels == 0:
        return None
    if isinstance(value, dict):
        return {
            storable(key) if isinstance(key, str) else key: storable_json(inner, levels - 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [storable_json(inner, levels - 1) for inner in value]
    return value
