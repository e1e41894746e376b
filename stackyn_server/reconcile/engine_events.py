"""Hands the engine's container events to those who act on them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from stackyn_server.engine import events
from stackyn_server.engine.client import Engine
from stackyn_server.engine.events import Action
from stackyn_server.reconcile.crashes import CrashCounter
from stackyn_server.reconcile.reconcile_loop import ReconcileLoop
from stackyn_server.reconcile.reconciler import Reconciler


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
        """Pass events on for ever. Run it as a supervised task. It waits for none of those who act on them.

        A new event stream starts with RESYNC: the events before it are lost, so the crashes are counted again.
        """
        await self._connected.wait()
        async with aclosing(events.watch(self._engine)) as stream:
            async for event in stream:
                if event.action is Action.RESYNC:
                    self._loop.request_recount()
                if event.action is Action.DIE and event.instance is not None:
                    self._reconciler.instance_ended(event.instance)
                if event.action is Action.LOST:
                    self._loop.engine_lost()
                self._loop.request_comparison()
                self._crashes.note(event)
