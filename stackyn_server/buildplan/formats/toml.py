"""Parse tenants' TOML with the standard library, and refuse keys that would take it quadratic time."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

# The most parts of a key such as `a.b.c`: the parser compares each part with all before it.
_MOST_KEY_PARTS = 64
_NO_KEY = frozenset("\n=,")


@lru_cache(maxsize=2)  # several readers ask for the same file
def parse_toml(text: str) -> Mapping[str, Any]:
    """Return the document. Raises `tomllib.TOMLDecodeError`, and `RecursionError` for deep arrays and tables."""
    in_a_row = 0
    for part in text.split("."):
        in_a_row = 0 if not part.strip() or not _NO_KEY.isdisjoint(part) else in_a_row + 1
        if in_a_row > _MOST_KEY_PARTS:
            raise tomllib.TOMLDecodeError(f"a key has more than {_MOST_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except ValueError as error:  # Python refuses a number of thousands of digits
        raise tomllib.TOMLDecodeError(str(error)) from error
