"""The app under load: an HTTP/1.1 server of the standard library that keeps its connections and dies at SIGTERM.

It runs in its container beside a file `release.json`, {"name": …, "behaviour": …}. Every answer begins with the word
for its behaviour and its release's name, so that a visitor knows who answered.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import sys
from pathlib import Path

SLOW_SECONDS = 5.0
TICK_SECONDS = 0.2
LIVES_SECONDS = 2.0
WEBSOCKET_KEY = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3

Headers = dict[str, str]


async def main(name: str, behaviour: str) -> None:
    if behaviour == "crashes":
        sys.exit("crashed as told")
    if behaviour == "leaves":
        asyncio.get_running_loop().call_later(LIVES_SECONDS, os._exit, 7)
    serving = Serving(name, behaviour)
    server = await asyncio.start_server(serving.connection, "0.0.0.0", int(os.environ["PORT"]), backlog=1024)
    await server.serve_forever()


class Serving:
    def __init__(self, name: str, behaviour: str) -> None:
        self._name, self._behaviour = name, behaviour

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._request(reader, writer):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return  # the visitor is gone
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.rstrip().split("\r\n")
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        path = request.split(" ")[1]
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if self._behaviour == "hangs":
            await asyncio.Event().wait()
        if path == "/socket":
            return await self._echo(headers, reader, writer)
        if path == "/events":
            return await self._count(writer)
        if path == "/slow":
            await asyncio.sleep(SLOW_SECONDS)
        digest = hashlib.sha256(body).hexdigest() if body else ""
        text = f"{self._behaviour} {self._name} {digest}".encode()
        status = "500 Internal Server Error" if self._behaviour == "fails" else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text)
        return True

    async def _echo(
        self, headers: Headers, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Send each short text frame of a WebSocket back."""
        key = headers["sec-websocket-key"] + WEBSOCKET_KEY
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
        )
        while True:
            await writer.drain()
            first, length = await reader.readexactly(2)
            mask, size = await reader.readexactly(4), length & 0x7F
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(await reader.readexactly(size)))
            writer.write(bytes([first, size]) + payload)
            if first & 0x0F == 8:  # close
                return False

    async def _count(self, writer: asyncio.StreamWriter) -> bool:
        """An event stream without end: 0, 1, 2 …"""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        number = 0
        while True:
            writer.write(f"data: {number}\n\n".encode())
            await writer.drain()
            await asyncio.sleep(TICK_SECONDS)
            number += 1


if __name__ == "__main__":
    release = json.loads((Path(__file__).parent / "release.json").read_text())
    asyncio.run(main(release["name"], release["behaviour"]))
