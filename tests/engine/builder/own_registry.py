"""A real image registry (Debian's docker-registry) on a machine of the tests' own: without TLS, with or without a
password, filled by hand."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
import bcrypt

from tests.engine.builder.layouts import ARCHITECTURE, CONFIG, LAYER, MANIFEST, digest_of
from tests.engine.own_host import OwnHost
from tests.patience import within

USER, PASSWORD = "robot", "correct horse"
_SIGNED_IN = {"Authorization": aiohttp.encode_basic_auth(USER, PASSWORD)}


@dataclass(frozen=True, slots=True)
class OwnRegistry:
    """`address` is `host:port`, as in the names of its images."""

    address: str
    headers: Mapping[str, str]

    async def push(self, name: str, layers: list[bytes], settings: dict[str, object], tag: str = "1") -> str:
        """Make an image, its layers compressed, as `name:tag`; return its whole name."""
        config = {
            "os": "linux",
            "architecture": ARCHITECTURE,
            "config": settings,
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
        packed = [await asyncio.to_thread(gzip.compress, layer, 1) for layer in layers]
        async with aiohttp.ClientSession(f"http://{self.address}", headers=self.headers) as session:
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": await _upload(session, name, json.dumps(config).encode(), CONFIG),
                "layers": [await _upload(session, name, layer, f"{LAYER}+gzip") for layer in packed],
            }
            async with session.put(
                f"/v2/{name}/manifests/{tag}", data=json.dumps(manifest), headers={"Content-Type": MANIFEST}
            ) as answer:
                assert answer.status == HTTPStatus.CREATED, await answer.text()
        return f"{self.address}/{name}:{tag}"


@asynccontextmanager
async def own_registry(
    host: OwnHost, folder: Path, port: int, *, is_private: bool = False
) -> AsyncIterator[OwnRegistry]:
    """Run a registry on the public address of `host` until the block is left."""
    await asyncio.to_thread(_write, folder, port, is_private)
    process = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", host.space, "docker-registry", "serve", str(folder / "config.yml")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        address = f"{host.public}:{port}"
        async with within(20), aiohttp.ClientSession() as session:
            while not await _answers(session, address):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield OwnRegistry(address, _SIGNED_IN if is_private else {})
    finally:
        process.terminate()
        await process.wait()


def _write(folder: Path, port: int, is_private: bool) -> None:
    folder.mkdir()
    settings: dict[str, object] = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f":{port}"},
        "log": {"level": "error"},
    }
    if is_private:
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        (folder / "users").write_text(f"{USER}:{hashed}\n")
        settings["auth"] = {"htpasswd": {"realm": "the realm of the registry", "path": str(folder / "users")}}
    (folder / "config.yml").write_text(json.dumps(settings))  # JSON is YAML


async def _answers(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(f"http://{address}/v2/") as answer:
            return answer.status in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED)
    except aiohttp.ClientError:
        return False


async def _upload(session: aiohttp.ClientSession, name: str, content: bytes, kind: str) -> dict[str, object]:
    async with session.post(f"/v2/{name}/blobs/uploads/") as answer:
        assert answer.status == HTTPStatus.ACCEPTED, await answer.text()
        place = answer.headers["Location"]
    digest = digest_of(content)
    async with session.put(f"{place}&digest={digest}", data=io.BytesIO(content)) as answer:
        assert answer.status == HTTPStatus.CREATED, await answer.text()
    return {"mediaType": kind, "digest": digest, "size": len(content)}
