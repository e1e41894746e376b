"""The lasting tasks beside the dispatcher: reach the engine, keep the ingress right, compare, tidy up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress

import structlog

from stackyn_server import config
from stackyn_server.engine import events, firewall, networks
from stackyn_server.engine.client import Engine
from stackyn_server.engine.errors import EngineRefused, EngineUnavailable
from stackyn_server.engine.events import Action
from stackyn_server.errors import StackynError
from stackyn_server.ingress.driver import Ingress
from stackyn_server.jobs.run import Handler, JobCancelled, JobRun
from stackyn_server.reconcile.crashes import Crashes
from stackyn_server.reconcile.reconciler import Reconciler
from stackyn_server.store.database import DatabaseUnavailable

log = structlog.get_logger()

_TRY_AGAIN_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 0.5


class EngineWatch:
    """Reaches the engine, however late it comes, and compares whenever something may have changed."""

    def __init__(
        self,
        settings: config.Settings,
        engine: Engine,
        ingress: Ingress,
        reconciler: Reconciler,
        crashes: Crashes,
        ingress_ports: Sequence[int],
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._ingress = ingress
        self._reconciler = reconciler
        self._crashes = crashes
        self._ingress_ports = ingress_ports
        self._look = asyncio.Event()
        self._is_recount_due = False
        self._is_engine_away = False
        self._asked = asyncio.Event()
        self.reached = asyncio.Event()
        self.ingress_ready = asyncio.Event()
        self.problem = "The container engine has not been reached yet."
        self.ingress_problem = "The ingress is not prepared yet."

    async def connect(self) -> None:
        """Open the engine; tried again until it answers. Then everybody who needs it may begin."""
        while True:
            try:
                await self._ask()
            except StackynError as error:
                if self.problem != error.message:
                    log.warning("engine.unreachable", reason=error.message, notes=error.notes)
                self.problem = error.message
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                continue
            log.info("engine.reached", version=self._engine.version)
            self.problem = ""
            self.reached.set()
            return

    async def _ask(self) -> None:
        try:
            await self._engine.open()
        finally:
            self._asked.set()

    def when_asked(self, handler: Handler) -> Handler:
        """Have jobs of this handler begin when the engine has been asked for the first time, whatever it said.

        A server that has just begun may be quicker than its engine, which is no failed attempt.
        """

        async def handle(run: JobRun) -> None:
            with suppress(JobCancelled):  # the handler knows what that means for its subject
                await run.until_cancelled(self._asked.wait())
            await handler(run)

        return handle

    async def listen(self) -> None:
        """Hear what happens to our containers. Each connection begins with a comparison: what was missed is unknown."""
        await self.reached.wait()
        async with aclosing(events.watch(self._engine)) as heard:
            async for event in heard:
                if event.action is Action.RESYNC:
                    self._is_recount_due = True
                if event.action is Action.DIE and event.instance is not None:
                    self._reconciler.ended(event.instance)
                self._look.set()
                try:
                    await self._crashes.heard(event)
                except StackynError as error:
                    log.warning("crash.uncounted", reason=error.message, notes=error.notes)
                    self._is_recount_due = True

    async def compare(self) -> None:
        """Compare after events and on a period."""
        await self.reached.wait()
        while True:
            self._look.clear()
            await _either(self._look, await self._look_once())

    async def _look_once(self) -> float:
        """Compare, and return after how many seconds to do so again. Without the engine, at least ask the apps."""
        try:
            await self._reconciler.look()
            self._is_engine_away = False
            if self._is_recount_due:
                self._is_recount_due = False
                await self._crashes.recount()
        except EngineUnavailable as error:
            if not self._is_engine_away:
                log.warning("reconcile.without_engine", reason=error.message, notes=error.notes)
            self._is_engine_away = True
            with suppress(DatabaseUnavailable):
                await self._reconciler.look_without_engine()
            return _TRY_AGAIN_SECONDS
        except StackynError as error:
            log.warning("reconcile.failed", reason=error.message, notes=error.notes)
        if self._reconciler.is_settling:
            return _LOOK_AGAIN_SECONDS
        return self._settings.reconcile.period_seconds

    async def keep_ingress(self) -> None:
        """Have the proxy running and right from the start, and put it right again on a period."""
        await self.reached.wait()
        while True:
            try:
                await self._keep_networks()
                if self.ingress_ready.is_set():
                    await self._ingress.repair()
                else:
                    await self._ingress.prepare()
                    self.ingress_ready.set()
                    log.info("ingress.ready")
                self.ingress_problem = ""
            except StackynError as error:
                self.ingress_problem = error.message
                log.warning("ingress.not_ready", reason=error.message, notes=error.notes)
            await asyncio.sleep(
                self._settings.reconcile.period_seconds if self.ingress_ready.is_set() else _TRY_AGAIN_SECONDS
            )

    async def _keep_networks(self) -> None:
        """Have the networks closed, and the first ones there before anybody's first deploy needs them."""
        if self._settings.network.close_host:
            state = await firewall.close_host(self._engine, self._ingress_ports)
            if state.warning:
                log.warning("host.open_to_containers", reason=state.warning)
        try:
            await firewall.close_builds(self._engine, self._settings.builds.allowed_private)
        except firewall.BuildsNotClosed as error:  # which each build finds as well, and then does not begin
            log.warning("builds.not_closed", reason=error.reason)
        try:
            await networks.ensure_first(self._engine, self._settings.builds.concurrency)
        except EngineRefused as error:  # which the deployment that needs it finds as well
            log.warning("networks.not_ready", reason=error.reason)


async def _either(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
