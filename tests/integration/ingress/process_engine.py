"""The ingress engine without containers: the same binary with the same arguments, as a child process."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from stackyn_server.domain.ingress import IngressSpec, IngressState
from stackyn_server.errors import StackynError
from tests.integration.ingress.parts import Proxy, end


class ProcessEngine:
    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.started = 0
        self._image = ""
        self._spec: IngressSpec | None = None

    async def ensure_ingress_image(self, binary: Path, digest: str) -> str:
        self._image = f"image-{digest[:12]}"
        return self._image

    async def ensure_ingress(self, spec: IngressSpec, ready: Callable[[], Awaitable[None]]) -> str:
        if spec == self._spec and self.proxy.is_running:
            return str(self.proxy.pid)
        return await self.replace_ingress(spec, ready)

    async def replace_ingress(self, spec: IngressSpec, ready: Callable[[], Awaitable[None]]) -> str:
        assert spec.config_dir == self.proxy.directory
        old = self.proxy.give_up()
        await self.proxy.start(spec.arguments)
        self._spec, previous = spec, self._spec
        try:
            await ready()
        except StackynError:
            await self.proxy.stop()
            self.proxy.take_back(old)
            self._spec = previous
            raise
        if old is not None:
            await end(old, signal.SIGTERM)
        self.started += 1
        return str(self.proxy.pid)

    async def ingress_processes(self) -> list[int]:
        return [self.proxy.pid] if self.proxy.is_running else []

    async def name_of_container(self, container: str) -> str:
        return ""

    async def ingress_state(self) -> IngressState | None:
        if self._spec is None:
            return None
        pid = self.proxy.pid if self.proxy.is_running else 0
        return IngressState("process", self.proxy.is_running, self._image, pid, await self.proxy.log())
