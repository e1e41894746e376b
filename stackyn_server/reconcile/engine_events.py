"""Hands the engine's container events to those who act on them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import structlog

from stackyn_server.engine import events
from stackyn_server.engine.client import Engine
from stackyn_server.engine.events import Action
from stackyn_server.errors import StackynError
from stackyn_server.reconcile.crashes import CrashCounter
from stackyn_server.reconcile.reconcile_loop import ReconcileLoop
from stackyn_server.reconcile.reconciler import Reconciler

log = structlog.get_logger()


class EngineEvents:
    def __init__(
        self,
        engine: Engine,
        connected: asyncio.Event,
        reconciler: Reconciler,
        crashes: CrashCounter,
        loop: ReconcileLoop,
    ) -> None:
        self._engine = engine
        self._connected = connected
        self._reconciler = reconciler
        self._crashes = crashes
        self._loop = loop

    async def listen(self) -> None:
        """Handle events for ever. Run it as a supervised task.

        A new event stream starts with RESYNC: the events before it are lost, so the crashes are counted again.
        """
        await self._connected.wait()
        async with aclosing(events.watch(self._engine)) as stream:
            async for event in stream:
                if event.action is Action.RESYNC:
                    self._loop.request_recount()
                if event.action is Action.DIE and event.instance is not None:
                    self._reconciler.instance_ended(event.instance)
                self._loop.request_comparison()
                try:
                    await self._crashes.handle(event)
                except StackynError as error:
                    log.warning("crash.uncounted", reason=error.message, notes=error.notes)
                    self._loop.request_recount()
