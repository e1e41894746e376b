"""Serve one image as a registry on loopback while the engine pulls it.

The registry has one manifest, one configuration and the layers of one build, below a path that can't be guessed. The
engine fetches only the layers that it lacks.
https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from stackyn_server.engine.builder.image_contents import CONFIG_TYPE, MANIFEST_TYPE, ImageContents, Layer

_PIECE_BYTES = 1024 * 1024
_REPOSITORY = "image"
_END_SECONDS = 1.0  # for requests that the engine still makes after a pull
_VERSION = {"Docker-Distribution-API-Version": "registry/2.0"}


@dataclass(slots=True)
class LoopbackRegistry:
    """`repository` is the name that the engine pulls. `sent` counts bytes of layers by digest; `broken` has the digests
    of layers whose content has another digest, which the engine notices too. After `is_over` is set, every request is
    answered with 404, and running answers break off."""

    repository: str = ""
    sent: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    is_over: bool = False


@asynccontextmanager
async def serve(contents: ImageContents) -> AsyncIterator[LoopbackRegistry]:
    """Serve the image until the block is left."""
    token = secrets.token_hex(16)
    registry = LoopbackRegistry()
    application = web.Application()
    application.router.add_get(
        "/v2/{path:.*}", _RequestHandler(contents, f"{token}/{_REPOSITORY}", registry).answer
    )
    # The engine tries TLS first, which aiohttp would log as an error.
    quiet = logging.getLogger(f"{__name__}.quiet")
    quiet.disabled = True
    runner = web.AppRunner(
        application, access_log=None, logger=quiet, handle_signals=False, shutdown_timeout=_END_SECONDS
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, port = runner.addresses[0][:2]
        registry.repository = f"127.0.0.1:{port}/{token}/{_REPOSITORY}"
        yield registry
    finally:
        await runner.cleanup()


class _RequestHandler:
    """Answers requests by the part of the path after `/v2/`."""

    def __init__(self, contents: ImageContents, repository: str, registry: LoopbackRegistry) -> None:
        self._registry = registry
        self._documents = {
            "": (b"{}", "application/json"),  # the check of the protocol version
            f"{repository}/manifests/{contents.manifest_digest}": (contents.manifest, MANIFEST_TYPE),
            f"{repository}/blobs/{contents.config_digest}": (contents.config, CONFIG_TYPE),
        }
        self._layers = {f"{repository}/blobs/{layer.digest}": layer for layer in contents.layers}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self._registry.is_over:
            raise web.HTTPNotFound
        path = request.match_info["path"]
        if (document := self._documents.get(path)) is not None:
            content, kind = document
            headers = {**_VERSION, "Content-Type": kind, "Docker-Content-Digest": path.rpartition("/")[2]}
            return web.Response(body=content, headers=headers)
        if (layer := self._layers.get(path)) is not None:
            return await self._send(layer, request)
        raise web.HTTPNotFound

    async def _send(self, layer: Layer, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**_VERSION, "Docker-Content-Digest": layer.digest})
        response.content_type = "application/octet-stream"
        response.content_length = layer.size
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        content, at = hashlib.sha256(), 0
        piece = b" "
        while piece:
            piece = await asyncio.to_thread(read_piece, layer, at, content)
            at += len(piece)
            # Before the last piece is sent: the engine answers as soon as it has all bytes.
            is_last = at == layer.size or not piece
            if is_last and f"sha256:{content.hexdigest()}" != layer.digest:
                self._registry.broken.add(layer.digest)
            if self._registry.is_over:
                raise ConnectionAbortedError
            await response.write(piece)
        self._registry.sent[layer.digest] = at
        await response.write_eof()
        return response


def read_piece(layer: Layer, at: int, content: hashlib._Hash) -> bytes:
    piece = os.pread(layer.descriptor, min(_PIECE_BYTES, layer.size - at), at)
    content.update(piece)
    return piece
