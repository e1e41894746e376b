"""Calls over HTTP/2 without TLS, as a gRPC client makes them: many on one connection. RFC 9113, with header blocks that
need no table (RFC 7541)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.patience import patient

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GO_AWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_STATUS_OK = 0x88  # the indexed field `:status: 200`, which comes first
_POST, _HTTP, _PATH, _AUTHORITY = b"\x83", b"\x86", b"\x44", b"\x41"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class CallFailed(Exception):
    """No answer, or not status 200."""


class Caller:
    """One client of `host` at an entry point on loopback; not for several tasks at once."""

    def __init__(self, port: int, host: str) -> None:
        self._port = port
        self._host = host.encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._number = -1

    async def call(self, path: str, message: bytes = b"you") -> bytes:
        """POST `message` and return the body of the answer. Raises `CallFailed`."""
        try:
            async with asyncio.timeout(patient(20)):
                return await self._call(path.encode(), message)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.close()
            raise CallFailed(repr(error)) from error

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
        self._streams = None

    async def _call(self, path: bytes, message: bytes) -> bytes:
        reader, writer = await self._connection()
        self._number += 2
        fields = [
            _POST,
            _HTTP,
            _PATH,
            bytes([len(path)]),
            path,
            _AUTHORITY,
            bytes([len(self._host)]),
            self._host,
        ]
        writer.write(_frame(_HEADERS, _END_HEADERS, self._number, b"".join(fields)))
        writer.write(_frame(_DATA, _END_STREAM, self._number, message))
        body, is_leaving = b"", False
        while True:
            head = await reader.readexactly(9)
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:]) & 0x7FFFFFFF
            content = await reader.readexactly(int.from_bytes(head[:3]))
            if kind == _SETTINGS and not flags & _ACK:
                writer.write(_frame(_SETTINGS, _ACK, 0, b""))
            elif kind == _PING and not flags & _ACK:
                writer.write(_frame(_PING, _ACK, 0, content))
            elif kind == _GO_AWAY:
                is_leaving = True
            elif stream != self._number or kind == _WINDOW:
                continue
            elif kind == _RESET or (kind == _HEADERS and not body and content[0] != _STATUS_OK):
                self.close()
                raise CallFailed(f"frame {kind}: {content!r}")
            elif kind == _DATA:
                body += content
            if stream == self._number and kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                if is_leaving or self._number > 999:  # before the connection's window is used up
                    self.close()
                return body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            self._streams[1].write(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
            self._number = -1
        return self._streams


@asynccontextmanager
async def calling(port: int, host: str, paths: list[str]) -> AsyncIterator[tuple[list[bytes], list[str]]]:
    """Have one client for each path call it all the time; yields the answers and the failures so far."""
    answers: list[bytes] = []
    failures: list[str] = []
    ended = asyncio.Event()

    async def go_on(path: str) -> None:
        caller = Caller(port, host)
        while not ended.is_set():
            try:
                answers.append(await caller.call(path))
            except CallFailed as error:
                failures.append(f"{path}: {error}")
                await asyncio.sleep(0.05)
        caller.close()

    async with asyncio.TaskGroup() as group:
        for path in paths:
            group.create_task(go_on(path), name=f"h2c{path}")
        try:
            yield answers, failures
        finally:
            ended.set()


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content
