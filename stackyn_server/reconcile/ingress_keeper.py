"""Keeps the ingress running and right."""

from __future__ import annotations

import asyncio

import structlog

from stackyn_server import config
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.ingress.driver import Ingress
from stackyn_server.pause import Pause
from stackyn_server.reconcile.network_guard import close_networks

log = structlog.get_logger()


class IngressKeeper:
    """Prepares the ingress when the engine is connected, and repairs it on a period. `ready` is set once prepared."""

    def __init__(
        self, settings: config.Settings, engine: Engine, connected: asyncio.Event, ingress: Ingress
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._connected = connected
        self._ingress = ingress
        self._problem = "The ingress is not prepared yet."
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Prepare and repair for ever. Run it as a supervised task."""
        await self._connected.wait()
        pause = Pause.of(self._settings.jobs)
        while True:
            try:
                await close_networks(self._settings, self._engine)
                if self.ready.is_set():
                    await self._ingress.repair()
                else:
                    await self._ingress.prepare()
                    self.ready.set()
                    log.info("ingress.ready")
                self._problem = ""
            except StackynError as error:
                self._problem = error.message
                log.warning("ingress.not_ready", reason=error.message, notes=error.notes)
            if self.ready.is_set():
                await asyncio.sleep(self._settings.reconcile.period_seconds)
            else:
                await pause.wait()

    async def check(self) -> None:
        """Raise `StackynError` unless the last preparation or repair succeeded."""
        if self._problem:
            raise StackynError(self._problem)
