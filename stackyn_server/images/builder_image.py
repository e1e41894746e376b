"""Make the image that builds run in, without the engine's own builder: a container with a Debian, the packages of
`engine/builder/image/settle` and our programs is committed."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from stackyn_server.engine import images, logs
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import Absent, InUse
from stackyn_server.errors import StackynError
from stackyn_server.images import builder_programs
from stackyn_server.images.base_image_store import RECIPE
from stackyn_server.images.host_settings import HostSettings

OFFICIAL_ROOT = "debian:bookworm-slim"
LOCAL_ROOT = "stackyn/debian:12"
_CONTAINER = "stackyn-builder-image"
_SETTLE = PurePosixPath("usr/local/sbin/settle")
_PROGRAM = PurePosixPath("usr/local/bin/build")
_OFFICIAL_PROGRAMS = "usr/bin"
_MAKING_SECONDS = 900
_PIECE_BYTES = 1024 * 1024
_SHOWN_LINES = 40


class BuilderNotMade(StackynError):
    code = "BUILDER_NOT_MADE"


def recipe_digest(host_digest: str) -> str:
    """Return 16 hexadecimal digits of a digest over everything that the image is made from."""
    content = hashlib.sha256(f"{host_digest} {OFFICIAL_ROOT} {builder_programs.digest()}".encode())
    for name in (_SETTLE.name, _PROGRAM.name):
        content.update((builder_programs.SOURCES / name).read_bytes())
    return content.hexdigest()[:16]


async def is_made(engine: Engine, name: str, made_from: str) -> bool:
    """Return whether the engine has the image, made from this recipe."""
    image = await images.inspect(engine, name)
    return image is not None and image.labels.get(RECIPE) == made_from


async def pull(engine: Engine, name: str) -> None:
    """Pull an image from a registry. Raises `BuilderNotMade` with the engine's reason."""
    repository, _, tag = name.rpartition(":")
    params, silence_seconds = {"fromImage": repository, "tag": tag}, engine.settings.transfer_silence_seconds
    async with engine.stream(
        "POST", "images/create", params=params, silence_seconds=silence_seconds
    ) as answer:
        async for line in answer.json_lines():
            if "error" in line:
                raise BuilderNotMade(f"{name} can't be fetched: {line['error']}")


async def copy_official_programs(engine: Engine, work: Path) -> Path:
    """Copy the builder's programs from the official image, which the engine must have, and return their folder."""
    target = work / "official"
    await asyncio.to_thread(target.mkdir)
    async with _container(engine, {"Image": builder_programs.official_image()}) as container:
        for name in builder_programs.NAMES:
            path = f"{_OFFICIAL_PROGRAMS}/{name}"
            async with engine.stream(
                "GET", f"containers/{container}/archive", params={"path": f"/{path}"}
            ) as answer:
                content = io.BytesIO(b"".join([piece async for piece in answer.chunks()]))
            await asyncio.to_thread(_extract, content, name, target)
    return target


def _extract(content: io.BytesIO, name: str, target: Path) -> None:
    with tarfile.open(fileobj=content) as archive:
        archive.extract(name, target, filter="data")


async def make(engine: Engine, name: str, root: Path | None, folder: Path, host: HostSettings) -> None:
    """Make the image. `root` is a tar of a Debian, None for the official one that the engine has; `folder` has the
    programs. Raises `BuilderNotMade`."""
    earlier = await images.inspect(engine, name)
    base = OFFICIAL_ROOT if root is None else await _import(engine, root)
    settings = {
        "Image": base,
        "User": "0:0",
        "Cmd": ["/bin/sh", f"/{_SETTLE}"],
        "HostConfig": {"NetworkMode": "host"},
    }
    try:
        async with _container(engine, settings) as container:
            await _put(engine, container, _files(folder, host))
            await engine.request("POST", f"containers/{container}/start")
            ended = await engine.request("POST", f"containers/{container}/wait", seconds=_MAKING_SECONDS)
            if ended["StatusCode"]:
                raise BuilderNotMade(
                    f"The builder image was not made:\n{await _last_lines(engine, container)}"
                )
            await _commit(engine, container, name, await asyncio.to_thread(recipe_digest, host.digest))
    finally:
        nameless = [] if root is None else [base]
        if earlier is not None and earlier.tags == (name,):
            nameless.append(earlier.id)
        for image in nameless:
            # In use: by the image that was made from it, or by a running build.
            with suppress(Absent, InUse):
                await engine.request("DELETE", f"images/{image}")


@asynccontextmanager
async def _container(engine: Engine, settings: dict[str, Any]) -> AsyncIterator[str]:
    """Create a container and remove it after the block. One that an earlier run left is removed first."""
    force = {"force": "true", "v": "true"}
    await engine.request_or_none("DELETE", f"containers/{_CONTAINER}", params=force)
    body = {"Cmd": ["/bin/true"], **settings}
    created = await engine.request("POST", "containers/create", params={"name": _CONTAINER}, body=body)
    try:
        yield str(created["Id"])
    finally:
        await engine.request_or_none("DELETE", f"containers/{_CONTAINER}", params=force)


async def _import(engine: Engine, root: Path) -> str:
    """Import a root file system as an image without a name, and return its id."""
    params = {"fromSrc": "-", "message": "Debian, for the builder image"}
    silence_seconds = engine.settings.transfer_silence_seconds
    async with engine.stream(
        "POST", "images/create", params=params, upload=_pieces(root), silence_seconds=silence_seconds
    ) as answer:
        records = [record async for record in answer.json_lines()]
    if not records or "status" not in records[-1]:
        raise BuilderNotMade(f"The engine did not import a Debian: {json.dumps(records[-1:])}")
    return str(records[-1]["status"])


def _files(folder: Path, host: HostSettings) -> Iterator[tuple[PurePosixPath, bytes, int]]:
    """Yield the files of the image besides packages: path, content and mode."""
    for name in builder_programs.NAMES:
        yield PurePosixPath("usr/local/bin") / name, (folder / name).read_bytes(), 0o755
    for path in (_SETTLE, _PROGRAM):
        yield path, (builder_programs.SOURCES / path.name).read_bytes(), 0o755
    for path, content in host.files.items():
        if "certificates" in str(path) or path.name == "ca-certificates.crt":
            yield path, content, 0o644


async def _put(engine: Engine, container: str, files: Iterable[tuple[PurePosixPath, bytes, int]]) -> None:
    def tar() -> bytes:
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for path, text, mode in files:
                member = tarfile.TarInfo(str(path))
                member.size, member.mode = len(text), mode
                archive.addfile(member, io.BytesIO(text))
        return content.getvalue()

    async def upload() -> AsyncIterator[bytes]:
        yield await asyncio.to_thread(tar)

    path = f"containers/{container}/archive"
    async with engine.stream("PUT", path, params={"path": "/"}, upload=upload()) as answer:
        async for _ in answer.chunks():
            pass


async def _commit(engine: Engine, container: str, name: str, made_from: str) -> None:
    repository, _, tag = name.rpartition(":")
    changes = (
        "USER 1001:1001",
        "ENV HOME=/home/user",
        "WORKDIR /var/lib/build",
        f'ENTRYPOINT ["/{_PROGRAM}"]',
        "CMD []",
        f"LABEL {RECIPE}={made_from}",
    )
    params = {"container": container, "repo": repository, "tag": tag, "changes": "\n".join(changes)}
    await engine.request("POST", "commit", params=params, body={}, seconds=_MAKING_SECONDS)


async def _last_lines(engine: Engine, container: str) -> str:
    return "\n".join([line.text async for line in logs.read(engine, container, tail=_SHOWN_LINES)])


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    content = await asyncio.to_thread(file.open, "rb")
    try:
        while piece := await asyncio.to_thread(content.read, _PIECE_BYTES):
            yield piece
    finally:
        await asyncio.to_thread(content.close)
