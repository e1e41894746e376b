"""The connection to the Docker engine: ordinary calls, and long streams that always close."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import aiohttp
from aiodocker import Docker

from stackyn_server import config
from stackyn_server.engine.api_version import (
    OLDEST_API,
    ApiVersion,
    choose_api_version,
    refuse_remapped,
    version_path,
)
from stackyn_server.engine.engine_streams import EngineStream, Upload
from stackyn_server.engine.errors import Absent, EngineSilent, EngineUnavailable, refusal, translated
from stackyn_server.engine.labels import Labels

T = TypeVar("T")
READ_BUFFER_BYTES = 1024 * 1024  # aiohttp's default has changed between releases

_SNAPSHOTTER = "io.containerd.snapshotter.v1"


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the engine reports about itself and its host. `cgroup_driver` is `cgroupfs` or `systemd`; memory is in
    bytes; `root` is the folder of images and containers; `has_containerd_store`: containerd stores the images."""

    version: str
    api_version: ApiVersion
    cgroup_version: int
    cgroup_driver: str
    memory_bytes: int
    processors: int
    root: Path
    has_containerd_store: bool


class Engine:
    """A client of the engine behind one socket, for one installation. Use `async with`, or `open` and `close`."""

    def __init__(
        self, settings: config.EngineSettings, network: config.NetworkSettings, installation: str
    ) -> None:
        self.settings = settings
        self.network = network
        self.labels = Labels(installation)
        self.network_lock = asyncio.Lock()  # held while a network is made
        self._docker: Docker | None = None
        self._facts: EngineFacts | None = None

    async def __aenter__(self) -> Engine:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect and agree on a version. Raises `EngineUnavailable` or `EngineUnsupported`, and then leaves nothing
        open."""
        # No connection limit: 101 log followers on aiohttp's default of 100 block every further call (measured).
        connector = aiohttp.UnixConnector(path=str(self.settings.socket), limit=0)
        timeout = aiohttp.ClientTimeout(total=self.settings.request_seconds)
        session = aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=READ_BUFFER_BYTES)
        self._docker = Docker(
            url="unix://localhost",  # any name: the connector has the path
            connector=connector,
            session=session,
            timeout=timeout,
            api_version=version_path(OLDEST_API),
        )
        try:
            await self.negotiate()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all connections. Does nothing when closed already."""
        if self._docker is not None:
            docker, self._docker = self._docker, None
            await docker.close()
            await docker.session.close()  # a session that we made is ours to close

    @property
    def docker(self) -> Docker:
        if self._docker is None:
            raise EngineUnavailable("the engine's client is closed")
        return self._docker

    @property
    def facts(self) -> EngineFacts:
        if self._facts is None:
            raise EngineUnavailable("the engine was never reached")
        return self._facts

    async def negotiate(self) -> EngineFacts:
        """Agree on an API version and read the facts. Call it again after the engine may have been replaced."""
        with translated():
            async with self.docker.session.get(f"{self.docker.docker_host}/version") as response:
                response.raise_for_status()
                offered = await response.json()
        api_version = choose_api_version(offered)
        self.docker.api_version = version_path(api_version)
        info = await self.ask(self.docker.system.info())
        refuse_remapped(info)
        self._facts = EngineFacts(
            version=str(offered.get("Version", "")),
            api_version=api_version,
            cgroup_version=2 if str(info.get("CgroupVersion", "1")) == "2" else 1,
            cgroup_driver=str(info.get("CgroupDriver", "cgroupfs")),
            memory_bytes=int(info.get("MemTotal", 0)),
            processors=int(info.get("NCPU", 1)),
            root=Path(info.get("DockerRootDir", "/var/lib/docker")),
            has_containerd_store=["driver-type", _SNAPSHOTTER] in (info.get("DriverStatus") or []),
        )
        return self._facts

    async def ask(self, call: Awaitable[T]) -> T:
        """Await a call of aiodocker and translate its errors."""
        with translated():
            return await call

    async def ask_or_none(self, call: Awaitable[T]) -> T | None:
        """Like `ask`, but None when the object doesn't exist."""
        try:
            return await self.ask(call)
        except Absent:
            return None

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        seconds: float | None = None,
    ) -> Any:
        """Make a call that aiodocker has no method for and return its JSON, None when the answer has none.

        `seconds` is the time limit where `[engine] request_seconds` does not fit.
        """
        timeout = aiohttp.ClientTimeout(total=self.settings.request_seconds if seconds is None else seconds)
        with translated():
            async with self.docker.session.request(
                method, self._url(path), params=params, json=body, timeout=timeout
            ) as response:
                content = await response.read()
                if response.status >= HTTPStatus.BAD_REQUEST:
                    raise refusal(response.status, _reason(content))
                has_json = content.strip() and response.content_type == "application/json"
                return json.loads(content) if has_json else None

    async def request_or_none(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        seconds: float | None = None,
    ) -> Any:
        """Like `request`, but None when the object doesn't exist."""
        try:
            return await self.request(method, path, params=params, body=body, seconds=seconds)
        except Absent:
            return None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        upload: AsyncIterator[bytes] | None = None,
        content_type: str = "application/x-tar",
        silence_seconds: float | None = None,
    ) -> AsyncIterator[EngineStream]:
        """Open an answer that has no end. Leaving the block closes the connection.

        Its beginning and each further piece must come within `silence_seconds` (None: `[engine] request_seconds`), else
        `EngineSilent` is raised. An error that `upload` raises is passed on unchanged.
        """
        seconds = self.settings.request_seconds if silence_seconds is None else silence_seconds
        source = None if upload is None else Upload(upload)
        response: aiohttp.ClientResponse | None = None
        try:
            with translated():
                try:
                    async with asyncio.timeout(seconds):
                        response = await self.docker.session.request(
                            method,
                            self._url(path),
                            params=params,
                            data=None if source is None else source.pieces(),
                            headers=None if source is None else {"Content-Type": content_type},
                            timeout=aiohttp.ClientTimeout(sock_connect=self.settings.request_seconds),
                        )
                        if response.status >= HTTPStatus.BAD_REQUEST:
                            raise refusal(response.status, _reason(await response.read()))
                except TimeoutError as error:
                    raise EngineSilent(seconds) from error
            yield EngineStream(response, seconds)
        except EngineUnavailable:
            if source is not None and source.error is not None:
                raise source.error from None
            raise
        finally:
            if response is not None:
                response.close()
            if source is not None:
                await source.close()

    def _url(self, path: str) -> str:
        return f"{self.docker.docker_host}/{self.docker.api_version}/{path}"


def _reason(content: bytes) -> str:
    try:
        return str(json.loads(content)["message"])
    except (ValueError, KeyError, TypeError):
        return content.decode("utf-8", "replace")
