"""One base image, built by the sealed builder: the same container as a tenant's build has, with a context of ours."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from uuid import UUID

from stackyn_server.config import Settings
from stackyn_server.domain.ids import AppId, DeploymentId, UserId
from stackyn_server.engine.builder import BuildRequest
from stackyn_server.engine.builder.arguments import arguments, control_tar, daemon_configuration
from stackyn_server.engine.builder.container import BuilderSpec
from stackyn_server.engine.builder.registries import registry_tables
from stackyn_server.engine.builder.run import run
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.images.host import HostSettings
from stackyn_server.images.recipes import FILES, Recipe

_VOLUME = "stackyn-base-images"
_NOBODY = UserId(UUID(int=0))
_KEEP_MB = 20_480
_SHOWN_CHARACTERS = 4000
_MAX_PROCESSES = 4096


class ImageNotMade(StackynError):
    """The build ended badly. The message has the end of what it said."""

    code = "IMAGE_NOT_MADE"


@asynccontextmanager
async def workshop(engine: Engine, settings: Settings) -> AsyncIterator[Workshop]:
    """Open a cache for the images that are made together; it is gone after the block."""
    await engine.request_or_none("DELETE", f"volumes/{_VOLUME}")  # of an earlier run that was killed
    created = await engine.request("POST", "volumes/create", body={"Name": _VOLUME})
    try:
        architecture = (await engine.request("GET", "version"))["Arch"]
        yield Workshop(engine, settings, architecture, Path(created["Mountpoint"]))
    finally:
        await engine.request_or_none("DELETE", f"volumes/{_VOLUME}")


class Workshop:
    """Where base images are made, one after the other. `architecture` in Go's words; `cache` is the volume's folder."""

    def __init__(self, engine: Engine, settings: Settings, architecture: str, cache: Path) -> None:
        self._engine = engine
        self._settings = settings
        self._architecture = architecture
        self._cache = cache

    async def build(
        self, recipe: Recipe, host: HostSettings, below: Mapping[str, str], *, is_local: bool
    ) -> Path:
        """Build an image and return its OCI image layout, which the next build empties. Raises `ImageNotMade`.

        `below` are the images of ours that it may start from: name → digest.
        """
        request = self._request()
        words = arguments(request, below, has_registry=not is_local)
        words[-1] += ",force-compression=true"  # to none, also the layers of an official image
        builds = self._settings.builds
        configuration = daemon_configuration(f"linux/{self._architecture}", _KEEP_MB)
        configuration += registry_tables(builds.mirrors, builds.plain_http_registries)
        control = control_tar(words, configuration, request)
        context = await asyncio.to_thread(_context, recipe, host, is_local)
        output = bytearray()

        async def keep(piece: bytes) -> None:
            output.extend(piece)

        spec = BuilderSpec(
            app=None,
            deployment=request.deployment,
            tenant=request.tenant,
            image=self._settings.images.builder,
            network=request.network,
            volume=_VOLUME,
            base_images=self._settings.images.directory,
            limits=request.limits,
        )
        ended = await run(self._engine, spec, control, _one_piece(context), keep)
        if ended.exit_code:
            said = _readable(bytes(output)) or ended.said
            raise ImageNotMade(f"{recipe.name} was not made (exit code {ended.exit_code}):\n{said}")
        return self._cache / "out"

    def _request(self) -> BuildRequest:
        return BuildRequest(
            app=AppId(0),
            deployment=DeploymentId(0),
            tenant=_NOBODY,
            dockerfile="Dockerfile",
            network="host",  # all of it is ours, and the machine's name server may listen on loopback only
            memory_mb=self._settings.builds.memory_mb,
            cpu=self._engine.facts.processors,
            max_processes=_MAX_PROCESSES,
            tag="",
        )


async def _one_piece(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _context(recipe: Recipe, host: HostSettings, is_local: bool) -> bytes:
    """Return the tar of a build context, below `context/`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        _add(archive, PurePosixPath("Dockerfile"), recipe.dockerfile(is_local=is_local).encode(), 0o644)
        for path, content in host.files.items():
            _add(archive, "host" / path, content, 0o644)
        for file in recipe.context():
            mode = 0o755 if file.stat().st_mode & 0o100 else 0o644
            _add(archive, PurePosixPath(file.relative_to(FILES)), file.read_bytes(), mode)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, path: PurePosixPath, content: bytes, mode: int) -> None:
    member = tarfile.TarInfo(f"context/{path}")
    member.size, member.mode = len(content), mode
    archive.addfile(member, io.BytesIO(content))


def _readable(output: bytes) -> str:
    """Return the end of what a build said, from BuildKit's stream of JSON."""
    text = ""
    for line in output.decode(errors="replace").splitlines():
        try:
            status = json.loads(line)
        except ValueError:
            text += f"{line}\n"
            continue
        for entry in status.get("logs") or ():
            text += base64.b64decode(entry["data"]).decode(errors="replace")
        for vertex in status.get("vertexes") or ():
            if vertex.get("error"):
                text += f"{vertex.get('name', '')}: {vertex['error']}\n"
    return text[-_SHOWN_CHARACTERS:]
