"""Keeps the ingress running and right."""

from __future__ import annotations

import asyncio
import math
import time

import structlog

from stackyn_server import config
from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.ingress.driver import Ingress
from stackyn_server.ingress.other_listeners import PortShared
from stackyn_server.pause import Pause
from stackyn_server.reconcile.network_guard import close_networks

log = structlog.get_logger()

_LOOK_SECONDS = 5.0  # between looks at the ports of the proxy, when readiness is asked


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
        self._shared = ""  # who shares the ports of the proxy
        self._looked_at = -math.inf
        self._lock = asyncio.Lock()
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Prepare and repair for ever. Run it as a supervised task."""
        await self._connected.wait()
        pause = Pause.of(self._settings.jobs)
        while True:
            try:
                await close_networks(self._settings, self._engine, self._ingress.uid)
                if self.ready.is_set():
                    await self._ingress.repair()
                else:
                    await self._ingress.prepare()
                    self.ready.set()
                    log.info("ingress.ready")
                self._problem = ""
                await self._look()
            except StackynError as error:
                self._problem = error.message
                log.warning("ingress.not_ready", reason=error.message, notes=error.notes)
            if self.ready.is_set():
                await asyncio.sleep(self._settings.reconcile.period_seconds)
            else:
                await pause.wait()

    async def check(self) -> None:
        """Raise `StackynError` unless the last preparation or repair succeeded, and the ports are the proxy's alone.

        The ports are looked at when the last look is some seconds old, once for all who ask.
        """
        if self._problem:
            raise StackynError(self._problem)
        async with self._lock:
            if time.monotonic() - self._looked_at >= _LOOK_SECONDS:
                await self._look()
        if self._shared:
            raise StackynError(self._shared)

    async def _look(self) -> None:
        """Find out whether other programs share the ports of the proxy, and log it when that begins."""
        try:
            await self._ingress.check_ports()
            shared = ""
        except PortShared as error:
            shared = error.message
            if shared != self._shared:
                log.warning("ingress.port_shared", reason=error.message, hint=error.hint)
        except StackynError as error:  # the engine is away, as its own check says
            log.info("ingress.ports_unknown", reason=error.message)
            return
        self._shared, self._looked_at = shared, time.monotonic()
