"""One log before it is stored: pieces of text become clean, redacted lines, and lines become chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from stackyn_server.domain.ids import AppId, DeploymentId
from stackyn_server.domain.logs import LogKind
from stackyn_server.domain.terminal import Lines
from stackyn_server.domain.text import storable

CHUNK_BYTES = 16 * 1024
_MEBIBYTE = 1024 * 1024

Redact = Callable[[str], str]
Key = tuple[AppId, DeploymentId, LogKind]


@dataclass(slots=True)
class Stream:
    """`stored` is how many bytes of this log the database has, None until that was read. `limit` in bytes."""

    key: Key
    redact: Redact
    limit: int | None
    stored: int | None = None
    pending_bytes: int = 0
    _lines: Lines = field(default_factory=Lines)
    _pending: list[str] = field(default_factory=list)
    _left_out: int = 0

    @property
    def has_pending(self) -> bool:
        return bool(self._pending or self._left_out)

    def feed(self, text: str, free_bytes: int) -> int:
        """Take more of the log and return how many bytes that keeps in memory.

        Lines beyond `free_bytes` are only counted, and those beyond the limit are dropped.
        """
        return self._keep(self._lines.feed(text), free_bytes)

    def end_line(self, free_bytes: int) -> int:
        """End the last line, which has no newline. Otherwise like `feed`."""
        return self._keep(self._lines.rest(), free_bytes)

    def _keep(self, lines: list[str], free_bytes: int) -> int:
        kept_bytes = 0
        if self._is_full():
            return kept_bytes
        for line in lines:
            line = self.redact(storable(line)) + "\n"
            size = len(line.encode())
            if self._left_out or kept_bytes + size > free_bytes:
                self._left_out += 1
            else:
                self._pending.append(line)
                kept_bytes += size
        self.pending_bytes += kept_bytes
        return kept_bytes

    def _is_full(self) -> bool:
        return self.limit is not None and self.stored is not None and self.stored > self.limit

    def take_chunks(self) -> list[str]:
        """Return the texts to store now and forget them. `stored` must be known; it grows by what is returned."""
        assert self.stored is not None
        lines, left_out = self._pending, self._left_out
        self._pending, self._left_out, self.pending_bytes = [], 0, 0
        if left_out:
            lines.append(
                f"[{left_out} lines are missing here: they came faster than they could be stored.]\n"
            )
        chunks: list[str] = []
        chunk: list[str] = []
        chunk_bytes = 0
        for line in lines:
            line = self._within_limit(line)
            size = len(line.encode())
            if chunk_bytes and chunk_bytes + size > CHUNK_BYTES:
                chunks.append("".join(chunk))
                chunk, chunk_bytes = [], 0
            chunk.append(line)
            chunk_bytes += size
            self.stored += size
        return [*chunks, "".join(chunk)] if chunk_bytes else chunks

    def _within_limit(self, line: str) -> str:
        """Return the line; where it reaches the limit, cut and with a last notice; "" after that."""
        assert self.stored is not None
        if self.limit is None or self.stored + len(line.encode()) <= self.limit:
            return line
        if self._is_full():
            return ""
        fitting = line.encode()[: self.limit - self.stored].decode(errors="ignore").rstrip("\n")
        notice = (
            f"[This log has reached its limit of {self.limit / _MEBIBYTE:.3g} MiB; the rest is not kept.]\n"
        )
        return f"{fitting}\n{notice}" if fitting else notice
