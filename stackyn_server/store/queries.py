"""SQL in files: `store/sql/<file>.sql` holds named blocks, which modules read as attributes.

A block begins with a line `-- name: claim` and ends at the next such line.
"""

from __future__ import annotations

import re
from importlib import resources

_HEADER = re.compile(r"^--\s*name:\s*(\S+)\s*$")


class Queries:
    """The blocks of one file: `load("jobs").claim` is SQL text. An unknown name raises AttributeError."""

    def __init__(self, file: str, blocks: dict[str, str]) -> None:
        self._file = file
        self._blocks = blocks

    def __getattr__(self, name: str) -> str:
        try:
            return self._blocks[name]
        except KeyError:
            raise AttributeError(f"sql/{self._file}.sql has no block named {name!r}") from None

    def __dir__(self) -> list[str]:
        return sorted(self._blocks)


def load(name: str) -> Queries:
    """Read `store/sql/<name>.sql`. Raises ValueError for a file with a doubled, empty or badly named block."""
    text = resources.files("stackyn_server.store").joinpath("sql", f"{name}.sql").read_text("utf-8")
    return Queries(name, parse(text, name))


def parse(text: str, file: str) -> dict[str, str]:
    """Split SQL text into its named blocks. Text before the first header must be comments or blank."""
    blocks: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if header := _HEADER.match(line):
            block = header.group(1)
            if not block.isidentifier() or block in blocks:
                raise ValueError(f"sql/{file}.sql: block {block!r} is doubled or not an identifier")
            current = blocks[block] = []
        elif blocks:
            current.append(line)
        elif line.strip() and not line.lstrip().startswith("--"):
            raise ValueError(f"sql/{file}.sql: a statement stands before the first block")
    joined = {block: "\n".join(lines).strip() for block, lines in blocks.items()}
    for block, sql in joined.items():
        if not sql:
            raise ValueError(f"sql/{file}.sql: block {block!r} is empty")
    return joined
