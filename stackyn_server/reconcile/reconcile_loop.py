"""When to compare: after engine events, on a period, and sooner while something is amiss."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from stackyn_server import config
from stackyn_server.engine.errors import EngineUnavailable
from stackyn_server.errors import StackynError
from stackyn_server.pause import is_set_within
from stackyn_server.reconcile.crashes import CrashCounter
from stackyn_server.reconcile.reconciler import Reconciler
from stackyn_server.store.failures import DatabaseUnavailable

log = structlog.get_logger()


class ReconcileLoop:
    def __init__(
        self,
        settings: config.ReconcileSettings,
        connected: asyncio.Event,
        reconciler: Reconciler,
        crashes: CrashCounter,
    ) -> None:
        self._settings = settings
        self._connected = connected
        self._reconciler = reconciler
        self._crashes = crashes
        self._comparison_requested = asyncio.Event()
        self._is_recount_requested = False
        self._is_engine_away = False
        self._losses = 0

    def request_comparison(self) -> None:
        """Compare now, or `event_seconds` after the last comparison: then once for all requests since it began."""
        self._comparison_requested.set()

    def engine_lost(self) -> None:
        """Ask the apps themselves from now on, until the engine has listed its containers again."""
        self._is_engine_away = True
        self._losses += 1
        self._comparison_requested.set()

    def request_recount(self) -> None:
        """Count missed crashes after the next comparison."""
        self._is_recount_requested = True

    async def run(self) -> None:
        """Compare for ever. Run it as a supervised task."""
        while not self._connected.is_set():  # the engine may have died before this server began
            await self._ask_apps()
            await is_set_within(self._connected, self._settings.event_seconds)
        while True:
            self._comparison_requested.clear()
            next_seconds = await self._compare()
            rest = self._settings.event_seconds  # apps that crash in a loop request comparisons without end
            await asyncio.sleep(rest)
            await is_set_within(self._comparison_requested, next_seconds - rest)

    async def _compare(self) -> float:
        """Compare once and return the seconds until the next time. Without the engine, probe the apps instead."""
        try:
            losses = self._losses
            await self._compare_with_engine()
            self._is_engine_away = self._losses != losses  # it was lost again meanwhile
            if self._is_recount_requested:
                self._is_recount_requested = not await self._crashes.count_missed()
        except EngineUnavailable as error:
            if not self._is_engine_away:
                log.warning("reconcile.without_engine", reason=error.message, notes=error.notes)
                await self._ask_apps()
            self._is_engine_away = True
            return self._settings.event_seconds
        except StackynError as error:
            log.warning("reconcile.failed", reason=error.message, notes=error.notes)
        if self._reconciler.is_settling:
            return self._settings.event_seconds
        return self._settings.period_seconds

    async def _compare_with_engine(self) -> None:
        """Compare. While the engine is away, its answer may take `listing_seconds`: the apps are asked meanwhile."""
        comparison = asyncio.ensure_future(self._reconciler.compare())
        try:
            while not comparison.done():
                if self._is_engine_away:
                    await self._ask_apps()
                await asyncio.wait((comparison,), timeout=self._settings.event_seconds)
            await comparison
        finally:
            comparison.cancel()
            await asyncio.wait((comparison,))

    async def _ask_apps(self) -> None:
        with suppress(DatabaseUnavailable):
            await self._reconciler.compare_without_engine()
