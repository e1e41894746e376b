"""The ingress engine without containers: the same binary with the same arguments, as a child process."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from stackyn_server.errors import StackynError
from stackyn_server.ingress.traefik import IngressState
from tests.integration.ingress.parts import Proxy, end


class ProcessEngine:
    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.started = 0
        self._image = ""
        self._asked_for: tuple[str, tuple[str, ...], int] | None = None

    async def ensure_ingress_image(self, binary: Path, digest: str) -> str:
        self._image = f"image-{digest[:12]}"
        return self._image

    async def ensure_ingress(
        self,
        image: str,
        *,
        config_dir: Path,
        arguments: Sequence[str],
        memory_mb: int,
        ready: Callable[[], Awaitable[None]],
    ) -> str:
        wanted = (image, tuple(arguments), memory_mb)
        if wanted == self._asked_for and self.proxy.is_running:
            return str(self.proxy.pid)
        return await self.replace_ingress(
            image, config_dir=config_dir, arguments=arguments, memory_mb=memory_mb, ready=ready
        )

    async def replace_ingress(
        self,
        image: str,
        *,
        config_dir: Path,
        arguments: Sequence[str],
        memory_mb: int,
        ready: Callable[[], Awaitable[None]],
    ) -> str:
        assert config_dir == self.proxy.directory
        old = self.proxy.give_up()
        await self.proxy.start(arguments)
        self._asked_for, asked_before = (image, tuple(arguments), memory_mb), self._asked_for
        try:
            await ready()
        except StackynError:
            await self.proxy.stop()
            self.proxy.take_back(old)
            self._asked_for = asked_before
            raise
        if old is not None:
            await end(old, signal.SIGTERM)
        self.started += 1
        return str(self.proxy.pid)

    async def ingress_state(self) -> IngressState | None:
        if self._asked_for is None:
            return None
        pid = self.proxy.pid if self.proxy.is_running else 0
        return IngressState("process", self.proxy.is_running, self._image, pid, await self.proxy.log())
