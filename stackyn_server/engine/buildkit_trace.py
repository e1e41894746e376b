"""The progress records of BuildKit: protobuf messages of moby/buildkit's api/services/control/control.proto, of which
five are read (StatusResponse, Vertex, VertexLog, VertexWarning and the wire format itself)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field

Value = int | bytes

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class TraceInvalid(ValueError):
    """The bytes are not a message of this kind."""


@dataclass(frozen=True, slots=True)
class Vertex:
    """One step. It comes again with each change; `digest` is its identity."""

    digest: str
    name: str
    cached: bool
    started: bool
    completed: bool
    error: str


@dataclass(frozen=True, slots=True)
class VertexLog:
    vertex: str
    message: bytes


@dataclass(frozen=True, slots=True)
class Trace:
    vertexes: list[Vertex] = field(default_factory=list)
    logs: list[VertexLog] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def decode(text: str) -> Trace:
    """Read the `aux` of a `moby.buildkit.trace` record (base64). Raises `TraceInvalid`."""
    try:
        content = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise TraceInvalid("not base64") from error
    trace = Trace()
    for number, value in _fields(content):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            trace.vertexes.append(_vertex(value))
        elif number == 3:
            trace.logs.append(_log(value))
        elif number == 4:
            trace.warnings.append(_warning(value))
    return trace


def _vertex(content: bytes) -> Vertex:
    found = dict(_fields(content))
    return Vertex(
        digest=_text(found.get(1)),
        name=_text(found.get(3)),
        cached=bool(found.get(4)),
        started=5 in found,
        completed=6 in found,
        error=_text(found.get(7)),
    )


def _log(content: bytes) -> VertexLog:
    found = dict(_fields(content))
    message = found.get(4, b"")
    return VertexLog(_text(found.get(1)), message if isinstance(message, bytes) else b"")


def _warning(content: bytes) -> str:
    return _text(dict(_fields(content)).get(3))


def _text(value: Value | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _fields(content: bytes) -> Iterator[tuple[int, Value]]:
    """Yield field number and value; fixed-width numbers, which we have no use for, as their bytes."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(content, position)
            yield number, value
            continue
        if kind == _LENGTH:
            length, position = _varint(content, position)
        elif kind == _FIXED64:
            length = 8
        elif kind == _FIXED32:
            length = 4
        else:
            raise TraceInvalid(f"wire type {kind}")
        if position + length > len(content):
            raise TraceInvalid("cut off")
        yield number, content[position : position + length]
        position += length


def _varint(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(content) or shift > 63:
            raise TraceInvalid("cut off")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
