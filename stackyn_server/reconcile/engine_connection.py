"""The connection to the container engine, which may start later than this server."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from stackyn_server.engine.client import Engine
from stackyn_server.errors import StackynError
from stackyn_server.jobs.run import Handler, JobCancelled, JobRun
from stackyn_server.pause import Pause

log = structlog.get_logger()


class EngineConnection:
    """Opens the engine client once the engine answers. `connected` is set from then on."""

    def __init__(self, engine: Engine, pause: Pause) -> None:
        self._engine = engine
        self._pause = pause
        self._was_tried = asyncio.Event()
        self._problem = "The container engine has not been reached yet."
        self.connected = asyncio.Event()

    async def connect(self) -> None:
        """Try until the engine answers. Run it as a supervised task."""
        while True:
            try:
                await self._engine.open()
            except StackynError as error:
                if self._problem != error.message:
                    log.warning("engine.unreachable", reason=error.message, notes=error.notes)
                self._problem = error.message
            else:
                log.info("engine.reached", version=self._engine.facts.version)
                self.connected.set()
                return
            finally:
                self._was_tried.set()
            await self._pause.wait()

    def delayed(self, handler: Handler) -> Handler:
        """Delay this handler's jobs until the first connection attempt has finished, successful or not.

        Without the delay, a server that starts faster than its engine would use up attempts of its jobs.
        """

        async def handle(run: JobRun) -> None:
            with suppress(JobCancelled):  # the handler itself acts on a cancelled job
                await run.until_cancelled(self._was_tried.wait())
            await handler(run)

        return handle

    async def check(self) -> None:
        """Raise `StackynError` unless the engine answers now."""
        if not self.connected.is_set():
            raise StackynError(self._problem)
        await self._engine.request("GET", "_ping")
